"""A PostgreSQL of one's own: a cluster in a folder that goes when it is done with, reached by a socket alone."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil


@dataclass(frozen=True)
class Cluster:
    """A server that runs, or has been stopped and can be started again."""

    folder: Path
    binaries: Path
    user: str | None
    durable: bool

    @property
    def url(self) -> str:
        """The URL of its one database."""
        return f"postgresql://recoup@/postgres?host={self.folder}"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        options = f"-c listen_addresses= -c unix_socket_directories={self.folder}"
        options += "" if self.durable else " -c fsync=off"
        self._control("-l", str(self.folder / "log"), "-o", options, "-w", "-t", "60", "start")

    def cpu(self) -> float:
        """CPU seconds that its processes have taken so far; what has ended meanwhile no longer counts."""
        server = psutil.Process(int((self.folder / "data/postmaster.pid").read_text().split()[0]))
        times = [one.cpu_times() for one in (server, *server.children())]
        return float(sum(one.user + one.system for one in times))

    def stop(self) -> None:
        """Stop it at once, whoever is connected."""
        self._control("-m", "immediate", "-w", "stop")

    def _control(self, *arguments: str) -> None:
        run_as(self.user, [self.binaries / "pg_ctl", "-D", self.folder / "data", *arguments])


def postgresql_binaries() -> Path | None:
    """The folder that has `initdb`, `pg_ctl` and `postgres`: one on the path, else the newest of Debian's."""
    on_path = shutil.which("initdb")
    folders = [Path(on_path).parent] if on_path else []
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda folder: folder.parent.name, reverse=True)
    programs = ("initdb", "pg_ctl", "postgres")
    return next((folder for folder in folders if all((folder / name).is_file() for name in programs)), None)


@contextmanager
def cluster(durable: bool = True) -> Iterator[Cluster]:
    """A new cluster that runs; one that is not `durable` does not wait for the disk.

    Raises:
        RuntimeError: there is no PostgreSQL on this machine, or it does not start.
    """
    binaries = postgresql_binaries()
    if binaries is None:
        raise RuntimeError("a PostgreSQL server is needed, got none on this machine; apt-get install postgresql")
    folder = Path(tempfile.mkdtemp(prefix="recoup-pg-"))
    try:
        user = _not_root(folder)
        made = Cluster(folder, binaries, user, durable)
        options = ["-U", "recoup", "-A", "trust", "-E", "UTF8", "--no-sync"]
        run_as(user, [binaries / "initdb", "-D", folder / "data", *options])
        made.start()
        try:
            yield made
        finally:
            made.stop()
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


def run_as(user: str | None, command: list[str | Path]) -> None:
    """Run a program of PostgreSQL's to its end.

    Raises:
        RuntimeError: it failed.
    """
    # The server must not hold what the output goes to, or whoever reads that waits for the server.
    ended = subprocess.run(  # noqa: S603 PostgreSQL's own
        [str(part) for part in command], user=user, group=None, extra_groups=[] if user else None, cwd="/",
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False,
        env={"PATH": os.environ.get("PATH", ""), "LC_ALL": "C.UTF-8", "TZ": "UTC"},
    )  # fmt: skip
    if ended.returncode:
        raise RuntimeError(f"{command[0]} failed with {ended.returncode}")
