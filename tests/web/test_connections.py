"""What a stranger's connection may take: heads, their time, and how many."""

import contextlib
import http.client
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.processes import App, running_app
from web import connections
from web.connections import Watch

pytestmark = pytest.mark.kill  # it waits for a time limit, and needs a process of its own


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """The app, whose database is away: what is tested comes before any request."""
    with running_app(tmp_path_factory.mktemp("app") / "log", DATABASE_URL="postgresql://x@127.0.0.1:1/x") as app:
        yield app


def dial(app: App, source: str = "127.0.0.1") -> socket.socket:
    """Connect from an address of this machine."""
    return socket.create_connection(("127.0.0.1", app.port), 40, (source, 0))


def ask(app: App, lines: bytes, source: str = "127.0.0.1") -> bytes:
    """Send a request with more lines in its head; return the first line of the answer, empty for none."""
    with dial(app, source) as line:
        with contextlib.suppress(OSError):
            line.sendall(b"GET /api/health/live HTTP/1.1\r\nHost: 127.0.0.1\r\n" + lines + b"\r\n")
        try:
            return line.recv(4096).partition(b"\r\n")[0]
        except OSError:
            return b""


UPGRADE = b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: aaaaaaaaaaaaaaaaaaaaaa==\r\n"


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        (b"", b"200"),
        (b"".join(b"X-%d: y\r\n" % n for n in range(connections.HEADERS - 2)), b"200"),
        (b"Cookie: " + b"a" * 7_900 + b"\r\n", b"200"),
        (b"".join(b"X-%d: y\r\n" % n for n in range(connections.HEADERS + 1)), b"431"),
        (b"".join(b"X-%d: y\r\n" % n for n in range(300_000)), b"431"),
        (b"Cookie: " + b"a" * 8_100 + b"\r\n", b"431"),
        (b"Cookie: " + b"a" * 20_000_000 + b"\r\n", b"431"),
        (b"".join(b"X-%d: %s\r\n" % (n, b"y" * 7_000) for n in range(20)), b"431"),
        (UPGRADE + b"X: " + b"a" * 9_000 + b"\r\n", b"431"),
    ],
    ids=["plain", "most", "long", "many", "very many", "too long", "huge", "large in all", "handshake"],
)
def test_heads_are_bounded(app: App, lines: bytes, status: bytes) -> None:
    """A head that is too large is answered with 431, at once; one that is not is served."""
    begun = time.monotonic()
    answer = ask(app, lines)
    assert time.monotonic() - begun < 10
    # a reset overtakes the answer where megabytes were still on their way
    assert status in answer or (len(lines) > 1_000_000 and answer == b"")


def test_bodies_are_no_heads(app: App) -> None:
    """A body counts for no head, nor do the requests before it on the same line."""
    line = http.client.HTTPConnection("127.0.0.1", app.port, timeout=20)
    with contextlib.closing(line):
        for _ in range(3):
            line.request("POST", "/api/llm/providers", body=b"x" * 60_000)
            answer = line.getresponse()
            answer.read()
            assert answer.status == 503, "the database of this app is away"


@pytest.mark.parametrize(
    "path",
    [
        *(
            "/api/llm/settings%0a",
            "/api/health/live%00",
            "/api//health/live",
            "//api/health/live",
            "/api/./health/live",
        ),
        *("/API/health/live", "/api/health/live/", "/api/health/%6cive", "/%61pi/health/live", "/api%2fhealth/live"),
        *("/sign-in.js%0a", "/%73ign-in.js", "/SIGN-IN.js", "//sign-in.js", "/sign-in.js/"),
    ],
)
def test_spellings_by_the_real_server(app: App, path: str) -> None:
    """A second spelling is 404 by the server that is used, too, and leaves nothing in the log."""
    before = len(app.output())
    with dial(app) as line:
        line.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode())
        answer = line.recv(65_536)
    assert answer.startswith(b"HTTP/1.1 404"), answer[:200]
    assert app.output()[before:] == ""


def test_half_sent_heads(app: App) -> None:
    """Half-sent requests and silent lines are closed in time, and do not keep others of another network out meanwhile."""
    lines = [dial(app) for _ in range(connections.MOST)]
    for line in lines[::2]:
        line.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: ")
    assert b"200" not in ask(app, b""), "one network has a bound"
    assert b"200" in ask(app, b"", "127.0.0.2")
    begun = time.monotonic()
    with ThreadPoolExecutor(8) as crew:
        ends = list(crew.map(lambda line: line.recv(1), lines))
    assert set(ends) == {b""}
    assert time.monotonic() - begun < 3 * connections.HEAD_SECONDS
    for line in lines:
        line.close()
    assert b"200" in ask(app, b"")
    text = app.output()
    assert "too many are open" in text
    assert "no request within 20 seconds" in text
    assert text.count("Closed a connection from 127.0.0.1: no request within") <= 2, "a line a minute"


def test_trusted_proxies_have_no_bound() -> None:
    """Everybody's connections come from the proxy: it alone may have any number."""

    class Transport:
        closing = False

        def is_closing(self) -> bool:
            return self.closing

    watch = Watch(lambda address: address == "10.0.0.1")
    made = [Transport() for _ in range(connections.MOST)]
    assert all(watch.admits("10.0.0.1", each) for each in made * 2)  # type: ignore[arg-type]  # what is asked of one
    assert all(watch.admits("192.0.2.1", each) for each in made)  # type: ignore[arg-type]  # as above
    assert not watch.admits("192.0.2.1", Transport())  # type: ignore[arg-type]  # as above
    assert watch.admits("2001:db8::1", Transport())  # type: ignore[arg-type]  # as above
    made[0].closing = True
    assert watch.admits("192.0.2.1", Transport())  # type: ignore[arg-type]  # as above
