"""Rows of the database beside the catalogue: which one counts, and that rubbish in them raises nothing."""

from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.models import overlay
from core.models.adapt import Adjustment, adapt
from core.models.facts import ModelFacts, known
from core.models.knowledge import Knowledge, vendored
from core.parameters import SENDABLE
from core.store.fact_schemas import KEYS

DAY = "2026-11-26"
TYPED = {"temperature": 0.2, "top_p": 0.5, "max_tokens": 900_000}


def row(number: int, pattern: str, facts: Any, *, api: str | None = None, origin: str = "operator") -> dict[str, Any]:
    """A row as the database has it."""
    return {"id": number, "api": api, "pattern": pattern, "origin": origin, "as_of": DAY, "facts": facts}


def knowing(*rows: dict[str, Any]) -> Knowledge:
    """What is known with these rows."""
    return Knowledge(overlay.read(rows))


def notes(knowledge: Knowledge, model: str, api: str = "openai", host: str = "") -> dict[str, Adjustment]:
    """What becomes of typed values."""
    found = adapt(api, model, TYPED, TYPED, knowledge=knowledge, host=host)
    return {each.parameter: each for each in found.adjustments}


REFUSE, OK = {"temperature": {"refuse": True}}, {"temperature": {"ok": True}}


@pytest.mark.parametrize(
    ("weaker", "stronger"),
    [
        (row(1, "*", REFUSE), row(2, "gpt-*", OK)),
        (row(2, "*", REFUSE), row(1, "gpt-*", OK)),
        (row(2, "gpt-*", REFUSE), row(1, "gpt-4o", OK)),
        (row(2, "gpt-4?", REFUSE), row(1, "GPT-4O", OK)),
        (row(2, "gpt-4o", REFUSE), row(1, "gpt-4o", OK, api="openai")),
        (row(2, "gpt-4o", REFUSE, api="openai"), row(1, "gpt-4o", OK, api="openai@gate.example:8443")),
        (row(1, "gpt-4*", REFUSE), row(2, "gpt-?o", OK)),
        (row(1, "gpt-4o", REFUSE, api="mistral"), row(2, "*", OK)),
        (row(1, "gpt-4o", REFUSE, api="openai@other.example"), row(2, "*", OK)),
        (row(9, "gpt-4o", REFUSE, api="openai", origin="observed"), row(1, "*", OK)),
    ],
)
def test_the_stronger_row_counts_in_whatever_order(weaker: Any, stronger: Any) -> None:
    """An admin before a list, the whole name before a pattern, the longer pattern, the host before the API, the newer."""
    for rows in ((weaker, stronger), (stronger, weaker)):
        assert "temperature" not in notes(knowing(*rows), "gpt-4o", host="gate.example:8443")
    assert notes(knowing(row(1, "gpt-4o", REFUSE)), "gpt-4o")["temperature"].what == "left_out"


def test_an_admin_overrules_every_source() -> None:
    """A refusal of the rules goes, a verdict of one's own comes, a fact makes the rules say something else; each says who."""
    model = "gpt-5.1-codex"
    assert notes(vendored(), "o3")["temperature"].source == "catalogue"
    assert "temperature" not in notes(knowing(row(1, "o3", OK)), "o3")

    told = notes(knowing(row(1, "gpt-4o", {"reasoning": "always"})), "gpt-4o")["temperature"]
    assert (told.what, told.source, told.as_of) == ("left_out", "operator", date(2026, 11, 26))
    seen = knowing(row(1, "gpt-4o", {"max_output": 50}, api="openai", origin="observed"))
    assert notes(seen, "gpt-4o")["max_tokens"][:3] == ("max_tokens", "clamped", 50)
    assert notes(seen, "gpt-4o")["max_tokens"].source == "vendor"
    both = knowing(
        row(1, "gpt-4o", {"max_output": 50}, api="openai", origin="observed"), row(2, "gpt-4o", {"max_output": 60})
    )
    assert (notes(both, "gpt-4o")["max_tokens"].to, notes(both, "gpt-4o")["max_tokens"].source) == (60, "operator")
    same = knowing(row(1, "o3", {"reasoning": "always"}))
    assert notes(same, "o3")["temperature"].source == "catalogue", "it was so without the admin"
    assert notes(knowing(row(1, model, {"retires": "2030-01-01"})), model) == notes(vendored(), model)


