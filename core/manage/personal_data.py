"""What becomes of personal data in calls: rows of settings, each for a scope, kept by admins and by those of an organisation.

A field that a row does not say is inherited, in the order of layers that holds for settings; limits hold for it as well.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any, Final, NamedTuple

from sqlalchemy import func, literal, tuple_
from sqlmodel import Session, col, select

from ..access.authority import require, visible
from ..actors import Actor
from ..audit.record import Target, changes_between, record
from ..errors import AlreadyExists, Invalid, NotFound
from ..resolving.explanation import Explained
from ..resolving.layers import Layer
from ..resolving.merge import ProviderFacts, build
from ..resolving.personal_data import PersonalDataRules
from ..resolving.personal_merge import PERSONAL_FIELDS, PREFIX, fitting
from ..store import violations
from ..store.personal_data_schemas import PersonalDataInput, check_new_patterns
from ..store.personal_data_tables import LlmPiiSettings
from ..store.schemas import could_be_id, validate
from . import limit_checks
from .organization_members import refuse_stale_row, shown_names
from .organization_rows import reach, reach_row
from .scope_rows import ScopeRows
from .scopes import Named, SettingsScope, named

SCOPE: Final = ("organization_id", "feature_id", "provider_id")
FIELDS: Final = (*SCOPE, *PERSONAL_FIELDS, "is_active")
CHANGEABLE: Final = (*PERSONAL_FIELDS, "is_active")
"""What can be changed of a row that is there; its scope stays."""
_KIND: Final = "personal data of this scope"
PlaceOfScope = tuple[int, int, int]
"""Ids as in :data:`SCOPE`, 0 for none."""


class PersonalDataRow(NamedTuple):
    """A row that is stored."""

    row: LlmPiiSettings
    scope: str
    """In words: ``acme · summarise · openai``, ``all providers``."""
    unread: tuple[str, ...]
    """Fields that have something which makes no sense, as raw SQL may leave it: that of them counts as not there."""


class PersonalDataOfScope(NamedTuple):
    """What holds for a scope, and why."""

    row: LlmPiiSettings | None
    """Its own; None: it inherits everything."""
    rules: PersonalDataRules
    explained: tuple[Explained, ...]
    """Each field, named ``personal_data.logs``: what is in force, whose word that is, what it hides, and which limit holds it."""


def list_all(session: Session, actor: Actor, *, organization_id: int | None = None) -> list[PersonalDataRow]:
    """Return the rows that *actor* sees, nobody's first; with *organization_id* only those of that organisation.

    Raises:
        Forbidden, NotFound: As everywhere.
    """
    seen = visible(session, actor, "personal_data.list")
    require(session, actor, "personal_data.list", role="analyst" if seen.everything else "member")
    if organization_id is not None:
        reach(session, actor, "personal_data.list", organization_id, role="analyst")
    query = select(LlmPiiSettings).where(seen.where(LlmPiiSettings.organization_id))
    if organization_id is not None:
        query = query.where(LlmPiiSettings.organization_id == organization_id)
    order = (col(getattr(LlmPiiSettings, name)).asc().nulls_first() for name in SCOPE)
    return [_shown(session, row) for row in session.exec(query.order_by(*order))]


def page_of(
    session: Session, actor: Actor, narrowed: SettingsScope, *, after: PlaceOfScope | None = None, limit: int
) -> list[PersonalDataRow]:
    """Return the rows that *actor* sees, in the order of :func:`list_all`, a page at a time; raises as that.

    Args:
        session: The transaction.
        actor: Who.
        narrowed: Only rows that name what it names.
        after: :func:`place_of` the last row of the page before.
        limit: Rows at most.
    """
    seen = visible(session, actor, "personal_data.list")
    require(session, actor, "personal_data.list", role="analyst" if seen.everything else "member")
    if narrowed.organization_id is not None:
        reach(session, actor, "personal_data.list", narrowed.organization_id, role="analyst")
    query = select(LlmPiiSettings).where(seen.where(LlmPiiSettings.organization_id))
    for name, value in _columns(narrowed).items():
        if value is not None:
            query = query.where(getattr(LlmPiiSettings, name) == value)
    order = [func.coalesce(getattr(LlmPiiSettings, name), 0) for name in SCOPE]
    if after is not None:
        query = query.where(tuple_(*order) > tuple_(*map(literal, after)))
    return [_shown(session, row) for row in session.exec(query.order_by(*order).limit(limit))]


def place_of(row: LlmPiiSettings) -> PlaceOfScope:
    """Return where a row stands in the order of rows."""
    return (row.organization_id or 0, row.feature_id or 0, row.provider_id or 0)


def get(session: Session, actor: Actor, row_id: int) -> PersonalDataRow:
    """Return a row; raises Forbidden, NotFound."""
    return _shown(session, _find(session, actor, "personal_data.list", row_id, role="analyst"))


def of_scope(session: Session, actor: Actor, scope: SettingsScope) -> PersonalDataOfScope:
    """Return what holds for a scope, as its settings are explained; of one that names no provider, what holds for any.

    Raises:
        Forbidden, NotFound: As :func:`~.scopes.named`.
    """
    of = named(session, actor, "personal_data.read", scope, role="analyst")
    shown = shown_names(session, visible(session, actor, "personal_data.read"), scope.organization_id)
    reading = ScopeRows(session, of.organization, of.feature, shown, whole=True)
    nobody = ProviderFacts(0, "", "", "", None, None, is_active=False, version=0, changes={}, open_box=None)
    layers: list[Layer] = reading.personal(of.provider)
    found = build(nobody, (), limits=reading.limits(of.provider), personal=partial(tuple, layers))
    explained = tuple(item for item in found.explain() if item.name.startswith(PREFIX))
    return PersonalDataOfScope(_stored(session, scope), found.personal_data, explained)


def save(
    session: Session, actor: Actor, scope: SettingsScope, patch: Mapping[str, Any], *, version: int | None = None
) -> PersonalDataRow:
    """Set the fields in *patch* for a scope, whose row is made if there is none; in force within a second or two.

    Args:
        session: The transaction.
        actor: An admin; for an organisation also one of its own.
        scope: Whose.
        patch: Field -> value; None inherits.
        version: The version that the edit was based on, 0 if there was no row; None writes whatever is there.

    Raises:
        Forbidden, NotFound, Invalid, Conflict: As everywhere; of Invalid also what a limit forbids.
        AlreadyExists: If somebody else has just made the row of this scope.
    """
    of = named(session, actor, "personal_data.update", scope)
    row = _stored(session, scope, lock=True)
    if row is None:
        if version:
            raise NotFound(f"{_KIND} with version", version)
        return _create(session, actor, of, {**_columns(scope), **patch})
    return _update(session, actor, row, of, patch, version=version)


def clear(session: Session, actor: Actor, scope: SettingsScope, *, version: int | None = None) -> None:
    """Delete the row of a scope: it inherits everything again.

    Raises:
        Forbidden, NotFound, Conflict: As everywhere; NotFound also where it has no row.
    """
    of = named(session, actor, "personal_data.delete", scope)
    row = _stored(session, scope, lock=True)
    if row is None:
        raise NotFound(_KIND, of.words)
    _delete(session, actor, row, of, version)


def create(session: Session, actor: Actor, data: Mapping[str, Any]) -> PersonalDataRow:
    """Make the row of a scope that has none; *data* is a :class:`~core.store.personal_data_schemas.PersonalDataInput`.

    Raises:
        Forbidden, NotFound, Invalid: As :func:`save`.
        AlreadyExists: If the scope has one.
    """
    wanted = validate(PersonalDataInput, data)
    of = named(
        session,
        actor,
        "personal_data.update",
        SettingsScope(wanted.provider_id, wanted.organization_id, wanted.feature_id),
    )
    return _create(session, actor, of, data)


def update(
    session: Session, actor: Actor, row_id: int, patch: Mapping[str, Any], *, version: int | None = None
) -> PersonalDataRow:
    """Change a row, whose scope stays; to save it as it is says that somebody has decided. Raises as :func:`save`."""
    found = _find(session, actor, "personal_data.update", row_id)
    of = named(session, actor, "personal_data.update", scope_of(found))
    if moved := [name for name in SCOPE if name in patch and patch[name] != getattr(found, name)]:
        raise Invalid(dict.fromkeys(moved, "stays as it is; delete this and make another"))
    return _update(session, actor, _locked(session, row_id), of, patch, version=version)


def delete(session: Session, actor: Actor, row_id: int, *, version: int | None = None) -> str:
    """Delete a row, and return its scope in words; raises Forbidden, NotFound, Conflict."""
    found = _find(session, actor, "personal_data.delete", row_id)
    of = named(session, actor, "personal_data.delete", scope_of(found))
    _delete(session, actor, _locked(session, row_id), of, version)
    return of.words


def undecided(session: Session) -> bool:
    """Tell whether an upgrade keeps personal data in the log, and nobody has decided that since."""
    rows = select(LlmPiiSettings.id).where(LlmPiiSettings.awaits_decision, LlmPiiSettings.is_active)
    return session.exec(rows.limit(1)).first() is not None


def scope_of(row: LlmPiiSettings) -> SettingsScope:
    """Return the scope of a row."""
    return SettingsScope(row.provider_id, row.organization_id, row.feature_id)


def unread_fields(row: LlmPiiSettings) -> tuple[str, ...]:
    """Return which fields of a row have something that makes no sense, and so counts as not there."""
    found = []
    for name in PERSONAL_FIELDS:
        value = getattr(row, name)
        kept = fitting(name, value)
        if name == "patterns" and isinstance(value, list):
            value, kept = len(value), len(kept or ())
        if value != kept:
            found.append(name)
    return tuple(found)


def _columns(scope: SettingsScope) -> dict[str, Any]:
    return {name: getattr(scope, name) for name in SCOPE}


def _stored(session: Session, scope: SettingsScope, *, lock: bool = False) -> LlmPiiSettings | None:
    query: Any = select(LlmPiiSettings).where(
        *(
            column.is_(None) if value is None else column == value
            for name, value in _columns(scope).items()
            for column in (col(getattr(LlmPiiSettings, name)),)
        )
    )
    if lock:
        query = query.with_for_update().execution_options(populate_existing=True)
    row: LlmPiiSettings | None = session.exec(query).one_or_none()
    return row


def _find(session: Session, actor: Actor, action: str, row_id: int, *, role: str = "admin") -> LlmPiiSettings:
    return reach_row(session, actor, action, LlmPiiSettings, row_id, kind="personal data", role=role)


def _locked(session: Session, row_id: int) -> LlmPiiSettings:
    row = (
        session.get(LlmPiiSettings, row_id, with_for_update=True, populate_existing=True)
        if could_be_id(row_id)
        else None
    )
    if row is None:
        raise NotFound("personal data", row_id)
    return row


def _checked(
    session: Session, actor: Actor, of: Named, before: Mapping[str, Any], data: Mapping[str, Any]
) -> dict[str, Any]:
    wanted = validate(PersonalDataInput, data).model_dump()
    check_new_patterns(before.get("patterns"), wanted["patterns"])
    limit_checks.refuse_personal(session, actor, of, before, {name: wanted[name] for name in PERSONAL_FIELDS})
    return wanted


def _create(session: Session, actor: Actor, of: Named, data: Mapping[str, Any]) -> PersonalDataRow:
    wanted = _checked(session, actor, of, {}, data)
    row = LlmPiiSettings(**wanted)
    session.add(row)
    violations.flush(session, AlreadyExists("personal data", of.words))
    session.refresh(row)
    _record(session, actor, "personal_data.create", row, of, before={}, after=wanted)
    return _shown(session, row)


def _update(
    session: Session,
    actor: Actor,
    row: LlmPiiSettings,
    of: Named,
    patch: Mapping[str, Any],
    *,
    version: int | None,
) -> PersonalDataRow:
    refuse_stale_row(session, actor, "personal data", row, version=version, patch=patch)
    before = row.model_dump(include=set(FIELDS))
    wanted = _checked(session, actor, of, before, {**before, **patch})
    for name in CHANGEABLE:
        if wanted[name] != before[name]:
            setattr(row, name, wanted[name])
    decides = row.awaits_decision
    row.awaits_decision = False
    session.flush()
    session.refresh(row)
    if decides or wanted != before:
        _record(session, actor, "personal_data.update", row, of, before=before, after=wanted, decides=decides)
    return _shown(session, row)


def _delete(session: Session, actor: Actor, row: LlmPiiSettings, of: Named, version: int | None) -> None:
    refuse_stale_row(session, actor, "personal data", row, version=version, patch={})
    before = row.model_dump(include=set(FIELDS))
    session.delete(row)
    session.flush()
    _record(session, actor, "personal_data.delete", row, of, before=before, after={})


def _shown(session: Session, row: LlmPiiSettings) -> PersonalDataRow:
    of = limit_checks.scope_words(session, scope_of(row))
    return PersonalDataRow(row, of, unread_fields(row))


def _record(
    session: Session,
    actor: Actor,
    action: str,
    row: LlmPiiSettings,
    of: Named,
    *,
    before: Mapping[str, Any],
    after: Mapping[str, Any],
    decides: bool = False,
) -> None:
    changes = changes_between(before, after, FIELDS)
    if decides:
        changes["awaits_decision"] = (True, False)
    record(session, actor, action, Target("personal_data", row.id, of.words), changes, organization=row.organization_id)
