"""Receivers on this machine, which can fail: a real HTTP server, and one that takes e-mail; and a check of signatures by the specification alone."""

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
        self.says = ""
        """The body of its next answers."""
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
            line.sendall((head.format(does, f"{more}Content-Length: {len(self.says)}\r\n") + self.says).encode())


class Letter(NamedTuple):
    """An e-mail that came."""

    sender: str
    to: list[str]
    raw: bytes
    signed_in: str
    """User and password, with a NUL between; empty: nobody did."""
    encrypted: bool
    name: str
    """What the client calls itself."""


class MailServer:
    """Takes e-mail on this machine as RFC 5321 has it.

    Args:
        does: Step (``greet``, ``EHLO``, ``MAIL`` …, ``.`` behind the message) -> its answer, :data:`HANG`, :data:`DRIP` or :data:`RESET`; of
            ``RCPT`` also a function of the address.
        certificate: For TLS.
        first: Whether TLS comes from the first byte; else STARTTLS is offered where there is a certificate.
        offers: Further lines of the answer to EHLO.
    """

    def __init__(
        self,
        does: Mapping[str, str | Callable[[str], str]] | None = None,
        certificate: tuple[Path, Path] | None = None,
        *,
        first: bool = False,
        offers: tuple[str, ...] = (),
    ) -> None:
        self.does = dict(does or {})
        self.got: list[Letter] = []
        self.heard: list[str] = []
        self._first, self._offers = first, offers
        self._closed = threading.Event()
        self._context: ssl.SSLContext | None = None
        if certificate is not None:
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._context.load_cert_chain(*certificate)
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while not self._closed.is_set():
                line, _ = self._listener.accept()
                threading.Thread(target=self._talk, args=(line,), daemon=True).start()

    def _talk(self, line: socket.socket) -> None:
        with contextlib.suppress(OSError, ConnectionError):
            if self._first and self._context:
                line = self._context.wrap_socket(line, server_side=True)
            with contextlib.closing(line):
                _Talk(self, line, encrypted=self._first).go()


class _Talk:
    """One connection."""

    def __init__(self, server: MailServer, line: socket.socket, *, encrypted: bool) -> None:
        self._server, self._line, self._encrypted = server, line, encrypted
        self._reader: Any = line.makefile("rb")
        self._sender, self._to, self._user, self._name = "", list[str](), "", ""

    def go(self) -> None:
        self._say("greet", "220 mail.example ESMTP")
        while raw := self._reader.readline():
            text = raw.decode(errors="replace").rstrip("\r\n")
            self._server.heard.append(text)
            word = text.split(" ")[0].upper()
            getattr(self, f"_{word.lower()}", lambda _: self._say("?", "502 5.5.2 what?"))(text)
            if word == "QUIT":
                return

    def _say(self, step: str, usual: str, about: str = "") -> str:
        says = self._server.does.get(step, usual)
        says = says(about) if callable(says) else says
        if says == HANG:
            self._server._closed.wait(60)
            raise ConnectionError
        if says == RESET:
            raise ConnectionError
        if says == DRIP:
            for byte in b"220-" + b"x" * 500:
                self._line.sendall(bytes([byte]))
                if self._server._closed.wait(0.3):
                    raise ConnectionError
        self._line.sendall(f"{says}\r\n".encode())
        return says

    def _ehlo(self, text: str) -> None:
        self._name = text.split(" ")[1]
        offers = [*self._server._offers]
        if self._server._context and not self._encrypted:
            offers.append("STARTTLS")
        lines = ["mail.example", *offers, "SIZE 1000000"]
        usual = "\r\n".join([*(f"250-{each}" for each in lines[:-1]), f"250 {lines[-1]}"])
        self._say("EHLO", usual)

    def _helo(self, text: str) -> None:
        self._name = text.split(" ")[1]
        self._say("HELO", "250 mail.example")

    def _starttls(self, _: str) -> None:
        if self._say("STARTTLS", "220 go on").startswith("220") and self._server._context:
            self._line = self._server._context.wrap_socket(self._line, server_side=True)
            self._reader, self._encrypted = self._line.makefile("rb"), True

    def _auth(self, text: str) -> None:
        _, way, *given = text.split(" ")
        if way == "PLAIN":
            self._user = base64.b64decode(given[0]).decode()[1:]
        else:
            said = []
            for question in (b"334 VXNlcm5hbWU6\r\n", b"334 UGFzc3dvcmQ6\r\n"):
                self._line.sendall(question)
                said.append(base64.b64decode(self._reader.readline()).decode())
            self._user = "\0".join(said)
        self._say("AUTH", "235 2.7.0 welcome")

    def _mail(self, text: str) -> None:
        self._sender = text.partition("<")[2].partition(">")[0]
        self._say("MAIL", "250 2.1.0 ok")

    def _rcpt(self, text: str) -> None:
        address = text.partition("<")[2].partition(">")[0]
        if self._say("RCPT", "250 2.1.5 ok", address).startswith("2"):
            self._to.append(address)

    def _data(self, _: str) -> None:
        if not self._say("DATA", "354 go ahead").startswith("354"):
            return
        lines = []
        while (line := self._reader.readline()) not in {b".\r\n", b""}:
            lines.append(line.removeprefix(b"."))
        if self._say(".", "250 2.0.0 queued").startswith("2"):
            letter = Letter(self._sender, list(self._to), b"".join(lines), self._user, self._encrypted, self._name)
            self._server.got.append(letter)

    def _rset(self, _: str) -> None:
        self._say("RSET", "250 ok")

    def _quit(self, _: str) -> None:
        self._say("QUIT", "221 bye")
