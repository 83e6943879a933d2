"""Writing the audit trail from a process of its own: here, for a new process can import it by its name."""

from __future__ import annotations

import threading

from headwater.audit.entries import Entry
from headwater.audit.writing import Auditor
from headwater.settings import Settings


def record_many(settings: Settings, who: str, threads: int, entries: int) -> None:
    """Record from several threads at once."""
    auditor = Auditor(settings)
    working = [
        threading.Thread(target=lambda: [auditor.record(Entry(who, "mcp", "query")) for _ in range(entries)])
        for _ in range(threads)
    ]
    for one in working:
        one.start()
    for one in working:
        one.join()
    auditor.close()
