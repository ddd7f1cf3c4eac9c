"""What was typed and not saved when a sign-in ended: kept for the same person, and offered once they are back.

In the memory of this process, for 30 minutes, and never a secret: what is typed as an API key is not kept, and the offer says
so. Whoever signs in as the same user is offered it on the page where it was typed; nobody else ever is.

A page takes part with two functions. One, of the module that knows what is typed, is told of once, when it is imported::

    @drafts.collects("defaults")
    def _unsaved() -> Draft | None:
        \"\"\"Read st.session_state; None: nothing is unsaved.\"\"\"

The other is in the page, after its first line and before its widgets are drawn::

    if (content := drafts.offer("defaults", actor)) is not None:
        restore(content)  # into st.session_state

What is stored may have changed meanwhile: keep the version that the edit is based on in the content, so that saving asks.
"""

import copy
import threading
from collections import OrderedDict
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

import streamlit as st

from core.actors import Actor
from ui.feedback import plain
from ui.widgets import ago, exact

KEPT_FOR: Final = timedelta(minutes=30)
MOST: Final = 5
"""Drafts of one user on one page; the oldest goes first."""
MOST_PLACES: Final = 500
"""Users and pages of which there are drafts."""


class Draft(NamedTuple):
    """What was typed on one page."""

    what: str
    """A title that the person knows: ``Add a provider``."""
    content: Any
    """What the page needs to show it again; plain values, and no secret."""
    without: str = ""
    """A sentence about what is not kept, as an API key."""


class _Kept(NamedTuple):
    draft: Draft
    at: datetime


class Drafts:
    """The drafts of a process."""

    def __init__(self, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._now, self._lock = now, threading.Lock()
        self._kept: OrderedDict[tuple[int, str], list[_Kept]] = OrderedDict()

    def put(self, user_id: int, page: str, draft: Draft) -> None:
        """Keep a draft of a user."""
        with self._lock:
            self._forget_old()
            kept = self._kept.pop((user_id, page), [])
            kept = [each for each in kept if each.draft != draft][-(MOST - 1) :]
            self._kept[user_id, page] = [*kept, _Kept(copy.deepcopy(draft), self._now())]
            while len(self._kept) > MOST_PLACES:
                self._kept.popitem(last=False)

    def of(self, user_id: int, page: str) -> list[tuple[Draft, datetime]]:
        """Return the user's drafts on a page, each with when it was kept; the newest first."""
        with self._lock:
            self._forget_old()
            return [(kept.draft, kept.at) for kept in reversed(self._kept.get((user_id, page), []))]

    def take(self, user_id: int, page: str, at: datetime) -> Draft | None:
        """Return the draft that was kept *at* this moment, and forget it; None if it is gone."""
        with self._lock:
            kept = self._kept.get((user_id, page), [])
            taken = next((each for each in kept if each.at == at), None)
            if taken is not None:
                kept.remove(taken)
            return taken.draft if taken else None

    def _forget_old(self) -> None:
        oldest = self._now() - KEPT_FOR
        for place, kept in list(self._kept.items()):
            kept[:] = [each for each in kept if each.at > oldest]
            if not kept:
                del self._kept[place]


DRAFTS: Final = Drafts()
_COLLECTORS: Final[dict[str, Callable[[], Draft | None]]] = {}


def collects(page: str) -> Callable[[Callable[[], Draft | None]], Callable[[], Draft | None]]:
    """Return a decorator: the function says what is unsaved on *page*."""

    def register(collect: Callable[[], Draft | None]) -> Callable[[], Draft | None]:
        _COLLECTORS[page] = collect
        return collect

    return register


def keep(actor: object) -> list[Draft]:
    """Keep what is unsaved in this session for *actor*, whose sign-in has ended; return what is kept."""
    if not isinstance(actor, Actor) or actor.user_id is None:
        return []
    found = {page: draft for page, collect in _COLLECTORS.items() if (draft := collect()) is not None}
    for page, draft in found.items():
        DRAFTS.put(actor.user_id, page, draft)
    return list(found.values())


def in_words(drafts: list[Draft]) -> str:
    """Return what somebody is told whose sign-in has ended while they were typing; empty if they were not."""
    if not drafts:
        return ""
    titles = " and ".join(f"“{draft.what}”" for draft in drafts)
    rest = " ".join(dict.fromkeys(draft.without for draft in drafts if draft.without))
    return (
        f"What you typed in {titles} could not be saved. It is kept for {KEPT_FOR.seconds // 60} minutes, and offered to you "
        f"once you have signed in again. {rest}"
    ).rstrip()


def offer(page: str, actor: Actor) -> Any | None:
    """Draw what *actor* could not save on *page*, if anything; return the content that they take up again."""
    user_id = actor.own_id()
    taken = None
    for number, (draft, at) in enumerate(DRAFTS.of(user_id, page)):
        with st.container(border=True, horizontal=True, vertical_alignment="center", key=f"draft_{number}"):
            with st.container(width="stretch", gap=None):
                st.markdown(
                    f":orange[:material/edit_note: **Not saved: {plain(draft.what)}**], typed until {ago(at)}",
                    help=exact(at),
                )
                st.caption(plain(f"Your sign-in had ended. {draft.without}".rstrip()))
            again = st.button("Take it up again", key=f"draft_again_{number}", icon=":material/edit:")
            gone = st.button("Forget it", key=f"draft_forget_{number}", icon=":material/delete:")
        if again or gone:
            draft_taken = DRAFTS.take(user_id, page, at)
            if gone:
                st.rerun()
            taken = draft_taken.content if draft_taken else None
    return taken
