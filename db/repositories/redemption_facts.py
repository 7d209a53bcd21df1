"""Everything that decides on a redemption, as one statement reads it: of one moment, without a lock, by primary keys."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import Cursor

from db.repositories import rewards
from db.repositories.idempotency import StoredAnswer
from db.repositories.ledger_terms import Terms
from db.repositories.redemptions import TargetRow
from db.session import Connection
from domain.ledger.accounts import NIL, AssetTerms
from domain.rewards import Reward


@dataclass(frozen=True, slots=True)
class Question:
    """The ids and the idempotency key of one request: `asset_id`, or `reward_id` and then the asset that it costs."""

    organization_id: UUID
    program_id: UUID
    participant_id: UUID
    redemption_id: UUID
    key: str | None
    asset_id: UUID | None = None
    reward_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """What there is, None where there is nothing. `real_time` is the clock that no test moves, `now` the product's.

    `balance` and `target_balance` are the columns of an Account after its key, of the participant and of a target that is a
    holder. `is_made`: there is a redemption with the request's id.
    """

    real_time: datetime
    now: datetime
    participant_status: str | None
    target: TargetRow | None
    group_status: str | None
    terms: Terms
    reward: Reward | None
    owned: int
    balance: tuple[Any, ...] | None
    target_balance: tuple[Any, ...] | None
    stored: StoredAnswer | None
    is_made: bool


_ACCOUNT = ("available", "held", "deferred", "account_seq", "last_entry_at", "next_due_at", "version")
_ASSET = (
    "a.id, a.symbol, a.scale, a.inventory_mode = 'LOT', a.issuance_policy = 'PREFUNDED', a.max_transaction_amount,"
    " a.status = 'ARCHIVED', a.organization_id"
)
_REWARD = ("id", *(column for column in rewards.DECIDING if column != "id"))
_REST = (
    "clock_timestamp(), openscrip_now(), c.status, g.status, m.id IS NOT NULL, coalesce(u.units, 0), p.status,"
    " l.asset_id IS NOT NULL, p.redemption_target_type, p.redemption_target_entity_id, h.kind, k.fingerprint, k.response"
)
_PARTS = (
    _REST,
    _ASSET,
    ", ".join(f"b.{column}" for column in _ACCOUNT),
    ", ".join(f"t.{column}" for column in _ACCOUNT),
    ", ".join(f"r.{column}" for column in _REWARD),
)
_STATEMENT = f"""
    SELECT {", ".join(_PARTS)}
    FROM (VALUES (%(organization)s::uuid, %(program)s::uuid, %(participant)s::uuid)) AS q (organization, program, participant)
    LEFT JOIN participants c ON c.id = q.participant AND c.organization_id = q.organization
    LEFT JOIN programs p ON p.id = q.program AND p.organization_id = q.organization
    LEFT JOIN holders h ON h.id = p.redemption_target_entity_id AND h.organization_id = q.organization
    LEFT JOIN groups g ON g.id = h.id AND h.kind = 'GROUP'
    LEFT JOIN rewards r ON r.id = %(reward)s::uuid AND r.program_id = q.program AND r.organization_id = q.organization
    LEFT JOIN assets a ON a.id = coalesce(%(asset)s::uuid, r.asset_id) AND a.organization_id = q.organization
    LEFT JOIN program_assets l ON l.program_id = p.id AND l.asset_id = a.id
    LEFT JOIN reward_units u ON u.reward_id = r.id AND u.participant_id = q.participant
    LEFT JOIN balances b ON b.holder_id = c.id AND b.asset_id = a.id AND b.program_id = '{NIL}'
    LEFT JOIN balances t ON t.holder_id = h.id AND t.asset_id = a.id
                         AND t.program_id = CASE h.kind WHEN 'GROUP' THEN q.program ELSE '{NIL}' END
    LEFT JOIN idempotency_keys k ON k.program_id = q.program AND k.kind = 'redemption' AND k.key = %(key)s::text
                                 AND k.organization_id = q.organization
    LEFT JOIN redemptions m ON m.id = %(redemption)s::uuid AND m.organization_id = q.organization"""
_HEAD, _TERMS, _COLUMNS = 13, 8, len(_ACCOUNT)

Asked = Cursor[tuple[Any, ...]]


def ask(conn: Connection, question: Question) -> Asked:
    """Ask for the facts; inside a pipeline they are there when it ends."""
    values = {
        "organization": question.organization_id,
        "program": question.program_id,
        "participant": question.participant_id,
        "redemption": question.redemption_id,
        "key": question.key,
        "asset": question.asset_id,
        "reward": question.reward_id,
    }
    return conn.execute(_STATEMENT, values, prepare=True)


def answer(asked: Asked) -> Facts:
    """The facts that were asked for."""
    row: Any = asked.fetchone()
    head, terms, balance, target_balance, reward = _cut(row, _HEAD, _TERMS, _COLUMNS, _COLUMNS)
    real_time, now, participant, group, is_made, owned, program, is_linked, *target, fingerprint, response = head
    return Facts(
        real_time=real_time,
        now=now,
        participant_status=participant,
        target=None if program is None else TargetRow(*target),
        group_status=group,
        terms=Terms(program, is_linked, None if terms[0] is None else AssetTerms(*terms)),
        reward=None if reward[0] is None else rewards.decided(dict(zip(_REWARD, reward, strict=True)), terms[2]),
        owned=int(owned),
        balance=None if balance[0] is None else balance,
        target_balance=None if target_balance[0] is None else target_balance,
        stored=None if fingerprint is None else StoredAnswer(bytes(fingerprint), response),
        is_made=is_made,
    )


def _cut(row: Sequence[Any], *lengths: int) -> list[tuple[Any, ...]]:
    parts, start = [], 0
    for length in (*lengths, len(row)):
        parts.append(tuple(row[start : start + length]))
        start += length
    return parts
