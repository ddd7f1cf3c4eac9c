"""Settings rows: the stored parameters of all providers, or of one. NULL inherits."""

import logging
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, TypeVar, cast

from sqlalchemy import select as sql_select
from sqlmodel import Session, col, func, or_, select

from ..actors import Actor
from ..audit.record import Target, changes_between, record
from ..crypto import get_ring
from ..errors import AlreadyExists, Invalid, NotFound
from ..models.knowledge import Knowledge
from ..parameters import PARAMETERS
from ..resolving.effective import EffectiveSettings
from ..resolving.explanation import LayerName
from ..resolving.layers import Layer
from ..resolving.limits import Limit, limit_of
from ..resolving.merge import ProviderFacts, build, layer_of, provider_of
from ..store import violations
from ..store.organization_schemas import ScopedSettingsInput
from ..store.organization_tables import FeatureLlmOverride, LlmLimits
from ..store.schemas import SettingsInput, could_be_id, could_be_provider, validate
from ..store.tables import LlmProvider, LlmSettings, SettingsGeneration
from . import knowledge, limit_checks, services
from .organization_members import refuse_stale_row
from .organization_rows import reach_row
from .scopes import Named, SettingsRow, SettingsScope, default_provider, models, named, of_row

_log = logging.getLogger(__name__)
FIELDS = tuple(SettingsInput.model_fields)
ALL_FIELDS = (*FIELDS, "default_provider_id")
"""Of a row of any scope."""
PRESET = "preset"
"""Among the changes of an event: the name of the preset that the values are of."""


def get(session: Session, settings_id: int) -> LlmSettings:
    """Return a settings row; raises NotFound."""
    row = session.get(LlmSettings, settings_id) if could_be_id(settings_id) else None
    if row is None:
        raise NotFound("settings row", settings_id)
    return row


def find(session: Session, actor: Actor, settings_id: int, action: str = "settings.read") -> LlmSettings:
    """Return a row that *actor* may do *action* with, be it an organisation's or nobody's.

    Raises:
        Forbidden, NotFound: As :func:`~.organization_rows.reach_row`.
    """
    return reach_row(session, actor, action, LlmSettings, settings_id)


def find_override(
    session: Session, actor: Actor, override_id: int, action: str = "settings.read"
) -> FeatureLlmOverride:
    """Return a feature's row that *actor* may do *action* with; raises as :func:`find`."""
    return reach_row(session, actor, action, FeatureLlmOverride, override_id)


def get_global(session: Session, provider_id: int | None) -> LlmSettings | None:
    """Return the active row of one provider, or with None the one of all providers; None if there is none."""
    row: LlmSettings | None = session.exec(_active(provider_id)).one_or_none()
    return row


def list_global(session: Session) -> list[LlmSettings]:
    """Return every active row, the one of all providers first."""
    query = select(LlmSettings).where(LlmSettings.is_active, col(LlmSettings.organization_id).is_(None))
    return list(session.exec(query.order_by(col(LlmSettings.provider_id).asc().nulls_first())))


def upsert_global(
    session: Session,
    actor: Actor,
    provider_id: int | None,
    patch: Mapping[str, Any],
    *,
    version: int | None = None,
    preset: str | None = None,
) -> LlmSettings:
    """Set the fields in *patch* on the row of *provider_id* (None: of all providers), made if there is none yet; as :func:`upsert`."""
    row = upsert(session, actor, SettingsScope(provider_id), patch, version=version, preset=preset)
    return cast("LlmSettings", row)


def upsert(
    session: Session,
    actor: Actor,
    scope: SettingsScope,
    patch: Mapping[str, Any],
    *,
    version: int | None = None,
    preset: str | None = None,
) -> SettingsRow:
    """Set the fields in *patch* on the row of *scope*, made if there is none yet.

    Args:
        session: The transaction.
        actor: An admin; of an organisation's rows also one of the organisation.
        scope: Whose.
        patch: Field -> value; None inherits.
        version: The version the edit was based on, 0 if there was no row; None writes whatever is there.
        preset: The name of the preset that the values are of, for the audit.

    Raises:
        Forbidden, NotFound, Invalid, Conflict: NotFound if what the scope names does not exist, or is another's.
        AlreadyExists: If somebody else has just made the row of this scope.
    """
    of = named(session, actor, "settings.update", scope)
    locked = scope.active().with_for_update().execution_options(populate_existing=True)
    row: SettingsRow | None = session.exec(locked).one_or_none()
    if row is None:
        if version:
            raise NotFound("settings row of this scope with version", version)
        row = scope.model(**scope.columns, **_checked(session, actor, {}, patch, of))
        session.add(row)
        _stored(session, row, of)
        made = row.model_dump(include=set(ALL_FIELDS))
        _record(session, actor, "create", row, of, before={}, after=made, preset=preset)
        return row
    _write(session, actor, row, of, patch=patch, version=version, preset=preset)
    return row


