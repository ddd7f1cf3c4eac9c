"""What a press in the list of providers does.

A callback only notes what was pressed: it runs before anybody's rights were read. The list does what was noted once its
guard has let this run through, and before it draws: so a click costs one run, and the list shows what is stored.
"""

from typing import Final, Literal, NamedTuple, get_args

import streamlit as st
from sqlmodel import Session
from streamlit.errors import StreamlitAPIException

from core.actors import Actor
from core.errors import NotFound
from core.manage import provider_figures, provider_keys, provider_lists, providers
from core.store import db
from core.store.tables import LlmProvider
from core.wording import counted
from ui.feedback import ACTOR, attempt, other_errors, plain, show_toast, warn
from ui.providers import picked
from ui.providers.dialogs import ADDED, Asked, ask

Action = Literal[
    "add",
    "env",
    "edit",
    "set_key",
    "test",
    "keys",
    "delete",
    "remove_key",
    "adopt",
    "activate",
    "deactivate",
    "duplicate",
    "details",
    "defaults",
    "effective_preview",
    "usage",
    "costs",
    "audit",
    "several",
    "pick",
    "leave",
    "pick_none",
    "stop",
    "change",
]
_NOTED, _OWN = "providers_pressed", "providers_own_writes"
DIALOG: Final = "providers_dialog_part"
"""The key of the part of the page that draws the dialog."""
_ASKED: Final = frozenset(get_args(Asked))
OPEN: Final = "providers_open"
"""The ids whose details are shown."""


class Shown(NamedTuple):
    """A provider, as its row showed it."""

    id: int
    version: int
    name: str
    display_name: str


class Click(NamedTuple):
    """What was pressed in a row."""

    who: object
    """Who was signed in then."""
    action: Action
    provider: Shown


def note(action: Action, provider: Shown = Shown(0, 0, "", "")) -> None:  # noqa: B008 - it cannot change
    """Note a press: the callback of a button. One that asks for a dialog has that part drawn, and not the list."""
    st.session_state.setdefault(_NOTED, []).append(Click(st.session_state.get(ACTOR), action, provider))
    if action in _ASKED:
        try:
            st.rerun([DIALOG])
        except StreamlitAPIException:  # that part is not there yet: the page is still being drawn
            st.rerun()


def note_switch(key: str, provider: Shown) -> None:
    """Note that the switch *key* was moved: its callback."""
    note("activate" if st.session_state.get(key) else "deactivate", provider)


def note_pick(key: str, provider: Shown) -> None:
    """Note that the box *key* of a row was ticked or not: its callback."""
    note("pick" if st.session_state.get(key) else "leave", provider)


def note_choice(key: str, actions: dict[str, Action], provider: Shown) -> None:
    """Note what was chosen in the menu *key*: its callback."""
    if action := actions.get(str(st.session_state.get(key))):
        note(action, provider)


def do_all(actor: Actor) -> None:
    """Do what was noted since the last run, and draw what came of it; what another person had pressed is dropped."""
    for click in st.session_state.pop(_NOTED, ()):
        if click.who == actor:
            _do(actor, click)
    show_toast()


def do_asked(actor: Actor) -> bool:
    """Do what was noted if that is nothing but asking for dialogs of what is there; returns whether it was."""
    noted: list[Click] = st.session_state.get(_NOTED, [])
    if any(click.who != actor or click.action not in _ASKED for click in noted):
        return False
    with db.transaction() as session:
        if any(click.provider.id and not provider_lists.is_there(session, click.provider.id) for click in noted):
            return False
    for click in st.session_state.pop(_NOTED, ()):
        _do(actor, click)
    return True


def _do(actor: Actor, click: Click) -> None:
    if click.action in {"add", "env", "change"}:
        ask(click.action)
    elif click.action in {"several", "pick", "leave", "pick_none", "stop"}:
        picked.do(click.action, click.provider.id)
    elif click.action == "details":
        shown = st.session_state.get(OPEN, frozenset())
        st.session_state[OPEN] = shown ^ {click.provider.id}
    elif click.action in {"edit", "set_key", "test", "keys", "delete", "remove_key"}:
        if _find(click):
            ask(click.action, click.provider.id)
    elif click.action == "duplicate":
        _duplicate(actor, click)
    elif click.action in {"defaults", "effective_preview", "usage", "costs", "audit"}:
        if provider := _find(click):
            st.switch_page(f"pages/{click.action}.py", query_params={"provider": provider.name})
    else:
        _write(actor, click)


def _duplicate(actor: Actor, click: Click) -> None:
    if not _find(click):
        return
    made: list[str] = []

    def work(session: Session) -> None:
        made[:] = [provider_lists.duplicate(session, actor, click.provider.id).name]

    outcome = attempt(work, f"A copy of {click.provider.display_name} is added: inactive, and without an API key.")
    if outcome.ok:
        st.session_state[ADDED] = made[0]
    other_errors(outcome.errors, set())


def _find(click: Click) -> LlmProvider | None:
    try:
        with db.transaction() as session:
            return providers.get(session, click.provider.id)
    except NotFound:
        _warn_deleted(click)
        return None


def _warn_deleted(click: Click) -> None:
    st.warning(
        plain(f"{click.provider.display_name} is gone: somebody has deleted it meanwhile. Nothing was changed."),
        icon=":material/delete:",
    )


def _recent_calls(name: str) -> int:
    with db.transaction() as session:
        return (provider_figures.recent_calls(session, name) or (0, None))[0]


def _write(actor: Actor, click: Click) -> None:
    if not _find(click):
        return
    own: dict[int, tuple[int, int]] = st.session_state.setdefault(_OWN, {})
    began, wrote = own.get(click.provider.id, (0, 0))
    version = (
        wrote if click.provider.version == began else click.provider.version
    )  # of two quick clicks the first was one's own
    active, name = click.action == "activate", click.provider.display_name
    after: list[LlmProvider] = []

    def work(session: Session) -> None:
        if click.action == "adopt":
            after[:] = [providers.adopt_api_key(session, actor, click.provider.id)]
        else:
            patch = {"is_active": active}
            after[:] = [providers.update(session, actor, click.provider.id, patch, version=version)]

    done = f"The key of {name} is adopted." if click.action == "adopt" else f"{name} is inactive."
    outcome = attempt(work, f"{name} is active." if active else done)
    if outcome.ok:
        own[click.provider.id] = (click.provider.version, after[0].version)
        if active and provider_keys.key_state(after[0]).state not in {"ok", "not_needed"}:
            warn(f"{name} is active, but programs get no API key: it has none that can be read. Set it first.")
        if click.action == "deactivate" and (lately := _recent_calls(after[0].name)):
            warn(
                f"{name} is inactive. Programs made {counted(lately, 'call')} with it in 30 days: such calls fail now."
            )
    if outcome.conflict:
        who = outcome.conflict.changed_by or "Somebody"
        st.warning(plain(f"{who} changed {name} just now. Look again."), icon=":material/group:")
    for rule in outcome.errors.values():
        st.error(plain(rule), icon=":material/error:")
