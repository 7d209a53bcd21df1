"""Folders for servers: unlike pytest's own, passable for the account that Postgres runs as when we are root."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def passable_folder() -> Iterator[Path]:
    """A new folder that everybody can enter; removed at the end."""
    folder = Path(tempfile.mkdtemp(prefix="openscrip-test-"))
    folder.chmod(0o711)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)
