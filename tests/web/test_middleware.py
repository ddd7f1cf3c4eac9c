"""What stands in front of every page: names, origins, addresses, cookies and headers, by requests made up in full."""

import asyncio
import base64
import hashlib
import json
import re
from collections.abc import Iterable, MutableMapping
from pathlib import Path
from typing import Any

import pytest
import streamlit
from hypothesis import given, settings
from hypothesis import strategies as st

from core import config
from core.access import sessions
from core.actors import Actor
from core.store import db
from core.store.tables import User
from tests.conftest import run_async
from web import middleware
from web.middleware import ANONYMOUS_SOCKETS, Middleware
from web.request import COOKIE, SECRET_HEADER

TRUSTED = "10.0.0.0/8,2001:db8::/32"
Headers = dict[str, str] | Iterable[tuple[str, str]]


class Inner:
    """The app behind: notes what it was asked, and answers."""

    def __init__(self) -> None:
        self.asked: list[MutableMapping[str, Any]] = []
        self.fault: Exception | None = None
        self.kind, self.body = b"text/html", b"page"
        self.more: list[tuple[bytes, bytes]] = []

    async def __call__(self, scope: MutableMapping[str, Any], _receive: Any, send: Any) -> None:
        self.asked.append(scope)
        if self.fault is not None:
            raise self.fault
        if scope["type"] == "http":
            headers = [(b"content-type", self.kind), *self.more]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            for place in range(0, len(self.body), 4_000):
                rest = len(self.body) > place + 4_000
                await send({"type": "http.response.body", "body": self.body[place : place + 4_000], "more_body": rest})
        elif scope["type"] == "websocket":
            await send({"type": "websocket.accept"})

    def saw(self, name: str) -> list[str]:
        """The values of a header in the last request that got through."""
        return [value.decode() for key, value in self.asked[-1]["headers"] if key == name.encode()]


class Reply:
    """What a client gets."""

    def __init__(self, messages: list[MutableMapping[str, Any]]) -> None:
        self.messages = messages
        start = messages[0] if messages else {}
        self.status = start.get("status")
        self.headers = [(k.decode(), v.decode()) for k, v in start.get("headers", ())]
        self.body = b"".join(m.get("body", b"") for m in messages)
        self.types = [m["type"] for m in messages]

    def header(self, name: str) -> str:
        """One header."""
        return dict(self.headers).get(name, "")


@pytest.fixture
def inner() -> Inner:
    """The app behind."""
    return Inner()


@pytest.fixture
def door(inner: Inner, monkeypatch: pytest.MonkeyPatch) -> Middleware:
    """The middleware in front of it, as configured by the test's environment."""
    config.get_config.cache_clear()
    monkeypatch.setattr(middleware, "_installed", False)  # put back afterwards: other tests run without
    return Middleware(inner)


