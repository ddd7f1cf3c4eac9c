import subprocess
import sys
from dataclasses import replace

import pytest

from core import kinds
from core.kinds import KINDS, facts_of
from core.models import catalogue
from core.models.catalogue import VENDORS, Model, Vendor
from core.parameters import PARAMETERS, SENDABLE

VENDOR_IDS = [vendor.name for vendor in VENDORS]
MODELS = [(vendor, model) for vendor in VENDORS for model in vendor.models]
MODEL_IDS = [model.name for _, model in MODELS]


def test_the_three_vendors_are_there() -> None:
    """One provider of a vendor's own kind, named like it; a kind without an address of its own is nobody's."""
    assert [vendor.kind for vendor in VENDORS] == VENDOR_IDS
    assert (
        {"openai", "anthropic", "google"} <= set(VENDOR_IDS) <= {kind.name for kind in KINDS.values() if kind.base_url}
    )


@pytest.mark.parametrize("vendor", VENDORS, ids=VENDOR_IDS)
def test_a_vendor_holds_together(vendor: Vendor) -> None:
    """Its default model is one of its models, none is there twice, and the list can be read at a glance."""
    names = [model.name for model in vendor.models]

    assert vendor.default_model in names
    assert len(set(names)) == len(names) <= 10
    assert vendor.display_name
    assert vendor.description.endswith(".")


@pytest.mark.parametrize(("vendor", "model"), MODELS, ids=MODEL_IDS)
def test_a_model_holds_together(vendor: Vendor, model: Model) -> None:
    """It refuses only what can be sent, and not what its kind requires; what no model of its kind takes is not repeated."""
    assert model.refuses <= set(SENDABLE)
    assert not model.refuses & KINDS[vendor.kind].never_accepted
    assert catalogue.refused(vendor.kind, model.name) == model.refuses | KINDS[vendor.kind].never_accepted
    assert not model.refuses & KINDS[vendor.kind].required
    assert model.note == "" or (model.note.endswith(".") and ". " not in model.note)


@pytest.mark.parametrize("model", [model for _, model in MODELS], ids=MODEL_IDS)
def test_a_model_has_two_sources(model: Model) -> None:
    """Two packages list it by its name, and no source is counted twice."""
    by_name = {source.split(" ")[0] for source in model.sources if model.name in source}

    assert {"litellm", "genai-prices"} <= by_name
    assert len(set(model.sources)) == len(model.sources)


def test_no_name_belongs_to_two_vendors() -> None:
    assert len(set(MODEL_IDS)) == len(MODEL_IDS)


@pytest.mark.parametrize(("vendor", "model"), MODELS, ids=MODEL_IDS)
def test_find(vendor: Vendor, model: Model) -> None:
    """A model is known under its own kind only."""
    assert catalogue.find(vendor.kind, model.name) is model
    assert [kind for kind in KINDS if catalogue.find(kind, model.name)] == [vendor.kind]


@pytest.mark.parametrize(
    ("kind", "model", "expected"),
    [
        ("openai", "gpt-6.1-terra", {"temperature", "top_p", "max_tokens", "frequency_penalty", "presence_penalty"}),
        ("openai", "gpt-5.4", {"max_tokens", "frequency_penalty", "presence_penalty"}),
        ("openai", "gpt-unheard-of", set()),
        ("openai", None, set()),
        ("anthropic", "claude-sonnet-5-5", {"temperature", "top_p", "frequency_penalty", "presence_penalty"}),
        ("anthropic", "claude-unheard-of", {"frequency_penalty", "presence_penalty"}),
        ("anthropic", None, {"frequency_penalty", "presence_penalty"}),
        ("google", "gemini-3.1-flash-lite", {"frequency_penalty", "presence_penalty"}),
        ("google", "gemini-unheard-of", set()),
        ("openai_compatible", "gpt-6.1-terra", set()),
        ("openai_compatible", None, set()),
        ("unheard-of", "gpt-6.1-terra", set()),
    ],
)
def test_refused(kind: str, model: str | None, expected: set[str]) -> None:
    assert catalogue.refused(kind, model) == expected | facts_of(kind).never_accepted


@pytest.mark.parametrize(("vendor", "model"), MODELS, ids=MODEL_IDS)
def test_omitting_what_is_refused_leaves_nothing_to_say(vendor: Vendor, model: Model) -> None:
    assert catalogue.omission_warnings(vendor.kind, model.name, catalogue.refused(vendor.kind, model.name)) == []


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", SENDABLE)
def test_what_is_never_accepted_is_omitted(monkeypatch: pytest.MonkeyPatch, kind: str, name: str) -> None:
    """Also a parameter without a built-in default: somebody may set it for all providers."""
    known = replace(KINDS[kind], names={**KINDS[kind].names, name: None})
    monkeypatch.setattr(kinds, "KINDS", {**KINDS, kind: known})
    monkeypatch.setitem(PARAMETERS, name, replace(PARAMETERS[name], default=None))  # type: ignore[misc]

    for model in (None, *(model.name for vendor in VENDORS for model in vendor.models if vendor.kind == kind)):
        assert name in catalogue.to_omit(kind, model)


