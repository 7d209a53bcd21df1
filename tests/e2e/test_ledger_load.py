"""Many clients at once on one ledger, through a real server: what is covered happens, nothing more and nothing twice."""

import statistics
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from random import Random
from uuid import UUID

import pytest

from db.session import Database
from runtime.embedded import EmbeddedPostgres
from tests.api.test_groups import make
from tests.e2e.rush import Crowd, Request, crowd_of, deadlocks, statuses
from tests.services.lane_world import together
from tests.support.books import assert_books
from tests.support.bulk import Bulk
from tests.support.databases import make_database
from tests.support.process import serve_process

pytestmark = pytest.mark.xdist_group("ledger-load")

CLIENTS = 200
COVERED = 100
MODES = pytest.mark.parametrize("mode", ["SIMPLE", "LOT"])
ALL_SUCCESSES = {f"{left}.00" for left in range(COVERED)}


@pytest.fixture(scope="module")
def database_url(postgres: EmbeddedPostgres) -> str:
    """A database that only the server of this module uses."""
    return make_database(postgres.dsn, "ledger_load")


@pytest.fixture(scope="module")
def crowds(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Database, str]]:
    """The database and the address of a running server."""
    with (
        closing(Database(database_url, pool_size=4)) as database,
        serve_process(database_url, tmp_path_factory.mktemp("server")) as url,
    ):
        yield database, url


@pytest.fixture
def crowd(crowds: tuple[Database, str]) -> Iterator[Crowd]:
    with crowd_of(*crowds) as crowd:
        yield crowd
        assert_books(crowd.database, crowd.api.organization_id)


@MODES
def test_debits_take_what_is_there_and_no_more(crowd: Crowd, mode: str) -> None:
    [ann], money = crowd.participants(1), crowd.asset(inventory_mode=mode)
    # debits run over the borders of lots
    for _ in range(40):
        crowd.done(crowd.credit(ann, money, "2.50"))
    answers = crowd.rush([crowd.debit(ann, money, "1.00")] * CLIENTS)
    assert statuses(answers) == {200: COVERED, 422: CLIENTS - COVERED}
    # one after another: each saw what the one before it had left
    left = [answer.json()["balance"]["available"] for answer in answers if answer.is_success]
    assert set(left) == ALL_SUCCESSES
    details = {"asset_id": money, "bucket": "AVAILABLE", "available": "0.00", "requested": "1.00"}
    for refused in (answer.json() for answer in answers if not answer.is_success):
        assert (refused["code"], refused["details"]) == ("insufficient_balance", details)
    assert crowd.has(ann, money) == "0.00"
    debits = crowd.api.get("/v1/journal-entries", participant_id=ann, action_type="DEBIT", limit="200")
    assert len(debits["data"]) == COVERED


@MODES
@pytest.mark.parametrize("receivers", [1, CLIENTS])
def test_credits_take_what_the_wallet_has_and_no_more(crowd: Crowd, mode: str, receivers: int) -> None:
    people = crowd.participants(receivers)
    money = crowd.asset(inventory_mode=mode, issuance_policy="PREFUNDED")
    crowd.done(crowd.fund(money, "100.00"))
    answers = crowd.rush([crowd.credit(people[number % receivers], money, "1.00") for number in range(CLIENTS)])
    assert statuses(answers) == {200: COVERED, 422: CLIENTS - COVERED}
    details = {"asset_id": money, "program_id": crowd.program, "available": "0.00", "requested": "1.00"}
    for refused in (answer.json() for answer in answers if not answer.is_success):
        assert (refused["code"], refused["details"]) == ("insufficient_wallet", details)
    assert crowd.in_wallet(money) == "0.00"
    lines = crowd.api.get(f"/v1/programs/{crowd.program}/statement", asset_id=money, limit="200")["data"]
    assert [line["running_balance"] for line in lines] == [f"{left}.00" for left in range(COVERED, -1, -1)]
    assert crowd.had(money) == ({Decimal(100): 1} if receivers == 1 else {Decimal(1): COVERED})


THREADS = 24
SECONDS = 10.0
ROUNDS = 12
OPENING = "400.00"
TERMS = {
    "simple": {},
    "lots": {"inventory_mode": "LOT"},
    "wallet": {"inventory_mode": "LOT", "issuance_policy": "PREFUNDED"},
}


