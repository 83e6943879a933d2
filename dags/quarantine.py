"""
# quarantine

Looks at what could not be read or broke a rule, tries it again, or puts it aside: **Trigger** asks for the rest.

It does what `headwater quarantine list|replay|discard` does, with the same filters; every attempt is kept, with the
name of who triggered it. Begin with *decision* `list`, then `replay` as a *dry run* (the default): the log says
what would land, and what would fail again and why. Then clear *dry run*.

- **A replay** lands each record once, at its own place, however often it is run; the domain's DAG takes it on to
  silver, gold and ClickHouse. *Patch* is a JSON merge patch for every record that is asked for (`{"quantity": 1}`);
  *schema version* decodes with that released version instead of the one the record names.
- **A discard** needs a *reason why*; the records stay in bronze and in the ledger.

**When it fails:** the log's last lines say why. A record that fails again fails the task, in a dry run too: what could
land has landed (`… landed, … fail again`), and the rest is still in quarantine. Exit code 2 means that a field was
filled in wrongly.
"""

from datetime import timedelta

from airflow.sdk import DAG, Param
from graph import DATASETS
from pendulum import datetime

from headwater_airflow.quarantine import QuarantineOperator

STREAMS = [name for name, dataset in DATASETS.items() if dataset["kind"] in ("stream", "capture")]

if STREAMS:
    with DAG(
        dag_id="quarantine",
        doc_md=__doc__,
        schedule=None,
        start_date=datetime(2026, 1, 1, tz="UTC"),
        catchup=False,
        max_active_runs=1,
        default_args={"owner": "platform", "retries": 0, "execution_timeout": timedelta(minutes=30)},
        tags=["headwater", "bronze"],
        params={
            "dataset": Param(STREAMS[0], enum=STREAMS, title="Dataset", description="The stream"),
            "decision": Param(
                "list", enum=["list", "replay", "discard"], title="Decision", description="What to do with the records"
            ),
            "dry_run": Param(True, type="boolean", title="Dry run", description="Say what would be done, no more"),
            "reason": Param(None, type=["null", "string"], title="Reason", description="Only this error or rule"),
            "stage": Param(
                None, enum=[None, "decode", "rule"], title="Stage", description="Only unreadable ones, or rule breakers"
            ),
            "partition": Param(None, type=["null", "integer"], minimum=0, title="Partition"),
            "offsets": Param(
                None,
                type=["null", "string"],
                pattern=r"^\d+(-\d+)?$",
                title="Offsets",
                description="Only this offset, or these: 5014 or 5000-5099",
            ),
            "since": Param(
                None, type=["null", "string"], format="date-time", title="Since", description="Taken in at or after"
            ),
            "until": Param(
                None, type=["null", "string"], format="date-time", title="Until", description="Taken in before"
            ),
            "limit": Param(
                1000, type=["null", "integer"], minimum=1, title="Limit", description="At most so many, newest first"
            ),
            "patch": Param(
                None, type=["null", "object"], title="Patch", description="Replay: a JSON merge patch for every record"
            ),
            "schema_version": Param(
                None, type=["null", "integer"], minimum=1, title="Schema version", description="Replay: decode with it"
            ),
            "why": Param(
                None, type=["null", "string"], title="Reason why", description="Discard: kept with the decision"
            ),
        },
    ):
        QuarantineOperator(task_id="decide", doc_md="Runs `headwater quarantine` with what the form says.")
