"""Java on a machine that has none.

`apt-get` and the package install-jdk are stand-ins here, since the real ones change the machine and need the network:
they leave a program behind that answers `--list-modules` as a runtime does. What is tested is ours: who is asked, in
which order, what counts as brought, and what is told. The real ones work when the suite runs on a machine without Java.
"""

import os
import shutil
from pathlib import Path

import jdk
import pytest

from headwater.embedded import java
from headwater.embedded.errors import NoJava
from headwater.settings import Settings

TOOLS = ("cat", "cp", "env", "sh")


class Machine:
    """A machine with nothing but `TOOLS` on its PATH; what apt installs goes to `jvm`."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root, self.jvm, self.programs = root, root / "jvm", root / "bin"
        self.jvm.mkdir()
        self.programs.mkdir()
        for tool in TOOLS:
            (self.programs / tool).symlink_to(shutil.which(tool))
        self.patch = monkeypatch
        monkeypatch.setenv("PATH", str(self.programs))
        monkeypatch.delenv("JAVA_HOME", raising=False)
        monkeypatch.setattr(java, "USUAL_PLACES", (f"{self.jvm}/*",))
        self.be_root(True)
        self.install_jdk(None)

    def be_root(self, root: bool) -> None:
        self.patch.setattr(os, "geteuid", lambda: 0 if root else 1000)

    def runtime(self, place: Path, version: str) -> Path:
        program = place / "bin" / "java"
        program.parent.mkdir(parents=True)
        program.write_text(f"#!/bin/sh\ncat <<'END'\njava.base@{version}\n{java.NEEDED_MODULE}@{version}\nEND\n")
        program.chmod(0o755)
        return place

    def apt_has(self, package: str, brings: str) -> None:
        """apt-get knows this package alone; it holds a runtime of that version."""
        source = self.runtime(self.root / "archive", brings)
        program = self.programs / "apt-get"
        program.write_text(
            f'#!/bin/sh\necho "$@" >> {self.root}/asked\ncase "$*" in\n'
            f'update*) ;;\n*" {package}") cp -r {source} {self.jvm}/brought ;;\n'
            '*) echo "E: Unable to locate package" >&2; exit 100 ;;\nesac\n'
        )
        program.chmod(0o755)

    def install_jdk(self, version: str | None) -> None:
        """install-jdk brings this version, or (None) cannot reach its server."""

        def install(wanted: str, *, path: str) -> str:
            if version is None:
                raise OSError("no route to host")
            return str(self.runtime(Path(path) / f"jdk-{wanted}", version))

        self.patch.setattr(jdk, "install", install)

    def asked_of_apt(self) -> list[str]:
        log = self.root / "asked"
        return log.read_text().splitlines() if log.exists() else []


@pytest.fixture
def machine(tmp_path, monkeypatch) -> Machine:
    return Machine(tmp_path, monkeypatch)


def test_root_gets_the_package_of_the_system(machine, settings: Settings):
    machine.apt_has("openjdk-17-jre-headless", "17.0.15")
    found = java.ensure_java(settings)
    assert (found.version, found.home) == (17, machine.jvm / "brought")
    update, install = machine.asked_of_apt()
    assert update == "update -qq"
    assert install == "install -y -qq --no-install-recommends openjdk-17-jre-headless"


def test_where_the_system_has_no_17_it_gives_21(machine, settings: Settings):
    machine.apt_has("openjdk-21-jre-headless", "21.0.2")
    assert java.ensure_java(settings).version == 21


def test_one_that_is_there_is_not_brought_again(machine, settings: Settings):
    machine.apt_has("openjdk-17-jre-headless", "17.0.15")
    java.ensure_java(settings)
    asked = machine.asked_of_apt()
    java.ensure_java(settings)
    assert machine.asked_of_apt() == asked


def test_others_than_root_get_one_below_the_home(machine, settings: Settings):
    machine.be_root(False)
    machine.apt_has("openjdk-17-jre-headless", "17.0.15")
    machine.install_jdk("17.0.2")
    assert java.ensure_java(settings).home == settings.home / "java" / "jdk-17"
    assert machine.asked_of_apt() == []


def test_where_apt_has_none_it_comes_below_the_home(machine, settings: Settings):
    machine.apt_has("something-else", "17")
    machine.install_jdk("17.0.2")
    assert java.ensure_java(settings).home == settings.home / "java" / "jdk-17"


def test_where_neither_works_both_reasons_are_told(machine, settings: Settings):
    machine.apt_has("something-else", "17")
    with pytest.raises(NoJava) as told:
        java.ensure_java(settings)
    assert "apt install openjdk-17-jre-headless: Unable to locate package" in told.value.what
    assert "install-jdk: no route to host" in told.value.what
    assert "HEADWATER_JAVA_HOME" in told.value.remedy


def test_one_that_was_brought_and_cannot_be_used_does_not_count(machine, settings: Settings):
    machine.apt_has("openjdk-17-jre-headless", "11.0.2")
    machine.install_jdk("17.0.2")
    assert java.ensure_java(settings).home == settings.home / "java" / "jdk-17"
