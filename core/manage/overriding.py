"""What hides a stored value, and what is stored below it: figures for whoever saves one, and for lists.

A row is above another where it names the feature and that one does not; with that alike, where it names an organisation and
that one does not; with that alike too, where it names the provider. It hides only what can be asked for together with it.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final, NamedTuple

from sqlalchemy import ColumnElement, Integer, and_, cast, distinct, false, not_, null, or_, true, union_all
from sqlalchemy import select as sql_select
from sqlmodel import Session, col, func, select

from ..access.authority import Visible, visible
from ..actors import Actor
from ..parameters import PARAMETERS
from ..store.organization_tables import FeatureLlmOverride, LlmFeature, Organization, OrganizationProvider
from ..store.tables import LlmProvider, LlmSettings
from ..wording import counted
from .scopes import SettingsRow, SettingsScope, of_row

_TABLES: Final[tuple[Any, ...]] = (LlmSettings, FeatureLlmOverride)
NOT_SENT: Final = "omitted_parameters"
_WEIGHED: Final = (*PARAMETERS, "preferred_model", "default_provider_id")
"""Fields of which the highest value counts, whole."""


class Hidden(NamedTuple):
    """How many rows above a scope say something of a field, and of how many organisations and features."""

    rows: int = 0
    organizations: int = 0
    features: int = 0


def above(session: Session, seen: Visible, scope: SettingsScope, fields: Iterable[str]) -> dict[str, Hidden]:
    """Return, for each of *fields*, what overrides it where it is set for *scope*: field -> figures, of those that are overridden.

    Args:
        session: The transaction.
        seen: What the actor sees: of others' organisations nothing is counted.
        scope: Whose value.
        fields: Columns of a settings row.
    """
    names = list(fields)
    parts = []
    for model in _TABLES:
        feature: Any = model.feature_id if model is FeatureLlmOverride else cast(null(), Integer)
        says = [_says(model, name).label(f"says_{number}") for number, name in enumerate(names)]
        query = sql_select(model.organization_id.label("organization"), feature.label("feature"), *says)
        query = query.where(model.is_active, _above(model, scope), _meets(model, scope))
        parts.append(query.where(or_(model.organization_id.is_(None), seen.where(model.organization_id))))
    rows = union_all(*parts).subquery().c
    columns: list[Any] = []
    for number in range(len(names)):
        says_it = rows[f"says_{number}"]
        for counting in (func.count(), func.count(distinct(rows.organization)), func.count(distinct(rows.feature))):
            columns.append(counting.filter(says_it))  # noqa: PERF401 - three a name, in this order
    figures = list(session.execute(sql_select(*columns)).one()) if names else []
    found = {name: Hidden(*figures[3 * number : 3 * number + 3]) for number, name in enumerate(names)}
    return {name: hidden for name, hidden in found.items() if hidden.rows}


def warnings(session: Session, actor: Actor, row: SettingsRow) -> list[str]:
    """Return, in sentences, which of a stored row's values others override, of those that *actor* sees; empty if none does.

    Raises:
        Forbidden: As :func:`core.access.authority.visible`.
    """
    seen = visible(session, actor, "settings.read")
    fields = [name for name in _WEIGHED if getattr(row, name) is not None]
    return [f"{name}: {_words(hidden)}." for name, hidden in above(session, seen, of_row(row), fields).items()]


def _words(hidden: Hidden) -> str:
    figures = ((hidden.organizations, "organisation"), (hidden.features, "feature"))
    of = " and ".join(counted(number, what) for number, what in figures if number)
    return f"overridden by {counted(hidden.rows, 'row')}{f' of {of}' if of else ''}"


def features_above(session: Session, seen: Visible, scope: SettingsScope, field: str, *, most: int) -> list[str]:
    """Return the features whose rows override *field* where it is set for *scope*, by name; *most* at most."""
    model = FeatureLlmOverride
    query = (
        select(LlmFeature.name)
        .join(model, col(model.feature_id) == LlmFeature.id)
        .where(model.is_active, _above(model, scope), _meets(model, scope), _says(model, field))
        .where(or_(col(model.organization_id).is_(None), seen.where(model.organization_id)))
    )
    return list(session.exec(query.distinct().order_by(LlmFeature.name).limit(most)))


def held_back(session: Session, scope: SettingsScope, fields: Iterable[str]) -> dict[str, list[str]]:
    """Return to which providers a value set for *scope*, which names none, is never sent: field -> names of providers.

    There a row below it says *do not send* and names the provider; only a value that names the provider too undoes that.

    Args:
        session: The transaction.
        scope: Whose values, as they are for its organisation, or for nobody's.
        fields: That have a value there.
    """
    if scope.provider_id is not None:
        return {}
    owners = select(Organization.template_id).where(Organization.id == scope.organization_id)
    found: dict[str, set[str]] = {}
    for model in _TABLES:
        owner = model.organization_id
        query = sql_select(col(LlmProvider.name), model.omitted_parameters)
        query = query.join(LlmProvider, col(LlmProvider.id) == model.provider_id).where(model.is_active)
        query = query.where(or_(owner.is_(None), owner == scope.organization_id, owner.in_(owners)))
        query = query.where(_meets(model, scope), not_(func.coalesce(_above(model, scope), false())))
        for provider, omitted in session.execute(query):
            for name in fields:
                if name in (omitted or ()):
                    found.setdefault(name, set()).add(provider)
    return {name: sorted(found[name]) for name in fields if name in found}


class OwnRows(NamedTuple):
    """What an organisation has stored."""

    own_keys: int = 0
    settings: int = 0
    overrides: int = 0


def of_organizations(session: Session, ids: Iterable[int]) -> dict[int, OwnRows]:
    """Return what each organisation of a page of a list has stored: id -> figures."""
    wanted = list(ids)
    found = dict.fromkeys(wanted, OwnRows())
    counts: tuple[tuple[str, Any, Any], ...] = (
        ("own_keys", OrganizationProvider, col(OrganizationProvider.api_key_encrypted).is_not(None)),
        ("settings", LlmSettings, col(LlmSettings.is_active)),
        ("overrides", FeatureLlmOverride, col(FeatureLlmOverride.is_active)),
    )
    for name, model, condition in counts:
        of = col(model.organization_id)
        query = select(of, func.count()).where(of.in_(wanted), condition).group_by(of)
        for number, figure in session.exec(query):
            found[number] = found[number]._replace(**{name: figure})
    return found


def of_features(session: Session, seen: Visible, ids: Iterable[int]) -> dict[int, Hidden]:
    """Return how many rows each feature has, and of how many organisations: id -> figures."""
    of = col(FeatureLlmOverride.feature_id)
    organization = col(FeatureLlmOverride.organization_id)
    query = (
        select(of, func.count(), func.count(organization.distinct()))
        .where(of.in_(list(ids)), FeatureLlmOverride.is_active)
        .where(or_(organization.is_(None), seen.where(organization)))
        .group_by(of)
    )
    return {number: Hidden(rows, organizations) for number, rows, organizations in session.exec(query)}


class OfFeature(NamedTuple):
    """What an organisation has for one feature."""

    name: str
    rows: int
    changed_at: datetime


def features_of(session: Session, organization_id: int, *, after: str | None = None, limit: int) -> list[OfFeature]:
    """Return the features that an organisation, which the actor sees, overrides, by name: a page of them."""
    model = FeatureLlmOverride
    query: Any = (
        select(LlmFeature.name, func.count(), func.max(model.updated_at))
        .join(model, col(model.feature_id) == LlmFeature.id)
        .where(model.organization_id == organization_id, model.is_active)
        .group_by(LlmFeature.name)
        .order_by(LlmFeature.name)
        .limit(limit)
    )
    if after is not None:
        query = query.where(LlmFeature.name > after)
    return [OfFeature(*row) for row in session.exec(query)]


def _says(model: Any, name: str) -> Any:
    """Return the condition that a row says something of a field: a value, or that it is not sent."""
    value = getattr(model, name).is_not(None)
    return or_(value, func.jsonb_exists(model.omitted_parameters, name)) if name != NOT_SENT else value


def _above(model: Any, scope: SettingsScope) -> Any:
    """Return the condition that a row of the table stands above *scope*, by what it names."""
    if (model is FeatureLlmOverride) != (scope.feature_id is not None):
        return true() if model is FeatureLlmOverride else false()
    if scope.organization_id is None:
        higher_owner, same_owner = model.organization_id.is_not(None), model.organization_id.is_(None)
    else:
        users = select(Organization.id).where(Organization.template_id == scope.organization_id)  # of a template
        higher_owner, same_owner = model.organization_id.in_(users), model.organization_id == scope.organization_id
    return or_(higher_owner, and_(same_owner, model.provider_id.is_not(None)) if scope.provider_id is None else false())


def _meets(model: Any, scope: SettingsScope) -> Any:
    """Return the condition that a row can be in force together with *scope*: it names nothing, or the same; a template's meet its users'."""
    fits: list[ColumnElement[bool]] = []
    if scope.provider_id is not None:
        fits.append(or_(model.provider_id.is_(None), model.provider_id == scope.provider_id))
    if scope.feature_id is not None and model is FeatureLlmOverride:
        fits.append(col(model.feature_id) == scope.feature_id)
    if scope.organization_id is not None:
        users = select(Organization.id).where(Organization.template_id == scope.organization_id)
        templates = select(Organization.template_id).where(Organization.id == scope.organization_id)
        owner = model.organization_id
        fits.append(or_(owner.is_(None), owner == scope.organization_id, owner.in_(users), owner.in_(templates)))
    return and_(true(), *fits)
