"""What tests do to the streaming application that the supervisor looks after."""

import os
import signal

import psutil

from headwater.embedded import processes
from headwater.settings import Settings
from headwater.streaming import supervision


def kill_application(settings: Settings) -> None:
    """SIGKILL to Python and JVM, and wait until both are gone."""
    running = processes.find(settings, supervision.PROCESS)
    assert running is not None
    members = [running.process, *running.process.children(recursive=True)]
    os.killpg(running.pid, signal.SIGKILL)
    _, left = psutil.wait_procs(members, 30)
    assert not [process for process in left if processes.alive(process)]
