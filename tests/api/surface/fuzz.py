"""schemathesis over the whole API of a running product, against an organization that has something of everything."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.api.surface.calls import calls_of
from tests.api.surface.operations import Operation, field_of, leaves, operations
from tests.api.surface.world import World

# of ten ids, so many are there; the rest are made up
KNOWN = 0.9
# a request may wait this long for Temporal
TIMEOUT_SECONDS = 30
# who may be refused whatever the form is right: states, balances, names that are taken, rules between fields
REFUSED = ["2xx", "400", "404", "409", "422"]
# it says how the machine does, which is busy
READINESS = "GET /readyz"
# what DELETE puts away or back can still be read, with all below it
KEPT = (
    "/v1/groups/{id}",
    "/v1/participants/{id}/state/tiers/{key}",
    "/v1/programs/{programId}/automations/{automationId}",
    "/v1/webhook-endpoints/{id}",
)
# what ends a thing for good is sent at one that nothing else needs: the rest would only be refused from then on
ENDS = {
    "PATCH /v1/programs/{id}": {"path.id": "second_program"},
    "PATCH /v1/participants/{id}/status": {"path.id": "third"},
    "PATCH /v1/participants/{id}/enrollments/{programId}": {"path.id": "third"},
    "DELETE /v1/groups/{id}": {"path.id": "spare_group"},
    "DELETE /v1/webhook-endpoints/{id}": {"path.id": "spare_endpoint"},
    "POST /v1/programs/{programId}/tiers/{key}/archive": {"path.key": "key_spare"},
}
# how long a walk along the links is; those that schemathesis would guess by names mostly lead nowhere
STEPS = 30
# what isn't as described may be accepted here: items of a batch are checked one by one, bodies that no operation reads are ignored
LENIENT = {"POST /v1/events/batch"}


def is_long() -> bool:
    """Whether the long run is switched on."""
    return "OPENSCRIP_FUZZ" in os.environ


@dataclass(frozen=True)
class Plan:
    """How much is tried."""

    seed: int
    examples: int
    phases: Sequence[str] = ("examples", "coverage", "fuzzing", "stateful")
    paths: str = ".*"
    max_seconds: int | None = None
    workers: int = 1

    @classmethod
    def of_environment(cls, seed: int) -> "Plan":
        """What `OPENSCRIP_FUZZ_SEED`, `_EXAMPLES`, `_PHASES` (comma-separated), `_PATHS` (a regular expression) say."""
        get = os.environ.get
        return cls(
            seed=int(get("OPENSCRIP_FUZZ_SEED") or seed),
            examples=int(get("OPENSCRIP_FUZZ_EXAMPLES") or 1000),
            phases=(get("OPENSCRIP_FUZZ_PHASES") or ",".join(cls.phases)).split(","),
            paths=get("OPENSCRIP_FUZZ_PATHS") or cls.paths,
        )


@dataclass(frozen=True)
class Outcome:
    """What schemathesis said, and what it did."""

    status: int
    text: str
    report: Mapping[str, Any]

    def summary(self) -> str:
        """Operations, test cases, failures of each kind, in one line."""
        if not self.report:
            return "no report"
        tested, cases = self.report["operations"]["tested"], self.report["test_cases"]
        failures = {each["title"]: each["count"] for each in self.report["failures"]}
        return f"{tested} operations, {cases['generated']} test cases, {cases['with_failures']} failed {failures or ''}".strip()


def make_spares(world: World, hook_url: str) -> None:
    """What there is to end."""
    members = [{"participant_id": world["second"], "role": "ADMIN"}]
    world.make("spare_group", "/v1/groups", {"name": "Spare", "members": members})
    world.make("spare_endpoint", "/v1/webhook-endpoints", {"url": hook_url, "enabled_events": ["balance.expiring"]})
    tiers = f"/v1/programs/{world['program']}/tiers"
    world.tenant.post(tiers, {"key": "spare", "levels": [{"key": "only", "rank": 1}]}, 201)


def run(world: World, document: Mapping[str, Any], folder: Path, plan: Plan) -> Outcome:
    """Run it in a process of its own; what it needs and reports is in `folder`."""
    config, schema, report = folder / "schemathesis.toml", folder / "openapi.json", folder / "report.json"
    schema.write_text(json.dumps(document), encoding="utf-8")
    config.write_text("\n".join(_config(world)), encoding="utf-8")
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(config), "run", str(schema)]
    command += ["--url", str(world.tenant.http.base_url), "--seed", str(plan.seed), "--max-examples", str(plan.examples)]
    command += ["--phases", ",".join(plan.phases), "--workers", str(plan.workers), "--include-path-regex", plan.paths]
    command += ["--exclude-path", "/v1/test-clock", "--request-timeout", str(TIMEOUT_SECONDS), "--continue-on-failure"]
    command += ["--report", "json", "--report-json-path", str(report), "--no-color"]
    if plan.max_seconds is not None:
        command += ["--max-time", str(plan.max_seconds)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    return Outcome(done.returncode, done.stdout + done.stderr, json.loads(report.read_text()) if report.exists() else {})


def _config(world: World) -> Iterator[str]:
    """The settings, in TOML: whose key, which checks, and which ids are there for which operation."""
    yield f'headers = {{ Authorization = "Bearer {world.tenant.key}" }}'
    yield "[generation]"
    yield "allow-x00 = true"
    for name, id_ in world.ids.items():
        yield f'[dictionaries."{_plain(name)}"]\nvalues = ["{id_}"]'
    for name in ("points", "vip", "city", "tier", "spare"):
        yield f'[dictionaries."key_{name}"]\nvalues = ["{name}"]'
    yield f'[[operations]]\ninclude-name = "{READINESS}"'
    yield f"checks.positive_data_acceptance.expected-statuses = {json.dumps([*REFUSED, '503'])}"
    yield 'checks.not_a_server_error.expected-statuses = ["2xx", "3xx", "4xx", "503"]'
    yield "[phases.stateful]"
    yield f"max-steps = {STEPS}"
    yield "inference.algorithms = []"
    yield "[checks]"
    yield f"positive_data_acceptance.expected-statuses = {json.dumps(REFUSED)}"
    for operation in operations():
        yield from _settings(operation, world)


def _settings(operation: Operation, world: World) -> Iterator[str]:
    settings = [
        f'parameters."{place}" = {{ dictionary = "{name}", probability = {KNOWN} }}' for place, name in _bound(operation, world)
    ]
    if operation.name in LENIENT:
        settings.append("checks.negative_data_rejection.enabled = false")
    if operation.path.startswith(KEPT):
        settings.append("checks.use_after_free.enabled = false")
    if settings:
        yield from ("[[operations]]", f'include-name = "{operation.name}"', *settings)


def _bound(operation: Operation, world: World) -> Iterable[tuple[str, str]]:
    """The places of an operation that take an id or a key, and whose."""
    names = {id_: _plain(name) for name, id_ in world.ids.items()}
    bound: dict[str, str] = {}
    for call in calls_of(operation, world):
        bound |= {f"path.{name}": names.get(value, f"key_{value}") for name, value in call.path.items()}
        bound |= {f"query.{name}": names[value] for name, value in call.query.items() if value in names}
        fields = operation.id_fields()
        bound |= {
            "body." + field_of(path).replace("[]", "[*]"): names[str(value)]
            for path, value in leaves(call.body)
            if field_of(path) in fields
        }
    return (bound | ENDS.get(operation.name, {})).items()


def _plain(name: str) -> str:
    return re.sub(r"[^a-z_]", "_", name)
