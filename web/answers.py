"""What the middleware answers itself, and the security headers that every answer carries."""

import hashlib
import json
import re
from base64 import b64encode
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from functools import cache
from pathlib import Path
from typing import Any, Final

import streamlit

from core import request_ids
from web import inline

Message = MutableMapping[str, Any]
"""An ASGI message."""
Send = Callable[[Message], Awaitable[None]]

REQUEST_ID: Final = b"x-request-id"
"""Of a request and of its answer: by it the lines of the log are found."""
NO_PAGE: Final = b"""<!doctype html><html lang="en"><meta charset="utf-8"><title>Page not found - LLM Settings</title>
<meta name="viewport" content="width=device-width"><meta name="color-scheme" content="light dark">
<body style="font-family: sans-serif; margin: 3rem auto; max-width: 40rem; padding: 0 1rem"><h1>There is no page here</h1>
<p>The address may be misspelt. The pages of LLM Settings have addresses of one word, as <code>providers</code>.</p>
"""
"""For an address that no page has. No link: below a proxy's path nobody here knows where the pages begin."""


async def answer(
    send: Send, status: int, body: bytes, kind: str = "text/plain", more: Iterable[tuple[bytes, bytes]] = ()
) -> None:
    """Answer a request with a body that no cache keeps.

    Args:
        send: The connection's send.
        status: An HTTP status.
        body: UTF-8.
        kind: The media type.
        more: Further headers.
    """
    headers = [
        (b"content-type", f"{kind}; charset=utf-8".encode()),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
        *more,
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def no_route() -> bytes:
    """Return the answer to a path below the API that has NUL in it: Streamlit would answer before the API does."""
    error = {"code": "NOT_FOUND", "message": "There is nothing at this path.", "requestId": request_ids.current()}
    return json.dumps({"success": False, "error": error}).encode()


def secured(send: Send, *, https: bool) -> Send:
    """Return *send* that adds the request's id, and the security headers an answer has not set itself; on https HSTS too."""

    async def sender(message: Message) -> None:
        if message["type"] == "http.response.start":
            given = {name.lower() for name, _ in message.get("headers", ())}
            ours = [pair for pair in security_headers() if pair[0] not in given]
            if https:
                ours.append((b"strict-transport-security", b"max-age=31536000"))
            ours.append((REQUEST_ID, request_ids.current().encode()))
            message["headers"] = [*message.get("headers", ()), *ours]
        await send(message)

    return sender


@cache
def security_headers() -> tuple[tuple[bytes, bytes], ...]:
    """Return the headers that every answer carries. Reads Streamlit's index.html once."""
    policy = (
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
    return (
        (b"content-security-policy", "; ".join(policy).encode()),
        (b"x-frame-options", b"SAMEORIGIN"),
        (b"x-content-type-options", b"nosniff"),
        (b"referrer-policy", b"no-referrer"),
        (b"cross-origin-opener-policy", b"same-origin"),
        (b"cross-origin-resource-policy", b"same-origin"),
        (b"permissions-policy", b"camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
    )


def _inline_scripts() -> str:
    """Return the hashes of the scripts inside Streamlit's own page, and of ours in it: the only inline ones that may run."""
    page = (Path(streamlit.__file__).parent / "static" / "index.html").read_text(encoding="utf-8")
    scripts = [*re.findall(r"<script>(.*?)</script>", page, re.DOTALL), inline.script()]
    return " ".join(f"'sha256-{b64encode(hashlib.sha256(s.encode()).digest()).decode()}'" for s in scripts)
