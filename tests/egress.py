"""A proxy on this machine, as companies have: the only way out. It tunnels (CONNECT), forwards, and can refuse in each way."""

import base64
import contextlib
import select
import socket
import ssl
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal, NamedTuple, Self

Fault = Literal["", "away", "password", "forbidden", "busy", "html", "html_200", "silent", "closes"]
_ANSWERS: Final[Mapping[str, bytes]] = {
    "password": b"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=x\r\n",
    "forbidden": b"HTTP/1.1 403 Forbidden\r\n",
    "busy": b"HTTP/1.1 503 Service Unavailable\r\n",
    "html": b"HTTP/1.1 502 Bad Gateway\r\nContent-Type: text/html\r\n",
    "html_200": b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n",
}
_PAGE: Final = b"<html><body>Our proxy</body></html>"


class Passed(NamedTuple):
    """A request that came to the proxy."""

    method: str
    target: str
    """As it stood in the request line: host and port of a tunnel, else a whole URL."""
    headers: dict[str, str]


class Egress:
    """The proxy, on a port of 127.0.0.1, from the beginning to the end of a ``with`` block.

    Args:
        hosts: Host -> the port of this machine that it leads to: nobody but the proxy knows these names.
        user: ``name:password``, without which it answers 407.
        certificate: Files of a certificate and its key, to be reached by TLS.
    """

    def __init__(
        self, hosts: Mapping[str, int], *, user: str = "", certificate: tuple[Path, Path] | None = None
    ) -> None:
        self._hosts, self._user = dict(hosts), user
        self._context: ssl.SSLContext | None = None
        if certificate:
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._context.load_cert_chain(*certificate)
        self.passed: list[Passed] = []
        self.fault: Fault = ""
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port: int = self._socket.getsockname()[1]
        self.url = f"http{'s' if certificate else ''}://127.0.0.1:{self.port}"
        self._ends = threading.Event()
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.set()
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        for thread in self._threads:
            thread.join(10)

    def targets(self) -> list[str]:
        """What was asked for, in the order in which it came."""
        return [passed.target for passed in self.passed]

    def _start(self, work: object, *args: object) -> None:
        thread = threading.Thread(target=work, args=args, daemon=True, name="egress")  # type: ignore[arg-type]  # ours
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._ends.is_set():
            try:
                line, _ = self._socket.accept()
            except OSError:
                return
            self._start(self._serve, line)

    def _serve(self, line: socket.socket) -> None:
        line.settimeout(30)
        with contextlib.suppress(OSError, ValueError, IndexError), contextlib.ExitStack() as stack:
            line = stack.enter_context(self._context.wrap_socket(line, server_side=True) if self._context else line)
            head, rest = _head(line)
            first, *lines = head.decode("latin-1").split("\r\n")
            method, target, _ = first.split(" ")
            headers = {name.lower(): value.strip() for name, _, value in (each.partition(":") for each in lines)}
            self.passed.append(Passed(method, target, headers))
            right = f"Basic {base64.b64encode(self._user.encode()).decode()}"
            fault = self.fault
            if self._user and headers.get("proxy-authorization") != right:
                fault = "password"
            if fault == "silent":
                self._ends.wait(30)
            elif fault in _ANSWERS:
                size = f"Content-Length: {len(_PAGE)}\r\nConnection: close\r\n\r\n".encode()
                line.sendall(_ANSWERS[fault] + size + _PAGE)
            elif fault != "closes":
                self._pass(line, method, target, head, rest)

    def _pass(self, line: socket.socket, method: str, target: str, head: bytes, rest: bytes) -> None:
        host = target.removeprefix("http://").partition("/")[0].rpartition(":")[0]
        port = self._hosts.get(host or target.removeprefix("http://").partition("/")[0])
        if port is None:
            line.sendall(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            return
        with socket.create_connection(("127.0.0.1", port), 10) as there:
            if method == "CONNECT":
                line.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            else:
                first, _, more = head.partition(b"\r\n")
                path = "/" + target.removeprefix("http://").partition("/")[2]
                asked = b" ".join([first.split(b" ")[0], path.encode(), b"HTTP/1.1"])
                kept = [each for each in more.split(b"\r\n") if not each.lower().startswith(b"proxy-")]
                there.sendall(b"\r\n".join([asked, *kept]) + b"\r\n\r\n" + rest)
            self._carry(line, there)

    def _carry(self, one: socket.socket, other: socket.socket) -> None:
        """Carry bytes both ways until one end closes."""
        while not self._ends.is_set():
            ready, _, _ = select.select([one, other], [], [], 0.1)
            if isinstance(one, ssl.SSLSocket) and one.pending():
                ready = [one]
            for end in ready:
                data = end.recv(65_536)
                if not data:
                    return
                (other if end is one else one).sendall(data)


def _head(line: socket.socket) -> tuple[bytes, bytes]:
    got = b""
    while b"\r\n\r\n" not in got:
        got += (part := line.recv(65_536))
        if not part:
            raise OSError("it closed")
    head, _, rest = got.partition(b"\r\n\r\n")
    return head, rest
