"""The results as tables for people."""

import statistics

from rich.console import Console
from rich.table import Table

from bench.facts import OTHERS
from bench.results import (
    BASELINE_AIM,
    BUDGETS,
    FAN_OUT_MEMORY,
    FAN_OUT_REST,
    LATENCY_AIMS,
    REDEMPTION_AIM,
    SHARES,
    TIER_EVENTS_BUDGET,
    TIER_GROWTH_BUDGET,
    TIER_HOLDERS_AIM,
    VOLUME_BUDGET,
    WEBHOOK_BUDGET,
    FanOutTimes,
    Figure,
    RedemptionTimes,
    Results,
    TierTimes,
    VolumeTimes,
    WebhookLoad,
)

TITLES = {
    Figure.BATCH: "batch ingest",
    Figure.RULES: "batch, 200 rules",
    Figure.SCARCE: "batch, budget+wallet",
    Figure.SINGLE: "single ingest",
    Figure.BASELINE: "baseline",
}


def print_results(console: Console, results: Results) -> None:
    """Print throughput, latency and where the processor time went."""
    console.print(throughput(results))
    if results.latency is not None:
        console.print(latency(results))
    if results.redemptions is not None:
        console.print(redemptions(results.redemptions))
    if results.webhooks is not None:
        console.print(webhooks(results.webhooks))
    if results.fan_outs is not None:
        console.print(fan_outs(results.fan_outs))
    if results.volume is not None:
        console.print(volume(results.volume))
    if results.tiers is not None:
        console.print(tiers(results.tiers))
    if results.cpu_per_transaction():
        console.print(processor_time(results))
    machine = results.machine
    console.print(
        f"{machine.cores} cores ({machine.processor}), load average {machine.load_at_start:.1f} at the start, "
        f"{results.workers} workers, {results.deadlocks} deadlocks, books exact after every round, "
        f"everything sealed at most {results.sealing_seconds:.1f} s after it, {results.seconds:.0f} s in all"
    )


def throughput(results: Results) -> Table:
    """Events per second, the median of the rounds and their range; the ratio is the median of each round's own."""
    table = Table(title="Throughput, end to end: from the first request until every event is posted", title_justify="left")
    for heading in ("figure", "per s", "rounds", "x pgbench", "x base", "budget", "aim", "verdict"):
        table.add_column(heading, justify="left" if heading in ("figure", "verdict") else "right")
    table.add_row("pgbench, tps", f"{results.tps:.0f}", _range(results.pgbench_tps), "1", "", "", "", "")
    base = results.rate(Figure.BASELINE)
    for figure, title in TITLES.items():
        if not results.runs.get(figure):
            continue
        against = f"{results.rate(figure) / base:.1f}" if base and figure is not Figure.BASELINE else ""
        budget = BUDGETS.get(figure)
        goals = (f"{budget.now:g}", f"{budget.aim:g}", _verdict(results, figure)) if budget else ("", "", "")
        table.add_row(
            title,
            f"{results.rate(figure):.0f}",
            _range([run.rate for run in results.runs[figure]]),
            f"{results.ratio(figure):.2f}",
            against,
            *goals,
        )
    notes = [
        f"{TITLES[figure]} against batch ingest: {share:.2f} (budget {least:g})"
        for figure, least in SHARES.items()
        if (share := results.share_of_batch(figure)) is not None
    ]
    if base:
        notes.append(f"baseline: one workflow per event; aim: single ingest at least {BASELINE_AIM:g} x that")
    table.caption = "\n".join(notes) or None
    return table


def _range(values: list[float]) -> str:
    return f"{min(values):.0f}-{max(values):.0f}"


def _verdict(results: Results, figure: Figure) -> str:
    budget, ratio = BUDGETS[figure], results.ratio(figure)
    if ratio < budget.now:
        return "[red]missed"
    return "[green]aim reached" if ratio >= budget.aim else "[green]ok"


def latency(results: Results) -> Table:
    """Answer and accept-to-posted times at a steady rate."""
    found = results.latency
    assert found is not None
    table = Table(title=f"Latency at {found.rate:g} events/s, {found.events} events, ms", title_justify="left")
    for heading in ("", "p50", "p99", "aim on an idle machine"):
        table.add_column(heading, justify="left" if not heading else "right")
    table.add_row("HTTP answer", f"{found.answer_p50:.1f}", f"{found.answer_p99:.1f}", "")
    aims = ", ".join(f"p{percent} {aim:g}" for percent, aim in LATENCY_AIMS.items())
    table.add_row("accepted to posted", f"{found.posted_p50:.1f}", f"{found.posted_p99:.1f}", aims)
    return table


def redemptions(found: RedemptionTimes) -> Table:
    """A redemption's answer beside the bare debit."""
    title = f"Redemptions by one client, {found.redemptions}, ms: p50 is {found.ratio:.1f} x a bare debit in SQL"
    table = Table(title=title, title_justify="left")
    for heading in ("", "p50", "p99", "aim on an idle machine"):
        table.add_column(heading, justify="left" if not heading else "right")
    table.add_row("HTTP answer", f"{found.p50:.1f}", f"{found.p99:.1f}", f"p50 {REDEMPTION_AIM:g}")
    table.add_row("bare debit", f"{found.bare_p50:.1f}", f"{found.bare_p99:.1f}", "")
    return table