def update(
    session: Session, actor: Actor, settings_id: int, patch: Mapping[str, Any], *, version: int | None = None
) -> LlmSettings:
    """Set the fields in *patch* on a row, be it an organisation's or nobody's; raises as :func:`upsert`."""
    return _update(session, actor, LlmSettings, settings_id, patch, version=version)


def update_override(
    session: Session, actor: Actor, override_id: int, patch: Mapping[str, Any], *, version: int | None = None
) -> FeatureLlmOverride:
    """Set the fields in *patch* on a feature's row; raises as :func:`upsert`."""
    return _update(session, actor, FeatureLlmOverride, override_id, patch, version=version)


def delete(session: Session, actor: Actor, settings_id: int, *, version: int | None = None) -> None:
    """Delete a row, be it an organisation's or nobody's: its scope inherits everything again.

    Raises:
        Forbidden, NotFound, Conflict: The last if it was changed since *version*.
    """
    _delete(session, actor, LlmSettings, settings_id, version)


def delete_override(session: Session, actor: Actor, override_id: int, *, version: int | None = None) -> None:
    """Delete a feature's row; raises as :func:`delete`."""
    _delete(session, actor, FeatureLlmOverride, override_id, version)


def get_of(session: Session, actor: Actor, scope: SettingsScope) -> SettingsRow | None:
    """Return the active row of *scope*, None if there is none; raises as :func:`upsert`."""
    named(session, actor, "settings.read", scope)
    row: SettingsRow | None = session.exec(scope.active()).one_or_none()
    return row


def list_of(
    session: Session,
    actor: Actor,
    *,
    organization_id: int | None = None,
    feature_id: int | None = None,
    provider_id: int | None = None,
) -> list[SettingsRow]:
    """Return the active rows of an organisation, those of its features too; or those of a feature that are nobody's.

    With *provider_id* only those that name that provider.

    Raises:
        Forbidden, NotFound: As :func:`upsert`.
    """
    named(session, actor, "settings.read", SettingsScope(provider_id, organization_id, feature_id))
    models: tuple[Any, ...] = (LlmSettings, FeatureLlmOverride) if feature_id is None else (FeatureLlmOverride,)
    found: list[SettingsRow] = []
    for model in models:
        of: Any = col(model.organization_id)
        query = select(model).where(model.is_active, of.is_(None) if organization_id is None else of == organization_id)
        if feature_id is not None:
            query = query.where(model.feature_id == feature_id)
        if provider_id is not None:
            query = query.where(model.provider_id == provider_id)
        found += session.exec(query.order_by(col(model.provider_id).asc().nulls_first(), col(model.id)))
    return found


class Stored(NamedTuple):
    """Everything that effective settings are made of, as it was stored at one moment."""

    generation: int
    """At least what is stored is this new; it is read first."""
    providers: dict[str, dict[str, Any]]
    """Name -> column -> value."""
    layers: dict[int | None, Layer]
    """Provider id, None for all providers -> its active row."""
    knowledge: Knowledge | None = None
    """What is known of models."""
    limits: tuple[tuple[int | None, Limit], ...] = ()
    """Provider id, None for all providers -> a limit of nobody's that names no feature."""

    def limits_of(self, provider_id: int | None) -> tuple[Limit, ...]:
        """Return those that count for a provider, or for one that has none of its own."""
        return tuple(limit for of, limit in self.limits if of in {None, provider_id})

    def effective(self, name: str) -> EffectiveSettings:
        """Return the effective settings of a provider of :attr:`providers`."""
        row = self.providers[name]
        layers = [self.layers[scope] for scope in (None, row["id"]) if scope in self.layers]
        return build(
            provider_of(row, get_ring()),
            layers,
            generation=self.generation,
            knowledge=self.knowledge,
            limits=self.limits_of(row["id"]),
        )

    def with_draft(self, provider_id: int | None, fields: Mapping[str, Any]) -> "Stored":
        """Return the same with unsaved *fields* of one scope (None: of all providers), as if they were saved."""
        stored = [self.layers[provider_id]] if provider_id in self.layers else []
        layers = {scope: layer for scope, layer in self.layers.items() if scope != provider_id}
        for layer in _with_draft(stored, provider_id, fields):  # none, if it is inactive
            layers[provider_id] = layer
        return self._replace(layers=layers)

    def own(self) -> EffectiveSettings:
        """Return what a provider without settings of its own gets: the installation's values, and no model."""
        nobody = ProviderFacts(0, "", "", "", None, None, is_active=False, version=0, changes={}, open_box=None)
        layers = [self.layers[None]] if None in self.layers else []
        return build(nobody, layers, generation=self.generation, limits=self.limits_of(None))


