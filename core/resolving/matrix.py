"""The hierarchy as a table: parameters by layers, which of them decides, and what becomes of what the others say. Pure functions."""

from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal, NamedTuple

from ..parameters import PARAMETERS, SENDABLE
from .explanation import Explained, LayerName, Source
from .layers import Layer

MatrixColumn = tuple[LayerName, int | None]
"""A column: the layer and the id of its row; of the built-in defaults there is no row."""
BUILT_INS: Final[MatrixColumn] = ("built_in", None)


class Cell(NamedTuple):
    """What a layer says of a parameter."""

    value: Any = None
    has_value: Literal["no", "decides", "bounded", "hidden", "not_allowed", "put_out"] = "no"
    """Whether there is a value, and what becomes of it: a stronger layer hides it, the organisation may not use the model, a limit
    bounds it (then the cell has what is in force) or puts it out of force."""
    omits: Literal["no", "decides", "undone"] = "no"
    """Whether the layer says *do not send*, and whether that holds."""


class MatrixLine(NamedTuple):
    """A parameter, the model, or an entry of a JSON object."""

    item: Explained
    cells: Mapping[MatrixColumn, Cell]
    """Of the layers that say something of it."""

    @property
    def is_said(self) -> bool:
        """Whether any layer but the built-in defaults says something of it."""
        return any(column != BUILT_INS for column in self.cells)


def lines_of(items: Iterable[Explained], layers: Iterable[Layer]) -> list[MatrixLine]:
    """Return the table, in the order of *items*.

    Args:
        items: What :meth:`~.effective.EffectiveSettings.explain` returns.
        layers: The rows that it was merged of.
    """
    omitting = [(layer, _omitted(layer)) for layer in layers]
    return [MatrixLine(item, _cells(item, omitting)) for item in items]


def _cells(item: Explained, omitting: list[tuple[Layer, frozenset[str]]]) -> dict[MatrixColumn, Cell]:
    found: dict[MatrixColumn, Cell] = {}
    if item.value is not None or item.source.layer != "built_in":
        is_bounded = item.limited_by is not None and item.limited_by.rule in {"min", "max"}
        found[column_of(item.source)] = Cell(item.value, "bounded" if is_bounded else "decides")
    for source, value in item.passed_over:
        found[column_of(source)] = Cell(value, "not_allowed")
    for source, value in item.put_out:
        found[column_of(source)] = Cell(value, "put_out")
    for source, value in item.shadows:
        if value is not None or source.layer != "built_in":
            found.setdefault(column_of(source), Cell(value, "hidden"))
    by = None if item.omitted_by is None else column_of(item.omitted_by)
    for layer, names in omitting:
        if item.name in names:
            column: MatrixColumn = (layer.name, layer.row_id)
            found[column] = found.get(column, Cell())._replace(omits="decides" if column == by else "undone")
    return found


def column_of(source: Source) -> MatrixColumn:
    """Return the column that *source* is of."""
    return source.layer, source.row_id


def said_by(layer: Layer) -> tuple[int, int]:
    """Return how many values a layer has, entries of its JSON objects one by one, and how many parameters it does not send."""
    values = layer.values
    number = sum(values.get(name) is not None for name in (*PARAMETERS, "preferred_model"))
    entries = (values.get("custom_settings"), values.get("extra_parameters"))
    return number + sum(len(each) for each in entries if isinstance(each, dict)), len(_omitted(layer))


def _omitted(layer: Layer) -> frozenset[str]:
    names = layer.values.get("omitted_parameters")
    return frozenset(name for name in names if name in SENDABLE) if isinstance(names, list) else frozenset()
