"""`python -m chaos --seed N --minutes M`: a run under faults; exit code 1 when an invariant doesn't hold."""

import secrets
import shutil
import signal
import tempfile
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from chaos.run import Options, run


def main(
    *,
    seed: Annotated[int, typer.Option(help="Decides operations and faults; drawn when it isn't given.")] = -1,
    minutes: Annotated[float, typer.Option(help="How long clients and nemesis work.", min=0.1)] = 2.0,
    gap: Annotated[float, typer.Option(help="Seconds between faults, on average.", min=0.2)] = 4.0,
    keep: Annotated[bool, typer.Option(help="Keep data and logs in any case.")] = False,
) -> None:
    """Break everything for a while, then see whether the books are right."""
    signal.signal(signal.SIGTERM, _interrupt)
    folder = Path(tempfile.mkdtemp(prefix="openscrip-chaos-"))
    folder.chmod(0o711)
    chosen = secrets.randbelow(1_000_000) if seed < 0 else seed
    is_sound = False
    try:
        report = run(Options(chosen, 60 * minutes, gap), folder, print)
        is_sound = not report.violations
        print("\n".join(report.lines()))
    finally:
        if is_sound and not keep:
            shutil.rmtree(folder)
        else:
            print(f"data and logs are kept in {folder}")
    raise typer.Exit(0 if is_sound else 1)


def _interrupt(_: int, __: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    typer.run(main)
