"""Providers and keys of one organisation: whose key serves it at each provider, and what it may use there."""

from typing import Any, Final

import streamlit as st

from core.actors import Actor
from core.errors import CoreError
from core.manage import organization_keys, providers
from core.store import db
from core.store.organization_tables import OrganizationProvider
from core.store.table import id_of
from core.store.tables import LlmProvider
from core.wording import counted
from ui.feedback import attempt, other_errors, plain, show_fault, show_toast
from ui.guard import guard_part
from ui.organization import key_dialogs
from ui.organization.choice import Chosen
from ui.organization.key_dialogs import DIALOGS, Shown
from ui.pressed import Press, Presses
from ui.widgets import ago, coming_and_going, for_row, isolated

PRESSES: Final = Presses("organization_keys_pressed")
_LISTED: Final = 20
_SEARCH: Final = "search"


@st.fragment
def draw(of: Chosen) -> None:
    """Draw the providers, and the dialog that is open: a part of the page that runs alone."""
    actor = guard_part("manager")
    try:
        _draw(actor, of)
    except CoreError as error:
        show_fault(error)


def _draw(actor: Actor, of: Chosen) -> None:
    above = coming_and_going()
    with above:
        PRESSES.do_all(actor, lambda press: _do(actor, of, press))
        show_toast()
    words = st.text_input(
        "Find a provider",
        key=_SEARCH,
        bind="query-params",
        placeholder="Name, kind or model",
        icon=":material/search:",
        max_chars=100,
        live="400ms",
        width=320,
    )
    with db.transaction() as session:
        rows = {row.provider_id: row for row in organization_keys.list_of(session, actor, of.id)}
        shown = providers.list_all(session, search=words or "", limit=_LISTED + 1)
    if not shown:
        st.info("No provider fits." if words else "There is no provider yet.", icon=":material/search_off:")
    with st.container(gap="xsmall", key="rows"):
        for provider in shown[:_LISTED]:
            _draw_row(of, provider, rows.get(id_of(provider)))
    if len(shown) > _LISTED:
        st.caption(f"The first {_LISTED} are shown. Search for another.")
    key_dialogs.draw(of)


def _draw_row(of: Chosen, provider: LlmProvider, row: OrganizationProvider | None) -> None:
    shown = Shown(id_of(provider), row.version if row else 0, provider.name, provider.display_name)
    has_key = row is not None and bool(row.api_key_encrypted)
    with st.container(
        border=True, key=f"line_{provider.name}", horizontal=True, vertical_alignment="center", gap="small"
    ):
        state, message = _state(of, provider, row)
        st.markdown(
            f"**{plain(isolated(provider.display_name))}** {plain(provider.name)} {state}  \n"
            f":gray[:small[{plain(_facts(provider, row))}]]",
            width="stretch",
        )
        if provider.needs_key and not of.is_template:
            _button("Replace key" if has_key else "Set own key", "set_key", "key", shown)
        actions = {":material/rule: What it may use": "terms"}
        if has_key:
            actions[":material/key_off: Remove own key"] = "remove_key"
        elif row is not None and row.requires_own_key and of.is_admin:
            actions[":material/key: Use the installation's key"] = "share"
        if (
            row is not None
            and has_key
            and of.is_admin
            and organization_keys.key_state(provider, row).state == "unbound"
        ):
            actions[":material/link: Adopt the key"] = "adopt"
        menu = f"more_{provider.name}"
        st.menu_button(
            for_row("More", provider.display_name),
            list(actions),
            key=menu,
            icon=":material/more_horiz:",
            on_click=PRESSES.note_choice,
            args=(menu, actions, shown),
        )
        if message:
            st.caption(f":orange[:material/warning: {plain(message)}]")


def _button(word: str, action: str, icon: str, shown: Shown) -> None:
    st.button(
        for_row(word, shown.display_name),
        key=f"{action}_{shown.name}",
        icon=f":material/{icon}:",
        on_click=PRESSES.note,
        args=(action, shown),
    )


def _state(of: Chosen, provider: LlmProvider, row: OrganizationProvider | None) -> tuple[str, str]:
    """Return whose key serves the organisation there, as a badge, and what is wrong with it."""
    badges, message = [], ""
    if row is not None and row.is_allowed is False:
        badges.append(":red-badge[:material/block: Not allowed]")
    if not provider.is_active:
        badges.append(":gray-badge[:material/pause_circle: Inactive]")
    if of.is_template:
        if row is not None and row.requires_own_key:
            badges.append(":orange-badge[:material/key: Asks for own keys]")
    elif not provider.needs_key:
        badges.append(":gray-badge[:material/lock_open: Needs no key]")
    elif row is not None and row.api_key_encrypted:
        key = organization_keys.key_state(provider, row)
        message = key.message
        word = f":green-badge[:material/key: Own key {plain(organization_keys.shown_key(row) or '')}]"
        badges.append(word if key.state == "ok" else ":red-badge[:material/error: Own key unreadable]")
    elif (row is not None and row.requires_own_key) or not of.shares_keys:
        badges.append(":orange-badge[:material/key_off: No key: it needs one of its own]")
    else:
        badges.append(":gray-badge[:material/key: The installation's key]")
    return " ".join(badges), message


def _facts(provider: LlmProvider, row: OrganizationProvider | None) -> str:
    there = len(provider.available_models)
    if row is None or row.allowed_models is None:
        models = f"all {counted(there, 'model')}"
    else:
        models = f"{len(row.allowed_models)} of {counted(there, 'model')}"
    parts = [models]
    if row is not None and row.own_models:
        parts.append(f"own models {', '.join(map(isolated, row.own_models[:3]))}")
    if row is not None and row.api_key_set_at:
        parts.append(f"key set {ago(row.api_key_set_at)}")
    return " · ".join(parts)


def _do(actor: Actor, of: Chosen, press: Press) -> None:
    shown: Shown = press.what
    if press.action == "share":
        work: Any = lambda session: organization_keys.update(  # noqa: E731 - one of two
            session, actor, of.id, shown.id, {"requires_own_key": False}, version=shown.version
        )
        done = f"{of.name} uses the installation's key of {shown.display_name}."
    elif press.action == "adopt":
        work = lambda session: organization_keys.adopt_api_key(session, actor, of.id, shown.id)  # noqa: E731 - as above
        done = f"The own key at {shown.display_name} is adopted."
    else:
        DIALOGS.begin(press.action, shown, shown.version)
        return
    outcome = attempt(work, done)
    if outcome.conflict:
        st.warning(
            plain(f"{outcome.conflict.changed_by or 'Somebody'} changed it just now. Look again."),
            icon=":material/group:",
        )
    other_errors(outcome.errors, set())
