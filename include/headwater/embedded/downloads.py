"""Brings the files that no wheel holds (Kafka, the registry, Spark's jars), exactly those of `downloads.lock`.

PySpark's wheel contains Ivy, which fetches from Maven Central (or the mirror the user has set in `ivysettings`);
neither Maven nor a JDK is needed. A file counts only once its SHA-256 is the lock's; a mismatch is refused.
The folder may be shared by several homes (HEADWATER_DOWNLOADS_DIR); a file lock lets one of them fetch.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import re
import shutil
import subprocess
import tomllib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from xml.sax.saxutils import quoteattr

from headwater.embedded.errors import DownloadFailed, DownloadRefused, NotInstalled
from headwater.settings import Settings

LOCK = Path(__file__).with_name("downloads.lock")
IVY_SETTINGS = """<ivysettings>
  <settings defaultResolver="central"/>
  <resolvers><ibiblio name="central" m2compatible="true" usepoms="{poms}"/></resolvers>
</ivysettings>
"""
Progress = Callable[[int, int], None]
"""Called with the bytes that have come and the bytes that will."""


@dataclass(frozen=True)
class Locked:
    """One file of the lock: `path` is `<group>/<file>`, `module` its organisation:name:revision."""

    path: str
    module: str
    sha256: str
    size: int

    @property
    def group(self) -> str:
        """The folder it belongs to: kafka, registry, connect, connect-avro, connect-debezium or spark."""
        return self.path.split("/")[0]

    @property
    def ivy_dependency(self) -> str:
        """The element that makes Ivy fetch this very file and nothing it depends on."""
        organisation, name, revision = self.module.split(":")
        stem, extension = _split_extension(Path(self.path).name)
        classifier = stem.removeprefix(f"{name}-{revision}").removeprefix("-")
        artifact = f"<artifact name={quoteattr(name)} type={quoteattr(extension)} ext={quoteattr(extension)}"
        artifact += f" m:classifier={quoteattr(classifier)}/>" if classifier else "/>"
        head = f"org={quoteattr(organisation)} name={quoteattr(name)} rev={quoteattr(revision)}"
        return f'<dependency {head} conf="{self.group}->default" transitive="false">{artifact}</dependency>'


def _split_extension(name: str) -> tuple[str, str]:
    for extension in ("tar.gz", "jar"):
        if name.endswith(f".{extension}"):
            return name.removesuffix(f".{extension}"), extension
    raise DownloadRefused(f"unknown kind of file {name}", where=str(LOCK))


@cache
def locked() -> tuple[Locked, ...]:
    """All files of the lock."""
    entries = tomllib.loads(LOCK.read_text())["file"]
    return tuple(Locked(entry["path"], entry["module"], entry["sha256"], entry["size"]) for entry in entries)


def missing(settings: Settings, groups: Iterable[str]) -> list[Locked]:
    """The files of these groups that are not there yet, or are there with other content."""
    wanted = set(groups)
    stamps = _Stamps(settings.downloads_dir)
    found = [file for file in locked() if file.group in wanted and not stamps.holds(file)]
    stamps.save()
    return found


def ensure(settings: Settings, groups: Iterable[str], java: Path, progress: Progress = lambda done, total: None) -> int:
    """Fetch what is missing of these groups; the number of bytes that came.

    Raises DownloadRefused on a wrong hash and DownloadFailed when Ivy cannot fetch.
    """
    wanted = list(groups)
    settings.downloads_dir.mkdir(parents=True, exist_ok=True)
    with exclusive(settings.downloads_dir / ".lock"):
        files = missing(settings, wanted)
        if not files:
            return 0
        incoming = settings.downloads_dir / ".incoming"
        incoming.mkdir(exist_ok=True)
        _run_ivy(incoming, files, java, progress)
        for file in files:
            _accept(incoming / "files" / file.path, settings.downloads_dir / file.path, file)
        shutil.rmtree(incoming)
        if missing(settings, wanted):
            raise DownloadFailed("files vanished while they were fetched", where=str(settings.downloads_dir))
        return sum(file.size for file in files)


def _accept(came: Path, target: Path, file: Locked) -> None:
    """Move a fetched file into place if it is the one in the lock."""
    if not came.is_file():
        raise DownloadFailed(f"{file.module} did not come", where=str(came), remedy="check the network, then try again")
    got = sha256(came)
    if got != file.sha256:
        came.unlink()
        raise DownloadRefused(
            f"its SHA-256 is {got}, the lock says {file.sha256}; the file was deleted",
            where=file.path,
            remedy="somebody changed the file on its way, or the mirror is broken: try another one",
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    came.replace(target)


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Hold the lock on a file; waits for whoever has it. The system frees it when its holder dies."""
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def ivy_command(
    java: Path, work: Path, dependencies: str, groups: Iterable[str], pattern: str, poms: bool
) -> list[str]:
    """Write Ivy's two files into `work`; the command that fetches the dependencies into `work/files`."""
    confs = sorted(set(groups))
    (work / "settings.xml").write_text(IVY_SETTINGS.format(poms=str(poms).lower()))
    (work / "ivy.xml").write_text(
        '<ivy-module version="2.0" xmlns:m="http://ant.apache.org/ivy/maven">\n'
        '<info organisation="headwater" module="downloads"/>\n<configurations>'
        + "".join(f'<conf name="{conf}"/>' for conf in confs)
        + f"</configurations>\n<dependencies>\n{dependencies}\n</dependencies>\n</ivy-module>\n"
    )
    command = [
        str(java),
        "-jar",
        str(_ivy_jar()),
        "-ivy",
        str(work / "ivy.xml"),
        "-settings",
        str(work / "settings.xml"),
    ]
    command += ["-cache", str(work / "cache"), "-confs", *confs, "-types", "jar", "bundle", "tar.gz"]
    return [*command, "-retrieve", f"{work / 'files'}/{pattern}"]


