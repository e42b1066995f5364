"""A PostgreSQL of the tests' own: a cluster in a folder that goes when they are done, reached by a socket alone."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def postgresql_binaries() -> Path | None:
    """The folder that has `initdb`, `pg_ctl` and `postgres`: one on the path, else the newest of Debian's."""
    on_path = shutil.which("initdb")
    folders = [Path(on_path).parent] if on_path else []
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda folder: folder.parent.name, reverse=True)
    programs = ("initdb", "pg_ctl", "postgres")
    return next((folder for folder in folders if all((folder / name).is_file() for name in programs)), None)


@contextmanager
def running_postgresql(binaries: Path) -> Iterator[str]:
    """Start a cluster, and give the URL of its one database."""
    folder = Path(tempfile.mkdtemp(prefix="recoup-pg-"))
    try:
        as_user = _not_root(folder)
        data, options = folder / "data", f"-c listen_addresses= -c unix_socket_directories={folder} -c fsync=off"
        _run([binaries / "initdb", "-D", data, "-U", "recoup", "-A", "trust", "-E", "UTF8", "--no-sync"], as_user)
        log = folder / "log"
        _run([binaries / "pg_ctl", "-D", data, "-l", log, "-o", options, "-w", "-t", "60", "start"], as_user)
        try:
            yield f"postgresql://recoup@/postgres?host={folder}"
        finally:
            _run([binaries / "pg_ctl", "-D", data, "-m", "immediate", "-w", "stop"], as_user)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _not_root(folder: Path) -> str | None:
    """Whom the server is to run as: it refuses root, so a user of the system's that can do nothing else."""
    if os.geteuid() != 0:
        return None
    names = {user.pw_name for user in pwd.getpwall()}
    user = "postgres" if "postgres" in names else "nobody"
    shutil.chown(folder, user)
    return user


def _run(command: list[str | Path], user: str | None) -> None:
    # The server must not hold what the tests' output goes to, or whoever reads that waits for the server.
    log = subprocess.run(
        [str(part) for part in command], user=user, group=None, extra_groups=[] if user else None, cwd="/",
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False,
        env={"PATH": os.environ.get("PATH", ""), "LC_ALL": "C.UTF-8", "TZ": "UTC"},
    )  # fmt: skip
    if log.returncode:
        raise RuntimeError(f"{command[0]} failed with {log.returncode}")
