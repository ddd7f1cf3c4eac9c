"""Streamlit's own page, which the browser loads before anything is drawn, with a script of ours put into it."""

from typing import Any, Final

from web.answers import Message, Send
from web.inline import script

_BEFORE: Final = b'<script type="module"'
"""Of Streamlit's page: its own script."""
_DEPENDS: Final = frozenset({b"accept-encoding", b"range", b"if-none-match", b"if-modified-since", b"if-range"})
"""Headers of a request by which an answer would not be the whole page as it is."""
_OF_THE_FILE: Final = frozenset({b"content-length", b"etag", b"last-modified", b"accept-ranges"})
"""Headers of an answer that speak of Streamlit's page without what is put into it."""


def is_asked_for(scope: Any) -> bool:
    """Tell whether this may be a request for the page: its addresses have one segment at most."""
    return scope["method"] in {"GET", "HEAD"} and "/" not in scope["path"].strip("/")


def ask_whole(scope: Any) -> None:
    """Have the page answered whole, as it is: neither compressed, nor as *not modified* since it had another script."""
    scope["headers"] = [pair for pair in scope["headers"] if pair[0] not in _DEPENDS]


class Filled:
    """An answer on its way out: a page of Streamlit's gets our script, everything else passes.

    Args:
        send: The connection's send.
    """

    def __init__(self, send: Send) -> None:
        self._send = send
        self._start: Message | None = None
        self._body = b""

    async def send(self, message: Message) -> None:
        """Pass one message on, or keep it until the page is whole."""
        if message["type"] == "http.response.start" and _is_page(message):
            self._start = message
            return
        if self._start is None or message["type"] != "http.response.body":
            await self._send(message)
            return
        self._body += message.get("body", b"")
        if message.get("more_body"):
            return
        start, self._start = self._start, None
        body = self._body.replace(_BEFORE, b"<script>%s</script>\n    %s" % (script().encode(), _BEFORE), 1)
        headers = [pair for pair in start["headers"] if pair[0].lower() not in _OF_THE_FILE]
        if body:  # of HEAD there is none, and nothing is said of its length
            headers.append((b"content-length", str(len(body)).encode()))
        await self._send({**start, "headers": headers})
        await self._send({**message, "body": body, "more_body": False})


def _is_page(start: Message) -> bool:
    kinds = [value for name, value in start.get("headers", ()) if name.lower() == b"content-type"]
    return start["status"] == 200 and any(kind.startswith(b"text/html") for kind in kinds)  # noqa: PLR2004 - HTTP's own
