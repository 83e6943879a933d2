"""Every setting of the platform. Nothing but this and `headwater.environment` reads the environment (ruff holds it).

A setting is taken from, first to last: the process environment (`HEADWATER_<NAME>`), the file `.env` in the project
directory, `secrets.env` in the home directory (written by `headwater up`, mode 0600), the default below.
What decides who is let in and what is on record is in `headwater.surface_settings`.
`.env.example` lists them all; a test holds the two together.

Ports default to `port_base` plus a fixed distance, so that a second stack needs one variable.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict
from pydantic_settings.sources import DotEnvSettingsSource

from headwater.errors import ConfigurationError
from headwater.surface_settings import SurfaceSettings

PREFIX = "HEADWATER_"
PORT_DISTANCE = {
    "kafka_port": 92,
    "kafka_controller_port": 93,
    "registry_port": 81,
    "connect_port": 83,
    "postgres_port": 54,
    "clickhouse_port": 23,
    "spark_connect_port": 15,
    "airflow_port": 80,
    "mcp_port": 65,
    "api_port": 84,
}
"""Distance of each service's port from `port_base`."""

LOOPBACK = "127.0.0.1"


def _default_project_dir() -> Path:
    """The checkout this package lies in, or the working directory where it is installed elsewhere."""
    checkout = Path(__file__).resolve().parents[2]
    return checkout if (checkout / "schemas").is_dir() else Path.cwd()


