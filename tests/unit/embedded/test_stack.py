import sys

import psutil

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


def test_down_first_ends_what_would_start_others_again(settings, tmp_path):
    told = tmp_path / "told"
    stream = processes.start(settings, ProcessSpec("stream", GUEST, lambda: True))
    watches = (
        "import pathlib, signal, sys, psutil\n"
        f"def end(*_): pathlib.Path({str(told)!r}).write_text(psutil.Process({stream.pid}).status()); sys.exit()\n"
        "signal.signal(signal.SIGTERM, end); print('ready', flush=True); signal.pause()"
    )
    watcher = ProcessSpec(
        processes.WATCHER,
        (sys.executable, "-c", watches),
        lambda: "ready" in processes.log_file(settings, processes.WATCHER).read_text(),
    )
    processes.await_healthy(settings, watcher, processes.start(settings, watcher))

    stack.down(lambda name, text: None)

    assert told.read_text() not in ("", psutil.STATUS_ZOMBIE)
    assert not processes.alive(stream.process)


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
