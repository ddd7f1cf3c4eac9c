"""What stands in front of every page and route: who may connect, and as whom. Plain ASGI, put around the app by asgi.py."""

import hashlib
import ipaddress
import json
import logging
import re
from base64 import b64encode
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

import anyio.to_thread
import streamlit

from core.access import sessions, sign_in
from core.config import get_config
from core.errors import CoreError
from core.store import db

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

SECRET_HEADER: Final = "x-llm-settings-session"  # noqa: S105 - a header's name
"""Set for the pages and the REST API from the browser's cookie; what a client sends under this name is dropped. Streamlit ties its own
session to it (`server.trustedUserHeaders` in .streamlit/config.toml), so that a session's id alone takes over nothing."""
ADDRESS_HEADER: Final = "x-llm-settings-address"
COOKIE: Final = "llm_settings_session"
API_PATH: Final = "/api/"
SIGN_IN_PATH: Final = "/sign-in"
SCRIPT_PATH: Final = "/sign-in.js"
ANONYMOUS_SOCKETS: Final = 40
"""Open websockets from one address without a sign-in."""
SOCKETS: Final = 40
"""Open websockets of one sign-in: tabs."""

_CLOSED = ("/_stcore/metrics", "/_stcore/agent", "/_stcore/upload_file")
"""What Streamlit answers to anybody, and no page of ours needs."""
_MEDIA = "/media/"
"""Files that pages offer for download, by the hash of their content: for those who are signed in."""
_BODY_LIMIT = 1024
_HOST = re.compile(r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")
_SECRET = re.compile(r"[A-Za-z0-9_-]{43}")
_DELETE_COOKIE = "Path=/; Max-Age=0; HttpOnly; SameSite=Strict"

# Runs in the page that has drawn the ticket: exchanges it for the cookie, which no script can read, and starts afresh.
_SCRIPT = b"""(() => {
  const mark = document.getElementById("llm-settings-ticket");
  if (!mark) return;
  const ticket = mark.dataset.ticket;
  mark.remove();
  const again = () => location.reload();
  fetch("/sign-in", {method: "POST", headers: {"Content-Type": "application/json"}, body: JSON.stringify({ticket})})
    .then(again, again);
})();
"""

_log = logging.getLogger(__name__)
_installed = False


def installed() -> bool:
    """Tell whether this process has the middleware: without it (`streamlit run`) there is no cookie."""
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
        self._proxies = tuple(ipaddress.ip_network(text, strict=False) for text in config.trusted_proxies)
        self._open: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request or one websocket."""
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        headers = _Headers(scope["headers"])
        client = self._address(scope, headers)
        https = self._https(scope, headers)
        if not self._host_allowed(headers.get("host")):
            _log.warning("Refused a request from %s for a host name that is not allowed", client)
            await _refuse(scope, send, 421, b"This host name is not in LLM_ALLOWED_HOSTS.\n")
            return
        peer = _Peer(headers, headers.cookie(_cookie_name(https=https)), client, https)
        scope["headers"] = [
            *((name, value) for name, value in scope["headers"] if not name.startswith(b"x-llm-settings-")),
            (ADDRESS_HEADER.encode(), client.encode("latin-1", "replace")),
        ]
        if scope["type"] == "websocket":
            await self._websocket(scope, receive, send, peer)
        else:
            if peer.secret is not None and scope["path"].startswith(API_PATH):
                scope["headers"].append((SECRET_HEADER.encode(), peer.secret.encode()))
            await self._http(scope, receive, partial(_with_headers, send, https), peer)

    async def _http(self, scope: Scope, receive: Receive, send: Send, peer: "_Peer") -> None:
        headers, secret, started = peer.headers, peer.secret, False

        async def watched(message: MutableMapping[str, Any]) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                if secret is not None and "text/html" in headers.get("accept", "") and not await _lives(secret):
                    cookie = f"{_cookie_name(https=peer.https)}=; {_DELETE_COOKIE}{'; Secure' if peer.https else ''}"
                    message["headers"] = [*message.get("headers", ()), (b"set-cookie", cookie.encode())]
            await send(message)

        try:
            if scope["path"] == SCRIPT_PATH:
                await _answer(send, 200, _SCRIPT, "text/javascript")
            elif scope["path"] == SIGN_IN_PATH and scope["method"] == "POST":
                await self._exchange(receive, send, headers, https=peer.https)
            elif scope["path"].startswith(_CLOSED) or (scope["path"].startswith(_MEDIA) and not await _known(secret)):
                await _answer(send, 404, b"There is nothing here.\n")
            else:
                await self._app(scope, receive, watched)
        except Exception:  # noqa: BLE001 - whatever it was, the answer has our headers and no details
            _log.exception("A request failed")
            if not started:
                await _answer(send, 500, b"Something went wrong. It is in the log.\n")

    async def _exchange(self, receive: Receive, send: Send, headers: "_Headers", *, https: bool) -> None:
        """Exchange a ticket for the cookie: from our own page only, or somebody could sign others in as themselves."""
        if not is_ours(headers.get("origin", ""), headers) or headers.get("content-type") != "application/json":
            await _answer(send, 403, b"Sign in on the page.\n")
            return
        try:
            ticket = json.loads(await _body(receive))["ticket"]
            secret = await anyio.to_thread.run_sync(_exchanged, ticket if isinstance(ticket, str) else "")
        except (ValueError, TypeError, KeyError, RecursionError):
            secret = None
        except CoreError as error:
            await _answer(send, 503, f"{error}\n".encode())
            return
        if secret is None:
            await _answer(send, 403, b"This ticket is used, or too old. Sign in again.\n")
            return
        secure = "; Secure" if https else ""
        cookie = f"{_cookie_name(https=https)}={secret}; Path=/; HttpOnly; SameSite=Strict{secure}"
        await _answer(send, 204, b"", more=[(b"set-cookie", cookie.encode())])

    async def _websocket(self, scope: Scope, receive: Receive, send: Send, peer: "_Peer") -> None:
        headers, secret, client, _ = peer
        origin = headers.get("origin")
        if origin is not None and not is_ours(origin, headers):
            # Before Streamlit sees it: to judge a foreign origin it would look up its own address on the internet.
            _log.warning("Refused a websocket from %s with a foreign Origin", client)
            await _refuse(scope, send, 403, b"")
            return
        lives = await _known(secret)
        whose = (
            f"session {hashlib.sha256((secret or '').encode()).hexdigest()}"
            if lives
            else f"address {sign_in.network_of(client)}"
        )
        if self._open[whose] >= (SOCKETS if lives else ANONYMOUS_SOCKETS):
            _log.warning("Refused a websocket from %s: too many are open", client)
            await _refuse(scope, send, 403, b"")
            return
        if secret is not None and lives:
            scope["headers"].append((SECRET_HEADER.encode(), secret.encode()))
        self._open[whose] += 1
        try:
            await self._app(scope, receive, send)
        except Exception as error:  # noqa: BLE001 - a stranger's frames must not fill the log with stack traces
            _log.warning("A websocket from %s ended by %s", client, type(error).__name__, exc_info=lives)
        finally:
            self._open[whose] -= 1
            if not self._open[whose]:
                del self._open[whose]

    def _host_allowed(self, host: str | None) -> bool:
        """Tell whether browsers may reach us under this name: else a page of a rebound name could (DNS rebinding).

        An address is no name that could be rebound.
        """
        found = _HOST.fullmatch(host or "")
        if found is None:
            return False
        name = found[1].strip("[]").rstrip(".").lower()
        return name == "localhost" or name in self._hosts or _is_address(name)

    def _address(self, scope: Scope, headers: "_Headers") -> str:
        """Return the client's address: the peer's, or what a trusted proxy says of it."""
        peer = str((scope.get("client") or ("", 0))[0])
        forwarded = [part.strip() for part in headers.get("x-forwarded-for", "").split(",") if part.strip()]
        if self._proxies:
            for part in reversed(forwarded):
                if not self._trusted(peer) or not _is_address(_without_port(part)):
                    break  # what stands further left is hearsay
                peer = _without_port(part)
        return peer

    def _trusted(self, address: str) -> bool:
        return _is_address(address) and any(ipaddress.ip_address(address) in network for network in self._proxies)

    def _https(self, scope: Scope, headers: "_Headers") -> bool:
        if scope["scheme"] in {"https", "wss"}:
            return True
        peer = str((scope.get("client") or ("", 0))[0])
        return self._trusted(peer) and headers.get("x-forwarded-proto", "").strip().lower() == "https"


class _Headers(Mapping[str, str]):
    """Request headers by lower-case name; of a repeated one all values, with commas between."""

    def __init__(self, raw: Iterable[tuple[bytes, bytes]]) -> None:
        self._all: dict[str, list[str]] = {}
        for name, value in raw:
            self._all.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1"))

    def __getitem__(self, name: str) -> str:
        return ", ".join(self._all[name])

    def __iter__(self) -> Any:
        return iter(self._all)

    def __len__(self) -> int:
        return len(self._all)

    def cookie(self, name: str) -> str | None:
        """Return a cookie that has the form of our secret; None else, and when it was sent twice."""
        pairs = [pair.strip().partition("=") for line in self._all.get("cookie", ()) for pair in line.split(";")]
        found = [value for key, _, value in pairs if key == name]
        return found[0] if len(found) == 1 and _SECRET.fullmatch(found[0]) else None


class _Peer(NamedTuple):
    headers: _Headers
    secret: str | None
    address: str
    https: bool


def _cookie_name(*, https: bool) -> str:
    return f"__Host-{COOKIE}" if https else COOKIE  # the prefix makes browsers refuse one set by a neighbouring host


def is_ours(origin: str, headers: Mapping[str, str]) -> bool:
    """Tell whether a page at *origin* is one of ours: the host and port that the request itself went to."""
    scheme, _, host = origin.partition("://")
    return scheme in {"http", "https"} and host.lower() == headers.get("host", "").lower() != ""


def _without_port(text: str) -> str:
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.partition(":")[0] if text.count(":") == 1 else text


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


async def _lives(secret: str) -> bool:
    """Tell whether a sign-in holds. Without the database nobody can say: then it is taken for one, and every page asks again."""
    try:
        return await anyio.to_thread.run_sync(_found, secret)
    except CoreError:
        return True


async def _known(secret: str | None) -> bool:
    return secret is not None and await _lives(secret)


def _found(secret: str) -> bool:
    with db.transaction() as session:
        return sessions.find(session, secret) is not None


def _exchanged(ticket: str) -> str | None:
    with db.transaction() as session:
        return sessions.exchange(session, ticket)


async def _body(receive: Receive) -> bytes:
    body: bytes = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if message["type"] != "http.request" or len(body) > _BODY_LIMIT:
            raise ValueError
        if not message.get("more_body"):
            return body


async def _answer(
    send: Send, status: int, body: bytes, kind: str = "text/plain", more: Iterable[tuple[bytes, bytes]] = ()
) -> None:
    headers = [
        (b"content-type", f"{kind}; charset=utf-8".encode()),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
        *more,
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _refuse(scope: Scope, send: Send, status: int, body: bytes) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008})
    else:
        await _answer(partial(_with_headers, send, False), status, body)  # noqa: FBT003 - by position


async def _with_headers(send: Send, https: bool, message: MutableMapping[str, Any]) -> None:  # noqa: FBT001 - by position
    if message["type"] == "http.response.start":
        given = {name.lower() for name, _ in message.get("headers", ())}
        ours = [pair for pair in SECURITY_HEADERS if pair[0] not in given]
        if https:
            ours.append((b"strict-transport-security", b"max-age=31536000"))
        message["headers"] = [*message.get("headers", ()), *ours]
    await send(message)


def _inline_scripts() -> str:
    """Return the hashes of the scripts inside Streamlit's own page: the only inline ones that may run."""
    page = (Path(streamlit.__file__).parent / "static" / "index.html").read_text(encoding="utf-8")
    scripts = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    return " ".join(f"'sha256-{b64encode(hashlib.sha256(s.encode()).digest()).decode()}'" for s in scripts)


SECURITY_HEADERS: Final = (
    (
        b"content-security-policy",
        "; ".join(
            (
                "default-src 'self'",
                f"script-src 'self' {_inline_scripts()}",
                "style-src 'self' 'unsafe-inline'",  # Streamlit styles its components so
                "img-src 'self' data: blob:",  # else a name like ![](http://…) would load an image from elsewhere
                "font-src 'self' data:",
                "connect-src 'self'",
                "worker-src 'self' blob:",
                "object-src 'none'",
                "base-uri 'self'",
                "form-action 'self'",
                "frame-ancestors 'self'",  # the sign-in form's own component is a frame of ours
            )
        ).encode(),
    ),
    (b"x-frame-options", b"SAMEORIGIN"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
)
