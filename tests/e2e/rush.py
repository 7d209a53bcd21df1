"""Crowds: one organization's money, and clients that ask for it at the same moment, each over a connection of its own."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from http.client import HTTPConnection
from threading import Barrier
from typing import Any
from urllib.parse import urlsplit

import httpx
import psycopg

from db.session import Database
from runtime.processes import wait_until
from tests.api.helpers import asset, program
from tests.support.bulk import make_participants
from tests.support.client import Tenant, new_tenant

PATIENCE_SECONDS = 60
Request = tuple[str, dict[str, Any]]


@dataclass
class Crowd:
    """A program of a fresh organization."""

    api: Tenant
    database: Database
    program: str = field(init=False)

    def __post_init__(self) -> None:
        self.program = program(self.api)

    def asset(self, **terms: Any) -> str:
        """An asset's id: SIMPLE, UNLIMITED, scale 2 unless said otherwise."""
        return str(asset(self.api, self.program, **terms)["id"])

    def participants(self, count: int) -> list[str]:
        """So many new participants' ids."""
        return [str(id_) for id_ in make_participants(self.database, self.api.organization_id, count)]

    # --------------------------------------------------------------- asking
    def on_balance(self, holder: str, operation: str, asset_id: str, amount: str, **fields: Any) -> Request:
        """An operation on a balance; `holder` is a path like participants/{id}."""
        body = {"program_id": self.program, "asset_id": asset_id, "amount": amount, "description": "rush", **fields}
        return f"/v1/{holder}/balances/{operation}", body

    def credit(self, participant_id: str, asset_id: str, amount: str) -> Request:
        return self.on_balance(f"participants/{participant_id}", "adjust", asset_id, amount, type="CREDIT")

    def debit(self, participant_id: str, asset_id: str, amount: str) -> Request:
        return self.on_balance(f"participants/{participant_id}", "adjust", asset_id, amount, type="DEBIT")

    def fund(self, asset_id: str, amount: str) -> Request:
        return f"/v1/programs/{self.program}/assets/{asset_id}/fund", {"amount": amount}

    def ask(self, request: Request) -> httpx.Response:
        path, body = request
        return self.api.http.post(path, json=body)

    def done(self, request: Request) -> dict[str, Any]:
        """The answer to a request that must succeed."""
        path, body = request
        answer: dict[str, Any] = self.api.post(path, body)
        return answer

    def rush(self, requests: Sequence[Request]) -> list[httpx.Response]:
        """All at the same moment, when every client has its connection; the answers in order."""
        start = Barrier(len(requests))
        headers = {"Authorization": f"Bearer {self.api.key}", "Content-Type": "application/json"}
        host = urlsplit(str(self.api.http.base_url)).netloc

        def send(request: Request) -> httpx.Response:
            path, body = request
            with closing(HTTPConnection(host, timeout=PATIENCE_SECONDS)) as connection:
                connection.connect()
                start.wait(PATIENCE_SECONDS)
                connection.request("POST", path, json.dumps(body), headers)
                answer = connection.getresponse()
                return httpx.Response(answer.status, content=answer.read())

        with ThreadPoolExecutor(len(requests)) as clients:
            return list(clients.map(send, requests))

    # -------------------------------------------------------------- looking
    def has(self, participant_id: str, asset_id: str) -> str:
        """What is available."""
        [row] = self.api.get(f"/v1/participants/{participant_id}/balances", asset_id=asset_id)["data"]
        return str(row["available"])

    def had(self, asset_id: str) -> Counter[Decimal]:
        """How many holders have how much available, of those who ever had something."""
        with self.database.connection() as conn:
            rows = conn.execute("SELECT available FROM balances WHERE asset_id = %s", [asset_id]).fetchall()
        return Counter(row[0] for row in rows)

    def in_wallet(self, asset_id: str) -> str:
        [row] = self.api.get(f"/v1/programs/{self.program}/balance", asset_id=asset_id)["data"]
        return str(row["available"])

    def held_in_all(self, asset_id: str) -> Decimal:
        """What all holders have together, in all buckets."""
        with self.database.connection() as conn:
            row = conn.execute("SELECT sum(available + held + deferred) FROM balances WHERE asset_id = %s", [asset_id]).fetchone()
        assert row is not None
        return Decimal(row[0])


@contextmanager
def crowd_of(database: Database, url: str) -> Iterator[Crowd]:
    """A fresh organization's crowd at this server."""
    tenant = new_tenant(database, url)
    with tenant.http:
        yield Crowd(tenant, database)


def statuses(answers: Sequence[httpx.Response]) -> Counter[int]:
    return Counter(answer.status_code for answer in answers)


def deadlocks(database: Database) -> int:
    """How many deadlocks a database has had; everybody else must have left it, because a backend tells on leaving."""
    database.close()
    with closing(psycopg.connect(database.url, autocommit=True)) as conn:
        others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND backend_type = 'client backend'"
        assert wait_until(lambda: conn.execute(others).fetchone() == (1,), 20, 0.05)
        row = conn.execute("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()").fetchone()
    assert row is not None
    return int(row[0])
