"""What vendors say of their models, collected with their pages' addresses, is what the catalogue says."""

import json
import os
import re
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from core.models import catalogue
from core.models.adapt import adapt
from core.models.facts import ModelFacts, catalogue_health, facts, known, with_sources
from tests.conftest import ROOT
from tests.models.scored import judged, report, said

FILES = ("facts", "unseen", "examined", "examined_2", "examined_3")
SETS = [json.loads(Path(__file__).with_name(f"{name}.json").read_text(encoding="utf-8")) for name in FILES]
"""All but the first were collected by somebody else, after the catalogue was made, and before anything was mended by them. The
examined ones also say what becomes of a value of a parameter."""
ALL = pytest.mark.parametrize("facts", SETS, ids=FILES)
SEEDED = [(vendor.kind, model) for vendor in catalogue.SEEDED for model in vendor.models]


_IS_OF = ("api", "model", "field", "parameter", "given")
"""What a fact is of; no two are of the same."""


@ALL
def test_a_fact_has_two_sources(facts: list[dict[str, Any]]) -> None:
    """At least one of them is somebody's page, and not a package that the catalogue is made from; no fact comes twice."""
    assert len(facts) >= 120
    every = [fact for found in SETS for fact in found]
    assert len({json.dumps([fact.get(key) for key in _IS_OF]) for fact in every}) == len(every)
    for fact in facts:
        assert len(set(fact["sources"])) >= 2, fact
        assert any(source.startswith("https://") for source in fact["sources"]), fact


@ALL
def test_the_catalogue_is_right(facts: list[dict[str, Any]]) -> None:
    """On 97 of 100 facts, and on every day of retirement."""
    wrong = [(fact, said(fact)) for fact in facts if judged(fact) != "right"]

    assert [(fact["model"], found) for fact, found in wrong if fact["field"] == "retires"] == []
    assert len(wrong) <= 0.03 * len(facts), wrong


@ALL
def test_the_docs_have_these_numbers(facts: list[dict[str, Any]]) -> None:
    """The line `ours` of each table is what the test above finds."""
    count = Counter(map(judged, facts))
    text = (ROOT / "docs" / "models.md").read_text(encoding="utf-8")

    assert f"| ours | {count['right']} | {count['wrong']} | {count['unknown']} |" in text
    assert f"{len(facts)} facts" in text


def test_a_report_names_what_is_not_right(tmp_path: Path) -> None:
    """As an examiner reads it: a line for each field, and one for each fact that is wrong or unknown."""
    a_price = {"api": "openai", "model": "gpt-5", "field": "price", "value": [1.25, 10.0], "at": "2026-01-01"}
    a_wrong = {"api": "openai", "model": "gpt-5", "field": "context", "value": 7, "sources": ["https://a.example"]}
    unknown = {"api": "openai", "model": "no-such", "field": "retires", "value": "2026-01-01", "sources": []}
    path = tmp_path / "some.json"
    path.write_text(json.dumps([{**a_price, "sources": []}, a_wrong, unknown]), encoding="utf-8")

    lines = report(path).splitlines()

    assert "all          1 right, 1 wrong, 1 unknown" in lines
    assert "price        1 right, 0 wrong, 0 unknown" in lines
    assert [line.partition(":")[0] for line in lines[-2:]] == ["unknown", "wrong"]
    assert "https://a.example" in lines[-1]


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
        (
            "bedrock",
            "openai_compatible",
            "us.anthropic.claude-opus-4-7",
            {"temperature", "top_p", "frequency_penalty", "presence_penalty"},  # the latter by Bedrock's own protocol
        ),
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
