"""The theme's colours for HTML of ours: Streamlit has them for its own Markdown alone."""

from typing import Final

import streamlit as st

_NAMES: Final = ("green", "orange", "red")


def rules(within: str) -> str:
    """Return CSS by which an element of class *green*, *orange* or *red* below *within*, a selector, has that colour of the theme."""
    pairs = {
        name: [st.get_option(f"theme.{scheme}.{name}TextColor") for scheme in ("light", "dark")] for name in _NAMES
    }
    return "\n".join(f"{within} .{name} {{color:light-dark({light},{dark})}}" for name, (light, dark) in pairs.items())


def background() -> str:
    """Return the theme's background as a colour of CSS, which no variable has: it follows the theme without a run of the page."""
    light, dark = (st.get_option(f"theme.{scheme}.backgroundColor") for scheme in ("light", "dark"))
    return f"light-dark({light},{dark})"
