"""Recipes: each runs on the running product through the command and comes out to the cent; a wrong expectation is found."""

import logging
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import structlog

from cli.main import main
from cli.recipe_file import FOLDER, load_recipe, recipe_names
from runtime.embedded import EmbeddedPostgres, EmbeddedTemporal
from runtime.settings import settings_table
from tests.docs import recipe_pages
from tests.support.books import assert_books
from tests.support.client import Tenant, new_tenant
from tests.support.databases import make_database
from tests.support.stack import Stack, run_stack

Command = Callable[..., "Outcome"]


@dataclass(frozen=True)
class Outcome:
    """How the command ended and what it printed."""

    code: int
    output: str
    errors: str


@pytest.fixture
def recipe(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Command]:
    """Run `openscrip recipe` as an operator would."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    for row in settings_table():
        monkeypatch.delenv(row.variable, raising=False)
    monkeypatch.setenv("COLUMNS", "250")

    def run(*arguments: str, tenant: Tenant | None = None) -> Outcome:
        where = ("--url", str(tenant.http.base_url), "--key", tenant.key) if tenant else ()
        monkeypatch.setattr(sys, "argv", ["openscrip", "recipe", *arguments, *where])
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capsys.readouterr()
        return Outcome(int(ended.value.code or 0), printed.out, printed.err)

    yield run
    root.handlers, root.level = handlers, level
    logging.captureWarnings(capture=False)
    structlog.reset_defaults()


@pytest.fixture(scope="module")
def machine(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A running product whose clock may be moved, with servers of its own."""
    with (
        EmbeddedTemporal(tmp_path_factory.mktemp("recipes-temporal"), headless=True, in_memory=True) as temporal,
        run_stack(
            make_database(postgres.dsn, "recipes"), temporal, Path(tmp_path_factory.mktemp("recipes")), test_clock=True
        ) as running,
    ):
        yield running


def has_clock_steps(name: str) -> bool:
    return any(step.clock for step in load_recipe(name).steps)


@pytest.mark.parametrize("name", recipe_names())
def test_everybody_gets_what_the_recipe_says(recipe: Command, tenant: Tenant, stack: Stack, name: str) -> None:
    done = recipe(name, "--run", tenant=tenant)
    assert (done.code, done.errors) == (0, ""), done.output + done.errors
    assert "all as the recipe says" in done.output
    assert ("OPENSCRIP_TEST_CLOCK=1" in done.output) == has_clock_steps(name)
    assert_books(stack.database, tenant.organization_id)


@pytest.mark.parametrize("name", [name for name in recipe_names() if has_clock_steps(name)])
def test_also_when_time_passes(recipe: Command, machine: Stack, name: str) -> None:
    traveller = new_tenant(machine.database, machine.base_url)
    with traveller.http:
        done = recipe(name, "--run", tenant=traveller)
    assert (done.code, done.errors) == (0, ""), done.output + done.errors
    assert "skipped" not in done.output
    assert len(re.findall("✓", done.output)) == len(load_recipe(name).steps)
    assert_books(machine.database, traveller.organization_id)


@pytest.mark.parametrize(
    ("right", "wrong", "difference"),
    [
        ('CASH = "10.00"', 'CASH = "10.01"', r"1 .*ann .*CASH .*10\.01 .*10\.00"),
        ('CASH = "10.00"\n', "", r"1 .*ann .*CASH .*0\.00 .*10\.00"),
        ('CASH = "10.00"', 'CASH = "10.00/0.01"', r"1 .*ann .*CASH .*10\.00/0\.01/0\.00 .*10\.00"),
        (
            '{ card_spend = "600" }',
            '{ card_spend = "600", more = "1" }',
            r"1 .*ann .*counters .*card_spend 600, more 1 .*card_spend 600",
        ),
        ('"event.amount * 0.02"', '"event.amount * 0.03"', r"1 .*ann .*CASH .*10\.00 .*12\.00"),
    ],
)
def test_a_wrong_expectation_is_found(
    recipe: Command, tenant: Tenant, stack: Stack, tmp_path: Path, right: str, wrong: str, difference: str
) -> None:
    own = one_step(tmp_path, right, wrong)
    done = recipe(str(own), "--run", tenant=tenant)
    assert done.code == 1
    assert re.search(difference, done.output), done.output
    assert "1 differ" in done.output


