"""Whether a PostgreSQL answers at all, within milliseconds and without the driver, whose import alone takes longer."""

import re
from contextlib import suppress
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qs, unquote

from ..patterns import later

if TYPE_CHECKING:
    import socket

SECONDS: Final = 0.01
"""Longest wait for one answer."""

_SSL_REQUEST: Final = bytes.fromhex("0000000804d2162f")
"""Each server answers it with one byte: https://www.postgresql.org/docs/current/protocol-message-formats.html."""
_URL = later(r"postgres(?:ql)?://(?:[^@/?]*@)?(?P<hosts>[^/?]*)[^?]*(?:\?(?P<query>.*))?", re.DOTALL)
_HOST = later(r"(?P<host>\[[^]]*\]|[^:]*)(?::(?P<port>\d*))?")


def answers(url: str, seconds: float = SECONDS) -> bool:
    """Return whether a server of *url* answers within *seconds*; True also where that cannot be told from the URL alone."""
    found = _addresses(url)
    return not found or any(answers_at(host, port, seconds) for host, port in found)


def answers_at(host: str, port: int, seconds: float = SECONDS) -> bool:
    """Return whether a server at *host*, a name, an address or the folder of a socket, answers within *seconds*."""
    with suppress(OSError, UnicodeError), _line(host, port, seconds) as line:
        line.sendall(_SSL_REQUEST)
        return len(line.recv(1)) == 1
    return False


def _addresses(url: str) -> list[tuple[str, int]]:
    match = _URL.fullmatch(url)
    if match is None:
        return []
    query = parse_qs(match["query"] or "")
    pairs = [_HOST.fullmatch(part) for part in match["hosts"].split(",")]
    if not all(pairs):
        return []
    hosts = [unquote(pair["host"]).strip("[]") for pair in pairs if pair]
    ports = [pair["port"] or "5432" for pair in pairs if pair]
    if "host" in query:
        hosts = query["host"][-1].split(",")
    if "hostaddr" in query:
        hosts = query["hostaddr"][-1].split(",")
    if "port" in query:
        ports = query["port"][-1].split(",")
    ports = ports * len(hosts) if len(ports) == 1 else ports
    if not all(hosts) or len(ports) != len(hosts) or not all(map(str.isdecimal, ports)):
        return []  # the rest is in the environment, or in a service file
    return [(host, int(port)) for host, port in zip(hosts, ports, strict=True)]


def _line(host: str, port: int, seconds: float) -> "socket.socket":
    import socket  # noqa: PLC0415 - keeps the import of the resolver lean

    if not host.startswith("/"):
        return socket.create_connection((host, port), seconds)
    line = socket.socket(socket.AF_UNIX)
    line.settimeout(seconds)
    try:
        line.connect(f"{host}/.s.PGSQL.{port}")
    except OSError:
        line.close()
        raise
    return line