def ask(
    door: Middleware,
    headers: Headers = (),
    *,
    path: str = "/",
    method: str = "GET",
    body: bytes = b"",
    kind: str = "http",
    client: str = "192.0.2.7",
    scheme: str = "http",
    hostless: bool = False,
) -> Reply:
    """Send one request; to 127.0.0.1, unless the headers have a Host or it is to have none."""
    given = dict(headers) if isinstance(headers, dict) else None
    pairs = list(given.items()) if given is not None else list(headers)  # type: ignore[arg-type]
    if not hostless and not any(name == "host" for name, _ in pairs):
        pairs.insert(0, ("host", "127.0.0.1:8501"))
    scope = {
        "type": kind,
        "path": path,
        "method": method,
        "scheme": scheme,
        "client": (client, 5000),
        "headers": [(k.encode("latin-1"), v.encode("latin-1")) for k, v in pairs],
    }
    sent: list[MutableMapping[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    run_async(door(scope, receive, send))
    return Reply(sent)


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("localhost:8501", True),
        ("LOCALHOST", True),
        ("localhost.", True),
        ("127.0.0.1:8501", True),
        ("[::1]:8501", True),
        ("192.168.1.5", True),
        ("settings.example.com", True),
        ("SETTINGS.example.com:443", True),
        ("settings.example.com.", True),
        ("evil.example", False),
        ("evil.settings.example.com", False),
        ("settings.example.com.evil.example", False),
        ("127.0.0.1.evil.example", False),
        ("localhost.evil.example", False),
        ("user@localhost", False),
        ("evil.example@127.0.0.1", False),
        ("localhost/evil", False),
        ("127.0.0.1, evil.example", False),
        ("2130706433", False),
        ("127.0.0.1#evil.example", False),
        ("127.0.0.1?evil.example", False),
        ("127.0.0.1:x", False),
        ("127.0.0.1 ", False),
        ("", False),
        ("[::1", False),
        (":8501", False),
    ],
)
@pytest.mark.parametrize("kind", ["http", "websocket"])
def test_only_our_names_are_served(
    host: str,
    allowed: bool,
    kind: str,
    inner: Inner,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """CHECKS 8: a rebound name is refused, over HTTP and websocket; an address, localhost and LLM_ALLOWED_HOSTS are served."""
    monkeypatch.setenv("LLM_ALLOWED_HOSTS", "Settings.example.com, other.example")
    config.get_config.cache_clear()
    monkeypatch.setattr(middleware, "_installed", False)
    reply = ask(Middleware(inner), {"host": host}, kind=kind)

    assert bool(inner.asked) is allowed
    if not allowed and kind == "http":
        assert reply.status == 421
        assert b"LLM_ALLOWED_HOSTS" in reply.body
    if not allowed and kind == "websocket":
        assert reply.types == ["websocket.close"]


PROBES = ("/api/health/live", "/api/health/ready", "/api/metrics")
NOT_PROBES = (
    "/",
    "/providers",
    "/api/llm/settings",
    "/api/health",
    "/api/health/live/",
    "/API/health/live",
    "/api/metrics/x",
)


@pytest.mark.parametrize(
    "headers", [{}, {"host": "llm-settings.monitoring.svc:8501"}, {"host": "evil.example"}, {"host": ""}]
)
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
def test_probes_may_use_any_name(headers: dict[str, str], method: str, door: Middleware, inner: Inner) -> None:
    """Health and metrics, to be read, by whatever name a prober knows us, or by none as in HTTP/1.0; nothing else."""
    for path in PROBES:
        inner.asked.clear()
        reply = ask(door, headers, path=path, method=method, hostless=True)
        assert bool(inner.asked) is (method != "POST")
        assert reply.status == (421 if method == "POST" else 200)
    for path in NOT_PROBES:
        inner.asked.clear()
        assert ask(door, headers, path=path, method=method, hostless=True).status == 421
        assert not inner.asked


def test_probe_by_another_name_is_of_nobody_who_is_signed_in(door: Middleware, inner: Inner) -> None:
    """The cookie counts under our own names alone: a rebound name is told what strangers are."""
    secret = {"cookie": f"{COOKIE}={'a' * 43}"}
    ask(door, {"host": "evil.example", **secret}, path="/api/health/ready")
    assert inner.saw(SECRET_HEADER) == []

    ask(door, {"host": "127.0.0.1", **secret}, path="/api/health/ready")
    assert inner.saw(SECRET_HEADER) == ["a" * 43]


def test_request_without_a_host_is_refused(door: Middleware, inner: Inner) -> None:
    """No Host, and two of them, are nobody's."""
    ask(door, [("host", "localhost"), ("host", "evil.example")])
    scope = {"type": "http", "path": "/", "method": "GET", "scheme": "http", "client": None, "headers": []}
    sent: list[Any] = []

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    run_async(door(scope, None, send))  # type: ignore[arg-type]

    assert sent[0]["status"] == 421
    assert not inner.asked


@pytest.mark.parametrize(
    ("origin", "served"),
    [
        (None, True),
        ("http://127.0.0.1:8501", True),
        ("https://127.0.0.1:8501", True),  # behind a proxy that speaks https for us
        ("http://127.0.0.1:8502", False),
        ("http://evil.example", False),
        ("http://127.0.0.1:8501.evil.example", False),
        ("null", False),
        ("", False),
        ("http://[", False),
        ("127.0.0.1:8501", False),
    ],
)
def test_foreign_origin_opens_no_websocket(origin: str | None, served: bool, door: Middleware, inner: Inner) -> None:
    """CHECKS 8: refused before Streamlit sees it, which would look up its own address on the internet to judge it."""
    reply = ask(door, {} if origin is None else {"origin": origin}, kind="websocket", path="/_stcore/stream")

    assert bool(inner.asked) is served
    assert reply.types == (["websocket.accept"] if served else ["websocket.close"])


@pytest.mark.parametrize(
    "name", ["x-llm-settings-session", "X-LLM-Settings-Session", "x-llm-settings-address", "x-llm-settings-x"]
)
@pytest.mark.parametrize("kind", ["http", "websocket"])
def test_our_own_headers_are_dropped(name: str, kind: str, door: Middleware, inner: Inner) -> None:
    """CHECKS 7: what a client sends under our names never reaches a page."""
    ask(door, {name.lower(): "forged"}, kind=kind)

    assert inner.saw(SECRET_HEADER) == []
    assert inner.saw("x-llm-settings-address") == ["192.0.2.7"]
    assert "forged" not in str(inner.asked)


@pytest.mark.parametrize(
    ("proxies", "peer", "forwarded", "address"),
    [
        ("", "192.0.2.7", "", "192.0.2.7"),
        ("", "192.0.2.7", "1.1.1.1", "192.0.2.7"),
        ("", "1.1.1.1", "9.9.9.9, 1.1.1.1", "1.1.1.1"),
        (TRUSTED, "192.0.2.7", "1.1.1.1", "192.0.2.7"),
        (TRUSTED, "10.0.0.5", "1.1.1.1", "1.1.1.1"),
        (TRUSTED, "10.0.0.5", "6.6.6.6, 1.1.1.1", "1.1.1.1"),
        (TRUSTED, "10.0.0.5", "6.6.6.6, 1.1.1.1, 10.0.0.6", "1.1.1.1"),
        (TRUSTED, "10.0.0.5", "10.0.0.7, 10.0.0.6", "10.0.0.7"),
        (TRUSTED, "10.0.0.5", "", "10.0.0.5"),
        (TRUSTED, "10.0.0.5", "not an address", "10.0.0.5"),
        (TRUSTED, "10.0.0.5", "6.6.6.6, unknown", "10.0.0.5"),
        (TRUSTED, "10.0.0.5", "[2001:db9::1]:443", "2001:db9::1"),
        (TRUSTED, "2001:db8::5", "1.1.1.1:8080", "1.1.1.1"),
        ("127.0.0.1", "1.1.1.1", "1.1.1.1, 9.9.9.9", "1.1.1.1"),
        ("127.0.0.1", "127.0.0.1", "1.1.1.1, 9.9.9.9", "9.9.9.9"),
    ],
)
def test_address_is_the_peers_unless_a_trusted_proxy_speaks(
    proxies: str, peer: str, forwarded: str, address: str, inner: Inner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """X-Forwarded-For counts from the right, as far as LLM_TRUSTED_PROXIES vouches, and never beyond."""
    monkeypatch.setenv("LLM_TRUSTED_PROXIES", proxies)
    config.get_config.cache_clear()
    monkeypatch.setattr(middleware, "_installed", False)
    ask(Middleware(inner), {"x-forwarded-for": forwarded} if forwarded else {}, client=peer)

    assert inner.saw("x-llm-settings-address") == [address]


@given(forwarded=st.text(alphabet=st.characters(max_codepoint=255), max_size=200))
@settings(max_examples=200, deadline=None)
def test_forged_forwarding_changes_nothing(forwarded: str) -> None:
    """CHECKS 28: without a trusted proxy no header makes an address other than the peer's."""
    inner = Inner()
    config.get_config.cache_clear()
    installed = middleware._installed
    try:
        ask(Middleware(inner), {"x-forwarded-for": forwarded})
    finally:
        middleware._installed = installed

    assert inner.saw("x-llm-settings-address") == ["192.0.2.7"]


SECURE = {
    "content-security-policy": "frame-ancestors 'self'",
    "x-frame-options": "SAMEORIGIN",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=()",
}


def test_every_answer_carries_the_security_headers(door: Middleware, inner: Inner) -> None:
    """CHECKS 82: pages, our own routes, refusals and faults alike; a fault shows no details."""
    replies = [
        ask(door),
        ask(door, path="/sign-in.js"),
        ask(door, path="/leaving.js"),
        ask(door, path="/dialogs.js"),
        ask(door, path="/copying.js"),
        ask(door, path="/sign-in", method="POST"),
        ask(door, {"host": "evil.example"}),
    ]
    inner.fault = RuntimeError("sk-canary")
    replies.append(ask(door))

    assert [reply.status for reply in replies] == [200, 200, 200, 200, 200, 403, 421, 500]
    for reply in replies:
        for name, part in SECURE.items():
            assert part in reply.header(name), name
        assert b"canary" not in reply.body


def test_policy_lets_in_no_foreign_script_or_image(door: Middleware) -> None:
    """Scripts are our own files and those Streamlit's page has inside, by their hash; images come from here."""
    policy = dict(part.split(" ", 1) for part in ask(door).header("content-security-policy").split("; "))

    assert policy["script-src"].startswith("'self' 'sha256-")
    assert "unsafe" not in policy["script-src"]
    assert policy["img-src"] == "'self' data: blob:"
    assert policy["default-src"] == policy["connect-src"] == policy["form-action"] == "'self'"
    assert policy["object-src"] == "'none'"


def test_page_says_where_the_app_is(door: Middleware, inner: Inner) -> None:
    """Streamlit's page comes whole, with our script before its own, by a hash of the policy; nothing else is changed."""
    index = (Path(streamlit.__file__).parent / "static" / "index.html").read_bytes()
    inner.body, inner.more = index, [(b"content-length", b"%d" % len(index)), (b"etag", b"x")]
    reply = ask(door, {"accept-encoding": "gzip", "if-none-match": "x"}, path="/usage")

    (ours,) = re.findall(rb"<script>(window[.]__streamlit=.*?)</script>", reply.body)
    assert reply.body.index(ours) < reply.body.index(b'<script type="module"')
    assert reply.body.replace(b"<script>%s</script>\n    " % ours, b"") == index
    assert int(reply.header("content-length")) == len(reply.body)
    assert not reply.header("etag")
    assert inner.saw("accept-encoding") == inner.saw("if-none-match") == []
    digest = base64.b64encode(hashlib.sha256(ours).digest()).decode()
    assert f"'sha256-{digest}'" in reply.header("content-security-policy")
    for path in ("/static/js/x.js", "/media/x"):
        assert ask(door, {"accept-encoding": "gzip"}, path=path).body in {index, b"There is nothing here.\n"}
    inner.kind = b"image/png"
    assert ask(door, path="/favicon.png").body == index


@pytest.mark.parametrize("path", ["/_stcore/metrics", "/_stcore/agent/interact", "/_stcore/upload_file/x/y"])
def test_what_no_page_needs_is_closed(path: str, door: Middleware, inner: Inner) -> None:
    """Streamlit's metrics, its agent routes and its upload answer anybody: not here."""
    assert ask(door, path=path).status == 404
    assert not inner.asked


@pytest.fixture
def ticket(analyst: Actor) -> str:
    """A ticket as the page draws it."""
    with db.transaction() as session:
        user = session.get(User, analyst.user_id)
        assert user is not None
        made = sessions.begin(session, user, "192.0.2.7", None, ticket=True)[1]
    assert made is not None
    return made


OURS = {"origin": "http://127.0.0.1:8501", "content-type": "application/json", "host": "127.0.0.1:8501"}


def exchange(door: Middleware, ticket: str, **changed: Any) -> Reply:
    headers = {**OURS, **changed.pop("headers", {})}
    body = changed.pop("body", json.dumps({"ticket": ticket}).encode())
    return ask(door, {k: v for k, v in headers.items() if v}, path="/sign-in", method="POST", body=body, **changed)


def test_ticket_is_exchanged_for_a_cookie_no_script_can_read(door: Middleware, ticket: str) -> None:
    """CHECKS 16: HttpOnly, SameSite=Strict, for the whole site, gone with the browser; a second time there is none."""
    reply = exchange(door, ticket)
    name, _, rest = reply.header("set-cookie").partition("=")
    secret, *flags = rest.split("; ")

    assert reply.status == 204
    assert name == COOKIE
    assert flags == ["Path=/", "HttpOnly", "SameSite=Strict"]
    assert secret != ticket
    assert reply.header("cache-control") == "no-store"
    again = exchange(door, ticket)
    assert (again.status, again.header("set-cookie")) == (403, "")


def test_browser_that_kept_no_cookie_is_found_out(door: Middleware, ticket: str) -> None:
    """After the exchange the page asks whether the cookie came back: yes with it, no without one or with another's."""
    kept = b'{"kept": true}'
    secret = exchange(door, ticket).header("set-cookie").partition(";")[0]

    assert exchange(door, "", body=kept, headers={"cookie": secret}).status == 204
    assert exchange(door, "", body=kept).status == 403
    assert exchange(door, "", body=kept, headers={"cookie": f"{COOKIE}={'A' * 43}"}).status == 403
    assert exchange(door, "", body=kept, headers={"cookie": secret, "origin": "https://evil.example"}).status == 403


@pytest.mark.parametrize(
    ("scheme", "client", "headers", "secure"),
    [
        ("https", "192.0.2.7", {}, True),
        ("http", "10.0.0.5", {"x-forwarded-proto": "https"}, True),
        ("http", "192.0.2.7", {"x-forwarded-proto": "https"}, False),
        ("http", "10.0.0.5", {"x-forwarded-proto": "http"}, False),
    ],
)
def test_cookie_is_secure_on_https(
    scheme: str,
    client: str,
    headers: dict[str, str],
    secure: bool,
    inner: Inner,
    ticket: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """CHECKS 16: Secure and __Host- where the browser speaks https to us or to a trusted proxy; HSTS too."""
    monkeypatch.setenv("LLM_TRUSTED_PROXIES", TRUSTED)
    config.get_config.cache_clear()
    monkeypatch.setattr(middleware, "_installed", False)
    reply = exchange(Middleware(inner), ticket, scheme=scheme, client=client, headers=headers)

    assert reply.header("set-cookie").startswith("__Host-") is secure
    assert ("; Secure" in reply.header("set-cookie")) is secure
    assert bool(reply.header("strict-transport-security")) is secure


@pytest.mark.parametrize(
    "changed",
    [
        {"headers": {"origin": ""}},
        {"headers": {"origin": "http://evil.example"}},
        {"headers": {"origin": "null"}},
        {"headers": {"content-type": "text/plain"}},
        {"headers": {"content-type": ""}},
        {"body": b""},
        {"body": b"{"},
        {"body": b"[]"},
        {"body": b'{"ticket": 1}'},
        {"body": b'{"ticket": null}'},
        {"body": b"\xff\xfe"},
        {"body": b'{"ticket": "\\ud800"}'},
        {"body": b"[" * 1000},
        {"body": b'{"ticket": "' + b"x" * 10_000 + b'"}'},
    ],
)
def test_strange_exchanges_get_nothing(changed: dict[str, Any], door: Middleware, ticket: str) -> None:
    """CHECKS 13, 27: from another site, or malformed: 403 and no cookie; the ticket is still good for its owner."""
    reply = exchange(door, ticket, **changed)

    assert (reply.status, reply.header("set-cookie")) == (403, "")
    assert exchange(door, ticket).status == 204


def secret_of(reply: Reply) -> str:
    return reply.header("set-cookie").partition("=")[2].partition(";")[0]


def test_websocket_is_told_whose_cookie_it_has(door: Middleware, inner: Inner, ticket: str) -> None:
    """The page behind sees the sign-in of a cookie that holds, and none after it was ended."""
    secret = secret_of(exchange(door, ticket))
    ask(door, {"cookie": f"a=b; {COOKIE}={secret}; c=d"}, kind="websocket")
    assert inner.saw(SECRET_HEADER) == [secret]

    with db.transaction() as session:
        actor = sessions.find(session, secret)
        assert actor is not None
        sessions.end(session, actor, actor.session_id or 0)
    ask(door, {"cookie": f"{COOKIE}={secret}"}, kind="websocket")
    assert inner.saw(SECRET_HEADER) == []
    assert "Max-Age=0" in ask(door, {"cookie": f"{COOKIE}={secret}", "accept": "text/html"}).header("set-cookie")


def test_downloads_are_for_those_who_are_signed_in(door: Middleware, inner: Inner, ticket: str) -> None:
    """A file that a page offers is served by the hash of its content: to who holds a sign-in, and to nobody else."""
    secret = secret_of(exchange(door, ticket))
    for cookie in ("", f"{COOKIE}={'x' * 43}"):
        assert ask(door, {"cookie": cookie}, path="/media/abc.csv").status == 404
    assert not inner.asked

    assert ask(door, {"cookie": f"{COOKIE}={secret}"}, path="/media/abc.csv").status == 200


@pytest.mark.parametrize(
    "cookie",
    [
        "",
        "x" * 42,
        "x" * 43,
        "x" * 10_000,
        "eyJhbGciOiJub25lIn0.eyJ1c2VybmFtZSI6ImFkYSJ9.",
        "\xff\xfe",
        "' OR 1=1 --",
        '"' + "x" * 43 + '"',
    ],
)
def test_strange_cookies_are_no_sign_in(cookie: str, door: Middleware, inner: Inner) -> None:
    """CHECKS 13: a token, garbage, bad UTF-8, 10 kB: the page is served, to nobody."""
    ask(door, {"cookie": f"{COOKIE}={cookie}"}, kind="websocket")

    assert inner.saw(SECRET_HEADER) == []


def test_cookie_sent_twice_is_none(door: Middleware, inner: Inner, ticket: str) -> None:
    """CHECKS 15: a neighbouring host can add a cookie of our name, so of two none counts."""
    secret = secret_of(exchange(door, ticket))
    for pair in ((secret, "x" * 43), ("x" * 43, secret)):
        ask(door, {"cookie": "; ".join(f"{COOKIE}={value}" for value in pair)}, kind="websocket")

        assert inner.saw(SECRET_HEADER) == []


def test_sockets_are_counted_by_address_and_given_back(inner: Inner, door: Middleware) -> None:
    """CHECKS 77: forty anonymous ones from an address, of IPv6 a /64; another address is served; a closed one makes room."""
    tried = ANONYMOUS_SOCKETS + 60

    async def run() -> tuple[list[bool], bool, bool]:
        stay, answered = asyncio.Event(), asyncio.Event()

        async def hold(_scope: Any, _receive: Any, send: Any) -> None:
            await send({"type": "websocket.accept"})
            await stay.wait()

        door._app = hold
        sent: dict[Any, list[str]] = {}

        def open_one(number: object, client: str) -> asyncio.Task[None]:
            scope = {
                "type": "websocket",
                "path": "/_stcore/stream",
                "scheme": "ws",
                "client": (client, 1),
                "headers": [(b"host", b"localhost")],
            }

            async def send(message: MutableMapping[str, Any]) -> None:
                sent.setdefault(number, []).append(message["type"])
                if len(sent) == tried + 1:
                    answered.set()

            return asyncio.ensure_future(door(scope, None, send))  # type: ignore[arg-type]

        tasks = [open_one(n, f"2001:db8:1:2::{n:x}") for n in range(tried)]
        tasks.append(open_one("other", "198.51.100.9"))
        async with asyncio.timeout(30):
            await answered.wait()
        taken = [sent[n] == ["websocket.accept"] for n in range(tried)]
        other = sent["other"] == ["websocket.accept"]
        stay.set()
        await asyncio.gather(*tasks)
        tasks = [open_one("later", "2001:db8:1:2::ffff")]
        await asyncio.gather(*tasks)
        return taken, other, sent["later"] == ["websocket.accept"]

    taken, other, later = run_async(run())

    assert taken == [True] * ANONYMOUS_SOCKETS + [False] * (tried - ANONYMOUS_SOCKETS)
    assert other
    assert later
    assert not door._open
    assert not inner.asked
