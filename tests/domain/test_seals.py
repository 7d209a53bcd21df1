"""The hash chain against the test vectors of the specification, and what canonical JSON escapes."""

from dataclasses import replace

from domain.seals import BEGINNING, GENESIS, EntryText, Link, canonical, entry_hash, extend

ORGANIZATION = "01890000-0000-7000-8000-000000000001"
ASSET = "01890000-0000-7000-8000-0000000000d1"
ANN = "01890000-0000-7000-8000-000000000011"
FIRST_HASH = "4894a4177406e579a8c9954ed5fbd4da2f6e18b27ad6fc6dc2635ee0ea922f38"
SECOND_HASH = "64665b52fac13b3f4076842c49ba30d144364ad0b9df9e8952dac69906bc1a2b"


def posting(id_: str, entity_type: str, entity_id: str | None, bucket: str, amount: str) -> dict[str, str | None]:
    return {
        "id": f"01890000-0000-7000-8000-0000000000{id_}",
        "entity_type": entity_type,
        "entity_id": entity_id,
        "asset_id": ASSET,
        "bucket": bucket,
        "amount": amount,
    }


FIRST = EntryText(
    id="01890000-0000-7000-8000-0000000000e1",
    organization_id=ORGANIZATION,
    program_id="01890000-0000-7000-8000-0000000000a1",
    action_type="CREDIT",
    description="Purchase reward",
    event_id="01890000-0000-5000-8000-0000000000f1",
    rule_id="01890000-0000-7000-8000-0000000000b1",
    created_by_api_key_id=None,
    reference_id=None,
    created_at="2026-01-15T10:30:00.000000Z",
    postings=[
        posting("c1", "SYSTEM_ISSUANCE", None, "AVAILABLE", "-10.00"),
        posting("c2", "PARTICIPANT", ANN, "AVAILABLE", "10.00"),
    ],
)
SECOND = EntryText(
    id="01890000-0000-7000-8000-0000000000e2",
    organization_id=ORGANIZATION,
    program_id="01890000-0000-7000-8000-0000000000a1",
    action_type="HOLD",
    description='Café "hold"\n2',
    event_id=None,
    rule_id=None,
    created_by_api_key_id="01890000-0000-7000-8000-000000000021",
    reference_id="auth-1",
    created_at="2026-01-15T10:30:01.250000Z",
    # written in another order than they are hashed in
    postings=[
        posting("c4", "PARTICIPANT", ANN, "HELD", "4.00"),
        posting("c3", "PARTICIPANT", ANN, "AVAILABLE", "-4.00"),
    ],
)


def test_the_vectors_of_the_specification() -> None:
    assert len(canonical(FIRST, 1, GENESIS)) == 919
    assert entry_hash(FIRST, 1, GENESIS) == FIRST_HASH
    assert len(canonical(SECOND, 2, FIRST_HASH)) == 912
    assert entry_hash(SECOND, 2, FIRST_HASH) == SECOND_HASH


def test_a_chain_goes_on_where_it_ended() -> None:
    first, second = extend(BEGINNING, [FIRST, SECOND])
    assert (first.sequence_number, first.previous_hash, first.entry_hash) == (1, GENESIS, FIRST_HASH)
    assert (second.entry_id, second.sequence_number, second.previous_hash, second.entry_hash) == (
        SECOND.id,
        2,
        FIRST_HASH,
        SECOND_HASH,
    )
    assert list(extend(Link(1, FIRST_HASH), [SECOND])) == [second]


def test_only_what_must_be_is_escaped() -> None:
    text = '\x00\x08\t\n\x0b\x0c\r\x1f "/\\\x7f\x85é\u2028\uffff😀'
    expected = r"\u0000\b\t\n\u000b\f\r\u001f \"/\\" + "\x7f\x85é\u2028\uffff😀"
    assert f'"description":"{expected}",'.encode() in canonical(replace(FIRST, description=text), 1, GENESIS)
