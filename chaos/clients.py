"""The clients: each carries out its operations, one after the other, on both APIs in turn, and keeps what was answered."""

import threading
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import httpx

from chaos.plan import CLIENTS, Intent, intent
from chaos.request import Memory, Request
from chaos.requests import request_of
from chaos.world import World

TIMEOUT_SECONDS = 8.0
JOIN_SECONDS = 90.0


class Fate(StrEnum):
    """What a client knows of its operation."""

    OK = "ok"
    REFUSED = "refused"
    UNKNOWN = "unknown"


@dataclass
class Outcome:
    """A request and the last that was heard of it; `status` 0 is no answer at all."""

    request: Request
    fate: Fate
    status: int = 0
    code: str = ""
    answer: Any = None
    was_unknown: bool = False


@dataclass
class Log:
    """Every outcome of a run, and what no answer may be."""

    outcomes: list[Outcome] = field(default_factory=list)
    violations: list[tuple[str, str]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, outcome: Outcome) -> None:
        """Keep an outcome."""
        with self.lock:
            self.outcomes.append(outcome)

    def violate(self, check: str, row: str) -> None:
        """Keep what is wrong."""
        with self.lock:
            self.violations.append((check, row))


class Caller:
    """Sends requests to the APIs; after an error the next one is asked."""

    def __init__(self, urls: Sequence[str], headers: Mapping[str, str], log: Log, first: int = 0) -> None:
        self._apis = [httpx.Client(base_url=url, headers=headers, timeout=TIMEOUT_SECONDS, trust_env=False) for url in urls]
        self._log = log
        self._turn = first

    def close(self) -> None:
        """Hang up."""
        for api in self._apis:
            api.close()

    def send(self, request: Request) -> Outcome:
        """One attempt, at the API whose turn it is."""
        try:
            response = self._next().request(request.method, request.path, json=request.body)
        except httpx.TransportError:
            return Outcome(request, Fate.UNKNOWN)
        return self._judge(request, response)

    def get(self, path: str) -> httpx.Response | None:
        """A read at the next API; None when it can't be reached."""
        try:
            return self._next().get(path)
        except httpx.TransportError:
            return None

    def _next(self) -> httpx.Client:
        self._turn += 1
        return self._apis[self._turn % len(self._apis)]

    def _judge(self, request: Request, response: httpx.Response) -> Outcome:
        status = response.status_code
        try:
            answer = response.json() if response.content else None
        except ValueError:
            answer = None
            self._log.violate("each answer is JSON", f"{request.kind} {request.key}: {status} {response.text[:200]}")
        if response.is_success:
            return Outcome(request, self._fate_of_items(request, answer), status, answer=answer)
        code = str((answer or {}).get("code", ""))
        is_documented = status < httpx.codes.INTERNAL_SERVER_ERROR or (status, code) == (503, "service_unavailable")
        if not is_documented:
            told = f"{request.kind} {request.key}: {status} {response.text[:300]}"
            self._log.violate("no 5xx but the documented 503", told)
        fate = Fate.REFUSED if status < httpx.codes.INTERNAL_SERVER_ERROR else Fate.UNKNOWN
        return Outcome(request, fate, status, code, answer)

    def _fate_of_items(self, request: Request, answer: Any) -> Fate:
        """A batch is answered item by item."""
        codes = {item["code"] for item in answer["results"] if item.get("code")} if request.kind == "event batch" else set()
        if "internal_error" in codes:
            self._log.violate("no 5xx but the documented 503", f"{request.kind} {request.key}: {answer}")
        return Fate.UNKNOWN if "service_unavailable" in codes else Fate.OK