@dataclass
class Crossing:
    """Participants and groups who give each other what they have, in every direction, in three assets."""

    crowd: Crowd
    assets: dict[str, str] = field(init=False)
    holders: list[str] = field(init=False)

    def __post_init__(self) -> None:
        crowd = self.crowd
        people = crowd.participants(4)
        self.assets = {name: crowd.asset(**terms) for name, terms in TERMS.items()}
        self.holders = [f"participants/{id_}" for id_ in people]
        self.holders += [f"groups/{make(crowd.api, people[0])}" for _ in range(2)]
        crowd.done(crowd.fund(self.assets["wallet"], "3000.00"))
        for holder in self.holders:
            for asset_id in self.assets.values():
                crowd.done(crowd.on_balance(holder, "adjust", asset_id, OPENING, type="CREDIT"))

    def request(self, random: Random) -> tuple[Request, Decimal]:
        """Something to ask for, and by how much it changes what all holders have together."""
        asset_id = random.choice(list(self.assets.values()))
        amount = Decimal(random.randint(1, 9000)).scaleb(-2)
        kind = random.choice(["transfer"] * 6 + ["DEBIT", "CREDIT", "hold", "release"])
        if kind == "transfer":
            return self.transfer(random, asset_id), Decimal(0)
        holder = random.choice(self.holders)
        if kind in ("hold", "release"):
            return self.crowd.on_balance(holder, kind, asset_id, str(amount)), Decimal(0)
        request = self.crowd.on_balance(holder, "adjust", asset_id, str(amount), type=kind)
        return request, amount if kind == "CREDIT" else -amount

    def transfer(self, random: Random, asset_id: str) -> Request:
        """From one to one to four others, in any order, the same recipient more than once too."""
        source, *others = random.sample(self.holders, random.randint(2, 5))
        others += random.sample(others, random.randint(0, 1))
        body = {
            "program_id": self.crowd.program,
            "asset_id": asset_id,
            "description": "crossing",
            **{f"source_{name}": id_ for name, id_ in _named(source).items()},
            "recipients": [{"amount": str(random.randint(1, 60)), **_named(other)} for other in others],
        }
        return "/v1/transfers", body

    def work(self, seed: int, until: float) -> tuple[Counter[int], Counter[str]]:
        """What one client does: its answers by status, and what it added to each asset."""
        random, found, added = Random(seed), Counter[int](), Counter[str]()
        for _ in range(ROUNDS):
            if time.monotonic() > until:
                break
            request, change = self.request(random)
            answer = self.crowd.ask(request)
            found[answer.status_code] += 1
            assert answer.status_code in (200, 201, 422), answer.text
            if answer.is_success:
                added[request[1]["asset_id"]] += change
        return found, added


def _named(holder: str) -> dict[str, str]:
    kind, id_ = holder.split("/")
    return {f"{kind.removesuffix('s')}_id": id_}


def test_crossing_operations_conserve_value_and_never_deadlock(postgres: EmbeddedPostgres, tmp_path: Path) -> None:
    url = make_database(postgres.dsn, "ledger_crossing")
    with closing(Database(url, pool_size=4)) as database:
        with serve_process(url, tmp_path) as address, crowd_of(database, address) as crowd:
            crossing = Crossing(crowd)
            before = {id_: crowd.held_in_all(id_) for id_ in crossing.assets.values()}
            until = time.monotonic() + SECONDS
            results = together([lambda seed=seed: crossing.work(seed, until) for seed in range(THREADS)])  # type: ignore[misc]
            answers = sum((found for found, _ in results), Counter[int]())
            assert answers[201] >= 60, answers
            assert answers[200] >= 30, answers
            for name, id_ in crossing.assets.items():
                added = sum(changes[id_] for _, changes in results)
                assert crowd.held_in_all(id_) == before[id_] + added, name
                if name == "wallet":
                    assert Decimal(crowd.in_wallet(id_)) == Decimal("3000.00") - before[id_] - added
            assert_books(database, crowd.api.organization_id)
        assert deadlocks(database) == 0


SPENT = 10_000
CALLS = 200
SLOWER = 1.5


@pytest.mark.timeout(180)
def test_spent_lots_do_not_slow_debits_down(crowd: Crowd) -> None:
    money = crowd.asset(inventory_mode="LOT")
    bulk = Bulk(crowd.database, crowd.api.organization_id, UUID(crowd.program), UUID(money))
    people = dict(zip((SPENT, 10), crowd.participants(2), strict=True))
    for lots, id_ in people.items():
        bulk.spend(bulk.of_participant(UUID(id_)), lots)
        crowd.done(crowd.credit(id_, money, "10000.00"))

    def seconds(id_: str) -> float:
        started = time.perf_counter()
        crowd.done(crowd.debit(id_, money, "0.01"))
        return time.perf_counter() - started

    def ratio() -> float:
        times: dict[int, list[float]] = {lots: [] for lots in people}
        for number in range(CALLS):
            # who comes first takes turns too
            for lots, id_ in sorted(people.items(), reverse=bool(number % 2)):
                times[lots].append(seconds(id_))
        many, few = (statistics.median(times[lots]) for lots in people)
        return many / few

    ratios: list[float] = []
    while len(ratios) < 3 and (not ratios or ratios[-1] > SLOWER):
        ratios.append(ratio())
    assert ratios[-1] <= SLOWER, ratios
