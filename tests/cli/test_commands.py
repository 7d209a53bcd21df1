"""The commands of an operator, against a migrated database."""

import logging
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import structlog

from cli.main import main
from runtime.settings import settings_table

UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
UNKNOWN = "01890000-0000-7000-8000-000000000000"

Command = Callable[..., "Outcome"]


@dataclass(frozen=True)
class Outcome:
    """What a command printed, and how it ended."""

    code: int
    output: str
    errors: str

    def fact(self, name: str) -> str:
        match = re.search(rf"^{name}\s+(\S+)$", self.output, re.MULTILINE)
        assert match is not None, self.output + self.errors
        return match[1]


@pytest.fixture
def openscrip(database_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Command]:
    """Run `openscrip` with the test's database, and further settings."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    for row in settings_table():
        monkeypatch.delenv(row.variable, raising=False)
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments: str, **settings: str) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["openscrip", *arguments])
        with monkeypatch.context() as environment, pytest.raises(SystemExit) as ended:
            for name, value in ({"OPENSCRIP_DATABASE_URL": database_url} | settings).items():
                environment.setenv(name, value)
            main()
        printed = capsys.readouterr()
        return Outcome(int(ended.value.code or 0), printed.out, printed.err)

    yield run
    root.handlers, root.level = handlers, level
    logging.captureWarnings(capture=False)
    structlog.reset_defaults()


def status_with(base_url: str, key: str) -> int:
    headers = {"Authorization": f"Bearer {key}"}
    return httpx.get(f"{base_url}/v1/programs", headers=headers, trust_env=False).status_code


def organizations(openscrip: Command) -> int:
    """How many rows the list has; a line that something else logs meanwhile is none."""
    return len(re.findall(rf"^│ {UUID}", openscrip("org", "list").output, re.MULTILINE))


class TestOrganizations:
    def test_are_created_with_a_key_that_works(self, openscrip: Command, base_url: str) -> None:
        created = openscrip("org", "create", "Corner shop")
        assert created.code == 0
        assert re.fullmatch(UUID, created.fact("organization"))
        assert status_with(base_url, created.fact("api key")) == 200
        assert re.search(rf"{created.fact('organization')} .* Corner shop .* ACTIVE", openscrip("org", "list").output)

    def test_are_suspended_and_resumed(self, openscrip: Command, base_url: str) -> None:
        created = openscrip("org", "create", "Closing shop")
        organization, key = created.fact("organization"), created.fact("api key")
        assert openscrip("org", "suspend", organization).fact("status") == "SUSPENDED"
        assert status_with(base_url, key) == 403
        assert openscrip("org", "resume", organization).fact("status") == "ACTIVE"
        assert re.search(rf"{organization} .* ACTIVE", openscrip("org", "list").output)

    def test_unknown_one_is_one_line_and_exit_code_1(self, openscrip: Command) -> None:
        for command in (("org", "suspend"), ("key", "create"), ("key", "list"), ("key", "revoke")):
            refused = openscrip(*command, UNKNOWN)
            assert refused.code == 1
            assert re.fullmatch(r"openscrip: not_found: No such \w+\n", refused.errors)


class TestKeys:
    def test_are_created_listed_and_revoked(self, openscrip: Command, base_url: str) -> None:
        organization = openscrip("org", "create", "Key shop").fact("organization")
        created = openscrip("key", "create", organization, "--name", "till 7")
        record, secret = created.fact("id"), created.fact("api key")
        listed = openscrip("key", "list", organization).output
        assert re.search(rf"{record} .* till 7", listed)
        assert secret not in listed
        assert openscrip("key", "revoke", record).code == 0
        assert status_with(base_url, secret) == 401
        assert re.search(rf"{record} .* till 7 .* 20\d\d-\d\d-\d\d .* 20\d\d-", openscrip("key", "list", organization).output)


class TestMigrate:
    def test_is_repeatable_and_creates_the_bootstrap_organization_once(self, openscrip: Command, base_url: str) -> None:
        key = "sk_bootstrap_of_the_command_line"
        before = organizations(openscrip)
        for _ in range(2):
            assert openscrip("migrate", OPENSCRIP_BOOTSTRAP_API_KEY=key).code == 0
        assert organizations(openscrip) == before + 1
        assert status_with(base_url, key) == 200

    def test_says_what_is_missing(self, openscrip: Command, tmp_path: Path) -> None:
        refused = openscrip("migrate", OPENSCRIP_DATABASE_URL="", OPENSCRIP_DATA_DIR=str(tmp_path))
        assert (refused.code, refused.errors) == (1, "openscrip: OPENSCRIP_DATABASE_URL must be set\n")


class TestDoctor:
    def test_finds_a_sound_database_and_names_what_is_broken(self, openscrip: Command) -> None:
        found = openscrip("doctor", OPENSCRIP_TEMPORAL_ADDRESS="127.0.0.1:1", OPENSCRIP_API_PORT="1")
        assert found.code == 1
        assert re.search(r"database .* ok .* Postgres 18", found.output)
        assert re.search(r"schema .* ok .* current", found.output)
        assert re.search(r"temporal .* broken .* 127\.0\.0\.1:1, namespace default", found.output)
        assert len(re.findall("broken", found.output)) == 1

    def test_names_an_unreachable_database(self, openscrip: Command) -> None:
        found = openscrip("doctor", OPENSCRIP_DATABASE_URL="postgresql://nobody@127.0.0.1:1/none")
        assert found.code == 1
        assert re.search(r"database .* broken .* check OPENSCRIP_DATABASE_URL", found.output)

    def test_notes_lanes_that_have_no_effect(self, openscrip: Command) -> None:
        assert re.search("lanes .* note .* 8, fixed", openscrip("doctor", OPENSCRIP_LANES="4").output)

    def test_names_a_wrong_setting(self, openscrip: Command) -> None:
        found = openscrip("doctor", OPENSCRIP_LANES="many")
        assert found.code == 1
        assert "OPENSCRIP_LANES" in found.output

    def test_prints_all_settings(self, openscrip: Command) -> None:
        table = openscrip("doctor", "--settings").output
        assert all(row.variable in table for row in settings_table())


def test_a_database_that_is_away_is_one_line(openscrip: Command) -> None:
    refused = openscrip("org", "list", OPENSCRIP_DATABASE_URL="postgresql://nobody@127.0.0.1:1/none")
    assert refused.code == 1
    assert re.fullmatch("openscrip: database: .*refused.*\n", refused.errors)
