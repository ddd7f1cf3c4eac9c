"""The stored rows that what is in force for a scope is made of, read in this transaction, and merged as services merge them."""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from functools import partial
from typing import Any, Final, NamedTuple

from sqlmodel import Session, col, or_, select

from ..crypto import get_ring
from ..kinds import origin_of
from ..models.knowledge import Knowledge
from ..resolving.carried import carried_of
from ..resolving.effective import EffectiveSettings, NoKey
from ..resolving.explanation import LayerName
from ..resolving.layers import Layer, Owner, layer_name, strongest_first
from ..resolving.limits import Limit, limit_of
from ..resolving.merge import ProviderFacts, build, provider_of
from ..resolving.organizations import OrganizationRow
from ..resolving.scope import tenant_of
from ..resolving.tenant import Default, Tenant, default_provider
from ..store.organization_tables import FeatureLlmOverride, LlmFeature, LlmLimits, Organization, OrganizationProvider
from ..store.past import is_past
from ..store.personal_data_tables import LlmPiiSettings
from ..store.table import id_of
from ..store.tables import LlmProvider, LlmProviderSecret, LlmSettings
from . import knowledge, organization_keys

_TERMS: Final = ("is_allowed", "requires_own_key", "allowed_models", "own_models")


class StoredLayer(NamedTuple):
    """A row that counts, with who changed it last."""

    layer: Layer
    changed_at: datetime | None
    changed_by: str | None


def _as_it_is(name: str | None) -> str | None:
    return name


