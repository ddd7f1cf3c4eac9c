"""Which provider services get that name none, nor an organisation or a feature that has one of its own; saved as soon as it is chosen."""

from collections.abc import Callable, Mapping
from typing import Final

import streamlit as st
from sqlmodel import Session

from core.actors import Actor
from core.manage import providers, settings
from core.manage.scopes import GLOBAL
from core.store import db
from ui.defaults import scope
from ui.feedback import attempt, field_error, other_errors, plain, warn
from ui.pressed import Press, Presses
from ui.scopes import bounds, hidden
from ui.scopes.bounds import Bounds
from ui.widgets import two_names

_FIELD: Final = "default_provider_id"
_KEY: Final = "default_provider_of_all"
_PRESSES: Final = Presses("default_provider_pressed")


def draw(actor: Actor, bound: Bounds) -> None:
    """Save what was chosen, and draw the choice, with which limits bind it; nothing while there is no provider."""
    refused: dict[str, str] = {}
    _PRESSES.do_all(actor, lambda press: refused.update(_save(actor, press)))
    with db.transaction() as session:
        row = settings.get_global(session, None)
        stored = (row.default_provider_id if row is not None else None) or 0
        named = {each.id or 0: two_names(each.display_name, each.name) for each in providers.list_all(session)}
        active = {each.id or 0 for each in providers.list_all(session, active=True)}
        by = hidden.find(session, actor, GLOBAL, {_FIELD: True}).get(_FIELD, "") if stored else ""
    if not named:
        return
    if st.session_state.get(_KEY) != stored:
        st.session_state[_KEY] = stored
    st.selectbox(
        "Default provider",
        [0, *(number for number in named if number in active or number == stored)],
        format_func=lambda number: _words(number, named, active),
        key=_KEY,
        filter_mode="contains",
        help="What services get that name no provider: resolve(). It is saved as soon as you choose.",
        on_change=_note,
        width=420,
    )
    field_error(st, refused, _FIELD)
    other_errors(refused, {_FIELD})
    bounds.draw(_FIELD, bound)
    if by:
        st.caption(f":material/layers: {plain(by[:1].upper() + by[1:])}")


def _words(number: int, named: dict[int, str], active: set[int]) -> str:
    if not number:
        return "None: a service has to name one"
    return named.get(number, "") if number in active else f"{named.get(number, '')} (not active: nobody gets it)"


def _note() -> None:
    _PRESSES.note("choose", st.session_state.get(_KEY))


def _save(actor: Actor, press: Press) -> Mapping[str, str]:
    """Save a choice; returns what refused it: field -> rule."""
    by: dict[str, str] = {}
    follow: list[Callable[[], object]] = []

    def work(session: Session) -> None:
        before = settings.get_global(session, None)
        seen = before.version if before is not None else 0
        settings.upsert(session, actor, GLOBAL, {_FIELD: press.what or None})
        follow[:] = [scope.follow(session, None, seen)]
        by.clear()
        by.update(hidden.find(session, actor, GLOBAL, {_FIELD: True}))

    done = "The default provider is saved." if press.what else "There is no default provider any more."
    outcome = attempt(work, done, then=lambda: follow[0]())  # noqa: PLW0108 - it is not there yet
    if outcome.ok and press.what and by:
        warn(f"{done} {hidden.sentences(by, {_FIELD: 'It'})}")
    return outcome.errors