@pytest.mark.parametrize(
    ("said", "sent"),
    [
        ({"temperature": {"rename": "temp"}}, {"temp": 0.2}),
        ({"temperature": {"only": [1]}}, {}),
        ({"temperature": {"only": [0.2]}}, {"temperature": 0.2}),
        ({"temperature": {"range": [0.5, 1]}}, {"temperature": 0.5}),
        ({"temperature": {"ignore": True}}, {}),
        ({"temperature": {"exclusive": "top_p"}}, {}),
        ({"temperature": {"refuse": True, "unless": "top_p>0.4"}}, {}),
        ({"temperature": {"rename": "temp", "range": [0.5, 1]}}, {"temp": 0.5}),
    ],
)
def test_every_verdict_can_be_an_admins(said: Any, sent: Any) -> None:
    """Of a model that nothing is known of."""
    found = adapt(
        "compatible",
        "ours",
        {"temperature": 0.2, "top_p": 0.5},
        {"temperature", "top_p"},
        knowledge=knowing(row(1, "ours", said)),
    )
    assert found.sent == {**sent, "top_p": 0.5}


def test_what_an_admin_lifts_keeps_the_apis_name() -> None:
    """``ok`` is about the value: the limit is still called what the API calls it, and Anthropic's is still sent."""
    assert adapt(
        "openai", "o3", {"max_tokens": 9}, {"max_tokens"}, knowledge=knowing(row(1, "*", {"max_tokens": {"ok": True}}))
    ).sent == {"max_completion_tokens": 9}
    required = adapt(
        "anthropic",
        "x",
        {"max_tokens": 9},
        (),
        {"max_tokens"},
        knowledge=knowing(row(1, "*", {"max_tokens": {"ok": True}})),
    )
    assert required.sent == {"max_tokens": 9}


def test_a_name_acts_as_the_model_behind_it() -> None:
    """A deployment has the facts and rules of its model; what is said of the deployment itself counts more; no circle."""
    own = knowing(
        row(1, "prod", {"acts_as": "o3"}, api="azure@a.openai.azure.com"),
        row(2, "o3", {"context": 7, "acts_as": "prod"}),
    )
    assert notes(vendored(), "prod", "azure").keys() == {"max_tokens"}
    assert notes(own, "prod", "azure", "a.openai.azure.com")["temperature"].what == "left_out"
    assert notes(own, "prod", "azure", "b.openai.azure.com").keys() == {"max_tokens"}
    facts = own.facts("azure", "prod", "a.openai.azure.com")
    assert facts is not None
    assert (facts.context, facts.reasoning) == (7, "always")


def test_nothing_is_assumed_of_a_model_of_ones_own() -> None:
    """``custom`` takes nothing from the catalogue: neither the model of that name, nor its family."""
    assert "temperature" in notes(vendored(), "o3")
    assert "temperature" not in notes(knowing(row(1, "o3", {"custom": True})), "o3")
    assert knowing(row(1, "o3", {"custom": True, "context": 9})).facts("openai", "o3") == ModelFacts(
        "o3", "openai", context=9, as_of=date(2026, 11, 26)
    )


def test_a_price_alone_makes_no_model_known_to_the_rules() -> None:
    """What is said of all models of an API still holds for it."""
    plain, priced = vendored(), knowing(row(1, "mine", {"prices": [{"input": 1.5}]}))
    assert notes(plain, "mine", "xai") == notes(priced, "mine", "xai")
    assert priced.facts("xai", "mine") is not None


def test_a_newer_imported_catalogue_takes_the_place_of_ours() -> None:
    """Row by row; what it lacks is as it was, also where its price stands in a row that was replaced. An older one is not read."""
    ours = known()
    api, rows = next(
        (api, rows) for api, rows in ours.catalogue.rows.items() if any("priced_as" in each for each in rows.values())
    )
    other = next(name for name, each in rows.items() if "priced_as" in each)
    target = rows[other]["priced_as"]
    imported = [
        {**row(1, target, {"context": 12345}, api=api, origin="imported"), "as_of": "2099-01-01"},
        {**row(2, "brand-new", {"reasoning": "always"}, api="openai", origin="imported"), "as_of": "2099-01-01"},
    ]
    new = knowing(*imported)
    before, after = ours.facts(api, other), new.facts(api, other)
    assert before is not None
    assert after is not None
    assert before.prices == after.prices != ()
    changed = new.facts(api, target)
    assert changed is not None
    assert (changed.context, changed.prices) == (12345, ())
    assert notes(new, "brand-new")["temperature"][-3:-1] == ("catalogue", date(2099, 1, 1))
    assert notes(knowing(*({**each, "as_of": "2020-01-01"} for each in imported)), "brand-new") == notes(
        vendored(), "brand-new"
    )


