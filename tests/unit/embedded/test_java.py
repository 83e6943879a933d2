from pathlib import Path

import pytest

from headwater.embedded.errors import NoJava
from headwater.embedded.java import NEEDED_MODULE, ensure_java, find_java, inspect


@pytest.fixture
def runtime(tmp_path):
    def make(name: str, prints: str, code: int = 0) -> Path:
        program = tmp_path / name / "bin" / "java"
        program.parent.mkdir(parents=True)
        program.write_text(f"#!/bin/sh\ncat <<'END'\n{prints}\nEND\nexit {code}\n")
        program.chmod(0o755)
        return tmp_path / name

    return make


def modules(version: str) -> str:
    return f"java.base@{version}\n{NEEDED_MODULE}@{version}"


@pytest.mark.parametrize("version", ["17.0.15", "21.0.2", "21"])
def test_17_and_21_can_be_used(runtime, version):
    java = inspect(runtime("good", modules(version)))
    assert (java.version, java.fault) == (int(version.split(".")[0]), "")


@pytest.mark.parametrize(
    ("prints", "code", "fault"),
    [
        (modules("11.0.2"), 0, "Java 11"),
        (modules("25"), 0, "Java 25"),
        ("java.base@17.0.1", 0, NEEDED_MODULE),
        ("Unrecognized option: --list-modules", 1, "older than Java 9"),
    ],
)
def test_others_cannot_and_it_says_why(runtime, prints, code, fault):
    assert fault in inspect(runtime("bad", prints, code)).fault


@pytest.mark.parametrize(
    ("released", "fault"),
    [
        (f'JAVA_VERSION="17.0.15"\nMODULES="java.base {NEEDED_MODULE}"\n', ""),
        (f'JAVA_VERSION="25"\nMODULES="java.base {NEEDED_MODULE}"\n', "Java 25"),
        ('JAVA_VERSION="21.0.2"\nMODULES="java.base"\n', NEEDED_MODULE),
    ],
)
def test_what_its_release_file_says_is_not_asked_again(runtime, released, fault):
    home = runtime("told", "would say nothing", code=1)
    (home / "release").write_text(released)
    found = inspect(home).fault
    assert fault in found if fault else not found


def test_a_release_file_without_modules_says_too_little(runtime):
    home = runtime("old", modules("17"))
    (home / "release").write_text('JAVA_VERSION="1.8.0_452"\n')
    assert inspect(home).version == 17


def test_a_directory_without_java_is_none(tmp_path):
    assert inspect(tmp_path).fault == "no bin/java in it"


def test_what_cannot_be_run_is_none(tmp_path):
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "java").write_text("not a program")
    assert "cannot be run" in inspect(tmp_path).fault


def test_the_first_usable_one_is_taken(settings, runtime):
    places = [runtime("old", modules("11")), runtime("good", modules("21")), runtime("other", modules("17"))]
    assert find_java(settings, places).version == 21


def test_one_asked_for_by_name_must_do(settings, runtime):
    settings.java_home = runtime("old", modules("11"))
    with pytest.raises(NoJava, match="(?s)HEADWATER_JAVA_HOME=.*Java 11.*install a full Java"):
        find_java(settings)


def test_none_found_and_none_may_be_brought(settings, runtime):
    settings.java_install = "never"
    with pytest.raises(NoJava, match="no Java 17 or 21 was found.*HEADWATER_JAVA_HOME"):
        ensure_java(settings, places=[runtime("old", modules("11"))])
