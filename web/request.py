"""What a request says of itself, and how much of it is believed: names, origins, addresses, the cookie."""

import ipaddress
import re
from collections.abc import Iterable, Iterator, Mapping, MutableMapping, Sequence
from typing import Any, Final, NamedTuple

Scope = MutableMapping[str, Any]
"""An ASGI connection scope."""

SECRET_HEADER: Final = "x-llm-settings-session"  # noqa: S105 - a header's name
"""Set for the pages and the REST API from the browser's cookie; what a client sends under this name is dropped. Streamlit ties its own
session to it (`server.trustedUserHeaders` in .streamlit/config.toml), so that a session's id alone takes over nothing."""
ADDRESS_HEADER: Final = "x-llm-settings-address"
"""Set for the pages and the REST API: the client's address, as far as trusted proxies vouch for it."""
COOKIE: Final = "llm_settings_session"

_HOST = re.compile(r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")
_SECRET = re.compile(r"[A-Za-z0-9_-]{43}")


class RequestHeaders(Mapping[str, str]):
    """Request headers by lower-case name; of a repeated one all values, with commas between.

    Args:
        raw: The headers of an ASGI scope.
    """

    def __init__(self, raw: Iterable[tuple[bytes, bytes]]) -> None:
        self._all: dict[str, list[str]] = {}
        for name, value in raw:
            self._all.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1"))

    def __getitem__(self, name: str) -> str:
        return ", ".join(self._all[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._all)

    def __len__(self) -> int:
        return len(self._all)

    def cookie(self, name: str) -> str | None:
        """Return a cookie that has the form of our secret; None else, and when it was sent twice."""
        pairs = [pair.strip().partition("=") for line in self._all.get("cookie", ()) for pair in line.split(";")]
        values = [value for key, _, value in pairs if key == name]
        return values[0] if len(values) == 1 and _SECRET.fullmatch(values[0]) else None


class Request(NamedTuple):
    """One request or websocket, as the middleware sees it."""

    headers: RequestHeaders
    address: str
    """The client's, as far as trusted proxies vouch for it."""
    https: bool
    """Whether the browser speaks https, to us or to a trusted proxy."""

    @property
    def secret(self) -> str | None:
        """The sign-in's secret from the cookie; its form is right, whether it holds was not asked."""
        return self.headers.cookie(cookie_name(https=self.https))

    def without_cookie(self) -> "Request":
        """Return the same request of nobody who is signed in."""
        return self._replace(
            headers=RequestHeaders(
                (n.encode("latin-1"), v.encode("latin-1")) for n, v in self.headers.items() if n != "cookie"
            )
        )


class Proxies:
    """The proxies whose word on a client counts: LLM_TRUSTED_PROXIES.

    Args:
        networks: Addresses or networks, as the configuration has them.
    """

    def __init__(self, networks: Sequence[str]) -> None:
        self._networks = tuple(ipaddress.ip_network(text, strict=False) for text in networks)

    def read(self, scope: Scope) -> Request:
        """Return the request that a scope stands for."""
        headers = RequestHeaders(scope["headers"])
        return Request(headers, self._address(scope, headers), self._https(scope, headers))

    def _address(self, scope: Scope, headers: RequestHeaders) -> str:
        """Return the client's address: the neighbour's, or what a trusted proxy says of it."""
        address = _neighbour(scope)
        forwarded = [part.strip() for part in headers.get("x-forwarded-for", "").split(",") if part.strip()]
        for part in reversed(forwarded):
            if not self.trusts(address) or not _is_address(_without_port(part)):
                break  # what stands further left is hearsay
            address = _without_port(part)
        return address

    def _https(self, scope: Scope, headers: RequestHeaders) -> bool:
        if scope["scheme"] in {"https", "wss"}:
            return True
        return self.trusts(_neighbour(scope)) and headers.get("x-forwarded-proto", "").strip().lower() == "https"

    def trusts(self, address: str) -> bool:
        """Return whether an address is that of a trusted proxy."""
        return _is_address(address) and any(ipaddress.ip_address(address) in network for network in self._networks)


def cookie_name(*, https: bool) -> str:
    """Return the cookie's name: on https with the prefix that makes browsers refuse one set by a neighbouring host."""
    return f"__Host-{COOKIE}" if https else COOKIE


def is_ours(origin: str, headers: Mapping[str, str]) -> bool:
    """Return whether a page at *origin* is one of ours: the host and port that the request itself went to."""
    scheme, _, host = origin.partition("://")
    return scheme in {"http", "https"} and host != "" and host.lower() == headers.get("host", "").lower()


def host_allowed(host: str | None, allowed: Iterable[str]) -> bool:
    """Return whether browsers may reach us under this name: else a page of a rebound name could (DNS rebinding).

    An address is no name that could be rebound.

    Args:
        host: The Host header.
        allowed: Names in lower case: LLM_ALLOWED_HOSTS.
    """
    match = _HOST.fullmatch(host or "")
    if match is None:
        return False
    name = match[1].strip("[]").rstrip(".").lower()
    return name == "localhost" or name in allowed or _is_address(name)


def _neighbour(scope: Scope) -> str:
    """Return the address at the other end of the connection: a client, or the last proxy before us."""
    return str((scope.get("client") or ("", 0))[0])


def _without_port(text: str) -> str:
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.partition(":")[0] if text.count(":") == 1 else text


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
