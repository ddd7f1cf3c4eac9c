"""Effective Preview: which settings are in force for a provider, and why."""

import json

import streamlit as st

from core import db, providers, settings, users
from ui import preview_table as table
from ui.guard import guard
from ui.widgets import page_head

actor = guard("analyst")
page_head(
    "Effective Preview", "Which settings a service gets when it resolves a provider, and where each value comes from."
)
with db.transaction() as session:
    names = providers.names(session)
    role = users.get(session, actor.user_id or 0).role

if not names:
    st.info("There is no provider yet, so there is nothing to resolve.", icon=":material/visibility_off:")
    if role == "admin":
        st.page_link("pages/providers.py", label="Add a provider", icon=":material/add:")
    else:
        st.text("Ask an admin to add one.")
    st.stop()

asked = st.query_params.get("provider", "")
if "preview_provider" not in st.session_state and asked in names:
    st.session_state["preview_provider"] = asked


def label(name: str | None) -> str:
    """Return how a provider is called in the pickers."""
    return f"{names[name]}  ·  {name}" if name in names else "Nothing"


with st.container(horizontal=True, vertical_alignment="bottom"):
    chosen = st.selectbox("Provider", list(names), format_func=label, key="preview_provider", width=380)
    other = st.selectbox(
        "Compare with", [None, *(n for n in names if n != chosen)], format_func=label, key="compare_with", width=380
    )
st.query_params["provider"] = chosen
with db.transaction() as session:
    ours = settings.effective(session, chosen)
    theirs = settings.effective(session, other) if other else None

table.draw_status(ours)
if theirs is not None:
    only = st.toggle("Only what differs", key="only_differences")
    table.draw_comparison(ours, theirs, only_differences=only)
else:
    table.draw_reasons(ours)

st.subheader("What a call would send", anchor=False)
st.code(json.dumps(ours.request_options(), indent=2, ensure_ascii=False), language="json", wrap_lines=True)
st.subheader("How a service gets it", anchor=False)
st.code(table.python_snippet(chosen), language="python", wrap_lines=True)
st.download_button(
    "Download as JSON",
    table.as_json(ours),
    file_name=f"effective-{chosen}.json",
    mime="application/json",
    key="download",
    icon=":material/download:",
)
