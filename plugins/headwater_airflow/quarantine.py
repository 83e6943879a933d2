"""The form of the `quarantine` DAG, as a `headwater quarantine` command."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from airflow.sdk import Context
from airflow.sdk.exceptions import AirflowFailException

from headwater_airflow.operators import HeadwaterOperator

FILTERS = ("reason", "stage", "partition", "offsets", "limit")
TIMES = ("since", "until")
MEANS = {"list": (), "replay": ("schema_version",), "discard": ("why",)}
"""What each decision takes beside the filters (a replay's patch is a file)."""


class QuarantineOperator(HeadwaterOperator):
    """Run `headwater quarantine list|replay|discard` with the run's params, in the name of who triggered it."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(arguments=[], **kwargs)

    def execute(self, context: Context) -> Any:
        """Run the command to its end; the patch is handed over as a file that lives as long."""
        params = dict(context["params"])
        who = getattr(context["dag_run"], "triggering_user_name", None) or "airflow"
        self.arguments = command(params, who)
        if params["decision"] != "replay" or params.get("patch") is None:
            return super().execute(context)
        with tempfile.TemporaryDirectory(prefix="headwater-patch-") as folder:
            patch = Path(folder) / "patch.json"
            patch.write_text(json.dumps(params["patch"]), "utf-8")
            self.arguments += ["--patch", str(patch)]
            return super().execute(context)


def command(params: Mapping[str, Any], who: str) -> list[str]:
    """The arguments for these params, but for the patch. Raises `AirflowFailException` for what contradicts itself."""
    decision = params["decision"]
    given = {name: value for name, value in params.items() if value not in (None, "")}
    if decision == "discard" and "why" not in given:
        raise AirflowFailException("a discard needs a reason why, which is kept with the decision")
    if decision != "replay" and {"patch", "schema_version"} & set(given):
        raise AirflowFailException(f"patch and schema version are for a replay, not for {decision}")
    arguments = ["quarantine", decision, params["dataset"]]
    for name in (*FILTERS, *MEANS[decision]):
        if name in given:
            # With `=`, so that a value that begins with a dash is none the less a value.
            arguments.append(f"--{name.replace('_', '-')}={given[name]}")
    for name in TIMES:
        if name in given:
            moment = datetime.fromisoformat(given[name])
            moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
            arguments.append(f"--{name}={moment:%Y-%m-%dT%H:%M:%S}")
    if decision == "list":
        return arguments
    arguments.append(f"--who={who}")
    return [*arguments, *(["--dry-run"] if params["dry_run"] else []), *(["--yes"] if decision == "discard" else [])]
