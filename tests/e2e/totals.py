"""What the cashback program of the loader really paid, to be held against examples/expected.py."""

from decimal import Decimal
from typing import Any

from db.session import Database
from tests.support.books import assert_books

RULE = "3 % back"


def paid(database: Database) -> dict[str, Any]:
    """The totals of the only organization, in the form of examples/expected.py."""
    cashback = _rows(
        database,
        """
        SELECT p.external_id, sum(g.amount) FROM journal_entries e JOIN rules r ON r.id = e.rule_id AND r.name = %s
        JOIN postings g ON g.entry_id = e.id AND g.entity_type = 'PARTICIPANT' JOIN participants p ON p.id = g.entity_id
        GROUP BY p.external_id ORDER BY p.external_id
        """,
        RULE,
    )
    return {
        "events": _value(database, "SELECT count(*) FROM events"),
        "credited": text(_value(database, "SELECT sum(available) FROM balances")),
        "cashback": text(sum(amount for _, amount in cashback)),
        "participants_with_balance": _value(database, "SELECT count(*) FROM balances WHERE available > 0"),
        "big_spenders": _value(database, "SELECT count(*) FROM holders WHERE 'big_spender' = ANY(tags)"),
        "cashback_by_customer": {name: text(amount) for name, amount in cashback},
    }


def nothing_waits(database: Database) -> bool:
    """Whether every event is COMPLETED."""
    done = _value(database, "SELECT count(*) FROM event_outcomes WHERE status = 'COMPLETED'")
    return bool(done == _value(database, "SELECT count(*) FROM events"))


def assert_sound(database: Database) -> None:
    """Each event was done once, each rule paid once for it, and the books are balanced."""
    assert nothing_waits(database)
    assert _rows(database, "SELECT * FROM event_queue") == []
    twice = """
        SELECT event_id, rule_id, count(*) FROM journal_entries WHERE event_id IS NOT NULL
        GROUP BY event_id, rule_id HAVING count(*) > 1
    """
    assert _rows(database, twice) == []
    without = "SELECT id FROM journal_entries e WHERE NOT EXISTS (SELECT 1 FROM event_outcomes o WHERE o.event_id = e.event_id)"
    assert _rows(database, without) == []
    [(organization_id,)] = _rows(database, "SELECT DISTINCT organization_id FROM events")
    assert_books(database, organization_id)


def entries(database: Database) -> int:
    return int(_value(database, "SELECT count(*) FROM journal_entries"))


def text(amount: Decimal | int) -> str:
    return f"{amount:.2f}"


def _rows(database: Database, statement: str, *parameters: object) -> list[tuple[Any, ...]]:
    with database.connection() as conn:
        return conn.execute(statement, list(parameters)).fetchall()


def _value(database: Database, statement: str) -> Any:
    return _rows(database, statement)[0][0]
