"""A row of the list of organisations: what one is called and has, and what may be done with it."""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import streamlit as st

from core.manage.overriding import OwnRows
from core.store.organization_tables import Organization, OrganizationName
from core.store.table import id_of
from core.wording import counted
from ui.feedback import plain
from ui.pressed import Presses
from ui.widgets import ago, exact, for_row, isolated

PRESSES: Final = Presses("organizations_pressed")
_NAMED: Final = 3
"""So many external names stand in a row."""


class Shown(NamedTuple):
    """An organisation, as its row showed it."""

    id: int
    version: int
    slug: str
    name: str


def draw(row: Organization, names: Sequence[OrganizationName], templates: Mapping[int, str], has: OwnRows) -> None:
    """Draw one organisation.

    Args:
        row: Which.
        names: By which services ask for it.
        templates: Id -> slug of those that the rows of the page build on.
        has: What it has stored.
    """
    shown = Shown(id_of(row), row.version, row.slug, row.name)
    key = f"{row.slug}_{row.id}"  # a deleted one may have the slug of another
    with st.container(border=True, key=f"line_{key}", horizontal=True, vertical_alignment="center", gap="small"):
        st.markdown(
            f"**{plain(isolated(row.name))}** {plain(row.slug)} {_badges(row)}  \n:gray[:small[{plain(_facts(row, names, templates, has))}]]",
            help=plain(f"Changed {exact(row.updated_at)} by {row.updated_by or 'somebody'}"),
            width="stretch",
        )
        if row.deleted_at is None:
            st.button(
                for_row("Open", row.name),
                key=f"open_{key}",
                icon=":material/domain:",
                on_click=PRESSES.note,
                args=("open", shown),
            )
            menu, actions = f"more_{key}", _menu(row)
            st.menu_button(
                for_row("More", row.name),
                list(actions),
                key=menu,
                icon=":material/more_horiz:",
                on_click=PRESSES.note_choice,
                args=(menu, actions, shown),
            )
        else:
            st.button(
                for_row("Restore", row.name),
                key=f"restore_{key}",
                icon=":material/restore_from_trash:",
                on_click=PRESSES.note,
                args=("restore", shown),
            )


def _menu(row: Organization) -> dict[str, str]:
    actions = {":material/edit: Edit": "edit"}
    if row.kind == "organization":
        actions[":material/label: External ids"] = "names"
    if row.is_active:
        actions[":material/block: Disable"] = "disable"
    else:
        actions[":material/check: Enable"] = "enable"
    actions[":material/delete: Delete"] = "delete"
    return actions


def _badges(row: Organization) -> str:
    found = []
    if row.kind == "template":
        found.append(":violet-badge[:material/content_copy: Template]")
    if row.deleted_at is not None:
        found.append(":red-badge[:material/delete: Deleted]")
    elif not row.is_active:
        found.append(":red-badge[:material/block: Disabled]")
    return " ".join(found)


def _facts(row: Organization, names: Sequence[OrganizationName], templates: Mapping[int, str], has: OwnRows) -> str:
    external = [isolated(each.name) for each in names if each.kind == "external"]
    former = [each.name for each in names if each.kind == "former"]
    more = f" and {len(external) - _NAMED} more" if len(external) > _NAMED else ""
    parts = [
        f"external ids {', '.join(external[:_NAMED])}{more}" if external else "",
        f"was {', '.join(former[:_NAMED])}" if former else "",
        f"builds on {template}" if (template := templates.get(row.template_id or 0)) else "",
        counted(has.own_keys, "own key") if has.own_keys else "",
        counted(has.settings, "settings row") if has.settings else "",
        counted(has.overrides, "feature override") if has.overrides else "",
        f"deleted {ago(row.deleted_at)}" if row.deleted_at else f"changed {ago(row.updated_at)}",
    ]
    return " · ".join(filter(None, parts))
