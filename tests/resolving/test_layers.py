"""The order of layers: which row counts more, by what it names."""

import itertools
import random
from collections.abc import Iterator

import pytest

from core.resolving.explanation import LAYERS, LayerName
from core.resolving.layers import Layer, layer_name, names_provider, rank, strongest_first
from core.resolving.merge import build
from tests.resolving.facts import provider
from tests.resolving.reference import ORDER


@pytest.fixture(autouse=True)
def _isolated() -> Iterator[None]:
    """No database is needed here: replaces the fixture of that name for this module."""
    return


OWNERS = ("nobody", "template", "organization")
NAMED: list[LayerName] = [name for name in LAYERS if name not in {"built_in", "provider_default"}]  # type: ignore[misc]  # its keys


def test_order_is_the_one_on_the_page() -> None:
    """From all providers up to the organisation's row for a feature and a provider; the built-in default is below all."""
    assert [
        name.replace("all_providers", "all providers").replace("organization", "organisation") for name in NAMED
    ] == ORDER
    assert next(iter(LAYERS)) == "built_in"
    assert [rank(name) for name in NAMED] == sorted(rank(name) for name in NAMED)


def test_what_a_row_names_is_its_rank() -> None:
    """First whether it names the feature, then whose it is, then whether it names the provider: three bits, no ties."""
    bits = list(itertools.product((False, True), OWNERS, (False, True)))
    names = [layer_name(owner, feature=feature, provider=of_provider) for feature, owner, of_provider in bits]  # type: ignore[arg-type]  # they are owners

    assert names == NAMED
    assert [names_provider(name) for name in names] == [of_provider for _, _, of_provider in bits]


@pytest.mark.parametrize(("lower", "higher"), list(itertools.pairwise(NAMED)))
def test_each_layer_beats_the_one_below(lower: LayerName, higher: LayerName) -> None:
    """Of two neighbours the higher value is in force, hides the other, and it does not matter which row was read first."""
    rows = [Layer(lower, 1, 1, {"temperature": 0.2}, {}), Layer(higher, 2, 1, {"temperature": 0.9}, {})]
    for given in (rows, rows[::-1]):
        answer = build(provider(), given)
        assert (answer.temperature, answer.source("temperature").layer) == (0.9, higher)
        hidden = next(item for item in answer.explain() if item.name == "temperature").shadows
        assert [(source.layer, value) for source, value in hidden] == [(lower, 0.2), ("built_in", 0.7)]


def test_strongest_comes_first() -> None:
    """However rows come they are put in order; of two of one layer, as raw SQL may leave them, the newer one counts more."""
    rows = [Layer(name, number, 1, {}, {}) for number, name in enumerate((*NAMED, *NAMED))]
    shuffled = rows.copy()
    random.Random(7).shuffle(shuffled)

    found = [(layer.name, layer.row_id) for layer in strongest_first(shuffled)]

    assert found == sorted(((layer.name, layer.row_id) for layer in rows), key=lambda one: (rank(one[0]), one[1]))[::-1]
