"""Limits: which rules there are, who may set them, what they put out of force, and who has to obey them without knowing it.

The installation's admins set limits of owner *installation* on any scope; the admins of an organisation those of owner
*organization* on scopes of their own. What a limit puts out of force stays stored (docs/decisions/limits.md).
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from sqlalchemy import ColumnElement, or_
from sqlalchemy import select as sql_select
from sqlmodel import Session, col, func, select

from ..access.authority import not_found, require, visible
from ..actors import Actor
from ..audit.record import Target, changes_between, record
from ..errors import AlreadyExists, Invalid, NotFound
from ..resolving.limit_words import rule_text, who_text
from ..resolving.limited import LimitedBy
from ..resolving.limits import DEFAULT_PROVIDER, parse
from ..store import violations
from ..store.limit_schemas import LimitsInput
from ..store.organization_tables import FeatureLlmOverride, LlmLimits
from ..store.personal_data_tables import LlmPiiSettings
from ..store.schemas import could_be_id, validate
from ..store.table import id_of
from ..store.tables import LlmSettings
from ..wording import counted
from . import limit_checks, limit_effects, limit_rules, personal_data, services, settings
from .limit_effects import Effects
from .organization_members import refuse_stale_row
from .organization_rows import reach
from .scopes import Named, SettingsScope, named

SINCE: Final = "0.2.0"
"""The first version whose services obey limits."""
FIELDS: Final = ("limits", "note")
"""What can be changed of limits that are there; whose they are and their scope stay."""
PAGE: Final = 100
CLEARED_AT_ONCE: Final = 1_000
_SCOPE: Final = ("owner", "organization_id", "feature_id", "provider_id")


class Preview(NamedTuple):
    """What saving limits would do."""

    effects: Effects
    notes: Mapping[str, str]
    """Field -> why its rule binds nothing, and the cure; of those that do not."""
    ignored_by: int
    """Connected services of versions that do not know limits."""

    @property
    def holds(self) -> str:
        """Where the limits hold, in a sentence."""
        return holds(self.ignored_by)


def holds(ignored_by: int) -> str:
    """Return where limits hold, in a sentence, by how many connected services do not know them."""
    if not ignored_by:
        return "It holds everywhere."
    be = "does not know limits and ignores" if ignored_by == 1 else "do not know limits and ignore"
    return f"{counted(ignored_by, 'connected service')} of a version before {SINCE} {be} it: upgrade them."


def ignored_by(session: Session) -> int:
    """Return how many connected services are of versions that ignore limits."""
    return sum(service.number for service in services.older(session, SINCE))


def scope_of(row: LlmLimits) -> SettingsScope:
    """Return the scope of limits."""
    return SettingsScope(row.provider_id, row.organization_id, row.feature_id)


def list_of(
    session: Session,
    actor: Actor,
    scope: SettingsScope | None = None,
    *,
    organization_id: int | None = None,
    feature_id: int | None = None,
    provider_id: int | None = None,
    owner: str | None = None,
    field: str | None = None,
    after: int = 0,
    limit: int = PAGE,
) -> list[LlmLimits]:
    """Return limits by id, a page of them: all that *actor* sees, of both owners.

    Args:
        session: The transaction.
        actor: An admin or an analyst of the installation; members see those of their organisations.
        scope: Only those of this scope.
        organization_id: Only those of this organisation, on any of its scopes.
        feature_id: Only those of this feature, for whomever.
        provider_id: Only those of this provider.
        owner: Only the installation's, or only organisations' own.
        field: Only those that limit it; of a JSON object any key of it too.
        after: The id that the page before ended with.
        limit: So many at most.

    Raises:
        Forbidden: As everywhere.
        NotFound: If there is no such organisation, or it is another's.
    """
    seen = visible(session, actor, "limit.list")
    query = select(LlmLimits).where(LlmLimits.id > after, seen.where(LlmLimits.organization_id))  # type: ignore[operator]  # a column
    if scope is not None:
        organization_id = scope.organization_id
        query = query.where(*(_is(name, getattr(scope, name)) for name in SettingsScope._fields))
    given = {"organization_id": organization_id, "feature_id": feature_id, "provider_id": provider_id, "owner": owner}
    query = query.where(*(_is(name, value) for name, value in given.items() if value is not None))
    if field is not None:
        query = query.where(_limits_it(field))
    require(session, actor, "limit.list", role="analyst" if seen.everything else "member")
    if organization_id is not None:
        reach(session, actor, "limit.list", organization_id, role="analyst")
    return list(session.exec(query.order_by(col(LlmLimits.id)).limit(limit)))


def find(
    session: Session, actor: Actor, limit_id: int, action: str = "limit.read", *, role: str = "analyst"
) -> LlmLimits:
    """Return limits that *actor* may do *action* with.

    Raises:
        NotFound: If there are none of that id, or they are of another's organisation.
        Forbidden: If the actor sees them, and may not do this.
    """
    seen = visible(session, actor, action)
    query = select(LlmLimits).where(LlmLimits.id == limit_id, seen.where(LlmLimits.organization_id))
    row = session.exec(query).one_or_none() if could_be_id(limit_id) else None
    if row is None:
        if seen.everything:
            require(session, actor, action, role=role)
        not_found(session, actor, action, "limit", limit_id, seen=seen)
    require(session, actor, action, role=role, organization=row.organization_id)
    if role == "admin" and row.owner == "installation":
        require(session, actor, action)
    return row


def create(session: Session, actor: Actor, data: Mapping[str, Any]) -> LlmLimits:
    """Set limits on a scope that has none of that owner yet; *data* is a :class:`~core.store.limit_schemas.LimitsInput`.

    Raises:
        Forbidden, NotFound, Invalid: As everywhere; a rule that makes no sense for its field names the field.
        AlreadyExists: If the scope has limits of that owner.
    """
    wanted, of = _checked(session, actor, "limit.create", data)
    row = LlmLimits(**wanted)
    session.add(row)
    violations.flush(session, AlreadyExists("limit", f"of {of.words}"))
    session.refresh(row)
    _record(session, actor, "limit.create", row, of, before={}, after=wanted)
    return row


def update(
    session: Session, actor: Actor, limit_id: int, patch: Mapping[str, Any], *, version: int | None = None
) -> LlmLimits:
    """Change ``limits``, as a whole, or ``note``.

    Raises:
        Forbidden, NotFound, Invalid, Conflict: As everywhere.
    """
    found = find(session, actor, limit_id, "limit.update", role="admin")
    if unknown := sorted(patch.keys() - set(FIELDS)):
        raise Invalid(dict.fromkeys(unknown, "stays as it is; delete these limits and set others"))
    current = found.model_dump(include={*FIELDS, *_SCOPE})
    row = _locked(session, limit_id)
    refuse_stale_row(session, actor, "limit", row, version=version, patch=patch)
    before = row.model_dump(include=set(FIELDS))
    wanted, of = _checked(session, actor, "limit.update", {**current, **before, **patch}, own=limit_id)
    for name in FIELDS:
        if wanted[name] != before[name]:
            setattr(row, name, wanted[name])
    session.flush()
    session.refresh(row)
    if any(wanted[name] != before[name] for name in FIELDS):
        _record(session, actor, "limit.update", row, of, before=before, after=wanted)
    return row


def save(session: Session, actor: Actor, data: Mapping[str, Any], *, version: int | None = None) -> LlmLimits:
    """Set limits on a scope, in place of those of that owner which are there.

    Args:
        session: The transaction.
        actor: Who.
        data: A :class:`~core.store.limit_schemas.LimitsInput`.
        version: The version that the edit was based on, 0 if there were none; None writes whatever is there.

    Raises:
        Forbidden, NotFound, Invalid, Conflict, AlreadyExists: As :func:`create` and :func:`update`.
    """
    wanted = validate(LimitsInput, data)
    _may(
        session,
        actor,
        "limit.update",
        wanted.owner,
        SettingsScope(wanted.provider_id, wanted.organization_id, wanted.feature_id),
    )
    found = stored_id(session, wanted.model_dump())
    if found is None:
        if version:
            raise NotFound("limit of this scope with version", version)
        return create(session, actor, data)
    return update(session, actor, found, {name: getattr(wanted, name) for name in FIELDS}, version=version)


def stored_id(session: Session, data: Mapping[str, Any]) -> int | None:
    """Return the id of the limits that are there of the scope and owner of *data*; None: none, or *data* is not valid."""
    try:
        wanted = validate(LimitsInput, data)
    except Invalid:
        return None
    return session.exec(
        select(LlmLimits.id).where(*(_is(name, getattr(wanted, name)) for name in _SCOPE))
    ).one_or_none()


def delete(session: Session, actor: Actor, limit_id: int, *, version: int | None = None) -> None:
    """Lift limits: what they put out of force counts again.

    Raises:
        Forbidden, NotFound, Conflict: As everywhere.
    """
    find(session, actor, limit_id, "limit.delete", role="admin")
    row = _locked(session, limit_id)
    of = _may(session, actor, "limit.delete", row.owner, scope_of(row))
    refuse_stale_row(session, actor, "limit", row, version=version, patch={})
    before = row.model_dump(include=set(FIELDS))
    session.delete(row)
    session.flush()
    _record(session, actor, "limit.delete", row, of, before=before, after={})


def preview(session: Session, actor: Actor, data: Mapping[str, Any], *, own: int | None = None) -> Preview:
    """Return what saving these limits would do; nothing is written.

    Args:
        session: The transaction.
        actor: Who may set them.
        data: A :class:`~core.store.limit_schemas.LimitsInput`.
        own: The id of the limits that they would stand in place of.

    Raises:
        Forbidden, NotFound, Invalid: As :func:`create`.
    """
    wanted, of = _checked(session, actor, "limit.preview", data, own=own)
    scope = SettingsScope(wanted["provider_id"], wanted["organization_id"], wanted["feature_id"])
    found = limit_effects.effects(session, scope, wanted["limits"])
    return Preview(found, limit_rules.notes(session, of, wanted, own), ignored_by(session))


def outcome(session: Session, actor: Actor, row: LlmLimits) -> Preview:
    """Return the same of limits that are stored."""
    data = row.model_dump(include={*FIELDS, *_SCOPE})
    of = _may(session, actor, "limit.read", row.owner, scope_of(row))
    found = limit_effects.effects(session, scope_of(row), parse(row.limits, names_provider=row.provider_id is not None))
    return Preview(found, limit_rules.notes(session, of, data, row.id), ignored_by(session))


def clear(session: Session, actor: Actor, limit_id: int, *, most: int = CLEARED_AT_ONCE) -> int:
    """Take what stored limits put out of force out of the rows that have it, each an edit of its own in the audit.

    Args:
        session: The transaction.
        actor: Who may set the limits.
        limit_id: Of the limits.
        most: So many rows at once.

    Returns:
        How many rows were cleared; :func:`outcome` says how many are left.

    Raises:
        Forbidden, NotFound: As everywhere.
    """
    row = find(session, actor, limit_id, "limit.clear", role="admin")
    scope, rules = scope_of(row), parse(row.limits, names_provider=row.provider_id is not None)
    cleared = 0
    for table, row_id in limit_effects.ids(session, scope, rules, most=most):
        if table == LlmPiiSettings.__tablename__:
            cleared += _clear_personal(session, actor, row_id, scope, rules)
            continue
        model: Any = LlmSettings if table == LlmSettings.__tablename__ else FeatureLlmOverride
        stored = session.get(model, row_id, populate_existing=True)
        patch = limit_effects.without(stored, scope, rules) if stored is not None else {}
        if patch:
            change = settings.update if model is LlmSettings else settings.update_override
            change(session, actor, row_id, patch)
            cleared += 1
    return cleared


def _clear_personal(session: Session, actor: Actor, row_id: int, scope: SettingsScope, rules: Mapping[str, Any]) -> int:
    stored = session.get(LlmPiiSettings, row_id, populate_existing=True)
    patch = limit_effects.without_personal(stored, scope, rules) if stored is not None else {}
    if patch:
        personal_data.update(session, actor, row_id, patch)
    return bool(patch)


class Bound(NamedTuple):
    """A rule that binds a field of a scope's row, for a form."""

    by: LimitedBy
    text: str
    """What it says: ``at most 4,000``."""
    who: str
    """Whose it is, since when and why."""


