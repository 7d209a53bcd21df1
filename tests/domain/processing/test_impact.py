"""The sums of an event's postings."""

from decimal import Decimal
from uuid import UUID

from domain.processing.impact import BalanceChange, net

PTS, CASH = UUID(int=9), UUID(int=8)
ANN, BOB = UUID(int=1), UUID(int=2)


def change(kind: str, entity_id: UUID | None, amount: str, symbol: str = "PTS", bucket: str = "AVAILABLE") -> BalanceChange:
    return BalanceChange(kind, entity_id, PTS if symbol == "PTS" else CASH, symbol, 0, bucket, Decimal(amount))


def test_sums_per_entity_asset_and_bucket_in_order() -> None:
    found = net(
        [
            change("SYSTEM_ISSUANCE", None, "-5"),
            change("PARTICIPANT", BOB, "5"),
            change("PARTICIPANT", ANN, "-2", bucket="HELD"),
            change("PARTICIPANT", ANN, "2"),
            change("SYSTEM_ISSUANCE", None, "-7"),
            change("PARTICIPANT", ANN, "7"),
            change("PARTICIPANT", ANN, "1", "CASH"),
            change("GROUP", BOB, "1"),
        ]
    )
    assert found == [
        change("GROUP", BOB, "1"),
        change("PARTICIPANT", ANN, "1", "CASH"),
        change("PARTICIPANT", ANN, "9"),
        change("PARTICIPANT", ANN, "-2", bucket="HELD"),
        change("PARTICIPANT", BOB, "5"),
        change("SYSTEM_ISSUANCE", None, "-12"),
    ]


def test_what_nets_to_zero_is_left_out() -> None:
    assert net([change("PARTICIPANT", ANN, "5"), change("PARTICIPANT", ANN, "-5.0")]) == []


def test_sums_are_exact() -> None:
    big, small = "12345678901234567890", "0.000000000000000001"
    [found] = net([change("PARTICIPANT", ANN, big), change("PARTICIPANT", ANN, small)])
    assert str(found.amount) == "12345678901234567890.000000000000000001"
