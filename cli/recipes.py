"""`openscrip recipe`: a program of docs/recipes on a running server, and whether everybody gets what the recipe says."""

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import httpx
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cli.recipe_file import Step, load_recipe, recipe_names
from cli.recipe_server import BUCKETS, Server, balance_text
from runtime.processes import ServiceError
from runtime.settings import Settings, load_settings

REQUEST_SECONDS = 70.0
POLL_SECONDS = 0.2
NEEDS_CLOCK = "the server's clock can't be moved (OPENSCRIP_TEST_CLOCK=1 allows it)"


@dataclass(frozen=True, slots=True)
class Row:
    """One thing that somebody has after a step, beside what the recipe says."""

    step: int
    who: str
    what: str
    expected: Any
    found: Any

    @property
    def is_right(self) -> bool:
        """Whether both are the same."""
        return bool(self.expected == self.found)


def run(name: str | None, *, url: str | None, key: str | None, try_it: bool) -> None:
    """Make a recipe's program and say its id; with `try_it` run its steps. Exit code 1 when something differs."""
    console = Console(highlight=False)
    if name is None:
        console.print(_contents())
        return
    settings = load_settings()
    recipe = load_recipe(name)
    headers = {"Authorization": f"Bearer {key or _kept_key(settings)}"}
    client = httpx.Client(base_url=url or settings.api_url, headers=headers, timeout=REQUEST_SECONDS, trust_env=False)
    with closing(client):
        server = Server(client, recipe)
        server.create()
        print_program(console, server)
        if try_it and not all(row.is_right for row in cook(console, server)):
            raise typer.Exit(1)


def _kept_key(settings: Settings) -> str:
    """The API key that `openscrip up` keeps."""
    if settings.bootstrap_api_key is not None:
        return settings.bootstrap_api_key.get_secret_value()
    kept = settings.data_dir / "demo.key"
    if not kept.is_file():
        raise ServiceError(f"no API key: give --key or set OPENSCRIP_KEY ({kept} isn't there)")
    return kept.read_text().strip()


def _contents() -> Table:
    table = Table("recipe", "what it does")
    for name in recipe_names():
        table.add_row(name, load_recipe(name).idea)
    return table


def print_program(console: Console, server: Server) -> None:
    """Print what was made, with the names it has on the server."""
    recipe = server.recipe
    console.print(f"[bold]{escape(recipe.title)}[/bold]: {escape(recipe.idea)}")
    facts = [("program", server.program_id)]
    facts += [(f"asset {symbol}", f"{server.ids[symbol]}  {server.named(symbol)}") for symbol in recipe.assets]
    facts += [(f"group {group}", server.ids[group]) for group in recipe.groups]
    facts += [("rules", ", ".join(rule["name"] for rule in recipe.rules)), ("people", server.named("<name>"))]
    for fact, value in facts:
        console.print(f"  {fact:<14}  {escape(value)}", soft_wrap=True)


def cook(console: Console, server: Server) -> list[Row]:
    """Do the steps of a recipe; return everything that was compared. Steps behind a clock that is missing are left out."""
    rows: list[Row] = []
    can_travel = server.has_clock()
    for number, step in enumerate(server.recipe.steps, 1):
        if step.clock is not None and not can_travel:
            console.print(f"  [yellow]-[/yellow] {number} {escape(step.say)}\n    skipped, like what follows: {NEEDS_CLOCK}")
            break
        _do(server, step, number)
        after = _settled(server, step, number)
        mark = "[green]✓[/green]" if all(row.is_right for row in after) else "[red]✗[/red]"
        console.print(f"  {mark} {number} {escape(step.say)}", soft_wrap=True)
        rows += after
    console.print(_table(_told(rows)))
    wrong = sum(not row.is_right for row in rows)
    console.print(f"{len(rows)} compared, " + (f"[red]{wrong} differ[/red]" if wrong else "all as the recipe says"))
    return rows


def _do(server: Server, step: Step, number: int) -> None:
    if step.clock is not None:
        server.move_clock(step.clock)
    for call in step.calls:
        server.make_call(call)
    for place, event in enumerate(step.events, 1):
        server.run_event(event, f"step-{number}-{place}")


def _settled(server: Server, step: Step, number: int) -> list[Row]:
    """The comparison after a step; repeated for as long as the step allows when something is still on its way."""
    deadline = time.monotonic() + step.wait
    while True:
        rows = list(_compared(server, step, number))
        if all(row.is_right for row in rows) or time.monotonic() >= deadline:
            return rows
        time.sleep(POLL_SECONDS)


def _compared(server: Server, step: Step, number: int) -> Iterator[Row]:
    for who, wanted in step.expect.items():
        expected = dict(_expected(server.assets_of(who), server.filled(wanted)))
        for what, found in server.holdings(who, wanted):
            yield Row(number, who, what, expected.pop(what), found)
        if expected:
            raise ServiceError(f"recipe {server.recipe.name}: step {number} expects {', '.join(expected)} of {who}")


def _expected(assets: Mapping[str, Mapping[str, Any]], wanted: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """What a table of the recipe says, in the form of `Server.holdings`: an asset that it doesn't name must be at zero."""
    for symbol, asset in assets.items():
        amounts = wanted.get(symbol, "0").split("/")
        yield symbol, balance_text([*amounts, *["0"] * (len(BUCKETS) - len(amounts))], asset["scale"])
    for what, value in wanted.items():
        if what in ("lots", "budgets"):
            yield from ((f"{what.removesuffix('s') if what == 'budgets' else what} {name}", item) for name, item in value.items())
        elif what not in assets:
            yield what, value


def _told(rows: Iterable[Row]) -> Iterator[Row]:
    """What differs, and of the rest what everybody has in the end."""
    last = {(row.who, row.what): row for row in rows}
    return (row for row in rows if not row.is_right or last[row.who, row.what] is row)


def _table(rows: Iterable[Row]) -> Table:
    table = Table("step", "who", "what", "recipe", "server")
    for row in rows:
        style = None if row.is_right else "red"
        table.add_row(str(row.step), row.who, row.what, _shown(row.expected), _shown(row.found), style=style)
    return table


def _shown(value: Any) -> str:
    if isinstance(value, Mapping):
        return escape(", ".join(f"{key} {item}" for key, item in sorted(value.items())))
    return escape(", ".join(value) if isinstance(value, list) else str(value))
