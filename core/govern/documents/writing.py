"""A document of what is stored: whole, or of one organisation; sorted, by names, without secrets and without what changes by itself."""

from typing import Any, Final, Literal

from sqlmodel import Session, select

from ...access.authority import require
from ...actors import Actor
from ...errors import StoreUnavailable
from ...manage import organizations
from ...manage.organization_rows import reach
from ...store.table import id_of
from ...store.tables import SettingsGeneration
from . import emitting
from .rows import DocumentScope, IdsAndNames
from .schema import VERSION
from .sections import KINDS

_FIRST: Final = ("version",)
_TRIES: Final = 5


def write(session: Session, actor: Actor, organization: str | None = None) -> str:
    """Return what is stored as YAML, in which a stored secret is ``{set: true, fingerprint: …}``.

    Args:
        session: The transaction. All is read at one generation, again if another comes between.
        actor: An admin; of one organisation also an admin of it.
        organization: A name of one; None: the whole installation.

    Raises:
        Forbidden, NotFound: As everywhere; of another's organisation it is the same as of none.
        StoreUnavailable: If another generation came between each time.
    """
    return emitting.written(data_of(session, actor, organization), _FIRST)


def data_of(session: Session, actor: Actor, organization: str | None = None) -> dict[str, Any]:
    """Return the same as plain data; as :func:`write`."""
    scope = scope_of(session, actor, organization, "read")
    for _ in range(_TRIES):
        before = generation(session)
        data = _data(session, scope)
        if generation(session) == before:
            return data
    raise StoreUnavailable("Settings change faster than they are read. Try again in a moment.")


def generation(session: Session) -> int:
    """Return the generation of what is stored."""
    return session.exec(select(SettingsGeneration.generation)).one()


def _data(session: Session, scope: DocumentScope) -> dict[str, Any]:
    names = IdsAndNames(session).load(scope.organization_id)
    data: dict[str, Any] = {"version": VERSION}
    for kind in KINDS:
        if scope.organization_id is not None and not kind.of_organizations:
            continue
        stored = kind.load(session, scope, names)
        for key in sorted(stored, key=lambda key: tuple(each or "" for each in key)):
            kind.put(data, key, stored[key].fields)
    return data


def scope_of(session: Session, actor: Actor, organization: str | None, what: Literal["read", "apply"]) -> DocumentScope:
    """Return what a document is of, if *actor* may read or apply such a one; raises as :func:`write`."""
    if organization is None:
        require(session, actor, "document.read" if what == "read" else "document.apply")
        return DocumentScope()
    row = organizations.get_by_name(session, actor, organization)
    reach(session, actor, "document.read" if what == "read" else "document.apply", id_of(row))
    return DocumentScope(row.id, row.slug)
