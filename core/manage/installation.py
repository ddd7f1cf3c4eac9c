"""What an admin decides for the whole store: one row, made by the migrations."""

from collections.abc import Mapping
from typing import Any, Final

from sqlmodel import Session

from ..access.authority import require
from ..actors import Actor
from ..audit.record import Target, changes_between, record
from ..errors import NotFound
from ..store.organization_schemas import InstallationInput
from ..store.organization_tables import Installation
from ..store.schemas import validate
from ..store.versions import refuse_stale

FIELDS: Final = tuple(InstallationInput.model_fields)
_ROW: Final = 1


def get(session: Session, actor: Actor) -> Installation:
    """Return what is decided.

    Raises:
        Forbidden: Unless *actor* is an admin.
        NotFound: If raw SQL has deleted the row; services take the built-in choice then.
    """
    require(session, actor, "installation.read")
    return _row(session)


def update(session: Session, actor: Actor, patch: Mapping[str, Any], *, version: int | None = None) -> Installation:
    """Change what *patch* names: ``organizations``, ``closed`` or ``open``, ``require_reason``, and how long things are kept.

    Open: services that name an organisation which nobody registered get the installation's settings and keys. Closed: they
    get no key. With ``require_reason`` each change needs one, from the next on: see :mod:`core.audit.reasons`.

    Args:
        session: The transaction.
        actor: An admin.
        patch: Field -> value.
        version: The version that the edit was based on; None writes whatever is there.

    Raises:
        Forbidden, Invalid, Conflict: As everywhere.
        NotFound: As :func:`get`.
    """
    require(session, actor, "installation.update")
    row = _row(session, lock=True)
    refuse_stale("installation", row, version, patch)
    before = row.model_dump(include=set(FIELDS))
    wanted = validate(InstallationInput, {**before, **patch}).model_dump()
    if wanted == before:
        return row
    target = Target(
        "installation", None, "installation"
    )  # on record first: whether it needs a reason, what holds now says
    record(session, actor, "installation.update", target, changes_between(before, wanted, FIELDS))
    for name, value in wanted.items():
        setattr(row, name, value)
    session.flush()
    session.refresh(row)
    return row


def _row(session: Session, *, lock: bool = False) -> Installation:
    row = session.get(Installation, _ROW, with_for_update=lock or None, populate_existing=True)
    if row is None:
        raise NotFound("row of the installation", _ROW)
    return row
