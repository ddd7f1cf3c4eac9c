"""The transport by itself: one deadline, a largest size, no detours. All it dials is this machine."""

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import AsyncIterator, Iterator
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import httpcore2
import httpx2
import pytest

from core.calling import addresses, dial
from core.calling.attempt import Attempt
from core.calling.dial import Unacceptable
from core.calling.proxies import Refused
from core.errors import BadConfig
from tests.conftest import run_async
from tests.processes import python
from tests.vendors import KEY, Status, Vendor, make_certificate

WAYS = ("sync", "async")
MARGIN = 2.0  # three times the second that is allowed
"""Seconds after its deadline by which a request has ended."""


@pytest.fixture
def vendor() -> Iterator[Vendor]:
    """A vendor that serves."""
    with Vendor() as vendor:
        yield vendor


def ask(way: str, url: str, *, timeout: float = 10, largest: int = dial.LARGEST, body: Any = None) -> httpx2.Response:
    """Send one request, read its answer whole, and check that the connection is not held afterwards."""
    asked: dict[str, Any] = {
        "url": f"{url}/v1/chat/completions",
        "json": body or {"model": "m1"},
        "headers": {"authorization": f"Bearer {KEY}"},
        "timeout": timeout,
    }

    async def ask_async() -> httpx2.Response:
        async with dial.async_client() as client:
            pool = client._transport._pool
            client._transport._largest = largest
            try:
                return await client.post(**asked)
            finally:
                assert [one for one in pool.connections if not one.is_idle()] == []

    if way == "async":
        return run_async(ask_async())
    with dial.client(largest=largest) as client:
        try:
            return client.post(**asked)
        finally:
            assert [one for one in client._transport._pool.connections if not one.is_idle()] == []


def took(way: str, url: str, timeout: float, **more: Any) -> float:
    """Send a request that runs into its timeout; return how long it took."""
    began = time.monotonic()
    with pytest.raises(httpx2.TimeoutException):
        ask(way, url, timeout=timeout, **more)
    return time.monotonic() - began


@contextlib.contextmanager
def peer(*, read: int) -> Iterator[str]:
    """Take one line, read *read* bytes ten times a second, and say nothing; yields its host and port."""
    done = threading.Event()

    def serve() -> None:
        with contextlib.suppress(OSError):
            line, _ = listener.accept()
            with line:
                while not done.wait(0.1):
                    if read:
                        line.recv(read)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        done.set()
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        thread.join(5)


@pytest.mark.parametrize("way", WAYS)
def test_serves(vendor: Vendor, way: str) -> None:
    """What all else is measured against: a good answer comes through, and no encoding was asked for."""
    assert ask(way, vendor.url).status_code == 200
    assert vendor.asked[0].headers["accept-encoding"] == "identity"


@pytest.mark.kill  # it waits for its deadline
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("fault", ["silent", "drip_head", "drip_body"])
def test_one_deadline_for_all_bytes(vendor: Vendor, fault: str, way: str) -> None:
    """Each byte comes soon after the one before; the whole answer is given a second all the same."""
    vendor.fail(fault)

    assert 0.9 <= took(way, vendor.url, 1) < 1 + MARGIN


@pytest.mark.kill  # it waits for its deadline
@pytest.mark.parametrize("way", WAYS)
def test_deadline_for_tls(way: str) -> None:
    """Nor may a handshake take longer."""
    with peer(read=4096) as where:
        assert 0.9 <= took(way, f"https://{where}", 1) < 1 + MARGIN


@pytest.mark.kill  # it waits for its deadline
@pytest.mark.parametrize("way", WAYS)
def test_deadline_for_what_is_sent(way: str) -> None:
    """A peer that takes a long request in bit by bit: each bit goes through, the whole does not in time."""
    with peer(read=200_000) as where:
        assert 0.9 <= took(way, f"http://{where}", 1, body={"model": "x" * 30_000_000}) < 1 + MARGIN


@pytest.mark.kill  # it waits for its deadline
def test_deadline_for_all_addresses() -> None:
    """Five addresses that do not answer have one deadline between them, not one each."""
    with socket.create_server(("0.0.0.0", 0), backlog=0) as full, contextlib.ExitStack() as held:
        port = full.getsockname()[1]
        for number in range(1, 6):
            for _ in range(4):  # they fill the queue: from then on nobody answers a SYN
                line = held.enter_context(socket.socket())
                line.settimeout(0)
                line.connect_ex((f"127.0.0.{number}", port))
        time.sleep(0.1)
        five = [f"127.0.0.{number}" for number in range(1, 6)]
        began = time.monotonic()
        with dial.client(pinned=lambda _: five) as client, pytest.raises(httpx2.TimeoutException):
            client.get(f"http://127.0.0.1:{port}/", timeout=1)
        assert time.monotonic() - began < 1 + MARGIN


