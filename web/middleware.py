"""What stands in front of every page and route: who may connect, and as whom. Put around the app by streamlit_app.py."""

import hashlib
import logging
import re
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Final

from core import request_ids
from core.access import sign_in
from core.config import get_config
from web import copying, dialogs, leaving, shell, sign_on, sso
from web.answers import NO_PAGE, REQUEST_ID, Message, Send, answer, no_route, secured, security_headers
from web.metrics import WEBSOCKETS
from web.request import ADDRESS_HEADER, SECRET_HEADER, Proxies, Request, Scope, host_allowed, is_ours
from web.sign_on import SIGN_IN_PATH, Receive, deleting, exchange, holds

App = Callable[[Scope, Receive, Send], Awaitable[None]]

API_PATH: Final = "/api/"
ANONYMOUS_SOCKETS: Final = 40
"""Open websockets from one address without a sign-in."""
SOCKETS: Final = 40
"""Open websockets of one sign-in: tabs."""

_SCRIPTS: Final = {module.SCRIPT_PATH: module.SCRIPT for module in (sign_on, leaving, dialogs, copying)}
_OURS: Final = frozenset({*_SCRIPTS, SIGN_IN_PATH, *sso.PATHS})
_LIKE_OURS: Final = re.compile(
    r"[/\\.;]*(?:api|sso|sign-in(?:\.js)?|(?:leaving|dialogs|copying)\.js)(?:[/\\;\s]|$)", re.IGNORECASE
)
"""What is meant for our own routes: in any other spelling than theirs it is nothing, not a page either."""

_CLOSED = ("/_stcore/metrics", "/_stcore/agent", "/_stcore/upload_file")
"""What Streamlit answers to anybody, and no page of ours needs."""
_MEDIA = "/media/"
"""Files that pages offer for download, by the hash of their content: for those who are signed in."""

_PROBES: Final = frozenset({"/api/health/live", "/api/health/ready", "/api/metrics"})
"""What probers, balancers and Prometheus ask under whatever name they know this machine by, or without one: a page of a rebound
name learns nothing there that strangers are not told. docs/decisions/probes-by-any-name.md."""

_DEEPER = ("/api/", "/_stcore/", "/media/", "/component/", "/static/")
"""Below these there are addresses of more than one segment. A page has one."""

_SHOWN: Final = 200
"""Characters of a path in the log; never its query, which may have a ticket in it."""
_log = logging.getLogger(__name__)
_installed = False


def installed() -> bool:
    """Return whether this process has the middleware: without it (a page's script alone, in tests) there is no cookie."""
    return _installed