class Clients:
    """All clients of a run."""

    def __init__(self, seed: int, urls: Sequence[str], headers: Mapping[str, str], world: World) -> None:
        self.log = Log()
        self.memory = Memory()
        self._seed = seed
        self._urls = urls
        self._headers = headers
        self._world = world
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(number,), daemon=True) for number in range(CLIENTS)]

    def start(self) -> None:
        """Begin to send."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Let each client finish its operation."""
        self._stopping.set()
        deadline = time.monotonic() + JOIN_SECONDS
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
            if thread.is_alive():
                self.log.violate("each request is answered in time", f"{thread.name} still waits")

    def _run(self, client: int) -> None:
        caller = Caller(self._urls, self._headers, self.log, client)
        try:
            number = 0
            while not self._stopping.is_set():
                self._step(caller, intent(self._seed, client, number))
                number += 1
        except Exception:  # noqa: BLE001 - the run is judged, and says so
            self.log.violate("the harness works", f"client {client}: {traceback.format_exc()}")
        finally:
            caller.close()

    def _step(self, caller: Caller, wanted: Intent) -> None:
        outcome = caller.send(request_of(wanted, self._world, self.memory))
        if outcome.fate is Fate.UNKNOWN and wanted.repeats_at_once and outcome.request.key_kind is not None:
            outcome = caller.send(outcome.request)
            outcome.was_unknown = True
            if outcome.fate is Fate.REFUSED:
                # the first attempt may still be under way in a paused process
                outcome.fate = Fate.UNKNOWN
        self.log.add(outcome)
        if outcome.fate is Fate.OK:
            self._learn(outcome, wanted)
            if wanted.reads_back:
                read_back(caller, outcome, self.log)
        if wanted.kind == "list" and outcome.fate is Fate.OK:
            walk(caller, outcome, self.log)
        time.sleep(wanted.pause)

    def _learn(self, outcome: Outcome, wanted: Intent) -> None:
        request, answer, memory = outcome.request, outcome.answer, self.memory
        with memory.lock:
            if request.kind == "event":
                assert request.body is not None
                memory.sent.append(request.body)
                memory.events.append((request.body["event_data"]["type"], answer["id"]))
            elif request.kind in ("redeem", "redeem item"):
                memory.redemptions.append((answer["id"], request.kind))
                if wanted.kind == "redeem item" and (request.body or {}).get("reward_id") == self._world.parcel:
                    memory.parcels.append(answer["id"])
            elif request.kind == "list" and "/deliveries" in request.path:
                memory.failed_deliveries = [row["id"] for row in answer["data"]]


def read_back(caller: Caller, outcome: Outcome, log: Log) -> None:
    """What was acknowledged is there at once, at the other API too."""
    path = _place(outcome)
    if path is None:
        return
    response = caller.get(path)
    if response is not None and response.status_code == httpx.codes.NOT_FOUND:
        log.violate("9 an acknowledged write is readable at once", f"{outcome.request.kind} {outcome.request.key}: {path} is 404")


def _place(outcome: Outcome) -> str | None:
    request, answer = outcome.request, outcome.answer
    if request.kind == "event":
        return f"/v1/events/{answer['id']}"
    if request.key_kind == "redemption":
        return f"/v1/redemptions/{answer['id']}"
    if request.key_kind is not None and isinstance(answer, dict) and answer.get("journal_entry_id"):
        return f"/v1/journal-entries/{answer['journal_entry_id']}"
    return None


def walk(caller: Caller, outcome: Outcome, log: Log, most_pages: int = 8) -> None:
    """Follow a list while rows are inserted: no row comes twice."""
    page, path = outcome.answer, outcome.request.path
    seen: set[str] = set()
    for _ in range(most_pages):
        # a line of a history has no id, but is unique as a whole
        ids = [str(row.get("id") or row) for row in page["data"]]
        twice = seen.intersection(ids) | {each for each in ids if ids.count(each) > 1}
        if twice:
            log.violate("23 lists return each row once", f"{path}: {sorted(twice)[:3]}")
        seen.update(ids)
        cursor = page["pagination"]["next_cursor"]
        response = caller.get(f"{path}&cursor={cursor}") if cursor else None
        if response is None or not response.is_success:
            return
        page = response.json()
