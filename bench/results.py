"""What a run measured, as data: the table and the JSON file show the same."""

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from bench.facts import Machine


class Figure(StrEnum):
    """What can be measured alone by `--only`."""

    BATCH = "batch"
    RULES = "rules"
    SCARCE = "scarce"
    SINGLE = "single"
    LATENCY = "latency"
    REDEMPTIONS = "redemptions"
    WEBHOOKS = "webhooks"
    FANOUT = "fanout"
    BASELINE = "baseline"
    VOLUME = "volume"
    TIERS = "tiers"


@dataclass(frozen=True, slots=True)
class Budget:
    """Ratios to pgbench: what must be kept now, and what is aimed at."""

    now: float
    aim: float


BUDGETS = {Figure.BATCH: Budget(0.6, 1.0), Figure.SINGLE: Budget(0.2, 0.3)}
# Batches into a program of 200 rules, and into one whose value is scarce, against those into a program of ten rules.
SHARES = {Figure.RULES: 0.6, Figure.SCARCE: 0.6}
# Single posts against the baseline.
BASELINE_AIM = 15.0
# Milliseconds from acceptance to visible effects, on an idle machine with two cores.
LATENCY_AIMS = {50: 30.0, 99: 150.0}
# Deliveries a second to a receiver that answers at once, while so many events come: nearly as many as are offered.
WEBHOOK_BUDGET, EVENT_BUDGET = 300.0, 195.0
# The same for a redemption, from the request to its answer.
REDEMPTION_AIM = 30.0
# Events while a period end is under way, against those before; holders a second alone; megabytes that a worker grows by.
TIER_EVENTS_BUDGET = 0.5
TIER_HOLDERS_AIM = 2000.0
TIER_GROWTH_BUDGET = 100.0

# Batches into books that are full, against the same into books that are nearly empty.
VOLUME_BUDGET = 0.8

# Growth of a worker's memory by a fan-out, in megabytes; and how many participants may have their turn after it is told to stop:
# a page that is under way, and one that begins while the request is on its way.
FAN_OUT_MEMORY, FAN_OUT_REST = 100.0, 2 * 500


@dataclass(frozen=True, slots=True)
class Run:
    """One round of a figure; seconds from the first request until all of its events are posted; CPU seconds by kind.

    `sealing_seconds` later their entries were sealed, too; the CPU seconds include it.
    `yardstick` is the number of the pgbench round just before it, from 0; the next one is just after it.
    """

    yardstick: int
    events: int
    seconds: float
    sending_seconds: float
    answer_p50_ms: float
    sealing_seconds: float
    cpu: dict[str, float]

    @property
    def rate(self) -> float:
        """Events posted per second."""
        return self.events / self.seconds


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds at a steady rate: the answer, the moment of processing, and when other transactions see the effects."""

    rate: float
    events: int
    answer_p50: float
    answer_p99: float
    posted_p50: float
    posted_p99: float


@dataclass(frozen=True, slots=True)
class RedemptionTimes:
    """Milliseconds of redemptions by one client, one after the other, and of bare debits in SQL."""

    redemptions: int
    p50: float
    p99: float
    bare_p50: float
    bare_p99: float

    @property
    def ratio(self) -> float:
        """How many bare debits a redemption takes."""
        return self.p50 / self.bare_p50


@dataclass(frozen=True, slots=True)
class WebhookLoad:
    """Deliveries beside events that came at a `rate` for `seconds`, each of which makes one for every endpoint.

    Milliseconds are from the moment a message was recorded, shortly before its commit, to its receipt. `behind` are those
    not received yet of what had been sent, half-way and at the end of the sending; CPU seconds by kind.
    """

    rate: float
    seconds: float
    endpoints: int
    deliveries: int
    received_per_second: float
    received_p50: float
    received_p99: float
    behind_half_way: int
    behind: int
    cpu: dict[str, float]

    def cpu_per_delivery(self) -> dict[str, float]:
        """Milliseconds of processor time per delivery by kind of process, the event's own included."""
        return {kind: 1000 * spent / self.deliveries for kind, spent in self.cpu.items()}


@dataclass(frozen=True, slots=True)
class FanOutRun:
    """A fan-out: how many it chose and made events for, seconds to its end and until all events are processed, and the most
    megabytes that a worker grew by.
    """

    name: str
    total: int
    events: int
    seconds: float
    posted_seconds: float
    growth: float


