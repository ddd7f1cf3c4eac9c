"""Limits as a list shows them: what each says in words, whose it is, who set it, and what it puts out of force now."""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from sqlmodel import Session, col, func, select

from ..access.authority import role_of, visible
from ..actors import Actor
from ..resolving.limit_words import field_label, rule_text
from ..resolving.limits import DEFAULT_PROVIDER, parse
from ..store.organization_tables import LlmFeature, LlmLimits, Organization
from ..store.table import id_of
from ..store.tables import LlmProvider
from . import limit_checks, limit_effects
from .limits import scope_of
from .organization_members import shown_names


class ListedLimit(NamedTuple):
    """Limits of one scope, by one owner, as *actor* may read them."""

    row: LlmLimits
    scope: str
    """What people call it: ``acme · summarise · openai``."""
    organization: str | None
    """Slug."""
    feature: str | None
    provider: str | None
    is_template: bool
    says: tuple[tuple[str, str], ...]
    """What each limited field is called, and its rules: ``Max tokens``, ``at most 4,000``."""
    changed_by: str | None
    rows: int
    """That have something which is out of force by them."""
    organizations: int
    may_change: bool


def described(session: Session, actor: Actor, rows: Sequence[LlmLimits]) -> list[ListedLimit]:
    """Return limits that *actor* has found, each with what a list shows of it; a handful of queries, however many there are."""
    read = [(scope_of(row), parse(row.limits, names_provider=row.provider_id is not None)) for row in rows]
    figures = limit_effects.of_each(session, read)
    query = select(Organization).where(col(Organization.id).in_({row.organization_id for row in rows}))
    organizations = {id_of(each): each for each in session.exec(query)}
    found_features = select(LlmFeature).where(col(LlmFeature.id).in_({row.feature_id for row in rows}))
    features = {id_of(each): each.name for each in session.exec(found_features)}
    among = [number for _, rules in read for number in rules.get(DEFAULT_PROVIDER, {}).get("in", ())]
    providers = limit_checks.provider_names(session, {*among, *(row.provider_id for row in rows if row.provider_id)})
    shown = _names(session, actor, organizations)
    may = _may_change(session, actor)
    found = []
    for row, (scope, rules), (number, of) in zip(rows, read, figures, strict=True):
        organization = organizations.get(scope.organization_id or 0)
        feature, provider = features.get(scope.feature_id or 0), providers.get(scope.provider_id or 0)
        slug = organization.slug if organization is not None else None
        words = " · ".join([*filter(None, (slug, feature)), provider or "all providers"])
        says = tuple(
            (field_label(field), ", ".join(rule_text(field, rule, bound, providers) for rule, bound in said.items()))
            for field, said in rules.items()
        )
        is_template = organization is not None and organization.kind == "template"
        who = shown(row.organization_id, row.updated_by)
        found.append(
            ListedLimit(row, words, slug, feature, provider, is_template, says, who, number, of, may(row)),
        )
    return found


def provider_ids(session: Session) -> dict[str, int]:
    """Return name -> id of all providers, by what people call them."""
    query = select(LlmProvider.name, LlmProvider.id).order_by(func.lower(LlmProvider.display_name), col(LlmProvider.id))
    return {name: number for name, number in session.exec(query) if number is not None}


def _names(
    session: Session, actor: Actor, organizations: Iterable[int]
) -> Callable[[int | None, str | None], str | None]:
    """Return what makes of who changed limits of an organisation what *actor* reads."""
    seen = visible(session, actor, "limit.list")
    by = {number: shown_names(session, seen, number) for number in organizations}
    return lambda number, name: by[number](name) if number in by else name


def _may_change(session: Session, actor: Actor) -> Callable[[LlmLimits], bool]:
    seen = visible(session, actor, "limit.list")
    if seen.everything:
        is_admin = actor.user_id is None or role_of(session, actor) == "admin"
        return lambda _: is_admin
    return lambda row: row.owner == "organization" and seen.roles.get(row.organization_id or 0) == "admin"
