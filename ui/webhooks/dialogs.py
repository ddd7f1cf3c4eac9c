"""What the Notifications page asks: who is told, whether a webhook gets another secret or goes, and what was sent to it."""

import re
from typing import Any, Final

import streamlit as st
from sqlmodel import Session

from core.actors import Actor
from core.config import get_config
from core.errors import CoreError
from core.manage import notifications
from core.store import db
from core.store.notification_schemas import EVENTS
from core.store.notification_tables import MOST_RECIPIENTS, MOST_URL, NotificationTarget
from core.store.table import id_of
from ui.dialogs import Dialogs, confirm_by_name
from ui.feedback import attempt, other_errors, plain, show_fault
from ui.guard import guard
from ui.webhooks import words
from ui.widgets import exact, for_row

_SECRET: Final = "webhook_secret"  # noqa: S105 - where the session keeps one until it was copied
_NAME, _KIND, _URL, _SLACK, _TO = "webhook_name", "webhook_kind", "webhook_url", "webhook_slack", "webhook_recipients"
_EVENTS: Final = "webhook_events"
DIALOGS: Final = Dialogs(
    "webhooks_dialog", (_NAME, _KIND, _URL, _SLACK, _TO, _EVENTS, "delete_name", _SECRET), "add_webhook"
)
_SPLIT: Final = re.compile(r"[\s,;]+")
_ABOUT: Final = {
    "webhook": "A program of yours gets signed messages at a URL. Its secret is shown once.",
    "slack": "A channel of Slack, or of what takes its messages, as Mattermost. The URL is a secret: it is sealed, and never shown again.",
    "email": "One message, to all of them, by the mail server of LLM_SMTP_URL.",
}
SHOWN: Final = 20
"""So many messages are listed, the newest; REST has them all."""


def ask(name: str, target_id: int | None = None) -> None:
    """Open the dialog *name*: a callback."""
    DIALOGS.show(name, target_id)


def draw_dialog() -> None:
    """Draw the dialog that is open, if any."""
    name, target_id = DIALOGS.opened()
    if name == "add":
        _add()
    elif name is not None:
        try:
            row = _row(guard("admin"), target_id)
        except CoreError as error:
            DIALOGS.leave()
            show_fault(error)
        else:
            {"edit": _edit, "secret": _secret, "messages": _messages, "delete": _delete}[name](row)


@st.dialog("Add a receiver", icon=":material/notifications:", dismissible=False)
def _add() -> None:
    actor = guard("admin")
    if (made := st.session_state.get(_SECRET)) is not None:
        _show(made)
        return
    found: list[str] = []
    kind = (
        st.segmented_control(
            "Kind",
            list(words.KINDS),
            default="webhook",
            required=True,
            key=_KIND,
            format_func=lambda kind: words.KINDS[kind][0],
        )
        or "webhook"
    )
    st.caption(_ABOUT[kind])

    def work(session: Session) -> None:
        found[:] = [notifications.create(session, actor, {"kind": kind, **_typed(kind)})[1]]

    outcome = DIALOGS.save("webhook", _fields(kind), work, "The receiver is added.", "Add receiver", closes=False)
    if outcome is not None and outcome.ok and not found[0]:
        DIALOGS.done()
    _show_next(found)


@st.dialog("Edit the receiver", icon=":material/edit:", dismissible=False)
def _edit(row: NotificationTarget) -> None:
    actor = guard("admin")
    version = DIALOGS.based_on(row)
    DIALOGS.save(
        "webhook",
        _fields(row.kind, row),
        lambda session: notifications.update_target(session, actor, id_of(row), _typed(row.kind), version=version),
        "The receiver is saved.",
    )


@st.dialog("Give it another secret?", icon=":material/key:", dismissible=False)
def _secret(row: NotificationTarget) -> None:
    actor = guard("admin")
    if (made := st.session_state.get(_SECRET)) is not None:
        _show(made)
        return
    st.markdown(
        f"**{plain(row.name)}** gets a new secret. For a day both sign, so that the receiver can be changed over."
    )
    at_once = st.toggle("End the old one at once", key="webhook_at_once", help="When somebody else knows it.")
    found: list[str] = []

    def work(session: Session) -> None:
        found[:] = [notifications.exchange_secret(session, actor, id_of(row), at_once=at_once)[1]]

    DIALOGS.save("webhook", {}, work, None, "Make secret", closes=False)
    _show_next(found)


@st.dialog("Delete the receiver?", icon=":material/delete:", on_dismiss=DIALOGS.close)
def _delete(row: NotificationTarget) -> None:
    actor = guard("admin")
    st.markdown(f"**{plain(row.name)}** hears of nothing any more, and what was sent to it is no longer listed.")
    if not confirm_by_name(row.name, thing="receiver", verb="Delete", icon="delete", cancel=DIALOGS.done):
        return
    if attempt(lambda session: notifications.remove(session, actor, id_of(row)), f"{row.name} is deleted.").ok:
        DIALOGS.done()