@dataclass(frozen=True, slots=True)
class FanOutTimes:
    """Fan-outs to so many participants.

    `after_cancel`: how many a cancelled one still served, None when it was over before; `progress_ms`: a flow's answer.
    """

    participants: int
    runs: list[FanOutRun]
    after_cancel: int | None
    progress_ms: float

    @property
    def is_within_budget(self) -> bool:
        """Whether no worker grew too much, and the cancelled one ended soon."""
        return max(run.growth for run in self.runs) < FAN_OUT_MEMORY and (self.after_cancel or 0) <= FAN_OUT_REST


@dataclass(frozen=True, slots=True)
class PeriodEnd:
    """Seconds from its moment until nobody has anything due, pages of the flow, and the megabytes the worst worker grew by."""

    seconds: float
    pages: int
    growth_mb: float


@dataclass(frozen=True, slots=True)
class TierTimes:
    """Two period ends of a tier, one alone and one under load; events a second of each round before and during the latter."""

    holders: int
    alone: PeriodEnd
    busy: PeriodEnd
    before: list[float]
    during: list[float]

    @property
    def ratio(self) -> float:
        """Events during the period end in units of those before."""
        return statistics.median(self.during) / statistics.median(self.before)

    @property
    def holders_per_second(self) -> float:
        """Of the period end alone."""
        return self.holders / self.alone.seconds

    @property
    def growth_mb(self) -> float:
        """The megabytes that a worker grew by at most."""
        return max(self.alone.growth_mb, self.busy.growth_mb)

    @property
    def is_missed(self) -> bool:
        """Whether a budget is missed."""
        return self.ratio < TIER_EVENTS_BUDGET or self.growth_mb >= TIER_GROWTH_BUDGET


@dataclass(frozen=True, slots=True)
class VolumeTimes:
    """Batch ingest before and after so many entries of so many participants were posted, which took `filling_seconds`.

    Each round is a ratio to the pgbench rounds on both sides of it. In the end `openscrip verify` took `verify_seconds` to derive
    everything from the postings and to walk the whole chain of seals.
    """

    entries: int
    participants: int
    filling_seconds: float
    verify_seconds: float
    before: list[float]
    after: list[float]

    @property
    def ratio(self) -> float:
        """What is left of the throughput when the books are full."""
        return statistics.median(self.after) / statistics.median(self.before)


