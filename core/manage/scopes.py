"""Which row of stored parameters is meant: of an organisation, of a feature, of a provider, of any two or all, or of nobody."""

from typing import Any, Final, NamedTuple

from sqlmodel import Session, col, select

from ..access.authority import require
from ..actors import Actor
from ..errors import Invalid, NotFound
from ..store.organization_tables import FeatureLlmOverride, LlmFeature, Organization, OrganizationProvider
from ..store.schemas import could_be_id
from ..store.tables import LlmProvider, LlmSettings
from .organization_rows import reach

SettingsRow = LlmSettings | FeatureLlmOverride


class SettingsScope(NamedTuple):
    """Ids; None names nothing: all providers, no organisation, no feature."""

    provider_id: int | None = None
    organization_id: int | None = None
    feature_id: int | None = None

    @property
    def model(self) -> type[SettingsRow]:
        """The table of its rows."""
        return LlmSettings if self.feature_id is None else FeatureLlmOverride

    @property
    def columns(self) -> dict[str, Any]:
        """What its rows have in the columns that name it."""
        of: dict[str, Any] = {"provider_id": self.provider_id, "organization_id": self.organization_id}
        return of if self.feature_id is None else {**of, "feature_id": self.feature_id}

    def active(self) -> Any:
        """Return the query of its one active row."""
        found: Any = self.model
        query = select(found).where(found.is_active)
        for name, value in self.columns.items():
            column = col(getattr(found, name))
            query = query.where(column.is_(None) if value is None else column == value)
        return query


GLOBAL: Final = SettingsScope()


class Named(NamedTuple):
    """What a scope names, read and, but for the organisation, share-locked: in this order everywhere, so nobody deadlocks."""

    organization: Organization | None
    provider: LlmProvider | None
    feature: LlmFeature | None

    @property
    def words(self) -> str:
        """What people call it, and the audit: ``acme · summarise · openai``; ``all providers`` of what names no provider."""
        names = [each.slug for each in (self.organization,) if each] + [each.name for each in (self.feature,) if each]
        return " · ".join([*names, self.provider.name if self.provider else "all providers"])


def of_row(row: SettingsRow) -> SettingsScope:
    """Return the scope of a row."""
    return SettingsScope(row.provider_id, row.organization_id, getattr(row, "feature_id", None))


def named(session: Session, actor: Actor, action: str, scope: SettingsScope, *, role: str = "admin") -> Named:
    """Return what *scope* names, where *actor* may do *action*: one of that *role*, of the installation or its organisation.

    Raises:
        Forbidden, NotFound: The latter names what is not there; of another's organisation it is the same.
    """
    if scope.organization_id is None:
        require(session, actor, action, role=role)
        organization = None
    else:
        organization = reach(session, actor, action, scope.organization_id, role=role)
    return Named(
        organization,
        _shared(session, LlmProvider, scope.provider_id, "provider"),
        _shared(session, LlmFeature, scope.feature_id, "feature"),
    )


def default_provider(session: Session, provider_id: int | None) -> None:
    """Return when a scope may have this default provider, which stays share-locked; raises Invalid."""
    if provider_id is None:
        return
    row = session.get(LlmProvider, provider_id, with_for_update={"read": True}, populate_existing=True)
    if row is None:
        raise Invalid({"default_provider_id": "must be the id of a provider that is there"})
    if not row.is_active:
        raise Invalid({"default_provider_id": f"must be an active provider; {row.name} is not"})


def models(session: Session, of: Named) -> set[str] | None:
    """Return the models that may be preferred there; None: the scope names no provider, and none may be.

    Of an organisation: those of the provider that it may use, by its own word or else its template's, and its own models.
    """
    if of.provider is None:
        return None
    there = set(of.provider.available_models)
    if of.organization is None:
        return there
    ids = [number for number in (of.organization.id, of.organization.template_id) if number is not None]
    found = select(OrganizationProvider).where(
        OrganizationProvider.provider_id == of.provider.id, col(OrganizationProvider.organization_id).in_(ids)
    )
    rows = {row.organization_id: row for row in session.exec(found)}
    own = rows.get(of.organization.id or 0)
    allowed = [row.allowed_models for row in map(rows.get, ids) if row is not None and row.allowed_models is not None]
    return (there & set(allowed[0]) if allowed else there) | set(own.own_models if own else ())


def _shared(session: Session, model: Any, row_id: int | None, kind: str) -> Any:
    if row_id is None:
        return None
    row = None
    if could_be_id(row_id):
        row = session.get(model, row_id, with_for_update={"read": True}, populate_existing=True)
    if row is None:
        raise NotFound(kind, row_id)
    return row
