"""The sign-in's own routes: a ticket, which a page has drawn, is exchanged for the cookie, which no script can read."""

import json
from collections.abc import Awaitable, Callable
from typing import Final

import anyio.to_thread

from core.access import sessions
from core.errors import CoreError
from core.store import db
from web.answers import Message, Send, answer
from web.request import Request, cookie_name, is_ours

Receive = Callable[[], Awaitable[Message]]

SIGN_IN_PATH: Final = "/sign-in"
SCRIPT_PATH: Final = "/sign-in.js"
SCRIPT: Final = b"""(() => {
  const here = document.currentScript ? document.currentScript.src : location.href;
  if (document.getElementById("llm-settings-leave")) return location.assign(new URL("sso/leave", here));
  const mark = document.getElementById("llm-settings-ticket");
  if (!mark) {
    const focus = () => {
      const first = document.querySelector("input[autocomplete=username], input[autocomplete=new-password], input[autocomplete=one-time-code]");
      if (first) first.focus();
      return first;
    };
    if (focus()) return;
    const watch = new MutationObserver(() => focus() && watch.disconnect());  // the field's own script comes later
    watch.observe(document.body, {childList: true, subtree: true});
    setTimeout(() => watch.disconnect(), 10000);
    return;
  }
  const ticket = mark.dataset.ticket;
  mark.removeAttribute("id");
  mark.removeAttribute("data-ticket");
  const again = () => location.reload();
  const door = new URL("sign-in", here);
  const ask = (what) => fetch(door, {
    method: "POST", headers: {"Content-Type": "application/json"}, body: JSON.stringify(what),
  });
  ask({ticket})
    .then((exchanged) => exchanged.ok ? ask({kept: true}) : null)
    .then((kept) => {
      if (!kept || kept.status !== 403) return again();
      mark.textContent = "Your browser did not keep the cookie of this site, so you are not signed in. "
        + "Allow cookies for this site, then load the page again.";
      mark.setAttribute("role", "alert");
    })
    .catch(again);
})();
"""
"""Runs in the sign-in and where the first password is chosen: focuses the first field. In the page that has drawn the ticket:
exchanges it for the cookie, and starts afresh; where the browser keeps no cookie, says so, since the sign-in would only
appear again. After a sign-out of somebody of the identity provider's: goes on to sign out there."""

_BODY_LIMIT = 1024


async def exchange(receive: Receive, send: Send, request: Request) -> None:
    """Exchange a ticket for the cookie: from our own page only, or somebody could sign others in as themselves.

    Asked ``{"kept": true}``, tell by 204 or 403 whether the browser came back with the cookie of a sign-in that holds.
    """
    headers = request.headers
    if not is_ours(headers.get("origin", ""), headers) or headers.get("content-type") != "application/json":
        await answer(send, 403, b"Sign in on the page.\n")
        return
    try:
        asked = json.loads(await _body(receive))
        if asked == {"kept": True}:
            kept = request.secret is not None and await holds(request.secret)
            await answer(send, 204 if kept else 403, b"" if kept else b"There is no cookie of a sign-in.\n")
            return
        ticket = asked["ticket"]
        secret = await anyio.to_thread.run_sync(_exchanged, ticket if isinstance(ticket, str) else "")
    except (ValueError, TypeError, KeyError, RecursionError):
        secret = None
    except CoreError as error:
        await answer(send, 503, f"{error}\n".encode())
        return
    if secret is None:
        await answer(send, 403, b"This ticket is used, or too old. Sign in again.\n")
        return
    await answer(send, 204, b"", more=[setting(request, secret)])


def setting(request: Request, secret: str) -> tuple[bytes, bytes]:
    """Return the header that gives the browser the cookie of a sign-in."""
    return _set_cookie(request, secret, "Path=/; HttpOnly; SameSite=Strict")


def deleting(request: Request) -> tuple[bytes, bytes]:
    """Return the header that takes the cookie from the browser: its sign-in has ended."""
    return _set_cookie(request, "", "Path=/; Max-Age=0; HttpOnly; SameSite=Strict")


async def holds(secret: str | None) -> bool:
    """Return whether a secret's sign-in holds. Without the database nobody can say: then it does, and every page asks again."""
    if secret is None:
        return False
    try:
        return await anyio.to_thread.run_sync(_is_live, secret)
    except CoreError:
        return True


def _set_cookie(request: Request, value: str, flags: str) -> tuple[bytes, bytes]:
    secure = "; Secure" if request.https else ""
    return b"set-cookie", f"{cookie_name(https=request.https)}={value}; {flags}{secure}".encode()


def _is_live(secret: str) -> bool:
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