@st.dialog("Messages", icon=":material/mail:", width="medium", on_dismiss=DIALOGS.close)
def _messages(row: NotificationTarget) -> None:
    actor = guard("admin")
    st.markdown(f"To **{plain(row.name)}**, the newest first.")
    place = st.container(gap="xsmall")
    with db.transaction() as session:
        found = notifications.deliveries(session, actor, id_of(row), limit=SHOWN)
    if not found:
        st.info("Nothing was sent yet. Send a test, or change a setting.", icon=":material/mail:")
    with place:
        for each in found:
            with st.container(border=True, horizontal=True, vertical_alignment="center", key=f"line_message_{each.id}"):
                help_ = f"{each.webhook_id}, written {exact(each.created_at)}"
                st.markdown(words.message(each), width="stretch", help=plain(help_))
                ended = each.done_at is not None or each.failed_at is not None
                if ended and row.is_active and each.event != notifications.TEST:
                    number = id_of(each)
                    st.button(
                        for_row("Resend", f"{words.name_of(each)}, {number}"),
                        key=f"resend_{number}",
                        icon=":material/replay:",
                        on_click=_resend,
                        args=(id_of(row), number),
                    )
    with st.container(horizontal=True, horizontal_alignment="right"):
        st.button("Look again", key="messages_again", icon=":material/refresh:")
        if st.button("Close", key="messages_close"):
            DIALOGS.done()


def _resend(target_id: int, delivery_id: int) -> None:
    actor = guard("admin")
    outcome = attempt(lambda session: notifications.resend(session, actor, target_id, delivery_id), "It is sent again.")
    other_errors(outcome.errors, set())


def _row(actor: Actor, target_id: int) -> NotificationTarget:
    with db.transaction() as session:
        return notifications.get(session, actor, target_id)


def _fields(kind: str, row: NotificationTarget | None = None) -> dict[str, Any]:
    slots: dict[str, Any] = {}
    st.text_input(
        "Name",
        value=row.name if row else "",
        key=_NAME,
        persist_state="page",
        max_chars=100,
        placeholder="who is told, as ops channel",
    )
    slots["name"] = st.empty()
    if kind == "email":
        st.text_area(
            "Addresses",
            value="\n".join((row.recipients if row else None) or []),
            key=_TO,
            persist_state="page",
            height=120,
            placeholder="one a line, as ops@example.com",
            help=f"{MOST_RECIPIENTS} at most.",
        )
        slots["recipients"] = st.empty()
        if get_config().smtp_url is None:
            st.warning(
                "No mail server is named: nothing is sent until the operator sets LLM_SMTP_URL.",
                icon=":material/mail_off:",
            )
    elif kind == "slack":
        st.text_input(
            "Webhook URL",
            key=_SLACK,
            type="password",
            max_chars=MOST_URL,
            autocomplete="off",
            placeholder=f"{row.url}/…, which stays if nothing stands here"
            if row
            else "https://hooks.slack.com/services/…",
        )
        slots["url"] = st.empty()
    else:
        st.text_input(
            "URL",
            value=row.url if row else "",
            key=_URL,
            persist_state="page",
            max_chars=MOST_URL,
            placeholder="https://hooks.example.com/llm-settings",
        )
        slots["url"] = st.empty()
    st.multiselect(
        "Is told of",
        EVENTS,
        default=[event for event in EVENTS if row is None or event in row.events],
        key=_EVENTS,
        persist_state="page",
        format_func=lambda event: words.EVENTS_SAID.get(event, event),
        placeholder="Choose at least one",
    )
    slots["events"] = st.empty()
    return slots


def _typed(kind: str) -> dict[str, Any]:
    """Return what stands in the fields; of Slack an empty URL is none: of one that is there it stays."""
    state = st.session_state
    name = {"name": state.get(_NAME) or "", "events": state.get(_EVENTS) or []}
    if kind == "email":
        return {**name, "recipients": [each for each in _SPLIT.split(state.get(_TO) or "") if each]}
    if kind == "slack":
        typed = state.get(_SLACK)
        return {**name, "url": typed or None}
    return {**name, "url": state.get(_URL) or ""}


def _show_next(found: list[str]) -> None:
    """Show the secret that was made, in the next run."""
    if found:
        st.session_state[_SECRET] = found[0]
        st.rerun()


def _show(secret: str) -> None:
    st.markdown("Copy the secret now: **it is not shown again**. With it the receiver checks who sent a message.")
    st.code(secret, language=None, wrap_lines=True)
    st.caption("How a receiver checks it stands in docs/webhooks.md, in Python and for Node.")
    with st.container(horizontal=True, horizontal_alignment="right"):
        if st.button("Done", key="webhook_done", type="primary"):
            DIALOGS.done()
