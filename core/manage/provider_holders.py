"""Who holds on to a provider: settings that prefer its models, scopes that it is the default of, organisations with a key of their own."""

from collections.abc import Collection
from typing import Any, Final

from sqlalchemy import null
from sqlalchemy import select as sql_select
from sqlmodel import Session, col, func, select

from ..errors import Invalid
from ..store.organization_tables import FeatureLlmOverride, LlmFeature, Organization, OrganizationProvider
from ..store.tables import LlmSettings
from ..wording import counted

_NAMED: Final = 3
"""So many scopes stand in a sentence."""
_ROWS: Final[tuple[Any, ...]] = (LlmSettings, FeatureLlmOverride)


def keep_preferred(session: Session, provider_id: int, models: Collection[str]) -> None:
    """Raise Invalid if a settings row prefers a model that is not among *models* any more; names who does.

    An organisation's own models are no concern of the provider's list.
    """
    wanted: dict[str, set[str]] = {}
    for model in _ROWS:
        query = _with_scope(model, model.preferred_model).where(
            model.provider_id == provider_id,
            model.is_active,
            model.preferred_model.is_not(None),
            model.preferred_model.not_in(list(models)),
        )
        own = select(OrganizationProvider.id).where(
            OrganizationProvider.provider_id == provider_id,
            OrganizationProvider.organization_id == model.organization_id,
            func.jsonb_exists(OrganizationProvider.own_models, model.preferred_model),
        )
        for name, *scope in session.execute(query.where(~own.exists())):
            wanted.setdefault(name, set()).add(_words(*scope))
    if wanted:
        scopes = set().union(*wanted.values())
        who = "the Defaults page prefers it for this provider"
        if scopes != {""}:
            who = f"preferred by {_some(sorted(scope or 'the Defaults page' for scope in scopes))}"
        raise Invalid({"available_models": f"must keep {', '.join(sorted(wanted))}: {who}"})


def keep_default(session: Session, provider_id: int, field: str) -> None:
    """Raise Invalid, naming *field*, if the provider is the default of a scope: another has to be named there first."""
    found: list[str] = []
    for model in _ROWS:
        query = _with_scope(model).where(model.default_provider_id == provider_id, model.is_active)
        found += [_words(*scope) or "all organisations" for scope in session.execute(query)]
    if found:
        raise Invalid(
            {field: f"cannot change: it is the default provider of {_some(sorted(found))}. Choose another there first"}
        )


def own_keys(session: Session, provider_id: int) -> int:
    """Return how many organisations have a key of their own for the provider: a new host leaves them without, a deletion too."""
    number: int = session.exec(
        select(func.count())
        .select_from(OrganizationProvider)
        .where(
            OrganizationProvider.provider_id == provider_id, col(OrganizationProvider.api_key_encrypted).is_not(None)
        )
    ).one()
    return number


def with_own_keys(session: Session, provider_id: int, *, most: int = _NAMED) -> str:
    """Return, in words, which organisations have a key of their own for the provider: ``acme, beta and 9 more``; empty: none."""
    keys = own_keys(session, provider_id)
    query = (
        select(Organization.slug)
        .join(OrganizationProvider, col(OrganizationProvider.organization_id) == Organization.id)
        .where(
            OrganizationProvider.provider_id == provider_id, col(OrganizationProvider.api_key_encrypted).is_not(None)
        )
    )
    named = list(session.exec(query.order_by(Organization.slug).limit(most)))
    more = keys - len(named)
    return ", ".join(named) + (f" and {more:,} more" if more > 0 else "")


def goes_with(session: Session, provider_id: int) -> list[str]:
    """Return, in words, what of organisations and features deleting the provider takes with it."""
    goes = []
    if keys := own_keys(session, provider_id):
        goes.append(f"{counted(keys, 'own key')} of organisations: {with_own_keys(session, provider_id)}")
    overrides = session.exec(
        select(func.count()).select_from(FeatureLlmOverride).where(FeatureLlmOverride.provider_id == provider_id)
    ).one()
    if overrides:
        goes.append(f"its {counted(overrides, 'feature override')}")
    return goes


def _with_scope(model: Any, *columns: Any) -> Any:
    """Select *columns*, and the organisation's slug and the feature's name of each row."""
    has_feature = model is FeatureLlmOverride
    feature: Any = LlmFeature.name if has_feature else null()
    query = sql_select(*columns, col(Organization.slug), feature).select_from(model)
    query = query.outerjoin(Organization, col(Organization.id) == model.organization_id)
    return query.join(LlmFeature, col(LlmFeature.id) == model.feature_id) if has_feature else query


def _words(slug: str | None, feature: str | None) -> str:
    return " · ".join(filter(None, (slug, feature)))


def _some(words: list[str]) -> str:
    more = len(words) - _NAMED
    return ", ".join(words[:_NAMED]) + (f" and {more} more" if more > 0 else "")
