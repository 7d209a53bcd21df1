"""`openscrip verify` and `openscrip export` on a real database, and a third party's verification of an export."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
import typer

from cli import verify
from cli.local import ROOT
from db.session import Database
from domain.errors import NotFound
from runtime.embedded import EmbeddedPostgres
from tests.services.full_books import FullBooks
from tests.support.databases import make_database
from tests.support.sealing import seal_all

OWN = "organization_id = %(organization)s"
LOT = f"{OWN} AND status = 'AVAILABLE'"
# what is changed -> how it is put right again, and what names it
TAMPERED: dict[str, tuple[str, str]] = {
    f"UPDATE postings SET amount = amount {{}} 1 WHERE {OWN} AND bucket = 'HELD'": ("+-", "postings_balanced"),
    f"UPDATE postings SET balance_after = balance_after {{}} 1 WHERE {OWN} AND bucket = 'HELD'": ("+-", "running_balances"),
    f"UPDATE lots SET remaining = remaining {{}} 1 WHERE {LOT}": ("-+", "lots_match"),
    f"UPDATE balances SET held = held {{}} 1 WHERE {OWN} AND held > 0": ("+-", "balances_match"),
    f"UPDATE entry_seals SET sequence_number = sequence_number {{}} 90 WHERE {OWN} AND sequence_number IN (4, 94)": (
        "+-",
        "hash_chain",
    ),
    f"UPDATE holds SET remaining = remaining {{}} 1 WHERE {OWN}": ("-+", "holds_match"),
    f"UPDATE rule_budgets SET consumed = consumed {{}} 1 WHERE {OWN}": ("+-", "budgets_match"),
    f"UPDATE rewards SET redeemed_count = redeemed_count {{}} 1 WHERE {OWN}": ("+-", "stock_matches"),
    f"UPDATE wallets SET available = available {{}} 1 WHERE {OWN}": ("+-", "wallets_match"),
}


@pytest.fixture(scope="module")
def store(postgres: EmbeddedPostgres) -> Iterator[Database]:
    with closing(Database(make_database(postgres.dsn, "verify"), pool_size=8)) as database:
        yield database


@pytest.fixture(scope="module")
def books(store: Database) -> FullBooks:
    made = FullBooks(store)
    seal_all(store)
    return made


@pytest.fixture(autouse=True)
def settings(store: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENSCRIP_DATABASE_URL", store.url)


@contextmanager
def tampered(books: FullBooks, statement: str, order: str) -> Iterator[None]:
    with psycopg.connect(books.database.url, autocommit=True) as owner:
        owner.execute("SET session_replication_role = replica")
        parameters = {"organization": books.organization_id}
        assert owner.execute(statement.format(order[0]), parameters).rowcount > 0
        try:
            yield
        finally:
            owner.execute(statement.format(order[1]), parameters)


def failed(capsys: pytest.CaptureFixture[str]) -> str:
    """What `verify` prints when it finds something."""
    with pytest.raises(typer.Exit) as ended:
        verify.run(None)
    assert ended.value.exit_code == 1
    return capsys.readouterr().out


def cli(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "cli", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )


def verified(*arguments: str) -> subprocess.CompletedProcess[str]:
    """A third party with nothing but Python."""
    script = ROOT / "examples" / "verify_export.py"
    return subprocess.run(
        [sys.executable, "-I", str(script), *arguments], capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize("statement", TAMPERED)
def test_what_is_tampered_with_is_named(books: FullBooks, statement: str, capsys: pytest.CaptureFixture[str]) -> None:
    order, name = TAMPERED[statement]
    with tampered(books, statement, order):
        lines = failed(capsys).splitlines()
    [line] = [number for number, text in enumerate(lines) if text.split()[:2] == ["broken", name]]
    assert lines[line + 1].strip().startswith(f"{name}: ")
    verify.run(None)
    assert "everything agrees: 25 checks, organizations: 1" in capsys.readouterr().out


def test_one_organization(books: FullBooks, capsys: pytest.CaptureFixture[str]) -> None:
    verify.run(books.organization_id)
    assert str(books.organization_id) in capsys.readouterr().out
    with pytest.raises(NotFound):
        verify.run(uuid4())


def test_as_a_process(books: FullBooks) -> None:
    done = cli("verify", "--organization", str(books.organization_id))
    assert (done.returncode, done.stderr) == (0, "")
    assert "ok      hash_chain" in done.stdout


@pytest.fixture(scope="module")
def exported(books: FullBooks, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("export") / "ledger.ndjson"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OPENSCRIP_DATABASE_URL", books.database.url)
        done = cli("export", str(books.organization_id), "--output", str(file))
    assert done.returncode == 0, done.stderr
    return file


class TestExport:
    def test_a_third_party_verifies_it(self, exported: Path, books: FullBooks) -> None:
        lines = [json.loads(line) for line in exported.read_text(encoding="utf-8").splitlines()]
        with books.database.connection() as conn:
            seals = conn.execute(
                "SELECT encode(entry_hash, 'hex') FROM entry_seals WHERE organization_id = %s ORDER BY sequence_number",
                [books.organization_id],
            ).fetchall()
        assert [line["entry_hash"] for line in lines] == [row[0] for row in seals]
        done = verified(str(exported), lines[-1]["entry_hash"])
        assert (done.returncode, done.stdout.split()[0]) == (0, str(len(lines)))

    @pytest.mark.parametrize(
        ("change", "verdict"),
        [
            (lambda text: text.replace('"amount":"60.00"', '"amount":"61.00"', 1), "was changed"),
            (lambda text: text.replace('"test"', '"Test"', 1), "was changed"),
            (
                lambda text: "".join(text.splitlines(keepends=True)[:3] + text.splitlines(keepends=True)[4:]),
                "entry 4 doesn't follow",
            ),
            (lambda text: "".join(text.splitlines(keepends=True)[:-1]), "the chain ends with"),
        ],
        ids=["an amount", "a text", "a line left out", "the end cut off"],
    )
    def test_what_was_changed_is_found(self, exported: Path, tmp_path: Path, change, verdict: str) -> None:
        text = exported.read_text(encoding="utf-8")
        copy = tmp_path / "copy.ndjson"
        copy.write_text(change(text), encoding="utf-8")
        assert change(text) != text
        done = verified(str(copy), json.loads(text.splitlines()[-1])["entry_hash"])
        assert done.returncode == 1
        assert verdict in done.stderr

    def test_an_unknown_organization(self) -> None:
        done = cli("export", str(uuid4()))
        assert done.returncode == 1
        assert "organization" in done.stderr
