"""The way out through a proxy: which hosts are asked for there, and what its answers mean.

A proxy looks names up by itself, so the rules for addresses hold for the name that is asked for:
docs/decisions/way-out-through-a-proxy.md. Proxies of the environment (``HTTPS_PROXY`` …) are not used.
"""

from ipaddress import ip_address, ip_network
from typing import Any, Final, NamedTuple, Self

from ..config import get_config
from ..environment import ProxyAddress, proxy_address
from ..extras import from_extra
from . import addresses

with from_extra():
    import httpcore2

NAME: Final = "the proxy of LLM_HTTP_PROXY"
_WANTS_PASSWORD: Final = 407


class Way(NamedTuple):
    """The proxy, and who is reached without it."""

    address: ProxyAddress
    directly: tuple[str, ...]

    def leads_to(self, host: str, port: int) -> bool:
        """Return whether *host* is asked for at the proxy; one's own machine never is: the proxy would ask itself."""
        try:
            read = addresses.read_host(host)
        except ValueError:
            return True
        name = str(read)
        is_here = name == "localhost" or name.endswith(".localhost") or (not isinstance(read, str) and read.is_loopback)
        return not is_here and not any(_fits(entry, str(read), port) for entry in self.directly)

    def refusal(self, host: str) -> str:
        """Return why *host* is never asked for, by its name alone; empty if it may be."""
        verdict = addresses.by_name(host)
        return verdict.reason if verdict.reach == "never" else ""


def way_out() -> Way | None:
    """Return the way of this process; None: everything is dialled directly.

    Raises:
        BadConfig: If ``LLM_HTTP_PROXY`` cannot be read.
    """
    config = get_config()
    if config.http_proxy is None:
        return None
    return Way(proxy_address(config.http_proxy), config.no_proxy)


def _fits(entry: str, host: str, port: int) -> bool:
    """Return whether an entry of ``LLM_NO_PROXY`` is for *host*: a name and all below it, an address, a network, or ``*``."""
    if entry == "*":
        return True
    name, colon, number = entry.rpartition(":")
    if colon and number.isdigit() and (":" not in name or name.endswith("]")):
        if int(number) != port:
            return False
        entry = name
    entry = entry.removeprefix("[").removesuffix("]")
    try:
        network = ip_network(entry, strict=False)
    except ValueError:
        name = entry.removeprefix("*").removeprefix(".")
        return host == name or host.endswith(f".{name}")
    try:
        return ip_address(host) in network
    except ValueError:
        return False  # a name is not looked up


class Refused(httpcore2.ProxyError):
    """What a proxy did in place of passing a request on."""


def _in_words(error: Exception) -> Refused:
    return error if isinstance(error, Refused) else Refused(words_of(str(error)))


def words_of(answer: str) -> str:
    """Return what the proxy's answer to a request means, as ``407 Proxy Authentication Required``."""
    status, _, phrase = answer.partition(" ")
    shown = f"{status} {phrase[:80]}".strip()
    if status == str(_WANTS_PASSWORD):
        return f"{NAME} wants a user name and a password, or others than its URL has ({shown})"
    if status.startswith("4"):
        return f"{NAME} does not let this host be reached ({shown})"
    return f"{NAME} answers {shown}"


def passes(error: Exception) -> bool:
    """Return whether another try may help: the proxy is away or busy, and has not said no."""
    return "(4" not in str(error)


class Routes:
    """A pool of connections for what is dialled directly, and one for what the proxy is asked for."""

    def __init__(self, way: Way, direct: Any, proxied: Any) -> None:
        self._way, self._direct, self._proxied = way, direct, proxied

    def _is_proxied(self, request: Any) -> bool:
        host, port = request.url.host.decode("ascii"), request.url.origin.port
        return self._way.leads_to(host, port)

    def handle_request(self, request: Any) -> Any:
        """Send one request."""
        if not self._is_proxied(request):
            return self._direct.handle_request(request)
        try:
            response = self._proxied.handle_request(request)
        except httpcore2.ProxyError as error:
            raise _in_words(error) from None
        if response.status == _WANTS_PASSWORD:
            response.close()
            raise Refused(words_of(f"{_WANTS_PASSWORD} Proxy Authentication Required"))
        return response

    def close(self) -> None:
        """Close the connections."""
        self._direct.close()
        self._proxied.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class AsyncRoutes(Routes):
    """The same for asyncio."""

    async def handle_async_request(self, request: Any) -> Any:
        """Send one request."""
        if not self._is_proxied(request):
            return await self._direct.handle_async_request(request)
        try:
            response = await self._proxied.handle_async_request(request)
        except httpcore2.ProxyError as error:
            raise _in_words(error) from None
        if response.status == _WANTS_PASSWORD:
            await response.aclose()
            raise Refused(words_of(f"{_WANTS_PASSWORD} Proxy Authentication Required"))
        return response

    async def aclose(self) -> None:
        """Close the connections."""
        await self._direct.aclose()
        await self._proxied.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()
