"""Where a server that refuses to run as root keeps its files, and whom it runs as."""

import os
import pwd
import secrets
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

from runtime.processes import Identity, ServiceError

ACCOUNT = "nobody"
STATE_FOLDER = Path("/var/lib/openscrip")


def server_identity() -> Identity | None:
    """Return the account for servers that refuse root, None when we aren't root."""
    if os.geteuid() != 0:
        return None
    try:
        account = pwd.getpwnam(ACCOUNT)
    except KeyError:
        raise ServiceError(f"postgres: doesn't run as root, and there is no account {ACCOUNT}") from None
    return Identity(account.pw_uid, account.pw_gid)


def can_enter(identity: Identity, path: Path) -> bool:
    """Tell whether `identity` can reach and execute (a folder: enter) `path`; asks the system itself, so that ACLs count."""
    probe = subprocess.run(  # noqa: S603 - the path is an argument, not part of the script
        ["/bin/sh", "-c", 'test -x "$1"', "sh", str(path)],
        check=False,
        cwd="/",
        user=identity.uid,
        group=identity.gid,
        extra_groups=[],
    )
    return probe.returncode == 0


def make_private(folder: Path, identity: Identity | None) -> None:
    """Create `folder` for the server alone."""
    folder.mkdir(mode=0o700)
    if identity is not None:
        os.chown(folder, identity.uid, identity.gid)


def make_reachable(folder: Path) -> Path:
    """Create `folder` and what is missing above it so that every account can pass through; existing ones stay as they are."""
    for step in (*reversed(folder.parents), folder):
        if not step.is_dir():
            step.mkdir()
            step.chmod(0o711)
    return folder


def new_state_folder() -> Path:
    """Return a fresh place in the system state folder; its name is random, so that a removed data directory stays removed."""
    return STATE_FOLDER / f"data-{secrets.token_hex(6)}"


def reachable_copy(source: Path, parts: Iterable[str], program: str, name: str, identity: Identity | None) -> Path:
    """Return `source`, or a folder with copies of its `parts` when `identity` can't run the `program` in there.

    The copy is made under a temporary name and renamed, so that an interrupted one is never used.
    """
    if identity is None or can_enter(identity, source / program):
        return source
    target = STATE_FOLDER / name
    if not target.is_dir():
        unfinished = make_reachable(STATE_FOLDER) / f".{name}-{os.getpid()}"
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir()
        for part in parts:
            shutil.copytree(source / part, unfinished / part)
        open_to_all(unfinished)
        try:
            unfinished.rename(target)
        except OSError:
            # Another process was faster.
            shutil.rmtree(unfinished)
    return target


def open_to_all(folder: Path) -> None:
    """Let every account read a folder of our own, and run what its owner can run."""
    for path in (folder, *folder.rglob("*")):
        mode = path.stat().st_mode
        path.chmod(mode | 0o444 | (0o111 if mode & 0o100 else 0))
