"""The list of seeded bugs stays usable while the code moves: `make mutants` runs it."""

from pathlib import Path

import pytest

from tests.mutants.defects import DEFECTS, Defect

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("defect", DEFECTS, ids=lambda defect: defect.name)
def test_the_place_of_a_defect_is_there_once_and_its_tests_exist(defect: Defect) -> None:
    assert (ROOT / defect.file).read_text().count(defect.before) == 1
    assert defect.after != defect.before
    assert all((ROOT / name).exists() for name in defect.tests.split())


def test_there_are_enough_and_none_twice() -> None:
    assert len(DEFECTS) >= 20
    assert len({defect.name for defect in DEFECTS}) == len(DEFECTS)
