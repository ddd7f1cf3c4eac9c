"""What a stranger's connection may take, before there is a request: uvicorn's own protocol has no bound for it.

A bound here is for the machine without a proxy, or with one that passes everything on; see docs/deployment.md.
"""

import asyncio
import contextlib
import logging
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from core.access import sign_in

MOST: Final = 256
"""Open connections of one network, websockets among them; a trusted proxy has no bound."""
HEAD_SECONDS: Final = 20.0
"""For the whole head of a request, and for a connection that says nothing."""
HEAD_BYTES: Final = 65_536
LINE_BYTES: Final = 8_000
"""Of one header: a websocket's handshake with a longer one is never answered by uvicorn's own library."""
HEADERS: Final = 100
LOG_EVERY: Final = 60.0
"""Seconds in which one kind of refusal makes one line of log."""
FILES: Final = 65_536
"""Open files that are enough."""
_NETWORKS: Final = 1_000
"""So many are known before those without a connection are forgotten."""

_ANSWER: Final = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-type: text/plain; charset=utf-8\r\n"
    b"content-length: 37\r\nconnection: close\r\n\r\nThe head of this request is too large"
)
_log = logging.getLogger(__name__)


class _TooLarge(Exception):
    """Leaves the parser's callback, and goes no further."""


class Watch:
    """Watches the connections of this process.

    Args:
        trusts: Whether an address is that of a trusted proxy.
    """

    def __init__(self, trusts: Callable[[str], bool]) -> None:
        self._trusts = trusts
        self._open: defaultdict[str, set[asyncio.Transport]] = defaultdict(set)
        self._logged: dict[str, tuple[float, int]] = {}

    def admits(self, address: str, transport: asyncio.Transport) -> bool:
        """Return whether a network may have one more connection; then it is counted until it is closed, whoever closes it."""
        if self._trusts(address):
            return True
        if len(self._open) > _NETWORKS:
            for network in list(self._open):
                self._count(network)
        network = sign_in.network_of(address)
        if self._count(network) >= MOST:
            self.log("too many are open", address)
            return False
        self._open[network].add(transport)
        return True

    def _count(self, network: str) -> int:
        live = {transport for transport in self._open[network] if not transport.is_closing()}
        if live:
            self._open[network] = live
        else:
            del self._open[network]
        return len(live)

    def log(self, why: str, address: str) -> None:
        """Log a refusal, a line a minute for each kind."""
        now = time.monotonic()
        at, unlogged = self._logged.get(why, (-LOG_EVERY, 0))
        if now - at < LOG_EVERY:
            self._logged[why] = (at, unlogged + 1)
            return
        self._logged[why] = (now, 0)
        _log.warning(
            "Closed a connection from %s: %s (%d more like it since this was last logged)", address, why, unlogged
        )


class Bounded(HttpToolsProtocol):
    """uvicorn's connection, with bounds."""

    watch: Watch

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        """Count the connection, or close it."""
        super().connection_made(transport)
        self._timer: asyncio.TimerHandle | None = None
        self._bytes = self._lines = 0
        self._too_large = False
        if self.watch.admits(self._address(), transport):
            self._head_begins()
        else:
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the timer."""
        self._head_ends()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Count what a head has had so far."""
        if self.transport.is_closing():
            return
        self._head_begins()
        self._bytes += len(data)
        super().data_received(data)
        if self._timer is not None and self._bytes > HEAD_BYTES and not self.transport.is_closing():
            self._too_large = True
            self.send_400_response("")

    def on_header(self, name: bytes, value: bytes) -> None:
        """Count a header."""
        self._lines += 1
        if self._lines > HEADERS or len(name) + len(value) > LINE_BYTES:
            self._too_large = True
            raise _TooLarge
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Go on with the request."""
        self._head_ends()
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        """Answer what cannot be read."""
        if not self._too_large:
            super().send_400_response(msg)
            return
        self.watch.log("the head of its request is too large", self._address())
        self.transport.write(_ANSWER)
        self.transport.close()

    def _address(self) -> str:
        return self.client[0] if self.client else ""

    def _head_begins(self) -> None:
        if self._timer is None and (self.cycle is None or self.cycle.response_complete):
            self._bytes = 0  # what the body before had is no head
            self._timer = self.loop.call_later(HEAD_SECONDS, self._late)

    def _head_ends(self) -> None:
        self._bytes = self._lines = 0
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _late(self) -> None:
        self.watch.log(f"no request within {HEAD_SECONDS:.0f} seconds", self._address())
        self.transport.close()


def bound(trusts: Callable[[str], bool]) -> None:
    """Bound what the connections of this process take.

    uvicorn has chosen its protocol before it imports the app, so the objects of that class become ours.
    """
    Bounded.watch = Watch(trusts)
    begin: Any = HttpToolsProtocol.__init__

    def init(self: HttpToolsProtocol, *args: Any, **kwargs: Any) -> None:
        self.__class__ = Bounded  # first: the parser takes its callbacks from the object
        begin(self, *args, **kwargs)

    HttpToolsProtocol.__init__ = init  # type: ignore[method-assign]


def raise_file_limit() -> None:
    """Let this process have as many open files as it may: the usual 1,024 are soon taken by sockets of strangers."""
    if sys.platform == "win32":
        return
    import resource  # noqa: PLC0415 - not on Windows

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES if hard == resource.RLIM_INFINITY else min(hard, FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