def binding(session: Session, actor: Actor, scope: SettingsScope) -> dict[str, list[Bound]]:
    """Return which rules bind what the row of a scope may be set to: field -> rules, of those that any binds.

    Raises:
        Forbidden, NotFound: As :func:`~.scopes.named`.
    """
    of = named(session, actor, "settings.read", scope)
    bindings, layer = limit_checks.bindings_of(session, actor, of), limit_checks.layer_of(of)
    found = {}
    for field in bindings.fields():
        if field == DEFAULT_PROVIDER and scope.provider_id is not None:
            continue  # it chooses none
        rules = limit_checks.rules_at(bindings, layer, field)
        names: Mapping[int, str] = {}
        if field == DEFAULT_PROVIDER:
            names = limit_checks.provider_names(session, [one for by in rules if by.rule == "in" for one in by.bound])
        if rules:
            found[field] = [Bound(by, rule_text(field, by.rule, by.bound, names), who_text(by)) for by in rules]
    return found


def _is(name: str, value: Any) -> ColumnElement[bool]:
    column: Any = getattr(LlmLimits, name)
    return col(column).is_(None) if value is None else column == value


def _limits_it(field: str) -> ColumnElement[bool]:
    """Return the condition that limits have a rule for a field, or for a key of it."""
    name = func.jsonb_object_keys(LlmLimits.limits).column_valued("name")
    keys = sql_select(name).where(or_(name == field, func.starts_with(name, f"{field}.")))
    return keys.exists()


