"""Whether what is edited is of one provider, or of all: in the address."""

from typing import Final

import streamlit as st

from core.manage import providers
from core.store import db
from ui import address
from ui.widgets import coming_and_going

PROVIDER: Final = "provider"


def pick_provider() -> tuple[int | None, str]:
    """Draw the choice of a provider, by the name that stands in the address; returns its id and name; None and empty: all of them."""
    with db.transaction() as session:
        names = providers.names(session)
    with coming_and_going():
        address.one_of(PROVIDER, names, "a provider")
    name = st.selectbox(
        "For",
        list(names),
        index=None,
        key=PROVIDER,
        bind="query-params",
        placeholder="All providers",
        filter_mode="contains",
        width=420,
        help="What is set for one provider wins over what is set for all.",
    )
    if name is None or name not in names:
        return None, ""
    with db.transaction() as session:
        return providers.get_by_name(session, name).id, name
