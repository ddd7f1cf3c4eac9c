"""What the Notifications page lists: each receiver with its state, its last message, and what may be done to it."""

from typing import Any, Final, NamedTuple

import streamlit as st

from core.actors import Actor
from core.errors import CoreError
from core.govern import outbox_sending
from core.manage import notifications
from core.manage.notifications import ListedWebhook
from core.store import db
from core.store.table import id_of
from ui.feedback import attempt, other_errors, plain, show_toast
from ui.pressed import Press, Presses
from ui.webhooks import words
from ui.webhooks.dialogs import DIALOGS, draw_dialog
from ui.widgets import coming_and_going, exact, for_row, isolated

PRESSES: Final = Presses("webhooks_pressed")


class Shown(NamedTuple):
    """A receiver as it was shown when something was pressed."""

    id: int
    version: int
    name: str
    kind: str


def draw(actor: Actor) -> None:
    """Do what was pressed, then draw the list as it is stored, and the dialog that is open."""
    with coming_and_going():
        PRESSES.do_all(actor, lambda press: _do(actor, press))
        show_toast()
    st.button(
        "Add receiver",
        key=DIALOGS.beside,
        type="primary",
        icon=":material/add:",
        on_click=PRESSES.note,
        args=("add",),
    )
    with db.transaction() as session:
        found = notifications.list_all(session, actor)
    if not found:
        st.info(
            "Nobody is told yet. Add a program of yours, a channel of Slack or people by e-mail, and each change of settings is told to "
            "them within seconds: which rows, which fields, who and why. No value and no key is in a message.",
            icon=":material/notifications:",
        )
    with st.container(gap="xsmall", key="rows"):
        for each in found:
            _draw_row(each)
    draw_dialog()


def _draw_row(found: ListedWebhook) -> None:
    row = found.row
    shown = Shown(id_of(row), row.version, row.name, row.kind)
    with st.container(
        border=True, key=f"line_webhook_{row.id}", horizontal=True, vertical_alignment="center", gap="small"
    ):
        label, icon = words.KINDS[row.kind]
        where = f":material/{icon}: {label} · {plain(isolated(words.address(row)))}"
        text = f"**{plain(isolated(row.name))}** {words.state(found)}  \n{where}"
        if row.off_reason:
            text += f"  \n:red[{plain(f'{row.off_reason}. Mend the receiver, send a test, and switch it on.')}]"
        st.markdown(
            f"{text}  \n:gray[:small[{plain(words.facts(found))}]]",
            help=plain(f"Changed {exact(row.updated_at)} by {row.updated_by or 'somebody'}"),
            width="stretch",
        )
        for action, icon in (("Send test", "send"), ("Messages", "mail")):
            st.button(
                for_row(action, row.name),
                key=f"{action.split()[-1].lower()}_{row.id}",
                icon=f":material/{icon}:",
                on_click=PRESSES.note,
                args=(action.split()[-1].lower(), shown),
            )
        switch = (
            {":material/pause_circle: Switch off": "off"}
            if row.is_active
            else {":material/play_circle: Switch on": "on"}
        )
        actions = {
            ":material/edit: Edit": "edit",
            **({":material/key: New secret": "secret"} if row.kind == "webhook" else {}),
            **switch,
            ":material/delete: Delete": "delete",
        }
        menu = f"more_{row.id}"
        st.menu_button(
            for_row("More", row.name),
            list(actions),
            key=menu,
            icon=":material/more_horiz:",
            on_click=PRESSES.note_choice,
            args=(menu, actions, shown),
        )


def _do(actor: Actor, press: Press) -> None:
    if press.action == "test":
        _test(actor, press.what)
    elif press.action in {"on", "off"}:
        _switch(actor, press.what, on=press.action == "on")
    else:
        shown = press.what
        DIALOGS.begin(press.action, shown.id if shown else None, shown.version if shown else None)


def _test(actor: Actor, shown: Shown) -> None:
    number: list[int] = []

    def work(session: Any) -> None:
        number[:] = [notifications.begin_test(session, actor, shown.id)]

    if not attempt(work, None).ok:
        return
    try:
        with st.spinner(f"Sending to {plain(shown.name)}…"):
            sent = outbox_sending.send_test(number[0])
    except CoreError as error:
        st.error(plain(str(error)), icon=":material/error:")
        return
    if sent is None:
        st.warning(plain(f"{shown.name} was deleted just now."), icon=":material/warning:")
    elif sent.ok:
        but = f" {sent.error}." if sent.error else ""
        st.success(
            plain(f"{shown.name} took the test: it answered {sent.status}.{but}"), icon=":material/check_circle:"
        )
    else:
        st.error(
            plain(f"{shown.name} did not take the test. {sent.error}. {words.LOOK[shown.kind]}"),
            icon=":material/error:",
        )


def _switch(actor: Actor, shown: Shown, *, on: bool) -> None:
    word = "on: it hears of what comes from now on" if on else "off: it hears of nothing"
    outcome = attempt(
        lambda session: notifications.update_target(session, actor, shown.id, {"is_active": on}, version=shown.version),
        f"{shown.name} is {word}.",
    )
    if outcome.conflict:
        who = outcome.conflict.changed_by or "Somebody"
        st.warning(plain(f"{who} changed {shown.name} just now. Look again."), icon=":material/group:")
    other_errors(outcome.errors, set())
