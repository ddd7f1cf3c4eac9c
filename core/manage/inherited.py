"""What a scope has stored and what it inherits, read together for whoever edits it."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from sqlmodel import Session

from ..access.authority import visible
from ..actors import Actor
from ..crypto import get_ring
from ..resolving.effective import EffectiveSettings
from ..resolving.layers import Layer, Owner, layer_name, rank
from ..resolving.merge import ProviderFacts, build, provider_of
from ..resolving.tenant import Tenant
from ..store.tables import LlmProvider
from . import knowledge
from .organization_members import shown_names
from .scope_rows import ScopeRows
from .scopes import Named, SettingsRow, SettingsScope, models, named


class Editable(NamedTuple):
    """A scope, as somebody edits it."""

    of: Named
    row: SettingsRow | None
    """None: nothing is stored for it."""
    inherits: EffectiveSettings
    """What results when it says nothing, as if no layer above said anything either."""
    models: list[str] | None
    """Those that may be preferred there; None: it names no provider."""


def editable(session: Session, actor: Actor, scope: SettingsScope) -> Editable:
    """Return what is stored for *scope*, and what it inherits of the layers below it.

    Raises:
        Forbidden, NotFound: As :func:`~.scopes.named`.
    """
    of = named(session, actor, "settings.read", scope)
    row: SettingsRow | None = session.exec(scope.active()).one_or_none()
    usable = models(session, of)
    inherits = _built(session, actor, scope, of, usable, own=None)
    return Editable(of, row, inherits, None if usable is None else _in_order(of, usable))


def drafted(session: Session, actor: Actor, scope: SettingsScope, fields: Mapping[str, Any]) -> EffectiveSettings:
    """Return what results at *scope* if *fields* were saved there, with what it has already; raises as :func:`editable`."""
    of = named(session, actor, "settings.read", scope)
    row: SettingsRow | None = session.exec(scope.active()).one_or_none()
    number, version, values = (0, 0, {}) if row is None else (row.id or 0, row.version, row.model_dump())
    own = Layer(_own_layer(scope, of), number, version, {**values, **fields}, {})
    return _built(session, actor, scope, of, models(session, of), own=own)


def _built(
    session: Session, actor: Actor, scope: SettingsScope, of: Named, usable: set[str] | None, *, own: Layer | None
) -> EffectiveSettings:
    tenant = None
    if of.organization is not None:
        allowed = None if usable is None else frozenset(usable)
        tenant = Tenant(of.organization.id or 0, of.organization.slug, allowed_models=allowed)
    shown = shown_names(session, visible(session, actor, "settings.read"), scope.organization_id)
    reading = ScopeRows(session, of.organization, of.feature, shown)
    layers = [each.layer for each in reading.rows(of.provider)]
    below = [layer for layer in layers if rank(layer.name) < rank(_own_layer(scope, of))]
    return build(
        _facts(of.provider),
        below if own is None else [*below, own],
        knowledge=knowledge.of(session),
        tenant=tenant,
        feature=of.feature.name if of.feature else None,
        limits=reading.limits(of.provider),
    )


def _in_order(of: Named, usable: set[str]) -> list[str]:
    there = [name for name in (of.provider.available_models if of.provider else ()) if name in usable]
    return [*there, *sorted(usable.difference(there))]


def _facts(provider: LlmProvider | None) -> ProviderFacts:
    """Return the provider; where the scope names none, one that has nothing of its own."""
    if provider is None:
        return ProviderFacts(0, "", "", "", None, None, is_active=False, version=0, changes={}, open_box=None)
    # model_dump has no sealed key
    return provider_of({column: getattr(provider, column) for column in LlmProvider.model_fields}, get_ring())


def _own_layer(scope: SettingsScope, of: Named) -> Any:
    owner: Owner = "nobody"
    if of.organization is not None:
        owner = "template" if of.organization.kind == "template" else "organization"
    return layer_name(owner, feature=scope.feature_id is not None, provider=scope.provider_id is not None)
