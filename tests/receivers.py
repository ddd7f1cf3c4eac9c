"""A receiver of webhooks on this machine: a real HTTP server, which can fail; and a check of signatures by the specification alone."""

import base64
import contextlib
import hashlib
import hmac
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

HANG: Final = "hang"
DRIP: Final = "drip"
HUGE: Final = "huge"
ENDLESS: Final = "endless"
GZIP: Final = "gzip"
RESET: Final = "reset"
Behaviour = int | str


class Got(NamedTuple):
    """A request that came."""

    headers: Mapping[str, str]
    body: bytes
    at: float


def is_signed(got: Got, secret: str, *, clock: float | None = None, tolerance: int = 300) -> bool:
    """Tell whether a message is signed with *secret*, as Standard Webhooks 1.0.0 has it; written from its text alone."""
    sent = got.headers["webhook-timestamp"]
    if not sent.isdigit() or abs(int(sent) - (time.time() if clock is None else clock)) > tolerance:
        return False
    key = base64.b64decode(secret[len("whsec_") :], validate=True)
    content = b".".join([got.headers["webhook-id"].encode(), sent.encode(), got.body])
    wanted = hmac.new(key, content, hashlib.sha256).digest()
    for signature in got.headers["webhook-signature"].split(" "):
        version, _, digest = signature.partition(",")
        if version == "v1" and hmac.compare_digest(base64.b64decode(digest), wanted):
            return True
    return False


class Receiver:
    """Answers as *does* says: a status, a fault, or what a function of the number of requests so far returns."""

    def __init__(
        self, does: Behaviour | Callable[[int], Behaviour] = 200, certificate: tuple[Path, Path] | None = None
    ) -> None:
        self.does = does
        self.retry_after = ""
        """The header of that name, of its next answers."""
        self.got: list[Got] = []
        self._closed = threading.Event()
        self._context: ssl.SSLContext | None = None
        if certificate is not None:
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._context.load_cert_chain(*certificate)
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        port = self._listener.getsockname()[1]
        self.url = f"http{'s' if certificate else ''}://127.0.0.1:{port}/hooks/very-secret-token?key=also-secret"
        threading.Thread(target=self._serve, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def ids(self) -> list[str]:
        """The ids of what came, in its order."""
        return [got.headers["webhook-id"] for got in self.got]

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while not self._closed.is_set():
                line, _ = self._listener.accept()
                threading.Thread(target=self._answer, args=(line,), daemon=True).start()

    def _answer(self, line: socket.socket) -> None:
        with contextlib.suppress(OSError), contextlib.closing(line):
            wrapped = self._context.wrap_socket(line, server_side=True) if self._context else line
            with contextlib.closing(wrapped), wrapped.makefile("rb") as reader:
                reader.readline()
                headers = dict(self._headers(reader))
                body = reader.read(int(headers.get("content-length", "0")))
                self.got.append(Got(headers, body, time.monotonic()))
                does = self.does(len(self.got)) if callable(self.does) else self.does
                self._do(wrapped, does)

    @staticmethod
    def _headers(reader: Any) -> Iterator[tuple[str, str]]:
        while line := reader.readline().decode().strip():
            name, _, value = line.partition(":")
            yield name.lower(), value.strip()

    def _do(self, line: socket.socket, does: Behaviour) -> None:
        head = "HTTP/1.1 {} X\r\nConnection: close\r\n{}\r\n"
        if does == HANG:
            self._closed.wait(60)
        elif does == DRIP:
            for byte in head.format(200, "Content-Length: 0\r\n").encode():
                line.sendall(bytes([byte]))
                if self._closed.wait(0.3):
                    return
        elif does == HUGE:
            line.sendall(head.format(200, f"Content-Length: {2**40}\r\n").encode())
        elif does == ENDLESS:
            line.sendall(head.format(200, "").encode())
            while not self._closed.is_set():
                line.sendall(b"x" * 65_536)
        elif does == GZIP:
            line.sendall(head.format(200, "Content-Encoding: gzip\r\nContent-Length: 9\r\n").encode() + b"x" * 9)
        elif does == RESET:
            return
        else:
            more = "Location: http://127.0.0.1:9/elsewhere\r\n" if int(does) in range(300, 400) else ""
            more += f"Retry-After: {self.retry_after}\r\n" if self.retry_after else ""
            line.sendall(head.format(does, f"{more}Content-Length: 0\r\n").encode())
