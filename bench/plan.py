"""What a process of the bench is told to do and what it tells back, as JSON files; and the events that are sent."""

import json
import random
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from runtime.cluster import write_private

EVENT_TYPE = "purchase"
BATCH = 100
HOLD_SECONDS = 0.005


@dataclass(frozen=True, slots=True)
class Plan:
    """One load: `events` events, `per_request` in a body, over `connections`; `rate` events a second, 0 for all it can.

    At a rate, `is_watched` asks the database all the time which events are posted, and fails when the rate can't be held;
    otherwise what finds all connections busy is sent later.
    """

    host: str
    port: int
    api_key: str
    database_url: str
    program_id: str
    prefix: str
    events: int
    participants: int
    per_request: int
    connections: int
    rate: float = 0.0
    event_type: str = EVENT_TYPE
    is_watched: bool = True


@dataclass(frozen=True, slots=True)
class Report:
    """What came of it; times on the machine's monotonic clock, `answers` and `posted` in seconds."""

    began: float
    ended: float
    cpu_seconds: float
    answers: list[float] = field(default_factory=list)
    posted: list[float] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Purchase:
    """One event; `tenths` is its amount in tenths, so that sums are exact."""

    external_id: str
    key: str
    tenths: int

    def body(self, plan: Plan, moment: str) -> dict[str, object]:
        """The event as the API takes it."""
        return {
            "program_id": plan.program_id,
            "external_id": self.external_id,
            "idempotency_key": self.key,
            "event_timestamp": moment,
            "event_data": {
                "type": plan.event_type,
                "amount": self.tenths / 10,
                "sku": f"SKU-{self.tenths % 97}",
                "store": "main",
            },
        }


def purchases(plan: Plan) -> list[Purchase]:
    """The events of a plan, the same whoever asks: every participant in turn first, then by chance."""
    chance = random.Random(plan.prefix)
    numbers = list(range(plan.participants))
    chance.shuffle(numbers)
    chosen = (numbers + [chance.randrange(plan.participants) for _ in range(plan.events - len(numbers))])[: plan.events]
    return [Purchase(f"member-{who}", f"{plan.prefix}-{n}", chance.randrange(10, 2000)) for n, who in enumerate(chosen)]


def bodies(plan: Plan) -> list[str]:
    """The requests' JSON texts, made before the clock starts."""
    moment = datetime.now(UTC).isoformat()
    events = [json.dumps(purchase.body(plan, moment), separators=(",", ":")) for purchase in purchases(plan)]
    if plan.per_request == 1:
        return events
    return ['{"events":[' + ",".join(group) + "]}" for group in _groups(events, plan.per_request)]


def _groups(events: Sequence[str], size: int) -> list[Sequence[str]]:
    return [events[start : start + size] for start in range(0, len(events), size)]


def hold(report_file: Path) -> None:
    """Say that everything is prepared, and wait for the word to go."""
    ready, go = signs(report_file)
    ready.touch()
    while not go.exists():
        time.sleep(HOLD_SECONDS)


def signs(report_file: Path) -> tuple[Path, Path]:
    """The files that mean `ready` and `go`."""
    return report_file.with_suffix(".ready"), report_file.with_suffix(".go")


def write(file: Path, value: Plan | Report) -> None:
    """Keep a plan, which has a key in it, or a report."""
    write_private(file, json.dumps(asdict(value)))


def read_plan(file: Path) -> Plan:
    """The plan of a file."""
    return Plan(**json.loads(file.read_text()))


def read_report(file: Path) -> Report:
    """The report of a file."""
    return Report(**json.loads(file.read_text()))
