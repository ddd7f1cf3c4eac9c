"""Names on the wire: camelCase there, snake_case here. Keys inside customSettings are the user's own and stay."""

from collections.abc import Iterable, Mapping
from typing import Any

from core.errors import Invalid


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
    unknown = {name[:50]: "is not a field here" for name in body if name not in known}
    if unknown:
        raise NotAsNamed(unknown)
    return {known[name]: value for name, value in body.items()}
