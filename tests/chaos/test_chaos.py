"""A short run under faults; `make chaos` does long ones."""

import pytest

from chaos.clients import Fate
from chaos.plan import FaultKind, digest, intent, schedule
from chaos.run import Options, run
from tests.runtime.folders import passable_folder

SEED = 3
SECONDS = 9.0


def test_the_seed_decides_everything() -> None:
    assert schedule(SEED, 120, 2) == schedule(SEED, 120, 2)
    assert intent(SEED, 1, 17) == intent(SEED, 1, 17)
    assert digest(SEED, 120, 2) == digest(SEED, 120, 2)
    assert len({digest(seed, 120, 2) for seed in range(5)}) == 5
    assert {fault.kind for seed in range(8) for fault in schedule(seed, 120, 2)} == set(FaultKind)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_short_run_breaks_no_invariant() -> None:
    options = Options(SEED, SECONDS, mean_gap=1.2, drain_seconds=90, visit_after=3, hangs=False)
    with passable_folder() as folder:
        report = run(options, folder, print)
        print("\n".join(report.lines()))
        assert report.violations == []
    assert report.faults.total() >= 4
    assert sum(outcome.fate is Fate.OK for outcome in report.log.outcomes) > 50
    assert report.entries > 50
    assert report.received > 50
