"""The table of layers agrees with what is in force and with what each row stores, in random states."""

import random
from typing import Any

import pytest

from core.parameters import PARAMETERS
from core.resolving.effective import EffectiveSettings
from core.resolving.explanation import LAYERS
from core.resolving.layers import Layer, rank
from core.resolving.limits import limit_of
from core.resolving.matrix import BUILT_INS, Cell, MatrixLine, lines_of, said_by
from core.resolving.merge import build
from core.resolving.tenant import Tenant
from tests.parameters import SENT
from tests.resolving.facts import provider

STATES = 400
STORED = [name for name in LAYERS if name not in {"built_in", "provider_default"}]
NAMES = ("temperature", "max_tokens", "reasoning_effort", "enable_logging", "log_level")


@pytest.fixture(autouse=True)
def _isolated() -> None:
    """No database is needed here: replaces the fixture of that name for this module."""


def _layers(dice: random.Random) -> list[Layer]:
    found = []
    for number, name in enumerate(dice.sample(STORED, dice.randrange(len(STORED)))):
        values: dict[str, Any] = {
            each: dice.choice([PARAMETERS[each].first, PARAMETERS[each].default])
            for each in NAMES
            if dice.random() < 0.5
        }
        values["omitted_parameters"] = dice.choice([None, [], dice.sample(SENT, 2), ["temperature", 5, None], "x"])
        values["preferred_model"] = dice.choice([None, "m1", "m2"])
        values["custom_settings"] = dice.choice([None, {"a": number}, {"a": None, "b": 1}])
        found.append(Layer(name, number, 1, values, {}))  # type: ignore[arg-type]  # a layer's name
    return found


def _answer(layers: list[Layer], tenant: Tenant | None = None) -> tuple[EffectiveSettings, dict[str, MatrixLine]]:
    answer = build(provider(), layers, tenant=tenant)
    return answer, {line.item.name: line for line in lines_of(answer.explain(), layers)}


def test_random_states() -> None:
    """Each value stands in its layer's cell, the strongest decides and is in force, all below are hidden; so with *not sent*."""
    for number in range(STATES):
        dice = random.Random(number)
        layers = _layers(dice)
        answer, lines = _answer(layers)
        down = sorted(layers, key=lambda layer: rank(layer.name), reverse=True)
        for name in NAMES:
            cells = lines[name].cells
            values = {(at.name, at.row_id): at.values[name] for at in down if at.values.get(name) is not None}
            expected: dict[Any, Any] = dict(values)
            if PARAMETERS[name].default is not None:
                expected[BUILT_INS] = PARAMETERS[name].default
            assert {at: cell.value for at, cell in cells.items() if cell.has_value != "no"} == expected, (number, name)
            fates = [cells[at].has_value for at in expected]
            assert fates == ["decides", *["hidden"] * len(fates)][: len(fates)], (number, name)
            if expected:
                assert getattr(answer, name) == next(iter(expected.values())), (number, name)
        for name in SENT:
            cells = lines[name].cells
            omitting = {(at.name, at.row_id) for at in layers if name in (at.values["omitted_parameters"] or ())}
            assert {at for at, cell in cells.items() if cell.omits != "no"} == omitting, (number, name)
            assert sum(cell.omits == "decides" for cell in cells.values()) == (name in answer.omitted), (number, name)
        assert set(lines) == {item.name for item in answer.explain()}


def test_models_that_may_not_be_used() -> None:
    """A preferred model that the organisation may not use keeps its cell, and the provider's default decides."""
    layers = [Layer("provider", 1, 1, {"preferred_model": "m2"}, {}), Layer("organization+provider", 2, 1, {}, {})]
    answer, lines = _answer(layers, Tenant(5, "acme", allowed_models=frozenset({"m1"})))
    cells = lines["model"].cells

    assert answer.model == "m1"
    assert {at[0]: (cell.value, cell.has_value) for at, cell in cells.items()} == {
        "provider": ("m2", "not_allowed"),
        "provider_default": ("m1", "decides"),
    }
    assert lines["model"].is_said
    assert not lines["temperature"].is_said


def test_figures_of_a_layer() -> None:
    """Entries of JSON objects count one by one; what is nothing, or no list, counts as nothing."""
    row = {"temperature": 0.0, "stop": None, "custom_settings": {"a": None, "b": 1}, "preferred_model": "m1"}

    assert said_by(Layer("provider", 1, 1, {**row, "omitted_parameters": ["top_p", "nonsense"]}, {})) == (4, 1)
    assert said_by(Layer("provider", 1, 1, {"omitted_parameters": "top_p", "custom_settings": [1]}, {})) == (0, 0)


def test_what_a_limit_does_stands_in_the_cells() -> None:
    """A value that a limit bounds, in its layer's cell as it is in force; one that a lock puts out of force, in its own."""
    rows = [
        Layer("provider", 1, 1, {"max_tokens": 8000}, {}),
        Layer("organization", 2, 1, {"max_tokens": 500, "temperature": 0.1}, {}),
    ]
    said = {"max_tokens": {"lock": True, "max": 4000}, "temperature": {"send": False}}
    row = {"id": 1, "version": 1, "owner": "installation", "limits": said, "note": None, "field_changes": {}}
    limit = limit_of(row | {"provider_id": 7}, "provider")
    assert limit is not None
    found = {line.item.name: line.cells for line in lines_of(build(provider(), rows, limits=(limit,)).explain(), rows)}

    assert found["max_tokens"]["provider", 1] == Cell(4000, "bounded")
    assert found["max_tokens"]["organization", 2] == Cell(500, "put_out")
    assert found["temperature"]["organization", 2] == Cell(0.1, "decides")
