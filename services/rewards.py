"""The rewards catalog: create, read, change (redemptions-rewards.md 1)."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlmodel import Session

from db.repositories import assets
from db.repositories import organizations as clock
from db.repositories import rewards as repository
from db.session import psycopg_of
from db.tables.core import Asset
from domain.errors import AssetArchived, AssetNotLinked, BadRequest, InvalidScale, bad_request, not_found
from domain.money import CEILING, format_plain, has_more_decimals, to_scale
from domain.rewards import (
    NO_FULFILLMENT,
    Fulfillment,
    FulfillmentType,
    RedemptionType,
    Reward,
    RewardStatus,
    change,
    limit_faults,
    window_faults,
)
from runtime.ids import new_id
from runtime.webhook_secrets import WebhookSecrets
from services import programs
from services.assets import AssetStatus
from services.paging import Keyset, Slice


@dataclass(frozen=True, slots=True)
class NewReward:
    """What a reward is created with; its form is checked."""

    name: str
    redemption_type: RedemptionType
    asset_id: UUID
    unit_cost: Decimal
    status: RewardStatus
    description: str | None = None
    category: str | None = None
    max_total: int | None = None
    max_per_participant: int | None = None
    available_from: datetime | None = None
    available_until: datetime | None = None
    metadata: Mapping[str, object] = field(default_factory=dict)
    fulfillment: Fulfillment = NO_FULFILLMENT


@dataclass(frozen=True, slots=True)
class RewardChange:
    """Fields to change by name, their form checked; a fulfilment of type webhook always gets a new secret."""

    program_id: UUID
    reward_id: UUID
    changes: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class RewardView:
    """A reward, and the secret of its webhook in the answer of the request that set it."""

    reward: Reward
    secret: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class RewardFilter:
    """What a program's list is narrowed to; an explicit status shows archived ones without `is_archived_shown`."""

    status: RewardStatus | None = None
    is_archived_shown: bool = False
    search: str | None = None


def create_reward(
    session: Session, organization_id: UUID, program_id: UUID, new: NewReward, secrets: WebhookSecrets, *, is_strict: bool
) -> RewardView:
    """Create a reward in a program.

    NotFound program, asset; BadRequest for a cost that rounds to zero, InvalidScale when strict; ProgramArchived,
    AssetArchived, AssetNotLinked, NameConflict.
    """
    program = programs.lock_program(session, organization_id, program_id)
    asset = assets.find(session, organization_id, new.asset_id, lock="share")
    if asset is None:
        raise not_found("asset", new.asset_id, "asset_id")
    cost = _unit_cost(new.unit_cost, asset.scale, asset.id, is_strict=is_strict)
    programs.require_open(program)
    _require_usable(session, program_id, asset)
    now = clock.now(session)
    reward = Reward(
        id=new_id(),
        program_id=program_id,
        asset_id=asset.id,
        scale=asset.scale,
        name=new.name,
        redemption_type=new.redemption_type,
        unit_cost=cost,
        status=new.status,
        created_at=now,
        updated_at=now,
        description=new.description,
        category=new.category,
        max_total=new.max_total,
        max_per_participant=new.max_per_participant,
        available_from=new.available_from,
        available_until=new.available_until,
        metadata=new.metadata,
        fulfillment=new.fulfillment,
    )
    secret, sealed = _new_secret(reward, secrets)
    repository.insert(psycopg_of(session), organization_id, reward, sealed)
    return RewardView(reward, secret)


def list_rewards(
    session: Session, organization_id: UUID, program_id: UUID, wanted: RewardFilter, keyset: Keyset
) -> Slice[Reward]:
    """One page of a program's rewards; NotFound."""
    programs.get_program(session, organization_id, program_id)
    return repository.page(
        psycopg_of(session),
        program_id,
        keyset,
        status=wanted.status,
        is_archived_shown=wanted.is_archived_shown,
        search=wanted.search,
    )


def get_reward(session: Session, organization_id: UUID, program_id: UUID, reward_id: UUID) -> Reward:
    """A reward of the program, archived or not; NotFound."""
    programs.get_program(session, organization_id, program_id)
    reward = repository.find(psycopg_of(session), organization_id, program_id, reward_id)
    if reward is None:
        raise not_found("reward", reward_id)
    return reward


def update_reward(
    session: Session, organization_id: UUID, wanted: RewardChange, secrets: WebhookSecrets, *, is_strict: bool
) -> RewardView:
    """Change the fields given; the status follows the stock.

    NotFound; BadRequest for limits of an AMOUNT_BASED reward, a window that doesn't fit the bound that stays, a cost that
    rounds to zero, InvalidScale when strict; ProgramArchived, NameConflict.
    """
    program = programs.lock_program(session, organization_id, wanted.program_id)
    conn = psycopg_of(session)
    old = repository.lock_reward(conn, organization_id, wanted.program_id, wanted.reward_id)
    if old is None:
        raise not_found("reward", wanted.reward_id)
    changes = dict(wanted.changes)
    _check_changes(old, changes)
    if "unit_cost" in changes:
        changes["unit_cost"] = _unit_cost(changes["unit_cost"], old.scale, old.asset_id, is_strict=is_strict)
    programs.require_open(program)
    now = clock.now(session)
    new, secret, sealed = change(old, changes, now), None, None
    if "fulfillment" in changes:
        secret, sealed = _new_secret(new, secrets)
    if sealed is not None:
        new = replace(new, updated_at=now)
    if new is not old:
        repository.update(conn, new, sealed)
    return RewardView(new, secret)


def _new_secret(reward: Reward, secrets: WebhookSecrets) -> tuple[str, bytes] | tuple[None, None]:
    if reward.fulfillment.type is not FulfillmentType.WEBHOOK:
        return None, None
    return secrets.make(reward.id)


def _check_changes(old: Reward, changes: Mapping[str, Any]) -> None:
    """What only the stored reward tells: limits that its type can't have, a bound that doesn't fit the other."""
    start = changes.get("available_from", old.available_from)
    end = changes.get("available_until", old.available_until)
    faults = [*limit_faults(old.redemption_type, changes), *window_faults(start, end, _set(changes))]
    if faults:
        raise BadRequest(faults)


def _set(changes: Mapping[str, Any]) -> set[str]:
    return {name for name, value in changes.items() if value is not None}


def _require_usable(session: Session, program_id: UUID, asset: Asset) -> None:
    if asset.status == AssetStatus.ARCHIVED:
        raise AssetArchived(asset_id=str(asset.id))
    # Locked: who unlinks the asset meanwhile waits, and then finds the reward.
    if assets.find_link(session, program_id, asset.id, is_locked=True) is None:
        raise AssetNotLinked(asset_id=str(asset.id), program_id=str(program_id))


def _unit_cost(amount: Decimal, scale: int, asset_id: UUID, *, is_strict: bool) -> Decimal:
    if is_strict and has_more_decimals(amount, scale):
        raise InvalidScale(field="unit_cost", asset_id=str(asset_id), scale=scale, received=format_plain(amount))
    rounded = to_scale(amount, scale)
    if not 0 < rounded < CEILING:
        message = "Rounds to zero" if not rounded else "At most 20 digits before the point"
        raise bad_request("unit_cost", "out_of_range", message, expected="decimal string", received=format_plain(amount))
    return rounded
