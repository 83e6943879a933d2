"""Airflow 3.3.2: API server, scheduler, DAG processor and triggerer, each a process of its own (`airflow standalone`
leaves its children behind when it is killed), LocalExecutor on the embedded Postgres, tuned for a small machine.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from urllib.parse import quote

from headwater.embedded import postgres, processes
from headwater.embedded.errors import StartFailed
from headwater.embedded.health import http_body
from headwater.embedded.secrets import write_private
from headwater.embedded.service import ProcessSpec, Service
from headwater.environment import child_environment
from headwater.settings import LOOPBACK, Settings

ADMIN = "admin"
PARALLELISM = 4
COMPONENTS = {
    "airflow-api-server": (("api-server", "--host", LOOPBACK), "metadatabase"),
    "airflow-scheduler": (("scheduler", "--skip-serve-logs"), "scheduler"),
    "airflow-dag-processor": (("dag-processor",), "dag_processor"),
    "airflow-triggerer": (("triggerer", "--skip-serve-logs"), "triggerer"),
}
"""Process, its `airflow` command, and its entry in the API's health answer. The API server reads the task logs from
the disk that it shares with the scheduler, so no servers for them are needed."""
WARM = "headwater.embedded.warm_airflow"
FORKING = ("airflow-scheduler", "airflow-dag-processor")
"""They fork for each task and each DAG file."""


def _folder(settings: Settings) -> Path:
    return settings.home / "airflow"


def url(settings: Settings) -> str:
    """The web UI."""
    return f"http://{LOOPBACK}:{settings.airflow_port}"


def environment(settings: Settings) -> dict[str, str]:
    """What Airflow's processes and tasks are told. Holds secrets."""
    user, password = settings.postgres_user, quote(settings.postgres_password.get_secret_value(), safe="")
    database = f"{settings.postgres_host}:{settings.postgres_port}/{settings.postgres_airflow_database}"
    lineage = {"type": "file", "log_file_path": str(settings.home / "lineage" / "airflow.jsonl"), "append": True}
    project = settings.project_dir
    sections = {
        "CORE__EXECUTOR": "LocalExecutor",
        "CORE__PARALLELISM": str(PARALLELISM),
        "CORE__DAGS_FOLDER": str(project / "dags"),
        "CORE__PLUGINS_FOLDER": str(project / "plugins"),
        "CORE__LOAD_EXAMPLES": "False",
        "CORE__EXECUTION_API_SERVER_URL": f"{url(settings)}/execution/",
        "CORE__FERNET_KEY": settings.airflow_fernet_key.get_secret_value(),
        "CORE__SIMPLE_AUTH_MANAGER_USERS": f"{ADMIN}:admin",
        "CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(_folder(settings) / "passwords.json"),
        "DATABASE__SQL_ALCHEMY_CONN": f"postgresql+psycopg2://{user}:{password}@{database}",
        "DATABASE__SQL_ALCHEMY_POOL_SIZE": "3",
        "API__BASE_URL": url(settings),
        "API__SECRET_KEY": settings.airflow_secret_key.get_secret_value(),
        "API__WORKERS": "1",
        "API_AUTH__JWT_SECRET": settings.airflow_jwt_secret.get_secret_value(),
        "DAG_PROCESSOR__PARSING_PROCESSES": "1",
        "DAG_PROCESSOR__REFRESH_INTERVAL": "30",
        "DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "30",
        "SCHEDULER__JOB_HEARTBEAT_SEC": "5",
        "LOGGING__BASE_LOG_FOLDER": str(settings.logs_dir / "airflow"),
        "OPENLINEAGE__NAMESPACE": "headwater",
        "OPENLINEAGE__TRANSPORT": json.dumps(lineage),
        "USAGE_DATA_COLLECTION__ENABLED": "False",
    }
    own = {
        "AIRFLOW_HOME": str(_folder(settings)),
        "PYTHONPATH": f"{project / 'include'}:{project / 'plugins'}",
        "HEADWATER_PROJECT_DIR": str(project),
        "HEADWATER_HOME": str(settings.home),
        "HEADWATER_PORT_BASE": str(settings.port_base),
        "HEADWATER_DOWNLOADS_DIR": str(settings.downloads_dir),
        "HEADWATER_SPARK_REMOTE": settings.spark_remote or f"sc://{LOOPBACK}:{settings.spark_connect_port}",
        # Airflow renames its processes, which would overwrite the marks by which strays are found.
        "SPT_NOENV": "1",
        "NO_COLOR": "1",
    }
    return {f"AIRFLOW__{name}": value for name, value in sections.items()} | own


def prepare(settings: Settings) -> None:
    """Write the admin's password where Airflow looks for it, and bring its database to this version, once."""
    folder = _folder(settings)
    for directory in (folder, settings.home / "lineage", settings.logs_dir / "airflow"):
        directory.mkdir(parents=True, exist_ok=True)
    write_private(folder / "passwords.json", json.dumps({ADMIN: settings.airflow_admin_password.get_secret_value()}))
    if _is_migrated(settings):
        return
    import subprocess

    answer = subprocess.run(
        processes.python_command("airflow", "db", "migrate"),
        env=child_environment(environment(settings)),
        capture_output=True,
        text=True,
        check=False,
    )
    if answer.returncode != 0:
        raise StartFailed(
            f"`airflow db migrate` failed:\n{answer.stdout[-1500:]}{answer.stderr[-1500:]}", where="airflow"
        )
    _stamp(settings).write_text("")


def _stamp(settings: Settings) -> Path:
    from importlib.metadata import version

    return _folder(settings) / f"migrated-{version('apache-airflow')}"


def _is_migrated(settings: Settings) -> bool:
    """Whether the stamp is there and the database is still the one it speaks of."""
    if not _stamp(settings).exists():
        return False
    with postgres.connect(settings, settings.postgres_airflow_database) as connection:
        return connection.execute("select to_regclass('alembic_version')").fetchone() != (None,)


def processes_of(settings: Settings) -> list[ProcessSpec]:
    """Airflow's four parts."""
    told = environment(settings)
    specs = []
    for name, (command, part) in COMPONENTS.items():
        ports = (settings.airflow_port,) if name == "airflow-api-server" else ()
        port_arguments = [argument for port in ports for argument in ("--port", str(port))]
        specs.append(
            ProcessSpec(
                name=name,
                command=processes.python_command(WARM if name in FORKING else "airflow", *command, *port_arguments),
                healthy=partial(healthy, settings, name, part),
                ports=ports,
                environment=told,
                directory=_folder(settings),
                grace_seconds=15,
            )
        )
    return specs


def healthy(settings: Settings, name: str, part: str) -> bool:
    """Whether Airflow's health answer calls the part healthy, by a heartbeat of this process and not of a former.

    It must also be younger than the database's process: a part that lost its connection looks well for half a minute
    before it ends.
    """
    body = http_body(f"{url(settings)}/api/v2/monitor/health")
    if body is None:
        return False
    state = json.loads(body).get(part) or {}
    beat = state.get(f"latest_{part}_heartbeat")
    running = processes.find(settings, name)
    if state.get("status") != "healthy" or running is None:
        return False
    database = processes.find(settings, "postgres")
    births = [one.process.create_time() for one in (running, database) if one]
    began = datetime.fromtimestamp(max(births), UTC)
    return part == "metadatabase" or (beat is not None and datetime.fromisoformat(beat) > began)


SERVICE = Service(
    name="airflow",
    title="Airflow 3.3.2",
    processes=processes_of,
    address=url,
    prepare=prepare,
    needs=("postgres",),
    data=lambda settings: [_folder(settings)],
)
