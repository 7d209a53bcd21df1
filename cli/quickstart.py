"""The quickstart, walked through for real over HTTP: program, asset, rule, purchase event, balance."""

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from runtime.cluster import write_private
from runtime.processes import ServiceError

REQUEST_SECONDS = 10.0
PROCESSING_SECONDS = 20.0
POLL_SECONDS = 0.05
SYMBOL_TAKEN = 409
CUSTOMER = "alice"
PURCHASE = 75

Json = dict[str, Any]


class Quickstart:
    """One walk; each step's outcome is kept in `progress`, so that an interrupted walk goes on where it stopped."""

    def __init__(self, base_url: str, api_key: str, progress: Path, check: Callable[[], None]) -> None:
        self._http = httpx.Client(
            base_url=base_url,
            headers={"Authorization": f"Bearer {api_key}"},
            timeout=REQUEST_SECONDS,
            trust_env=False,
        )
        self._progress = progress
        self._check = check
        self.ids: dict[str, str] = json.loads(progress.read_text()) if progress.exists() else {}

    def walk(self, say: Callable[[str], None]) -> str:
        """Do the steps that weren't done before, telling `say` about each; return the balance, like `750 PTS`."""
        program = self._step("program_id", self._create_program, say, "program  Coffee Club")
        asset = self._step("asset_id", lambda: self._create_asset(program), say, "asset    Points (PTS)")
        self._step(
            "rule_id",
            lambda: self._create_rule(program, asset),
            say,
            "rule     a purchase earns ten points per unit spent",
        )
        event = self._step(
            "event_id", lambda: self._send_purchase(program), say, f"event    {CUSTOMER} buys something for {PURCHASE}"
        )
        participant = self._step(
            "participant_id", lambda: self._await_processing(event), say, "posted   by the rule, in the ledger"
        )
        return self.balance(participant, asset)

    def balance(self, participant: str, asset: str) -> str:
        """Read the balance of the quickstart's customer."""
        answer = self._call("GET", f"/v1/participants/{participant}/balances?asset_id={asset}")
        [row] = answer["data"]
        return f"{row['available']} {row['symbol']}"

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def _step(self, name: str, action: Callable[[], str], say: Callable[[str], None], text: str) -> str:
        self._check()
        if name not in self.ids:
            self.ids[name] = action()
            write_private(self._progress, json.dumps(self.ids))
            say(text)
        return self.ids[name]

    def _create_program(self) -> str:
        return str(self._call("POST", "/v1/programs", {"name": "Coffee Club"})["id"])

    def _create_asset(self, program: str) -> str:
        body = {
            "program_id": program,
            "name": "Points",
            "symbol": "PTS",
            "inventory_mode": "SIMPLE",
            "issuance_policy": "UNLIMITED",
            "scale": 0,
        }
        response = self._send("POST", "/v1/assets", body)
        if response.status_code == SYMBOL_TAKEN:
            # A database that already has points of its own.
            response = self._send("POST", "/v1/assets", body | {"symbol": f"PTS_{program[-8:]}"})
        return str(_body(response)["id"])

    def _create_rule(self, program: str, asset: str) -> str:
        body = {
            "program_id": program,
            "name": "Ten points per unit spent",
            "condition": 'event.type == "purchase"',
            "actions": [{"type": "CREDIT", "asset_id": asset, "amount": "event.amount * 10"}],
        }
        return str(self._call("POST", "/v1/rules", body)["id"])

    def _send_purchase(self, program: str) -> str:
        body = {
            "program_id": program,
            "external_id": CUSTOMER,
            "idempotency_key": "quickstart-purchase-1",
            "event_timestamp": datetime.now(UTC).isoformat(),
            "event_data": {"type": "purchase", "amount": PURCHASE},
        }
        return str(self._call("POST", "/v1/events", body)["id"])

    def _await_processing(self, event: str) -> str:
        """Poll the event until a worker has processed it; return its participant."""
        deadline = time.monotonic() + PROCESSING_SECONDS
        while time.monotonic() < deadline:
            self._check()
            answer = self._call("GET", f"/v1/events/{event}")
            if answer["status"] == "COMPLETED":
                return str(answer["participant_id"])
            if answer["status"] == "FAILED":
                raise ServiceError(f"quickstart: event {event} failed: {answer['error_message']}")
            time.sleep(POLL_SECONDS)
        raise ServiceError(f"quickstart: no worker processed event {event} in {PROCESSING_SECONDS:.0f} s")

    def _call(self, method: str, path: str, body: Json | None = None) -> Json:
        return _body(self._send(method, path, body))

    def _send(self, method: str, path: str, body: Json | None) -> httpx.Response:
        try:
            return self._http.request(method, path, json=body)
        except httpx.TransportError as error:
            # A dead child explains it better.
            self._check()
            raise ServiceError(f"quickstart: {method} {path}: {error or type(error).__name__}") from error


def _body(response: httpx.Response) -> Json:
    """Return the JSON of a successful answer; ServiceError with code and message of any other."""
    if response.is_success:
        answer: Json = response.json()
        return answer
    request = response.request
    text = " ".join(response.text.split())[:300]
    raise ServiceError(f"quickstart: {request.method} {request.url.path} answered {response.status_code}: {text}")
