"""Settings rows: the stored parameters of all providers, or of one. NULL inherits."""

import logging
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from sqlalchemy import select as sql_select
from sqlmodel import Session, col, func, or_, select

from ..access.authority import require
from ..actors import Actor
from ..audit.record import Target, changes_between, record
from ..crypto import get_ring
from ..errors import AlreadyExists, Invalid, NotFound
from ..models.knowledge import Knowledge
from ..parameters import PARAMETERS
from ..resolving.effective import EffectiveSettings
from ..resolving.layers import Layer
from ..resolving.merge import ProviderFacts, build, layer_of, provider_of
from ..store import violations
from ..store.schemas import SettingsInput, could_be_id, could_be_provider, validate
from ..store.tables import LlmProvider, LlmSettings, SettingsGeneration
from ..store.versions import refuse_stale
from . import knowledge, services

_log = logging.getLogger(__name__)
FIELDS = tuple(SettingsInput.model_fields)


def get(session: Session, settings_id: int) -> LlmSettings:
    """Return a settings row; raises NotFound."""
    row = session.get(LlmSettings, settings_id) if could_be_id(settings_id) else None
    if row is None:
        raise NotFound("settings row", settings_id)
    return row


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
) -> LlmSettings:
    """Set the fields in *patch* on the row of *provider_id* (None: of all providers), made if there is none yet.

    Args:
        session: The transaction.
        actor: An admin.
        provider_id: The scope.
        patch: Field -> value; None inherits.
        version: The version the edit was based on, 0 if there was no row; None writes whatever is there.

    Raises:
        Forbidden, NotFound, Invalid, Conflict: NotFound if the provider does not exist.
        AlreadyExists: If somebody else has just made the row of this scope.
    """
    require(session, actor, "settings.update")
    provider = _provider(session, provider_id)
    locked = _active(provider_id).with_for_update().execution_options(populate_existing=True)
    row = session.exec(locked).one_or_none()
    if row is None:
        if version:
            raise NotFound("settings row of this scope with version", version)
        row = LlmSettings(provider_id=provider_id, **_checked({}, patch, provider))
        session.add(row)
        _stored(session, row)
        _record(session, actor, "settings.create", row, provider, before={}, after=row.model_dump(include=set(FIELDS)))
        return row
    return _write(session, actor, row, provider, patch=patch, version=version)


def update(
    session: Session, actor: Actor, settings_id: int, patch: Mapping[str, Any], *, version: int | None = None
) -> LlmSettings:
    """Set the fields in *patch* on a row; raises as :func:`upsert_global`."""
    require(session, actor, "settings.update")
    scope = get(session, settings_id).provider_id
    provider = _provider(session, scope)  # it is locked before the row, here as everywhere: no deadlock
    return _write(session, actor, _locked(session, settings_id), provider, patch=patch, version=version)


def delete(session: Session, actor: Actor, settings_id: int, *, version: int | None = None) -> None:
    """Delete a row: its scope inherits everything again.

    Raises:
        Forbidden, NotFound, Conflict: The last if it was changed since *version*.
    """
    require(session, actor, "settings.delete")
    provider = _provider(session, get(session, settings_id).provider_id)
    row = _locked(session, settings_id)
    refuse_stale("settings row", row, version, {})
    before = row.model_dump(include=set(FIELDS))
    session.delete(row)
    session.flush()
    _record(session, actor, "settings.delete", row, provider, before=before, after={})


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

    def effective(self, name: str) -> EffectiveSettings:
        """Return the effective settings of a provider of :attr:`providers`."""
        row = self.providers[name]
        layers = [self.layers[scope] for scope in (None, row["id"]) if scope in self.layers]
        return build(provider_of(row, get_ring()), layers, generation=self.generation, knowledge=self.knowledge)

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
        return build(nobody, layers, generation=self.generation)


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
    )


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
    return build(provider_of(columns, get_ring()), layers, knowledge=knowledge.of(session))


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
    scope = col(LlmSettings.provider_id)
    return select(LlmSettings).where(
        LlmSettings.is_active,
        col(LlmSettings.organization_id).is_(None),
        scope.is_(None) if provider_id is None else scope == provider_id,
    )


def _provider(session: Session, provider_id: int | None) -> LlmProvider | None:
    if provider_id is None:
        return None
    provider = None
    if could_be_id(provider_id):
        provider = session.get(LlmProvider, provider_id, with_for_update={"read": True}, populate_existing=True)
    if provider is None:
        raise NotFound("provider", provider_id)
    return provider


def _locked(session: Session, settings_id: int) -> LlmSettings:
    row = None
    if could_be_id(settings_id):
        row = session.get(LlmSettings, settings_id, with_for_update=True, populate_existing=True)
    if row is None:
        raise NotFound("settings row", settings_id)
    return row


def _checked(current: Mapping[str, Any], patch: Mapping[str, Any], provider: LlmProvider | None) -> dict[str, Any]:
    wanted = validate(SettingsInput, {**current, **patch}).model_dump()
    preferred = wanted["preferred_model"]
    if preferred is not None and provider is None:
        raise Invalid({"preferred_model": "is chosen for one provider, not for all"})
    if preferred is not None and provider is not None and preferred not in provider.available_models:
        raise Invalid({"preferred_model": "must be one of the provider's models"})
    return wanted


def _write(
    session: Session,
    actor: Actor,
    row: LlmSettings,
    provider: LlmProvider | None,
    *,
    patch: Mapping[str, Any],
    version: int | None,
) -> LlmSettings:
    refuse_stale("settings row", row, version, patch)
    current = row.model_dump(include=set(FIELDS))
    wanted = _checked(current, patch, provider)
    for name, value in wanted.items():
        if value != current[name]:
            setattr(row, name, value)
    _stored(session, row)
    _record(session, actor, "settings.update", row, provider, before=current, after=wanted)
    return row


def _record(
    session: Session,
    actor: Actor,
    action: str,
    row: LlmSettings,
    provider: LlmProvider | None,
    *,
    before: Mapping[str, Any],
    after: Mapping[str, Any],
) -> None:
    changes = changes_between(before, after, FIELDS)
    if changes:
        target = Target("settings", row.id, provider.name if provider else "all providers")
        record(session, actor, action, target, changes)


def _stored(session: Session, row: LlmSettings) -> LlmSettings:
    scope = "all providers" if row.provider_id is None else f"provider {row.provider_id}"
    violations.flush(session, AlreadyExists("settings row of", scope, "provider_id"))
    session.refresh(row)
    if unread := services.unread_warning(session, {name: getattr(row, name) for name in PARAMETERS}):
        _log.warning("Settings of %s: %s", scope, unread)
    return row
