"""`openscrip bench` for real, with tiny sizes: its figures, its check of the books, and that it leaves nothing behind."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench.facts import Machine
from bench.plan import Plan, Report, bodies, purchases
from bench.receiver import Arrivals
from bench.results import FanOutRun, FanOutTimes, Figure, PeriodEnd, Results, Run, TierTimes, VolumeTimes, WebhookLoad, percentile
from bench.tiers import after_period_end
from bench.webhooks import judge
from tests.cli.stack import ROOT
from tests.runtime.folders import passable_folder

TINY = ("--seconds", "1", "--events", "200", "--rounds", "1", "--holders", "250", "--entries", "500", "--webhook-seconds", "1")


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("OPENSCRIP_")}
    # settings of another deployment, which a bench must never touch
    foreign = {"OPENSCRIP_DATABASE_URL": "postgresql://127.0.0.1:1/real", "OPENSCRIP_TEMPORAL_ADDRESS": "127.0.0.1:1"}
    return subprocess.Popen(
        [sys.executable, "-m", "cli", "bench", *TINY, *arguments],
        cwd=ROOT,
        env=inherited | foreign | {"TMPDIR": str(folder), "OPENSCRIP_WORKER_PROCESSES": "1", "COLUMNS": "120"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def mentioning(folder: Path) -> list[str]:
    """Command lines of living processes that name the folder."""
    lines = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = entry.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(folder) in line:
            lines.append(line)
    return lines


@pytest.mark.slow
@pytest.mark.xdist_group("up")
@pytest.mark.timeout(240)
class TestBench:
    def test_measures_everything_and_leaves_nothing(self, tmp_path: Path) -> None:
        file = tmp_path / "bench.json"
        with passable_folder() as folder:
            process = start(folder, "--json", str(file))
            output, _ = process.communicate(timeout=200)
            assert process.returncode == 0, output
            assert list(folder.iterdir()) == []
            assert mentioning(folder) == []
        assert "books exact after every round" in " ".join(output.split())
        check_figures(json.loads(file.read_text()))

    def test_a_signal_stops_everything(self) -> None:
        with passable_folder() as folder:
            process = start(folder, "--only", "batch")
            assert process.stdout is not None
            for line in process.stdout:
                if "pgbench " in line and "tps" in line:
                    break
            process.send_signal(signal.SIGINT)
            began = time.monotonic()
            rest, _ = process.communicate(timeout=60)
            assert (process.returncode, rest.splitlines()[-1]) == (130, "stopped"), rest
            assert time.monotonic() - began < 45
            assert list(folder.iterdir()) == []
            assert mentioning(folder) == []


def check_figures(found: dict[str, Any]) -> None:
    assert found["pgbench"]["tps"] > 0
    assert set(found["figures"]) == {"batch", "rules", "scarce", "single", "baseline"}
    assert found["figures"]["batch"]["rounds"][0]["events"] == 200
    for figure in found["figures"].values():
        assert figure["events_per_second"] > 0
        assert figure["ratio_to_pgbench"] > 0
    assert 0 < found["latency_ms"]["posted_p50"] <= found["latency_ms"]["posted_p99"]
    redeemed = found["redemptions_ms"]
    assert redeemed["redemptions"] == 50
    assert 0 < redeemed["p50"] <= redeemed["p99"]
    assert redeemed["ratio_to_bare"] == pytest.approx(redeemed["p50"] / redeemed["bare_p50"], abs=0.01)
    told = found["webhooks"]
    assert (told["endpoints"], told["deliveries"]) == (2, 400)
    assert told["rate"] > 0
    assert told["received_per_second"] > 0
    assert 0 < told["received_p50"] <= told["received_p99"]
    crowd = found["fan_outs"]
    assert [(run["total"], run["events"]) for run in crowd["runs"]] == [(2000, 2000), (1000, 1000), (1000, 400)]
    assert all(0 < run["seconds"] <= run["posted_seconds"] for run in crowd["runs"])
    assert 0 <= (crowd["after_cancel"] or 0) <= 1000
    volume = found["volume"]
    assert (volume["entries"], volume["participants"], len(volume["before"]), len(volume["after"])) == (500, 200, 1, 1)
    assert 0 < volume["verify_seconds"] < 60
    assert volume["ratio"] == pytest.approx(volume["after"][0] / volume["before"][0], abs=0.001)
    tiers = found["tiers"]
    assert tiers["holders"] == 250
    assert (tiers["alone"]["pages"], len(tiers["before"])) == (3, 1)
    assert tiers["holders_per_second"] > 0
    assert tiers["events_ratio"] > 0
    assert found["deadlocks"] == 0


def results_of(tps: list[float], **seconds: list[float]) -> Results:
    """Rounds of 100 events each that took these seconds."""
    results = Results(Machine(2, 0.0, "any"), 2, pgbench_tps=tps)
    for name, rounds in seconds.items():
        results.runs[Figure(name)] = [Run(n, 100, taken, taken, 1.0, 0.3, {"api": 0.05}) for n, taken in enumerate(rounds)]
    return results


class TestResults:
    def test_each_round_is_held_against_the_pgbench_rounds_beside_it(self) -> None:
        results = results_of([100.0, 300.0, 1000.0, 600.0], batch=[0.8, 0.4, 0.2])
        assert results.ratios(Figure.BATCH) == pytest.approx([125 / 200, 250 / 650, 500 / 800])
        assert results.ratio(Figure.BATCH) == pytest.approx(0.625)
        assert results.missed() == []

    def test_a_ratio_below_its_budget_is_missed(self) -> None:
        results = results_of([1000.0, 1000.0], batch=[1.0], single=[0.1])
        assert results.ratio(Figure.BATCH) == pytest.approx(0.1)
        assert results.missed() == [Figure.BATCH]
        assert results.as_json()["missed"] == ["batch"]

    def test_many_rules_are_held_against_few(self) -> None:
        fast = results_of([100.0] * 5, batch=[1.0, 1.0], rules=[1.5, 1.25])
        assert fast.share_of_batch(Figure.RULES) == pytest.approx(0.7333, abs=0.001)
        assert fast.missed() == []
        slow = results_of([100.0] * 5, batch=[1.0, 1.0], rules=[2.0, 2.0])
        assert slow.missed() == [Figure.RULES]
        assert results_of([100.0] * 5, batch=[1.0, 1.0], scarce=[1.7, 1.7]).missed() == [Figure.SCARCE]
        assert results_of([100.0, 100.0], rules=[2.0]).share_of_batch(Figure.RULES) is None

    def test_a_fan_out_that_grows_or_goes_on_is_missed(self) -> None:
        results = results_of([1000.0, 1000.0])
        for growth, after, missed in (
            (99.0, 1000, []),
            (99.0, None, []),
            (100.0, 0, [Figure.FANOUT]),
            (1.0, 1001, [Figure.FANOUT]),
        ):
            results.fan_outs = FanOutTimes(10, [FanOutRun("all", 10, 10, 1.0, 1.0, growth)], after, 1.0)
            assert results.missed() == missed

    def test_full_books_may_slow_ingest_by_a_fifth(self) -> None:
        results = results_of([1000.0, 1000.0])
        results.volume = VolumeTimes(1000, 100, 1.0, 2.0, [0.9, 1.0, 1.1], [0.7, 0.8, 0.9])
        assert results.missed() == []
        results.volume = replace(results.volume, after=[0.79])
        assert results.missed() == [Figure.VOLUME]

    def test_period_ends_leave_room_and_memory(self) -> None:
        times = TierTimes(1000, PeriodEnd(0.5, 10, 20.0), PeriodEnd(2.0, 9, 99.0), [90.0, 100.0, 110.0], [60.0, 40.0])
        assert (times.ratio, times.holders_per_second, times.growth_mb) == (0.5, 2000.0, 99.0)
        results = results_of([1.0])
        results.tiers = times
        assert results.missed() == []
        results.tiers = replace(times, during=[49.0])
        assert results.missed() == [Figure.TIERS]
        results.tiers = replace(times, alone=PeriodEnd(0.5, 10, 100.0))
        assert results.missed() == [Figure.TIERS]

    def test_processor_time_is_per_event(self) -> None:
        assert results_of([1.0], single=[1.0]).cpu_per_event(Figure.SINGLE) == {"api": pytest.approx(0.5)}

    def test_percentiles(self) -> None:
        values = [float(n) for n in range(100, 0, -1)]
        assert [percentile(values, percent) for percent in (1, 50, 99, 100)] == [1.0, 50.0, 99.0, 100.0]
        assert percentile([7.0], 50) == 7.0


class TestWebhooks:
    def load(self, delay: float, events: int = 200) -> WebhookLoad:
        """Two endpoints hear of each event, sent within a second, so long after it; a clock that began at 10."""
        at = [10.0 + number / events + delay for number in range(events) for _ in range(2)]
        return judge(Arrivals(at, [delay] * len(at)), Report(10.0, 11.0, 0.1), events, {"workers": 0.4})

    def test_what_is_received_while_events_are_sent_counts(self) -> None:
        load = self.load(0.0025)
        assert (load.rate, load.deliveries, load.received_per_second, load.behind) == (200.0, 400, 400.0, 0)
        assert (load.received_p50, load.received_p99) == (2.5, 2.5)
        assert load.cpu_per_delivery() == {"workers": pytest.approx(1.0)}

    def test_a_backlog_is_seen(self) -> None:
        load = self.load(0.25)
        assert (load.received_per_second, load.behind_half_way, load.behind) == (pytest.approx(300.0, abs=4), *[98] * 2)

    def test_fewer_than_the_budget_are_missed(self) -> None:
        results = results_of([1000.0])
        results.webhooks = self.load(0.2)
        assert results.missed() == []
        results.webhooks = self.load(0.3)
        assert results.missed() == [Figure.WEBHOOKS]
        results.webhooks = self.load(0.0, events=190)
        assert results.missed() == [Figure.WEBHOOKS]


def test_period_ends_lower_levels_and_leave_what_is_over() -> None:
    found = [after_period_end(points, "gold") for points in (1000, 1300, 999, 500, 120, 99)]
    assert found == [(0, "gold"), (300, "gold"), (499, "silver"), (0, "silver"), (20, "bronze"), (0, None)]
    # nobody rises
    assert [after_period_end(5000, level) for level in ("silver", "bronze", None)] == [
        (4500, "silver"),
        (4900, "bronze"),
        (0, None),
    ]


class TestPlan:
    PLAN = Plan("h", 1, "k", "d", "p", "1-batch", 250, 40, 100, 2)

    def test_every_member_comes_first_and_keys_are_unique(self) -> None:
        sent = purchases(self.PLAN)
        assert len({purchase.external_id for purchase in sent[:40]}) == 40
        assert len({purchase.key for purchase in sent}) == 250
        assert sent == purchases(self.PLAN)

    def test_bodies_hold_the_same_amounts_in_batches(self) -> None:
        batches = [json.loads(body)["events"] for body in bodies(self.PLAN)]
        assert [len(batch) for batch in batches] == [100, 100, 50]
        amounts = [round(event["event_data"]["amount"] * 10) for batch in batches for event in batch]
        assert amounts == [purchase.tenths for purchase in purchases(self.PLAN)]
