import sys

from headwater.embedded import processes, stack
from headwater.embedded.service import ProcessSpec

GUEST = (sys.executable, "-c", "import time; time.sleep(60)")


def test_down_ends_what_others_have_started_with_the_marks_of_the_home(settings):
    spec = ProcessSpec("stream", GUEST, healthy=lambda: True)
    running = processes.start(settings, spec)
    told = []
    stack.down(lambda name, text: told.append((name, text)))
    assert not processes.alive(running.process)
    assert not processes.pid_file(settings, "stream").exists()
    assert ("stream", "stopped") in told


def test_down_where_nothing_runs_says_nothing(settings):
    told = []
    stack.down(lambda name, text: told.append((name, text)))
    assert told == []


def test_wipe_keeps_downloads_and_forgets_the_rest(settings):
    kept = settings.downloads_dir / "kafka" / "thing.jar"
    gone = [settings.home / name for name in ("kafka/data/x", "lake/t/f.parquet", "secrets.env", "logs/kafka.log")]
    for file in (kept, *gone):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    stack.down(lambda name, text: None, wipe=True)
    assert kept.exists()
    assert [file for file in gone if file.exists()] == []
