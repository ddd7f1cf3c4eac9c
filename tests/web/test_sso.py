"""The routes of single sign-on, by requests made up in full, against a provider that signs what it says."""

import re
import time
from collections.abc import Callable, Iterator, MutableMapping
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from sqlalchemy import text

from core import config
from core.access import oidc, sessions, sign_in, sso_groups
from core.access.sso_flow import LIFETIME_SECONDS, SignOnFailed, begin_sign_on, came_back
from core.store import db
from tests.conftest import run_async
from tests.identity import CLIENT, LOGOUT, Identity, new_key, sign
from tests.web.test_middleware import Inner, Reply
from web import middleware
from web.middleware import Middleware

PUBLIC = "https://llm.corp.example/llm"
STATE = "__Host-llm_settings_sso"


@pytest.fixture
def served() -> Iterator[Identity]:
    """A provider that answers."""
    with Identity() as provider:
        yield provider


@pytest.fixture
def door(served: Identity, monkeypatch: pytest.MonkeyPatch) -> Iterator[Middleware]:
    """The middleware, which knows the provider."""
    for name, value in {
        "LLM_OIDC_ISSUER": served.issuer,
        "LLM_OIDC_CLIENT_ID": CLIENT,
        "LLM_PUBLIC_URL": PUBLIC,
        "LLM_OIDC_ADMIN_GROUPS": "llm-admins",
        "LLM_ALLOWED_HOSTS": "llm.corp.example",
        "LLM_TRUSTED_PROXIES": "10.0.0.1",
    }.items():
        monkeypatch.setenv(name, value)
    config.get_config.cache_clear()
    monkeypatch.setattr(middleware, "_installed", False)
    yield Middleware(Inner())
    config.get_config.cache_clear()


