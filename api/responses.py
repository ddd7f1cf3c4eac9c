"""What OpenAPI says of answers."""

from typing import Any, Final

from fastapi.routing import APIRoute

from api.envelopes import Answer, Failure

_LIMIT: Final = {
    "RateLimit-Limit": "how many requests a window takes",
    "RateLimit-Remaining": "how many are left",
    "RateLimit-Reset": "seconds until the window ends",
}
_SAID: Final = {
    400: "The body is no JSON.",
    401: "No token and no sign-in that holds.",
    403: "Not allowed.",
    404: "There is no such thing, or no longer.",
    409: "Somebody has changed it meanwhile (both values are in the answer), or the name is taken.",
    410: "The history does not reach back so far.",
    413: "The body is too large.",
    415: "The body is not sent as JSON.",
    422: "A field breaks a rule; the answer names it.",
    428: "The version that the change is based on is missing.",
    429: "The rate limit is used up; Retry-After says until when.",
    503: "The database is out of reach, or no API key can be sealed. Try again.",
}
READ: Final = (401, 403, 422, 429, 503)
WRITE: Final = (400, 401, 403, 409, 413, 415, 422, 429, 503)


def named(route: APIRoute) -> str:
    """Return the name that generated clients give a call: that of its function."""
    return route.name


def answers(data: Any, *failures: int, status: int = 200) -> dict[int | str, dict[str, Any]]:
    """Return the answers of a route: *data* in its envelope, and failures by status."""
    headers = {name: {"description": text, "schema": {"type": "integer"}} for name, text in _LIMIT.items()}
    served = {"model": Answer[data], "description": "Served.", "headers": headers}
    refused: dict[int | str, dict[str, Any]] = {
        code: {"model": Failure, "description": _SAID[code]} for code in sorted(set(failures))
    }
    retry = {"Retry-After": {"description": "seconds", "schema": {"type": "integer"}}}
    for code in {429} & refused.keys():
        refused[code]["headers"] = retry
    return {status: served, **refused}
