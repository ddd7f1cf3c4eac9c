"""Hierarchy's table: parameters by the layers that say something; on a phone a list in which each parameter opens to its chain."""

from html import escape
from typing import Final

import streamlit as st

from core.manage.hierarchy import InForce
from core.resolving.explanation import LAYERS, Explained
from core.resolving.layers import rank
from core.resolving.matrix import BUILT_INS, Cell, MatrixColumn, MatrixLine, column_of
from core.resolving.words import CUSTOM, EXTRA, becomes, label_of, state_of, value_text
from ui import colors
from ui.feedback import plain, plain_cell
from ui.hierarchy.head import names_of
from ui.scopes.editors import Names, words_of
from ui.scopes.held import as_markdown, held_by
from ui.widgets import isolated, parameter_cell

_FATE: Final = {
    "decides": "",
    "hidden": "hidden",
    "not_allowed": "not allowed",
    "no": "",
    "bounded": "in force, by a limit",
    "put_out": "out of force, by a limit",
}
"""What becomes of a layer's value, in a word."""


def draw(found: InForce, lines: list[MatrixLine]) -> None:
    """Draw the table, and the same as a list for narrow windows: the style in frame.css shows one of them."""
    columns, names = columns_of(lines), names_of(found)
    heads = {column: _head(column, names) for column in columns}
    with st.container(key="hierarchy_table"):
        st.table(
            [
                {
                    "Parameter": parameter_cell(line.item.name),
                    "In force": _in_force(line.item),
                    **{heads[column]: _cell(line, column) for column in columns},
                }
                for line in lines
            ],
            border="horizontal",
            alt="Each parameter with what is in force, and what each layer says, the strongest first",
        )
    with st.container(key="hierarchy_list"):
        st.html(_as_list(lines, columns, names))
    _draw_style()


def _draw_style() -> None:
    """Give the first column, which stays in view, the theme's background, and the list its colours."""
    st.html(
        f"<style>.st-key-hierarchy_table :is(th,td):first-child{{background:{colors.background()}}}{colors.rules('.hierarchy')}</style>"
    )


def columns_of(lines: list[MatrixLine]) -> list[MatrixColumn]:
    """Return the layers that say something, the strongest first; of two rows of one layer the newer one."""
    found = {column for line in lines for column in line.cells}
    return sorted(found, key=lambda column: (rank(column[0]), column[1] or 0), reverse=True)


def _head(column: MatrixColumn, names: Names) -> str:
    layer = column[0]
    words = plain_cell(isolated(words_of(layer, names)))
    return words if layer in {"built_in", "all_providers", "provider_default"} else f"{words} ({plain(LAYERS[layer])})"


def _in_force(item: Explained) -> str:
    return "  \n".join([_value(item), *map(as_markdown, held_by(item))])


def _value(item: Explained) -> str:
    value = f"**{plain_cell(value_text(item.name, item.value))}**"
    if item.adjusted is not None and item.adjusted.what != "renamed":
        return f"{value}  \n:orange[:small[{plain(becomes(item.adjusted))}]]"
    return f"{value}  \n:orange[:small[:material/block: not sent]]" if state_of(item) == "not sent" else value


def _cell(line: MatrixLine, column: MatrixColumn) -> str:
    cell = line.cells.get(column)
    if cell is None:
        return ""
    parts = []
    if cell.has_value != "no":
        value = plain_cell(value_text(line.item.name, cell.value))
        parts.append(f":green[**{value}**]" if cell.has_value == "decides" else f":gray[{value}]")
        if cell.has_value == "hidden":
            parts.append(":gray[:small[hidden]]")
        if cell.has_value in {"not_allowed", "bounded", "put_out"}:
            parts.append(f":orange[:small[:material/block: {_FATE[cell.has_value]}]]")
    if cell.omits == "decides":
        parts.append(":orange[**not sent**]")
    if cell.omits == "undone":
        parts.append(":gray[:small[not sent: undone]]")
    return "  \n".join(parts)


def _as_list(lines: list[MatrixLine], columns: list[MatrixColumn], names: Names) -> str:
    """Return the list as HTML: one element, which opens and closes without the server."""
    parts = ['<div class="hierarchy">']
    for line in lines:
        item = line.item
        label = label_of(item.name)
        for prefix, what in ((CUSTOM, "custom"), (EXTRA, "extra parameter")):
            if label.startswith(prefix):
                label = f"{label.removeprefix(prefix)} ({what})"
        source = words_of((item.omitted_by or item.source).layer, names)
        not_sent = ' <span class="orange">not sent</span>' if state_of(item) == "not sent" else ""
        parts.append(
            f"<details><summary><span>{_text(label)}</span> <span><b>{_text(value_text(item.name, item.value))}</b>{not_sent}"
            f"<br><small>{_text(source)}</small></span></summary><ol>"
        )
        parts += [
            f'<li><span class="orange">{_text(f"limited by {held.text}; wanted {held.wanted}")}</span> '
            f'<a href="{held.address}">Limit {held.limit_id}</a></li>'
            for held in held_by(item)
        ]
        parts += [
            f"<li>{_in_words(cell, item, words_of(column[0], names), column)}</li>"
            for column in columns
            if (cell := line.cells.get(column)) is not None
        ]
        parts.append("</ol></details>")
    return "".join([*parts, "</div>"])


def _in_words(cell: Cell, item: Explained, layer: str, column: MatrixColumn) -> str:
    said = []
    if cell.has_value != "no":
        value = _text(value_text(item.name, cell.value))
        fate = _FATE[cell.has_value]
        said.append(f'<b class="green">{value}</b>' if cell.has_value == "decides" else f"{value} ({fate})")
    if cell.omits != "no":
        said.append('<b class="orange">not sent</b>' if cell.omits == "decides" else "not sent (undone)")
    source = next((s for s, _ in ((item.source, None), *item.shadows) if column_of(s) == column), None)
    by = "" if column == BUILT_INS or source is None or not source.changed_by else f", {_text(source.changed_by)}"
    return f"{_text(layer)}: {', '.join(said)}{by}"


def _text(text: str) -> str:
    return f"<bdi>{escape(text)}</bdi>"
