"""The REST API as one ASGI app, to be mounted at /api by streamlit_app.py."""

import re
import time
from collections.abc import MutableMapping
from typing import Annotated, Any, Final

from fastapi import FastAPI, Query
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.routing import Mount
from starlette.types import ASGIApp, Receive, Scope, Send

from api import (
    alerts,
    bills,
    budgets,
    closings,
    docs,
    document,
    effective,
    erasures,
    errors,
    features,
    health,
    history,
    limits,
    metrics,
    models,
    organization_providers,
    organizations,
    personal_data,
    presets,
    provider_secrets,
    providers,
    rate_limits,
    scoped_settings,
    settings,
    spend,
    webhooks,
    wire,
)
from api.callers import REASON, SPENT, limit_headers
from api.ids import LARGEST
from api.names import camel
from api.responses import READ, answers, named
from core.audit.reasons import MAX_COMMENT
from core.errors import CoreError
from core.store import waits

POLLED: Final = "/llm/settings"
_PLAIN: Final = re.compile(rb"(?:/[A-Za-z0-9._~-]+)*")
"""A path as it is sent: ours need no escape, so one with an escape is another spelling, which path rules of a proxy would miss."""
_METHODS: Final = frozenset({"GET", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"})
_DESCRIPTION: Final = """Which LLM providers, models and parameters an organisation's programs use.

Answers are `{"success": true, "data": …}` or `{"success": false, "error": {"code", "message", "fields"?}}`. Sign in with an
API token as `Authorization: Bearer llms_…`; an admin makes one on the API tokens page. Stored API keys are never returned.
"""


def effective_settings(
    provider: Annotated[  # noqa: ARG001 - for OpenAPI
        str | None, Query(description="name of a provider; without it all active ones")
    ] = None,
    provider_id: Annotated[  # noqa: ARG001 - for OpenAPI
        int | None, Query(alias="providerId", ge=1, le=LARGEST, description="the same by its id; not beside provider")
    ] = None,
    organization: Annotated[  # noqa: ARG001 - for OpenAPI
        str | None, Query(description="a name of an organisation's: its settings")
    ] = None,
    feature: Annotated[str | None, Query(description="name of a feature: its settings")] = None,  # noqa: ARG001 - as above
    *,
    explain: Annotated[  # noqa: ARG001 - for OpenAPI
        bool, Query(description="with the source of each value, and what it shadows")
    ] = False,
    at: Annotated[  # noqa: ARG001 - as above
        str | None,
        Query(
            max_length=40,
            description="a time in ISO 8601, or a generation: as it was then, without keys and without an ETag",
        ),
    ] = None,
) -> None:
    """What is in force, with nothing left to inherit. Poll with If-None-Match: an unchanged answer is 304, without a body."""
    raise AssertionError  # pragma: no cover - it stands here for OpenAPI; Api has answered before


def make() -> FastAPI:
    """Return the routes."""
    app = FastAPI(
        title="LLM Settings",
        version="1",
        description=_DESCRIPTION,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        separate_input_output_schemas=False,
        exception_handlers={
            CoreError: errors.on_core_error,
            RequestValidationError: errors.on_bad_parameter,
            HTTPException: errors.on_http_error,
            Exception: errors.on_fault,
        },
    )
    app.get(
        POLLED,
        generate_unique_id_function=named,
        responses={
            **answers(wire.Effective | list[wire.Effective], 404, 410, *READ),
            304: {"description": "Unchanged since the answer with the ETag in If-None-Match."},
        },
        tags=["effective settings"],
        summary="Effective settings",
    )(effective_settings)
    ours = (
        providers,
        provider_secrets,
        erasures,
        settings,
        scoped_settings,
        organizations,
        organization_providers,
        features,
        limits,
        spend,
        closings,
        bills,
    )
    for module in (
        *ours,
        webhooks,
        history,
        presets,
        budgets,
        alerts,
        rate_limits,
        personal_data,
        models,
        document,
        health,
        docs,
    ):
        app.router.routes.extend(module.router.routes)  # flat: what there is can be walked, by a 405 and by a test
    app.openapi = lambda: _described(app)  # type: ignore[method-assign]  # how FastAPI has it extended
    return app


def _described(app: FastAPI) -> dict[str, Any]:
    if not app.openapi_schema:
        found = get_openapi(
            title=app.title,
            version=app.version,
            description=app.description,
            routes=app.routes,
            servers=[{"url": ".", "description": "beside this description, also below a path of a proxy"}],
        )
        found["components"]["securitySchemes"] = {
            "token": {"type": "http", "scheme": "bearer", "description": "An API token, llms_…"},
        }
        for path, operations in found["paths"].items():
            for method, operation in operations.items():
                operation["operationId"] = camel(operation["operationId"])
                for parameter in operation.get("parameters", ()):
                    parameter["schema"] = _sent(parameter["schema"])
                if method != "get":
                    operation.setdefault("parameters", []).append(_REASON)
                if not path.startswith("/health/"):
                    operation["security"] = [{"token": []}]
        app.openapi_schema = found
    return app.openapi_schema


_REASON: Final = {
    "name": REASON,
    "in": "header",
    "required": False,
    "schema": {"type": "string", "maxLength": MAX_COMMENT},
    "description": "Why, in one line: it stands in the audit. Percent-encode what is not ASCII, as UTF-8. An installation may "
    "want one with each change: then a write without it is refused, with the field comment.",
    "example": "ticket 4711: steadier answers",
}
"""What OpenAPI says of the reason, at every write."""


def _sent(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a parameter without null: what is not sent is missing."""
    some = next((kind for kind in schema.get("anyOf", ()) if kind.get("type") != "null"), schema)
    return {name: value for name, value in some.items() if name not in {"title", "anyOf"}}


class Api:
    """What stands around all routes: the headers that every answer has, and the count of requests.

    Args:
        app: The routes.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._counters: dict[tuple[str, str, int], tuple[Any, Any]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; HEAD as GET, of which the server sends no body."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status, route = time.perf_counter(), 500, "none"
        inner = {**scope, "method": "GET"} if scope["method"] == "HEAD" else scope

        async def send_with_headers(message: MutableMapping[str, Any]) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = message["headers"] = list(message.get("headers", ()))
                spent = inner.get(SPENT)
                if spent is not None:
                    headers += limit_headers(spent)
                if not any(name == b"cache-control" for name, _ in headers):
                    headers.append((b"cache-control", b"no-store"))
            await send(message)

        try:
            polled = inner["method"] == "GET" and inner["path"] == inner.get("root_path", "") + POLLED
            if polled and _is_plain(inner):
                route = POLLED  # not by way of FastAPI, which would cost more than the answer
                with waits.within(waits.REQUEST):
                    status, headers, body = await effective.serve(inner)
                await send({"type": "http.response.start", "status": status, "headers": headers})
                await send({"type": "http.response.body", "body": body})
            else:
                with waits.within(waits.REQUEST):
                    await self._app(inner, receive, send_with_headers)
                found = inner.get("route")
                route = found.path_format if isinstance(found, APIRoute) else route  # else what this is mounted by
        except CoreError as error:  # of the polled route; FastAPI has its handlers
            await errors.failure(error)(inner, receive, send_with_headers)
        except Exception:
            if route == POLLED:
                await errors.fault()(inner, receive, send_with_headers)
            raise  # for the log
        finally:
            self._count(scope["method"], route, status, time.perf_counter() - began)

    def _count(self, method: str, route: str, status: int, seconds: float) -> None:
        known = self._counters.get((method, route, status))
        if known is None:
            counter = metrics.REQUESTS.labels(method if method in _METHODS else "other", route, str(status))
            known = self._counters[method, route, status] = (counter, metrics.SECONDS.labels(route))
        known[0].inc()
        if status == 500:  # noqa: PLR2004 - Internal Server Error
            metrics.FAULTS.inc()
        known[1].observe(seconds)


def _is_plain(scope: Scope) -> bool:
    sent = scope.get("raw_path") or scope["path"].encode("utf-8", "replace")
    return _PLAIN.fullmatch(sent) is not None


class _Plain:
    """Lets a request through to the routes whose path is spelt as theirs are."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not _is_plain(scope):
            await errors.nothing_here()(scope, receive, send)
        else:
            await self._app(scope, receive, send)


api: Final = Api(_Plain(make()))


def mounted() -> Mount:
    """Return the route that leads every path below /api here, also one with a line break in it."""
    route = Mount("/api", app=api)
    route.path_regex = re.compile(route.path_regex.pattern, re.DOTALL)
    return route
