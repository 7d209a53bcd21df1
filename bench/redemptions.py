"""Redemptions through HTTP by one client, one after the other, against the bare debit that they come down to."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from itertools import count
from typing import Any
from uuid import UUID, uuid4

import httpx
import psycopg

from bench.results import RedemptionTimes, percentile
from runtime.processes import ServiceError

FUNDS = "1000000.00"
WARM_UP = 20

# Tables like the ledger's, with its indexes and without its guards, so that the books stay what they are.
TABLES = ("holders", "balances", "journal_entries", "postings", "redemptions", "idempotency_keys")
PREPARE = (
    "CREATE SCHEMA bare",
    *(
        f"CREATE TABLE bare.{table} (LIKE public.{table} INCLUDING DEFAULTS INCLUDING GENERATED INCLUDING INDEXES)"
        for table in TABLES
    ),
)
COPY = (
    "INSERT INTO bare.holders SELECT * FROM public.holders WHERE id = %(participant)s",
    "INSERT INTO bare.balances SELECT * FROM public.balances WHERE holder_id = %(participant)s",
)
DEBIT = (
    "SELECT 1 FROM bare.holders WHERE id = %(participant)s FOR UPDATE",
    """
    UPDATE bare.balances SET available = available - 1, account_seq = account_seq + 1, version = version + 1,
           last_entry_at = clock_timestamp()
    WHERE holder_id = %(participant)s AND asset_id = %(asset)s AND available >= 1
    """,
    """
    INSERT INTO bare.journal_entries (id, organization_id, program_id, action_type, description, created_at)
    SELECT %(id)s, organization_id, %(program)s, 'REDEMPTION', 'bench', clock_timestamp()
    FROM bare.holders WHERE id = %(participant)s
    """,
    """
    INSERT INTO bare.postings (entry_id, ordinal, id, organization_id, program_id, asset_id, entity_type, entity_id,
                               bucket, amount, account_seq, created_at, action_type)
    SELECT %(id)s, line.ordinal, gen_random_uuid(), h.organization_id, %(program)s, %(asset)s, line.type, line.entity,
           'AVAILABLE', line.amount, line.seq, clock_timestamp(), 'REDEMPTION'
    FROM bare.holders h
    CROSS JOIN (VALUES (0, 'PARTICIPANT', %(participant)s::uuid, -1, %(number)s::bigint),
                       (1, 'SYSTEM_REDEMPTION', NULL, 1, NULL)) AS line (ordinal, type, entity, amount, seq)
    WHERE h.id = %(participant)s
    """,
    """
    INSERT INTO bare.redemptions (id, organization_id, participant_id, program_id, asset_id, amount, description,
                                  redemption_target_type, entry_id, created_at, updated_at)
    SELECT %(id)s, organization_id, id, %(program)s, %(asset)s, 1, 'bench', 'SYSTEM_REDEMPTION', %(id)s, clock_timestamp(),
           clock_timestamp()
    FROM bare.holders WHERE id = %(participant)s
    """,
    """
    INSERT INTO bare.idempotency_keys (program_id, kind, key, organization_id, fingerprint, response, created_at)
    SELECT %(program)s, 'redemption', %(id)s::text, organization_id, '\\x00', '{}', clock_timestamp()
    FROM bare.holders WHERE id = %(participant)s
    """,
)


@dataclass(frozen=True, slots=True)
class Buyer:
    """A participant with an asset of its own in a program, who redeems it one by one."""

    program_id: str
    asset_id: str
    participant_id: str


def measure(client: httpx.Client, dsn: str, program_id: str, times: int) -> RedemptionTimes:
    """So many redemptions, and as many bare debits, half of them before and half of them after. ServiceError."""
    buyer = _buyer(client, program_id)
    numbers = count()
    redeem = _redemption(client, buyer, numbers)
    with psycopg.connect(dsn, prepare_threshold=0) as connection:
        debit = _bare_debit(connection, buyer)
        _timed(redeem, WARM_UP)
        _timed(debit, WARM_UP)
        bare = _timed(debit, times - times // 2)
        redeemed = _timed(redeem, times)
        bare += _timed(debit, times // 2)
        connection.execute("DROP SCHEMA bare CASCADE")
    _require(client, buyer, times + WARM_UP)
    found = (percentile(redeemed, 50), percentile(redeemed, 99), percentile(bare, 50), percentile(bare, 99))
    return RedemptionTimes(times, *(round(value, 2) for value in found))


def _timed(work: Callable[[], None], times: int) -> list[float]:
    """Milliseconds of each."""
    found = []
    for _ in range(times):
        began = time.perf_counter()
        work()
        found.append(1000 * (time.perf_counter() - began))
    return found


def _redemption(client: httpx.Client, buyer: Buyer, numbers: "count[int]") -> Callable[[], None]:
    path = f"/v1/participants/{buyer.participant_id}/redemptions"
    body = {"program_id": buyer.program_id, "asset_id": buyer.asset_id, "amount": "1.00", "description": "bench"}

    def redeem() -> None:
        _post(client, path, body | {"idempotency_key": f"bench-{next(numbers)}"})

    return redeem


def _bare_debit(connection: psycopg.Connection[Any], buyer: Buyer) -> Callable[[], None]:
    ids = {"participant": UUID(buyer.participant_id), "asset": UUID(buyer.asset_id), "program": UUID(buyer.program_id)}
    with connection.transaction():
        for statement in PREPARE:
            connection.execute(statement.encode())
        for statement in COPY:
            connection.execute(statement.encode(), ids)
    numbers = count(1000)

    def debit() -> None:
        with connection.transaction():
            values = ids | {"id": uuid4(), "number": next(numbers)}
            for statement in DEBIT:
                if connection.execute(statement.encode(), values).rowcount < 1:
                    raise ServiceError("bench: a bare debit did nothing")

    return debit


def _buyer(client: httpx.Client, program_id: str) -> Buyer:
    asset = {
        "name": "Bench, redeemed",
        "symbol": "REDEEMED",
        "inventory_mode": "SIMPLE",
        "issuance_policy": "UNLIMITED",
        "scale": 2,
    }
    asset_id = _post(client, "/v1/assets", asset | {"program_id": program_id})["id"]
    participant_id = _post(client, "/v1/participants", {"external_id": "bench-buyer"})["id"]
    funds = {"program_id": program_id, "asset_id": asset_id, "type": "CREDIT", "amount": FUNDS, "description": "bench"}
    _post(client, f"/v1/participants/{participant_id}/balances/adjust", funds)
    return Buyer(program_id, asset_id, participant_id)


def _require(client: httpx.Client, buyer: Buyer, times: int) -> None:
    """ServiceError when there wasn't exactly one debit for each."""
    answer = client.get(f"/v1/participants/{buyer.participant_id}/balances", params={"asset_id": buyer.asset_id}).json()
    left, wanted = Decimal(answer["data"][0]["available"]), Decimal(FUNDS) - times
    if left != wanted:
        raise ServiceError(f"bench: the books are wrong after redemptions: {left} instead of {wanted}")


def _post(client: httpx.Client, path: str, body: dict[str, Any]) -> dict[str, Any]:
    response = client.post(path, json=body)
    if not response.is_success:
        raise ServiceError(f"bench: POST {path} answered {response.status_code}: {response.text[:300]}")
    answer: dict[str, Any] = response.json()
    return answer
