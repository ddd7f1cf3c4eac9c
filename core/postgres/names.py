"""How our processes call their connections, for whoever looks at the server's list: what, which version, which keys, where.

``llm-settings resolver/0.2.0+pii 545a969b+07dba65b web-1:12345``: a resolver's says whether the extra ``pii`` is beside it (``-pii``:
it is not); the encryption keys by their ids, the primary one first. The server keeps 63 bytes, and shows them to every role of the database.
"""

import os
from collections.abc import Sequence
from typing import Final, NamedTuple

from ..patterns import later
from ..version import VERSION

OURS: Final = "llm-settings"
RESOLVER: Final = f"{OURS} resolver"
"""Of services, before a slash and the version; those of 0.1.0 have nothing behind it."""
TELLING: Final = f"{OURS} spend"
"""Of what tells how much calls have cost, before a slash, the version, and the place."""
LONGEST: Final = 63
"""Bytes: https://www.postgresql.org/docs/current/runtime-config-logging.html#GUC-APPLICATION-NAME."""
NO_KEYS: Final = "none"
_MORE: Final = "+"
"""Behind the ids: there are more keys than there is room for."""
_PII: Final = "+pii"
_NO_PII: Final = "-pii"
_NOT_SHOWN: Final = later("[^!-~]")
"""The server writes other characters than printable ASCII as four, ``\\x0a``: the name would be longer than it keeps."""
_READ: Final = later(
    rf"{OURS}(?: (?P<what>app|resolver))?"
    r"(?:/(?P<version>\d+(?:\.\d+)*)(?P<mark>[^ ]*)(?: (?P<keys>none|[0-9a-f]{8}(?:\+[0-9a-f]{8})*)(?P<more>\+)?(?: (?P<place>.*))?)?)?"
)


class Name(NamedTuple):
    """What a connection's name says."""

    what: str
    """``app``, ``resolver`` (a service's, or the app's own), or empty: the command line."""
    version: str | None
    keys: tuple[str, ...] | None
    """Ids of the encryption keys that the process has; None: it does not say."""
    more: bool
    """Whether it has further ones, which had no room."""
    place: str
    """Host, a colon, and the process's number there; cut at its end, or empty, where there was no room."""
    has_pii: bool | None
    """Whether the extra ``pii`` is installed there; None: it does not say, as what is older, or no resolver."""


def written(what: str, keys: Sequence[str]) -> str:
    """Return the name for a connection of this process, at most :data:`LONGEST` bytes.

    The ids of keys come first, as rotation depends on them; the host's name is cut before its process's number.

    Args:
        what: As :attr:`Name.what`.
        keys: Ids of the encryption keys, the primary one first.
    """
    from ..extras import is_installed  # noqa: PLC0415 - keeps the import of the resolver lean

    mark = (_PII if is_installed("pii") else _NO_PII) if what == "resolver" else ""
    head = f"{OURS} {what}".rstrip() + f"/{VERSION}{mark} "
    ring = "+".join(keys) or NO_KEYS
    if len(head) + len(ring) > LONGEST:
        room = (LONGEST - len(head) - len(_MORE) + 1) // 9  # eight digits, and a plus between them
        ring = "+".join(keys[:room]) + _MORE
    where = place(LONGEST - len(head) - len(ring) - 1)
    return head + ring + (where and f" {where}")


def place(most: int = 255) -> str:
    """Return the host's name, a colon, and this process's number there, in at most so many bytes; empty: there is no room."""
    import socket  # noqa: PLC0415 - keeps the import of the resolver lean

    number = f":{os.getpid()}"
    host = _NOT_SHOWN.sub("-", socket.gethostname())
    left = most - len(number)
    return f"{host[:left]}{number}" if left > 0 else ""


def telling() -> str:
    """Return the name for the connection on which this process tells what calls have cost."""
    head = f"{TELLING}/{VERSION} "
    return head + place(LONGEST - len(head))


def read(name: str) -> Name | None:
    """Return what a connection's *name* says; None for one that is not ours."""
    found = _READ.fullmatch(name)
    if found is None:
        return None
    keys = found["keys"]
    ids = None if keys is None else () if keys == NO_KEYS else tuple(keys.split("+"))
    has_pii = {_PII: True, _NO_PII: False}.get(found["mark"] or "")
    return Name(found["what"] or "", found["version"], ids, bool(found["more"]), found["place"] or "", has_pii)
