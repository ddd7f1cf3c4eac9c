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
  const mark = document.getElementById("llm-settings-ticket");
  if (!mark) {
    const focus = () => {
      const first = document.querySelector("input[autocomplete=username], input[autocomplete=new-password]");
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
  mark.remove();
  const again = () => location.reload();
  const door = new URL("sign-in", document.currentScript ? document.currentScript.src : location.href);
  fetch(door, {method: "POST", headers: {"Content-Type": "application/json"}, body: JSON.stringify({ticket})})
    .then(again, again);
})();
"""
"""Runs in the sign-in and where the first password is chosen: focuses the first field. In the page that has drawn the ticket: exchanges it for the cookie, and
starts afresh."""

_BODY_LIMIT = 1024


async def exchange(receive: Receive, send: Send, request: Request) -> None:
    """Exchange a ticket for the cookie: from our own page only, or somebody could sign others in as themselves."""
    headers = request.headers
    if not is_ours(headers.get("origin", ""), headers) or headers.get("content-type") != "application/json":
        await answer(send, 403, b"Sign in on the page.\n")
        return
    try:
        ticket = json.loads(await _body(receive))["ticket"]
        secret = await anyio.to_thread.run_sync(_exchanged, ticket if isinstance(ticket, str) else "")
    except (ValueError, TypeError, KeyError, RecursionError):
        secret = None
    except CoreError as error:
        await answer(send, 503, f"{error}\n".encode())
        return
    if secret is None:
        await answer(send, 403, b"This ticket is used, or too old. Sign in again.\n")
        return
    await answer(send, 204, b"", more=[_set_cookie(request, secret, "Path=/; HttpOnly; SameSite=Strict")])


def deleting(request: Request) -> tuple[bytes, bytes]:
    """Return the header that takes the cookie from the browser: its sign-in has ended."""
    return _set_cookie(request, "", "Path=/; Max-Age=0; HttpOnly; SameSite=Strict")


async def holds(secret: str | None) -> bool:
    """Tell whether a secret's sign-in holds. Without the database nobody can say: then it does, and every page asks again."""
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
