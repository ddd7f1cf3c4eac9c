"""How a vendor is dialled: once, directly, within one deadline, and up to a size. Transports for the vendors' SDKs.

- The time that a request is given is for all of it: connecting, TLS, each byte of the answer. The SDKs' own clients start
  their clock anew with each read, so that an answer of a byte a second never ends. A stream's is for each of its parts
  (:class:`core.calling.attempt.Attempt`).
- Redirects are not followed and proxies of the environment are not used: either would carry a key elsewhere. (httpx drops
  ``Authorization`` on the way to another host, ``x-api-key`` and ``x-goog-api-key`` it does not.) A proxy is used where
  ``LLM_HTTP_PROXY`` names one (:mod:`core.calling.proxies`).
- An answer has a largest size, and no encoding: none was asked for, and 10 MB of gzip may be 10 GB of text.
- An address that is never allowed (a cloud's metadata service) gets no request.
"""

import asyncio
import os
import ssl
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from functools import cache
from typing import Any, Final

from ..errors import BadConfig
from ..extras import from_extra
from . import addresses
from .attempt import Attempt, current
from .lookup import addresses_of
from .proxies import NAME, AsyncRoutes, Refused, Routes, Way, way_out

with from_extra():
    import httpcore2
    import httpx2

LARGEST: Final = 32 * 1024 * 1024
"""Bytes of an answer; the longest that a model can write, of 1,000,000 tokens, has about 10 MiB."""
LIMITS: Final = httpx2.Limits(max_connections=1000, max_keepalive_connections=100, keepalive_expiry=30)

AT_ONCE: Final = 65_536
"""Bytes of a request that are handed over between two looks at the clock."""
OF_SEVERAL: Final = 3.0
"""Seconds at most for an address of a host that has more: one that nobody answers at must not take the whole time."""

Pinned = Callable[[str], Iterable[str]]
"""Host -> the addresses to dial in its place."""


class Unacceptable(httpx2.TransportError):
    """An answer that was cut off: too large, or encoded; or an address that is never dialled. Not worth another try."""

    status: int | None = None
    """HTTP's, of an answer that was refused by its head."""


class _Until(float):
    """A timeout that knows its attempt: httpcore hands it, as it is, to each wait of the request."""

    __slots__ = ("attempt",)
    attempt: Attempt


def client(*, pinned: Pinned | None = None, largest: int = LARGEST) -> httpx2.Client:
    """Return an HTTP client for an SDK; *pinned* says which addresses a host has, instead of DNS."""
    return httpx2.Client(transport=Transport(pinned, largest), **_HOW)


def async_client() -> httpx2.AsyncClient:
    """Return the same for the event loop that uses it first, and for no other."""
    return httpx2.AsyncClient(transport=AsyncTransport(LARGEST), **_HOW)


_HOW: Final[Any] = {"follow_redirects": False, "trust_env": False, "headers": {"Accept-Encoding": "identity"}}


