"""How many of the facts in a file of tests/models each system has right, wrong, or not: the tables of docs/models.md."""

import json
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, date, datetime
from typing import Any

import build
from claims import Claim
from vote import same

from core.models.adapt import adapt
from core.models.facts import Known
from core.models.knowledge import Knowledge
from core.models.prices import prices_of, row_at
from core.models.vendored import Catalogue, Rows

FOLDER = build.HERE.parents[1] / "tests" / "models"
FILES = ("facts.json", "unseen.json", "examined.json", "examined_2.json", "examined_3.json")
SYSTEMS = ("litellm", "modelparams", "pydantic-ai", "langchain", "rates", "genai-prices")

Answer = Callable[[Mapping[str, Any]], Any]


class _Made(Knowledge):
    """What a catalogue of these rows knows, as the program would ask it."""

    def __init__(self, rows: Rows, day: str) -> None:
        super().__init__()
        self._newer = Known(Catalogue(rows, date.fromisoformat(day)))


def table(name: str, found: Iterable[Claim], voted: Rows, taken: Rows, day: str) -> Iterable[str]:
    """Yield the table's lines: ours as it is, ours by the packages alone, and each package alone."""
    facts = json.loads((FOLDER / name).read_text(encoding="utf-8"))
    by_source: dict[str, dict[tuple[str, str, str], Any]] = {}
    for claim in found:
        field = "price" if claim.field == "prices" else claim.field
        by_source.setdefault(claim.source, {})[claim.api, claim.model, field] = claim.value
    ours, alone = _Made(taken, day), _Made(voted, day)
    answers: dict[str, Answer] = {
        "ours": lambda fact: _of(ours, fact, day),
        "ours, without what is corrected by hand": lambda fact: _of(alone, fact, day),
    }
    for source in SYSTEMS:
        said = by_source.get(source, {})
        answers[source] = lambda fact, said=said: said.get((fact["api"], fact["model"], fact["field"]))
    yield f"{name}:"
    yield "| | right | wrong | unknown | days of retirement: right, wrong, unknown |"
    yield "|---|---:|---:|---:|---|"
    for system, answer in answers.items():
        counts, days = [0, 0, 0], [0, 0, 0]
        for fact in facts:
            index = _judge(fact, answer(fact), fact.get("at", day))
            counts[index] += 1
            days[index] += fact["field"] == "retires"
        yield f"| {system} | {counts[0]} | {counts[1]} | {counts[2]} | {days[0]}, {days[1]}, {days[2]} |"


def _of(knowledge: Knowledge, fact: Mapping[str, Any], day: str) -> Any:
    api, model, field = fact["api"], fact["model"], fact["field"]
    if field == "parameter":
        return sent(knowledge, fact)
    if field == "price":
        at = datetime.fromisoformat(fact.get("at", day)).replace(hour=12, tzinfo=UTC)
        row = row_at(prices_of(api, model, knowledge), at)
        return row and {"input": row.input and float(row.input), "output": row.output and float(row.output)}
    known = knowledge.facts(api, model)
    value = getattr(known, field) if known and not known.assumed_from else None
    return value.isoformat() if isinstance(value, date) else value


def sent(knowledge: Knowledge | None, fact: Mapping[str, Any]) -> str:
    """Return what becomes of the parameter of *fact*: ``sent``, ``left_out``, ``not_as_is``, or the name that it is sent by.

    Of what a fact says no closer its own word is returned: a value that is sent by another name is sent, and one that is left
    out is not sent as it is.
    """
    notes = adapt(fact["api"], fact["model"], fact["given"], set(fact["given"]), knowledge=knowledge).adjustments
    by_what = {note.what: note for note in notes if note.parameter == fact["parameter"]}
    if "left_out" in by_what:
        return "not_as_is" if fact["value"] == "not_as_is" else "left_out"
    if "clamped" in by_what:
        return "not_as_is"
    renamed = by_what.get("renamed")
    return "sent" if renamed is None or fact["value"] == "sent" else str(renamed.to)


def _judge(fact: Mapping[str, Any], said: Any, day: str) -> int:
    """Return 0 for right, 1 for wrong, 2 for unknown."""
    if not said:
        return 2
    expected = fact["value"]
    if fact["field"] == "price":
        rows = [said] if isinstance(said, dict) else said
        begun = [row for row in rows if row.get("since", "") <= day and "hours" not in row]
        said = [begun[-1].get("input"), begun[-1].get("output")]
    elif isinstance(said, tuple):
        said = list(said)
    return 0 if said == expected or (isinstance(expected, int) and same(said, expected)) else 1
