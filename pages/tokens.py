"""API tokens: how programs sign in to the REST API."""

from datetime import UTC, datetime, timedelta
from math import ceil

import streamlit as st

from core.access import tokens
from core.store import db
from core.store.tables import ApiToken
from ui.feedback import plain
from ui.navigation import begin_page
from ui.tokens.dialogs import ask, draw_dialog, start_afresh
from ui.widgets import ago, exact, figure, for_row

SOON = timedelta(days=14)
REVOKED_SHOWN = 100

begin_page("tokens", "How programs that are not Python sign in to the REST API, each with its own token.")
start_afresh()
with db.transaction() as session:
    rows = tokens.list_all(session)
now = datetime.now(UTC)
live = [row for row in rows if row.revoked_at is None]
revoked = [row for row in rows if row.revoked_at is not None]


def ending(row: ApiToken) -> None:
    """Draw when the token ends, as a badge where it matters."""
    if row.expires_at is None:
        st.badge("Does not expire", icon=":material/all_inclusive:", color="gray")
    elif row.expires_at <= now:
        st.badge("Expired", icon=":material/event_busy:", color="red")
    else:
        word = f"Expires in {ceil((row.expires_at - now) / timedelta(days=1))} d"
        urgent = row.expires_at - now < SOON
        st.badge(word, icon=":material/schedule:", color="orange" if urgent else "gray", help=exact(row.expires_at))


holding = [row for row in live if row.expires_at is None or row.expires_at > now]
with st.container(horizontal=True, gap="small"):
    figure("Valid", len(holding))
    soon = [row for row in holding if row.expires_at and row.expires_at - now < SOON]
    figure("Expire in 14 days", len(soon))
    figure("Never used", sum(row.last_used_at is None for row in holding))
if st.button("Make a token", key="make_token", type="primary", icon=":material/add:"):
    ask("make")
if not live:
    st.info(
        "There is no token yet. Make one for each program, so that each can be revoked alone. Python services need none: "
        "they `from core.resolve import resolve`.",
        icon=":material/vpn_key:",
    )

for row in live:
    with (
        st.container(border=True, key=f"token_{row.id}"),
        st.container(horizontal=True, vertical_alignment="center"),
    ):
        with st.container(width="stretch", gap=None):
            st.markdown(f"**{plain(row.name)}** {plain(row.hint)}…")
            used = f"last used {ago(row.last_used_at)}" if row.last_used_at else "never used"
            where = f" from {row.last_used_from}" if row.last_used_from else ""
            made = f"Made {ago(row.created_at)} by {row.created_by}"
            st.caption(plain(f"{made}, {used}{where}"), help=exact(row.last_used_at or row.created_at))
        icons = {"admin": "shield_person", "analyst": "visibility", "metrics": "monitoring"}
        st.badge(
            row.role.capitalize(), icon=f":material/{icons[row.role]}:", color="blue" if row.role == "admin" else "gray"
        )
        ending(row)
        if st.button(for_row("Revoke", row.name), key=f"revoke_{row.id}", icon=":material/block:"):
            ask("revoke", row.id)

if revoked:
    with st.expander(f"Revoked ({len(revoked)})", key="revoked"):
        newest = sorted(revoked, key=lambda row: row.revoked_at or now, reverse=True)[:REVOKED_SHOWN]
        for row in newest:
            st.caption(
                plain(f"{row.name} {row.hint}…, {row.role}: revoked {ago(row.revoked_at)} by {row.revoked_by}"),
                help=exact(row.revoked_at),
            )
        if len(revoked) > REVOKED_SHOWN:
            st.caption(f"The newest {REVOKED_SHOWN} are shown. The audit has them all.")
draw_dialog()
