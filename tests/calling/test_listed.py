"""What vendors' lists say of their models is read, in every shape they have; rubbish in them is left out."""

from datetime import UTC, datetime
from itertools import count
from typing import Any

import pytest
from anthropic.types import ModelInfo
from google.genai.types import Model as GoogleModel
from hypothesis import given
from hypothesis import strategies as st
from openai.types import Model

from core.calling import listed
from core.models import overlay

DAY = datetime(2027, 1, 31, tzinfo=UTC)
PLAIN = {"id": "m", "created": 1, "object": "model", "owned_by": "x"}


@pytest.mark.parametrize(
    ("model", "facts"),
    [
        (Model.model_validate(PLAIN), {}),
        (Model.model_construct(**PLAIN, shutdown_date="2027-01-31"), {"retires": "2027-01-31"}),
        (Model.model_construct(**PLAIN, max_model_len=8192), {"context": 8192}),
        (Model.model_construct(**PLAIN, context_window=9, max_completion_tokens=5), {"context": 9, "max_output": 5}),
        (
            Model.model_construct(
                **PLAIN, max_context_length=7, deprecation="2027-01-31T12:00:00Z", deprecation_replacement_model="n"
            ),
            {"context": 7, "retires": "2027-01-31", "successor": "n"},
        ),
        (
            Model.model_construct(
                **PLAIN,
                context_length=6,
                top_provider={"max_completion_tokens": 4},
                pricing={"prompt": "0.00000125", "completion": "0"},
                expiration_date=None,
            ),
            {"context": 6, "max_output": 4, "prices": [{"input": 1.25}]},
        ),
        (Model.model_construct(**PLAIN, max_tokens=5, context_length="many", shutdown_date="soon"), {}),
        (
            ModelInfo.model_construct(
                id="m", max_input_tokens=3, max_tokens=2, retires_at=DAY, lifecycle="deprecated", type="model"
            ),
            {"max_input": 3, "max_output": 2, "retires": "2027-01-31"},
        ),
        (
            GoogleModel(name="models/m", input_token_limit=3, output_token_limit=2, max_temperature=2.0),
            {"max_input": 3, "max_output": 2, "temperature_max": 2.0},
        ),
    ],
)
def test_each_shape_is_read(model: Any, facts: dict[str, Any]) -> None:
    """As the pinned SDKs make their objects; only Anthropic's ``max_tokens`` is a limit of the answer."""
    assert listed.read([model], own_limit=isinstance(model, ModelInfo)) == [("m", facts)]


NO: dict[str, Any] = {"supported": False}
YES: dict[str, Any] = {"supported": True}
LEVELS: dict[str, Any] = {"low": YES, "medium": YES, "high": YES, "xhigh": NO, "max": YES}


@pytest.mark.parametrize(
    ("capabilities", "facts"),
    [
        ({"effort": {**YES, **LEVELS}}, {"efforts": ["low", "medium", "high", "max"]}),
        ({"effort": {**NO, **LEVELS}}, {}),
        ({"effort": {**YES, "low": "yes"}}, {}),
        ({"thinking": {**NO, "types": {"disabled": YES}}}, {"reasoning": "none"}),
        ({"thinking": NO, "effort": {**YES, "low": YES}}, {"efforts": ["low"]}),
        ({"thinking": {**YES, "types": {"disabled": NO}}}, {"reasoning": "always"}),
        ({"thinking": {**YES, "types": {"disabled": YES}}}, {}),
        ({"thinking": None, "effort": [1]}, {}),
        ("many", {}),
    ],
)
def test_what_a_list_says_of_reasoning(capabilities: Any, facts: dict[str, Any]) -> None:
    """Anthropic's capabilities, as a mapping and as the SDK's objects; only what is certain."""
    assert listed.read([{"id": "m", "capabilities": capabilities}]) == [("m", facts)]
    assert listed.read([ModelInfo.construct(id="m", capabilities=capabilities)]) == [("m", facts)]


@pytest.mark.parametrize(("thinking", "facts"), [(False, {"reasoning": "none"}), (True, {}), (None, {})])
def test_what_googles_list_says_of_reasoning(thinking: bool | None, facts: dict[str, Any]) -> None:
    """A model that may reason does so unasked or not: that is not in the list."""
    assert listed.read([GoogleModel(name="models/m", thinking=thinking)]) == [("m", facts)]


def test_parameters_that_a_host_drops_have_no_effect() -> None:
    """OpenRouter names what a model takes; an empty list says nothing."""
    (one,) = listed.read([{"id": "m", "supported_parameters": ["temperature", "max_tokens", "tools"]}])
    assert one.facts["top_p"] == {"ignore": True}
    assert "temperature" not in one.facts
    assert listed.read([{"id": "m", "supported_parameters": []}])[0].facts == {}


def test_a_list_without_an_end_ends() -> None:
    """So many models are looked at, and no more."""
    assert len(listed.read({"id": f"m{number}"} for number in count())) == listed.MOST


names = [
    "id",
    "name",
    "context_length",
    "max_input_tokens",
    "max_tokens",
    "retires_at",
    "deprecation",
    "pricing",
    "supported_parameters",
    "top_provider",
    "capabilities",
    "thinking",
    "deprecation_replacement_model",
]
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["prompt", "completion", "max_completion_tokens"]), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from(names), anything, max_size=6))
def test_nothing_raises_and_what_is_kept_is_readable(model: dict[str, Any]) -> None:
    """Whatever a server that calls itself compatible lists."""
    for one in listed.read([model], own_limit=True):
        row = {"id": 1, "api": None, "pattern": "x", "origin": "observed", "as_of": None, "facts": dict(one.facts)}
        assert overlay.read([row]).problems == ()
