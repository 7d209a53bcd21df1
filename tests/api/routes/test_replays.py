"""Keys of all operations on money: the first answer again, another payload 409, header and field (conventions.md, Idempotency)."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from db.session import Database
from services import organizations
from tests.api.helpers import faults
from tests.api.routes.money import Money, Team
from tests.support.client import Tenant

Call = tuple[str, dict[str, Any]]

# Operation on MILES and its body; the amount is what another payload differs in, where there is one.
MOVES: dict[str, dict[str, Any]] = {
    "adjust credit": {"type": "CREDIT", "amount": "5"},
    "adjust settle": {"type": "CREDIT", "amount": "5", "reference_id": "p"},
    "adjust debit": {"type": "DEBIT", "amount": "5"},
    "hold": {"amount": "5", "expires_at": "60m"},
    "release": {"amount": "5", "reference_id": "m"},
    "forfeit": {"amount": "5", "bucket": "HELD"},
    "void-hold": {"reference_id": "p"},
}
# The same said otherwise.
SYNONYMS = {"amount": {"5": "5.00"}, "expires_at": {"60m": "1h"}}


def stocked(api: Tenant, kind: type[Money]) -> Money:
    """MILES 100 available, 20 moved under m, 10 provisional under p; a wallet of 50.00 PROMO."""
    money = kind(api)
    money.credit("MILES", "120")
    money.hold("MILES", "20", reference_id="m")
    money.credit("MILES", "10", bucket="HELD", reference_id="p")
    money.wallet("fund", "PROMO", "50")
    return money


def _move(money: Money, name: str) -> Call:
    body = {"program_id": money.program, "asset_id": money.asset("MILES"), "description": "x", **MOVES[name]}
    return f"{money.me}/balances/{name.split(maxsplit=1)[0]}", body


def _wallet(money: Money, name: str) -> Call:
    return f"/v1/programs/{money.program}/assets/{money.asset('PROMO')}/{name}", {"amount": "5"}


def _transfer(money: Money, _: str) -> Call:
    source = {"source_group_id": money.group} if isinstance(money, Team) else {"source_participant_id": money.participant}
    legs = [{"participant_id": money.new_participant(), "amount": "5"}]
    body = {"program_id": money.program, "asset_id": money.asset("MILES"), "description": "x", **source, "recipients": legs}
    return "/v1/transfers", body


KEYED: list[tuple[type[Money], str, Callable[[Money, str], Call]]] = [
    *((Money, name, _move) for name in MOVES),
    *((Team, name, _move) for name in MOVES if name != "void-hold"),
    (Money, "fund", _wallet),
    (Money, "burn", _wallet),
    (Money, "transfer", _transfer),
    (Team, "transfer", _transfer),
]


def said_otherwise(body: dict[str, Any]) -> dict[str, Any]:
    """The same meaning: defaults written out, amounts with zeros, ids in capitals, another order."""
    changed = {
        name: SYNONYMS.get(name, {}).get(value, value) if isinstance(value, str) else value for name, value in body.items()
    }
    changed |= {name: body[name].upper() for name in ("program_id", "asset_id") if name in body}
    if "type" in body:
        changed |= {"bucket": "AVAILABLE", "allow_negative": False, "matures_at": None}
    return dict(reversed(changed.items()))


@pytest.mark.parametrize(("kind", "name", "make"), KEYED, ids=[f"{kind.__name__}-{name}" for kind, name, _ in KEYED])
def test_one_key_one_effect(api: Tenant, kind: type[Money], name: str, make: Callable[[Money, str], Call]) -> None:
    money = stocked(api, kind)
    path, body = make(money, name)

    def send(body: dict[str, Any], **headers: str) -> httpx.Response:
        return api.http.post(path, json=body, headers=headers)

    first = send(body | {"idempotency_key": "k"})
    assert first.status_code == (201 if name == "transfer" else 200), first.text
    assert "idempotency-replayed" not in first.headers
    with money.unchanged():
        for again in (
            send(body | {"idempotency_key": "k"}),
            send(said_otherwise(body) | {"idempotency_key": "k"}),
            send(body, **{"Idempotency-Key": "k"}),
            send(body | {"idempotency_key": "k"}, **{"Idempotency-Key": "k"}),
        ):
            assert (again.status_code, again.content) == (200, first.content)
            assert again.headers["idempotency-replayed"] == "true"
        other = send(body | {"description": "something else"}, **{"Idempotency-Key": "k"})
        assert (other.status_code, other.json()["code"]) == (409, "idempotency_conflict")
        assert other.json()["details"] == {"idempotency_key": "k", "program_id": money.program}
        apart = send(body | {"idempotency_key": "k"}, **{"Idempotency-Key": "l"})
        assert (apart.status_code, faults(apart.json())) == (400, [("Idempotency-Key", "invalid")])
    repeated = send(body | {"idempotency_key": "l"})
    assert "idempotency-replayed" not in repeated.headers, "the key of the fault is free"


def test_a_replay_comes_before_what_excludes_the_operation_now(api: Tenant) -> None:
    """Order of checks: the key, then 404 of the ids, then 409s."""
    money = stocked(api, Money)
    calls = [_move(money, "hold"), _wallet(money, "fund"), _transfer(money, "")]
    answers = [api.http.post(path, json=body | {"idempotency_key": "k"}).content for path, body in calls]
    api.patch(f"{money.me}/status", {"status": "CLOSED"})
    api.patch(f"/v1/programs/{money.program}", {"status": "ARCHIVED"})
    for symbol in ("MILES", "PROMO"):
        api.patch(f"/v1/assets/{money.asset(symbol)}", {"status": "ARCHIVED"})
    for (path, body), answer in zip(calls, answers, strict=True):
        again = api.http.post(path, json=body | {"idempotency_key": "k"})
        assert (again.status_code, again.content) == (200, answer)
        api.post(path, body | {"idempotency_key": "k", "description": "y"}, 409)
    path, body = calls[0]
    unknown = path.replace(money.participant, money.program)
    assert api.post(unknown, body | {"idempotency_key": "k"}, 409)["code"] == "idempotency_conflict"
    assert api.post(unknown, body | {"idempotency_key": "new"}, 404)["details"]["resource"] == "participant"


def test_kinds_and_programs_have_keys_of_their_own(api: Tenant) -> None:
    money = stocked(api, Money)
    for path, body in (_move(money, "hold"), _wallet(money, "fund"), _transfer(money, "")):
        assert "idempotency-replayed" not in api.http.post(path, json=body | {"idempotency_key": "k"}).headers
    for operation in ("adjust debit", "release", "void-hold"):
        path, body = _move(money, operation)
        assert api.post(path, body | {"idempotency_key": "k"}, 409)["code"] == "idempotency_conflict"
    elsewhere = api.post("/v1/programs", {"name": "Q"}, 201)["id"]
    api.post(f"/v1/programs/{elsewhere}/assets", {"asset_id": money.asset("MILES")}, 201)
    path, body = _move(money, "hold")
    answer = api.http.post(path, json=body | {"program_id": elsewhere, "idempotency_key": "k"})
    assert (answer.status_code, "idempotency-replayed" in answer.headers) == (200, False)


def test_another_key_of_the_organization_gets_the_same_replay(api: Tenant, database: Database, base_url: str) -> None:
    money = stocked(api, Money)
    path, body = _move(money, "hold")
    first = api.http.post(path, json=body | {"idempotency_key": "k"})
    with database.session() as session:
        [used] = organizations.list_api_keys(session, api.organization_id)
        _, another = organizations.create_api_key(session, api.organization_id, "another")
        organizations.revoke_api_key(session, used.id)
    again = httpx.post(f"{base_url}{path}", json=body, headers={"X-API-Key": another, "Idempotency-Key": "k"})
    assert (again.status_code, again.content, again.headers["idempotency-replayed"]) == (200, first.content, "true")


@pytest.mark.parametrize("key", ["", "x" * 256, "clé", "a\tb"])
def test_bad_keys_in_the_header(api: Tenant, key: str) -> None:
    money = stocked(api, Money)
    path, body = _move(money, "hold")
    with money.unchanged():
        answer = api.http.post(path, json=body, headers={"Idempotency-Key": key.encode("latin-1")})
        assert (answer.status_code, faults(answer.json())) == (400, [("Idempotency-Key", "invalid")])