def webhooks(found: WebhookLoad) -> Table:
    """What receivers got while events came at a steady rate."""
    title = f"Webhooks for {found.seconds:.0f} s, {found.endpoints} endpoints that hear of each of {found.rate:g} events/s"
    table = Table(title=title, title_justify="left")
    for heading in ("received per s", "budget", "recorded to received, ms: p50", "p99", "behind half-way", "at the end"):
        table.add_column(heading, justify="right")
    table.add_row(
        f"{found.received_per_second:.0f}",
        f"{WEBHOOK_BUDGET:g}",
        f"{found.received_p50:.1f}",
        f"{found.received_p99:.1f}",
        str(found.behind_half_way),
        str(found.behind),
    )
    spent = ", ".join(f"{kind} {each:.2f}" for kind, each in found.cpu_per_delivery().items())
    table.caption = f"processor time per delivery, with its share of the event, ms: {spent}"
    return table


def fan_outs(found: FanOutTimes) -> Table:
    """Fan-outs by how they choose."""
    table = Table(title=f"Fan-outs over {found.participants} participants", title_justify="left")
    for heading in ("", "chosen", "events", "s to its end", "s to the last event", "growth of a worker, MB"):
        table.add_column(heading, justify="left" if not heading else "right")
    for run in found.runs:
        times = (f"{run.seconds:.1f}", f"{run.posted_seconds:.1f}", f"{run.growth:.1f}")
        table.add_row(run.name, str(run.total), str(run.events), *times)
    rest = "was over before" if found.after_cancel is None else f"stopped after {found.after_cancel} more, budget {FAN_OUT_REST}"
    told = f"its progress was told in {found.progress_ms:.0f} ms"
    table.caption = f"growth budget {FAN_OUT_MEMORY:g} MB; one that was cancelled {rest}; {told}"
    return table


def volume(found: VolumeTimes) -> Table:
    """Batch ingest into nearly empty and into full books, in units of pgbench."""
    table = Table(title=f"Batch ingest after {found.entries} entries of {found.participants} participants", title_justify="left")
    for heading in ("", "x pgbench", "rounds"):
        table.add_column(heading, justify="left" if not heading else "right")
    for name, ratios in (("before", found.before), ("after", found.after)):
        table.add_row(name, f"{statistics.median(ratios):.2f}", f"{min(ratios):.2f}-{max(ratios):.2f}")
    rate = found.entries / found.filling_seconds
    verdict = "[red]missed" if found.ratio < VOLUME_BUDGET else "[green]ok"
    judged = f"after: {found.ratio:.2f} x before (budget {VOLUME_BUDGET:g}) {verdict}[/]"
    table.caption = f"{judged}; filled at {rate:.0f} events/s; verified in {found.verify_seconds:.0f} s"
    return table


def tiers(found: TierTimes) -> Table:
    """Period ends of a tier, alone and under load; events between the two, and beside the second."""
    table = Table(title=f"Period end of a tier with {found.holders} holders", title_justify="left")
    for heading in ("", "seconds", "holders/s", "pages", "growth, MB", "events/s", "verdict"):
        table.add_column(heading, justify="left" if heading in ("", "verdict") else "right")
    verdict = "[red]missed" if found.is_missed else "[green]ok"
    rows = (("alone", found.alone, found.before, ""), ("under load", found.busy, found.during, verdict))
    for name, end, events, judged in rows:
        rate = found.holders / end.seconds
        sizes = (f"{end.seconds:.1f}", f"{rate:.0f}", str(end.pages), f"{end.growth_mb:.0f}")
        table.add_row(name, *sizes, _range(events), judged)
    table.caption = (
        f"events during it: {found.ratio:.2f} x those before (budget {TIER_EVENTS_BUDGET:g}); growth of a worker: below "
        f"{TIER_GROWTH_BUDGET:g} MB; aim alone: {TIER_HOLDERS_AIM:g} holders/s"
    )
    return table


def processor_time(results: Results) -> Table:
    """Milliseconds of processor time per event and per transaction of pgbench; on a busy machine steadier than any rate."""
    table = Table(title="Processor time per event, ms", title_justify="left")
    rows = {"pgbench": results.cpu_per_transaction()} | {str(figure): results.cpu_per_event(figure) for figure in results.runs}
    ours = [kind for kind in rows["pgbench"] if kind != OTHERS]
    for heading in ("figure", *ours, "sum", OTHERS):
        table.add_column(heading, justify="left" if heading == "figure" else "right")
    for name, spent in rows.items():
        values = [*(spent[kind] for kind in ours), sum(spent[kind] for kind in ours), spent[OTHERS]]
        table.add_row(name, *(f"{value:.2f}" for value in values))
    return table