@pytest.mark.kill  # it waits for its deadline
@pytest.mark.parametrize("way", WAYS)
def test_deadline_for_the_look_up(monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    """A name server that does not answer: the system would wait for longer."""
    real, released = socket.getaddrinfo, threading.Event()

    def slow(host: Any, *args: Any, **kwargs: Any) -> Any:
        if "slow" in str(host):
            released.wait(8)
            host = "127.0.0.1"
        return real(host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    if way == "sync":
        assert 0.9 <= took(way, "http://slow.test", 1) < 1 + MARGIN
    else:  # asyncio's thread for look-ups is waited for when its loop ends: only the request is measured
        run_async(_slow_look_up(released))
    released.set()


async def _slow_look_up(released: threading.Event) -> None:
    async with dial.async_client() as client:
        began = time.monotonic()
        with pytest.raises(httpx2.TimeoutException):
            await client.get("http://slow.test", timeout=1)
        released.set()
        assert 0.9 <= time.monotonic() - began < 1 + MARGIN


@pytest.mark.parametrize("way", WAYS)
def test_name_that_is_not_found(monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    """A wrong name is a failed connection, and no error of its own kind."""
    real = socket.getaddrinfo

    def unknown(host: Any, *args: Any, **kwargs: Any) -> Any:
        if "nonesuch" in str(host):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return real(host, *args, **kwargs)  # refuses so long a label without asking anybody

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    for name in ("nonesuch.invalid", "a" * 70 + ".invalid"):
        with pytest.raises((httpx2.ConnectError, httpx2.InvalidURL)):
            ask(way, f"http://{name}")


def test_the_next_address_is_tried(vendor: Vendor) -> None:
    """Of several addresses the first one that takes the line serves."""
    asked: list[str] = []

    def pinned(host: str) -> list[str]:
        asked.append(host)
        return ["127.0.0.2", "127.0.0.1"]  # on the first one nobody listens

    with dial.client(pinned=pinned) as client:
        answer = client.get(
            f"http://name.test:{vendor.port}/v1/models", headers={"authorization": f"Bearer {KEY}"}, timeout=5
        )

    assert (answer.status_code, asked, vendor.asked[0].headers["host"]) == (
        200,
        ["name.test"],
        f"name.test:{vendor.port}",
    )


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("fault", "words"), [("huge", "larger than 1 MiB"), ("huge_announced", "larger than 1 MiB"), ("gzip", "compressed")]
)
def test_unacceptable(vendor: Vendor, fault: str, words: str, way: str) -> None:
    """Too much, announced or not, and what is compressed: cut off, with the connection given up (see ask)."""
    vendor.fail(fault)

    with pytest.raises(Unacceptable, match=words):
        ask(way, vendor.url, largest=1024**2)


@pytest.mark.parametrize("way", WAYS)
def test_largest_is_still_taken(vendor: Vendor, way: str) -> None:
    """The limit is the last size that comes through."""
    for size, fits in ((1000, True), (1001, False)):
        vendor.fail(Status(200, {}, b"x" * size))
        with contextlib.nullcontext() if fits else pytest.raises(Unacceptable):
            assert len(ask(way, vendor.url, largest=1000).content) == 1000


@pytest.mark.parametrize("way", WAYS)
def test_redirect_is_not_followed(vendor: Vendor, way: str) -> None:
    """A key stays where it was sent to."""
    with Vendor() as other:
        for status in (301, 302, 303, 307, 308):
            vendor.fail(Status(status, {"location": f"{other.url}/v1/chat/completions"}, ""))
            assert ask(way, vendor.url).status_code == status
        assert (other.lines, other.asked) == (0, [])


@pytest.mark.parametrize("way", WAYS)
def test_proxies_are_not_used(vendor: Vendor, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    """Nor is it shown to a proxy of the environment."""
    with Vendor() as proxy:
        for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)

        assert ask(way, vendor.url).status_code == 200
        assert proxy.lines == 0
        with httpx2.Client() as ordinary:  # the proxy is one that would have been used
            ordinary.post(f"{vendor.url}/v1/chat/completions", json={"model": "m1"})
        assert proxy.lines == 1


@pytest.mark.parametrize("way", WAYS)
def test_never_a_metadata_address(vendor: Vendor, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    """Whatever a name leads to, such an address gets no request. For this test this machine has one."""
    here = (ip_network("127.0.0.0/8"), addresses.AddressVerdict("never", "the metadata service of a cloud"))
    monkeypatch.setattr(addresses, "_VERDICTS", (here, *addresses._VERDICTS))

    with pytest.raises(Unacceptable, match="leads to the metadata service"):
        ask(way, f"http://localhost:{vendor.port}")

    assert vendor.asked == []
    assert way == "async" or vendor.lines == 0


@pytest.mark.parametrize("way", WAYS)
def test_wrong_certificate(tmp_path: Path, way: str) -> None:
    """What is not signed by anybody gets no request."""
    with Vendor(certificate=make_certificate(tmp_path)) as secured:
        with pytest.raises(httpx2.ConnectError, match="certificate"):
            ask(way, secured.url)
        assert secured.asked == []


TRUSTING = """
import asyncio, sys
from tests.calling.test_dial import ask
print(*(ask(way, sys.argv[1]).status_code for way in ("sync", "async")))
"""


@pytest.mark.long
def test_certificate_of_ones_own(tmp_path: Path) -> None:
    """SSL_CERT_FILE names who is trusted; it is read once, hence the process."""
    certificate, key = make_certificate(tmp_path)
    with Vendor(certificate=(certificate, key)) as secured:
        done = python(TRUSTING, secured.url, SSL_CERT_FILE=str(certificate))

        assert (done.stdout, done.stderr) == ("200 200\n", "")
        assert len(secured.asked) == 2


@pytest.fixture
def anew() -> Iterator[None]:
    """Certificates are read by the test, and again by the next one."""
    dial.tls.cache_clear()
    yield
    dial.tls.cache_clear()


@pytest.mark.usefixtures("anew")
@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "SSL_CERT_DIR"])
@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (PermissionError(13, "Permission denied", "/etc/x.pem"), "Permission denied"),
        (OSError("an odd one"), "an odd one"),
    ],
)
def test_certificates_that_cannot_be_read(
    monkeypatch: pytest.MonkeyPatch, error: OSError, reason: str, variable: str
) -> None:
    """The variable that names them is named, with its value and the system's own reason; where none does, the package."""

    def refuse() -> None:
        raise error

    monkeypatch.setattr(httpx2, "create_ssl_context", refuse)
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(BadConfig) as caught:
        dial.tls()
    assert f"this machine's certificates cannot be read ({reason})." in str(caught.value)

    monkeypatch.setenv(variable, "/etc/x.pem")
    with pytest.raises(BadConfig) as caught:
        dial.tls()
    assert f"{variable} is '/etc/x.pem', of which no certificates can be read ({reason})." in str(caught.value)


