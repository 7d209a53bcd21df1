"""What a run did and found, for people."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from chaos.clients import Fate, Log


@dataclass
class Report:
    """Everything that a run prints."""

    seed: int
    plan: str
    seconds: float
    log: Log = field(default_factory=Log)
    faults: Counter[str] = field(default_factory=Counter)
    missed_faults: list[str] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)
    unknowns: Counter[str] = field(default_factory=Counter)
    drain_seconds: float = 0.0
    entries: int = 0
    events: int = 0
    messages: int = 0
    received: int = 0
    logs: Path | None = None

    @property
    def violations(self) -> list[tuple[str, str]]:
        """What doesn't hold: the name of an invariant, and the row that breaks it."""
        return self.log.violations

    def lines(self) -> list[str]:
        """The whole report."""
        return [*self._operations(), *self._rest(), *self._found(), self.summary()]

    def summary(self) -> str:
        """One line to be pasted."""
        fates = Counter(outcome.fate for outcome in self.log.outcomes)
        return (
            f"seed {self.seed}, plan {self.plan}, {self.seconds:.0f} s: {len(self.log.outcomes)} operations "
            f"({fates[Fate.OK]} ok, {fates[Fate.REFUSED]} refused), {self.faults.total()} faults, "
            f"{self.unknowns.total()} unknown resolved, {self.events} events, {self.entries} entries, "
            f"{self.messages} messages, drained in {self.drain_seconds:.1f} s, {len(self.violations)} violations"
        )

    def _operations(self) -> list[str]:
        table: dict[str, Counter[str]] = {}
        for outcome in self.log.outcomes:
            told = outcome.fate if outcome.fate is not Fate.REFUSED else f"refused ({outcome.code})"
            table.setdefault(outcome.request.kind, Counter())[told] += 1
        return ["operations"] + [f"  {kind:<22} {_counted(table[kind])}" for kind in sorted(table)]

    def _rest(self) -> list[str]:
        lines = ["faults"] + [f"  {kind:<22} {count}" for kind, count in sorted(self.faults.items())]
        if self.missed_faults:
            lines.append(f"  not possible           {len(self.missed_faults)}, first {self.missed_faults[0]}")
        if self.ended:
            lines.append(f"  ended by themselves    {_counted(Counter(self.ended))}")
        answered_later = sum(outcome.was_unknown for outcome in self.log.outcomes)
        lines += ["unknown outcomes", f"  {_counted(self.unknowns) or 'none'}; {answered_later} in all were answered later"]
        return [*lines, f"drained in {self.drain_seconds:.1f} s; the receiver of webhooks got {self.received} requests"]

    def _found(self) -> list[str]:
        if not self.violations:
            return ["violations  0"]
        kept = [] if self.logs is None else [f"data and logs are kept in {self.logs}"]
        return [f"VIOLATIONS  {len(self.violations)}"] + [f"  {name}: {row}" for name, row in self.violations] + kept


def _counted(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.most_common())
