"""Recipes: programs written down as data, with steps and what everybody has after each (docs/recipes/README.md)."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from runtime.processes import ServiceError

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "recipes"

Table = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class EventLine:
    """An event to send. `fails` is the expected error code; `status` another answer than 202, then nothing is stored."""

    who: str
    at: datetime
    data: Table
    key: str | None = None
    recipient: str | None = None
    fails: str | None = None
    status: int = 202


@dataclass(frozen=True, slots=True)
class CallLine:
    """A request to the API and the status it must answer."""

    method: str
    path: str
    body: Table | None = None
    status: int = 200


@dataclass(frozen=True, slots=True)
class Step:
    """Moves the clock, then makes calls, then sends events; `expect` must hold at most `wait` seconds later."""

    say: str
    clock: str | None = None
    calls: tuple[CallLine, ...] = ()
    events: tuple[EventLine, ...] = ()
    wait: int = 0
    expect: Mapping[str, Table] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Recipe:
    """A program with its assets, people, groups and rules as the API takes them, and the steps that try it."""

    name: str
    title: str
    idea: str
    assets: Mapping[str, Table]
    rules: tuple[Table, ...]
    steps: tuple[Step, ...]
    program: Table = field(default_factory=dict)
    people: Mapping[str, Table] = field(default_factory=dict)
    groups: Mapping[str, Table] = field(default_factory=dict)


def recipe_names() -> list[str]:
    """The recipes that come with the product."""
    return sorted(file.stem for file in FOLDER.glob("*.toml"))


def load_recipe(name: str) -> Recipe:
    """Read a recipe by its name, or by the path of a file of your own. ServiceError says what is wrong with it."""
    file = Path(name) if name.endswith(".toml") else FOLDER / f"{name}.toml"
    try:
        text = file.read_text(encoding="utf-8")
    except OSError:
        raise ServiceError(f"no recipe {name}: there are {', '.join(recipe_names()) or 'none'}") from None
    try:
        return parse_recipe(file.stem, text)
    except (tomllib.TOMLDecodeError, TypeError) as error:
        raise ServiceError(f"recipe {name}: {error}") from error


def parse_recipe(name: str, text: str) -> Recipe:
    """Build a recipe from TOML. Raises TOMLDecodeError, and TypeError for a field that isn't known or is missing."""
    table = tomllib.loads(text, parse_float=Decimal)
    steps = tuple(_step(step) for step in table.pop("steps", ()))
    return Recipe(name, rules=tuple(table.pop("rules", ())), steps=steps, **table)


def _step(table: dict[str, Any]) -> Step:
    calls = tuple(CallLine(**call) for call in table.pop("calls", ()))
    events = tuple(EventLine(**event) for event in table.pop("events", ()))
    return Step(calls=calls, events=events, **table)
