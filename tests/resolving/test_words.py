"""Effective settings in words: one sentence for each state, name and value, wherever people read it."""

from collections.abc import Collection
from typing import Any

import pytest

from core.kinds import KINDS
from core.models.catalogue import VENDORS, refused
from core.parameters import PARAMETERS
from core.resolving import words
from core.resolving.effective import EffectiveSettings, Explained, Layer, ProviderFacts, Source, build

EXPLAINED = Explained("temperature", 0.5, Source("built_in"), (), None)


@pytest.mark.parametrize(
    ("change", "state"),
    [
        ({}, "sent"),
        ({"omitted_by": Source("provider")}, "not sent"),
        ({"value": None}, "not set"),
        ({"name": "max_retries", "value": 3}, "for the program"),
        ({"accepted": False}, "not sent"),
    ],
)
def test_what_becomes_of_a_value(change: dict[str, Any], state: str) -> None:
    """Omitted wins; what is sent is sent; without a value nothing can be; the rest stays here, or the vendor has none such."""
    assert words.state_of(EXPLAINED._replace(**change)) == state


def test_labels() -> None:
    """A parameter has its label, the model its own, and a custom setting is called as it was typed."""
    assert {name: words.label_of(name) for name in PARAMETERS} == {n: p.label for n, p in PARAMETERS.items()}
    assert words.label_of("model") == "Model"
    assert words.label_of("custom_settings.region") == "custom_settings.region"


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("model", None, "none chosen"),
        ("model", "m1", "m1"),
        ("temperature", None, "not set"),
        ("temperature", 0.1 + 0.2, "0.3"),
        ("max_tokens", 60000, "60,000"),
        ("enable_logging", True, "On"),
        ("enable_logging", False, "Off"),
        ("log_level", "full", "full"),
        ("custom_settings.region", "Zürich", '"Zürich"'),
        ("custom_settings.region", None, "null"),
        ("custom_settings.n", 60000, "60000"),
        ("nobody's", 60000, "60000"),
        *[(name, 60000, "60000") for name, p in PARAMETERS.items() if not p.is_amount],
    ],
)
def test_values(name: str, value: Any, shown: str) -> None:
    """Amounts are read in thousands, floats without their noise, custom settings as JSON."""
    assert words.value_text(name, value) == shown


def _settings(kind: str, model: str = "m", omitted: Collection[str] = (), **more: Any) -> EffectiveSettings:
    facts = ProviderFacts(
        id=1,
        name="acme",
        display_name="Acme",
        kind=kind,
        base_url=None,
        default_model=model,
        is_active=True,
        version=1,
        changes={},
        open_box=None,
    )
    return build(facts, [Layer("provider", 1, 1, {**more, "omitted_parameters": list(omitted)}, {})])


def test_what_a_vendor_requires_or_has_in_a_smaller_range() -> None:
    """A warning where a required value is left out, or one that is sent is out of the vendor's range; none by itself."""
    never = KINDS["anthropic"].never_accepted

    assert words.warnings_of(_settings("anthropic", omitted=never, temperature=1.0)) == []
    [requires] = words.warnings_of(_settings("anthropic", omitted={*never, "max_tokens"}))
    [out] = words.warnings_of(_settings("anthropic", omitted=never, temperature=1.5))
    assert "max_tokens is omitted, though Anthropic's API requires it" in requires
    assert "temperature from 0 to 1, and this is 1.5" in out
    assert words.warnings_of(_settings("anthropic", omitted={*never, "temperature"}, temperature=1.5)) == []


def test_what_a_model_refuses_or_accepts() -> None:
    """What the model refuses is warned of unless it is omitted, and what it accepts if it is; what has no value is neither."""
    known = [
        (vendor.kind, model.name, refused(vendor.kind, model.name)) for vendor in VENDORS for model in vendor.models
    ]
    kind, model, never = next(
        one for one in known if "temperature" in one[2] and "top_p" not in KINDS[one[0]].never_accepted
    )

    [sent] = words.warnings_of(_settings(kind, model, never - {"temperature"}, temperature=0.5))
    assert "temperature" in sent
    assert words.warnings_of(_settings(kind, model, never)) == []

    kind, model, never = next(one for one in known if "top_p" not in one[2])
    assert words.warnings_of(_settings(kind, model, never)) == []
    [omitted] = words.warnings_of(_settings(kind, model, {*never, "top_p"}))
    assert f"top_p is omitted, though {model} accepts it" in omitted
