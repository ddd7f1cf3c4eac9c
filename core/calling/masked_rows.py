"""Rows of the request log with placeholders in the place of personal data. In the writer's thread, on copies.

Secrets go first, as in every row. Of a long text only what is kept is searched, and a value that stands where it is cut is left out.
"""

import json
from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

from ..patterns import later
from ..privacy.escapes import Unescaped, unescaped
from ..privacy.placeholders import Engine, Placeholders
from ..privacy.spans import PersonalSpan
from ..redaction import scrub, shortened
from ..resolving.personal_data import PersonalDataRules
from .pseudonyms import pseudonym
from .searching import engine_of

WHOLE: Final = "whole"
"""Of a row that was cut: name of a column -> how long it was. No column."""
NOT_KEPT: Final = "(not kept: masking failed)"
TEXTS: Final = ("prompt", "response", "parameters", "error", "tags")
"""What of a row is somebody's words."""
_BEHIND: Final = 1_024
"""Characters behind a cut that are searched too: no value that has a form is longer."""
_DEEPEST: Final = 40
_END: Final = later(r"\S{1,200}…|(?<=\s)\S{1,200}$(?s:(?<=.{500}))")
"""Where an error's words were cut, as they are at 500 characters: a value may have been cut in two there."""


def masked(
    row: Mapping[str, Any], rules: PersonalDataRules, longest: int, *, is_searched: bool = True
) -> dict[str, Any]:
    """Return *row* with placeholders, and how many values of each type they stand for.

    Args:
        row: As :func:`core.calling.log_rows.entry` returns it.
        rules: Of the call's scope.
        longest: Characters of a column that are kept.
        is_searched: False: its prompt could not be searched when it was sent, and is not to be kept.
    """
    row = {**row, "user_id": None if row["user_id"] is None else pseudonym(row["user_id"])}
    try:
        return _masked(row, rules, longest) if is_searched else _without_texts(row)
    except Exception:  # noqa: BLE001 - whatever it is, nobody knows what stands in the texts
        return _without_texts(row)


def _without_texts(row: Mapping[str, Any]) -> dict[str, Any]:
    kept = dict(row) | {name: NOT_KEPT for name in TEXTS if row[name] is not None}
    if row["parameters"] is not None:
        kept["parameters"] = {"not kept": "masking failed"}
    if row["tags"] is not None:
        kept["tags"] = [NOT_KEPT]
    return kept


def _masked(row: Mapping[str, Any], rules: PersonalDataRules, longest: int) -> dict[str, Any]:
    texts = {name: row[name] for name in TEXTS if row[name] is not None}
    if not texts:
        return dict(row)
    kept = _Kept(engine_of(rules), longest)
    copies = {name: kept.copy(name, value) for name, value in texts.items()}
    if "error" in copies:
        copies["error"] = _END.sub("…", copies["error"])
    placeholders = Placeholders(kept.search)
    found: dict[str, Any] = {**row, **placeholders.mask(copies, numbers=("prompt", "parameters")), WHOLE: kept.whole}
    if "parameters" in kept.whole:
        found["parameters"] = {"cut": f"{kept.whole['parameters']} characters in all"}
    found["pii"] = dict(Counter(row["pii"] or {}) + placeholders.counts) or None
    return found


class _Kept:
    """Copies what is kept of texts, without secrets, and knows where they were cut.

    Args:
        engine: Finds personal data.
        longest: Characters of a column.
    """

    def __init__(self, engine: Engine, longest: int) -> None:
        self._engine, self._longest = engine, longest
        self._known: dict[str, list[PersonalSpan]] = {}
        self._left = 0
        self.whole: dict[str, int] = {}
        """What was cut -> its length."""

    def search(self, text: str) -> Any:
        """Return what is found in *text*: of one that was cut, what was found before."""
        known = self._known.get(text)
        return self._engine(text) if known is None else known

    def copy(self, name: str, value: Any) -> Any:
        """Return what is kept of *value*: so many characters of its texts in all, in their order."""
        self._left = self._longest
        copied = self._copy(value, 0)
        if self._left < 0:
            self.whole[name] = len(value) if isinstance(value, str) else len(json.dumps(value, default=str))
        return copied

    def _copy(self, value: Any, depth: int) -> Any:
        if isinstance(value, str):
            return self._text(value)
        if depth > _DEEPEST:
            return "…"
        if isinstance(value, Mapping):
            return {str(name): self._copy(item, depth + 1) for name, item in value.items()}
        if isinstance(value, list | tuple | set | frozenset):
            return [self._copy(item, depth + 1) for item in value]
        if (dump := getattr(value, "model_dump", None)) is not None:
            return self._copy(dump(exclude_none=True), depth + 1)
        return value if value is None or isinstance(value, int | float) else self._text(str(value))

    def _text(self, text: str) -> str:
        room = self._left
        self._left -= len(text)
        if len(text) <= room:
            return scrub(text)
        if room <= 0:
            return ""
        seen = shortened(text, room + _BEHIND)
        read = unescaped(seen) or Unescaped(seen, range(len(seen) + 1))
        spans = sorted(self._engine(read.text))
        at = bisect_right(read.starts, room) - 1
        end = min([at, *(start for start, behind, _ in spans if start < at < behind)])
        self._known[read.text[:end]] = [span for span in spans if span[1] <= end]
        return seen[: read.starts[end]]