def ask(
    door: Middleware,
    path: str,
    query: str = "",
    *,
    cookie: str = "",
    method: str = "GET",
    body: bytes = b"",
    client: str = "192.0.2.7",
) -> Reply:
    """Send one request as nginx does, which serves us below /llm on https."""
    given = {"host": "llm.corp.example", "x-forwarded-proto": "https", "x-forwarded-for": client, "cookie": cookie}
    scope = {
        "type": "http",
        "path": path,
        "method": method,
        "scheme": "http",
        "client": ("10.0.0.1", 5000),
        "query_string": query.encode(),
        "headers": [(name.encode(), value.encode()) for name, value in given.items() if value],
    }
    sent: list[MutableMapping[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    run_async(door(scope, receive, send))
    return Reply(sent)


def cookies(reply: Reply) -> dict[str, str]:
    """What the answer has the browser keep."""
    return dict(value.split("=", 1) for name, value in reply.headers if name == "set-cookie")


def begin(door: Middleware, served: Identity, **claims: Any) -> tuple[str, dict[str, str]]:
    """Begin a sign-in; return the state cookie, and what a provider would send back."""
    reply = ask(door, "/sso/start")
    asked = {name: values[0] for name, values in parse_qs(urlsplit(reply.header("location")).query).items()}
    served.claims = {"nonce": asked["nonce"], "groups": ["llm-admins"], "preferred_username": "grace", **claims}
    cookie = f"{STATE}={cookies(reply)[STATE].split(';')[0]}"
    return cookie, {"code": "c1", "state": asked["state"], "iss": served.issuer}


def test_start_leads_to_the_provider_and_callback_ends_in_a_row_of_ours(door: Middleware, served: Identity) -> None:
    """State in a cookie that comes back from elsewhere; then our own, Strict, by a page that goes on by itself; CSP as ever."""
    start = ask(door, "/sso/start")
    asked = parse_qs(urlsplit(start.header("location")).query)
    assert start.status == 302
    assert asked["redirect_uri"] == [f"{PUBLIC}/sso/callback"]
    assert asked["code_challenge_method"] == ["S256"]
    flags = cookies(start)[STATE].partition("; ")[2]
    assert flags == f"Path=/; Max-Age={LIFETIME_SECONDS}; HttpOnly; SameSite=Lax; Secure"

    cookie, back = begin(door, served)
    reply = ask(door, "/sso/callback", urlencode(back), cookie=cookie)
    kept = cookies(reply)
    secret = kept["__Host-llm_settings_session"].partition(";")[0]

    assert reply.status == 200
    assert kept["__Host-llm_settings_session"] == f"{secret}; Path=/; HttpOnly; SameSite=Strict; Secure"
    assert kept[STATE].startswith("; Path=/; Max-Age=0;")
    assert b'http-equiv="refresh" content="0; url=../"' in reply.body
    assert "script-src 'self'" in reply.header("content-security-policy")
    assert served.forms[-1][0]["code_verifier"]
    assert back["code"] not in reply.body.decode()
    with db.transaction() as session:
        actor = sessions.find(session, secret)
        assert actor is not None
        assert actor.name == "grace"
        events = session.execute(text("SELECT action, changes->'single_sign_on' FROM audit_events ORDER BY id")).all()
        assert ("session.sign_in", {"before": None, "after": True}) in [tuple(event) for event in events]


def _other_state(cookie: str, back: dict[str, str]) -> tuple[str, dict[str, str]]:
    return cookie, back | {"state": back["state"][::-1]}


ODD: dict[str, tuple[Callable[[str, dict[str, str]], tuple[str, dict[str, str]]], str]] = {
    "no cookie": (lambda _, back: ("", back), "not begun in this browser"),
    "another browser's cookie": (
        lambda _, back: (f"{STATE}={begin_sign_on().cookie}", back),
        "not begun in this browser",
    ),
    "another state": (_other_state, "not begun in this browser"),
    "no state": (lambda cookie, back: (cookie, {**back, "state": ""}), "not begun in this browser"),
    "another provider": (
        lambda cookie, back: (cookie, {**back, "iss": "https://evil.example"}),
        "Another identity provider",
    ),
    "the provider says no": (
        lambda c, b: (c, {"error": "access_denied", **b}),
        r"did not sign you in \(access_denied\)",
    ),
    "words of its own": (lambda c, b: (c, {"error": "<script>alert(1)</script>", **b}), "an error of its own"),
    "a code it does not take": (lambda cookie, back: (cookie, {**back, "code": "wrong"}), "does not take the code"),
    "too long": (lambda cookie, back: (cookie, {**back, "x": "y" * 9000}), "cannot be read"),
}


@pytest.mark.parametrize(("change", "words"), ODD.values(), ids=ODD)
def test_odd_return_signs_nobody_in(
    door: Middleware, served: Identity, change: Callable[..., tuple[str, dict[str, str]]], words: str
) -> None:
    """A page says so, with a way back, and without a word of the address."""
    cookie, back = change(*begin(door, served))
    reply = ask(door, "/sso/callback", urlencode(back), cookie=cookie)

    assert reply.status == 400
    assert re.search(words, reply.body.decode())
    assert b'href="../"' in reply.body
    assert b"<script" not in reply.body
    assert "__Host-llm_settings_session" not in cookies(reply)


def test_state_counts_once(door: Middleware, served: Identity) -> None:
    """Whoever has read the address in a log cannot come again with it, not even in the same browser; nobody is asked for the code."""
    cookie, back = begin(door, served)
    assert ask(door, "/sso/callback", urlencode(back), cookie=cookie).status == 200
    asked = len(served.forms)
    again = ask(door, "/sso/callback", urlencode(back), cookie=cookie)

    assert (again.status, len(served.forms)) == (400, asked)
    assert b"used already" in again.body


def test_promised_iss_must_come(door: Middleware, served: Identity) -> None:
    """A provider that promises iss is not believed without it; of another one it is not asked."""
    served.said = {"authorization_response_iss_parameter_supported": True}
    cookie, back = begin(door, served)
    del back["iss"]
    assert ask(door, "/sso/callback", urlencode(back), cookie=cookie).status == 400


@pytest.mark.usefixtures("door")
def test_sign_in_ends_in_ten_minutes(served: Identity) -> None:
    """The cookie's own moment counts, and cannot be changed: state and nonce follow from it."""
    provider = oidc.identity_provider()
    assert provider is not None
    begun = begin_sign_on(1000)
    query = {"state": [begun.state], "iss": [served.issuer]}

    assert came_back(provider, begun.cookie, query, 1000 + LIFETIME_SECONDS - 1) == begun
    for moment in (1000 + LIFETIME_SECONDS, 900):
        with pytest.raises(SignOnFailed, match="too long"):
            came_back(provider, begun.cookie, query, moment)
    later = begin_sign_on(1_000_000).cookie[:5] + begun.cookie[5:]
    with pytest.raises(SignOnFailed, match="not begun"):
        came_back(provider, later, query, 1_000_000)


def test_nobodys_group_is_told_and_makes_no_user(door: Middleware, served: Identity) -> None:
    """403, on record with where it came from; groups that only userinfo has are found there."""
    cookie, back = begin(door, served, groups=["staff"])
    reply = ask(door, "/sso/callback", urlencode(back), cookie=cookie)
    assert reply.status == 403
    assert sso_groups.NONE_MAY in reply.body.decode()

    served.info = {"sub": "u1", "groups": ["llm-admins"]}
    cookie, back = begin(door, served, groups=None)
    with db.transaction() as session:
        assert session.execute(text("SELECT count(*) FROM users")).scalar() == 0
        denied = session.execute(text("SELECT address FROM audit_events WHERE action = 'session.sso_denied'")).all()
        assert [tuple(row) for row in denied] == [("192.0.2.7",)]
    assert ask(door, "/sso/callback", urlencode(back), cookie=cookie).status == 200


def test_provider_that_is_down_is_one_sentence(door: Middleware, served: Identity) -> None:
    """At the start and on the way back; passwords go on working, which the page says."""
    cookie, back = begin(door, served)
    served.fault = {"/jwks": "500", "/.well-known/openid-configuration": "500"}
    broken = ask(door, "/sso/callback", urlencode(back), cookie=cookie)
    oidc._now = None
    down = ask(door, "/sso/start")

    for reply in (broken, down):
        assert reply.status == 503
        assert b"status 500" in reply.body
        assert b"sign in with a password" in reply.body


def test_strangers_wait_and_others_do_not(door: Middleware, served: Identity) -> None:
    """One address has thirty refused ones; the next waits before anything is asked of the provider; another address does not."""
    for _ in range(sign_in.ADDRESS_TRIES):
        cookie, back = begin(door, served, groups=["staff"])
        assert ask(door, "/sso/callback", urlencode(back), cookie=cookie).status == 403
    asked = len(served.forms)
    cookie, back = begin(door, served)
    slow = ask(door, "/sso/callback", urlencode(back), cookie=cookie)

    assert (slow.status, len(served.forms)) == (429, asked)
    assert int(slow.header("retry-after")) > 0
    assert ask(door, "/sso/callback", urlencode(back), cookie=cookie, client="192.0.2.8").status == 200


def test_sign_out_there_ends_the_row_here_once(door: Middleware, served: Identity) -> None:
    """A logout token is taken once; one that is forged ends nothing; neither does what is no form."""
    cookie, back = begin(door, served, sid="s1")
    kept = cookies(ask(door, "/sso/callback", urlencode(back), cookie=cookie))
    secret = kept["__Host-llm_settings_session"].partition(";")[0]
    now = int(time.time())
    claims = {"iss": served.issuer, "aud": CLIENT, "sub": "u1", "sid": "s1", "iat": now, "exp": now + 120}
    claims |= {"jti": "j1", "events": {LOGOUT: {}}}

    def send(token: str) -> int | None:
        body = urlencode({"logout_token": token}).encode()
        reply = ask(door, "/sso/logout", method="POST", body=body)
        return int(reply.status or 0)

    def live() -> bool:
        with db.transaction() as session:
            return sessions.find(session, secret) is not None

    assert [send(sign(claims, new_key(served.keys[0].kid))), send(served.token()), send("")] == [400, 400, 400]
    assert live()
    assert send(sign(claims, served.keys[0])) == 200
    assert not live()
    assert send(sign(claims, served.keys[0])) == 400


def test_leaving_goes_to_the_provider_too(door: Middleware, served: Identity) -> None:
    """To its end_session_endpoint, and from there home; where it has none, home at once."""
    address = urlsplit(ask(door, "/sso/leave").header("location"))
    assert address.path == "/logout"
    assert parse_qs(address.query) == {"client_id": [CLIENT], "post_logout_redirect_uri": [f"{PUBLIC}/"]}

    served.said = {"end_session_endpoint": None}
    oidc._now = None
    assert ask(door, "/sso/leave").header("location") == f"{PUBLIC}/"


@pytest.mark.parametrize(
    ("path", "method", "status"),
    [
        ("/sso/start", "POST", 405),
        ("/sso/callback", "HEAD", 405),
        ("/sso/logout", "GET", 405),
        ("/sso/other", "GET", 404),
        ("/SSO/start", "GET", 404),
        ("//sso/start", "GET", 404),
        ("/sso", "GET", 404),
    ],
)
def test_nothing_else_is_a_route(door: Middleware, path: str, method: str, status: int) -> None:
    """Each route takes one method, and has one spelling."""
    assert ask(door, path, method=method).status == status


def test_without_a_provider_there_are_no_routes(door: Middleware, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where none is configured nothing answers."""
    monkeypatch.delenv("LLM_OIDC_ISSUER")
    config.get_config.cache_clear()
    assert ask(door, "/sso/start").status == 404
