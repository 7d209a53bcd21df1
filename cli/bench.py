"""`openscrip bench`: throughput and latency as ratios to pgbench on the same server, in the same run."""

import json
import time
from contextlib import suppress
from pathlib import Path

import typer
from rich.console import Console

from bench.facts import machine
from bench.report import print_results
from bench.results import Figure, Results
from bench.run import Bench, Options
from bench.server import BenchStack, bench_settings, scratch_folder
from runtime.supervisor import StopRequested, Supervisor

MEMBERS = 2000


def run(
    *,
    seconds: int,
    events: int,
    rounds: int,
    holders: int,
    entries: int,
    webhook_seconds: int,
    only: list[str] | None,
    json_file: Path | None,
    check: bool,
) -> None:
    """Measure on a fresh stack of our own, print the tables; exit code 1 with `check` when a budget is missed."""
    options = Options(seconds, events, rounds, min(MEMBERS, events), holders, entries, _figures(only), webhook_seconds)
    console = Console(highlight=False)
    results = measure(options, console)
    if results is None:
        console.print("stopped")
        raise typer.Exit(130)
    print_results(console, results)
    if json_file is not None:
        json_file.write_text(json.dumps(results.as_json(), indent=2) + "\n")
    if check and results.missed():
        raise typer.Exit(1)


def measure(options: Options, console: Console) -> Results | None:
    """Run everything and stop everything; None when somebody asked to stop."""
    started = time.monotonic()
    with suppress(StopRequested), scratch_folder(console) as folder:
        settings = bench_settings(folder / "data")
        results = Results(machine(), settings.worker_processes)
        with Supervisor(settings.data_dir) as supervisor:
            stack = BenchStack(settings, supervisor, console)
            stack.start_servers()
            Bench(stack, options, results).run()
        results.seconds = time.monotonic() - started
        return results
    return None


def _figures(only: list[str] | None) -> frozenset[Figure]:
    try:
        return frozenset(Figure(name) for name in only) if only else frozenset(Figure)
    except ValueError:
        raise typer.BadParameter(f"one of {', '.join(Figure)}", param_hint="--only") from None
