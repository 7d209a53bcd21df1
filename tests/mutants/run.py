"""Seeds each defect in turn into a copy of the tree, runs the tests that must notice, and prints which did.

`python -m tests.mutants.run [--only WORD] [--jobs N]`; exits 1 when a defect survives. The tests pass without a defect first.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Queue
from typing import NamedTuple

from tests.mutants.defects import DEFECTS, Defect

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 600
PASSED, FAILED = 0, 1


class Verdict(NamedTuple):
    """What the tests said of a defect; `test` is the first that failed."""

    defect: Defect
    exit_code: int
    seconds: float
    test: str
    output: str

    @property
    def is_killed(self) -> bool:
        return self.exit_code == FAILED and bool(self.test)


def copy_tree(target: Path) -> None:
    """The files that git knows, as they are now, and the virtual environment as a link."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True).stdout
    for name in listed.decode().split("\0"):
        if name and (ROOT / name).exists():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)
    (target / ".venv").symlink_to((ROOT / ".venv").resolve())


def run_tests(tree: Path, tests: Sequence[str]) -> tuple[int, str]:
    """Exit code and output of pytest, which stops at the first failure. Never from stale byte code."""
    command = [".venv/bin/python", "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "--tb=line", *tests]
    environment = os.environ | {"PYTHONDONTWRITEBYTECODE": "1", "HYPOTHESIS_PROFILE": "unshrunk"}
    try:
        done = subprocess.run(command, cwd=tree, capture_output=True, text=True, timeout=SECONDS, check=False, env=environment)
    except subprocess.TimeoutExpired as error:
        return -1, f"no answer within {SECONDS} s\n{error.stdout!r}"
    return done.returncode, done.stdout + done.stderr


def judge(tree: Path, defect: Defect) -> Verdict:
    """Seed the defect, run its tests, and mend the tree again."""
    file = tree / defect.file
    sound = file.read_text()
    assert sound.count(defect.before) == 1, f"{defect.name}: not once in {defect.file}"
    began = time.monotonic()
    file.write_text(sound.replace(defect.before, defect.after))
    try:
        code, output = run_tests(tree, defect.tests.split())
    finally:
        file.write_text(sound)
    failed = [line.removeprefix("FAILED ").split(" - ")[0] for line in output.splitlines() if line.startswith("FAILED ")]
    errors = [line.removeprefix("ERROR ").split(" - ")[0] for line in output.splitlines() if line.startswith("ERROR ")]
    return Verdict(defect, code, time.monotonic() - began, next(iter(failed + errors), ""), output)


def judge_all(defects: Sequence[Defect], jobs: int) -> list[Verdict]:
    """Every defect's verdict, in order, with so many trees at once."""
    with tempfile.TemporaryDirectory(prefix="openscrip-mutants-") as folder:
        trees: Queue[Path] = Queue()
        for number in range(jobs):
            tree = Path(folder) / str(number)
            tree.mkdir()
            copy_tree(tree)
            trees.put(tree)
        everything = sorted({test for defect in defects for test in defect.tests.split()})
        tree = trees.get()
        code, output = run_tests(tree, everything)
        trees.put(tree)
        if code != PASSED:
            sys.exit(f"the tests fail without a defect:\n{output[-4000:]}")

        def one(defect: Defect) -> Verdict:
            mine = trees.get()
            try:
                verdict = judge(mine, defect)
            finally:
                trees.put(mine)
            print(_line(verdict), flush=True)
            return verdict

        with ThreadPoolExecutor(jobs) as pool:
            return list(pool.map(one, defects))


def _line(verdict: Verdict) -> str:
    word = "killed  " if verdict.is_killed else "SURVIVED"
    return f"{word}  {verdict.seconds:5.0f} s  {verdict.defect.name:<55}  {verdict.test or f'exit code {verdict.exit_code}'}"


def main() -> None:
    """Read the command line, judge, and say how many were noticed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="only defects with this word in their name")
    parser.add_argument("--jobs", type=int, default=2, help="how many at once")
    chosen = parser.parse_args()
    defects = [defect for defect in DEFECTS if chosen.only in defect.name]
    verdicts = judge_all(defects, min(chosen.jobs, len(defects)))
    alive = [verdict for verdict in verdicts if not verdict.is_killed]
    print(f"{len(verdicts) - len(alive)} of {len(verdicts)} defects were noticed")
    for verdict in alive:
        print(f"\n{verdict.defect.name} ({verdict.defect.file}):\n{verdict.output[-2000:]}")
    sys.exit(1 if alive else 0)


if __name__ == "__main__":
    main()
