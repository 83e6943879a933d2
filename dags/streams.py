"""
# streams

Keeps the streams from Kafka into bronze running.

Every minute `supervise` compares what should run with what does: it starts what is missing, ends and starts again
what hangs, and keeps a watcher, which does the same every second until it comes again. Then a task for each stream
shows its lease, its heartbeat, its lag, how fresh it is and what was done about it since yesterday, and fails where the
stream is not well. Streams and watcher are processes of their own, outside Airflow: no worker slot is held for their
lifetime, and a restart of Airflow does not touch them; a stream that outlived whoever started it is found by its lease.

**When a stream's task fails:** its log says why (`headwater stream status` says the same in a terminal).
- *dead*, *mute*, *stalled*: its process is gone, tells nothing, or makes no progress although there is something to
  read. It is started again, at once the first time, then after pauses that double.
- *given up*: so many restarts did not help (`HEADWATER_STREAM_RESTART_BUDGET`). It stays stopped; the other streams
  go on. **When that is mended, clear the task:** it tries the stream once more, with its whole budget.
- *failed*: it stopped with an error that stays, for example because Kafka expired offsets it still needed. The same.

A stream whose contract is new is started too: the application ends after its batch and starts again with one more.
`headwater stream stop` and `drain` hold: this DAG leaves alone what people have stopped. While it is paused, nobody
starts anything again, from ten minutes after the last `supervise` on: so long the watcher stays.

Where contracts capture the changes of tables, `connector` looks after Kafka Connect in the same way: it starts a lost
worker and failed tasks again, after pauses that double, within the same budget. `capture` shows connector, slot,
heartbeat and snapshots (`headwater cdc status`), and fails where it does not run. After *given up*: mend what its cause
says, then `headwater cdc apply`.
"""

from datetime import timedelta

from airflow.sdk import DAG, CronTriggerTimetable
from graph import DATASETS
from pendulum import datetime

from headwater_airflow.operators import HeadwaterOperator

TRY_AGAIN = "--{{ 'try' if ti.try_number > 1 else 'no-try' }}-again"
"""A task that has no retries of its own runs a second time because a person has cleared it."""

with DAG(
    dag_id="streams",
    doc_md=__doc__,
    schedule=CronTriggerTimetable("* * * * *", timezone="UTC"),
    start_date=datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(minutes=6),
    default_args={"owner": "platform", "retries": 0, "execution_timeout": timedelta(minutes=5)},
    tags=["headwater", "bronze"],
):
    supervise = HeadwaterOperator(
        task_id="supervise",
        arguments=["stream", "supervise", "--watch", "--json"],
        doc_md="Starts what is missing, restarts what hangs, keeps the watcher; its result says what it found and did.",
    )
    stream = HeadwaterOperator.partial(
        task_id="stream",
        trigger_rule="all_done",
        execution_timeout=timedelta(minutes=4),
        map_index_template="{{ task.arguments[2] }}",
        doc_md="One stream: lease, heartbeat, lag, freshness. Fails where it is not well; cleared, tries it again.",
    ).expand(
        arguments=[
            ["stream", "status", name, "--check", TRY_AGAIN, "--json"]
            for name, dataset in DATASETS.items()
            if dataset["kind"] in ("stream", "capture")
        ]
    )
    supervise >> stream

    if any(dataset["kind"] == "capture" for dataset in DATASETS.values()):
        connector = HeadwaterOperator(
            task_id="connector",
            arguments=["cdc", "supervise", "--json"],
            doc_md="Starts a lost worker and failed tasks of change data capture again; says what it found and did.",
        )
        capture = HeadwaterOperator(
            task_id="capture",
            trigger_rule="all_done",
            execution_timeout=timedelta(minutes=1),
            arguments=["cdc", "status", "--json"],
            doc_md="Change data capture: connector, slot, heartbeat, snapshots. Fails where it does not run.",
        )
        connector >> capture
