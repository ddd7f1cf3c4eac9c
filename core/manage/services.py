"""The services that are connected, by version: one of an older version reads some values as not set."""

import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from sqlalchemy import text
from sqlmodel import Session

from ..parameters import PARAMETERS
from ..postgres.lines import RESOLVER
from ..version import VERSION
from ..wording import counted

FIRST_TO_SAY: Final = "0.1.0"
"""What a resolver is taken for that does not say its version; later ones do."""
_NAMED: Final = re.compile(rf"{RESOLVER}(?:/(\d+(?:\.\d+)*)\S*)?")


class Service(NamedTuple):
    """Processes that resolve by one version."""

    version: str
    number: int


def connected(session: Session) -> list[Service]:
    """Return the resolvers that are connected to this database now, the oldest version first.

    The name of a connection is what every role may see of another's. One that ``DATABASE_URL`` gives another
    ``application_name``, or that is behind a pooler, is not recognised.
    """
    names = session.execute(
        text(
            "SELECT application_name, count(*) FROM pg_stat_activity"
            " WHERE datname = current_database() AND starts_with(application_name, :name) GROUP BY 1"
        ),
        {"name": RESOLVER},
    )
    found: dict[str, int] = {}
    for name, number in names:
        if read := _NAMED.fullmatch(name):
            version = read[1] or FIRST_TO_SAY
            found[version] = found.get(version, 0) + number
    return [Service(version, found[version]) for version in sorted(found, key=_order)]


def older(session: Session, than: str = VERSION) -> list[Service]:
    """Return those of :func:`connected` whose version comes before *than*."""
    return [service for service in connected(session) if _order(service.version) < _order(than)]


def unread_warning(session: Session, values: Mapping[str, Any]) -> str | None:
    """Say which of *values* (parameter -> value) services that are connected now take for not set; None if there is none."""
    sentences = []
    for name, value in values.items():
        widened = PARAMETERS[name].widened if name in PARAMETERS else None
        if value is None or widened is None or value <= widened[1]:
            continue
        since, most = widened
        if services := older(session, since):
            number = sum(service.number for service in services)
            sentences.append(
                f"{counted(number, 'connected service')} of a version before {since} {'read' if number > 1 else 'reads'} "
                f"{PARAMETERS[name].label} {value:,} as not set, as it is more than {most:,}: upgrade the services first."
            )
    return " ".join(sentences) or None


def _order(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))
