"""The one table from errors to statuses, and the form of every answer."""

import json
import logging
import re
from collections.abc import Mapping
from typing import Any, Final

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Match

from api.names import NotAsNamed, camel
from core import errors, request_ids
from core.errors import CoreError

STATUSES: Final[Mapping[type[CoreError], int]] = {
    CoreError: 500,
    errors.Invalid: 422,
    errors.NotFound: 404,
    errors.Gone: 410,
    errors.AlreadyExists: 409,
    errors.Conflict: 409,
    errors.Forbidden: 403,
    errors.PasswordChangeNeeded: 403,
    errors.SecondFactorNeeded: 403,
    errors.TooManyAttempts: 429,
    errors.TooManyRequests: 429,
    errors.Sealed: 503,
    errors.WrongEncryptionKey: 503,
    errors.EncryptionKeyMissing: 503,
    errors.OutdatedEncryptionKey: 503,
    errors.ProcessesLackKey: 409,
    errors.BadConfig: 500,
    errors.BadKey: 500,
    errors.KeyUnreadable: 409,
    errors.ApiKeyUnavailable: 409,
    errors.ProviderMissing: 409,
    errors.NoProvider: 409,
    errors.OrganizationMissing: 409,
    errors.OrganizationInactive: 409,
    errors.ProviderInactive: 409,
    errors.ProviderNotAllowed: 409,
    errors.ModelMissing: 409,
    errors.KeyMissing: 409,
    errors.KeyNotReadable: 409,
    errors.KeyOutOfReach: 503,
    errors.CallFailed: 502,
    errors.BudgetExceeded: 402,
    errors.PersonalData: 422,
    errors.RateLimited: 429,
    errors.MissingExtra: 501,
    errors.UnknownKind: 501,
    errors.StoreUnavailable: 503,
    errors.SchemaMismatch: 503,
}
"""Every error of core; a test fails for one that is not listed."""

RETRY_AFTER: Final = 2
"""Seconds, where nobody knows better: the database is back within so long, or not soon."""

_log = logging.getLogger(__name__)


class Refused(CoreError):
    """A request that HTTP itself has a status for.

    Args:
        status: The status.
        code: In capitals.
        message: For people, with the cure.
        headers: To be sent with it.
        more: To be told beside code and message.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        headers: Mapping[str, str] | None = None,
        more: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message, made_with=(status, code, message, headers, more))
        self.status, self.headers, self.more = status, dict(headers or {}), dict(more or {})
        self.code = code  # type: ignore[misc]  # of the class elsewhere; here one class stands for several


def not_signed_in() -> Refused:
    """Return the refusal of a request without a token or a sign-in that holds."""
    message = "Sign in: send an API token, as Authorization: Bearer llms_… An admin makes one on the API tokens page."
    return Refused(401, "UNAUTHENTICATED", message, {"WWW-Authenticate": 'Bearer realm="LLM Settings"'})


def dumps(value: Any) -> bytes:
    """Return JSON as bytes; half a character, which UTF-8 cannot hold, as its escape."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode(
        "utf-8", "backslashreplace"
    )


def success(data: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return the answer of a request that was served."""
    body = dumps({"success": True, "data": data})
    return Response(body, status, dict(headers or {}), media_type="application/json")


def described(error: CoreError) -> dict[str, Any]:
    """Return what is told of an error: code, message, and the fields at fault with their rules."""
    found: dict[str, Any] = {"code": error.code, "message": str(error)}
    if isinstance(error, errors.Invalid):
        found["message"] = "Some fields break a rule; nothing was changed."
        as_sent = isinstance(error, NotAsNamed)
        found["fields"] = {name if as_sent else camel(name): rule for name, rule in error.fields.items()}
    elif isinstance(error, errors.AlreadyExists):
        found["fields"] = {camel(error.field): "is taken"}
    return found


def failure(error: CoreError) -> Response:
    """Return the answer of a request that was refused, or failed."""
    body = {**described(error), "requestId": request_ids.current()}
    headers: dict[str, str] = {}
    if isinstance(error, Refused):
        status, headers = error.status, error.headers
        body |= error.more
    else:
        status = next(STATUSES[kind] for kind in type(error).__mro__ if kind in STATUSES)
    if isinstance(error, errors.Conflict):
        body |= {"version": error.version, "changedBy": error.changed_by, "changedAt": error.changed_at}
        body["changes"] = {
            camel(name): {"stored": stored, "yours": yours}
            for name, (stored, yours) in error.changes.items()
            if stored != yours
        }
    elif isinstance(error, errors.TooManyAttempts | errors.TooManyRequests):
        headers["Retry-After"] = str(error.retry_after)
    elif isinstance(error, errors.StoreUnavailable):
        headers["Retry-After"] = str(RETRY_AFTER)
    return Response(dumps({"success": False, "error": body}), status, headers, media_type="application/json")


async def on_core_error(_request: Request, error: Exception) -> Response:
    """Answer an error of core."""
    return failure(error if isinstance(error, CoreError) else CoreError())


async def on_bad_parameter(_request: Request, error: Exception) -> Response:
    """Answer a path or a query that breaks a rule; never with what was sent."""
    problems = error.errors() if isinstance(error, RequestValidationError) else ()
    return failure(NotAsNamed({str(item["loc"][-1]): _rule(str(item["msg"])) for item in problems}))


async def on_http_error(request: Request, error: Exception) -> Response:
    """Answer what the router refuses: an unknown path, or a method that the path does not have."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    headers = (error.headers if isinstance(error, HTTPException) else None) or {}
    if status == 405:  # noqa: PLR2004 - Method Not Allowed
        allow = ", ".join(sorted(_methods(request)))
        message = f"{request.method[:20]} is not possible here; possible: {allow}."
        return failure(Refused(status, "METHOD_NOT_ALLOWED", message, {"Allow": allow}))
    if status == 404:  # noqa: PLR2004 - Not Found
        return nothing_here()
    return failure(Refused(status, "REFUSED", "The request cannot be read.", headers))


def nothing_here() -> Response:
    """Return the answer to a path that is none of ours."""
    return failure(Refused(404, "NOT_FOUND", "There is nothing at this path; /api/docs lists what there is."))


def _methods(request: Request) -> set[str]:
    """Return the methods of every route at this path: the router names those of the first one only."""
    found: set[str] = set()
    for route in request.app.routes:
        matched, _ = route.matches({**request.scope, "method": "GET"})
        if matched is not Match.NONE:
            found |= route.methods
    return found


async def on_fault(_request: Request, _error: Exception) -> Response:
    """Answer what nobody foresaw; what it was stands in the log, put there by web.middleware."""
    return fault()


def fault() -> Response:
    """Return the answer to what nobody foresaw."""
    return failure(
        Refused(500, "INTERNAL_ERROR", "Something went wrong on our side. It is in the log, under this requestId.")
    )


def _rule(message: str) -> str:
    return re.sub(r"^(Value error, |Input should be )", "must be ", message).replace("must be must", "must")
