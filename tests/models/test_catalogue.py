import re
import subprocess
import sys

import pytest

from core.kinds import KINDS
from core.models import catalogue
from core.models.catalogue import SEEDED, SeededProvider
from core.models.facts import known

VENDOR_IDS = [vendor.name for vendor in SEEDED]
MODEL_IDS = [model for vendor in SEEDED for model in vendor.models]


def test_the_three_vendors_are_there() -> None:
    """One provider of a vendor's own kind, named like it; a kind without an address of its own is nobody's."""
    assert [vendor.kind for vendor in SEEDED] == VENDOR_IDS
    assert (
        {"openai", "anthropic", "google"} <= set(VENDOR_IDS) <= {kind.name for kind in KINDS.values() if kind.base_url}
    )


@pytest.mark.parametrize("vendor", SEEDED, ids=VENDOR_IDS)
def test_a_vendor_holds_together(vendor: SeededProvider) -> None:
    """Its default model is one of its models, none is there twice, and the list can be read at a glance."""
    names = vendor.models

    assert vendor.default_model in names
    assert len(set(names)) == len(names) <= 10
    assert vendor.display_name
    assert vendor.description.endswith(".")


def test_no_name_belongs_to_two_vendors() -> None:
    assert len(set(MODEL_IDS)) == len(MODEL_IDS)


@pytest.mark.parametrize("vendor", SEEDED, ids=VENDOR_IDS)
def test_the_default_model_is_the_newest_of_its_line(vendor: SeededProvider) -> None:
    """No model of the same line with a higher version is known of the vendor, with a price and how it reasons."""
    line, version = _line(vendor.default_model)
    newer = [
        name
        for name, row in known().catalogue.rows[vendor.name].items()
        if _line(name)[0] == line and _line(name)[1] > version and row.get("prices") and row.get("reasoning")
    ]

    assert version
    assert newer == []


def _line(model: str) -> tuple[str, tuple[int, ...]]:
    """Return the name without its version, and the version; ``claude-opus-5-5`` is ``claude-opus`` and (5, 5)."""
    version = re.findall(r"(?<![a-z0-9])\d{1,2}(?![a-z0-9])", model)
    return re.sub(r"[-.]\d{1,2}(?![a-z0-9])", "", model), tuple(map(int, version))


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
