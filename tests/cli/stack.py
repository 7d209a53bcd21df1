"""A real `openscrip up` in a process of its own, on free ports."""

import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from runtime.processes import free_port, holds_log, port_is_free, wait_until

ROOT = Path(__file__).resolve().parent.parent.parent
PORTS = ("api", "postgres", "temporal", "temporal_ui")
SERVICES = ("postgres", "temporal", "worker-1", "api")
FIRST_START_SECONDS = 90.0
START_SECONDS = 45.0


@dataclass
class Stack:
    """One data directory with its ports; `start` runs the command on it."""

    data_dir: Path
    ports: dict[str, int] = field(default_factory=lambda: {name: free_port() for name in PORTS})
    process: subprocess.Popen[bytes] | None = None
    runs: int = 0

    @property
    def output_file(self) -> Path:
        return self.data_dir.parent / f"{self.data_dir.name}-output-{self.runs}"

    @property
    def output(self) -> str:
        return self.output_file.read_text()

    def start(self, **settings: str) -> subprocess.Popen[bytes]:
        """Run `up` without waiting for it."""
        self.runs += 1
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("OPENSCRIP_")}
        ports = {f"OPENSCRIP_{name.upper()}_PORT": str(port) for name, port in self.ports.items()}
        own = {"OPENSCRIP_DATA_DIR": str(self.data_dir), "OPENSCRIP_WORKER_PROCESSES": "1"}
        with self.output_file.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "cli", "up"],
                cwd=ROOT,
                env=inherited | ports | own | settings,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return self.process

    def start_and_wait(self, timeout_seconds: float = START_SECONDS) -> float:
        """Run `up` until it is ready; return the seconds that took."""
        started = time.monotonic()
        process = self.start()
        finished = wait_until(lambda: self.is_ready() or process.poll() is not None, timeout_seconds, 0.05)
        assert finished, f"not ready in {timeout_seconds} s:\n{self.output}"
        assert process.poll() is None, f"ended with {process.returncode}:\n{self.output}"
        return time.monotonic() - started

    def is_ready(self) -> bool:
        """Tell whether the summary is there, up to its last line."""
        return "Ctrl-C stops everything" in self.output

    def stop(self, number: signal.Signals = signal.SIGTERM, timeout_seconds: float = 60.0) -> int:
        """Send a signal to `up` and wait for its end; return the exit code."""
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(timeout_seconds)

    def pid_of(self, service: str) -> int:
        return int((self.data_dir / "run" / f"{service}.pid").read_text())

    def leftovers(self) -> list[str]:
        """Return the services of which a process is alive, and the ports that are still taken."""
        logs = (self.data_dir / "logs").glob("*.log")
        alive = [log.stem for log in logs if holds_log(log)]
        return alive + [f"{name} port" for name, port in self.ports.items() if not port_is_free(port)]

    def fact(self, name: str) -> str:
        """Return a value of the summary."""
        match = re.search(rf"^\s*{re.escape(name)}\s{{2,}}(\S.*)$", self.output, re.MULTILINE)
        assert match is not None, f"no {name} in:\n{self.output}"
        return match[1].strip()

    def close(self) -> None:
        """End what a failed test has left."""
        if self.process is not None and self.process.poll() is None:
            self.stop()
