"""What the documentation says holds: files and links exist, settings, routes and metrics are the code's, examples of CEL are true."""

import json
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import REGISTRY

from api.routes import ROUTERS
from domain.cel import CompileError, EvaluationError, compile_value
from tests.docs import error_table, message_tables, settings_table

ROOT = settings_table.ROOT
DOCUMENTS = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")])
NAMES = [str(file.relative_to(ROOT)) for file in DOCUMENTS]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
CODE = re.compile(r"`([^`\n]+)`")
FILE = re.compile(r"[\w.-]*\w(/[\w.-]+)*/?")
KINDS = (".py", ".sql", ".md", ".csv", ".yml", ".toml", ".lock")
# Folders of people and of workplaces have no place in a document that is read elsewhere.
ABSOLUTE = re.compile(r"(?<![\w.:/}])/(home|root|Users|work|tmp|mnt|opt|srv)/")
ROUTE = re.compile(r"(?:(GET|POST|PUT|PATCH|DELETE) )?(/v1/[^\s`\"')|?,;]+)")


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def written_by_hand(name: str) -> str:
    """Without the table of settings, whose texts are the code's."""
    return read(name).replace(settings_table.written(), "") if name == "README.md" else read(name)


def prose(text: str) -> str:
    return FENCE.sub("", text)


def anchors(file: Path) -> set[str]:
    titles = re.findall(r"^#+ (.+)$", prose(file.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("name", NAMES)
def test_relative_links_resolve(name: str) -> None:
    for target in LINK.findall(prose(read(name))):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        file = (ROOT / name).parent / path if path else ROOT / name
        assert file.exists(), target
        if anchor:
            assert anchor in anchors(file), target


@pytest.mark.parametrize("name", NAMES)
def test_named_files_exist(name: str) -> None:
    for span in CODE.findall(prose(read(name))):
        looks_like_one = span.endswith((*KINDS, "/")) or span in {"Makefile", "Dockerfile", "LICENSE"}
        if looks_like_one and FILE.fullmatch(span) and not span.startswith(".data"):
            assert (ROOT / span).exists(), span


@pytest.mark.parametrize("name", NAMES)
def test_no_folder_of_somebodys_machine_is_named(name: str) -> None:
    assert ABSOLUTE.findall(read(name)) == []


def routes() -> dict[tuple[str, ...], set[str]]:
    found: dict[tuple[str, ...], set[str]] = {}
    for router in ROUTERS:
        for route in router.routes:
            segments = tuple("*" if part.startswith("{") else part for part in route.path.split("/")[1:])
            found.setdefault(segments, set()).update(route.methods)
    return found


@pytest.mark.parametrize("name", [name for name in NAMES if "contributing" not in name])
def test_named_routes_exist(name: str) -> None:
    known = routes()
    for method, path in ROUTE.findall(written_by_hand(name)):
        wanted = path.rstrip(".").split("/")[1:]
        methods = [
            known[segments]
            for segments in known
            if len(segments) == len(wanted)
            and all(part in ("*", asked) or asked.startswith(("$", "{")) for part, asked in zip(segments, wanted, strict=True))
        ]
        assert methods, path
        assert not method or any(method in found for found in methods), f"{method} {path}"


def test_the_table_of_settings_is_current() -> None:
    assert settings_table.written() == settings_table.render(), "run: python -m tests.docs.settings_table"


@pytest.mark.parametrize("part", message_tables.PARTS)
def test_the_tables_of_messages_are_current(part: str) -> None:
    assert message_tables.written(part) == message_tables.render(part), "run: python -m tests.docs.message_tables"


def test_the_table_of_errors_is_current() -> None:
    assert error_table.written() == error_table.render(), "run: python -m tests.docs.error_table"


def test_every_metric_is_documented() -> None:
    exported = {metric.name for metric in REGISTRY.collect() if metric.name.startswith("openscrip_")}
    documented = {
        re.sub("_total$", "", name) for name in CODE.findall(read("docs/operations.md")) if re.fullmatch(r"openscrip_\w+", name)
    }
    assert documented - {"openscrip_owner", "openscrip_app", "openscrip_now"} == exported


METRIC_ROW = re.compile(r"^\| `(openscrip_\w+)` \| (\w+) \| ([\w, ]*)\|", re.MULTILINE)


def test_metrics_have_the_documented_kinds_and_labels() -> None:
    rows = {name: (kind, labels.strip()) for name, kind, labels in METRIC_ROW.findall(read("docs/operations.md"))}
    found = {}
    for collector in {id(each): each for each in REGISTRY._names_to_collectors.values()}.values():
        for metric in collector.describe() if hasattr(collector, "describe") else ():
            if metric.name.startswith("openscrip_"):
                name = f"{metric.name}_total" if metric.type == "counter" else metric.name
                found[name] = (metric.type, ", ".join(collector._labelnames))
    assert rows == found


def test_the_test_command_is_what_continuous_integration_runs() -> None:
    [command] = re.findall(r"^exec (.+)$", read(".ci/run"), re.MULTILINE)
    section = read("README.md").partition("## Run the tests")[2].partition("\n## ")[0]
    assert FENCE.findall(section)[0][1].split("#")[0].strip() == command


# ----------------------------------------------------------------------- CEL
def sample() -> Mapping[str, Any]:
    [source] = [body for kind, body in FENCE.findall(read("docs/cel.md")) if kind == "json"]
    found: dict[str, Any] = json.loads(source, parse_float=Decimal, parse_int=Decimal)
    found["now"] = datetime.fromisoformat(found["now"])
    found["participant"]["created_at"] = datetime.fromisoformat(found["participant"]["created_at"])
    return found


def examples() -> Iterator[tuple[str, str]]:
    for name in NAMES:
        for kind, body in FENCE.findall(read(name)):
            if kind == "cel":
                for line in filter(None, body.splitlines()):
                    expression, _, result = line.rpartition("//")
                    yield expression.strip(), result.strip()


@pytest.mark.parametrize(("expression", "result"), list(examples()))
def test_examples_of_cel_hold(expression: str, result: str) -> None:
    if result == "doesn't compile":
        with pytest.raises(CompileError):
            compile_value(expression)
    elif result.startswith("error"):
        with pytest.raises(EvaluationError) as raised:
            compile_value(expression).evaluate(sample())
        assert raised.value.message.startswith(result.removeprefix("error").removeprefix(": "))
    else:
        value, expected = compile_value(expression).evaluate(sample()), compile_value(result).evaluate({})
        assert (type(value), value) == (type(expected), expected)
