"""Each layer has a name of its own in words, and leads to the page where it is edited, with its scope in the address."""

import pytest

from core.resolving.explanation import LAYERS
from ui import navigation
from ui.scopes.editors import Names, address_of, owner_of, words_of

NAMES = Names("openai", "acme", "plan-s", "summarise")


@pytest.fixture(autouse=True)
def _isolated() -> None:
    """No database is needed here: replaces the fixture of that name for this module."""


def test_words_tell_layers_apart() -> None:
    """No two layers of a scope are called alike, and each name says what the layer names."""
    words = {layer: words_of(layer, NAMES) for layer in LAYERS}  # type: ignore[arg-type]  # names of layers

    assert len(set(words.values())) == len(LAYERS)
    assert words["organization+feature+provider"] == "acme · summarise · openai"
    assert words["template"] == "plan-s"
    assert words["feature+provider"] == "summarise · openai"
    assert words["all_providers"] == "all providers"
    assert {owner_of(layer) for layer in LAYERS if layer.startswith("template")} == {"template"}  # type: ignore[arg-type]  # as above


@pytest.mark.parametrize(
    ("layer", "address"),
    [
        ("all_providers", "defaults"),
        ("provider", "defaults?provider=openai"),
        ("provider_default", "providers?provider=openai"),
        ("feature+provider", "features?feature=summarise&provider=openai"),
        ("organization", "organization?organization=acme"),
        ("template+provider", "organization?organization=plan-s&provider=openai"),
        ("organization+feature", "organization?organization=acme&section=overrides&feature=summarise"),
        ("built_in", None),
    ],
)
def test_addresses(layer: str, address: str | None) -> None:
    """The page, and the scope by the names of its parameters; a page that is not there has no address."""
    page = str(address).partition("?")[0]

    assert address_of(layer, NAMES) == (address if page in navigation.SCREENS else None)  # type: ignore[arg-type]  # a layer's name
