"""A file of purchases through real processes: every cent is where an independent calculation says."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from db.session import Database
from examples.expected import expected
from runtime.embedded import EmbeddedPostgres
from runtime.processes import wait_until
from tests.cli.stack import FIRST_START_SECONDS, ROOT, Stack
from tests.e2e.totals import assert_sound, entries, paid
from tests.runtime.folders import passable_folder

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("up"), pytest.mark.timeout(240)]

PURCHASES = ROOT / "examples" / "purchases.csv"
SAMPLE = ROOT.parent / "shared" / "data" / "cdnow_sample.csv"
# events, credited, cashback, participants with a balance, big spenders
KNOWN = {
    "purchases": (700, "2925.22", "2075.22", 170, 141),
    "cdnow_sample": (6919, "19063.42", "7318.42", 2349, 615),
}
TOTALS = ("events", "credited", "cashback", "participants_with_balance", "big_spenders")
missing = pytest.mark.skipif(not SAMPLE.is_file(), reason="the sample of real purchases isn't here")
FILES = [pytest.param(PURCHASES, id="example"), pytest.param(SAMPLE, id="cdnow", marks=missing)]


@dataclass(frozen=True)
class Running:
    """A fresh `openscrip up` and its database."""

    url: str
    key: str
    database: Database

    def load(self, file: Path) -> subprocess.CompletedProcess[str]:
        """Run the loader as a user does."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("OPENSCRIP_")}
        return subprocess.run(
            [sys.executable, "-m", "cli", "load", str(file), "--url", self.url],
            cwd=ROOT,
            env=environment | {"OPENSCRIP_KEY": self.key},
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )


@pytest.fixture
def running() -> Iterator[Running]:
    """Real processes on free ports, with two workers and no demonstration data."""
    with passable_folder() as folder:
        stack = Stack(folder / "data")
        try:
            process = stack.start(OPENSCRIP_DEMO="0", OPENSCRIP_WORKER_PROCESSES="2", OPENSCRIP_RATE_LIMIT="off")
            wait_until(lambda: stack.is_ready() or process.poll() is not None, FIRST_START_SECONDS, 0.05)
            assert stack.is_ready(), stack.output
            server = EmbeddedPostgres(stack.data_dir, port=stack.ports["postgres"])
            assert server.load_password()
            with closing(Database(server.dsn, pool_size=2)) as database:
                yield Running(stack.fact("API"), (stack.data_dir / "demo.key").read_text().strip(), database)
        finally:
            stack.close()


@pytest.mark.parametrize("file", FILES)
def test_a_file_of_purchases(running: Running, file: Path) -> None:
    first = running.load(file)
    assert first.returncode == 0, first.stdout + first.stderr
    wanted = expected(str(file))
    assert tuple(wanted[name] for name in TOTALS) == KNOWN[file.stem]
    assert paid(running.database) == wanted
    assert_sound(running.database)
    written = entries(running.database)
    again = running.load(file)
    assert again.returncode == 0, again.stdout + again.stderr
    assert (paid(running.database), entries(running.database)) == (wanted, written)
    assert_sound(running.database)
    if file == SAMPLE:
        assert paid(running.database)["cashback_by_customer"]["19339"] == "196.60"
