"""What vendors say of their models, collected with their pages' addresses, is what the catalogue says."""

import json
import os
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from core.models import catalogue
from core.models.adapt import adapt
from core.models.facts import ModelFacts, catalogue_health, facts, known, with_sources
from core.models.prices import prices_of, row_at
from tests.conftest import ROOT

FILES = ("facts", "unseen", "examined")
FACTS, UNSEEN, EXAMINED = (
    json.loads(Path(__file__).with_name(f"{name}.json").read_text(encoding="utf-8")) for name in FILES
)
"""The latter two were collected by somebody else, after the catalogue was made, and before anything was mended by them. The last
ones also say what becomes of a value of a parameter."""
ALL = pytest.mark.parametrize("facts", [FACTS, UNSEEN, EXAMINED], ids=FILES)
SEEDED = [(vendor.kind, model) for vendor in catalogue.SEEDED for model in vendor.models]


def _said(fact: dict[str, Any]) -> Any:
    """What the catalogue says of it; None: nothing. A price may be one of a day."""
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
    return (
        value.isoformat()
        if fact["field"] == "retires" and value
        else list(value)
        if isinstance(value, tuple)
        else value
    )


def _sent(fact: dict[str, Any]) -> str:
    """What becomes of a value, in the fact's words: one by another name is sent, one that is left out is not sent as it is."""
    notes = adapt(fact["api"], fact["model"], fact["given"], set(fact["given"])).adjustments
    by_what = {note.what: note for note in notes if note.parameter == fact["parameter"]}
    if "left_out" in by_what:
        return "not_as_is" if fact["value"] == "not_as_is" else "left_out"
    if "clamped" in by_what:
        return "not_as_is"
    renamed = by_what.get("renamed")
    return "sent" if renamed is None or fact["value"] == "sent" else str(renamed.to)


_IS_OF = ("api", "model", "field", "parameter", "given")
"""What a fact is of; no two are of the same."""


@ALL
def test_a_fact_has_two_sources(facts: list[dict[str, Any]]) -> None:
    """At least one of them is somebody's page, and not a package that the catalogue is made from; no fact comes twice."""
    assert len(facts) >= 120
    every = FACTS + UNSEEN + EXAMINED
    assert len({json.dumps([fact.get(key) for key in _IS_OF]) for fact in every}) == len(every)
    for fact in facts:
        assert len(set(fact["sources"])) >= 2, fact
        assert any(source.startswith("https://") for source in fact["sources"]), fact


@ALL
def test_the_catalogue_is_right(facts: list[dict[str, Any]]) -> None:
    """On 97 of 100 facts, and on every day of retirement."""
    wrong = [(fact, said) for fact in facts if not _agree(said := _said(fact), fact["value"])]

    assert [(fact["model"], said) for fact, said in wrong if fact["field"] == "retires"] == []
    assert len(wrong) <= 0.03 * len(facts), wrong


def _agree(said: Any, value: Any) -> bool:
    """Tell whether two values are one; 1,000,000 for 1,048,576 is."""
    if isinstance(said, int) and isinstance(value, int):
        return abs(said - value) <= 0.05 * max(said, value)
    return bool(said == value)


@ALL
def test_the_docs_have_these_numbers(facts: list[dict[str, Any]]) -> None:
    """The line `ours` of each table is what the test above finds."""
    right = sum(_agree(_said(fact), fact["value"]) for fact in facts)
    unknown = sum(_said(fact) in (None, []) for fact in facts)
    text = (ROOT / "docs" / "models.md").read_text(encoding="utf-8")

    assert f"| ours | {right} | {len(facts) - right - unknown} | {unknown} |" in text
    assert f"{len(facts)} facts" in text


@pytest.mark.parametrize(("kind", "model"), SEEDED, ids=[model for _, model in SEEDED])
def test_what_is_seeded_is_known_and_stays(kind: str, model: str) -> None:
    """It has limits, a price and two sources, and its vendor takes it away within 90 days of the catalogue at the soonest."""
    found = facts(kind, model)

    assert found is not None
    assert (found.name, found.api, found.assumed_from) == (model, kind, None)
    assert found.context
    assert found.max_output
    assert found.reasoning
    assert found.prices
    day = datetime.now(UTC).date() if os.environ.get("LLM_TEST_TODAY") else found.as_of  # the nightly run sets it
    assert found.retires is None or found.retires > day + timedelta(days=90)
    assert len({source for sources in with_sources(found).sources.values() for source in sources}) >= 2


@pytest.mark.parametrize(
    ("api", "kind", "model", "left_out"),
    [
        ("azure", "azure_openai", "gpt-5", {"temperature", "top_p", "frequency_penalty", "presence_penalty"}),
        ("azure", "azure_openai", "gpt-4o", set()),
        ("azure", "openai_compatible", "claude-opus-5", {"temperature", "top_p"}),
        ("bedrock", "openai_compatible", "us.anthropic.claude-opus-4-7", {"temperature", "top_p"}),
        ("vertex", "anthropic", "claude-opus-5", {"temperature", "top_p", "frequency_penalty", "presence_penalty"}),
        # hosts with rules of their own
        ("groq", "openai_compatible", "openai/gpt-oss-120b", {"frequency_penalty", "presence_penalty"}),
        ("openrouter", "openai_compatible", "openai/gpt-5", set()),
    ],
)
def test_a_host_with_a_row_of_its_own_has_the_vendors_rules(
    api: str, kind: str, model: str, left_out: set[str]
) -> None:
    """Its limits and its last day are its own; what the model refuses is the same as at its vendor."""
    values = {"temperature": 0.7, "max_tokens": 100, "top_p": 1.0, "frequency_penalty": 0.0, "presence_penalty": 0.0}
    found = adapt(api, model, values, set(), kind=kind)

    assert {note.parameter for note in found.adjustments if note.what == "left_out"} == left_out


def test_every_field_has_a_source() -> None:
    """Of each row of a vendor, each field that is known names who says so."""
    for api in ("openai", "anthropic", "google", "xai", "mistral", "deepseek"):
        for name, row in known().catalogue.rows[api].items():
            found = facts(api, name)
            assert found is not None
            missing = row.keys() - with_sources(found).sources.keys() - {"priced_as"}
            assert not missing, (api, name, missing)


def test_the_vendored_file_is_whole() -> None:
    """Every row of it is readable, and it says what it was made of."""
    assert catalogue_health().problems == ()
    assert {"litellm", "genai-prices", "pydantic-ai-slim"} <= known().catalogue.versions.keys()


def test_sources_of_an_unknown_row_are_empty() -> None:
    assert with_sources(ModelFacts("no such model", "openai")).sources == {}


def test_the_locked_packages_are_the_catalogues() -> None:
    """A lock that was renewed without `make catalogue` is noticed."""
    lock = (ROOT / "requirements-catalogue.lock").read_text(encoding="utf-8")
    pins = dict(re.findall(r"^([a-z0-9-]+)==([^ ;\\]+)", lock, re.MULTILINE))

    assert {name: pins[name] for name in known().catalogue.versions} == known().catalogue.versions
