"""Facts about this machine and about where processor time went; read from /proc, absent where there is none."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
API, WORKERS, POSTGRES, TEMPORAL = "api", "workers", "postgres", "temporal"
CLIENTS, OTHERS = "clients", "others"

# Fields of /proc/<pid>/stat after the command's closing parenthesis, counted from 0.
_PARENT, _USER, _SYSTEM, _CHILD_USER, _CHILD_SYSTEM = 1, 11, 12, 13, 14


@dataclass(frozen=True, slots=True)
class Machine:
    """What a reader must know to compare two runs."""

    cores: int
    load_at_start: float
    processor: str


def machine() -> Machine:
    """Look at this machine."""
    return Machine(os.cpu_count() or 1, os.getloadavg()[0], _processor())


def _processor() -> str:
    try:
        found = re.search(r"^model name\s*:\s*(.+)$", (PROC / "cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        return "unknown"
    return found[1].strip() if found else "unknown"


def cpu_seconds(pids: Mapping[str, int]) -> dict[str, float]:
    """Processor seconds so far by kind of process, and of the whole machine as `others`; empty without /proc."""
    if not (PROC / "self" / "stat").exists():
        return {}
    spent = dict.fromkeys((API, WORKERS, POSTGRES, TEMPORAL), 0.0)
    for service, pid in pids.items():
        kind = kind_of(service)
        if kind == POSTGRES:
            spent[kind] += _family_seconds(pid)
        elif kind is not None:
            spent[kind] += _own_seconds(pid)
    spent[OTHERS] = _machine_seconds()
    return spent


def kind_of(service: str) -> str | None:
    """Which row a service's time is shown in; None for helpers that report their own."""
    if service in (API, POSTGRES, TEMPORAL):
        return service
    return WORKERS if service.startswith(("worker-", "baseline-worker-")) else None


def _stat(pid: int | str) -> list[str]:
    try:
        return (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _own_seconds(pid: int) -> float:
    fields = _stat(pid)
    return _seconds(fields, _USER, _SYSTEM)


def _family_seconds(pid: int) -> float:
    """A server with a process per connection: its own time, its children's, and that of those that have ended."""
    total = _seconds(_stat(pid), _USER, _SYSTEM, _CHILD_USER, _CHILD_SYSTEM)
    for entry in PROC.iterdir():
        if entry.name.isdigit():
            fields = _stat(entry.name)
            if fields and fields[_PARENT] == str(pid):
                total += _seconds(fields, _USER, _SYSTEM)
    return total


def _seconds(fields: list[str], *columns: int) -> float:
    return sum(int(fields[column]) for column in columns) / _ticks() if fields else 0.0


def _machine_seconds() -> float:
    """User, nice, system and interrupt time of all cores."""
    values = [int(value) for value in (PROC / "stat").read_text().split("\n", 1)[0].split()[1:]]
    user, nice, system, _idle, _iowait, irq, softirq, *_ = values
    return (user + nice + system + irq + softirq) / _ticks()


def _ticks() -> int:
    return os.sysconf("SC_CLK_TCK")


def resident_bytes(pid: int) -> int:
    """The memory that a process has at this moment; 0 without /proc, or when it is gone."""
    try:
        pages = (PROC / str(pid) / "statm").read_text().split()[1]
    except OSError:
        return 0
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def spent_between(before: Mapping[str, float], after: Mapping[str, float], clients: float) -> dict[str, float]:
    """Processor seconds by kind between two looks; `others` is what the machine did besides us."""
    if not before:
        return {}
    spent = {kind: after[kind] - before[kind] for kind in before if kind != OTHERS}
    spent[CLIENTS] = clients
    spent[OTHERS] = max(0.0, after[OTHERS] - before[OTHERS] - sum(spent.values()))
    return spent