class Transport(httpx2.HTTPTransport):
    """httpx's transport, over connections that keep to the rules above."""

    _way: Way | None = None

    def __init__(self, pinned: Pinned | None, largest: int) -> None:
        self._largest = largest
        self._pool: Any = httpcore2.ConnectionPool(network_backend=_Backend(pinned), **_pool_options())
        if (way := way_out()) is not None:
            proxied = httpcore2.HTTPProxy(network_backend=_ProxyBackend(None), **_pool_options(), **_proxy_options(way))
            self._way, self._pool = way, Routes(way, self._pool, proxied)

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send one request."""
        attempt = _bound(request)
        _refuse_by_name(self._way, request)
        response = super().handle_request(request)
        if attempt.gate is not None:
            attempt.gate.heard(response.status_code, response.headers)
        inner: Any = response.stream
        response.stream = _Counted(inner, self._largest, attempt)
        try:
            _look_at(response, self._largest)
        except Unacceptable as error:
            response.close()  # else the pool holds its connection for ever
            error.status = response.status_code
            raise
        return response


class AsyncTransport(httpx2.AsyncHTTPTransport):
    """The same for asyncio."""

    _way: Way | None = None

    def __init__(self, largest: int) -> None:
        self._largest = largest
        self._pool: Any = httpcore2.AsyncConnectionPool(network_backend=_AsyncBackend(), **_pool_options())
        if (way := way_out()) is not None:
            proxied = httpcore2.AsyncHTTPProxy(
                network_backend=_AsyncProxyBackend(), **_pool_options(), **_proxy_options(way)
            )
            self._way, self._pool = way, AsyncRoutes(way, self._pool, proxied)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send one request."""
        attempt = _bound(request)
        _refuse_by_name(self._way, request)
        response = await super().handle_async_request(request)
        if attempt.gate is not None:
            attempt.gate.heard(response.status_code, response.headers)
        inner: Any = response.stream
        response.stream = _AsyncCounted(inner, self._largest, attempt)
        try:
            _look_at(response, self._largest)
        except Unacceptable:
            await response.aclose()
            raise
        return response


def _pool_options() -> dict[str, Any]:
    return {
        "ssl_context": tls(),
        "max_connections": LIMITS.max_connections,
        "max_keepalive_connections": LIMITS.max_keepalive_connections,
        "keepalive_expiry": LIMITS.keepalive_expiry,
    }


def _proxy_options(way: Way) -> dict[str, Any]:
    address = way.address
    url = httpcore2.URL(scheme=address.scheme, host=address.host, port=address.port, target="/")
    user = address.user.reveal().partition(":")[::2] if address.user else None
    return {
        "proxy_url": url,
        "proxy_auth": user,
        "proxy_ssl_context": tls() if address.scheme == "https" else None,
    }


def _refuse_by_name(way: Way | None, request: httpx2.Request) -> None:
    """Refuse a host that is never dialled before a proxy is asked for it: it would look the name up and dial by itself."""
    if way is not None and (reason := way.refusal(request.url.host)):
        raise Unacceptable(f"the host leads to {reason}")


@cache
def tls() -> ssl.SSLContext:
    """Return what certificates are checked against: the machine's, or those of SSL_CERT_FILE and SSL_CERT_DIR.

    Raises:
        BadConfig: If they cannot be read; nothing was sent then.
    """
    try:
        return httpx2.create_ssl_context()  # reads hundreds of certificates
    except OSError as error:  # ssl.SSLError is one
        reason = error.strerror or str(error)
        for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
            if path := os.environ.get(name):
                raise BadConfig(
                    f"No call can be made: {name} is {path!r}, of which no certificates can be read ({reason}). "
                    "Name a readable file in PEM, or unset it."
                ) from None
        raise BadConfig(
            f"No call can be made: this machine's certificates cannot be read ({reason}). "
            "Install ca-certificates, or name a file of them in SSL_CERT_FILE."
        ) from None


def _bound(request: httpx2.Request) -> Attempt:
    """Return the attempt that *request* is of; from now on it is what ends each wait."""
    attempt = current()
    if attempt is None:  # no call: the connection test, the list of models
        attempt = Attempt((request.extensions.get("timeout") or {}).get("read"))
    attempt.left_the_machine = True
    until = _Until(min(max(attempt.left(), 0.0), _LONG))
    until.attempt = attempt
    request.extensions["timeout"] = dict.fromkeys(("connect", "read", "write", "pool"), until)
    return attempt


_LONG: Final = 86_400.0
"""Seconds: what a system's call takes for a timeout where there is none."""


def _left(timeout: float | None) -> float | None:
    if not isinstance(timeout, _Until):
        return timeout
    left = timeout.attempt.left()
    if left <= 0:
        raise httpcore2.ReadTimeout("the time for the answer is over")
    return min(left, _LONG)


