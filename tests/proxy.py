"""A line to a server that does what lines do: breaks, stalls, loses bytes, leads to another server."""

import contextlib
import select
import socket
import struct
import threading
import time
from dataclasses import dataclass
from typing import Final, Literal, Self

Target = str | int
"""Where a line leads to: the path of a Unix socket, or a port of this machine."""

TICK: Final = 0.02
"""Seconds after which a line that carries nothing looks whether it is treated otherwise now."""
NOW: Final = struct.pack("ii", 1, 0)
"""SO_LINGER: closing sends RST."""


@dataclass(frozen=True)
class Way:
    """How a line treats what it carries."""

    then: Literal["pass", "swallow", "mute", "cut", "reset"] = "pass"
    """What happens to the line once *after* bytes have come from the server. ``swallow``: it takes everything and
    delivers nothing, without FIN or RST; ``mute``: the same, of the server's bytes alone; ``cut`` and ``reset``: FIN
    and RST."""
    after: int = 0
    delay: float = 0.0
    """Seconds that each chunk takes."""


PASS: Final = Way()
SWALLOW: Final = Way("swallow")
MUTE: Final = Way("mute")


class _Line(threading.Thread):
    def __init__(self, client: socket.socket, target: Target, way: Way) -> None:
        super().__init__(name="proxy line", daemon=True)
        self._client, self._target = client, target
        self._way, self._came = way, 0
        self._hung_up = False
        self.ending: Literal["cut", "reset"] | None = None

    def treat(self, way: Way) -> None:
        self._way, self._came = way, 0

    def run(self) -> None:
        server = socket.socket(socket.AF_UNIX if isinstance(self._target, str) else socket.AF_INET)
        with self._client, server:
            with contextlib.suppress(OSError):
                server.connect(self._target if isinstance(self._target, str) else ("127.0.0.1", self._target))
                while self.ending is None and self._carry(server):
                    pass
            if self.ending == "reset":
                for end in (self._client, server):
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NOW)

    def _carry(self, server: socket.socket) -> bool:
        """Carry what has come; return whether the line still holds."""
        ends = [self._client] if self._hung_up else [self._client, server]
        for end in select.select(ends, [], [], TICK)[0]:
            data = end.recv(65536)
            way = self._way
            if not data:
                self._hung_up = end is server and way.then in {"swallow", "mute"}  # its FIN is lost as well
                return self._hung_up
            time.sleep(way.delay)
            if end is self._client:
                if way.then != "swallow" or self._came < way.after:
                    server.sendall(data)
                continue
            room = len(data) if way.then == "pass" else max(0, way.after - self._came)
            self._came += len(data)
            if room:
                self._client.sendall(data[:room])
            if self._came >= way.after and way.then in {"cut", "reset"}:
                self.ending = "reset" if way.then == "reset" else "cut"
                return False
        return True


class Proxy:
    """A port of this machine that leads to *target*, and treats its lines as it is told to."""

    def __init__(self, target: Target) -> None:
        self._target, self._ways = target, [PASS]
        self._lines: list[_Line] = []
        self._mutex = threading.Lock()
        self._closed = False
        listener = self._listen(0)
        self._socket: socket.socket | None = listener
        self.port = int(listener.getsockname()[1])
        self.accepted = 0
        """Lines so far."""
        self._thread = threading.Thread(target=self._accept, name="proxy", daemon=True)
        self._thread.start()

    def treat(self, way: Way) -> None:
        """Treat the lines there are, and new ones, in this way."""
        self.treat_new(way)
        self.treat_old(way)

    def treat_new(self, *ways: Way) -> None:
        """Treat the next new lines in these ways, one each, and all after them in the last; those there are stay as
        they are."""
        with self._mutex:
            self._ways = list(ways)

    def treat_old(self, way: Way) -> None:
        """Treat the lines there are in this way."""
        with self._mutex:
            for line in self._lines:
                line.treat(way)

    def lead_to(self, target: Target) -> None:
        """Lead new lines to another server."""
        self._target = target

    def end_lines(self, how: Literal["cut", "reset"]) -> None:
        """End all lines at once."""
        with self._mutex:
            for line in self._lines:
                line.ending = how

    def refuse(self) -> None:
        """Refuse new lines, as a machine does on which nothing listens."""
        with self._mutex:
            found, self._socket = self._socket, None
        if found:
            with contextlib.suppress(OSError):
                found.shutdown(socket.SHUT_RDWR)
            found.close()

    def admit(self) -> None:
        """Take new lines again, on the same port."""
        with self._mutex:
            if self._socket is None:
                self._socket = self._listen(self.port)

    def close(self) -> None:
        """End everything, threads too."""
        self._closed = True
        self.refuse()
        self.end_lines("cut")
        for thread in (self._thread, *self._lines):
            thread.join(5)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @staticmethod
    def _listen(port: int) -> socket.socket:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen()
        return listener

    def _accept(self) -> None:
        while not self._closed:
            with self._mutex:
                listener = self._socket
            if listener is None:
                time.sleep(TICK)
                continue
            with contextlib.suppress(OSError, ValueError):  # closed meanwhile
                if not select.select([listener], [], [], TICK)[0]:
                    continue
                client, _ = listener.accept()
                with self._mutex:
                    way = self._ways.pop(0) if len(self._ways) > 1 else self._ways[0]
                    line = _Line(client, self._target, way)
                    self._lines = [each for each in self._lines if each.is_alive()]
                    self._lines.append(line)
                    self.accepted += 1
                    line.start()