class Middleware:
    """The middleware.

    Args:
        app: What it stands in front of.
    """

    def __init__(self, app: App) -> None:
        global _installed  # noqa: PLW0603 - a fact of the process, known once the app is built
        _installed = True
        config = get_config()
        self._app = app
        self._hosts = config.allowed_hosts
        self._proxies = Proxies(config.trusted_proxies)
        self._open: Counter[str] = Counter()
        security_headers()  # a Streamlit without its page is a fault of the start, not of the first request

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request or one websocket."""
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        request = self._proxies.read(scope)
        request_ids.begin(request.headers.get(REQUEST_ID.decode()))
        named = host_allowed(request.headers.get("host"), self._hosts)
        if not named and not _is_probe(scope):
            _log.warning("Refused a request from %s for a host name that is not allowed", request.address)
            if scope["type"] == "websocket":
                await _close(send)
            else:
                await answer(secured(send, https=False), 421, b"This host name is not in LLM_ALLOWED_HOSTS.\n")
            return
        scope["headers"] = [
            *((name, value) for name, value in scope["headers"] if not name.startswith(b"x-llm-settings-")),
            (ADDRESS_HEADER.encode(), request.address.encode("latin-1", "replace")),
        ]
        if scope["type"] == "websocket":
            await self._websocket(scope, receive, send, request)
        else:
            if not named:
                request = request.without_cookie()
            await self._http(scope, receive, secured(send, https=request.https), request)

    async def _http(self, scope: Scope, receive: Receive, send: Send, request: Request) -> None:
        secret, path, response = request.secret, scope["path"], _Response(send, request)
        if secret is not None and path.startswith(API_PATH):
            scope["headers"].append((SECRET_HEADER.encode(), secret.encode()))
        try:
            if _is_misspelt(scope):
                of_api = path.startswith(API_PATH)
                await answer(
                    send, 404, *((no_route(), "application/json") if of_api else (b"There is nothing here.\n",))
                )
            elif await _is_answered(scope, receive, send, request):
                pass
            elif "/" in path.strip("/") and not path.startswith(_DEEPER):
                await answer(send, 404, NO_PAGE, "text/html")
            elif path.startswith(_CLOSED) or (path.startswith(_MEDIA) and not await holds(secret)):
                await answer(send, 404, b"There is nothing here.\n")
            elif shell.is_asked_for(scope):
                shell.ask_whole(scope)
                await self._app(scope, receive, shell.Filled(response.send).send)
            else:
                await self._app(scope, receive, response.send)
        except Exception:  # noqa: BLE001 - whatever it was, the answer has our headers and no details
            _log.exception("A request failed: %s %s, status %d", scope["method"], path[:_SHOWN], response.status or 500)
            if not response.status:
                sentence = f"Something went wrong. It is in the log, as request {request_ids.current()}.\n"
                await answer(send, 500, sentence.encode())

    async def _websocket(self, scope: Scope, receive: Receive, send: Send, request: Request) -> None:
        origin, secret = request.headers.get("origin"), request.secret
        if origin is not None and not is_ours(origin, request.headers):
            # Before Streamlit sees it: to judge a foreign origin it would look up its own address on the internet.
            _log.warning("Refused a websocket from %s with a foreign Origin", request.address)
            await _close(send)
            return
        if secret is not None and await holds(secret):
            owner, most = f"session {hashlib.sha256(secret.encode()).hexdigest()}", SOCKETS
        else:
            owner, most, secret = f"address {sign_in.network_of(request.address)}", ANONYMOUS_SOCKETS, None
        if self._open[owner] >= most:
            _log.warning("Refused a websocket from %s: too many are open", request.address)
            await _close(send)
            return
        if secret is not None:
            scope["headers"].append((SECRET_HEADER.encode(), secret.encode()))
        self._open[owner] += 1
        WEBSOCKETS.inc()
        try:
            await self._app(scope, receive, send)
        except Exception as error:  # noqa: BLE001 - a stranger's frames must not fill the log with stack traces
            signed_in = secret is not None
            _log.warning("A websocket from %s ended by %s", request.address, type(error).__name__, exc_info=signed_in)
        finally:
            WEBSOCKETS.dec()
            self._open[owner] -= 1
            if not self._open[owner]:
                del self._open[owner]


async def _is_answered(scope: Scope, receive: Receive, send: Send, request: Request) -> bool:
    """Answer what asks for one of the routes in front of all pages, and tell whether this did."""
    path = scope["path"]
    if path in _SCRIPTS:
        await answer(send, 200, _SCRIPTS[path], "text/javascript")
    elif path == SIGN_IN_PATH and scope["method"] == "POST":
        await exchange(receive, send, request)
    elif (provider := sso.is_asked_for(path)) is not None:
        await sso.serve(scope, receive, send, request, provider)
    else:
        return False
    return True


def _is_probe(scope: Scope) -> bool:
    """Return whether this reads what any host name may ask for."""
    return scope["type"] == "http" and scope["method"] in {"GET", "HEAD"} and scope["path"] in _PROBES


def _is_misspelt(scope: Scope) -> bool:
    """Return whether this is a second spelling of a route of ours, which path rules of a proxy would not know."""
    path, sent = scope["path"], scope.get("raw_path") or b""
    if path in _OURS or "\0" in path:
        return b"%" in sent
    return _LIKE_OURS.match(path) is not None and not path.startswith(API_PATH)


class _Response:
    """The app's answer on its way out: its status, and the end of a cookie whose sign-in has ended."""

    def __init__(self, send: Send, request: Request) -> None:
        self._send = send
        self._request = request
        self.status = 0
        """Of an answer that has begun."""

    async def send(self, message: Message) -> None:
        """Pass one message on; with a page, take a cookie back that signs nobody in."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            if await self._has_ended():
                message["headers"] = [*message.get("headers", ()), deleting(self._request)]
        await self._send(message)

    async def _has_ended(self) -> bool:
        secret = self._request.secret
        is_page = "text/html" in self._request.headers.get("accept", "")
        return is_page and secret is not None and not await holds(secret)


async def _close(send: Send) -> None:
    await send({"type": "websocket.close", "code": 1008})
