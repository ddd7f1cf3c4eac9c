"""Who spent most in the time chosen, and the file with all of it."""

from urllib.parse import urlencode

import streamlit as st

from core.actors import Actor
from core.govern import spend_course
from core.govern.spend_course import MOST_PARTS, TIMES, TOPS, TopSpender
from core.store import db
from ui.costs import words
from ui.costs.choice import BY, TIME, ZONE, Chosen
from ui.feedback import plain, plain_cell
from ui.scopes import picker
from ui.scopes.editors import Names
from ui.scopes.links import link_to
from ui.widgets import download_csv, isolated

_NARROWED: dict[str, str] = {"organization": picker.ORGANIZATION, "feature": picker.FEATURE}
"""What a name leads to: the same page of it alone."""


def draw(actor: Actor, tops: dict[str, list[TopSpender]], chosen: Chosen, *, may_see_calls: bool) -> None:
    """Draw who spent most, by organisation, feature, model and cost centre; and the file."""
    st.header("Top spenders", anchor=False)
    shown = [by for by in TOPS if not (by == "organization" and chosen.is_own)]
    with st.container(horizontal=True, gap="medium", key="costs_tops"):
        for by in shown:
            with st.container(width=340):
                _draw_one(by, tops[by], chosen)
    if may_see_calls:
        scope = chosen.scope
        st.markdown(link_to("usage", Names(scope.provider, chosen.organization, None, scope.feature)))
    download_csv(
        "costs.csv",
        lambda: export_csv(actor, chosen),
        f"Each day by provider, model, feature, organisation and cost centre; {spend_course.MOST_LINES:,} rows at most.",
        key="costs_export",
    )


def _draw_one(by: str, found: list[TopSpender], chosen: Chosen) -> None:
    label = words.SPLIT_LABELS[by]
    rows = [
        {
            label: _name(by, each.name, chosen),
            "Cost": plain(words.at_least(each.sums.cost, each.sums.unpriced)),
        }
        for each in found
    ]
    st.table(rows, border="horizontal", hide_index=True, alt=f"The {MOST_PARTS} that spent most, by {label.lower()}")


def _name(by: str, name: str, chosen: Chosen) -> str:
    shown = plain_cell(isolated(words.named(by, name)))
    if not name or by not in _NARROWED or " " in name:
        return shown
    asked = {TIME: TIMES[chosen.time].label, BY: words.SPLIT_LABELS[chosen.by], ZONE: chosen.zone}
    if chosen.organization and by != "organization":
        asked[picker.ORGANIZATION] = chosen.organization
    return f"[{shown}](costs?{urlencode({**asked, _NARROWED[by]: name})})"


def export_csv(actor: Actor, chosen: Chosen) -> bytes:
    """Return the costs that are looked at as a CSV file; asks for the right again, as each read does."""
    with db.transaction() as session:
        lines = spend_course.as_csv(session, actor, chosen.time, zone=chosen.zone, scope=chosen.scope)
        return "".join(lines).encode("utf-8-sig")  # spreadsheets know UTF-8 by its mark
