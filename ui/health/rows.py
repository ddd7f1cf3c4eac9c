"""How the rows of the Health page are drawn: one element a section, as the browser waits for each."""

from collections.abc import Iterable, Mapping
from html import escape
from itertools import groupby
from typing import Final

import streamlit as st

from ui import colors
from ui.health.line import Line, State
from ui.links import draw_provider_links

_BADGES: Final[Mapping[State, tuple[str, str]]] = {
    "ok": ("check_circle", "green"),
    "note": ("info", ""),
    "soon": ("warning", "orange"),
    "wrong": ("error", "red"),
}
"""An icon, and a colour."""
_STYLE: Final = """<style>
.hl {display:grid;grid-template-columns:11.5rem 10rem minmax(0,1fr);gap:.5rem 1rem;align-items:baseline;margin:0;line-height:1.4;
  max-width:60rem}
.hl>* {min-width:0;overflow-wrap:anywhere} .hl small {display:block;opacity:.72}
.hl i {font:1rem 'Material Symbols Rounded';vertical-align:-.2em;font-feature-settings:'liga'}
.hl u {text-decoration:none;display:inline-block;padding:0 .5rem;border-radius:.5rem;
  background:color-mix(in srgb,currentcolor 10%,transparent)}
@media (max-width:640px) {.hl {grid-template-columns:minmax(0,1fr) max-content} .hl>span {grid-column:1/-1;margin-bottom:.5rem}}
</style>"""


def draw_style() -> None:
    """Draw the looks of the rows."""
    st.html(_STYLE.replace("</style>", colors.rules(".hl") + "</style>"))


def draw(lines: Iterable[Line]) -> None:
    """Draw the rows of a section; below one that is about a provider, what leads to it."""
    for provider, alike in groupby(lines, key=lambda line: line.provider):
        rows = list(alike)
        st.html(f'<div class="hl">{"".join(map(_row, rows))}</div>')
        if provider:
            draw_provider_links(provider, ("providers", "usage", "audit"))


def _row(line: Line) -> str:
    icon, color = _BADGES[line.state]
    hover = f' title="{escape(line.hover)}"' if line.hover else ""
    cure = f"<small>{_text(line.cure)}</small>" if line.cure else ""
    return (
        f"<b><bdi>{escape(line.name)}</bdi></b>"
        f'<div><u class="{color}"><i aria-hidden="true">{icon}</i> {escape(line.word)}</u></div>'
        f"<span{hover}>{_text(line.detail)}{cure}</span>"
    )


def _text(message: str) -> str:
    """Return *message* of core as HTML: `commands` as code, the rest as it is."""
    parts = (f"<code>{escape(part)}</code>" if odd % 2 else escape(part) for odd, part in enumerate(message.split("`")))
    return "".join(parts)