RUBBISH: tuple[Any, ...] = (
    None,
    7,
    "x",
    [],
    [[1]],
    {"temperature": 3},
    {"context": -1},
    {"nobody": 1},
    {"temperature": {"ok": 1}},
    {"temperature": {"nobody": True}},
    {"temperature": {"only": ["x"]}},
    {"top_p": {"range": [1]}},
    {"top_p": {"range": [1, 0]}},
    {"top_p": {"rename": "model"}},
    {"top_p": {"rename": "temperature"}},
    {"top_p": {"exclusive": "top_p"}},
    {"top_p": {"refuse": True, "unless": "no"}},
    {"retires": "soon"},
    {"prices": [{"input": "x"}]},
    {"prices": {"a": 1}},
    {"prices": [{"tiers": [1]}]},
    {"reasoning": ["none"]},
    {"acts_as": 5},
    {"acts_as": "x" * 400},
    {"efforts": "high"},
)


@pytest.mark.parametrize("facts", RUBBISH, ids=lambda facts: str(facts)[:40])
@pytest.mark.parametrize("origin", ["operator", "observed"])
def test_rubbish_is_left_out_and_said(facts: Any, origin: str) -> None:
    """What cannot be read counts for nothing, the rest of the row and of the rows does; which row it is, is said."""
    rows = [row(7, "gpt-*", facts, origin=origin), row(8, "gpt-4o", {"context": 5, "nobody": 1})]
    own = knowing(*rows)
    found = own.facts("openai", "gpt-4o")
    assert found is not None
    assert found.context == 5
    assert any("row 7" in line for line in own.problems)
    assert not own.health().ok
    notes(own, "gpt-4o")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 10**12) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from([*KEYS, "only", "range", "ok", "x"]), inner, max_size=3)
    ),
    max_leaves=8,
)
any_row = st.fixed_dictionaries(
    {
        "id": st.integers(1, 99),
        "api": st.none() | st.sampled_from(["openai", "nobody", "openai@h"]) | st.text(max_size=4),
        "pattern": st.text(max_size=6) | st.sampled_from(["*", "gpt-4o", "g?t*", "[a-", "*a*a*a*a*a*a*a*a*a*b", "\\"]),
        "origin": st.sampled_from(["operator", "observed", "imported", "other"]),
        "as_of": st.none() | st.just(DAY) | st.just("never"),
        "facts": st.dictionaries(st.sampled_from([*KEYS, "nobody"]), json_values, max_size=4) | json_values,
    }
)


@pytest.mark.long
@given(st.lists(any_row, max_size=5), st.sampled_from(["gpt-4o", "o3", "", "x" * 5000, "[a-"]))
def test_nothing_raises_whatever_the_rows_are(rows: list[dict[str, Any]], model: str) -> None:
    """Reading them, asking, and deciding by them; and what is sent stays so when it is decided again."""
    own = knowing(*rows)
    first = adapt("openai", model, TYPED, TYPED, knowledge=own)
    assert own.health().problems == own.problems or own.health().problems
    assert adapt("openai", model, TYPED, TYPED, knowledge=own) == first
    assert set(first.sent.values()) <= {*TYPED.values(), *(each.to for each in first.adjustments)}


@given(st.lists(any_row, max_size=4), st.sampled_from(["gpt-4o", "o3", "nobody-knows"]))
def test_what_is_decided_is_fit(rows: list[dict[str, Any]], model: str) -> None:
    """Sent again under our names it is left as it is: nothing that was let through is refused a second time."""
    own = knowing(*rows)
    first = adapt("openai", model, TYPED, TYPED, knowledge=own)
    back = {each.to: each.parameter for each in first.adjustments if each.what == "renamed"} | {
        "max_completion_tokens": "max_tokens"
    }
    values = {back.get(name, name): value for name, value in first.sent.items()}
    if set(values) <= set(SENDABLE):
        assert adapt("openai", model, values, values, knowledge=own).sent == first.sent


def test_of_too_many_rows_the_first_are_read() -> None:
    """100,000 patterns by SQL: 1,000 count, the rest is unread and said, and a look-up is still quick enough to end."""
    rows = [row(number, f"*a{number}*b*c*d*e*f*", REFUSE) for number in range(100_000)]
    own = knowing(row(0, "gpt-4o", OK), *rows)
    assert len(own.overlay.patterns) == overlay.MOST_OPERATOR_ROWS - 1
    assert own.problems[0].startswith(f"{100_001 - overlay.MOST_OPERATOR_ROWS:,} rows")
    assert "temperature" not in notes(own, "gpt-4o")
    notes(own, "a1b" * 60)


def test_only_star_and_question_mark_stand_for_characters() -> None:
    """Brackets, dots and backslashes are themselves; case does not count; a hostile pattern ends."""
    for pattern, name, matches in (
        ("[ab]", "a", False),
        ("[ab]", "[ab]", True),
        ("a.c", "abc", False),
        ("a?c", "abc", True),
        ("a*", "a", True),
        ("*", "", True),
        ("a\\*", "a\\x", True),
        ("*a" * 8 + "b", "a" * 300, False),
    ):
        assert bool(overlay.matcher(pattern)(name)) is matches, pattern
