import json
from dataclasses import replace
from xml.etree import ElementTree

import pytest

from headwater.embedded import downloads
from headwater.embedded.downloads import LOCK, Locked, locked, sha256
from headwater.embedded.errors import DownloadRefused
from headwater.embedded.locking import WANTED


@pytest.fixture
def one_file(monkeypatch, tmp_path):
    content = tmp_path / "content"
    content.write_text("the real thing")
    file = Locked("kafka/thing-1.0.jar", "org.example:thing:1.0", sha256(content), content.stat().st_size)
    monkeypatch.setattr(downloads, "locked", lambda: (file,))
    return file


def place(settings, file, content):
    target = settings.downloads_dir / file.path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(content)
    return target


def test_the_lock_holds_everything_wanted_with_its_hash():
    modules = {file.module for file in locked()}
    assert {wanted.module for wanted in WANTED} <= modules
    assert {file.group for file in locked()} == {
        "kafka",
        "registry",
        "connect",
        "connect-avro",
        "connect-debezium",
        "connect-iceberg",
        "spark",
    }
    assert all(len(file.sha256) == 64 and file.size > 0 for file in locked())


def test_the_lock_names_no_host():
    assert "://" not in LOCK.read_text()


def test_a_file_of_the_lock_becomes_one_dependency_of_ivy():
    for file in locked():
        xml = file.ivy_dependency.replace("m:classifier", "classifier")
        element = ElementTree.fromstring(xml)
        artifact = element.find("artifact")
        assert element.get("transitive") == "false"
        parts = [element.get("name"), element.get("rev"), *filter(None, [artifact.get("classifier")])]
        assert f"{'-'.join(parts)}.{artifact.get('ext')}" == file.path.split("/")[1]


def test_nothing_is_missing_when_all_is_there(settings, one_file):
    place(settings, one_file, "the real thing")
    assert downloads.missing(settings, ["kafka"]) == []


def test_other_groups_are_not_asked_for(settings, one_file):
    assert downloads.missing(settings, ["spark"]) == []
    assert downloads.missing(settings, ["kafka"]) == [one_file]


@pytest.mark.parametrize("content", ["the real thinG", "the real thing and more", ""])
def test_a_file_with_other_content_is_missing(settings, one_file, content):
    place(settings, one_file, content)
    assert downloads.missing(settings, ["kafka"]) == [one_file]


def test_a_file_that_changed_after_it_was_verified_is_missing(settings, one_file):
    place(settings, one_file, "the real thing")
    assert downloads.missing(settings, ["kafka"]) == []
    place(settings, one_file, "the fake thing")
    assert downloads.missing(settings, ["kafka"]) == [one_file]


def test_a_file_whose_lock_changed_is_missing(settings, one_file, monkeypatch):
    place(settings, one_file, "the real thing")
    assert downloads.missing(settings, ["kafka"]) == []
    changed = replace(one_file, sha256="0" * 64)
    monkeypatch.setattr(downloads, "locked", lambda: (changed,))
    assert downloads.missing(settings, ["kafka"]) == [changed]


def test_a_broken_record_of_what_was_verified_is_made_anew(settings, one_file):
    place(settings, one_file, "the real thing")
    (settings.downloads_dir / ".verified.json").write_text("{")
    assert downloads.missing(settings, ["kafka"]) == []
    assert json.loads((settings.downloads_dir / ".verified.json").read_text())


def test_a_mismatch_is_refused_and_deleted(settings, one_file, tmp_path):
    came = tmp_path / "came.jar"
    came.write_text("something else")
    with pytest.raises(DownloadRefused, match="(?s)kafka/thing-1.0.jar.*SHA-256.*the file was deleted"):
        downloads._accept(came, settings.downloads_dir / one_file.path, one_file)
    assert not came.exists()
    assert not (settings.downloads_dir / one_file.path).exists()
