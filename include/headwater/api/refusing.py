"""Every error as a problem; what is wrong inside is said in the log, not to the sender."""

from __future__ import annotations

import logging
from http import HTTPStatus

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from headwater.api.intake import RETRY_SECONDS
from headwater.api.problems import Problem
from headwater.errors import HeadwaterError
from headwater.identity.authenticating import NotAuthenticated, TooManyLogins
from headwater.identity.quotas import QuotaUsedUp
from headwater.serving.asking import Denied
from headwater.serving.evidence import DataRefused

log = logging.getLogger(__name__)

KINDS = (HeadwaterError, Problem, RequestValidationError, HTTPException, Exception)


def refusal(_: Request, error: Exception) -> Response:
    """The answer to an error."""
    return problem_of(error).response()


def problem_of(error: Exception) -> Problem:
    """The error as what the sender is told."""
    match error:
        case Problem():
            return error
        case RequestValidationError():
            names = ", ".join(str(one["loc"][-1]) for one in error.errors())
            return Problem(HTTPStatus.BAD_REQUEST, "malformed-request", f"cannot be used: {names}")
        case HTTPException():
            status = HTTPStatus(error.status_code)
            return Problem(status, "no-such-address", str(error.detail), headers=error.headers)
        case NotAuthenticated():
            return Problem(HTTPStatus.UNAUTHORIZED, "not-authenticated", "send a valid key or token")
        case TooManyLogins():
            return Problem(HTTPStatus.TOO_MANY_REQUESTS, "busy", "too many logins at once", retry_after=RETRY_SECONDS)
        case Denied():
            return Problem(HTTPStatus.FORBIDDEN, "denied", f"the policy does not let you: {', '.join(error.reasons)}")
        case DataRefused():
            return Problem(HTTPStatus.CONFLICT, "data-refused", str(error))
        case QuotaUsedUp():
            return Problem(HTTPStatus.TOO_MANY_REQUESTS, "quota", error.what, retry_after=error.retry_after)
        case HeadwaterError(retryable=True):
            log.warning("%s", error)
            status = HTTPStatus.SERVICE_UNAVAILABLE
            return Problem(status, "unavailable", error.what, retry_after=RETRY_SECONDS)
    log.error("a request failed: %s", error, exc_info=None if isinstance(error, HeadwaterError) else error)
    return Problem(HTTPStatus.INTERNAL_SERVER_ERROR, "fault", "the platform has a fault; its log says which")
