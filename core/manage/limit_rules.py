"""What limits say of each other and of what is there: contradictions, and rules that bind nothing."""

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import or_
from sqlmodel import Session, col, func, select

from ..errors import Invalid
from ..parameters import SENDABLE
from ..resolving.limit_words import rule_text
from ..resolving.limits import limit_of, parse
from ..resolving.merge import ProviderFacts, build
from ..store.organization_tables import LlmLimits
from . import limit_checks
from .scope_rows import ScopeRows
from .scopes import Named

NOT_SENT_HERE: Final = "binds nothing: it is not sent here"
CURE: Final = 'Add "send": true to have it sent'
_NAMES: Final = ("organization_id", "feature_id", "provider_id")


def refuse_contradictions(session: Session, wanted: Mapping[str, Any], own: int | None) -> None:
    """Return when no limits of the same owner that can count together with these leave a field without any value; raises Invalid."""
    bounded = {name for name, rule in wanted["limits"].items() if rule.keys() & {"min", "max", "in", "send"}}
    if not bounded:
        return
    columns: Any = {name: col(getattr(LlmLimits, name)) for name in _NAMES if wanted[name] is not None}
    meets = [or_(column.is_(None), column == wanted[name]) for name, column in columns.items()]
    touches = or_(*(func.jsonb_exists(LlmLimits.limits, name) for name in sorted(bounded)))
    query = select(LlmLimits).where(LlmLimits.owner == wanted["owner"], touches, *meets)
    if own is not None:
        query = query.where(LlmLimits.id != own)
    problems: dict[str, str] = {}
    for row in session.exec(query.order_by(col(LlmLimits.id)).limit(1_000)):
        there = parse(row.limits, names_provider=row.provider_id is not None)
        for name in bounded & there.keys():
            if (rule := _contradicts(wanted["limits"][name], there[name])) is not None:
                text = rule_text(name, rule, there[name][rule])
                problems.setdefault(
                    name, f"leaves no value together with {text} of limit {row.id}, which has the same owner"
                )
    if problems:
        raise Invalid(problems)


def _contradicts(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> str | None:
    if "min" in ours and "max" in theirs and ours["min"] > theirs["max"]:
        return "max"
    if "max" in ours and "min" in theirs and ours["max"] < theirs["min"]:
        return "min"
    if "in" in ours and "in" in theirs and not set(ours["in"]) & set(theirs["in"]):
        return "in"
    return "send" if "send" in ours and "send" in theirs and ours["send"] != theirs["send"] else None


def notes(session: Session, of: Named, wanted: Mapping[str, Any], own: int | None) -> dict[str, str]:
    """Return which rules bind nothing, as the parameter is not sent where they hold."""
    bounding = [
        name for name, rule in wanted["limits"].items() if name in SENDABLE and rule.keys() & {"min", "max", "in"}
    ]
    if not bounding:
        return {}
    reading = ScopeRows(session, of.organization, of.feature, whole=True)
    others = [limit for limit in reading.limits(of.provider) if limit.id != own]
    row = {"id": 0, "version": 0, "field_changes": {}, **wanted}
    new = limit_of(row, limit_checks.layer_of(of))
    nobody = ProviderFacts(0, "", "", "", None, None, is_active=False, version=0, changes={}, open_box=None)
    facts = nobody if of.provider is None else reading.facts(of.provider)
    layers = [each.layer for each in reading.rows(of.provider)]
    found = build(facts, layers, limits=(*others, *([new] if new is not None else [])))
    found_notes = {}
    for item in found.explain():
        if item.name not in bounding or item.sent:
            continue
        if item.adjusted is not None and of.provider is not None:
            found_notes[item.name] = f"binds nothing with {found.model}: it is not sent there, as {item.adjusted.why}"
        elif item.omitted_by is not None or item.must_not_be_sent:
            found_notes[item.name] = f"{NOT_SENT_HERE}. {CURE}"
        elif item.value is None:
            found_notes[item.name] = "binds nothing: it has no value here, and is not sent"
    return found_notes