def load(session: Session) -> Stored:
    """Return what is stored, for many effective settings at once; providers by display name."""
    generation = session.exec(select(SettingsGeneration.generation)).one()
    providers = session.execute(
        sql_select(*_columns(LlmProvider)).order_by(func.lower(LlmProvider.display_name), col(LlmProvider.id))
    )
    rows = session.execute(
        sql_select(*_columns(LlmSettings)).where(col(LlmSettings.is_active), col(LlmSettings.organization_id).is_(None))
    )
    return Stored(
        generation,
        {row["name"]: dict(row) for row in providers.mappings()},
        {row["provider_id"]: layer_of(dict(row)) for row in rows.mappings()},
        knowledge.of(session),
        _limits(session),
    )


def _limits(session: Session) -> tuple[tuple[int | None, Limit], ...]:
    """Return the limits that count where no organisation and no feature is asked for."""
    query = select(LlmLimits).where(col(LlmLimits.organization_id).is_(None), col(LlmLimits.feature_id).is_(None))
    found = []
    for row in session.exec(query.order_by(col(LlmLimits.id))):
        layer: LayerName = "all_providers" if row.provider_id is None else "provider"
        found.append((row.provider_id, limit_of(row.model_dump(), layer)))
    return tuple((of, limit) for of, limit in found if limit is not None)


def _columns(model: Any) -> list[Any]:
    return list(model.__table__.c)


def effective(
    session: Session, name: str, *, draft: tuple[int | None, Mapping[str, Any]] | None = None
) -> EffectiveSettings:
    """Return the effective settings of the provider *name*, from the database itself.

    Args:
        session: The transaction.
        name: The provider's name; an unknown one has the status ``unknown_provider``.
        draft: ``(provider_id, fields)``: unsaved values of one scope, to be seen as if they were saved. Who and when
            of such a value is not known yet.
    """
    found = select(LlmProvider).where(LlmProvider.name == name)
    provider = session.exec(found).one_or_none() if could_be_provider(name) else None
    if provider is None:
        return build(None, (), name=name)
    rows = session.exec(
        select(LlmSettings)
        .where(LlmSettings.is_active, col(LlmSettings.organization_id).is_(None))
        .where(or_(col(LlmSettings.provider_id).is_(None), LlmSettings.provider_id == provider.id))
        .order_by(col(LlmSettings.provider_id).asc().nulls_first())
    )
    layers = [layer_of(row.model_dump()) for row in rows]
    if draft is not None and draft[0] in {None, provider.id}:
        layers = list(_with_draft(layers, *draft))
    columns = {column: getattr(provider, column) for column in LlmProvider.model_fields}  # model_dump has no sealed key
    limits = tuple(limit for of, limit in _limits(session) if of in {None, provider.id})
    return build(provider_of(columns, get_ring()), layers, knowledge=knowledge.of(session), limits=limits)


def _with_draft(layers: list[Layer], provider_id: int | None, fields: Mapping[str, Any]) -> Iterable[Layer]:
    name = "all_providers" if provider_id is None else "provider"
    stored = next((layer for layer in layers if layer.name == name), None)
    changed = {f for f, value in fields.items() if stored is None or stored.values.get(f) != value}
    changes = {f: change for f, change in (stored.changes if stored else {}).items() if f not in changed}
    draft = layer_of(
        {
            **(stored.values if stored else {"id": 0, "version": 0}),
            **fields,
            "provider_id": provider_id,
            "field_changes": changes,
        }
    )
    others = [layer for layer in layers if layer is not stored]
    if not draft.values.get("is_active", True):
        return others
    return [draft, *others] if provider_id is None else [*others, draft]


