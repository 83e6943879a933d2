"""The Iceberg catalog `lake` through PyIceberg: the same tables that Spark sees, without a JVM."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from pyiceberg.catalog import Catalog
from pyiceberg.catalog.rest import RestCatalog
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.exceptions import ServerError, ServiceUnavailableError
from requests import PreparedRequest, Response, Session
from requests.adapters import HTTPAdapter
from requests.exceptions import ConnectionError as ConnectionLost
from requests.exceptions import Timeout
from sqlalchemy import event
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import OperationalError

from headwater.errors import RetryableError
from headwater.lake.sessions import CATALOG
from headwater.lake.storage import for_python
from headwater.lake.told_twice import tell_apart
from headwater.settings import get_settings

REMEDY = "see `headwater status`, then `headwater up postgres`"
REST_REMEDY = "see whether the REST catalog of HEADWATER_CATALOG_URI runs"
REST_SECONDS = (10.0, 60.0)
"""Time to connect, and between two bytes of an answer; without it a catalog that hangs would hang its callers."""


class CatalogUnavailableError(RetryableError):
    """The catalog (its Postgres, or the REST server) does not answer, or went away in the middle."""


def get_catalog() -> Catalog:
    """The catalog, one per process and configuration. Safe for threads: each call takes a pooled connection.

    It and all that it gives raise `CatalogUnavailableError` where its server does not answer; `ConfigurationError`
    where the settings are not enough.
    """
    return _open(tuple(sorted(for_python(get_settings()).items())))


def catalog_as(connection_name: str) -> Catalog:
    """A catalog of its own whose connections bear this name in Postgres, where a stream's writer is known by it.

    To be let go with `dispose`. A REST catalog has no such connections. Raises as `get_catalog`.
    """
    known = for_python(get_settings())
    if known.get("type") == "rest":
        return _over_rest(known)
    return _on_postgres({**known, "uri": f"{known['uri']}?application_name={connection_name}"})


def dispose(catalog: Catalog) -> None:
    """Close the connections of a catalog of one's own."""
    if isinstance(catalog, SqlCatalog):
        catalog.engine.dispose()


@lru_cache(maxsize=4)
def _open(properties: tuple[tuple[str, str], ...]) -> Catalog:
    known = dict(properties)
    return _over_rest(known) if known.get("type") == "rest" else _on_postgres(known)


def _on_postgres(properties: dict[str, str]) -> SqlCatalog:
    try:
        catalog = SqlCatalog(CATALOG, **properties)
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


def _over_rest(properties: dict[str, str]) -> RestCatalog:
    try:
        return _ExplainingRestCatalog(CATALOG, **properties)
    except (ServerError, ServiceUnavailableError, ConnectionLost, Timeout) as error:  # the latter: asking for a token
        raise _rest_unavailable(properties["uri"], error) from error


class _ExplainingRestCatalog(RestCatalog):
    """A REST catalog whose lost connections are told as such."""

    def _create_session(self) -> Session:
        session = super()._create_session()
        if "s3.signer" not in self.properties and "rest.sigv4-enabled" not in self.properties:
            session.mount(self.uri, _Explaining())
        return session


class _Explaining(HTTPAdapter):
    def send(
        self,
        request: PreparedRequest,
        stream: bool = False,
        timeout: Any = None,
        verify: bool | str = True,
        cert: Any = None,
        proxies: dict[str, str] | None = None,
    ) -> Response:
        try:
            return super().send(request, stream, timeout or REST_SECONDS, verify, cert, proxies)
        except (ConnectionLost, Timeout) as error:
            raise _rest_unavailable(str(request.url).partition("?")[0], error) from error


def _rest_unavailable(where: str, error: Exception) -> CatalogUnavailableError:
    reason = getattr(error.args[0], "reason", error) if error.args else error  # without the address and its query
    said = f"{type(reason).__name__} {reason}".strip().partition("\n")[0][:300]
    return CatalogUnavailableError(f"the Iceberg catalog does not answer: {said}", where=where, remedy=REST_REMEDY)
