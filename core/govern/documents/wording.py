"""A plan in words: a diff by rows, field by field, without secrets."""

import json
from collections.abc import Iterator
from typing import Any, Final

from ...redaction import scrub
from ...wording import counted
from .planning import ChangePlan, RowChange
from .rows import SecretStored, SecretWanted

_SIGNS: Final = {"create": "+", "update": "~", "delete": "-"}
_LONGEST: Final = 300
_NOTHING: Final = "nothing"


def shown(value: Any) -> str:
    """Return a value as a diff shows it: JSON in one line, cut; of a secret where it comes from, and its fingerprint."""
    if value is None:
        return _NOTHING
    if isinstance(value, SecretStored):
        return f"a key {value.fingerprint}".rstrip()
    if isinstance(value, SecretWanted):
        return f"the key of {value.part.reference}" if value.part.reference else _NOTHING
    text = scrub(json.dumps(value, ensure_ascii=False, sort_keys=True))
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}… ({len(text):,} characters)"


def lines_of(change: RowChange) -> Iterator[str]:
    """Yield the lines of one row: what becomes of it, then each field."""
    yield f"{_SIGNS[change.what]} {change.path}"
    before = change.before.fields if change.before is not None else {}
    disputed = {each.name: each for each in change.disputed}
    for name in change.differing:
        has, gets = before.get(name), change.differing[name]
        what = (
            _lists(has, gets) if isinstance(has, list) and isinstance(gets, list) else f"{shown(has)} -> {shown(gets)}"
        )
        if change.what == "create":
            what = shown(gets)
        yield f"    {name}: {what}{_dispute(disputed.get(name))}"
    if "" in disputed:
        yield f"    {_dispute(disputed['']).strip()}"


def _lists(before: list[Any], after: list[Any]) -> str:
    """Return what comes to a list and what goes, or both if it is another order."""
    come = [f"+ {shown(each)}" for each in after if each not in before]
    go = [f"- {shown(each)}" for each in before if each not in after]
    return ", ".join([*come, *go])[:_LONGEST] or f"{shown(before)} -> {shown(after)}"


def _dispute(disputed: Any) -> str:
    return "" if disputed is None else f"   ! changed by {disputed.by} at {disputed.at}, after the last apply"


def diff(plan: ChangePlan) -> str:
    """Return the whole plan as text, with a last line that counts."""
    lines = [line for change in plan.changes for line in lines_of(change)]
    lines += [f"! {path}: to be entered; the document only says that it is set" for path in plan.to_enter]
    lines += [f"? {path}: not compared; what it refers to is not set here" for path in plan.unread]
    return "\n".join([*lines, summary(plan)])


def summary(plan: ChangePlan) -> str:
    """Return one sentence that counts what the plan does."""
    if not plan.changes:
        return "Nothing to change."
    words = {"create": "to add", "update": "to change", "delete": "to remove"}
    parts = [
        f"{number} {word}"
        for what, word in words.items()
        if (number := sum(change.what == what for change in plan.changes))
    ]
    disputed = len(plan.disputed)
    more = f" {counted(disputed, 'field')} changed by others since the last apply." if disputed else ""
    return f"{', '.join(parts)}.{more}"