def _active(provider_id: int | None) -> Any:
    return SettingsScope(provider_id).active()


R = TypeVar("R", LlmSettings, FeatureLlmOverride)


def _update(
    session: Session, actor: Actor, model: type[R], row_id: int, patch: Mapping[str, Any], *, version: int | None
) -> R:
    of = named(session, actor, "settings.update", of_row(reach_row(session, actor, "settings.update", model, row_id)))
    row = _locked(session, model, row_id)
    _write(session, actor, row, of, patch=patch, version=version)
    return row


def _delete(session: Session, actor: Actor, model: type[R], row_id: int, version: int | None) -> None:
    of = named(session, actor, "settings.delete", of_row(reach_row(session, actor, "settings.delete", model, row_id)))
    row = _locked(session, model, row_id)
    refuse_stale_row(session, actor, "settings row", row, version=version, patch={})
    before = row.model_dump(include=set(ALL_FIELDS))
    session.delete(row)
    session.flush()
    _record(session, actor, "delete", row, of, before=before, after={})


def _locked(session: Session, model: type[R], row_id: int) -> R:
    row = session.get(model, row_id, with_for_update=True, populate_existing=True)
    if row is None:
        raise NotFound("settings row", row_id)
    return row


def _checked(
    session: Session, actor: Actor, current: Mapping[str, Any], patch: Mapping[str, Any], of: Named
) -> dict[str, Any]:
    wanted = validate(ScopedSettingsInput, {**current, **patch}).model_dump()
    preferred, default = wanted["preferred_model"], wanted["default_provider_id"]
    if preferred is not None and of.provider is None:
        raise Invalid({"preferred_model": "is chosen for one provider, not for all"})
    if default is not None and of.provider is not None:
        raise Invalid({"default_provider_id": "is chosen where no provider is named"})
    if default != current.get("default_provider_id"):
        default_provider(session, default)
    # What an organisation may has become less, perhaps: what the edit does not touch stays, and is passed over
    if preferred is not None and (of.organization is None or preferred != current.get("preferred_model")):
        fits = models(session, of)
        if fits is not None and preferred not in fits:
            of_organization = " that this organisation may use" if of.organization else ""
            raise Invalid({"preferred_model": f"must be one of the provider's models{of_organization}"})
    limit_checks.refuse(session, actor, of, current, wanted)
    return wanted


def _write(
    session: Session,
    actor: Actor,
    row: SettingsRow,
    of: Named,
    *,
    patch: Mapping[str, Any],
    version: int | None,
    preset: str | None = None,
) -> None:
    refuse_stale_row(session, actor, "settings row", row, version=version, patch=patch)
    current = row.model_dump(include=set(ALL_FIELDS))
    wanted = _checked(session, actor, current, patch, of)
    for name, value in wanted.items():
        if value != current[name]:
            setattr(row, name, value)
    _stored(session, row, of)
    _record(session, actor, "update", row, of, before=current, after=wanted, preset=preset)


def _record(
    session: Session,
    actor: Actor,
    what: str,
    row: SettingsRow,
    of: Named,
    *,
    before: Mapping[str, Any],
    after: Mapping[str, Any],
    preset: str | None = None,
) -> None:
    kind = "override" if isinstance(row, FeatureLlmOverride) else "settings"
    if changes := changes_between(before, after, ALL_FIELDS):
        target = Target(kind, row.id, of.words)
        if preset is not None:
            changes[PRESET] = (None, preset)
        record(session, actor, f"{kind}.{what}", target, changes, organization=row.organization_id)


def _stored(session: Session, row: SettingsRow, of: Named) -> None:
    scope = of.words
    if of.provider is not None and of.organization is None and of.feature is None:
        scope = f"provider {row.provider_id}"
    violations.flush(session, AlreadyExists("settings row of", scope, "provider_id"))
    session.refresh(row)
    if unread := services.unread_warning(session, {name: getattr(row, name) for name in PARAMETERS}):
        _log.warning("Settings of %s: %s", scope, unread)
