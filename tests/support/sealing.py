"""Sealing on the spot, for tests in which no worker does it."""

from activities.ledger_seal import Sealer
from db.session import Database
from tests.support.stack import poll


def seal_all(database: Database) -> None:
    """Seal everything of a database; others' transactions, which hold the horizon back, are waited for."""
    sealer = Sealer(database)
    poll(lambda: not sealer.round() and not sealer.finish().unsealed)
