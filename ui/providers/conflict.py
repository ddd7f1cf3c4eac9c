"""What two people changed in one provider, side by side: what it was, what is saved now, and what was typed here."""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import streamlit as st

from core.kinds import facts_of
from core.manage import provider_keys, providers
from core.store.tables import LlmProvider
from core.wording import counted
from ui.feedback import plain, plain_cell
from ui.widgets import ago, exact

LABELS: Final = {
    "name": "Name",
    "display_name": "Display name",
    "kind": "Kind",
    "api_base_url": "Base URL",
    "needs_key": "Needs an API key",
    "api_key": "API key",
    "available_models": "Models",
    "default_model": "Default model",
    "description": "Description",
    "is_active": "Active",
}
"""Field -> what people read, in the order of the form."""
_SHOWN = 8
"""So many models are named."""


class Crossing(NamedTuple):
    """An edit that somebody else's crossed."""

    version: int
    """What is saved now; writing is based on it."""
    rows: list[dict[str, str]]
    """Each field that they changed, for a table."""
    others: list[str]
    """Labels of what was changed here alone."""


def crossing(began: Mapping[str, Any], began_key: str | None, now: LlmProvider, mine: Mapping[str, Any]) -> Crossing:
    """Compare what an edit began with, what is saved *now*, and *mine*: the fields that were changed here.

    Args:
        began: Field -> value.
        began_key: What was shown of the API key.
        now: The provider as it is saved.
        mine: Field -> value, perhaps with ``api_key``, which is mentioned and never shown.
    """
    before = {**began, "api_key": began_key}
    theirs = {**now.model_dump(include=set(providers.FIELDS)), "api_key": provider_keys.shown_key(now)}
    rows, besides = [], []
    for name, label in LABELS.items():
        if not _same(before.get(name), theirs[name]):
            who = (now.field_changes.get(name) or {}).get("by") or now.updated_by or "somebody"
            rows.append(
                {
                    "Field": label,
                    "When you began": _cell(name, before.get(name)),
                    "Saved now": f"{_cell(name, theirs[name])}  \n:gray[:small[{plain(who)}]]",
                    "Yours": f"**{_mine(name, mine[name])}**" if name in mine else ":gray[not changed]",
                }
            )
        elif name in mine:
            besides.append(_NEW_KEY if name == "api_key" else label)
    return Crossing(now.version, rows, besides)


_NEW_KEY: Final = "a new API key"


def draw(found: Crossing, now: LlmProvider, *, typed_key: bool) -> None:
    """Draw what was changed by whom; the buttons below decide."""
    st.markdown(
        plain(f"{now.updated_by or 'Somebody'} saved it {ago(now.updated_at)}, while you were editing.")
        + " Nothing of yours is lost: choose what holds.",
        help=exact(now.updated_at),
    )
    if found.rows:
        st.table(found.rows, border="horizontal", alt="Each field that they changed, and what you typed there")
    else:
        st.caption("No field is another one than when you began.")
    if found.others:
        st.markdown(f"You alone changed: {plain(', '.join(found.others))}.")
    lost = ", the API key that you typed too" if typed_key else ""
    st.caption(
        "Writing yours changes the fields that you changed; what they changed elsewhere stays. "
        f"Keeping what is saved drops what you typed{lost}."
    )


def _mine(name: str, value: Any) -> str:
    return _NEW_KEY if name == "api_key" else _cell(name, value)


def _same(one: object, other: object) -> bool:
    return (one or None) == (other or None)


def _cell(name: str, value: Any) -> str:
    if isinstance(value, list):
        shown = ", ".join(value[:_SHOWN])
        return plain_cell(f"{counted(len(value), 'model')}: {shown}, …" if len(value) > _SHOWN else shown)
    if isinstance(value, bool):
        return "on" if value else "off"
    if name == "kind":
        return plain(facts_of(str(value)).label)
    if name == "api_key":
        return plain(str(value or "none"))
    return plain_cell(str(value)) if value else ":gray[empty]"
