"""The plans of the statements that a connection really sends, told by auto_explain."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from psycopg.errors import Diagnostic

from db.session import APPLICATION_ROLE, Connection

_SETTINGS = {
    "auto_explain.log_min_duration": "0",
    "auto_explain.log_analyze": "on",
    "auto_explain.log_timing": "off",
    "auto_explain.log_format": "json",
    "auto_explain.log_level": "notice",
    "client_min_messages": "notice",
}


@dataclass(frozen=True)
class Executed:
    """One statement as it was executed: its text, how long it took, and its plan as EXPLAIN gives it in JSON."""

    query: str
    milliseconds: float
    plan: dict[str, Any]

    @property
    def nodes(self) -> Iterator[dict[str, Any]]:
        """All nodes of the plan."""
        waiting = [self.plan]
        while waiting:
            node = waiting.pop()
            yield node
            waiting += node.get("Plans", ())

    @property
    def scanned(self) -> set[str]:
        """The tables that were read from end to end."""
        return {node["Relation Name"] for node in self.nodes if node["Node Type"] == "Seq Scan"}

    @property
    def indexes(self) -> set[str]:
        """The indexes that were used."""
        return {node["Index Name"] for node in self.nodes if "Index Name" in node}


@contextmanager
def plans_of(conn: Connection) -> Iterator[list[Executed]]:
    """Collects what is executed until the block ends; within one transaction of a login that may load modules.

    Statements are prepared at once, not when they have proved frequent.
    """
    found: list[Executed] = []

    def note(diagnostic: Diagnostic) -> None:
        head, is_plan, text = (diagnostic.message_primary or "").partition(" ms  plan:\n")
        if is_plan:
            content = json.loads(text)
            found.append(Executed(content["Query Text"], float(head.removeprefix("duration: ")), content["Plan"]))

    conn.execute("SET LOCAL ROLE NONE")
    conn.execute("LOAD 'auto_explain'")
    for name, value in _SETTINGS.items():
        conn.execute("SELECT set_config(%s, %s, true)", [name, value])
    conn.execute(f"SET LOCAL ROLE {APPLICATION_ROLE}")
    conn.add_notice_handler(note)
    usual, conn.prepare_threshold = conn.prepare_threshold, 0
    try:
        yield found
    finally:
        conn.prepare_threshold = usual
        conn.remove_notice_handler(note)
