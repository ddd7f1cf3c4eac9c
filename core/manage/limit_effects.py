"""What a limit puts out of force: counted and listed by the database before it is saved, and cleared when somebody asks for it.

Counted are rows that name all that the limit's scope names: what they say counts nowhere else. A row that names less, as one of
all providers under a limit of one organisation, keeps its value for everybody else, and is neither counted nor cleared.
"""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from sqlalchemy import Integer, and_, cast, false, literal, null, or_, true, union_all
from sqlalchemy import select as sql_select
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Session, col, func

from ..resolving.decision import SPELLINGS
from ..resolving.limits import DEFAULT_PROVIDER, OBJECTS, PERSONAL
from ..resolving.personal_data import PersonalDataRules
from ..store.organization_tables import FeatureLlmOverride, LlmFeature, Organization
from ..store.personal_data_tables import LlmPiiSettings
from ..store.tables import LlmProvider, LlmSettings
from .scopes import SettingsRow, SettingsScope, of_row

LISTED: Final = 50
"""Rows that are listed."""
_TABLES: Final[tuple[Any, ...]] = (LlmSettings, FeatureLlmOverride, LlmPiiSettings)
_OF_FEATURES: Final = {FeatureLlmOverride, LlmPiiSettings}
"""Tables whose rows may name a feature."""
_PERSONAL_FIELDS: Final = PersonalDataRules._fields


class PutOut(NamedTuple):
    """A row that has something which a limit puts out of force."""

    table: str
    row_id: int
    organization: str | None
    """Slug."""
    feature: str | None
    provider: str | None
    fields: tuple[str, ...]
    """As the limit calls them."""

    @property
    def words(self) -> str:
        """What people call its scope: ``acme · summarise · openai``."""
        return " · ".join([*filter(None, (self.organization, self.feature)), self.provider or "all providers"])


class Effects(NamedTuple):
    """What a limit puts out of force."""

    rows: int = 0
    organizations: int = 0
    fields: Mapping[str, int] = {}
    """Field -> rows; of those that any row has."""
    listed: tuple[PutOut, ...] = ()
    """The first of them, by organisation; :data:`LISTED` at most."""


def effects(session: Session, scope: SettingsScope, rules: Mapping[str, Mapping[str, Any]]) -> Effects:
    """Return what limits of *scope* put out of force of what is stored; other limits are not looked at.

    Args:
        session: The transaction of who may set limits there, and so sees all rows of the scope.
        scope: Of the limits.
        rules: Field -> rule, as :func:`core.resolving.limits.parse` reads them.
    """
    found, names = _found(scope, rules)
    # By organisation first: counting the distinct ones of all rows would sort them
    counts = [func.count().filter(found[f"out_{number}"]).label(f"out_{number}") for number in range(len(names))]
    each = sql_select(found.organization, func.count().label("rows"), *counts).group_by(found.organization).subquery().c
    sums = [func.coalesce(func.sum(each[f"out_{number}"]), 0) for number in range(len(names))]
    rows, organizations, *figures = session.execute(
        sql_select(func.coalesce(func.sum(each.rows), 0), func.count(each.organization), *sums)
    ).one()
    if not rows:
        return Effects()
    fields = {name: int(figure) for name, figure in zip(names, figures, strict=True) if figure}
    return Effects(int(rows), organizations, fields, _listed(session, found, names))


def of_each(
    session: Session, limits: Sequence[tuple[SettingsScope, Mapping[str, Mapping[str, Any]]]]
) -> list[tuple[int, int]]:
    """Return how many rows, and of how many organisations, each of several limits puts out of force: one query for all."""
    if not limits:
        return []
    parts = []
    for number, (scope, rules) in enumerate(limits):
        found, _ = _found(scope, rules)
        parts.append(sql_select(literal(number), func.count(found.row_id), func.count(found.organization.distinct())))
    figures = {number: (rows, organizations) for number, rows, organizations in session.execute(union_all(*parts))}
    return [figures[number] for number in range(len(limits))]


def ids(
    session: Session, scope: SettingsScope, rules: Mapping[str, Mapping[str, Any]], *, most: int
) -> list[tuple[str, int]]:
    """Return table and id of the rows that :func:`effects` counts; so many at most."""
    found, _ = _found(scope, rules)
    query = sql_select(found.name, found.row_id).order_by(found.name, found.row_id).limit(most)
    return [(table, row_id) for table, row_id in session.execute(query)]


