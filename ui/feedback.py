"""What a person is told after a click."""

import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

import streamlit as st
from sqlmodel import Session

from core import request_ids
from core.access import ratelimit
from core.actors import Actor
from core.audit.reasons import COMMENT, CURE
from core.audit.record import explained
from core.errors import AlreadyExists, Conflict, CoreError, Forbidden, Invalid
from core.govern.history_moments import of_this_transaction
from core.store import db
from ui import reason, undo

ACTOR = "actor"
"""Where ui.guard keeps who is signed in."""
_TOAST = "toast_after_rerun"


class Outcome(NamedTuple):
    """What became of a write."""

    ok: bool
    errors: Mapping[str, str]
    """Field -> rule, to be shown beside the field."""
    conflict: Conflict | None


def attempt(
    work: Callable[[Session], object],
    done: str | None,
    then: Callable[[], object] = lambda: None,
    first: Callable[[], object] = lambda: None,
    why: str = reason.DIALOG,
) -> Outcome:
    """Run *work* as one transaction; toast *done*, or show the error where the caller does not show it by a field.

    *done* is None where the caller shows what came of it; with it Undo is offered, if settings were changed.

    *first* runs before the transaction, for what takes long and needs no database; its errors are shown alike.

    *then* runs right after the commit, and must not touch Streamlit: there a newer run of the page may stop this one,
    and what is saved would still be taken for unsaved.

    *why* is the field of :mod:`ui.reason` with what goes on record as the reason; where each change needs one and there is
    none, that is said here.

    What was typed stays in its widgets: nothing is cleared and nothing reruns here. What is committed counts on the
    pages' rate limit; what is refused does not.
    """
    actor = st.session_state.get(ACTOR)
    counted, generation = False, None

    def within_limit(session: Session) -> None:
        nonlocal counted, generation
        with explained(session, reason.typed(why)):
            work(session)
            generation = of_this_transaction(session) if done else None
        if isinstance(actor, Actor) and not counted:  # a lost deadlock runs it again
            ratelimit.get_limiter().spend(ratelimit.who_is(actor), "pages")
            counted = True

    try:
        first()
        db.retrying(within_limit)
    except Invalid as error:
        return Outcome(ok=False, errors=_but_reason(error.fields), conflict=None)
    except AlreadyExists as error:
        return Outcome(ok=False, errors={error.field: str(error)}, conflict=None)
    except Conflict as error:
        return Outcome(ok=False, errors={}, conflict=error)
    except Forbidden as error:
        st.error(f"{error}. Nothing was saved.", icon=":material/block:")
        return Outcome(ok=False, errors={}, conflict=None)
    except CoreError as error:
        st.error(str(error), icon=":material/error:")
        return Outcome(ok=False, errors={}, conflict=None)
    if why != reason.DIALOG:  # one that closes has its own forgotten; in one that stays the reason goes on holding
        reason.forget(why)
    then()
    undo.offer(actor, generation, done)
    if done:
        st.session_state[_TOAST] = done
    return Outcome(ok=True, errors={}, conflict=None)


def _but_reason(errors: Mapping[str, str]) -> Mapping[str, str]:
    """Return *errors* without that of the reason, which is told here: its field is no part of the form."""
    if COMMENT in errors:
        st.error(
            reason.MISSING if errors[COMMENT] == CURE else plain(f"The reason {errors[COMMENT]}."),
            icon=":material/error:",
        )
    return {name: rule for name, rule in errors.items() if name != COMMENT}


def show_fault(error: CoreError) -> None:
    """Draw what stands in place of a page that cannot work now."""
    st.error(str(error), icon=":material/cloud_off:")
    reference = f" Reference: `{request_ids.current()}`." if request_ids.current() else ""
    st.caption(
        f"Nothing is lost: services go on with the settings they have, and this page works again once it can.{reference}"
    )
    st.button("Try again", icon=":material/refresh:", key="try_again")


def show_toast(*, head: bool = False) -> None:
    """Show the toast of a write that was followed by a rerun, and Undo; *head* where the head of a page does."""
    done = st.session_state.pop(_TOAST, None)
    if isinstance(done, tuple):
        st.toast(plain(done[0]), icon=":material/warning:", duration="long")
    elif done:
        st.toast(plain(done), icon=":material/check_circle:")
    undo.draw(head=head)


def warn(message: str) -> None:
    """Have the next toast warn of *told*, in place of saying that all is well."""
    st.session_state[_TOAST] = (message,)


def field_error(slot: object, errors: Mapping[str, str], name: str) -> None:
    """Show the error of field *name*, if any, in *slot*: an ``st.empty()`` right below the widget."""
    if name in errors:
        slot.error(plain(_sentence(errors[name])), icon=":material/error:")  # type: ignore[attr-defined]  # DeltaGenerator


def other_errors(errors: Mapping[str, str], shown: set[str]) -> None:
    """Show the errors of fields that have no widget here."""
    for name, rule in errors.items():
        if name not in shown:
            st.error(plain(f"{name}: {rule}"), icon=":material/error:")


def plain(text: str) -> str:
    """Return *text* so that Streamlit's Markdown shows it as it is: no image, link, colour, icon or formula."""
    for seen, parted in _LINKS.items():
        text = text.replace(seen, parted)
    escaped = "".join(f"\\{c}" if c in _MARKDOWN else c for c in text)
    return escaped.replace("\n", "  \n")


def plain_cell(text: str) -> str:
    """Return *text* as :func:`plain` does, for a cell of a table, which cuts a word that is wider than itself: it may break.

    A URL does so at its slashes first.
    """
    if "://" in text:
        text = re.sub(r"(?<=[^/\s])/(?=[^/\s])", "/\u200b", text)
    return plain(re.sub(r"[^\s\u200b]{24}", "\\g<0>\u200b", text))


def as_markdown(message: str) -> str:
    """Return *message* of core as Markdown: `commands` as code, the rest as it is."""
    return "".join(f"`{part}`" if odd % 2 else plain(part) for odd, part in enumerate(message.split("`")))


_LINKS = {"://": ":\u2060//", "www.": "www\u2060.", "@": "\u2060@"}
"""What makes a link of a URL or an e-mail address, and the same with a word joiner, which makes none."""
_MARKDOWN = frozenset("\\`*_{}[]()<>#+-.!|:$~&^=")


def _sentence(rule: str) -> str:
    return rule[:1].upper() + rule[1:] + ("" if rule.endswith((".", ")")) else ".")
