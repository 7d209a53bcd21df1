"""Every command and statement of the runbook, in its order, against a running stack that has something of each kind."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from uuid import UUID

import httpx
import pytest
from temporalio.client import WorkflowExecutionStatus

from runtime.embedded import EmbeddedPostgres, EmbeddedTemporal
from services import organizations
from tests.docs.test_docs import FENCE, read
from tests.support.client import Tenant, new_tenant
from tests.support.club import make_club
from tests.support.databases import make_database
from tests.support.schedules import Diary
from tests.support.stack import SECRET_KEY, Stack, poll, run_stack

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

PREAMBLE = f'openscrip() {{ "{sys.executable}" -m cli "$@"; }}\n'
STEPS = [(kind, body) for kind, body in FENCE.findall(read("docs/runbook.md")) if kind in ("sh", "sql")]


class Patient:
    """A stack with an event that failed, lanes, an automation, an endpoint, and two keys."""

    def __init__(self, stack: Stack, tenant: Tenant, temporal: EmbeddedTemporal) -> None:
        self.stack = stack
        self.temporal = temporal
        self.tenant = tenant
        self.club = make_club(self.tenant, stack.database)
        self.club.rule('event.type == "spend"', self.club.debit("1000"))
        self.failed: str = self.club.failed({"type": "spend"}, "insufficient_balance")["id"]
        people = [self.club.send({"type": "visit"}, f"person-{number}")["id"] for number in range(60)]
        for event_id in people:
            self.club.processed(event_id)
        self.automation = Diary(self.club).cron("0 0 1 1 *")
        hook = {"url": "https://1.1.1.1/hooks", "enabled_events": ["event.failed"]}
        self.endpoint: str = self.tenant.post("/v1/webhook-endpoints", hook, 201)["id"]
        with stack.database.session() as session:
            found, self.leaked = organizations.create_api_key(session, self.tenant.organization_id, "leaked")
            self.leaked_id: UUID = found.id

    def run(self, command: str) -> str:
        """Run a fence of the shell; its output."""
        filled = command.replace("ORGANIZATION", str(self.tenant.organization_id)).replace(
            "revoke KEY", f"revoke {self.leaked_id}"
        )
        base = httpx.URL(self.stack.base_url)
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("OPENSCRIP_")},
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "TEMPORAL_ADDRESS": self.temporal.address,
            "OPENSCRIP_DATABASE_URL": self.stack.database.url,
            "OPENSCRIP_TEMPORAL_ADDRESS": self.temporal.address,
            "OPENSCRIP_API_PORT": str(base.port),
            "OPENSCRIP_DATA_DIR": str(self.stack.settings.data_dir),
            "OPENSCRIP_SECRET_KEY": SECRET_KEY.get_secret_value(),
            "URL": self.stack.base_url,
            "KEY": self.tenant.key,
            "EVENT": self.failed,
            "PROGRAM": self.club.program_id,
            "ENDPOINT": self.endpoint,
        }
        done = subprocess.run(
            ["/bin/bash", "-euo", "pipefail", "-c", PREAMBLE + filled],
            env=environment,
            check=False,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, f"{filled}\n{done.stdout}\n{done.stderr}"
        assert '"error"' not in done.stdout
        return done.stdout

    def is_running(self, workflow_id: str) -> bool:
        handle = self.stack.client.get_workflow_handle(workflow_id)
        return self.stack.loop.run(handle.describe()).status is WorkflowExecutionStatus.RUNNING

    def ask(self, statement: str) -> list[tuple[object, ...]]:
        with self.stack.database.connection() as conn:
            return conn.execute(statement.replace("'KEY'", f"'{self.leaked_id}'").replace("%", "%%")).fetchall()


@contextmanager
def closing_tenant(stack: Stack) -> Iterator[Tenant]:
    tenant = new_tenant(stack.database, stack.base_url)
    with closing(tenant.http):
        yield tenant


@pytest.fixture(scope="module")
def patient(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Patient]:
    folder = tmp_path_factory.mktemp("patient")
    url = make_database(postgres.dsn, "patient")
    with (
        EmbeddedTemporal(folder / "temporal", headless=True, in_memory=True) as temporal,
        run_stack(url, temporal, folder) as stack,
        closing_tenant(stack) as tenant,
    ):
        yield Patient(stack, tenant, temporal)


@pytest.mark.parametrize(("kind", "step"), STEPS, ids=[f"{number}-{body.split()[0]}" for number, (_, body) in enumerate(STEPS)])
def test_every_step_can_be_done(patient: Patient, kind: str, step: str) -> None:
    assert patient.run(step) is not None if kind == "sh" else patient.ask(step) is not None


def test_what_the_steps_did(patient: Patient) -> None:
    refused = httpx.get(f"{patient.stack.base_url}/v1/programs", headers={"Authorization": f"Bearer {patient.leaked}"})
    assert refused.status_code == httpx.codes.UNAUTHORIZED
    poll(lambda: patient.is_running(f"automation/{patient.automation['id']}"), 60)
    poll(lambda: patient.is_running("due-work/lots"), 60)
    assert patient.club.processed(patient.failed)["status"] == "FAILED"
    patient.club.completed({"type": "visit"}, "person-1")
