"""The list of the Organisations page: figures, filters, rows and what they ask. A part of the page that runs alone."""

from typing import Final

import streamlit as st

from core.actors import Actor
from core.errors import CoreError
from core.manage import organization_names, organizations, overriding
from core.store import db
from core.store.table import id_of
from ui import address, keyset, listing
from ui.feedback import plain, show_fault, show_toast
from ui.guard import guard_part
from ui.organizations import clicks, dialogs, unknown
from ui.organizations.rows import PRESSES, draw
from ui.pressed import Press
from ui.widgets import coming_and_going, figure

PAGE_SIZE: Final = 25
_SHOW: Final = "show"
SHOWN: Final = {"Organisations": "organization", "Templates": "template", "Deleted": None}
_LIST: Final = "organizations"


@st.fragment
def draw_list() -> None:
    """Do what was pressed, then draw the list as it is stored, and the dialog that is open."""
    actor = guard_part("admin")
    try:
        _draw(actor)
    except CoreError as error:
        show_fault(error)


def _draw(actor: Actor) -> None:
    above = coming_and_going()
    with above:
        PRESSES.do_all(actor, lambda press: _do(actor, press))
        show_toast()
    with db.transaction() as session:
        counts = organizations.count(session, actor)
    with st.container(horizontal=True, gap="small"):
        figure("Organisations", counts["organization"])
        figure("Templates", counts["template"])
        figure("Deleted", counts["deleted"], help="Each can be restored for 30 days at least.")
    search, show = _pick()
    if not sum(counts.values()):
        _draw_nothing_yet()
    else:
        _draw_rows(actor, search, show)
    unknown.draw(actor)
    dialogs.draw()


def _do(actor: Actor, press: Press) -> None:
    if press.action == unknown.ACTION:
        unknown.do(actor, press)
    else:
        clicks.do(actor, press)


def _pick() -> tuple[str, str]:
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small", key="filters"):
        search = listing.pick_search("Name, or the beginning of an id")
        address.one_of(_SHOW, SHOWN, "a list")
        show = st.segmented_control(
            "Show", list(SHOWN), default="Organisations", required=True, key=_SHOW, bind="query-params"
        )
        st.button(
            "Add organisation",
            key=clicks.ADD,
            type="primary",
            icon=":material/add:",
            on_click=PRESSES.note,
            args=("add",),
        )
        st.button(
            "Import CSV",
            key="import_organizations",
            icon=":material/upload_file:",
            on_click=PRESSES.note,
            args=("csv",),
        )
    return search, show or "Organisations"


def _draw_nothing_yet() -> None:
    st.info(
        "There is no organisation yet. An organisation is a tenant of your services: one that has settings, keys and "
        "admins of its own. Without any, all services get what the Defaults page says.",
        icon=":material/apartment:",
    )
    st.button(
        "Add the first organisation",
        key="add_first_organization",
        icon=":material/add:",
        on_click=PRESSES.note,
        args=("add",),
    )


def _draw_rows(actor: Actor, search: str, show: str) -> None:
    at = keyset.part(_LIST, (search, show), PAGE_SIZE)
    with db.transaction() as session:
        found = organizations.search(
            session, actor, search, kind=SHOWN[show], deleted=show == "Deleted", after=at.after, limit=at.asked
        )
        rows = found[: at.size]
        ids = [id_of(row) for row in rows]
        names = organization_names.list_of(session, ids)
        has = overriding.of_organizations(session, ids)
        templates = organizations.slugs(session, [row.template_id for row in rows if row.template_id])
    if not rows:
        what = {"Organisations": "organisation", "Templates": "template", "Deleted": "deleted organisation"}[show]
        where = f" has “{search}” in its name, or an id that begins so" if search else " is here"
        st.info(plain(f"No {what}{where}."), icon=":material/search_off:")
    with st.container(gap="xsmall", key="rows"):
        for row in rows:
            draw(row, names[id_of(row)], templates, has[id_of(row)])
    keyset.draw(_LIST, at, found, rows[-1].slug if rows else "")
