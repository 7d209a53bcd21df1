"""Random sequences of every operation in real transactions, under a clock that jumps: the database against a slow model.

After every step the journal, balances, wallets, lots, holds and due moments are the model's; at the end the invariants
hold that the rows alone show, and the outbox has told of every entry. LEDGER_SEQUENCES asks for more sequences than the ordinary suite runs, LEDGER_SEED for others.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import closing
from random import Random

import pytest

from db.session import Database
from runtime.embedded import EmbeddedPostgres
from tests.services.ledger_bank import Bank
from tests.services.ledger_steps import Steps
from tests.support.books import assert_books
from tests.support.databases import make_database
from tests.support.message_book import assert_told
from tests.support.outbox import make_endpoint

SEQUENCES = int(os.environ.get("LEDGER_SEQUENCES", "16"))
FIRST_SEED = int(os.environ.get("LEDGER_SEED", "1"))
STEPS = 40
WEIGHTS: dict[Callable[[Steps], None], int] = {
    Steps.time_passes: 6,
    Steps.credit: 9,
    Steps.debit: 4,
    Steps.hold: 6,
    Steps.release: 4,
    Steps.forfeit: 2,
    Steps.void: 2,
    Steps.transfer: 5,
    Steps.wallet: 2,
    Steps.again: 2,
    Steps.again_but_other: 1,
    Steps.look: 2,
    Steps.sweep: 1,
    Steps.deadline: 1,
}


@pytest.fixture(scope="module")
def ledger(postgres: EmbeddedPostgres) -> Iterator[Database]:
    """A database whose clock this module moves."""
    with closing(Database(make_database(postgres.dsn, "ledger_machine"), pool_size=2)) as database:
        yield database


@pytest.mark.parametrize("seed", range(FIRST_SEED, FIRST_SEED + SEQUENCES))
def test_every_operation_is_the_models(ledger: Database, seed: int) -> None:
    random = Random(seed)
    bank = Bank(ledger)
    scales = random.sample([0, 2, 8, 18], 2)
    for number, scale in enumerate(scales):
        is_lot, is_prefunded = number == 0 or random.random() < 0.3, random.random() < 0.5
        maximum = 10 if random.random() < 0.1 else None
        bank.mint(is_lot=is_lot, is_prefunded=is_prefunded, scale=scale, maximum=maximum)
    make_endpoint(ledger, bank.author.organization_id, "*")
    steps = Steps(bank, random)
    done: list[str] = []
    try:
        for step in random.choices(list(WEIGHTS), list(WEIGHTS.values()), k=STEPS):
            done.append(step.__name__)
            step(steps)
        assert_books(ledger, bank.author.organization_id)
        assert len(assert_told(ledger, bank.author.organization_id)) > STEPS / 4
    except BaseException as error:
        error.add_note(f"seed {seed}: {', '.join(done)}; last: {steps.attempts[-1].request}")
        raise
    finally:
        bank.close()
