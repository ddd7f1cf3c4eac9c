"""The processes that are connected: which version, which encryption keys; one of an older version reads some values as not set."""

from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal, NamedTuple

from sqlalchemy import text
from sqlmodel import Session

from ..parameters import PARAMETERS
from ..postgres import names
from ..store.grants import TELLING
from ..version import VERSION
from ..wording import counted

FIRST_TO_SAY: Final = "0.1.0"
"""What a process is taken for that does not say its version; later ones do."""


class Service(NamedTuple):
    """Processes that resolve by one version."""

    version: str
    number: int


class Process(NamedTuple):
    """One process of ours, as far as its connections say."""

    what: Literal["app", "service", "command line"]
    version: str
    keys: tuple[str, ...] | None
    """Ids of its encryption keys, the primary one first; None: it does not say."""
    more: bool
    """Whether it has further keys."""
    place: str
    """Host and number of the process, else those of its connection, as far as the server says."""
    has_pii: bool | None = None
    """Whether phones and national numbers are looked for there, by the extra ``pii``; None: it does not say."""

    def has(self, key_id: str) -> bool | None:
        """Return whether it has that encryption key; None: it cannot be told."""
        if self.keys is not None and key_id in self.keys:
            return True
        return None if self.keys is None or self.more else False

    def __str__(self) -> str:
        keys = "it does not say its keys" if self.keys is None else f"keys {'+'.join(self.keys) or 'none'}"
        more = " and more" if self.more else ""
        return f"{self.what} {self.version} at {self.place}, {keys}{more}"


_ACTIVITY: Final = text(
    "SELECT application_name, pid, coalesce(host(client_addr), '') FROM pg_stat_activity"
    " WHERE datname = current_database() AND starts_with(application_name, :name)"
    " ORDER BY backend_start, pid"
)


def processes(session: Session) -> list[Process]:
    """Return the processes of ours that are connected to this database now, this one among them.

    The name of a connection is what every role may see of another's. A process that ``DATABASE_URL`` gives another
    ``application_name``, or that is connected to a replica, or idle behind a pooler, is not seen.
    """
    found: dict[str, Process] = {}
    for name, backend, address in session.execute(_ACTIVITY, {"name": names.OURS}):
        read = names.read(name)
        if read is None:
            continue
        what: Literal["app", "service", "command line"] = "service" if read.what == "resolver" else "command line"
        if read.what == "app" or (read.version is None and not read.what):  # 0.1.0 called both so
            what = "app"
        place = read.place or f"{address or 'a host that the server does not say'}, connection {backend}"
        known = found.get(place)
        if known is None or what == "app":  # an app has a resolver too
            found[place] = Process(what, read.version or FIRST_TO_SAY, read.keys, read.more, place, read.has_pii)
    return sorted(found.values(), key=lambda one: (one.what, _order(one.version), one.place))


def lacking(session: Session, key_id: str) -> list[Process]:
    """Return those of :func:`processes`, but this one, that do not have an encryption key, or do not say whether they do."""
    own = names.read(session.scalar(text("SELECT current_setting('application_name')")) or "")
    place = own.place if own else ""
    return [process for process in processes(session) if process.place != place and not process.has(key_id)]


def without_pii(found: Iterable[Process]) -> list[Process]:
    """Return the services among *found* that say that they do not look for phones and national numbers: the extra ``pii`` is not there."""
    return [process for process in found if process.what == "service" and process.has_pii is False]


def connected(session: Session) -> list[Service]:
    """Return the resolvers that are connected to this database now, the oldest version first, the app's own among them."""
    found: dict[str, int] = {}
    for name, *_ in session.execute(_ACTIVITY, {"name": names.RESOLVER}):
        if read := names.read(name):
            version = read.version or FIRST_TO_SAY
            found[version] = found.get(version, 0) + 1
    return [Service(version, found[version]) for version in sorted(found, key=_order)]


class Untelling(NamedTuple):
    """A process that does not tell what its calls cost, and is connected."""

    role: str
    """Its role in PostgreSQL."""
    place: str
    """Its host and number, as far as it says."""
    why: Literal["refused", "role", "version"]
    """``refused``: it has sums that its role may not tell. ``role``: its role may not; whether it calls is not known.
    ``version``: it is older than the counting, and knows no budget."""


FIRST_TO_TELL: Final = "0.2.0"
_UNTELLING: Final = text(
    "SELECT usename::text, application_name, pid, coalesce(host(client_addr), ''),"
    " has_function_privilege(usesysid, :function, 'EXECUTE') FROM pg_stat_activity"
    " WHERE datname = current_database() AND starts_with(application_name, :name) AND usename IS NOT NULL"
    " ORDER BY backend_start, pid"
)


def untelling(session: Session) -> list[Untelling]:
    """Return the processes that do not tell what their calls cost, those first that are known to call; the app is none.

    Of those that may not, calls go on and their sums wait in memory; under a hard budget they are refused, with the cure. A
    process is seen as in :func:`processes`.
    """
    found: dict[str, Untelling] = {}
    apps: set[str] = set()
    for role, name, backend, address, may in session.execute(_UNTELLING, {"name": names.OURS, "function": TELLING}):
        if name.startswith(f"{names.TELLING}/"):
            place = name.partition(" spend/")[2].partition(" ")[2]
            if not may:
                found[place] = Untelling(role, place, "refused")
            continue
        read = names.read(name)
        if read is None or not read.what:
            continue
        place = read.place or f"{address or 'a host that the server does not say'}, connection {backend}"
        if read.what == "app":
            apps.add(place)
        elif _order(read.version or FIRST_TO_SAY) < _order(FIRST_TO_TELL):
            found.setdefault(place, Untelling(role, place, "version"))
        elif not may:
            found.setdefault(place, Untelling(role, place, "role"))
    order = ("refused", "version", "role")
    return sorted(
        (one for one in found.values() if one.place not in apps),
        key=lambda one: (order.index(one.why), one.role, one.place),
    )


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
