"""
# streams

Keeps the streams from Kafka into bronze running.

Every minute one short task compares what should run with what does, and starts what is missing. The streams live in a
process of their own, outside Airflow: no worker slot is held for their lifetime, and a restart of Airflow does not
touch them.

**When it fails:** the task's log says why the stream would not start (`headwater stream status` says the same in a
terminal). A stream that stopped with a terminal error, for example because Kafka expired offsets it still needed,
stays stopped and fails this DAG every minute, with the reason, until somebody runs `headwater stream start <name>`.
The other streams go on. A stream whose contract is new is started too: the application ends after its batch and starts
again with one more. To keep the streams stopped, pause this DAG before `headwater stream stop`.
"""

from datetime import timedelta

from airflow.sdk import DAG, CronTriggerTimetable
from pendulum import datetime

from headwater_airflow.operators import HeadwaterOperator

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
    HeadwaterOperator(
        task_id="ensure_streams",
        arguments=["stream", "start", "--leave-failed", "--json"],
        doc_md="Starts the streams that are not being read; leaves alone what has failed, and says why it has.",
    )