def _found(scope: SettingsScope, rules: Mapping[str, Mapping[str, Any]]) -> tuple[Any, list[str]]:
    """Return the columns of the query of all rows of which anything is put out of force, and the fields in their order."""
    names = list(rules)
    parts = []
    for model in _TABLES:
        feature: Any = model.feature_id if model in _OF_FEATURES else cast(null(), Integer)
        out = [_out(model, scope, name, rules[name]) for name in names]
        query = sql_select(
            literal(model.__tablename__).label("name"),
            model.id.label("row_id"),
            model.organization_id.label("organization"),
            feature.label("feature"),
            model.provider_id.label("provider"),
            *(condition.label(f"out_{number}") for number, condition in enumerate(out)),
        )
        parts.append(query.where(model.is_active, _within(model, scope), or_(false(), *out)))
    return union_all(*parts).subquery().c, names


def _listed(session: Session, found: Any, names: list[str]) -> tuple[PutOut, ...]:
    first = (
        sql_select(*found)
        .order_by(found.organization.asc().nulls_first(), found.name.desc(), found.row_id)
        .limit(LISTED)
        .subquery()
    )
    of = first.c
    query = (
        sql_select(
            *(of.name, of.row_id, col(Organization.slug), col(LlmFeature.name), col(LlmProvider.name)),
            *(of[f"out_{number}"] for number in range(len(names))),
        )
        .select_from(
            first.outerjoin(Organization, col(Organization.id) == of.organization)
            .outerjoin(LlmFeature, col(LlmFeature.id) == of.feature)
            .outerjoin(LlmProvider, col(LlmProvider.id) == of.provider)
        )
        .order_by(of.organization.asc().nulls_first(), of.name.desc(), of.row_id)
    )
    return tuple(
        PutOut(table, row_id, organization, feature, provider, tuple(itertools.compress(names, out)))
        for table, row_id, organization, feature, provider, *out in session.execute(query)
    )


def without_personal(
    row: LlmPiiSettings, scope: SettingsScope, rules: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """Return the same patch as :func:`without` for a row of personal data."""
    own = SettingsScope(row.provider_id, row.organization_id, row.feature_id)
    patch: dict[str, Any] = {}
    for name, rule in rules.items():
        head, _, column = name.partition(".")
        for each in () if head != PERSONAL else (column,) if column else _PERSONAL_FIELDS:
            if _is_out(rule, getattr(row, each), locked="lock" in rule and own != scope):
                patch[each] = None
    return patch


def without(row: SettingsRow, scope: SettingsScope, rules: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the patch that clears from a stored row, which is within *scope*, what limits there put out of force; nothing else."""
    patch: dict[str, Any] = {}
    omitted = list(row.omitted_parameters or ())
    objects = {column: dict(getattr(row, column) or {}) for column in OBJECTS}
    is_narrower = of_row(row) != scope
    for name, rule in rules.items():
        locked = "lock" in rule and is_narrower
        column, _, key = name.partition(".")
        if column == PERSONAL:
            continue
        if column in OBJECTS:
            if locked:
                objects[column] = {each: value for each, value in objects[column].items() if key and each != key}
            continue
        field = "default_provider_id" if name == DEFAULT_PROVIDER else name
        if _is_out(rule, getattr(row, field), locked=locked):
            patch[field] = None
        objects["extra_parameters"] = {
            each: value
            for each, value in objects["extra_parameters"].items()
            if SPELLINGS.get(each) != name or not _is_out(rule, value, locked=locked)
        }
        if locked or rule.get("send") is True:
            omitted = [each for each in omitted if each != name]
    patch |= {column: left or None for column, left in objects.items() if left != (getattr(row, column) or {})}
    return patch if omitted == list(row.omitted_parameters or ()) else {**patch, "omitted_parameters": omitted or None}


def _is_out(rule: Mapping[str, Any], value: Any, *, locked: bool) -> bool:
    if value is None:
        return False
    if locked or ("in" in rule and value not in rule["in"]):
        return True
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return bool(("min" in rule and value < rule["min"]) or ("max" in rule and value > rule["max"]))


def _within(model: Any, scope: SettingsScope) -> Any:
    """Return the condition that a row names all that *scope* names; organisations that build on a template are within it."""
    conditions: list[Any] = [true()]
    if scope.feature_id is not None:
        conditions.append(model.feature_id == scope.feature_id if model in _OF_FEATURES else false())
    if scope.provider_id is not None:
        conditions.append(model.provider_id == scope.provider_id)
    if scope.organization_id is not None:
        # One list, no OR: so that the rows are looked up by index
        own = sql_select(literal(scope.organization_id))
        users = sql_select(col(Organization.id)).where(col(Organization.template_id) == scope.organization_id)
        conditions.append(model.organization_id.in_(union_all(own, users)))
    return and_(*conditions)


def _narrower(model: Any, scope: SettingsScope) -> Any:
    """Return the condition that a row, which is within *scope*, names more: a lock lets the scope's own row be."""
    if model is not LlmPiiSettings and (model is FeatureLlmOverride) != (scope.feature_id is not None):
        return true()
    of_feature = model is LlmPiiSettings and scope.feature_id is None
    own = model.organization_id.is_not(None)
    if scope.organization_id is not None:
        own = model.organization_id != scope.organization_id
    return or_(
        own,
        model.provider_id.is_not(None) if scope.provider_id is None else false(),
        model.feature_id.is_not(None) if of_feature else false(),
    )


def _personal_out(scope: SettingsScope, name: str, rule: Mapping[str, Any]) -> Any:
    """Return the condition that what a row of personal data says of a field, or of any, is put out of force."""
    model: Any = LlmPiiSettings
    column = name.partition(".")[2]
    values = [getattr(model, each) for each in (_PERSONAL_FIELDS if not column else (column,))]
    conditions = [and_(_narrower(model, scope), value.is_not(None)) for value in values if "lock" in rule]
    conditions += [value.not_in(list(rule["in"])) for value in values if "in" in rule]
    return func.coalesce(or_(false(), *conditions), false())


def _out(model: Any, scope: SettingsScope, name: str, rule: Mapping[str, Any]) -> Any:
    """Return the condition that what a row says of a field is put out of force."""
    is_personal = name.partition(".")[0] == PERSONAL
    if is_personal != (model is LlmPiiSettings):
        return false()
    return _personal_out(scope, name, rule) if is_personal else _setting_out(model, scope, name, rule)


def _setting_out(model: Any, scope: SettingsScope, name: str, rule: Mapping[str, Any]) -> Any:
    column, _, key = name.partition(".")
    if column in OBJECTS:
        there = getattr(model, column)
        says_it = func.jsonb_exists(there, key) if key else there != cast(_json({}), JSONB)
        return func.coalesce(and_(_narrower(model, scope), says_it), false())
    value = getattr(model, "default_provider_id" if name == DEFAULT_PROVIDER else name)
    spelled = [spelling for spelling, ours in SPELLINGS.items() if ours == name]
    extra, omitted = model.extra_parameters, model.omitted_parameters
    conditions: list[Any] = []
    besides: list[Any] = []
    """Of the extra parameters: asked only where there are any, as most rows have none."""
    if "lock" in rule:
        narrower = _narrower(model, scope)
        conditions.append(and_(narrower, or_(value.is_not(None), func.jsonb_exists(omitted, name))))
        besides += [and_(narrower, func.jsonb_exists(extra, each)) for each in spelled]
    if "in" in rule:
        fits = [cast(_json(one), JSONB) for one in rule["in"]]
        conditions.append(value.not_in(list(rule["in"])))
        besides += [and_(func.jsonb_exists(extra, each), extra[each].not_in(fits)) for each in spelled]
    for bound, is_less in (("min", True), ("max", False)):
        if bound in rule:
            limit, as_json = rule[bound], cast(_json(rule[bound]), JSONB)
            conditions.append(value < limit if is_less else value > limit)
            for each in spelled:
                is_number = func.jsonb_typeof(extra[each]) == "number"
                besides.append(and_(is_number, extra[each] < as_json if is_less else extra[each] > as_json))
    if rule.get("send") is True:
        conditions.append(func.jsonb_exists(omitted, name))
    if besides:
        conditions.append(and_(extra.is_not(None), or_(*besides)))
    return func.coalesce(or_(false(), *conditions), false())


def _json(value: Any) -> Any:
    return literal(value, JSONB)