def _goes_out(buffer: bytes, timeout: float | None) -> None:
    """Note that the request itself goes out: what asks a proxy for a way is nothing that a vendor sees."""
    if isinstance(timeout, _Until) and not bytes(buffer[:8]).startswith(b"CONNECT "):
        timeout.attempt.was_sent = True


def _look_at(response: httpx2.Response, largest: int) -> None:
    encoding = response.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in {"identity", ""}:
        raise Unacceptable("the answer is compressed, which was not asked for")
    announced = response.headers.get("content-length", "")
    if announced.isascii() and announced.isdigit() and int(announced[:20]) > largest:
        raise _too_large(largest)


def _too_large(largest: int) -> Unacceptable:
    return Unacceptable(f"the answer is larger than {largest // 1024**2} MiB, and was cut off")


class _Counted(httpx2.SyncByteStream):
    def __init__(self, inner: httpx2.SyncByteStream, largest: int, attempt: Attempt) -> None:
        self._inner, self._largest, self._attempt = inner, largest, attempt

    def __iter__(self) -> Iterator[bytes]:
        seen = 0
        for part in self._inner:
            seen += len(part)
            if seen > self._largest:
                raise _too_large(self._largest)
            self._attempt.saw(part)
            yield part

    def close(self) -> None:
        self._inner.close()


class _AsyncCounted(httpx2.AsyncByteStream):
    def __init__(self, inner: httpx2.AsyncByteStream, largest: int, attempt: Attempt) -> None:
        self._inner, self._largest, self._attempt = inner, largest, attempt

    async def __aiter__(self) -> AsyncIterator[bytes]:
        seen = 0
        async for part in self._inner:
            seen += len(part)
            if seen > self._largest:
                raise _too_large(self._largest)
            self._attempt.saw(part)
            yield part

    async def aclose(self) -> None:
        await self._inner.aclose()


def _refuse_never(address: str) -> None:
    verdict = addresses.classify(address)
    if verdict.reach == "never":
        raise Unacceptable(f"the host leads to {verdict.reason}")


def _found(answer: list[str] | Exception) -> list[str]:
    """Return the addresses, in this library's words where there are none."""
    if isinstance(answer, TimeoutError):
        raise httpcore2.ConnectTimeout("the look-up of the host took too long")
    if isinstance(answer, OSError | UnicodeError):
        raise httpcore2.ConnectError(f"the host is not found: {answer}")
    if isinstance(answer, Exception):
        raise answer
    for address in answer:
        _refuse_never(address)
    return answer


def _share(timeout: float | None, addresses: Sequence[str], place: int) -> float | None:
    """Return how long the address at *place* may take to answer."""
    left = _left(timeout)
    last = place == len(addresses) - 1
    return left if last else min(OF_SEVERAL, left if left is not None else OF_SEVERAL)


class _Backend(httpcore2.SyncBackend):
    def __init__(self, pinned: Pinned | None) -> None:
        self._pinned = pinned

    def connect_tcp(
        self, host: str, port: int, timeout: float | None = None, *args: Any, **kwargs: Any
    ) -> httpcore2.NetworkStream:
        tried: Exception = httpcore2.ConnectError("the host has no address")
        found = _found(list(self._pinned(host)) if self._pinned else self._look_up(host, port, timeout))
        for place, address in enumerate(found):
            try:
                return _Stream(super().connect_tcp(address, port, _share(timeout, found, place), *args, **kwargs))
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                tried = error
        raise tried

    def _look_up(self, host: str, port: int, timeout: float | None) -> list[str] | Exception:
        try:
            return addresses_of(host, port).result(_left(timeout))
        except (OSError, UnicodeError) as error:
            return error


