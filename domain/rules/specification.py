"""The fields of one action type, and reading an action by them with every fault it has (events-rules.md 6.1)."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any
from uuid import UUID

from domain.errors import Fault
from domain.ledger.accounts import AssetTerms
from domain.money import CEILING, to_scale
from domain.rules.actions import Action
from domain.rules.forms import FieldParser, Flaw, Malformed

# Fields of some action type, this release's or not: on another type they aren't unknown, but not allowed.
KNOWN_FIELDS = frozenset(
    [
        "type",
        "asset_id",
        "amount",
        "bucket",
        "allow_negative",
        "expires_at",
        "matures_at",
        "reference_id",
        "description",
        "target",
        "tag",
        "key",
        "value",
        "value_expression",
        "reset_after",
        "tier",
        "level",
        "event_name",
        "delay",
        "payload",
    ]
)

Assets = Mapping[UUID, AssetTerms]
Fields = dict[str, Any]
FieldFlaws = Iterator[tuple[str, Flaw]]


@dataclass(frozen=True, slots=True)
class Specification:
    """One action type: its fields in the order of the table, what excludes what between them, and its compiled form.

    Fields in `for_lots` are refused where the asset keeps no lots; `asset_id` among them refuses such an asset altogether.
    """

    required: Mapping[str, FieldParser]
    optional: Mapping[str, FieldParser]
    build: Callable[[Fields], Action]
    check: Callable[[Fields], FieldFlaws] = field(default=lambda _: iter(()))
    for_lots: tuple[str, ...] = ()

    def parser(self, name: str) -> FieldParser | None:
        """The parser of a field; None when this type has no such field."""
        return self.required.get(name) or self.optional.get(name)


class Reader:
    """Reads one action of a known type and gathers its faults: missing fields in table order, then others as sent."""

    def __init__(self, specification: Specification, given: Mapping[str, object], path: str) -> None:
        self._specification = specification
        self._given = given
        self._path = path
        self._found: Fields = {}
        self._faults: dict[str, list[Fault]] = {}

    def read(self, assets: Assets | None) -> tuple[Action | None, list[Fault]]:
        """The action, or None and its faults."""
        for name in self._specification.required:
            if name not in self._given:
                self._refuse(name, Flaw("required", "This field is required"))
        for name, value in self._given.items():
            if name != "type":
                self._field(name, value)
        # a malformed field counts as there, without a value
        for name, flaw in self._specification.check({name: self._found.get(name) for name in self._given}):
            if name not in self._faults:
                self._refuse(name, flaw)
        if assets is not None and "asset_id" in self._found:
            self._check_asset(assets.get(self._found["asset_id"]))
        if not self._faults:
            return self._specification.build(self._found), []
        order = [name for name in self._faults if name not in self._given] + [
            name for name in self._given if name in self._faults
        ]
        return None, [fault for name in order for fault in self._faults[name]]

    def _refuse(self, name: str, *flaws: Flaw) -> None:
        faults = Malformed(*flaws).faults(f"{self._path}.{name}", self._given.get(name))
        self._faults.setdefault(name, []).extend(faults)

    def _field(self, name: str, value: object) -> None:
        parser = self._specification.parser(name)
        if parser is None:
            is_known = name in KNOWN_FIELDS
            no_such = (
                Flaw("not_allowed", "This action type has no such field") if is_known else Flaw("unknown_field", "Unknown field")
            )
            self._refuse(name, no_such)
            return
        try:
            self._found[name] = parser(value)
        except Malformed as error:
            self._refuse(name, *error.flaws)

    def _check_asset(self, asset: AssetTerms | None) -> None:
        if asset is None:
            self._refuse("asset_id", Flaw("invalid", "Not an active asset linked to the program", "linked asset"))
            return
        amount = self._found.get("amount")
        if isinstance(amount, Decimal) and not 0 < to_scale(amount, asset.scale) < CEILING:
            self._refuse(
                "amount",
                Flaw("out_of_range", f"Out of bounds when rounded to {asset.scale} decimals", "decimal string"),
            )
        for name in self._specification.for_lots:
            if name in self._found and not asset.is_lot and name not in self._faults:
                self._refuse(name, Flaw("not_allowed", "Only for LOT assets"))