UNVERIFIED = ssl.SSLCertVerificationError(1, "self-signed certificate")


@pytest.mark.parametrize("by", ["__cause__", "__context__"])
@pytest.mark.parametrize(
    ("said", "cause", "words"),
    [
        (("self-signed certificate",), UNVERIFIED, None),
        (("wrong version number",), ssl.SSLError(1, "x"), "passes no TLS on: wrong version number"),
        ((), ConnectionResetError(), "passes no TLS on: it hung up"),
        ((), None, "passes no TLS on: it hung up"),
    ],
    ids=["certificate", "no TLS", "reset", "nothing"],
)
def test_a_handshake_that_fails_behind_a_proxy(
    said: tuple[str, ...], cause: BaseException | None, words: str | None, by: str
) -> None:
    """A certificate is judged as anywhere; for all else the proxy has passed on something that is no TLS."""
    error = httpcore2.ConnectError(*said)
    setattr(error, by, cause)

    found = dial._of_tls(error)

    if words is None:
        assert (type(found), found.args) == (httpcore2.ConnectError, said)
    else:
        assert isinstance(found, Refused)
        assert str(found).endswith(words)


def until(attempt: Attempt) -> float:
    """A timeout as a request of *attempt* has it."""
    with attempt.in_force():
        request = httpx2.Request("GET", "http://h", extensions={"timeout": {"read": 1.0}})
        assert dial._bound(request) is attempt
    times = request.extensions["timeout"]
    assert {*times} == {"connect", "read", "write", "pool"}
    assert attempt.left_the_machine
    return min(times.values())


@pytest.mark.parametrize(
    ("left", "waits"),
    [(20.0, 20.0), (None, dial._LONG), (dial._LONG * 2, dial._LONG), (-1.0, 0.0), (0.0, 0.0)],
)
def test_each_wait_is_given_what_is_left_of_the_attempt(left: float | None, waits: float) -> None:
    """Whatever the SDK asks for; what the system cannot count is a day, and where nothing is left nothing is waited for."""
    timeout = until(Attempt(left))

    assert float(timeout) == pytest.approx(waits, abs=1.5)
    if waits:
        assert dial._left(timeout) == pytest.approx(waits, abs=1.5)
    else:
        with pytest.raises(httpcore2.ReadTimeout):
            dial._left(timeout)


class Still(Attempt):
    """An attempt whose clock stands still."""

    def left(self) -> float:
        """Always the same."""
        return 0.5


