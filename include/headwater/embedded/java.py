"""Finds a Java 17 or 21 that Spark 4.1 can run on, or brings one.

Spark needs the module jdk.incubator.vector, which stripped runtimes lack, so a candidate is judged by its modules and
not by its name: by the file `release` that comes with it, or else by what `java --list-modules` prints. To ask costs
half a second, and a stream that starts again after a kill has somebody waiting.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from headwater.embedded.errors import NoJava
from headwater.environment import inherited_java_home, search_path
from headwater.settings import LOOPBACK, Settings

SUPPORTED = (17, 21)
NEEDED_MODULE = "jdk.incubator.vector"
REMEDY = "install a full Java 17 or 21 (for example openjdk-17-jre-headless), or set HEADWATER_JAVA_HOME to one"
USUAL_PLACES = (
    "/usr/lib/jvm/*",
    "/usr/java/*",
    "/opt/java/*",
    "/opt/homebrew/opt/openjdk@*",
    "/Library/Java/JavaVirtualMachines/*/Contents/Home",
    "~/.sdkman/candidates/java/*",
    "~/.jdk/*",
)

LAUNCHER_OPTIONS = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
"""For the JVM that only prints the command for the next one: what it compiles well it never runs."""


@dataclass(frozen=True)
class Java:
    """A Java runtime: its home directory and its major version; `fault` says why it cannot be used."""

    home: Path
    version: int
    fault: str = ""

    @property
    def executable(self) -> Path:
        """The `java` program."""
        return self.home / "bin" / "java"


def inspect(home: Path) -> Java:
    """Ask the runtime at `home` what it is."""
    executable = home / "bin" / "java"
    if not executable.is_file():
        return Java(home, 0, "no bin/java in it")
    if (told := _released(home)) is not None:
        return _judged(home, *told)
    try:
        answer = subprocess.run(
            [str(executable), "--list-modules"], capture_output=True, text=True, timeout=30, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return Java(home, 0, f"cannot be run: {error}")
    found = re.search(r"^java\.base@(\d+)", answer.stdout, re.MULTILINE)
    if answer.returncode != 0 or not found:
        return Java(home, 0, "older than Java 9, or no working Java")
    return _judged(home, int(found[1]), {line.partition("@")[0] for line in answer.stdout.splitlines()})


def _released(home: Path) -> tuple[int, set[str]] | None:
    """Major version and modules, by the file that comes with a runtime; None where it is not there or says less."""
    try:
        told = dict(line.partition("=")[::2] for line in (home / "release").read_text().splitlines())
    except (OSError, UnicodeDecodeError):
        return None
    version = re.match(r'"(\d+)', told.get("JAVA_VERSION", ""))
    modules = told.get("MODULES", "").strip('"').split()
    return (int(version[1]), set(modules)) if version and modules else None


def _judged(home: Path, version: int, modules: Collection[str]) -> Java:
    if version not in SUPPORTED:
        return Java(home, version, f"Java {version}, but Spark 4.1 runs on {' or '.join(map(str, SUPPORTED))}")
    if NEEDED_MODULE not in modules:
        return Java(home, version, f"lacks the module {NEEDED_MODULE}, which Spark 4.1 needs")
    return Java(home, version)


def candidates(settings: Settings) -> Iterable[Path]:
    """Java homes to look at, best first: JAVA_HOME, PATH, the usual places, the stack's own."""
    if inherited_java_home():
        yield Path(inherited_java_home())
    on_path = shutil.which("java", path=search_path())
    if on_path:
        yield Path(on_path).resolve().parent.parent
    for pattern in (*USUAL_PLACES, str(settings.home / "java" / "*")):
        base = Path(pattern).expanduser()
        anchor = Path(base.anchor)
        yield from sorted(anchor.glob(str(base.relative_to(anchor))))


def find_java(settings: Settings, places: Iterable[Path] | None = None) -> Java | None:
    """The first usable runtime, or None. A wrong HEADWATER_JAVA_HOME raises NoJava: it was asked for by name."""
    if settings.java_home:
        java = inspect(settings.java_home)
        if java.fault:
            raise NoJava(java.fault, where=f"HEADWATER_JAVA_HOME={settings.java_home}", remedy=REMEDY)
        return java
    seen: set[Path] = set()
    for home in places if places is not None else candidates(settings):
        if home.resolve() in seen:
            continue
        seen.add(home.resolve())
        java = inspect(home)
        if not java.fault:
            return java
    return None


_FOUND: dict[tuple[Path, Path | None], Java] = {}


def executable(settings: Settings) -> str:
    """The `java` to put into a command; brings nothing, so that looking at the stack changes nothing."""
    key = (settings.home, settings.java_home)
    if key not in _FOUND:
        java = find_java(settings)
        if java is None:
            return "java"
        _FOUND[key] = java
    return str(_FOUND[key].executable)


def environment(settings: Settings) -> dict[str, str]:
    """What Spark's scripts must be told, so that they start this Java and not whatever lies on PATH."""
    program = Path(executable(settings))
    home = {"JAVA_HOME": str(program.parent.parent)} if program.is_absolute() else {}
    return home | {"SPARK_LOCAL_IP": LOOPBACK, "SPARK_LAUNCHER_OPTS": LAUNCHER_OPTIONS}


def ensure_java(settings: Settings, places: Iterable[Path] | None = None) -> Java:
    """A usable Java, brought where none is found: by apt as root on Debian or Ubuntu, else into `<home>/java`.

    Raises NoJava when it is not allowed (`java_install=never`) or when neither way works.
    """
    java = find_java(settings, places)
    if java:
        return java
    if settings.java_install == "never":
        raise NoJava("no Java 17 or 21 was found", where="this machine", remedy=REMEDY)
    faults = []
    for bring in (_bring_by_apt, _bring_by_install_jdk):
        fault = bring(settings)
        java = find_java(settings)
        if java:
            return java
        faults.append(fault or "brought, but it cannot be used")
    raise NoJava(f"no Java 17 or 21 was found and none could be brought ({'; '.join(faults)})", remedy=REMEDY)


def _bring_by_apt(settings: Settings) -> str:
    """Install Debian's own package; returns what went wrong, or nothing."""
    apt = shutil.which("apt-get", path=search_path())
    if os.geteuid() != 0 or not apt:
        return "apt: needs root on Debian or Ubuntu"
    faults = []
    subprocess.run([apt, "update", "-qq"], capture_output=True, check=False, stdin=subprocess.DEVNULL)
    for version in SUPPORTED:
        package = f"openjdk-{version}-jre-headless"
        answer = subprocess.run(
            ["env", "DEBIAN_FRONTEND=noninteractive", apt, "install", "-y", "-qq", "--no-install-recommends", package],
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        if answer.returncode == 0:
            return ""
        last = (answer.stderr.strip() or "no message").splitlines()[-1]
        faults.append(f"apt install {package}: {last.removeprefix('E: ')}")
    return "; ".join(faults)


def _bring_by_install_jdk(settings: Settings) -> str:
    """Fetch a JDK into the home directory; returns what went wrong, or nothing."""
    import jdk

    target = settings.home / "java"
    target.mkdir(parents=True, exist_ok=True)
    try:
        jdk.install(str(SUPPORTED[0]), path=str(target))
    except Exception as error:  # noqa: BLE001  (the package lets whatever its download raises through)
        return f"install-jdk: {error}"
    return ""