@pytest.mark.parametrize(
    ("right", "wrong", "message"),
    [
        (
            "amount = 300 }",
            'amount = 300 }, fails = "insufficient_balance"',
            "event step-1-3 of ann: COMPLETED, the recipe expects insuff",
        ),
        ("amount = 300 }", 'amount = "300" }', "expression_error"),
        ("amount = 300 }", "amount = 300 }, status = 404", "POST /v1/events answered 202, not 404"),
        ("[steps.expect.ann]", "[steps.expect.zoe]", "the server has no zoe"),
        ("card_spend", "card spend", "recipe .*own.toml: Expected "),
        ("counters = {", "kounters = {", "step 1 expects kounters of ann"),
        ("order = 100\n", "order = 100\nsort = 1\n", "POST /v1/rules answered 400"),
        ('title = "Cashback card"', 'name = "Cashback card"', "recipe .*own.toml: "),
    ],
)
def test_what_is_wrong_with_a_recipe_is_one_line(
    recipe: Command, tenant: Tenant, tmp_path: Path, right: str, wrong: str, message: str
) -> None:
    done = recipe(str(one_step(tmp_path, right, wrong)), "--run", tenant=tenant)
    assert done.code == 1
    assert re.fullmatch(f"openscrip: .*(?:{message}).*\n", done.errors), done.errors


def one_step(folder: Path, right: str, wrong: str) -> Path:
    """The cashback card up to its first step, with one mistake."""
    text = (FOLDER / "cashback-card.toml").read_text()
    first = "[[steps]]".join(text.split("[[steps]]")[:2])
    assert right in first
    own = folder / "own.toml"
    own.write_text(first.replace(right, wrong))
    return own


def test_two_runs_do_not_meet(recipe: Command, tenant: Tenant) -> None:
    made = [recipe("welcome-bonus", tenant=tenant) for _ in range(2)]
    assert [(done.code, done.errors) for done in made] == [(0, "")] * 2
    programs = tenant.get("/v1/programs", sort_dir="asc")["data"]
    assert [program["name"] for program in programs] == ["Welcome bonus"] * 2
    assert all(program["id"] in done.output for program, done in zip(programs, made, strict=True))
    assert tenant.get("/v1/events")["data"] == []


def test_key_and_address_are_those_of_up(
    recipe: Command, tenant: Tenant, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "demo.key").write_text(f"{tenant.key}\n")
    monkeypatch.setenv("OPENSCRIP_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("OPENSCRIP_API_PORT", str(tenant.http.base_url.port))
    made = recipe("streak")
    assert (made.code, made.errors) == (0, "")
    assert tenant.get("/v1/programs")["data"][0]["id"] in made.output


def test_the_list_names_every_recipe(recipe: Command) -> None:
    for arguments in ((), ("--list",)):
        listed = recipe(*arguments)
        assert listed.code == 0
        assert all(re.search(rf" {name} ", listed.output) for name in recipe_names())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nothing", "--key", "sk_x"), "no recipe nothing: there are .*streak.*"),
        (("streak", "--key", "sk_x", "--url", "http://127.0.0.1:1"), "http://127.0.0.1:1 can't be reached: .*"),
        (("streak", "--url", "http://127.0.0.1:1"), "no API key: give --key or set OPENSCRIP_KEY .*"),
    ],
)
def test_what_the_command_lacks_is_one_line(
    recipe: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    monkeypatch.setenv("OPENSCRIP_DATA_DIR", str(tmp_path))
    done = recipe(*arguments)
    assert done.code == 1
    assert re.fullmatch(f"openscrip: {message}\n", done.errors), done.errors


# ---------------------------------------------------------------------- pages
@pytest.mark.parametrize("name", recipe_names())
def test_the_page_quotes_the_recipe(name: str) -> None:
    for part in recipe_pages.PARTS:
        assert recipe_pages.written(name, part) == recipe_pages.render(name, part), "run: python -m tests.docs.recipe_pages"


@pytest.mark.parametrize("name", recipe_names())
def test_the_last_steps_name_everybody(name: str) -> None:
    """A recipe that forgets somebody proves nothing about him."""
    steps = load_recipe(name).steps
    involved = {event.who for step in steps for event in step.events} | load_recipe(name).groups.keys()
    assert steps[-1].expect.keys() >= involved


def test_the_index_names_every_recipe() -> None:
    index = (FOLDER / "README.md").read_text()
    assert sorted(re.findall(r"^\| \[[^\]]+\]\(([\w-]+)\.md\)", index, re.MULTILINE)) == recipe_names()
