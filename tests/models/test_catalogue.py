import subprocess
import sys

import pytest

from core.kinds import KINDS, facts_of
from core.models import catalogue
from core.models.catalogue import VENDORS, Model, Vendor
from core.parameters import SENDABLE

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
