"""`openscrip export`: the sealed journal of an organization, for whoever wants to verify it without us."""

import sys
from contextlib import nullcontext
from pathlib import Path
from uuid import UUID

from cli.verify import snapshot
from services.ledger_export import export_entries


def run(organization: UUID, output: Path | None) -> None:
    """Write one line of JSON for each sealed entry, in sequence, to a file or to standard output; one moment of the database."""
    written = 0
    opened = output.open("wb") if output else nullcontext(sys.stdout.buffer)
    with snapshot() as session, opened as file:
        for line in export_entries(session, organization):
            file.write(line.encode() + b"\n")
            written += 1
    sys.stderr.write(f"{written} entries\n")