def test_the_last_moment_is_waited_for() -> None:
    """As long as anything is left, it is given to the wait, and no more."""
    timeout = until(Still(None))

    assert (float(timeout), dial._left(timeout)) == (0.5, 0.5)


class Parts(httpx2.SyncByteStream, httpx2.AsyncByteStream):
    """An answer in parts, which does not announce how long it is."""

    def __init__(self, *sizes: int) -> None:
        self.sizes = sizes

    def __iter__(self) -> Iterator[bytes]:
        yield from (b"x" * size for size in self.sizes)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for part in self:
            yield part


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("sizes", "fits"), [((1000,), True), ((999, 1), True), ((1001,), False), ((999, 2), False)])
def test_parts_are_counted_to_the_last_byte(sizes: tuple[int, ...], way: str, *, fits: bool) -> None:
    """What does not say how long it is may have as many bytes as any other answer; each is noted by its attempt."""
    attempt = Attempt(None)

    async def read() -> int:
        return sum([len(part) async for part in dial._AsyncCounted(Parts(*sizes), 1000, attempt)])

    with contextlib.nullcontext() if fits else pytest.raises(Unacceptable):
        if way == "sync":
            assert sum(map(len, dial._Counted(Parts(*sizes), 1000, attempt))) == 1000
        else:
            assert run_async(read()) == 1000
    assert len(attempt.head) == (1000 if fits else sum(sizes[:-1]))


@pytest.mark.parametrize(
    ("timeout", "left"), [({"read": 7.0, "connect": 1.0}, 7.0), ({}, dial._LONG), (None, dial._LONG)]
)
def test_a_request_of_no_call_has_the_time_of_one_read(timeout: dict[str, float] | None, left: float) -> None:
    """The connection test, and the list of models: their client's timeout is for the whole."""
    request = httpx2.Request("GET", "http://h", extensions={} if timeout is None else {"timeout": timeout})

    assert dial._bound(request).left() == (pytest.approx(left, abs=1.5) if timeout else float("inf"))
    assert [float(one) for one in request.extensions["timeout"].values()] == [pytest.approx(left, abs=1.5)] * 4


@pytest.mark.parametrize("timeout", [None, 0.0, 5.0])
def test_a_timeout_of_no_attempt_stays_as_it_is(timeout: float | None) -> None:
    """The pool has its own."""
    assert dial._left(timeout) == timeout


@pytest.mark.parametrize(
    ("timeout", "addresses", "shares"),
    [
        (20.0, 1, [20.0]),
        (20.0, 3, [dial.OF_SEVERAL, dial.OF_SEVERAL, 20.0]),
        (1.0, 3, [1.0, 1.0, 1.0]),
        (None, 2, [dial.OF_SEVERAL, None]),
    ],
)
def test_the_last_address_has_all_that_is_left(timeout: float | None, addresses: int, shares: list[float]) -> None:
    """One of several may not take the whole time, and never more than there is."""
    assert [dial._share(timeout, ["a"] * addresses, place) for place in range(addresses)] == shares


@pytest.mark.parametrize(
    ("headers", "words"),
    [
        ({}, None),
        ({"content-encoding": ""}, None),
        ({"content-encoding": " Identity "}, None),
        ({"content-encoding": "br"}, "compressed"),
        ({"content-encoding": "identity, gzip"}, "compressed"),
        ({"content-length": "2097152"}, None),
        ({"content-length": "2097153"}, "larger than 2 MiB"),
        ({"content-length": "9" * 5000}, "larger than 2 MiB"),
        ({"content-length": "0" * 5000}, None),
        ({"content-length": "-1"}, None),
        ({"content-length": "many"}, None),
        ({"content-length": "\u00b2"}, None),
    ],
    ids=str,
)
def test_what_an_answer_announces(headers: dict[str, str], words: str | None) -> None:
    """A size that is too large, and an encoding, end it before its first byte; what says nothing is read and counted."""
    answer = httpx2.Response(200, headers=[(k.encode(), v.encode("latin-1")) for k, v in headers.items()])

    with pytest.raises(Unacceptable, match=words) if words else contextlib.nullcontext():
        dial._look_at(answer, 2 * 1024**2)


@pytest.mark.parametrize("size", [0, 1, dial.AT_ONCE - 1, dial.AT_ONCE, dial.AT_ONCE + 1, 3 * dial.AT_ONCE + 7])
def test_a_long_request_goes_out_whole(vendor: Vendor, size: int) -> None:
    """In parts, between which the clock is looked at; none twice, none lost."""
    for way in WAYS:
        ask(way, vendor.url, body={"model": "m1", "x": "y" * size})
        assert len(vendor.asked[-1].body["x"]) == size
