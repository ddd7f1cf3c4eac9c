"""How many of the facts in a file of tests/models each system has right, wrong, or not: the tables of docs/models.md."""

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import build
from claims import Claim
from vote import same

FOLDER = build.HERE.parents[1] / "tests" / "models"
FILES = ("facts.json", "unseen.json")
SYSTEMS = ("litellm", "modelparams", "pydantic-ai", "langchain", "rates", "genai-prices")

Answer = Callable[[Mapping[str, Any]], Any]


def table(name: str, found: Iterable[Claim], voted: build.Verdicts, taken: build.Verdicts, day: str) -> Iterable[str]:
    """Yield the table's lines: ours as it is, ours by the packages alone, and each package alone."""
    facts = json.loads((FOLDER / name).read_text(encoding="utf-8"))
    by_source: dict[str, dict[tuple[str, str, str], Any]] = {}
    for claim in found:
        field = "price" if claim.field == "prices" else claim.field
        by_source.setdefault(claim.source, {})[claim.api, claim.model, field] = claim.value
    answers: dict[str, Answer] = {
        "ours": lambda fact: _of(taken, fact),
        "ours, without what is corrected by hand": lambda fact: _of(voted, fact),
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


def _of(verdicts: build.Verdicts, fact: Mapping[str, Any]) -> Any:
    field = "prices" if fact["field"] == "price" else fact["field"]
    verdict = verdicts.get((fact["api"], fact["model"]), {}).get(field)
    return verdict.value if verdict else None


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
