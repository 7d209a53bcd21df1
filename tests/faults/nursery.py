"""The process that crashing processes are forked from, as a test holds it."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.cli.stack import ROOT


class Nursery:
    """Starts processes one after the other, each when the one before has ended."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._stdin, self._stdout = process.stdin, process.stdout

    def start(self, role: str, moment: str = "", query: str = "", port: int = 0) -> None:
        """An `api` or a `worker` that dies at this moment of the transaction that the query first sees; or one that doesn't."""
        self._tell(json.dumps({"role": role, "moment": moment, "query": query, "port": port}))
        assert self._hear() == "started"

    def require_killed(self) -> None:
        """Wait for the death of the one that was started last."""
        assert self._hear() == f"{int(signal.SIGKILL)}"

    def end(self) -> None:
        """End one that doesn't die by itself."""
        self._tell("")
        # uvicorn finishes, and then lets the signal have its way
        assert self._hear() in ("0", f"{int(signal.SIGTERM)}")

    def _tell(self, line: str) -> None:
        self._stdin.write(f"{line}\n")
        self._stdin.flush()

    def _hear(self) -> str:
        return self._stdout.readline().rstrip("\n")


@contextmanager
def open_nursery(settings: Mapping[str, str], log_file: Path) -> Iterator[Nursery]:
    """A nursery whose processes have these settings and no others; all of them end with the block."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("OPENSCRIP_")}
    with (
        log_file.open("wb") as log,
        subprocess.Popen(
            [sys.executable, "-m", "tests.faults.crashing"],
            cwd=ROOT,
            env=inherited | settings,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            start_new_session=True,
        ) as process,
    ):
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            yield Nursery(process)
        finally:
            os.killpg(process.pid, signal.SIGKILL)
