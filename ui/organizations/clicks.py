"""What a press in the list of organisations does: opens a page or a dialog, or writes."""

from typing import Final

import streamlit as st

from core.actors import Actor
from core.manage import organizations
from ui.dialogs import Dialogs
from ui.feedback import attempt, other_errors, plain
from ui.pressed import Press

ADD: Final = "add_organization"
TYPED: Final = tuple(
    f"organization_{name}"
    for name in (
        "slug",
        "name",
        "kind",
        "template",
        "shares",
        "externals",
        "externals_before",
        "former",
        "restored_slug",
        "csv",
        "file",
    )
)
DIALOGS: Final = Dialogs("organizations_dialog", (*TYPED, "delete_name"), ADD)


def do(actor: Actor, press: Press) -> None:
    """Do what was pressed."""
    shown = press.what
    if press.action == "open":
        st.switch_page("pages/organization.py", query_params={"organization": shown.slug})
    elif press.action == "enable":
        _enable(actor, shown.id, shown.version, shown.name)
    else:
        DIALOGS.begin(press.action, shown.id if shown else None, shown.version if shown else None)


def _enable(actor: Actor, organization_id: int, version: int, name: str) -> None:
    outcome = attempt(
        lambda session: organizations.update(session, actor, organization_id, {"is_active": True}, version=version),
        f"{name} is enabled.",
    )
    if outcome.conflict:
        who = outcome.conflict.changed_by or "Somebody"
        st.warning(plain(f"{who} changed {name} just now. Look again."), icon=":material/group:")
    other_errors(outcome.errors, set())