def _may(session: Session, actor: Actor, action: str, owner: str, scope: SettingsScope) -> Named:
    """Return what the scope of limits names, where *actor* may do *action* with limits of that owner there; raises as :func:`named`."""
    of = named(session, actor, action, scope)
    if owner == "installation":
        require(session, actor, action)
    return of


def _locked(session: Session, limit_id: int) -> LlmLimits:
    row = session.get(LlmLimits, limit_id, with_for_update=True, populate_existing=True)
    if row is None:
        raise NotFound("limit", limit_id)
    return row


def _checked(
    session: Session, actor: Actor, action: str, data: Mapping[str, Any], *, own: int | None = None
) -> tuple[dict[str, Any], Named]:
    valid = validate(LimitsInput, data)
    wanted = {**valid.model_dump(), "limits": valid.rules}
    scope = SettingsScope(valid.provider_id, valid.organization_id, valid.feature_id)
    of = _may(session, actor, action, valid.owner, scope)
    among = wanted["limits"].get(DEFAULT_PROVIDER, {}).get("in", ())
    if gone := set(among) - limit_checks.provider_names(session, among).keys():
        raise Invalid({DEFAULT_PROVIDER: f"in must have ids of providers that are there; {min(gone)} is not"})
    limit_rules.refuse_contradictions(session, wanted, own)
    return wanted, of


def _record(
    session: Session,
    actor: Actor,
    action: str,
    row: LlmLimits,
    of: Named,
    *,
    before: Mapping[str, Any],
    after: Mapping[str, Any],
) -> None:
    target = Target("limit", id_of(row), f"{row.owner}: {of.words}")
    changes = changes_between(before, after, FIELDS)
    record(session, actor, action, target, changes, organization=row.organization_id)