def test_a_refused_parameter_that_is_sent() -> None:
    """The sentence names model and parameters, in the order of the form, then the cure, then why."""
    (warning,) = catalogue.omission_warnings("openai", "gpt-5.4", facts_of("openai").never_accepted)

    assert warning == (
        "gpt-5.4 does not take max_tokens, frequency_penalty and presence_penalty. "
        "Add them to the omitted parameters, or choose another model. "
        "It calls its limit max_completion_tokens, and takes temperature and top_p as long as it does not reason."
    )


def test_one_refused_parameter_without_a_note() -> None:
    omitted = {"temperature", *facts_of("anthropic").never_accepted}

    assert catalogue.omission_warnings("anthropic", "claude-opus-5-5", omitted) == [
        "claude-opus-5-5 does not take top_p. Add it to the omitted parameters, or choose another model."
    ]


def test_an_accepted_parameter_that_is_omitted() -> None:
    refused = catalogue.refused("openai", "gpt-5.4")

    (one,) = catalogue.omission_warnings("openai", "gpt-5.4", refused | {"temperature"})
    (two,) = catalogue.omission_warnings("openai", "gpt-5.4", refused | {"top_p", "temperature"})

    assert one == (
        "temperature is omitted, though gpt-5.4 accepts it. Take it off the omitted parameters to have it sent."
    )
    assert two == (
        "temperature and top_p are omitted, though gpt-5.4 accepts them. "
        "Take them off the omitted parameters to have them sent."
    )


@pytest.mark.parametrize("model", ["claude-opus-5-5", "claude-unheard-of", None])
def test_a_required_parameter_that_is_omitted(model: str | None) -> None:
    """Anthropic's API wants max_tokens, whatever the model: said once, not again as accepted."""
    assert catalogue.omission_warnings("anthropic", model, SENDABLE)[0] == (
        "max_tokens is omitted, though Anthropic's API requires it. "
        "Take it off the omitted parameters, or make sure that every program sends its own."
    )
    assert len(catalogue.omission_warnings("anthropic", model, SENDABLE)) == 1


def test_an_unknown_model_has_the_limits_of_its_kind() -> None:
    omitted = {"temperature", *facts_of("anthropic").never_accepted} - {"frequency_penalty"}

    assert catalogue.omission_warnings("anthropic", "claude-unheard-of", omitted) == [
        "Anthropic's API does not know frequency_penalty. Add it to the omitted parameters."
    ]


@pytest.mark.parametrize("kind", [*(k for k, f in KINDS.items() if not f.never_accepted | f.required), "unheard-of"])
@pytest.mark.parametrize("model", ["unheard-of", None])
@pytest.mark.parametrize("omitted", [(), SENDABLE, ("no such parameter",)])
def test_nothing_known_nothing_said(kind: str, model: str | None, omitted: tuple[str, ...]) -> None:
    assert catalogue.omission_warnings(kind, model, omitted) == []


def test_model_change() -> None:
    """The names stand in the order of the form."""
    assert catalogue.model_change_warning("gpt-5.5", "gpt-5.4", ["top_p", "temperature"]) == (
        "temperature and top_p are not sent; that was set while the model was gpt-5.5. Check that it still fits gpt-5.4."
    )
    assert catalogue.model_change_warning(None, "gpt-5.4", {"top_p"}) == (
        "top_p is not sent; that was set before a model was chosen. Check that it still fits gpt-5.4."
    )


@pytest.mark.parametrize(
    ("old", "new", "omitted"),
    [
        ("gpt-5.5", "gpt-5.4", []),
        ("gpt-5.5", "gpt-5.4", ["no such parameter"]),
        ("gpt-5.5", "gpt-5.5", ["top_p"]),
        ("gpt-5.5", None, ["top_p"]),
        (None, None, ["top_p"]),
    ],
)
def test_no_model_change_worth_a_word(old: str | None, new: str | None, omitted: list[str]) -> None:
    assert catalogue.model_change_warning(old, new, omitted) is None


def test_the_import_stays_lean() -> None:
    """The standard library and core alone."""
    code = (
        "import sys, core.models.catalogue; print({n.partition('.')[0] for n in sys.modules} - sys.stdlib_module_names)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert "core" in run.stdout
    assert not any(name in run.stdout for name in ("pydantic", "sqlmodel", "psycopg", "cryptography", "streamlit"))
