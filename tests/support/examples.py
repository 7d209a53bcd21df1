"""Acceptance examples: each test that carries one says so, and the run ends with how many of them hold."""

from collections import defaultdict

import pytest

PROPERTY = "example"


def name_examples(items: list[pytest.Item]) -> None:
    """Let each report say which example its test is."""
    for item in items:
        for mark in item.iter_markers("example"):
            file, number = mark.args
            item.user_properties.append((PROPERTY, f"{file} {number}"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Per file of the specification and in all: how many examples have only passing tests."""
    outcomes: dict[str, set[str]] = defaultdict(set)
    for outcome, reports in terminalreporter.stats.items():
        for report in reports:
            if getattr(report, "when", "call") != "call" and outcome == "passed":
                continue
            for name, value in getattr(report, "user_properties", ()):
                if name == PROPERTY and outcome in ("passed", "failed", "error", "skipped"):
                    outcomes[value].add(outcome)
    if not outcomes:
        return
    files: dict[str, list[bool]] = defaultdict(list)
    for example, results in outcomes.items():
        files[example.split(" ")[0]].append(results == {"passed"})
    terminalreporter.section("acceptance examples")
    for file, held in sorted(files.items()):
        terminalreporter.write_line(f"{file}: {sum(held)} of {len(held)}")
    everything = [one for held in files.values() for one in held]
    terminalreporter.write_line(f"examples: {sum(everything)} of {len(everything)}")