def _ivy_jar() -> Path:
    import pyspark

    jars = sorted(Path(pyspark.__file__).parent.glob("jars/ivy-*.jar"))
    if not jars:
        raise NotInstalled("pyspark's wheel has no Ivy in it", remedy="install the pinned pyspark: `uv sync`")
    return jars[-1]


def _run_ivy(work: Path, files: list[Locked], java: Path, progress: Progress) -> None:
    sizes = {":".join([file.module, _split_extension(file.path)[1]]): file.size for file in files}
    total, done = sum(sizes.values()), 0
    command = ivy_command(
        java,
        work,
        "\n".join(file.ivy_dependency for file in files),
        [file.group for file in files],
        "[conf]/[artifact]-[revision](-[classifier]).[ext]",
        poms=False,
    )
    progress(0, total)
    with (
        (work / "ivy.log").open("w") as log,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as ivy,
    ):
        for line in ivy.stdout or ():
            log.write(line)
            came = re.search(r"SUCCESSFUL \] (\S+)#(\S+?);(\S+?)!\S+?\.(jar|tar\.gz)", line)
            if came:
                done += sizes.get(":".join(came.groups()), 0)
                progress(done, total)
    if ivy.returncode != 0:
        raise DownloadFailed(
            "Ivy could not fetch every file", where=str(work / "ivy.log"), remedy="check the network, then try again"
        )


class _Stamps:
    """Remembers by size and time which files were hashed, so that a warm start need not read 400 MB again."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._path = directory / ".verified.json"
        try:
            self._known: dict[str, list[object]] = json.loads(self._path.read_text())
        except (OSError, ValueError):
            self._known = {}
        self._changed = False

    def holds(self, file: Locked) -> bool:
        """Whether the file is there with the content of the lock."""
        path = self._directory / file.path
        try:
            status = path.stat()
        except OSError:
            return False
        stamp: list[object] = [status.st_size, status.st_mtime_ns, file.sha256]
        if self._known.get(file.path) == stamp:
            return True
        if status.st_size != file.size or sha256(path) != file.sha256:
            return False
        self._known[file.path] = stamp
        self._changed = True
        return True

    def save(self) -> None:
        """Keep what was learnt."""
        if self._changed:
            new = self._path.with_suffix(".new")
            new.write_text(json.dumps(self._known))
            new.replace(self._path)
