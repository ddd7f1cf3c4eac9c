"""What a scope has stored and what it inherits, read together for whoever edits it."""

from typing import Any, NamedTuple

from sqlmodel import Session, col, or_, select

from ..actors import Actor
from ..crypto import get_ring
from ..resolving.effective import EffectiveSettings
from ..resolving.layers import Layer, Owner, layer_name, rank
from ..resolving.merge import ProviderFacts, build, provider_of
from ..resolving.tenant import Tenant
from ..store.organization_tables import FeatureLlmOverride, Organization
from ..store.tables import LlmProvider, LlmSettings
from . import knowledge
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
    tenant = None
    if of.organization is not None:
        allowed = None if usable is None else frozenset(usable)
        tenant = Tenant(of.organization.id or 0, of.organization.slug, allowed_models=allowed)
    inherits = build(
        _facts(of.provider),
        [layer for layer in _layers(session, scope, of) if rank(layer.name) < rank(_own_layer(scope, of))],
        knowledge=knowledge.of(session),
        tenant=tenant,
        feature=of.feature.name if of.feature else None,
    )
    return Editable(of, row, inherits, None if usable is None else _in_order(of, usable))


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


def _layers(session: Session, scope: SettingsScope, of: Named) -> list[Layer]:
    """Return the layers that meet *scope*, its own among them."""
    owners: dict[int | None, tuple[Owner, str | None]] = {None: ("nobody", None)}
    if of.organization is not None:
        kind: Owner = "template" if of.organization.kind == "template" else "organization"
        owners[of.organization.id] = (kind, of.organization.slug)
        template = session.get(Organization, of.organization.template_id) if of.organization.template_id else None
        if template is not None and template.kind == "template" and template.is_active:
            owners[template.id] = ("template", template.slug)
    found = []
    for model in (LlmSettings, FeatureLlmOverride):
        has_feature = model is FeatureLlmOverride
        if has_feature and (of.feature is None or not of.feature.is_active):
            continue
        table: Any = model
        query = select(table).where(
            table.is_active,
            or_(table.organization_id.is_(None), table.organization_id.in_([number for number in owners if number])),
            or_(col(table.provider_id).is_(None), table.provider_id == scope.provider_id),
        )
        if has_feature:
            query = query.where(table.feature_id == scope.feature_id)
        for row in session.exec(query):
            owner, slug = owners[row.organization_id]
            name = layer_name(owner, feature=has_feature, provider=row.provider_id is not None)
            words = [*([slug] if slug else []), *([of.feature.name] if has_feature and of.feature else [])]
            found.append(
                Layer(name, row.id, row.version, row.model_dump(), row.field_changes, " · ".join(words) or None)
            )
    return found
