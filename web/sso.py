"""The routes of single sign-on: to the identity provider, back from it, out there too, and its word that somebody has signed out.

What may be asked for is a list: any other path below /sso/ is nothing. Where no provider is configured there are none.
"""

import html
import logging
import threading
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import parse_qs

import anyio.to_thread

from core.access import sign_in, sso_flow, sso_users
from core.access.oidc import IdentityProvider, ProviderAway, identity_provider
from core.access.oidc_tokens import LONGEST, TokenRefused
from core.access.sso_flow import SignOnFailed
from core.errors import CoreError, TooManyAttempts
from core.store import db
from web.answers import Send, answer
from web.request import Request, Scope
from web.sign_on import Receive, setting

START_PATH: Final = "/sso/start"
CALLBACK_PATH: Final = "/sso/callback"
LEAVE_PATH: Final = "/sso/leave"
LOGOUT_PATH: Final = "/sso/logout"
PATHS: Final = {START_PATH: "GET", CALLBACK_PATH: "GET", LEAVE_PATH: "GET", LOGOUT_PATH: "POST"}
"""Path -> the one method that it takes."""
COOKIE: Final = "llm_settings_sso"
_LONGEST_QUERY: Final = 8_192
_MOST_FIELDS: Final = 20
_AT_ONCE: Final = threading.BoundedSemaphore(8)
"""Sign-ins at once that wait for the provider: while it is slow, the threads are for the pages."""
_PAGE: Final = """<!doctype html><html lang="en"><meta charset="utf-8"><title>{title} - LLM Settings</title>
<meta name="viewport" content="width=device-width"><meta name="color-scheme" content="light dark">{head}
<body style="font-family: sans-serif; margin: 3rem auto; max-width: 40rem; padding: 0 1rem"><h1>{title}</h1>
<p>{words}</p><p><a href="../">{link}</a></p>
"""
_BUSY: Final = "Too many people sign in at this moment. Try again in a moment."
_log = logging.getLogger(__name__)
Headers = list[tuple[bytes, bytes]]


async def serve(scope: Scope, receive: Receive, send: Send, request: Request, provider: IdentityProvider) -> None:
    """Answer a request for one of :data:`PATHS`."""
    path = scope["path"]
    if scope["method"] != PATHS[path]:
        await answer(send, 405, b"", more=[(b"allow", PATHS[path].encode())])
    elif path == START_PATH:
        await _start(send, provider)
    elif path == CALLBACK_PATH:
        await _callback(scope, send, request, provider)
    elif path == LEAVE_PATH:
        await _leave(send, provider)
    else:
        await _logout(receive, send, request, provider)


def is_asked_for(path: str) -> IdentityProvider | None:
    """Return the provider if *path* is one of its routes, and one is configured."""
    return identity_provider() if path in PATHS else None


async def _start(send: Send, provider: IdentityProvider) -> None:
    begun = sso_flow.begin_sign_on()
    try:
        address = await _apart(lambda: sso_flow.address_for(provider, begun))
    except CoreError as error:
        await _away(send, error)
        return
    await answer(send, 302, b"", more=[(b"location", address.encode()), _state_cookie(provider, begun.cookie)])


async def _callback(scope: Scope, send: Send, request: Request, provider: IdentityProvider) -> None:
    done = [_state_cookie(provider, "")]
    try:
        query = _fields(scope.get("query_string", b""))
        cookie = request.headers.cookie(_cookie_name(provider))
        entered = await _apart(lambda: _come_back(provider, cookie, query, request))
    except (SignOnFailed, TokenRefused) as error:
        _log.warning("A sign-in at the identity provider was refused, from %s: %s", request.address, error)
        await _page(send, 400, "Not signed in", str(error), more=done)
    except TooManyAttempts as error:
        await _page(send, 429, "Not signed in", str(error), more=[(b"retry-after", str(error.retry_after).encode())])
    except CoreError as error:
        await _away(send, error, more=done)
    else:
        if entered.secret is None:
            await _page(send, 403, "Not signed in", entered.why, more=done)
            return
        # No redirect: in a chain that began at another site a browser sends no SameSite=Strict cookie. This page goes on by itself.
        again = '<meta http-equiv="refresh" content="0; url=../">'
        cookies = [setting(request, entered.secret), *done]
        await _page(send, 200, "Signed in", "You are signed in.", link="Go on", head=again, more=cookies)