class ScopeRows:
    """The rows of one organisation and feature, or of nobody; read for one provider when asked for, or for all at once."""

    def __init__(
        self,
        session: Session,
        organization: Organization | None,
        feature: LlmFeature | None,
        shown: Callable[[str | None], str | None] = _as_it_is,
        *,
        whole: bool = False,
    ) -> None:
        """Read nothing yet.

        Args:
            session: The transaction.
            organization: None: nobody's rows.
            feature: None: rows that name no feature.
            shown: What makes of who changed something what the actor reads.
            whole: Whether a feature or a template that is not active counts as well, for who edits what will count with it.
        """
        self._session, self.organization, self.feature, self.shown = session, organization, feature, shown
        self.template: Organization | None = None
        if organization is not None and organization.template_id is not None:
            template = session.get(Organization, organization.template_id)
            if template is not None and template.kind == "template" and template.deleted_at is None:
                self.template = template
        self._owners: dict[int | None, tuple[Owner, str | None]] = {None: ("nobody", None)}
        if self.template is not None and (whole or self.template.is_active):
            self._owners[self.template.id] = ("template", self.template.slug)
        if organization is not None:
            owner: Owner = "template" if organization.kind == "template" else "organization"
            self._owners[organization.id] = (owner, organization.slug)
        self._counts = feature is not None and (whole or feature.is_active)
        self._all: dict[type[Any], dict[int | None, list[Any]]] = {}
        """What was read for all providers at once, by provider."""
        self._knowledge: Knowledge | None = None

    def read_all(self) -> None:
        """Read what there is of all providers, for who asks for each."""
        models: list[type[Any]] = [LlmSettings, OrganizationProvider, LlmProviderSecret, LlmLimits, LlmPiiSettings]
        for model in models + [FeatureLlmOverride] * self._counts:
            found = self._all[model] = {}
            for row in self._session.exec(self._query(model)):
                found.setdefault(row.provider_id, []).append(row)

    def _of(self, model: type[Any], provider: LlmProvider | None) -> list[Any]:
        """Return the rows of a table for a provider; of settings those that name none as well."""
        if model is FeatureLlmOverride and not self._counts:
            return []
        wanted = {None if provider is None else provider.id}
        wanted |= {None} if model not in {OrganizationProvider, LlmProviderSecret} else set()
        if self._all:
            return [row for number in wanted for row in self._all[model].get(number, ())]
        of = col(model.provider_id)
        named = or_(*(of.is_(None) if number is None else of == number for number in wanted))
        return list(self._session.exec(self._query(model).where(named)))

    def _query(self, model: type[Any]) -> Any:
        query: Any = select(model)
        if model is LlmProviderSecret:
            return query.where(col(LlmProviderSecret.use) != "next_key")
        owner = col(model.organization_id)
        if model is OrganizationProvider:
            return query.where(owner.in_([row.id for row in (self.organization, self.template) if row is not None]))
        query = query.where(or_(owner.is_(None), owner.in_([number for number in self._owners if number is not None])))
        if model in {LlmLimits, LlmPiiSettings}:
            mine = self.feature.id if self._counts and self.feature is not None else None
            query = query.where(or_(col(model.feature_id).is_(None), col(model.feature_id) == mine))
            return query if model is LlmLimits else query.where(LlmPiiSettings.is_active)
        query = query.where(model.is_active)
        if model is FeatureLlmOverride and self.feature is not None:
            query = query.where(model.feature_id == self.feature.id)
        return query

    def rows(self, provider: LlmProvider | None) -> tuple[StoredLayer, ...]:
        """Return the rows that count for a provider, or those that name none; the strongest first."""
        found = [self._stored(row) for model in (LlmSettings, FeatureLlmOverride) for row in self._of(model, provider)]
        by_layer = {(each.layer.name, each.layer.row_id): each for each in found}
        return tuple(by_layer[layer.name, layer.row_id] for layer in strongest_first(each.layer for each in found))

    def _stored(self, row: Any) -> StoredLayer:
        owner, slug = self._owners[row.organization_id]
        feature = self.feature.name if isinstance(row, FeatureLlmOverride) and self.feature is not None else None
        name = layer_name(owner, feature=feature is not None, provider=row.provider_id is not None)
        scope = " · ".join(filter(None, (slug, feature))) or None
        layer = Layer(name, row.id, row.version, row.model_dump(), self._changes(row.field_changes), scope)
        return StoredLayer(layer, row.updated_at, self.shown(row.updated_by))

    def _changes(self, changes: Any) -> dict[str, Any]:
        """Return the column ``field_changes`` with the names that the actor may read; what is none of ours has none."""
        found = changes if isinstance(changes, dict) else {}
        return {
            field: {**change, "by": self.shown(change.get("by"))} if isinstance(change, dict) else None
            for field, change in found.items()
        }

    def terms(self, provider: LlmProvider) -> dict[int | None, OrganizationProvider]:
        """Return what is stored of a provider: id of the organisation, or of its template -> row."""
        if self.organization is None:
            return {}
        return {row.organization_id: row for row in self._of(OrganizationProvider, provider)}

    def _tenant(self, provider: LlmProvider) -> Tenant | None:
        if self.organization is None:
            return None
        found = self.terms(provider)
        own = found.get(self.organization.id)
        template = found.get(self.template.id) if self.template is not None else None
        open_own = _open_own(provider, own)
        if open_own is not None and is_past(self._session):
            open_own = NoKey
        return tenant_of(_row_of(self.organization), _columns(own), _columns(template), open_own)

    def default_provider(self) -> tuple[LlmProvider | None, Default]:
        """Return the provider of a scope that names none, and who chose it."""

        def is_usable(provider_id: int) -> bool:
            provider = self._session.get(LlmProvider, provider_id)
            if provider is None or not provider.is_active:
                return False
            tenant = self._tenant(provider)
            return tenant is None or tenant.is_allowed

        found = default_provider((each.layer for each in self.rows(None)), is_usable, self.limits(None))
        one = found.provider_id
        return (None if one is None else self._session.get(LlmProvider, one)), found

    def limits(self, provider: LlmProvider | None) -> tuple[Limit, ...]:
        """Return the limits that count for a provider, or those of scopes that name none."""
        found = []
        for row in self._of(LlmLimits, provider):
            name, scope = self._layer(row)
            values = row.model_dump() | {"field_changes": self._changes(row.field_changes)}
            found.append(limit_of(values, name, scope))
        return tuple(each for each in found if each is not None)

    def personal(self, provider: LlmProvider | None) -> list[Layer]:
        """Return the rows of personal data that count for a provider, or those of scopes that name none."""
        found = []
        for row in self._of(LlmPiiSettings, provider):
            name, scope = self._layer(row)
            found.append(Layer(name, row.id, row.version, row.model_dump(), self._changes(row.field_changes), scope))
        return found

    def _layer(self, row: Any) -> tuple[LayerName, str | None]:
        """Return the layer of a row whose feature is a column, and the words of its scope."""
        owner, slug = self._owners[row.organization_id]
        feature = self.feature.name if row.feature_id is not None and self.feature is not None else None
        name = layer_name(owner, feature=feature is not None, provider=row.provider_id is not None)
        return name, " · ".join(filter(None, (slug, feature))) or None

    def settings(self, provider: LlmProvider | None, rows: Iterable[StoredLayer]) -> EffectiveSettings:
        """Return what is in force; without a provider the built-in defaults, with the status ``no_provider``."""
        feature = None if self.feature is None else self.feature.name
        if provider is None:
            organization = self.organization
            tenant = None if organization is None else Tenant(id_of(organization), organization.slug)
            return build(None, (), missing="no_provider", tenant=tenant, feature=feature)
        if self._knowledge is None:
            self._knowledge = knowledge.of(self._session)
        return build(
            self.facts(provider),
            [each.layer for each in rows],
            knowledge=self._knowledge,
            tenant=self._tenant(provider),
            feature=feature,
            limits=self.limits(provider),
            personal=partial(tuple, self.personal(provider)),
        )

    def facts(self, provider: LlmProvider) -> ProviderFacts:
        """Return a provider as the merge takes it."""
        # model_dump has no sealed key
        columns = {column: getattr(provider, column) for column in LlmProvider.model_fields}
        columns["field_changes"] = self._changes(provider.field_changes)
        open_box: Callable[[], Any] | None = None
        if is_past(self._session):  # there was a key, perhaps, and it is not kept
            open_box = NoKey if columns["api_key_encrypted"] else None
            columns["api_key_encrypted"] = None
        return provider_of(columns, get_ring(), open_box, self._open_carried(provider))

    def _open_carried(self, provider: LlmProvider) -> Callable[[], Any] | None:
        if is_past(self._session):
            return None
        names = LlmProviderSecret.model_fields
        secrets = [{name: getattr(row, name) for name in names} for row in self._of(LlmProviderSecret, provider)]
        return carried_of(secrets, get_ring(), origin_of(provider.kind, provider.api_base_url))


def _row_of(organization: Organization) -> OrganizationRow:
    return OrganizationRow(
        id_of(organization),
        organization.slug,
        is_template=False,
        template_id=organization.template_id,
        shares_keys=organization.shares_keys,
        is_active=organization.is_active,
    )


def _columns(row: OrganizationProvider | None) -> Mapping[str, Any] | None:
    return None if row is None else {name: getattr(row, name) for name in _TERMS}


def _open_own(provider: LlmProvider, row: OrganizationProvider | None) -> Callable[[], Any] | None:
    if row is None or not row.api_key_encrypted:
        return None
    place = organization_keys.place_of(provider, row)
    return partial(get_ring().box, row.api_key_encrypted, row.api_key_key_id, row.api_key_binding, place)
