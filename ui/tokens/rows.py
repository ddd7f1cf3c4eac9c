"""What the API tokens page lists: figures, a row for each token in force, and the revoked ones."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from math import ceil
from typing import Final

import streamlit as st

from core.store.table import id_of
from core.store.tables import ApiToken
from ui.feedback import plain
from ui.tokens.dialogs import ask
from ui.widgets import ago, exact, figure, for_row, isolated

SOON: Final = timedelta(days=14)
REVOKED_SHOWN: Final = 100
_ROLES: Final = {
    "admin": ("blue", "shield_person"),
    "analyst": ("gray", "visibility"),
    "metrics": ("gray", "monitoring"),
    "member": ("gray", "apartment"),
}


def draw_figures(live: Sequence[ApiToken]) -> None:
    """Draw the row of figures of the tokens that are not revoked."""
    now = datetime.now(UTC)
    holding = [row for row in live if row.expires_at is None or row.expires_at > now]
    with st.container(horizontal=True, gap="small"):
        figure("Valid", len(holding))
        figure("Expire in 14 days", sum(row.expires_at is not None and row.expires_at - now < SOON for row in holding))
        figure("Never used", sum(row.last_used_at is None for row in holding))


def draw_nothing_yet(*, ever: bool) -> None:
    """Draw what stands here while no token is in force; *ever*: there was one."""
    st.info(
        f"{'No token is in force.' if ever else 'There is no token yet.'} Make one for each program, so that each can be revoked alone. Python services need none: "
        "they `from core.resolve import resolve`.",
        icon=":material/vpn_key:",
    )


def draw_token(row: ApiToken) -> None:
    """Draw a token that is not revoked, with what may be done to it."""
    with st.container(border=True, key=f"token_{row.id}", horizontal=True, vertical_alignment="center"):
        used = f"last used {ago(row.last_used_at)}" if row.last_used_at else "never used"
        where = f" from {row.last_used_from}" if row.last_used_from else ""
        made = f"Made {ago(row.created_at)} by {row.created_by}"
        color, icon = _ROLES[row.role]
        st.markdown(
            f"**{plain(isolated(row.name))}** {plain(row.hint)}… :{color}-badge[:material/{icon}: {row.role.capitalize()}] "
            f"{_ending(row)}  \n:gray[:small[{plain(f'{made}, {used}{where}')}]]",
            help=f"Made {exact(row.created_at)}" + (f", last used {exact(row.last_used_at)}" * bool(row.last_used_at)),
            width="stretch",
        )
        st.page_link(
            "pages/audit.py",
            label=for_row("Audit", row.name),
            icon=":material/history:",
            query_params={"who": f"token:{row.name}"},
            help="What the program did with it",
        )
        st.button(
            for_row("Revoke", row.name),
            key=f"revoke_{row.id}",
            icon=":material/block:",
            on_click=partial(ask, "revoke", id_of(row)),
        )


def draw_revoked(revoked: Sequence[ApiToken]) -> None:
    """Draw the tokens that are revoked, folded, the newest first."""
    if not revoked:
        return
    with st.expander(f"Revoked ({len(revoked)})", key="revoked"):
        newest = sorted(revoked, key=lambda row: row.revoked_at or row.created_at, reverse=True)[:REVOKED_SHOWN]
        st.markdown("  \n".join(_revoked(row) for row in newest))
        if len(revoked) > REVOKED_SHOWN:
            st.caption(f"The newest {REVOKED_SHOWN} are shown. The audit has them all.")


def _revoked(row: ApiToken) -> str:
    line = f"{isolated(row.name)} {row.hint}…, {row.role}: revoked {ago(row.revoked_at)} by {row.revoked_by}, {exact(row.revoked_at)}"
    return f":gray[:small[{plain(line)}]]"


def _ending(row: ApiToken) -> str:
    now = datetime.now(UTC)
    if row.expires_at is None:
        return ":gray-badge[:material/all_inclusive: Does not expire]"
    if row.expires_at <= now:
        return ":red-badge[:material/event_busy: Expired]"
    urgent = row.expires_at - now < SOON
    days = ceil((row.expires_at - now) / timedelta(days=1))
    return f":{'orange' if urgent else 'gray'}-badge[:material/schedule: Expires in {days} d]"
