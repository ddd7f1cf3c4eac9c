"""Nobody sees or does anything before their rights were read from the database, in this very run."""

import streamlit as st
from sqlmodel import Session

from core.access import authority, sessions
from core.actors import Actor
from core.audit import reasons
from core.errors import CoreError, Forbidden, PasswordChangeNeeded, SecondFactorNeeded
from core.manage import bootstrap
from core.store import db
from ui import drafts, reason
from ui.feedback import ACTOR, plain, show_fault
from ui.sign_in import LEAVES, draw_first_factor, draw_first_password, draw_sign_in
from web import middleware
from web.request import ADDRESS_HEADER, SECRET_HEADER

_ENDED = "sign_in_ended"
"""Where the session keeps what is said above the sign-in once the one before has ended."""
_SECRET = "actor_secret"  # noqa: S105 - a key of the session's state


def guard(role: str = "admin") -> Actor:  # noqa: RET503 - st.stop() never returns
    """Return who is signed in and may act as *role* now; else draw the sign-in, or say why not, and end the run.

    First line of every page, dialog, fragment and callback: Streamlit runs each of them without the entry file in
    some case (see docs/mechanisms.md).
    """
    try:
        if (actor := _may(role)) is not None:
            return actor
        if why := st.session_state.get(_ENDED):
            _say_ended(why)
        draw_sign_in()
    except PasswordChangeNeeded as error:
        held = st.session_state.get(ACTOR)
        draw_first_password(held if isinstance(held, Actor) else None, str(error))
    except SecondFactorNeeded as error:
        held = st.session_state.get(ACTOR)
        draw_first_factor(held if isinstance(held, Actor) else None, str(error))
    except Forbidden as error:
        if str(error) == authority.ENDED:
            _end(str(error))
        else:
            st.error(f"{error}. Ask an admin, or open a page from the menu.", icon=":material/block:")
    except CoreError as error:
        show_fault(error)
    st.stop()  # never returns


def _say_ended(why: tuple[str, str]) -> None:
    ended, kept = why
    st.warning(ended, icon=":material/lock:")
    if kept:
        st.info(plain(kept), icon=":material/edit_note:")


def guard_part(role: str = "admin") -> Actor:  # noqa: RET503 - st.rerun() never returns
    """Return who is signed in and may act as *role* now; else have the whole page run, whose guard says why not.

    First line of a fragment that is not a dialog: alone it would draw the sign-in amid the rest of the page.
    """
    try:
        if (actor := _may(role)) is not None:
            return actor
    except Forbidden as error:
        if str(error) == authority.ENDED:
            _end(str(error))  # here: the page's guard would put the denial on record once more
    except CoreError:
        pass
    st.rerun()  # never returns


def _end(why: str) -> None:
    """Forget the session of a sign-in that has ended, but what was typed, and run the whole page: amid it no form is drawn."""
    kept = drafts.in_words(drafts.keep(st.session_state.get(ACTOR)))
    st.session_state.clear()
    st.session_state[_ENDED] = (why, kept)
    st.rerun()


def sign_out() -> None:
    """End the sign-in in the database, and forget who it was and everything they typed."""
    actor = st.session_state.get(ACTOR)
    st.session_state.clear()
    if isinstance(actor, Actor) and actor.session_id is not None:
        with db.transaction() as session:
            if sessions.was_by_provider(session, actor):
                st.session_state[LEAVES] = True
            sessions.end(session, actor, actor.session_id)


def _may(role: str) -> Actor | None:
    bootstrap.ensure_ready()
    with db.transaction() as session:
        actor = _signed_in(session)
        if actor is not None:
            authority.require(session, actor, "page.view", role=role)
            st.session_state[reason.NEEDED] = reasons.is_required(session)
            sessions.touch(session, actor)
        return actor


def _signed_in(session: Session) -> Actor | None:
    """Return who this connection's cookie says it is; without the middleware, who has signed in on this page.

    The cookie of the connection decides in each run: whatever Streamlit session it was given, another sign-in's actor
    is never taken over.
    """
    actor = st.session_state.get(ACTOR)
    if middleware.installed():
        secret = st.context.headers.get(SECRET_HEADER)
        if not isinstance(actor, Actor) or st.session_state.get(_SECRET) != secret:
            st.session_state.pop(ACTOR, None)
            actor = sessions.find(session, secret, st.context.headers.get(ADDRESS_HEADER)) if secret else None
            if actor is not None:
                st.session_state[ACTOR], st.session_state[_SECRET] = actor, secret
    return actor if isinstance(actor, Actor) else None
