"""The id of the request, or of the run of a page, that is being worked on: in the answer, in each line of log, on the page.

A context variable: threads of the pool that a request uses have it too. Standard library only.
"""

import os
from contextvars import ContextVar
from typing import Final

from .patterns import later

LONGEST: Final = 100
_WELL_FORMED: Final = later(rf"[A-Za-z0-9][A-Za-z0-9._:=-]{{0,{LONGEST - 1}}}")
"""UUIDs, hex digits, and what the balancers of AWS (``Root=1-…``) and Google send."""

_current: Final[ContextVar[str]] = ContextVar("request_id", default="")


def current() -> str:
    """Return the id of what this context works on; empty outside of requests."""
    return _current.get()


def begin(sent: str | None = None) -> str:
    """Have this context work on a request from now on, and return its id.

    Args:
        sent: The id that the client, or a proxy, gave it; taken as it is if it is up to ``LONGEST`` letters, digits and
            ``. _ : = -`` behind a letter or digit, else another one is made.
    """
    taken = sent if sent is not None and _WELL_FORMED.fullmatch(sent) else os.urandom(8).hex()
    _current.set(taken)
    return taken
