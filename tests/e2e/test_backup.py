"""A backup by pg_dump, restored into an empty Postgres with an empty Temporal: nothing is missing, and what was due goes on."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from db.session import Database
from runtime.cluster import find_binaries
from runtime.embedded import EmbeddedPostgres, EmbeddedTemporal
from services.sealing import backlog
from tests.docs.settings_table import ROOT
from tests.support.client import Tenant, new_tenant
from tests.support.club import Club, make_club
from tests.support.databases import make_database
from tests.support.receiver import Receiver, Reply, is_signed_by, receive
from tests.support.schedules import Diary
from tests.support.shop import Shop
from tests.support.stack import Stack, poll, run_stack

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

# As docs/deployment.md has them; the variables are the shell's there.
DUMP = 'pg_dump --format=custom --file=openscrip.dump "$OLD"'
ROLE = 'psql "$NEW" --command="CREATE ROLE openscrip_app"'
RESTORE = 'pg_restore --exit-on-error --single-transaction --no-owner --dbname="$NEW" openscrip.dump'

# Due after the backup, and before the restored stack runs.
SOON = timedelta(seconds=6)


def shell(command: str, folder: Path, **variables: str) -> None:
    """Run a documented command with the programs of the installed server."""
    assert command in (ROOT / "docs/deployment.md").read_text()
    path = f"{find_binaries(None)}:/usr/bin:/bin"
    ran = subprocess.run(
        ["/bin/sh", "-euc", command], cwd=folder, env={"PATH": path, **variables}, check=False, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr


@pytest.fixture
def hooks() -> Iterator[Receiver]:
    """Fails the first message; the others get through."""
    with receive(Reply(500)) as receiver:
        yield receiver


class Before:
    """What a running stack has under way when its backup is made."""

    def __init__(self, stack: Stack, tenant: Tenant, hooks: Receiver) -> None:
        self.tenant = tenant
        self.club: Club = make_club(self.tenant, stack.database)
        body = {"url": hooks.url, "enabled_events": ["event.completed"]}
        self.secret: str = self.tenant.post("/v1/webhook-endpoints", body, 201)["secret"]
        self.club.ten_per_unit()
        self.club.rule('event.type == "gift"', self.club.credit("7"))
        self.club.completed({"type": "purchase", "amount": 5})
        ann = str(self.club.participant_id("ann"))
        self.shop = Shop(self.tenant)
        self.shop.credit("USD", "100.00")
        self.redeemed = self.shop.redeem("5.00", idempotency_key="voucher-1")
        hooks.wait_for(1)
        soon = (datetime.now(UTC) + SOON).isoformat()
        Diary(self.club).one_time(soon, participant_id=ann, payload={"type": "gift"}, event_name="gift")
        self.shop.hold("USD", "30.00", expires_at=soon, reference_id="table-5")
        assert (self.club.balance("ann"), self.shop.balance("USD")) == ("50", "65.00/30.00/0.00")

    def moved_to(self, stack: Stack) -> None:
        """Look at another stack from now on."""
        self.tenant.http.base_url = stack.base_url
        self.club.database = stack.database


@pytest.fixture
def cleanup() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def test_a_restored_backup_goes_on(postgres: EmbeddedPostgres, hooks: Receiver, cleanup: ExitStack, tmp_path: Path) -> None:
    old = make_database(postgres.dsn, "to_back_up")
    with (
        EmbeddedTemporal(tmp_path / "old", headless=True, in_memory=True) as temporal,
        run_stack(old, temporal, tmp_path / "old-data") as stack,
    ):
        tenant = new_tenant(stack.database, stack.base_url)
        cleanup.callback(tenant.http.close)
        before = Before(stack, tenant, hooks)
    shell(DUMP, tmp_path, OLD=old)
    with (
        EmbeddedPostgres(tmp_path / "fresh", port=0, ephemeral=True) as fresh,
        EmbeddedTemporal(tmp_path / "new", headless=True, in_memory=True) as temporal,
    ):
        shell(ROLE, tmp_path, NEW=fresh.dsn)
        shell(RESTORE, tmp_path, NEW=fresh.dsn)
        with run_stack(fresh.dsn, temporal, tmp_path / "new-data") as stack:
            before.moved_to(stack)
            goes_on(before, stack.database, hooks)


def goes_on(before: Before, database: Database, hooks: Receiver) -> None:
    """What was done is there, what was due is done, what is asked again is answered as before, and the books hold."""
    poll(lambda: before.shop.balance("USD") == "95.00/0.00/0.00", 30)
    poll(lambda: before.club.balance("ann") == "57", 30)
    assert before.shop.redeem("5.00", status=200, idempotency_key="voucher-1") == before.redeemed
    before.club.completed({"type": "purchase", "amount": 1})
    assert before.club.balance("ann") == "67"
    # the failed one again, the gift's and the new one
    received = hooks.wait_for(4, 40)
    assert len({each.headers["webhook-id"] for each in received}) == 3
    assert all(is_signed_by(each, before.secret) for each in received)
    poll(lambda: unsealed(database) == 0, 30)
    assert "everything agrees" in verify(database)
    with database.connection() as conn:
        role = conn.execute("SELECT current_user").fetchone()
    assert role == ("openscrip_app",)


def unsealed(database: Database) -> int:
    with database.session() as session:
        return backlog(session).entries


def verify(database: Database) -> str:
    """What `openscrip verify` says of it, and that it is content."""
    environment = {"PATH": "/usr/bin:/bin", "OPENSCRIP_DATABASE_URL": database.url}
    command = [sys.executable, "-m", "cli", "verify"]
    ran = subprocess.run(command, cwd=ROOT, env=environment, check=False, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout
