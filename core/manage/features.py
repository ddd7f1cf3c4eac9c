"""Features: the purposes of the programs that resolve, which settings may be stored for. Admins of the installation register them."""

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import text
from sqlmodel import Session, col, func, or_, select

from ..access.authority import require, visible
from ..actors import Actor
from ..audit.record import Target, changes_between, record
from ..errors import AlreadyExists, NotFound
from ..store import violations
from ..store.organization_schemas import FeatureInput
from ..store.organization_tables import FeatureLlmOverride, LlmFeature
from ..store.schemas import could_be_id, validate
from ..store.versions import refuse_stale
from ..wording import counted

FIELDS: Final = tuple(FeatureInput.model_fields)
PAGE: Final = 100
_NAMES: Final = 1_000
"""So many different names of the log are looked at."""


def create(session: Session, actor: Actor, data: Mapping[str, Any]) -> LlmFeature:
    """Register a feature; *data* is a :class:`~core.store.organization_schemas.FeatureInput`.

    Raises:
        Forbidden, Invalid: As everywhere.
        AlreadyExists: If the name is taken.
    """
    require(session, actor, "feature.create")
    row = LlmFeature(**validate(FeatureInput, data).model_dump())
    session.add(row)
    _flush(session, row)
    _record(session, actor, "feature.create", row, before={}, after=row.model_dump(include=set(FIELDS)))
    return row


def get(session: Session, feature_id: int) -> LlmFeature:
    """Return a feature; raises NotFound."""
    row = session.get(LlmFeature, feature_id) if could_be_id(feature_id) else None
    if row is None:
        raise NotFound("feature", feature_id)
    return row


def get_by_name(session: Session, name: str) -> LlmFeature:
    """Return the feature of that name; raises NotFound."""
    found = select(LlmFeature).where(LlmFeature.name == name)
    row: LlmFeature | None = session.exec(found).one_or_none() if name.isascii() and "\x00" not in name else None
    if row is None:
        raise NotFound("feature", name[:100])
    return row


def search(
    session: Session, actor: Actor, words: str = "", *, after: str | None = None, limit: int = PAGE
) -> list[LlmFeature]:
    """Return features by name, a page of them; to everybody who has signed in: organisations override them.

    Args:
        session: The transaction.
        actor: Who.
        words: Looked for in the name and in what it is called, whatever their case.
        after: The name that the page before ended with.
        limit: So many at most.
    """
    visible(session, actor, "feature.list")
    query = select(LlmFeature)
    if after is not None:
        query = query.where(col(LlmFeature.name) > after)
    if words := " ".join(words.replace("\x00", "").encode("utf-8", "ignore").decode().split())[:200].lower():
        like = "%" + words.replace("\\", r"\\").replace("%", r"\%").replace("_", r"\_") + "%"
        query = query.where(or_(col(LlmFeature.name).like(like), func.lower(LlmFeature.display_name).like(like)))
    return list(session.exec(query.order_by(col(LlmFeature.name)).limit(limit)))


def update(
    session: Session, actor: Actor, feature_id: int, patch: Mapping[str, Any], *, version: int | None = None
) -> LlmFeature:
    """Change the fields in *patch*. Another name is another feature to services: those that ask for the old one get none.

    Raises:
        Forbidden, NotFound, Invalid, Conflict, AlreadyExists: As everywhere.
    """
    require(session, actor, "feature.update")
    row = _locked(session, feature_id)
    refuse_stale("feature", row, version, patch)
    before = row.model_dump(include=set(FIELDS))
    wanted = validate(FeatureInput, {**before, **patch}).model_dump()
    for name, value in wanted.items():
        if value != before[name]:
            setattr(row, name, value)
    _flush(session, row)
    if wanted != before:
        _record(session, actor, "feature.update", row, before=before, after=wanted)
    return row


def deletion(session: Session, feature_id: int) -> list[str]:
    """Return, in words, what deleting a feature takes with it; raises NotFound."""
    row = get(session, feature_id)
    number, of = session.exec(
        select(func.count(), func.count(FeatureLlmOverride.organization_id.distinct())).where(  # type: ignore[union-attr]  # a column
            FeatureLlmOverride.feature_id == feature_id
        )
    ).one()
    goes = [f"the feature {row.name}"]
    if number:
        goes.append(f"its {counted(number, 'override')}" + (f", of {counted(of, 'organisation')}" if of else ""))
    return goes


def delete(session: Session, actor: Actor, feature_id: int, *, version: int | None = None) -> list[str]:
    """Delete a feature and the overrides of it; returns what went, as :func:`deletion`.

    Raises:
        Forbidden, NotFound, Conflict: As everywhere.
    """
    require(session, actor, "feature.delete")
    row = _locked(session, feature_id)
    refuse_stale("feature", row, version, {})
    goes, before = deletion(session, feature_id), row.model_dump(include=set(FIELDS))
    session.delete(row)
    session.flush()
    target = Target("feature", feature_id, row.name)
    changes = {**changes_between(before, {}, FIELDS), "went": (goes, None)}
    record(session, actor, "feature.delete", target, changes)
    return goes


def unregistered(session: Session, actor: Actor, limit: int = 100) -> list[str]:
    """Return names that logged calls were made for, and no feature has: a misspelt one, or one to be registered.

    Raises:
        Forbidden: As everywhere; it takes an admin.
    """
    require(session, actor, "feature.list")
    return list(session.scalars(text(_UNREGISTERED), {"most": _NAMES, "limit": limit}))


# Name by name by the index, of the first many: the log may have millions of rows.
_UNREGISTERED: Final = """
    WITH RECURSIVE called AS (
        (SELECT feature FROM llm_logs WHERE feature IS NOT NULL ORDER BY feature LIMIT 1)
        UNION ALL
        SELECT (SELECT l.feature FROM llm_logs l WHERE l.feature > called.feature ORDER BY l.feature LIMIT 1)
            FROM called WHERE called.feature IS NOT NULL
    ), first AS (SELECT feature FROM called WHERE feature IS NOT NULL LIMIT :most)
    SELECT feature FROM first WHERE NOT EXISTS (SELECT FROM llm_features f WHERE f.name = feature)
        ORDER BY feature LIMIT :limit
"""


def _locked(session: Session, feature_id: int) -> LlmFeature:
    row = None
    if could_be_id(feature_id):
        row = session.get(LlmFeature, feature_id, with_for_update=True, populate_existing=True)
    if row is None:
        raise NotFound("feature", feature_id)
    return row


def _flush(session: Session, row: LlmFeature) -> None:
    violations.flush(session, AlreadyExists("feature", row.name))
    session.refresh(row)


def _record(
    session: Session, actor: Actor, action: str, row: LlmFeature, *, before: Mapping[str, Any], after: Mapping[str, Any]
) -> None:
    record(session, actor, action, Target("feature", row.id, row.name), changes_between(before, after, FIELDS))
