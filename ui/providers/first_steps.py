"""What a newcomer reads above the list of providers: what the product does for them, and the steps to the first call."""

from datetime import UTC, datetime, timedelta
from typing import Final

import streamlit as st

from core.manage import providers, settings
from core.manage.provider_figures import ProviderFigures
from core.store import db

_NEW: Final = timedelta(days=1)
"""For so long after the last change of a provider the way on from the first one is shown."""


def draw(figures: ProviderFigures) -> None:
    """Draw the steps while no provider is active; and on the day of the first one, until a parameter is set."""
    if figures.active and not _is_new(figures):
        return
    with db.transaction() as session:
        has_defaults = bool(settings.list_global(session))
        name = next(iter(providers.names(session, active=True)), None)
    if name and has_defaults:
        return
    with st.container(border=True, gap="small", key="first_steps"):
        st.markdown(
            "Your programs ask here for their provider, model, API key and parameters. "
            "What you change is in force within a second, without a restart.\n\n"
            f"{_mark('one', done=bool(name))} {_first_step(figures)}  \n"
            f"{_mark('two', done=False)} **See what a program gets, and why**, with the code to copy: "
            f'`resolve("{name or "openai"}")`.  \n'
            f"{_mark('3', done=has_defaults)} **Set parameters** of all providers or of one, if the built-in ones do not fit."
        )
        with st.container(horizontal=True, gap="small"):
            st.page_link(
                "pages/effective_preview.py",
                label="See what a program gets",
                icon=":material/visibility:",
                query_params={"provider": name} if name else None,
                width="content",
            )
            st.page_link("pages/defaults.py", label="Set parameters", icon=":material/tune:", width="content")


def _is_new(figures: ProviderFigures) -> bool:
    return figures.last_change is not None and datetime.now(UTC) - figures.last_change < _NEW


def _first_step(figures: ProviderFigures) -> str:
    if figures.active:
        return "**A provider has its API key**, and is active."
    if not figures.total:
        return "**Add a provider** with its API key, which is stored encrypted and never shown again."
    return "**Set the API key** of a provider below; it is stored encrypted, and never shown again."


def _mark(icon: str, *, done: bool) -> str:
    return ":green[:material/check_circle:]" if done else f":material/looks_{icon}:"