def _come_back(
    provider: IdentityProvider, cookie: str | None, query: dict[str, list[str]], request: Request
) -> sso_users.SignedOn:
    """Sign in who comes back: three steps, as no transaction waits for the provider."""
    begun = sso_flow.came_back(provider, cookie, query)
    with db.transaction() as session:
        attempt = sign_in.admit(session, f"single sign-on {begun.state}", request.address)
        first = sso_users.use_once(session, f"state {begun.state}", begun.ends)
    if not first:
        raise SignOnFailed("This sign-in was used already. Begin again at the sign-in.")
    claims, info = sso_flow.fetch_claims(provider, begun, query)
    with db.transaction() as session:
        agent = request.headers.get("user-agent")
        entered = sso_users.enter(session, provider.config, claims, info, address=request.address, user_agent=agent)
        if entered.secret is not None:
            sign_in.succeeded(session, attempt)
    return entered


async def _leave(send: Send, provider: IdentityProvider) -> None:
    """Send who has signed out here to sign out there; where that is not known, back."""
    home = f"{provider.config.public_url}/"
    try:
        address = await _apart(lambda: provider.end_session_address(back_to=home))
    except CoreError:
        address = None
    await answer(send, 302, b"", more=[(b"location", (address or home).encode())])


async def _logout(receive: Receive, send: Send, request: Request, provider: IdentityProvider) -> None:
    """Take the provider's word that somebody has signed out (OpenID Connect Back-Channel Logout 1.0, 2.5 to 2.8)."""
    try:
        form = _fields(await _form(receive), most=LONGEST + 100)
        await _apart(lambda: _signed_out(provider, form, request))
    except (SignOnFailed, TokenRefused) as error:
        _log.warning("A logout token was refused, from %s: %s", request.address, error)
        await answer(send, 400, b'{"error":"invalid_request"}\n', "application/json")
    except TooManyAttempts as error:
        await answer(send, 429, b"", more=[(b"retry-after", str(error.retry_after).encode())])
    except CoreError as error:
        await answer(send, 503, f"{error}\n".encode())
    else:
        await answer(send, 200, b"")


def _signed_out(provider: IdentityProvider, form: dict[str, list[str]], request: Request) -> None:
    with db.transaction() as session:
        attempt = sign_in.admit(session, "logout token", request.address)
    token = sso_flow.signed_out(provider, form)
    with db.transaction() as session:
        ended = sso_users.end_by_provider(session, provider.config.issuer, token)
        if ended is not None:
            sign_in.succeeded(session, attempt)
    if ended is None:
        raise TokenRefused("This logout token came before (jti).")


async def _apart(work: Callable[[], Any]) -> Any:
    """Do *work*, which may wait for the provider, in one of few threads."""
    if not _AT_ONCE.acquire(blocking=False):
        raise ProviderAway(_BUSY)
    try:
        return await anyio.to_thread.run_sync(work)
    finally:
        _AT_ONCE.release()


async def _away(send: Send, error: CoreError, more: Headers | None = None) -> None:
    _log.warning("Nobody can sign in at the identity provider: %s", error)
    words = f"{error} Try again in a moment, or sign in with a password, if you have one here."
    await _page(send, 503, "Not signed in", words, more=more)


async def _page(
    send: Send,
    status: int,
    title: str,
    words: str,
    *,
    link: str = "Back to the sign-in",
    head: str = "",
    more: Headers | None = None,
) -> None:
    body = _PAGE.format(title=title, words=html.escape(words), link=link, head=head)
    await answer(send, status, body.encode(), "text/html", more or ())


def _state_cookie(provider: IdentityProvider, value: str) -> tuple[bytes, bytes]:
    """Return the header of the cookie that comes back with the browser: Lax, as it comes from another site."""
    secure = "; Secure" if _is_https(provider) else ""
    age = sso_flow.LIFETIME_SECONDS if value else 0
    flags = f"Path=/; Max-Age={age}; HttpOnly; SameSite=Lax{secure}"
    return b"set-cookie", f"{_cookie_name(provider)}={value}; {flags}".encode()


def _cookie_name(provider: IdentityProvider) -> str:
    return f"__Host-{COOKIE}" if _is_https(provider) else COOKIE


def _is_https(provider: IdentityProvider) -> bool:
    return provider.config.public_url.startswith("https://")


def _fields(raw: bytes, most: int = _LONGEST_QUERY) -> dict[str, list[str]]:
    unreadable = SignOnFailed("What came from the identity provider cannot be read.")
    if len(raw) > most:
        raise unreadable
    try:
        return parse_qs(raw.decode("ascii"), keep_blank_values=True, max_num_fields=_MOST_FIELDS)
    except ValueError:
        raise unreadable from None


async def _form(receive: Receive) -> bytes:
    body: bytes = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if message["type"] != "http.request" or len(body) > LONGEST + 100:
            raise SignOnFailed("What came from the identity provider cannot be read.")
        if not message.get("more_body"):
            return body
