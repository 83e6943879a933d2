"""
# ledger

Shows where every offset of every topic is, and fails where one cannot be accounted for.

Every ten minutes once unpaused (`make demo` leaves it paused). The task's log is what `headwater ledger` prints: per
partition what was read, is in quarantine, holds no record, or is accepted as lost; and how far each has come, into
silver, gold, the warehouse and the live table. Offsets that the stream has yet to come to are lag, not loss: they do
not fail it (`streams` sees to it that the streams are read).

**When it fails:** the log's last line says how many. The broker dropped offsets before they were read, or the topic was
recreated: `headwater stream accept-loss <name>` records that somebody accepts it. Otherwise rows are missing from
bronze: `headwater ledger <name> --verify` names their offsets.
"""

from datetime import timedelta

from airflow.sdk import DAG, CronTriggerTimetable
from pendulum import datetime

from headwater_airflow.operators import HeadwaterOperator

with DAG(
    dag_id="ledger",
    doc_md=__doc__,
    schedule=CronTriggerTimetable("*/10 * * * *", timezone="UTC"),
    start_date=datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(minutes=9),
    default_args={
        "owner": "platform",
        "retries": 1,
        "retry_delay": timedelta(seconds=30),
        "execution_timeout": timedelta(minutes=4),
    },
    tags=["headwater", "bronze"],
):
    HeadwaterOperator(
        task_id="account",
        arguments=["ledger", "--allow-lag"],
        doc_md="Prints the ledger of all streams; fails for offsets that are neither accounted for nor yet to be read.",
    )
