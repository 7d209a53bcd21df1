"""A recipe's program on a running server, made and tried through the public API alone."""

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import httpx

from cli.recipe_file import CallLine, EventLine, Recipe
from domain.durations import parse_duration
from domain.event_data import encode_event_data
from domain.timestamps import format_timestamp, parse_timestamp
from runtime.processes import ServiceError

PROCESSING_SECONDS = 20.0
POLL_SECONDS = 0.02
PROGRAM = "program"
JSON = {"Content-Type": "application/json"}
BUCKETS = ("available", "held", "deferred")

_NAME = re.compile(r"\$\{([^}]*)\}")

Json = dict[str, Any]


@dataclass(slots=True)
class Server:
    """One run: everything it makes carries `suffix`, because people, symbols and groups belong to the organization."""

    http: httpx.Client
    recipe: Recipe
    program_id: str = ""
    ids: dict[str, str] = field(default_factory=dict)

    @property
    def suffix(self) -> str:
        """What tells this run's people and symbols from those of other runs."""
        return self.program_id[-8:]

    # --------------------------------------------------------------- making
    def create(self) -> None:
        """Make program, assets, people, groups and rules."""
        recipe = self.recipe
        self.program_id = self.call("POST", "/v1/programs", {"name": recipe.title, **recipe.program}, 201)["id"]
        for symbol, asset in recipe.assets.items():
            self._create_asset(symbol, dict(asset))
        for name, person in recipe.people.items():
            made = self.call("POST", "/v1/participants", {"external_id": self.named(name), **self.filled(person)}, 201)
            self.ids[name] = made["id"]
        for name, group in recipe.groups.items():
            self._create_group(name, group)
        for rule in recipe.rules:
            made = self.call("POST", "/v1/rules", {"program_id": self.program_id, **self.filled(rule)}, 201)
            self.ids[rule["name"]] = made["id"]

    def _create_asset(self, symbol: str, asset: Json) -> None:
        fund = asset.pop("fund", None)
        body = {"program_id": self.program_id, "symbol": self.named(symbol), **asset}
        self.ids[symbol] = self.call("POST", "/v1/assets", body, 201)["id"]
        if fund is not None:
            path = f"/v1/programs/{self.program_id}/assets/{self.ids[symbol]}/fund"
            self.call("POST", path, {"amount": fund, "description": f"Budget of {self.recipe.title}"})

    def _create_group(self, name: str, group: Mapping[str, Any]) -> None:
        members = [{"participant_id": self.id_of(person), "role": role} for person, role in group["members"].items()]
        body = {"name": group["name"], "members": members}
        self.ids[name] = self.call("POST", "/v1/groups", body, 201)["id"]
        for tag in group.get("tags", ()):
            self.call("PUT", f"/v1/groups/{self.ids[name]}/state/tags/{tag}", None, 201)

    # --------------------------------------------------------------- naming
    def named(self, name: str) -> str:
        """The name of a person or symbol in this run."""
        return f"{name}_{self.suffix}"

    def id_of(self, name: str) -> str:
        """The server's id of a person, group, asset or of the program. ServiceError when there is none."""
        if name == PROGRAM:
            return self.program_id
        if name not in self.ids:
            found = self.call("GET", f"/v1/participants?external_id={self.named(name)}")["data"]
            if not found:
                raise ServiceError(f"recipe {self.recipe.name}: the server has no {name}")
            self.ids[name] = found[0]["id"]
        return self.ids[name]

    def filled(self, value: Any) -> Any:
        """A value with `${name}` and `${name.id}` put in, and with the ids of the assets that `asset_id` names."""
        if isinstance(value, str):
            return _NAME.sub(lambda match: self._meaning(match[1]), value)
        if isinstance(value, Mapping):
            return {
                key: self.id_of(item) if key == "asset_id" and item in self.recipe.assets else self.filled(item)
                for key, item in value.items()
            }
        if isinstance(value, Sequence):
            return [self.filled(item) for item in value]
        return format_timestamp(value) if isinstance(value, datetime) else value

    def _meaning(self, name: str) -> str:
        whose, _, part = name.partition(".")
        if name == "today":
            return f"{self.now():%m-%d}"
        return self.id_of(whose) if part == "id" else self.named(whose)

    # -------------------------------------------------------------- talking
    def call(self, method: str, path: str, body: Mapping[str, Any] | None = None, status: int = 200) -> Json:
        """The answer of a request; ServiceError with what came instead when the status is another."""
        answer = self.send(method, path, body)
        if answer.status_code != status:
            text = " ".join(answer.text.split())[:500]
            raise ServiceError(f"{method} {path} answered {answer.status_code}, not {status}: {text}")
        found: Json = answer.json() if answer.content else {}
        return found

    def send(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> httpx.Response:
        """One request; ServiceError when the server can't be reached."""
        content = None if body is None else str(encode_event_data(body)).encode()
        try:
            return self.http.request(method, path, content=content, headers=JSON if body is not None else None)
        except httpx.TransportError as error:
            raise ServiceError(f"{self.http.base_url} can't be reached: {error or type(error).__name__}") from error

    def make_call(self, line: CallLine) -> None:
        """Make a request of the recipe."""
        self.call(line.method, self.filled(line.path), self.filled(line.body), line.status)

    # --------------------------------------------------------------- events
    def run_event(self, line: EventLine, key: str) -> None:
        """Send an event and wait until it is processed. ServiceError when it ends otherwise than the recipe says."""
        body = {
            "program_id": self.program_id,
            "external_id": self.named(line.who),
            "idempotency_key": line.key or key,
            "event_timestamp": format_timestamp(line.at),
            "event_data": self.filled(line.data),
        }
        if line.recipient is not None:
            body["recipient_external_id"] = self.named(line.recipient)
        accepted = self.call("POST", "/v1/events", body, line.status)
        if line.status == httpx.codes.ACCEPTED:
            ended = self._processed(accepted["id"])
            if ended["error_code"] != line.fails:
                raise ServiceError(
                    f"event {body['idempotency_key']} of {line.who}: {ended['error_message'] or 'COMPLETED'}, "
                    f"the recipe expects {line.fails or 'COMPLETED'}"
                )

    def _processed(self, event_id: str) -> Json:
        deadline = time.monotonic() + PROCESSING_SECONDS
        while time.monotonic() < deadline:
            event = self.call("GET", f"/v1/events/{event_id}")
            if event["status"] in ("COMPLETED", "FAILED"):
                return event
            time.sleep(POLL_SECONDS)
        raise ServiceError(f"no worker processed event {event_id} in {PROCESSING_SECONDS:.0f} s")

    # ----------------------------------------------------------------- time
    def has_clock(self) -> bool:
        """Whether the server's clock may be moved."""
        return self.send("GET", "/v1/test-clock").status_code == httpx.codes.OK

    def now(self) -> datetime:
        """The server's time, as far as it tells."""
        answer = self.send("GET", "/v1/test-clock")
        return parse_timestamp(answer.json()["now"]) if answer.is_success else datetime.now(UTC)

    def move_clock(self, duration: str) -> None:
        """Move the server's clock forward."""
        self.call("POST", "/v1/test-clock", {"now": format_timestamp(self.now() + parse_duration(duration))})

    # -------------------------------------------------------------- looking
    def holdings(self, name: str, wanted: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
        """What a person, a group or the program (its wallets) has of all assets, and of the state that `wanted` names."""
        base = f"/v1/{self._kind(name)}/{self.id_of(name)}"
        balances = "balance" if name == PROGRAM else "balances"
        rows = {row["asset_id"]: row for row in self.call("GET", f"{base}/{balances}")["data"]}
        for symbol, asset in self.assets_of(name).items():
            row = rows.get(self.ids[symbol], {})
            yield symbol, balance_text([row.get(bucket, "0") for bucket in BUCKETS], asset["scale"])
        for part in ("tags", "counters", "attributes"):
            if part in wanted:
                yield part, self._state(name, base, part)
        for symbol in wanted.get("lots", ()):
            rows = self.call("GET", f"{base}/balances/lots?asset_id={self.ids[symbol]}")["data"]
            yield f"lots {symbol}", [f"{row['remaining']}/{row['amount']} {row['status']}" for row in rows]
        for rule in wanted.get("budgets", ()):
            yield f"budget {rule}", self._consumed(rule)

    def assets_of(self, name: str) -> dict[str, Mapping[str, Any]]:
        """The assets that somebody can have: the program only those with a wallet."""
        known = self.recipe.assets.items()
        return {symbol: asset for symbol, asset in known if name != PROGRAM or asset["issuance_policy"] == "PREFUNDED"}

    def _kind(self, name: str) -> str:
        return "programs" if name == PROGRAM else "groups" if name in self.recipe.groups else "participants"

    def _state(self, name: str, base: str, part: str) -> Any:
        if name == PROGRAM:
            found = self.call("GET", base)[part]
            return dict(found) if part != "tags" else list(found)
        rows = self.call("GET", f"{base}/state/{part}")["data"]
        return [row["tag"] for row in rows] if part == "tags" else {row["key"]: row["value"] for row in rows}

    def _consumed(self, rule: str) -> str:
        rules = self.call("GET", f"/v1/rules?program_id={self.program_id}&limit=200")["data"]
        return "+".join(budget["consumed"] for found in rules if found["name"] == rule for budget in found["budgets"])


def balance_text(amounts: Sequence[str], scale: int) -> str:
    """Available, held and deferred as recipes write them: `1.50/20.00/0.00`, and `1.50` when the others are zero."""
    numbers = [Decimal(amount) for amount in amounts]
    shown = numbers if any(numbers[1:]) else numbers[:1]
    return "/".join(f"{number:.{scale}f}" if number == round(number, scale) else str(number) for number in shown)
