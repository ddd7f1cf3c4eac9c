"""Names on the wire: camelCase there, snake_case here. Keys inside customSettings and extraParameters are the user's own and stay."""

from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any, Final

from core.errors import Invalid

NAMED: Final = 20
"""So many names at fault are told at most: an answer is no longer than what was sent."""


class NotAsNamed(Invalid):
    """Input at fault whose names are those of the wire already."""


def camel(name: str) -> str:
    """Return a field's name on the wire."""
    head, *tail = name.split("_")
    return head + "".join(part[:1].upper() + part[1:] for part in tail)


def from_wire(body: Mapping[str, Any], fields: Iterable[str]) -> dict[str, Any]:
    """Return *body* with our names.

    Raises:
        NotAsNamed: Naming what is none of *fields*, as it was sent.
    """
    known = {camel(name): name for name in fields}
    unknown = {name[:50]: "is not a field here" for name in islice((n for n in body if n not in known), NAMED)}
    if unknown:
        raise NotAsNamed(unknown)
    return {known[name]: value for name, value in body.items()}
