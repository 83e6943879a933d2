"""Where the lake's files lie, and who keeps its catalog, as Iceberg's properties: for Spark's Java and for PyIceberg.

Both read the same names but for few. What is returned here holds passwords: for a session, never for printing.
Without an access key each side asks what the machine has (environment, profile, role), or takes what a REST catalog
hands out for each table.
"""

from __future__ import annotations

import re
from urllib.parse import quote

from headwater.errors import ConfigurationError
from headwater.settings import Settings

CONNECT_SECONDS, REQUEST_SECONDS = "10", "60"
"""An object store that does not answer is told after so long; PyIceberg's own default is to wait for ever."""
AWAY = re.compile(
    r"Unable to execute HTTP request|Service: S3, Status Code: 5\d\d"
    r"|AWS Error (NETWORK_CONNECTION|SLOW_DOWN|SERVICE_UNAVAILABLE|INTERNAL_FAILURE)"
)
"""How the AWS SDKs of Java and of PyArrow say that the store does not answer, or not now."""
DELEGATION = "X-Iceberg-Access-Delegation"


def on_s3(settings: Settings) -> bool:
    """Whether the lake's files lie on S3, or what speaks its language."""
    return settings.lake_uri.startswith(("s3://", "s3a://"))


def for_java(settings: Settings) -> dict[str, str]:
    """Properties of Spark's catalog, without its prefix."""
    found = _catalog_for_java(settings)
    if on_s3(settings):
        found |= _s3(settings) | {
            "io-impl": "org.apache.iceberg.aws.s3.S3FileIO",
            "client.region": settings.s3_region,
            "s3.path-style-access": "true" if by_path(settings) else "",
        }
    return {name: value for name, value in found.items() if value}


def for_python(settings: Settings) -> dict[str, str]:
    """Properties of PyIceberg's catalog."""
    found = rest_catalog(settings) if settings.catalog_type == "rest" else _postgres_for_python(settings)
    if on_s3(settings):
        found |= _s3(settings) | {
            "s3.region": settings.s3_region,
            "s3.force-virtual-addressing": str(not by_path(settings)).lower(),
            "s3.connect-timeout": CONNECT_SECONDS,
            "s3.request-timeout": REQUEST_SECONDS,
        }
    return {name: value for name, value in found.items() if value}


def rest_catalog(settings: Settings) -> dict[str, str]:
    """Address and credentials of an Iceberg REST catalog. Raises `ConfigurationError` where it has no address."""
    if not settings.catalog_uri:
        raise ConfigurationError(
            "a REST catalog needs its address",
            where="HEADWATER_CATALOG_TYPE=rest",
            remedy="set HEADWATER_CATALOG_URI, for example https://catalog.example.com/api/catalog",
        )
    return {
        "type": "rest",
        "uri": settings.catalog_uri,
        "warehouse": settings.catalog_warehouse or settings.lake_uri,
        "token": settings.catalog_token.get_secret_value(),
        "credential": settings.catalog_credential.get_secret_value(),
        "oauth2-server-uri": settings.catalog_oauth2_uri,
        "scope": settings.catalog_scope,
    }


def is_away(error: BaseException) -> bool:
    """Whether this error says that the object store does not answer, or not now: a condition that passes."""
    return AWAY.search(str(error)) is not None


def unreachable(settings: Settings) -> str:
    """Why the lake's bucket cannot be listed, in one line; empty where it can, or the lake lies elsewhere."""
    if not on_s3(settings):
        return ""
    from pyarrow import fs

    bucket = settings.lake_uri.partition("://")[2].partition("/")[0]
    try:
        store = fs.S3FileSystem(
            access_key=settings.s3_access_key.get_secret_value() or None,
            secret_key=settings.s3_secret_key.get_secret_value() or None,
            endpoint_override=settings.s3_endpoint or None,
            region=settings.s3_region,
            force_virtual_addressing=not by_path(settings),
            connect_timeout=5,
            request_timeout=10,
            retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=1),
        )
        found = store.get_file_info(bucket)
    except OSError as error:
        return str(error).strip().partition("\n")[0]
    return "" if found.type == fs.FileType.Directory else f"there is no bucket {bucket}"


def by_path(settings: Settings) -> bool:
    """Whether a bucket is part of the path (`http://host/bucket/…`), not of the host's name."""
    return bool(settings.s3_endpoint) if settings.s3_path_style is None else settings.s3_path_style


def _catalog_for_java(settings: Settings) -> dict[str, str]:
    if settings.catalog_type == "rest":
        own_keys = bool(settings.s3_access_key.get_secret_value())
        return rest_catalog(settings) | {f"header.{DELEGATION}": "" if own_keys else "vended-credentials"}
    database = settings.postgres_catalog_database
    return {
        "type": "jdbc",
        "uri": f"jdbc:postgresql://{settings.postgres_host}:{settings.postgres_port}/{database}",
        "jdbc.user": settings.postgres_user,
        "jdbc.password": settings.postgres_password.get_secret_value(),
        "jdbc.schema-version": "V1",
        # Values in the statement's own text: by them Postgres recognises a commit that comes twice (`told_twice`).
        "jdbc.preferQueryMode": "simple",
        "warehouse": settings.lake_uri,
        # Each session has a catalog of its own; a session works on one table at a time.
        "clients": "1",
    }


def _postgres_for_python(settings: Settings) -> dict[str, str]:
    password = quote(settings.postgres_password.get_secret_value(), safe="")
    address = f"{settings.postgres_host}:{settings.postgres_port}/{settings.postgres_catalog_database}"
    return {
        "uri": f"postgresql+psycopg2://{settings.postgres_user}:{password}@{address}",
        "warehouse": settings.lake_uri,
        "pool_pre_ping": "true",
    }


def _s3(settings: Settings) -> dict[str, str]:
    return {
        "s3.endpoint": settings.s3_endpoint,
        "s3.access-key-id": settings.s3_access_key.get_secret_value(),
        "s3.secret-access-key": settings.s3_secret_key.get_secret_value(),
    }
