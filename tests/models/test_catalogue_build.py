"""The catalogue takes what most say, and packages that copy one another have one vote between them."""

import json
import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.conftest import ROOT


@pytest.fixture
def build(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The builder's module, which is a script beside the code."""
    monkeypatch.syspath_prepend(ROOT / ".ci" / "catalogue")
    import build as found  # noqa: PLC0415 - the path is there only now

    yield found
    for name in ("build", "claims", "vote"):
        sys.modules.pop(name, None)


OVERRIDES: dict[str, Any] = {"as_of": date(2026, 11, 26), "apis": {}}


def _taken(build: ModuleType, *claims: tuple[str, Any, str], **overrides: Any) -> dict[str, Any]:
    """What is taken of a model of OpenAI's that each (field, value, source) speaks of."""
    found = [build.Claim("openai", "gpt-x", *claim) for claim in claims]
    verdicts = build.verdicts(found, OVERRIDES | overrides)
    return {field: verdict.value for field, verdict in verdicts.get(("openai", "gpt-x"), {}).items()}


@pytest.mark.parametrize(
    ("claims", "expected"),
    [
        # two against one
        ([("sampling", "no", "pydantic-ai"), ("sampling", "yes", "litellm"), ("sampling", "yes", "langchain")], "yes"),
        # one against one: the more trusted
        ([("sampling", "no", "pydantic-ai"), ("sampling", "yes", "langchain")], "no"),
        # langchain, rates and model-prices are models.dev thrice
        (
            [("reasoning", "none", "langchain"), ("reasoning", "none", "rates"), ("reasoning", "always", "litellm")],
            "always",
        ),
    ],
)
def test_the_majority_is_taken(build: ModuleType, claims: list[tuple[str, Any, str]], expected: str) -> None:
    assert _taken(build, *claims)[claims[0][0]] == expected


def test_a_package_that_clones_rows_decides_nothing_alone(build: ModuleType) -> None:
    assert _taken(build, ("retires", "2026-10-23", "modelparams")) == {}
    assert _taken(build, ("retires", "2026-10-23", "modelparams"), ("retires", "2027-01-14", "litellm")) == {
        "retires": "2027-01-14"
    }


def test_rounding_is_no_dispute(build: ModuleType) -> None:
    """The number that is not round is kept."""
    claims = [("context", 1_000_000, "genai-prices"), ("context", 1_047_576, "rates")]
    verdicts = build.verdicts([build.Claim("openai", "gpt-x", *claim) for claim in claims], OVERRIDES)
    verdict = verdicts["openai", "gpt-x"]["context"]

    assert (verdict.value, set(verdict.sources), verdict.disputed) == (1_047_576, {"genai-prices", "rates"}, {})


def test_disagreements_are_recorded(build: ModuleType) -> None:
    claims = [("context", 200_000, "genai-prices"), ("context", 1_000_000, "rates"), ("context", 200_000, "litellm")]
    verdicts = build.verdicts([build.Claim("openai", "gpt-x", *claim) for claim in claims], OVERRIDES)

    assert verdicts["openai", "gpt-x"]["context"].disputed == {"rates": 1_000_000}


def test_an_override_wins_and_names_its_reason(build: ModuleType) -> None:
    fact = {"api": "openai", "models": ["gpt-x"], "sampling": "ignored", "why": "https://example.com/, 2026-11-26"}
    claims = [("sampling", "yes", "pydantic-ai"), ("sampling", "yes", "litellm")]

    assert _taken(build, *claims, facts=[fact]) == {"sampling": "ignored"}
    assert _taken(build, *claims, facts=[fact | {"sampling": "unknown"}]) == {}
    levels = {"api": "openai", "models": ["gpt-x"], "efforts": "unknown", "why": fact["why"]}
    assert _taken(build, ("efforts", ("low", "high"), "langchain"), facts=[levels]) == {}


def test_an_end_that_is_over_is_kept(build: ModuleType) -> None:
    """Though the packages have dropped it: of each model of a group, with the group's reason."""
    group = {
        "api": "openai",
        "why": "https://example.com/, 2026-11-26",
        "models": {"gpt-x": date(2025, 1, 2), "gpt-y": date(2025, 1, 3)},
    }
    found = build.verdicts([build.Claim("openai", "gpt-x", "context", 9, "litellm")], OVERRIDES | {"ends": [group]})

    assert {model: fields["retires"].value for (_, model), fields in found.items()} == {
        "gpt-x": "2025-01-02",
        "gpt-y": "2025-01-03",
    }
    assert found["openai", "gpt-x"]["retires"].urls == (group["why"],)


@pytest.mark.parametrize(
    ("day", "page", "counts"),
    [
        (date(2026, 8, 1), date(2026, 9, 2), True),  # it was over when the page was read
        (date(2026, 9, 2), date(2026, 9, 2), True),
        (date(2026, 10, 1), date(2026, 9, 2), False),  # announced, and vendors put it off: the package is newer
        (date(2027, 10, 1), date(2026, 11, 26), True),  # no package is newer than a page of today
        (date(2027, 10, 1), None, True),
    ],
)
def test_a_page_is_right_of_what_was_over(build: ModuleType, day: date, page: date | None, *, counts: bool) -> None:
    """Of what was only announced a newer package is; what does not count is on record, and alone each of them counts."""
    group = {"api": "openai", "why": "https://example.com/, 2026-11-26", "models": {"gpt-x": day, "gpt-y": day}}
    claim = build.Claim("openai", "gpt-x", "retires", "2026-11-19", "litellm", "https://example.org/")
    ends = {"ends": [group | ({"as_of": page} if page else {})]}
    found = build.verdicts([claim], OVERRIDES | ends)
    taken, other = found["openai", "gpt-x"]["retires"], ("litellm", "overrides")[not counts]

    assert taken.value == (day.isoformat() if counts else "2026-11-19")
    assert taken.disputed == {other: "2026-11-19" if counts else day.isoformat()}
    assert group["why"] in taken.urls
    assert found["openai", "gpt-y"]["retires"].value == day.isoformat()


def test_a_page_that_agrees_with_a_package_disputes_nothing(build: ModuleType) -> None:
    group = {"api": "openai", "as_of": date(2026, 9, 2), "why": "https://example.com/, 2026-11-26"}
    claim = build.Claim("openai", "gpt-x", "retires", "2026-12-01", "litellm")
    found = build.verdicts([claim], OVERRIDES | {"ends": [group | {"models": {"gpt-x": date(2026, 12, 1)}}]})
    verdict = found["openai", "gpt-x"]["retires"]

    assert (verdict.sources, verdict.disputed) == (("overrides", "litellm"), {})


def test_what_no_package_says_is_filled_by_collections(build: ModuleType) -> None:
    """What a package says stays; the pages are named; a name that is known in a plainer form gets no row, which would hide it."""
    pages = ["https://example.com/a", "https://example.com/b"]
    row = {"context": 7, "max_output": 5, "price": {"input": 1, "output": 2}, "sources": pages}
    names = ("gpt-x", "gpt-x-latest", "gpt-y")
    collected = [{"api": "openai", "model": name, **row} for name in names]
    claim = build.Claim("openai", "gpt-x", "context", 9, "litellm")
    found = build.verdicts([claim], OVERRIDES | {"collected": collected})

    assert {name for _, name in found} == {"gpt-x", "gpt-y"}
    filled = {"max_output": 5, "prices": [{"input": 1, "output": 2}]}
    assert {field: one.value for field, one in found["openai", "gpt-x"].items()} == {"context": 9, **filled}
    assert found["openai", "gpt-x"]["max_output"].urls == tuple(pages)
    assert found["openai", "gpt-y"]["context"].value == 7


def test_of_a_model_without_text_its_end_is_taken(build: ModuleType, tmp_path: Path) -> None:
    """And nothing else but prices; of a fine-tuned model its end and its price, as the rest is its base's."""
    row = {
        "litellm_provider": "openai",
        "deprecation_date": "2027-01-20",
        "max_output_tokens": 5,
        "max_input_tokens": 9,
    }
    price = {"input_cost_per_token": 3e-6, "output_cost_per_token": 6e-6}
    table = {
        "gpt-realtime": {**row, "mode": "realtime"},
        "256-x-256/dall-e-2": {**row, "mode": "image_generation"},
        "gpt-audio": {**row, "mode": "chat"},
        "ft:gpt-x": {**row, **price, "mode": "chat"},
    }
    (tmp_path / "litellm").mkdir()
    path = tmp_path / "litellm" / "model_prices_and_context_window_backup.json"
    path.write_text(json.dumps(table), encoding="utf-8")
    base = [build.Claim("openai", "gpt-x", "context", 99, "litellm")]
    found = build.verdicts([*filter(None, map(build.fit, build.claims.litellm(tmp_path))), *base], OVERRIDES)
    taken = {name: {field: one.value for field, one in fields.items()} for (_, name), fields in found.items()}

    ends = {"retires": "2027-01-20"}
    tuned = {**ends, "context": 99, "prices": [{"input": 3.0, "output": 6.0}]}
    assert taken == {
        "gpt-realtime": ends,
        "dall-e-2": ends,
        "gpt-audio": ends,
        "gpt-x": {"context": 99},
        "ft:gpt-x": tuned,
    }


def test_what_has_ended_keeps_what_its_name_means(build: ModuleType) -> None:
    """Packages drop all of it; without a row it would be found by the plain name, and so it is with one: but for the end."""
    group = {"api": "openai", "why": "https://example.com/, 2026-11-26"}
    days = {"gpt-x-0314": date(2025, 1, 2), "gpt-x-0613": date(2025, 1, 3), "gpt-x-0125": date(2025, 1, 4)}
    row = [{"input": 1, "output": 2}]
    own = [{"input": 7, "output": 8}]
    claims = [
        build.Claim("openai", "gpt-x", "context", 8192, "litellm"),
        build.Claim("openai", "gpt-x", "retires", "2026-10-23", "litellm"),
        build.Claim("openai", "gpt-x", "successor", "gpt-z", "litellm"),
        build.Claim("openai", "gpt-x", "prices", row, "genai-prices"),
        build.Claim("openai", "gpt-x-0613", "prices", own, "genai-prices"),
        build.Claim("openai", "gpt-z", "prices", own, "genai-prices"),
        build.Claim("openai", "gpt-x-0125", "alias", "gpt-z", "genai-prices"),
    ]
    rows = build.rows(build.verdicts(claims, OVERRIDES | {"ends": [group | {"models": days}]}), claims)["openai"]

    assert rows["gpt-x-0314"] == {"context": 8192, "retires": "2025-01-02", "prices": row}
    assert rows["gpt-x-0613"] == {"context": 8192, "retires": "2025-01-03", "prices": own}
    assert rows["gpt-x-0125"] == {"context": 8192, "retires": "2025-01-04", "priced_as": "gpt-z"}


@pytest.mark.parametrize("why", ["", "because", "https://example.com/", "seen on 2026-11-26"])
def test_an_override_without_an_address_and_a_day_is_refused(build: ModuleType, why: str) -> None:
    fact = {"api": "openai", "models": ["gpt-x"], "sampling": "ignored", "why": why}

    with pytest.raises(ValueError, match="No URL and day"):
        _taken(build, facts=[fact])


def test_what_contradicts_is_left_out(build: ModuleType) -> None:
    """No levels of a model that does not reason, no range where nothing is sampled, no successor of what stays."""
    taken = _taken(
        build,
        ("reasoning", "none", "litellm"),
        ("efforts", ("low", "high"), "langchain"),
        ("default_effort", "low", "langchain"),
        ("sampling", "no", "litellm"),
        ("temperature_max", 2, "modelparams"),
        ("successor", "gpt-y", "litellm"),
        ("max_input", 100, "litellm"),
    )

    assert taken == {"reasoning": "none", "sampling": "no", "context": 100}


def test_the_overrides_are_all_well_formed(build: ModuleType) -> None:
    """Each of ours has its reason, names fields that there are, and no two contradict each other."""
    overrides = build.read_overrides(ROOT / ".ci" / "catalogue" / "overrides.toml")
    build.verdicts([], overrides)
    seen: set[tuple[str, str, str]] = set()
    ends = [
        {"api": group["api"], "models": [*group["models"]], "retires": group, "why": group["why"]}
        for group in overrides["ends"]
    ]
    for group in overrides["ends"]:
        assert group["as_of"] <= overrides["as_of"], group["why"]
    for fact in (*overrides["facts"], *ends):
        fields = fact.keys() - {"api", "models", "why"}
        assert fields
        assert fields <= set(build.FIELDS)
        cells = {(fact["api"], model, field) for model in fact["models"] for field in fields}
        assert not cells & seen
        seen |= cells