class Settings(SurfaceSettings):
    """All settings, with those of the surfaces; see the module docstring for where their values come from."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="ignore", env_ignore_empty=True)

    # --- places
    project_dir: Path = Field(default_factory=_default_project_dir, description="The checkout: contracts, DAGs, jobs")
    home: Path = Field(default=Path(".headwater"), description="Data, logs, pids and downloads of the embedded stack")
    downloads_dir: Path = Field(
        default=Path(), description="Downloaded jars, shareable by stacks; empty: home/downloads"
    )
    port_base: int = Field(default=19000, ge=1024, le=65000, description="Ports of the embedded stack start here")
    bind_host: str = Field(default=LOOPBACK, description="Address of endpoint, MCP and API; the rest is on loopback")
    min_free_disk_gb: float = Field(
        default=2.0, ge=0, description="`headwater up` refuses to start with less than this"
    )

    # --- Java: 17 or 21, for Kafka, the registry and Spark
    java_home: Path | None = Field(default=None, description="Use this one; empty: JAVA_HOME, PATH, the usual places")
    java_install: Literal["auto", "never"] = Field(default="auto", description="Bring Java where none is found")

    # --- Kafka
    kafka_port: int = 0
    kafka_controller_port: int = 0
    kafka_bootstrap_servers: str = Field(default="", description="host:port,…; empty means the embedded broker")
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    kafka_sasl_mechanism: str = Field(default="", description="PLAIN, SCRAM-SHA-256, SCRAM-SHA-512")
    kafka_username: str = ""
    kafka_password: SecretStr = SecretStr("")
    kafka_ssl_ca_location: str = Field(default="", description="PEM file with the certificate authority")
    kafka_ssl_certificate_location: str = Field(default="", description="PEM file with the client certificate")
    kafka_ssl_key_location: str = Field(default="", description="PEM file with the client key")
    kafka_topic_partitions: int = Field(
        default=4, ge=1, description="Partitions of a topic that `contract apply` creates"
    )
    kafka_replication_factor: int = Field(default=1, ge=1)

    # --- schema registry (Confluent's API)
    registry_port: int = 0
    registry_url: str = Field(default="", description="empty means the embedded registry")
    registry_username: str = ""
    registry_password: SecretStr = SecretStr("")
    registry_ssl_ca_location: str = ""

    # --- Kafka Connect: the worker that captures changes of the source database
    connect_port: int = 0
    connect_url: str = Field(default="", description="REST address of a worker; empty means the embedded one")
    connect_memory: str = Field(default="512m", description="Heap of a worker")
    connect_advertised_host: str = Field(default="connect", description="Where others of its group reach a container's")
    capture_user: str = Field(default="", description="Connectors read the source as this user; empty: postgres_user")
    capture_password: SecretStr = SecretStr("")

    # --- Postgres: source database, Iceberg catalog, Airflow's database, leases
    postgres_host: str = ""
    postgres_port: int = 0
    postgres_user: str = "headwater"
    postgres_password: SecretStr = SecretStr("")
    postgres_source_database: str = "source"
    postgres_catalog_database: str = "catalog"
    postgres_airflow_database: str = "airflow"
    postgres_platform_database: str = "headwater"

    # --- ClickHouse
    clickhouse_host: str = ""
    clickhouse_port: int = 0
    clickhouse_secure: bool = False
    clickhouse_user: str = Field(default="headwater", description="Writes: DDL, loads, the live follower")
    clickhouse_password: SecretStr = SecretStr("")
    clickhouse_reader_user: str = Field(default="reader", description="Reads all, only: `headwater query`, the demo")
    clickhouse_reader_password: SecretStr = SecretStr("")
    clickhouse_agent_user: str = Field(default="agent", description="The sidecar's; sees what its group's role does")
    clickhouse_agent_password: SecretStr = SecretStr("")
    clickhouse_agent_group: str = Field(default="agents", description="Its group in schemas/policies")
    clickhouse_reader_databases: str = Field(
        default="default,gold,live,platform", description="What the reader may read; the embedded endpoint creates them"
    )
    clickhouse_reader_max_rows: int = Field(default=1_000_000, ge=1, description="Rows of one answer to the reader")
    clickhouse_reader_max_bytes: int = Field(default=256 * 1024**2, ge=1, description="Bytes of one such answer")
    clickhouse_reader_max_seconds: int = Field(default=60, ge=1, description="Time of one query of the reader")
    clickhouse_query_memory_bytes: int = Field(default=2 * 1024**3, ge=1, description="Memory of one query (embedded)")
    clickhouse_max_concurrent_queries: int = Field(default=256, ge=1, description="Queries at once (embedded)")
    clickhouse_stop_seconds: int = Field(default=20, ge=1, description="Time running queries get on SIGTERM (embedded)")

    # --- the lake
    lake_uri: str = Field(default="", description="s3://bucket/prefix or file:///…; empty means <home>/lake")
    s3_endpoint: str = Field(default="", description="e.g. http://127.0.0.1:9000 for MinIO; empty means AWS")
    s3_region: str = "us-east-1"
    s3_access_key: SecretStr = SecretStr("")
    s3_secret_key: SecretStr = SecretStr("")
    s3_path_style: bool | None = Field(default=None, description="http://host/bucket; empty: where an endpoint is set")

    # --- the Iceberg catalog
    catalog_type: Literal["jdbc", "rest"] = Field(default="jdbc", description="jdbc (on Postgres), or rest")
    catalog_uri: str = Field(default="", description="Address of a REST catalog")
    catalog_warehouse: str = Field(default="", description="Its name of the warehouse; empty: lake_uri")
    catalog_token: SecretStr = SecretStr("")
    catalog_credential: SecretStr = Field(default=SecretStr(""), description="client_id:client_secret (OAuth 2)")
    catalog_oauth2_uri: str = Field(default="", description="Where tokens come from; empty: the catalog itself")
    catalog_scope: str = ""

    # --- Spark
    spark_master: str = "local[2]"
    spark_master_ui: str = Field(default="", description="http://host:8080 of a standalone master, to ask for state")
    spark_driver_memory: str = "1g"
    spark_executor_memory: str = Field(default="1g", description="Of each executor, where the master is a cluster")
    spark_remote: str = Field(default="", description="sc://host:port of a running Spark Connect server for batch jobs")
    spark_connect_port: int = 0
    stream_trigger_interval: str = Field(default="2 seconds", description="Time between two micro-batches")
    stream_max_offsets_per_trigger: int = Field(default=2_000_000, ge=1, description="Upper bound of a micro-batch")
    stream_lease_seconds: float = Field(default=15.0, ge=1, description="A stream's lease lasts so long unrenewed")
    stream_handover_seconds: float = Field(default=20.0, ge=0, description="A new stream waits so long for the old one")
    stream_watch_seconds: float = Field(default=1.0, gt=0, description="Time between two looks of `stream watch`")
    stream_stall_seconds: float = Field(default=300.0, gt=0, description="With lag and without progress so long: sick")
    stream_restart_budget: int = Field(default=5, ge=0, description="Restarts by the supervisor before it gives up")
    stream_restart_pause_seconds: float = Field(default=30.0, gt=0, description="After the first restart; then doubled")
    stream_restart_forgiven_seconds: float = Field(default=900.0, gt=0, description="Well so long: the budget is whole")
    stream_drain_seconds: float = Field(default=120.0, gt=0, description="A drain waits so long for the live table")
    stream_crash_at: Literal[
        "",
        "after-decode",
        "during-bronze-commit",
        "after-bronze-commit",
        "during-insert",
        "after-insert",
        "before-position",
        "after-position",
    ] = Field(default="", description="For tests only: where a stream kills itself")
    stream_crash_signal: Literal["SIGKILL", "SIGSTOP"] = Field(default="SIGKILL", description="For tests only: how")

    # --- Airflow and MCP
    airflow_port: int = 0
    airflow_url: str = Field(default="", description="Where the API asks for runs; empty: the embedded Airflow")
    airflow_admin_password: SecretStr = SecretStr("")
    airflow_fernet_key: SecretStr = SecretStr("")
    airflow_secret_key: SecretStr = SecretStr("")
    airflow_jwt_secret: SecretStr = SecretStr("")
    mcp_port: int = 0
    mcp_workers: int = Field(default=1, description="Processes of the MCP sidecar, each of its own memory")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Environment, then `.env` of the project, then `secrets.env` of the home directory."""
        project = Path(os.environ.get("HEADWATER_PROJECT_DIR") or _default_project_dir())
        dotenv = DotEnvSettingsSource(settings_cls, env_file=project / ".env")
        home = os.environ.get("HEADWATER_HOME") or dotenv().get("home") or ".headwater"
        secrets = DotEnvSettingsSource(settings_cls, env_file=project / home / "secrets.env")
        return init_settings, env_settings, dotenv, secrets

    @model_validator(mode="after")
    def _fill_defaults(self) -> Self:
        """Resolve what follows from other settings: absolute home, ports, addresses of the embedded services."""
        self.project_dir = self.project_dir.resolve()
        self.home = (self.project_dir / self.home).resolve()
        downloads = self.downloads_dir if self.downloads_dir != Path() else self.home / "downloads"
        self.downloads_dir = (self.project_dir / downloads).resolve()
        for name, distance in PORT_DISTANCE.items():
            if not getattr(self, name):
                setattr(self, name, self.port_base + distance)
        self.kafka_bootstrap_servers = self.kafka_bootstrap_servers or f"{LOOPBACK}:{self.kafka_port}"
        self.registry_url = self.registry_url or f"http://{LOOPBACK}:{self.registry_port}/apis/ccompat/v7"
        self.connect_url = (self.connect_url or f"http://{LOOPBACK}:{self.connect_port}").rstrip("/")
        self.postgres_host = self.postgres_host or LOOPBACK
        self.clickhouse_host = self.clickhouse_host or LOOPBACK
        self.lake_uri = (self.lake_uri or f"file://{self.home / 'lake'}").rstrip("/")
        return self

    @property
    def contracts_dir(self) -> Path:
        """Folder of the hand-written contracts, `<domain>/<dataset>.yaml`."""
        return self.project_dir / "schemas" / "contracts"

    @property
    def policies_dir(self) -> Path:
        """Folder of the policy: `*.yaml`, and the decision in Rego."""
        return self.project_dir / "schemas" / "policies"

    @property
    def avro_dir(self) -> Path:
        """Folder of the generated Avro schemas, `<dataset>/v<N>.avsc`."""
        return self.project_dir / "schemas" / "avro"

    @property
    def gold_models_dir(self) -> Path:
        """Folder of the gold models, `<domain>/<dataset>.sql`."""
        return self.project_dir / "spark_jobs" / "gold"

    @property
    def live_views_dir(self) -> Path:
        """Folder of the views over live tables, `<domain>/<view>.sql`."""
        return self.project_dir / "spark_jobs" / "live"

    @property
    def jars_dir(self) -> Path:
        """Folder of the downloaded Spark jars."""
        return self.downloads_dir / "spark"

    @property
    def landing_dir(self) -> Path:
        """Folder where file drops arrive, `<dataset>/*.parquet`."""
        return self.home / "landing"

    @property
    def logs_dir(self) -> Path:
        """Logs of the embedded services, one file each."""
        return self.home / "logs"

    def postgres_dsn(self, database: str) -> str:
        """A libpq URL with the password in it: for connecting, never for printing."""
        password = self.postgres_password.get_secret_value()
        return f"postgresql://{self.postgres_user}:{password}@{self.postgres_host}:{self.postgres_port}/{database}"


@cache
def get_settings() -> Settings:
    """The settings of this process, read once. Tests that change the environment call `get_settings.cache_clear()`.

    Raises `ConfigurationError`, which names every value that cannot be used.
    """
    try:
        return Settings()
    except ValidationError as error:
        faults = "; ".join(_fault(str(one["loc"][0]), one["input"], one["msg"]) for one in error.errors())
    # Not `from error`: its text has the values of all settings, secrets too.
    raise ConfigurationError(faults, where="settings", remedy="correct it; .env.example lists all settings")


def _fault(name: str, value: object, message: str) -> str:
    shown = "…" if Settings.model_fields[name].annotation is SecretStr else value
    return f"{PREFIX}{name.upper()}={shown} cannot be used: {message[0].lower()}{message[1:]}"
