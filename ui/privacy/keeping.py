"""How long things are kept, and who says so."""

import streamlit as st

from core.actors import Actor
from core.govern import keeping
from core.govern.keeping import KeptOverview
from core.store import db
from core.wording import counted
from ui.feedback import plain
from ui.privacy.dialogs import PRESSES
from ui.widgets import isolated


def draw(actor: Actor, *, may_change: bool) -> None:
    """Draw what is kept for how long, and who says so."""
    with db.transaction() as session:
        kept = keeping.overview(session, actor)
    st.header("How long things are kept", anchor=False)
    st.caption(
        "What is older the app deletes each day, for good. Figures of calls and costs stay: they have no person and no text."
    )
    with st.container(border=True, key="privacy_kept", gap="small"):
        _draw_row("Calls, with prompts and answers", kept.calls.days(), _of_calls(kept))
        _draw_row(
            "The audit", kept.audit, "" if kept.audit is None else "What is older is cut off its chain, which holds."
        )
        _draw_row(
            "The history of settings",
            kept.history,
            "" if kept.history is None else "What was in force before is answered no more, what came later is.",
        )
        if may_change:
            st.button(
                "Change how long",
                key="change_keeping",
                icon=":material/edit:",
                on_click=PRESSES.note,
                args=("keeping",),
            )
    _draw_organizations(kept)
    st.markdown(
        "To erase one person from the calls: `python -m core logs erase --user ID`, or `POST /api/llm/logs/erasures`. Backups still have them."
    )


def _draw_row(what: str, days: int | None, says: str) -> None:
    said = "For ever" if days is None else counted(days, "day")
    st.markdown(f"**{plain(what)}**: {said}" + (f"  \n:gray[:small[{plain(says)}]]" if says else ""))


def _of_calls(kept: KeptOverview) -> str:
    calls = kept.calls
    if calls.days() is None:
        return "Nobody has said how long, for the whole installation; an organisation may."
    host = f"The host says {counted(calls.host, 'day')} (LLM_LOG_DAYS)" if calls.host else "The host says nothing"
    ours = (
        f"the installation {counted(calls.installation, 'day')}" if calls.installation else "the installation nothing"
    )
    return f"{host}, {ours}. The fewest days hold, those of an organisation among them."


def _draw_organizations(kept: KeptOverview) -> None:
    if not kept.organizations:
        return
    st.markdown("**Organisations that say it themselves**")
    rows = [
        {
            "Organisation": isolated(each.name),
            "It says": counted(each.days, "day"),
            "Kept": counted(kept.calls.days(each.days) or each.days, "day"),
        }
        for each in kept.organizations
    ]
    st.table(
        [{name: plain(value) for name, value in row.items()} for row in rows],
        border="horizontal",
        hide_index=True,
        alt="Organisations that say how long their calls are kept",
    )
    if kept.number > len(rows):
        st.caption(f"The {len(rows)} with the fewest days, of {kept.number:,}.")
