"""What is in force for any scope, and the stored rows that it is made of, as the database has them now: for pages.

The same merge that services have (:mod:`core.resolving.merge`), of rows that are read in this transaction: so a page shows what
was saved just now, and of other organisations it reads nothing.
"""

from datetime import UTC, datetime
from functools import partial
from typing import Final, NamedTuple

from sqlmodel import Session, select

from ..access.authority import require, role_of, visible
from ..actors import Actor
from ..errors import NotFound
from ..resolving.effective import EffectiveSettings, otherwise
from ..resolving.explanation import LayerName
from ..resolving.layers import Layer, Owner, layer_name, names_provider, strongest_first
from ..resolving.merge import ProviderFacts, build
from ..resolving.tenant import Default
from ..store.organization_tables import (
    LlmFeature,
    Organization,
    OrganizationMember,
)
from ..store.tables import LlmProvider
from . import features, organizations, providers
from .organization_members import shown_names
from .scope_rows import ScopeRows, StoredLayer

_NEVER: Final = datetime(1970, 1, 1, tzinfo=UTC)


class AskedFor(NamedTuple):
    """A scope by the names that a service would ask for; None: the default provider, no organisation, no feature."""

    provider: str | None = None
    organization: str | None = None
    feature: str | None = None


class InForce(NamedTuple):
    """What is in force for a scope, and why."""

    settings: EffectiveSettings
    rows: tuple[StoredLayer, ...]
    """Those that count, the strongest first."""
    organization: Organization | None
    template: Organization | None
    """That the organisation builds on, also one that is not active."""
    feature: LlmFeature | None
    may_edit: frozenset[Owner]
    """Whose rows the actor may change."""
    sees_cures: bool
    """Whether the actor may read why a key cannot be used: the reason may speak of the key, or of the base URL."""

    def possible(self) -> list[LayerName]:
        """Return the layers that this scope can have, the strongest first: also those without a row."""
        owners: list[Owner] = ["nobody"]
        if self.template is not None:
            owners.append("template")
        if self.organization is not None:
            owners.append("organization")
        has_provider = [False] + [True] * (self.settings.provider_id is not None)
        has_feature = [False] + [True] * (self.feature is not None)
        names = [
            layer_name(owner, feature=feature, provider=provider)
            for feature in has_feature
            for owner in owners
            for provider in has_provider
        ]
        return [layer.name for layer in strongest_first(Layer(name, 0, 0, {}, {}) for name in names)]


def in_force(session: Session, actor: Actor, asked: AskedFor) -> InForce:
    """Return what is in force for a scope, as *actor* may see it.

    Args:
        session: The transaction.
        actor: An admin or an analyst of the installation; of an organisation its members too, who read ``installation`` for
            whoever is none of them.
        asked: The scope.

    Raises:
        Forbidden: As everywhere.
        NotFound: If there is no such provider, feature or organisation, or the organisation is another's or a template, which
            nobody resolves.
    """
    reading = _reading(session, actor, asked)
    default = Default()
    if asked.provider is None:
        provider, default = reading.default_provider()
    else:
        provider = providers.get_by_name(session, asked.provider)
    rows = reading.rows(provider)
    return InForce(
        otherwise(reading.settings(provider, rows), default_by=default.source, default_limited_by=default.limited_by),
        rows,
        reading.organization,
        reading.template,
        reading.feature,
        *_rights(session, actor, provider, reading),
    )


class OfProvider(NamedTuple):
    """What one provider's settings are for a scope, and who changed last what is its own."""

    settings: EffectiveSettings
    changed_at: datetime | None
    changed_by: str | None


def of_all_providers(session: Session, actor: Actor, asked: AskedFor) -> tuple[EffectiveSettings, list[OfProvider]]:
    """Return what a provider without anything of its own gets in a scope, and what each one gets, by display name.

    Args:
        session: The transaction.
        actor: As of :func:`in_force`.
        asked: The scope; its provider does not count.

    Raises:
        Forbidden, NotFound: As :func:`in_force`.
    """
    reading = _reading(session, actor, asked)
    reading.read_all()
    found = []
    for provider in providers.list_all(session):
        rows = reading.rows(provider)
        own = [(each.changed_at, each.changed_by) for each in rows if names_provider(each.layer.name)]
        changes = [(provider.updated_at, reading.shown(provider.updated_by)), *own]
        newest = max(changes, key=lambda change: change[0] or _NEVER)
        found.append(OfProvider(reading.settings(provider, rows), *newest))
    nobody = ProviderFacts(0, "", "", "", None, None, is_active=False, version=0, changes={}, open_box=None)
    of_nobody = build(
        nobody,
        [each.layer for each in reading.rows(None)],
        limits=reading.limits(None),
        personal=partial(tuple, reading.personal(None)),
    )
    return of_nobody, found


def _reading(session: Session, actor: Actor, asked: AskedFor) -> ScopeRows:
    seen = visible(session, actor, "settings.read")
    organization = None
    if asked.organization is not None:
        organization = organizations.get_by_name(session, actor, asked.organization)
        if organization.kind == "template":
            raise NotFound("organisation", asked.organization)
    of = None if organization is None else organization.id
    require(session, actor, "settings.read", role="analyst", organization=of)
    feature = None if asked.feature is None else features.get_by_name(session, asked.feature)
    return ScopeRows(session, organization, feature, shown_names(session, seen, of))


def _rights(
    session: Session, actor: Actor, provider: LlmProvider | None, reading: ScopeRows
) -> tuple[frozenset[Owner], bool]:
    if actor.user_id is None and actor.token_id is None:
        return frozenset({"nobody", "template", "organization"}), True
    if role_of(session, actor) == "admin":
        return frozenset({"nobody", "template", "organization"}), True
    organization = reading.organization
    if organization is None or actor.user_id is None:
        return frozenset(), False
    found = select(OrganizationMember.role).where(
        OrganizationMember.user_id == actor.user_id, OrganizationMember.organization_id == organization.id
    )
    if session.exec(found).one_or_none() != "admin":
        return frozenset(), False
    terms = reading.terms(provider).get(organization.id) if provider is not None else None
    return frozenset({"organization"}), bool(terms is not None and terms.api_key_encrypted)
