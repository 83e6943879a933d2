"""The Iceberg catalog `lake` through PyIceberg: the same tables that Spark sees, without a JVM."""

from __future__ import annotations

from functools import lru_cache
from urllib.parse import quote

from pyiceberg.catalog.sql import SqlCatalog
from sqlalchemy import event
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import OperationalError

from headwater.errors import RetryableError
from headwater.lake.sessions import CATALOG
from headwater.lake.told_twice import tell_apart
from headwater.settings import Settings, get_settings

REMEDY = "see `headwater status`, then `headwater up postgres`"


class CatalogUnavailableError(RetryableError):
    """The catalog's Postgres does not answer, or went away in the middle."""


def get_catalog() -> SqlCatalog:
    """The catalog, one per process and configuration. Safe for threads: each call takes a pooled connection.

    It and all that it gives raise `CatalogUnavailableError` where Postgres does not answer.
    """
    return _open(tuple(sorted(catalog_properties(get_settings()).items())))


def catalog_properties(settings: Settings) -> dict[str, str]:
    """PyIceberg's properties of the catalog; holds passwords."""
    password = quote(settings.postgres_password.get_secret_value(), safe="")
    address = f"{settings.postgres_host}:{settings.postgres_port}/{settings.postgres_catalog_database}"
    properties = {
        "uri": f"postgresql+psycopg2://{settings.postgres_user}:{password}@{address}",
        "warehouse": settings.lake_uri,
        "pool_pre_ping": "true",
    }
    if settings.lake_uri.startswith("s3"):
        properties |= {
            "s3.endpoint": settings.s3_endpoint,
            "s3.region": settings.s3_region,
            "s3.access-key-id": settings.s3_access_key.get_secret_value(),
            "s3.secret-access-key": settings.s3_secret_key.get_secret_value(),
        }
    return {name: value for name, value in properties.items() if value}


@lru_cache(maxsize=4)
def _open(properties: tuple[tuple[str, str], ...]) -> SqlCatalog:
    try:
        catalog = SqlCatalog(CATALOG, **dict(properties))
        tell_apart(catalog.engine)
    except OperationalError as error:
        raise _unavailable(error.orig) from error
    event.listen(catalog.engine, "handle_error", _explain)
    return catalog


def _explain(context: ExceptionContext) -> CatalogUnavailableError | None:
    """Lost and refused connections are told as such; a failed ping is not: the pool connects anew after it."""
    lost = context.connection is None or context.is_disconnect
    return _unavailable(context.original_exception) if lost and not context.is_pre_ping else None


def _unavailable(error: BaseException | None) -> CatalogUnavailableError:
    settings = get_settings()
    where = f"{settings.postgres_host}:{settings.postgres_port}/{settings.postgres_catalog_database}"
    said = str(error).strip().partition("\n")[0]
    return CatalogUnavailableError(f"the Iceberg catalog does not answer: {said}", where=where, remedy=REMEDY)
