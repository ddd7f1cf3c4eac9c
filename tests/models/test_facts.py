"""What is known of a model comes from a file, and a broken file is no error but an unknown model."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.models.facts import Known, ModelFacts, catalogue_health, facts, with_sources
from core.models.vendored import FORMAT, PATH, parse, read

GOOD: dict[str, Any] = {
    "format": FORMAT,
    "as_of": "2026-11-26",
    "versions": {"litellm": "1"},
    "models": {"openai": {"gpt-5": {"context": 400000, "retires": "2027-01-08"}}},
}


def _known(tmp_path: Path, content: Any) -> Known:
    path = tmp_path / "catalogue.json"
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return Known(read(path))


def test_the_vendored_catalogue_is_readable() -> None:
    health = catalogue_health()

    assert health.ok, health.problems
    assert health.models == sum(map(len, read(PATH).rows.values())) > 0


def test_a_model_is_known_at_its_own_api_by_its_name() -> None:
    known = facts("openai", "gpt-5")

    assert known is not None
    assert (known.name, known.api, known.reasoning, known.assumed_from) == ("gpt-5", "openai", "always", None)


BROKEN = {
    "nothing": b"",
    "cut off": json.dumps(GOOD).encode()[:-20],
    "not UTF-8": b"\xff\xfe" + json.dumps(GOOD).encode("utf-16-le"),
    "garbage": bytes(range(256)),
    "nested a thousandfold": b"[" * 100_000,
    "a list": [GOOD],
    "a number": 7,
    "null": None,
    "another format": GOOD | {"format": FORMAT + 1},
    "a format that is true": GOOD | {"format": True},
    "an unknown key": GOOD | {"more": 1},
    "no day": GOOD | {"as_of": "yesterday"},
    "a day that is a number": GOOD | {"as_of": 20261126},
    "models that are a list": GOOD | {"models": [GOOD["models"]]},
    "an API that is a list": GOOD | {"models": {"openai": [GOOD["models"]["openai"]]}},
    "a row that is a list": GOOD | {"models": {"openai": {"gpt-5": [1]}}},
    "a row that is null": GOOD | {"models": {"openai": {"gpt-5": None}}},
    "more than 4 MB": json.dumps(GOOD).encode() + b" " * 4 * 1024 * 1024,
}
WRONG: dict[str, Any] = {
    "unheard_of": 1,
    "context": "400000",
    "max_input": True,
    "max_output": -1,
    "reasoning": "sometimes",
    "efforts": "low",
    "default_effort": 1,
    "sampling": ["yes"],
    "temperature_max": float("nan"),
    "retires": "2027-13-01",
    "retired_effect": {},
    "successor": "x" * 301,
    "prices": [{"input": -1}],
}


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN)
def test_a_broken_file_makes_models_unknown(tmp_path: Path, content: Any) -> None:
    known = _known(tmp_path, content)

    assert known.facts("openai", "gpt-5") is None
    assert not known.health().ok
    assert all(known.health().problems)


@pytest.mark.parametrize(("key", "value"), WRONG.items(), ids=WRONG)
def test_a_broken_row_is_one_unknown_model(tmp_path: Path, key: str, value: Any) -> None:
    """The health names it, and the rows beside it are known."""
    known = _known(tmp_path, GOOD | {"models": {"openai": {"bad": {key: value}, "gpt-5": {"context": 1}}}})

    assert known.facts("openai", "bad") is None
    assert known.facts("openai", "gpt-5") is not None
    assert known.health().models == 1
    (problem,) = known.health().problems
    assert problem.startswith("openai bad: ")


@pytest.mark.parametrize(
    "price", [7, [], {"since": 1}, {"hours": [1]}, {"hours": [0, 1440]}, {"tiers": [["input", 1]]}, {"gold": 1}]
)
def test_a_broken_price_is_a_broken_row(tmp_path: Path, price: Any) -> None:
    known = _known(tmp_path, GOOD | {"models": {"openai": {"bad": {"prices": [price]}}}})

    assert known.facts("openai", "bad") is None
    assert not known.health().ok


def test_no_file(tmp_path: Path) -> None:
    known = Known(read(tmp_path / "nothing.json"))

    assert known.facts("openai", "gpt-5") is None
    assert known.health().problems == ("nothing.json is unread: No such file or directory.",)


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=8), inner, max_size=3)),
    max_leaves=8,
)
PRICE = st.dictionaries(st.sampled_from(["since", "hours", "input", "output", "tiers", "gold"]), JSON, max_size=4)
ROW = st.one_of(
    JSON,
    st.dictionaries(
        st.sampled_from([*WRONG, "priced_as"]), st.one_of(JSON, st.just("gpt-5"), st.lists(PRICE, max_size=2))
    ),
)


@given(st.dictionaries(st.sampled_from(["gpt-5", "GPT-5", "", "gpt-5-latest", "/", ":"]), ROW), JSON)
def test_whatever_rows_hold_nothing_raises(rows: dict[str, Any], other: Any) -> None:
    """A row is known, or it is not; the health says which could not be read."""
    known = Known(parse(GOOD | {"models": {"openai": rows, "azure": other}}))

    for name in ("gpt-5", "gpt-5-2025-08-07", "gpt-6", "", *rows):
        found = known.facts("openai", name)
        assert found is None or (isinstance(found, ModelFacts) and with_sources(found).name == found.name)
    assert known.health().ok == (known.health().problems == ())


@given(st.one_of(st.text(), st.text(alphabet="gpt-45.:/@ftv0", max_size=40), st.none(), st.integers(), st.binary()))
def test_whatever_the_name_nothing_raises(name: Any) -> None:
    """Of a person, of SQL, of a program without types; a name without end is kept nowhere."""
    for api in ("openai", "bedrock", "compatible", "no such API", "\ud800"):
        assert facts(api, name) is None or isinstance(facts(api, name), ModelFacts)
    assert facts("openai", "gpt-5" + "-x" * 1_000_000) is None