class _Stream(httpcore2.NetworkStream):
    def __init__(self, inner: httpcore2.NetworkStream) -> None:
        self._inner = inner

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._inner.read(max_bytes, _left(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        _goes_out(buffer, timeout)
        whole = memoryview(buffer)
        for start in range(0, len(whole), AT_ONCE):  # the stream's own timeout is for each bit that goes through
            self._inner.write(bytes(whole[start : start + AT_ONCE]), _left(timeout))

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self, ssl_context: Any, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.NetworkStream:
        return _Stream(self._inner.start_tls(ssl_context, server_hostname, _left(timeout)))

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


class _ProxyBackend(_Backend):
    """Of connections to the proxy: a failure of it is told as the proxy's."""

    def connect_tcp(self, *args: Any, **kwargs: Any) -> httpcore2.NetworkStream:
        try:
            return _ProxyStream(super().connect_tcp(*args, **kwargs))
        except httpcore2.ConnectError as error:
            raise Refused(f"{NAME} cannot be reached: {error}") from None


class _ProxyStream(_Stream):
    def start_tls(self, *args: Any, **kwargs: Any) -> httpcore2.NetworkStream:
        try:
            return _ProxyStream(super().start_tls(*args, **kwargs))
        except httpcore2.ConnectError as error:
            raise _of_tls(error) from error


def _of_tls(error: httpcore2.ConnectError) -> Exception:
    """Return what a handshake means that failed behind a proxy: a certificate is judged as anywhere."""
    cause = error.__cause__ or error.__context__
    if isinstance(cause, ssl.SSLCertVerificationError):
        return httpcore2.ConnectError(*error.args)
    return Refused(f"{NAME} passes no TLS on: {str(error) or 'it hung up'}")


class _AsyncBackend(httpcore2.AnyIOBackend):
    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's interface
        *args: Any,
        **kwargs: Any,
    ) -> httpcore2.AsyncNetworkStream:
        tried: Exception = httpcore2.ConnectError("the host has no address")
        found = _found(await self._look_up(host, port, timeout))
        for place, address in enumerate(found):
            try:
                stream = await super().connect_tcp(address, port, _share(timeout, found, place), *args, **kwargs)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                tried = error
            else:
                return _AsyncStream(stream)
        raise tried

    async def _look_up(self, host: str, port: int, timeout: float | None) -> list[str] | Exception:  # noqa: ASYNC109
        """Look up in a thread of ours: a hung one would take one of the loop's, which the host's program needs."""
        answer = asyncio.wrap_future(addresses_of(host, port))
        try:
            return await asyncio.wait_for(answer, _left(timeout))
        except (OSError, UnicodeError) as error:
            return error


class _AsyncProxyBackend(_AsyncBackend):
    async def connect_tcp(self, *args: Any, **kwargs: Any) -> httpcore2.AsyncNetworkStream:
        try:
            return _AsyncProxyStream(await super().connect_tcp(*args, **kwargs))
        except httpcore2.ConnectError as error:
            raise Refused(f"{NAME} cannot be reached: {error}") from None


class _AsyncStream(httpcore2.AsyncNetworkStream):
    def __init__(self, inner: httpcore2.AsyncNetworkStream) -> None:
        self._inner = inner

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109 - httpcore's interface
        return await self._inner.read(max_bytes, _left(timeout))

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109 - as above
        _goes_out(buffer, timeout)
        await self._inner.write(buffer, _left(timeout))

    async def aclose(self) -> None:
        await self._inner.aclose()

    async def start_tls(
        self,
        ssl_context: Any,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - as above
    ) -> httpcore2.AsyncNetworkStream:
        return _AsyncStream(await self._inner.start_tls(ssl_context, server_hostname, _left(timeout)))

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


class _AsyncProxyStream(_AsyncStream):
    async def start_tls(self, *args: Any, **kwargs: Any) -> httpcore2.AsyncNetworkStream:
        try:
            return _AsyncProxyStream(await super().start_tls(*args, **kwargs))
        except httpcore2.ConnectError as error:
            raise _of_tls(error) from error