@dataclass(slots=True)
class Results:
    """Everything of one run."""

    machine: Machine
    workers: int
    pgbench_tps: list[float] = field(default_factory=list)
    pgbench_cpu_ms: list[dict[str, float]] = field(default_factory=list)
    runs: dict[Figure, list[Run]] = field(default_factory=dict)
    latency: Latency | None = None
    redemptions: RedemptionTimes | None = None
    webhooks: WebhookLoad | None = None
    fan_outs: FanOutTimes | None = None
    volume: VolumeTimes | None = None
    tiers: TierTimes | None = None
    deadlocks: int = 0
    seconds: float = 0.0

    @property
    def tps(self) -> float:
        """The yardstick: the median round of pgbench."""
        return statistics.median(self.pgbench_tps)

    def rate(self, figure: Figure) -> float:
        """The median round of a figure, events per second; 0 when it wasn't measured."""
        runs = self.runs.get(figure, [])
        return statistics.median(run.rate for run in runs) if runs else 0.0

    def ratio(self, figure: Figure) -> float:
        """The median round of a figure in units of pgbench; 0 when it wasn't measured."""
        ratios = self.ratios(figure)
        return statistics.median(ratios) if ratios else 0.0

    def ratios(self, figure: Figure) -> list[float]:
        """Each round against the pgbench rounds on both sides of it, so that a machine's changing mood drops out."""
        return [self.ratio_of(run) for run in self.runs.get(figure, [])]

    def ratio_of(self, run: Run) -> float:
        """One round against the pgbench rounds beside it."""
        return run.rate / statistics.mean(self.pgbench_tps[run.yardstick : run.yardstick + 2])

    @property
    def sealing_seconds(self) -> float:
        """How long after the last event of a round its last entry was sealed, at most."""
        return max((run.sealing_seconds for runs in self.runs.values() for run in runs), default=0.0)

    def missed(self) -> list[Figure]:
        """Figures that were measured and miss the budget of today."""
        missed = [figure for figure, budget in BUDGETS.items() if self.runs.get(figure) and self.ratio(figure) < budget.now]
        if self.fan_outs is not None and not self.fan_outs.is_within_budget:
            missed.append(Figure.FANOUT)
        missed += [figure for figure, least in SHARES.items() if (self.share_of_batch(figure) or least) < least]
        told = self.webhooks
        if told is not None and (told.received_per_second < WEBHOOK_BUDGET or told.rate < EVENT_BUDGET):
            missed.append(Figure.WEBHOOKS)
        if self.volume is not None and self.volume.ratio < VOLUME_BUDGET:
            missed.append(Figure.VOLUME)
        return [*missed, Figure.TIERS] if self.tiers is not None and self.tiers.is_missed else missed

    def share_of_batch(self, figure: Figure) -> float | None:
        """The median round of a figure in units of the median round of plain batches; None unless both were measured."""
        if not (self.runs.get(Figure.BATCH) and self.runs.get(figure)):
            return None
        return self.rate(figure) / self.rate(Figure.BATCH)

    def cpu_per_event(self, figure: Figure) -> dict[str, float]:
        """Milliseconds of processor time per event by kind of process, over all rounds."""
        runs = self.runs.get(figure, [])
        events = sum(run.events for run in runs)
        kinds = runs[0].cpu if runs else {}
        return {kind: 1000 * sum(run.cpu[kind] for run in runs) / events for kind in kinds}

    def cpu_per_transaction(self) -> dict[str, float]:
        """Milliseconds of processor time per transaction of pgbench, the median round of each kind."""
        kinds = self.pgbench_cpu_ms[0] if self.pgbench_cpu_ms else {}
        return {kind: statistics.median(spent[kind] for spent in self.pgbench_cpu_ms) for kind in kinds}

    def as_json(self) -> dict[str, Any]:
        """All of it, with the ratios, for machines."""
        return {
            "machine": asdict(self.machine),
            "worker_processes": self.workers,
            "pgbench": {
                "tps": round(self.tps, 1),
                "rounds": [round(tps, 1) for tps in self.pgbench_tps],
                "cpu_ms_per_transaction": {kind: round(spent, 4) for kind, spent in self.cpu_per_transaction().items()},
            },
            "figures": self._figures_as_json(),
            "latency_ms": None if self.latency is None else asdict(self.latency),
            "redemptions_ms": None
            if self.redemptions is None
            else asdict(self.redemptions) | {"ratio_to_bare": round(self.redemptions.ratio, 2)},
            "webhooks": None if self.webhooks is None else asdict(self.webhooks),
            "fan_outs": None if self.fan_outs is None else asdict(self.fan_outs),
            "volume": None if self.volume is None else asdict(self.volume) | {"ratio": round(self.volume.ratio, 3)},
            "tiers": None
            if self.tiers is None
            else asdict(self.tiers)
            | {"events_ratio": round(self.tiers.ratio, 3), "holders_per_second": round(self.tiers.holders_per_second, 1)},
            "shares_of_batch": {figure: self.share_of_batch(figure) for figure in SHARES},
            "deadlocks": self.deadlocks,
            "sealing_seconds": round(self.sealing_seconds, 2),
            "missed": self.missed(),
            "seconds": round(self.seconds, 1),
        }

    def _figures_as_json(self) -> dict[str, Any]:
        return {
            figure: {
                "events_per_second": round(self.rate(figure), 1),
                "ratio_to_pgbench": round(self.ratio(figure), 4),
                "ratios": [round(ratio, 4) for ratio in self.ratios(figure)],
                "budget": asdict(BUDGETS[figure]) if figure in BUDGETS else None,
                "cpu_ms_per_event": {kind: round(spent, 4) for kind, spent in self.cpu_per_event(figure).items()},
                "rounds": [asdict(run) | {"events_per_second": round(run.rate, 1)} for run in runs],
            }
            for figure, runs in self.runs.items()
        }


def percentile(values: Sequence[float], percent: int) -> float:
    """The value that `percent` of them don't exceed; 0 of none."""
    if not values:
        return 0.0
    ranked = sorted(values)
    return ranked[min(len(ranked) - 1, max(0, -(-percent * len(ranked) // 100) - 1))]
