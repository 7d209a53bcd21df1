"""What `openscrip up` shows when everything runs."""

from contextlib import suppress
from dataclasses import dataclass

from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.rule import Rule
from rich.table import Table

from runtime.settings import Settings


@dataclass(frozen=True, slots=True)
class Summary:
    """The facts of a running stack."""

    settings: Settings
    api_key: str
    balance: str | None
    participant_id: str | None
    ready_seconds: float


def print_summary(console: Console, summary: Summary) -> None:
    """Print where everything is and what to try next."""
    settings = summary.settings
    facts = [("API", settings.api_url), ("API docs", f"{settings.api_url}/docs")]
    if settings.temporal_address is None:
        facts.append(("Temporal UI", f"http://127.0.0.1:{settings.temporal_ui_port}"))
    facts += [("API key", summary.api_key), ("Data", escape(str(settings.data_dir)))]
    facts.append(("Logs", escape(str(settings.data_dir / "logs"))))
    if summary.balance is not None:
        facts.insert(0, ("Balance", f"[bold green]{summary.balance}[/bold green] earned by alice in the quickstart"))
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(no_wrap=True, overflow="ignore")
    for name, value in facts:
        table.add_row(name, value)
    with suppress(OSError):
        console.print()
        console.print(Rule(f"[bold]OpenScrip is ready[/bold] after {summary.ready_seconds:.1f} s", align="left"))
        console.print(Padding(table, (1, 2)))
        console.print("  [bold]Try next[/bold]\n")
        console.print(f"  {try_next(summary)}\n", markup=False)
        console.print("  Ctrl-C stops everything; the data stays.\n")


def try_next(summary: Summary) -> str:
    """Return a command line to copy."""
    path = f"/v1/participants/{summary.participant_id}/balances" if summary.participant_id else "/v1/programs"
    return f"curl -H 'Authorization: Bearer {summary.api_key}' {summary.settings.api_url}{path}"
