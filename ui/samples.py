"""Code to be read and copied, as one element: Streamlit's own loads 1.5 MB of JavaScript for the colours of a few lines."""

import re
from html import escape
from typing import Final

import streamlit as st

_TOKEN: Final = re.compile(
    r'(?P<property>"(?:[^"\\]|\\.)*"(?=\s*:))'
    r'|(?P<string>"(?:[^"\\]|\\.)*")'
    r"|(?P<number>(?<![\w.-])-?\d[\d.]*(?:[eE][+-]?\d+)?)"
    r"|(?P<boolean>\b(?:true|false|null)\b)"
    r"|(?P<keyword>\b(?:from|import)\b)"
)
"""What has a colour, in JSON and in a few lines of Python or of a shell. The classes are those of frame.css."""


def draw_sample(text: str) -> None:
    """Draw *text* with a button that copies it: see web/copying.py."""
    st.html(
        f'<div class="code"><pre class="sample">{colored(text)}</pre>'
        '<button type="button" class="copy" aria-label="Copy" title="Copy"></button></div>'
    )


def colored(text: str) -> str:
    """Return *text* as HTML that shows it as it is, with its strings, numbers and so on in spans."""
    parts, end = [], 0
    for token in _TOKEN.finditer(text):
        parts += [
            escape(text[end : token.start()]),
            f'<span class="{token.lastgroup}">{escape(token.group())}</span>',
        ]
        end = token.end()
    return "".join([*parts, escape(text[end:])])
