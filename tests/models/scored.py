"""How many facts of a file the catalogue has right, wrong, or not: ``python -m tests.models.scored FILE``.

A fact has ``api``, ``model``, ``field``, ``value`` and ``sources``, as those of examined.json; a price may have ``at``, its day, and a
parameter ``parameter`` and ``given``. Each that is not right is named.
"""

import json
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from core.models.adapt import adapt
from core.models.facts import facts
from core.models.prices import prices_of, row_at

Fact = Mapping[str, Any]
ROUNDED = 0.05
"""Share of a number by which two are one: 1,000,000 and 1,048,576 are."""


def said(fact: Fact) -> Any:
    """Return what the catalogue says of *fact*; None or an empty list: nothing. A price may be one of a day."""
    if fact["field"] == "parameter":
        return _sent(fact)
    if fact["field"] == "price":
        at = datetime.fromisoformat(fact.get("at", "2026-11-26")).replace(hour=12, tzinfo=UTC)
        row = row_at(prices_of(fact["api"], fact["model"]), at)
        return row and [row.input and float(row.input), row.output and float(row.output)]
    found = facts(fact["api"], fact["model"])
    if found is None or found.assumed_from:
        return None
    value = getattr(found, fact["field"])
    if fact["field"] == "retires":
        return value and value.isoformat()
    return list(value) if isinstance(value, tuple) else value


def _sent(fact: Fact) -> str:
    """Return what becomes of a value, in the fact's words: one by another name is sent, one left out is not sent as it is."""
    notes = adapt(fact["api"], fact["model"], fact["given"], set(fact["given"])).adjustments
    by_what = {note.what: note for note in notes if note.parameter == fact["parameter"]}
    if "left_out" in by_what:
        return "not_as_is" if fact["value"] == "not_as_is" else "left_out"
    if "clamped" in by_what:
        return "not_as_is"
    renamed = by_what.get("renamed")
    return "sent" if renamed is None or fact["value"] == "sent" else str(renamed.to)


def judged(fact: Fact) -> str:
    """Return ``right``, ``wrong`` or ``unknown``."""
    answer, value = said(fact), fact["value"]
    if answer in (None, []):
        return "unknown"
    if isinstance(answer, int) and isinstance(value, int):
        return "right" if abs(answer - value) <= ROUNDED * max(answer, value) else "wrong"
    return "right" if answer == value else "wrong"


def report(path: Path) -> str:
    """Return a table, field by field, and a line for each fact of the file at *path* that is not right."""
    words = ("right", "wrong", "unknown")
    counts: dict[str, dict[str, int]] = {}
    others = []
    for fact in json.loads(path.read_text(encoding="utf-8")):
        judgement = judged(fact)
        for name in (fact["field"], "all"):
            counts.setdefault(name, dict.fromkeys(words, 0))[judgement] += 1
        if judgement != "right":
            shown = {key: value for key, value in fact.items() if key != "sources"}
            others.append(
                f"{judgement}: {json.dumps(shown)}, here {json.dumps(said(fact))}; {' '.join(fact['sources'])}"
            )
    table = [
        f"{name:12} " + ", ".join(f"{count} {word}" for word, count in row.items()) for name, row in counts.items()
    ]
    return "\n".join([*sorted(table), *sorted(others)])


if __name__ == "__main__":
    sys.stdout.write(report(Path(sys.argv[1])) + "\n")
