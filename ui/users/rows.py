"""What the Users page lists: figures, and a row for each user with what may be done to them."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Literal

import streamlit as st

from core.access import review
from core.actors import Actor
from core.store import db
from core.store.table import id_of
from core.store.tables import User
from core.wording import counted
from ui.feedback import plain
from ui.users.dialogs import ask
from ui.widgets import ago, download_csv, exact, figure, for_row


def draw_figures(people: Sequence[User], signed_in: Mapping[int, int]) -> None:
    """Draw the row of figures.

    Args:
        people: All users.
        signed_in: User -> in how many places.
    """
    active = [user for user in people if user.is_active]
    with st.container(horizontal=True, gap="small"):
        figure("Active", f"{len(active)} of {len(people)}")
        figure("Admins", sum(user.role == "admin" for user in active))
        figure("Sign-ins now", sum(signed_in.values()))


def draw_user(user: User, places: int, *, is_self: bool, has_factor: bool = False) -> None:
    """Draw a user, signed in at so many *places*, with what may be done to them."""
    name, user_id = user.username, id_of(user)
    with st.container(border=True, key=f"user_{name}", horizontal=True, vertical_alignment="center"):
        where = f"signed in at {counted(places, 'place')}" if places else "not signed in"
        st.markdown(
            f"**{plain(name)}**{' (you)' if is_self else ''} {_badges(user)}  \n"
            f":gray[:small[{plain(f'Added {ago(user.created_at)}, {where}')}]]",
            help=f"Added {exact(user.created_at)}, changed {exact(user.updated_at)}",
            width="stretch",
        )
        st.page_link(
            "pages/audit.py",
            label=for_row("Audit", name),
            icon=":material/history:",
            query_params={"who": name},
            help=f"What {name} did",
        )
        if has_factor:
            _button("Second factor", "factor", user, "phonelink_lock", "Take the second factor away")
        if places:
            _button("Sign out", "sign_out", user, "devices_off", "Sign out everywhere")
        _button("Role", "role", user, "badge", "Change the role")
        _button("Password", "password", user, "password", "Set a new password")
        word = "Disable" if user.is_active else "Enable"
        st.button(
            for_row(word, name),
            key=f"{word.lower()}_{name}",
            icon=f":material/person_{'off' if user.is_active else 'check'}:",
            width=100,
            on_click=partial(ask, "active", user_id),
        )


def review_csv(actor: Actor) -> bytes:
    """Return the access review as a CSV file. Raises Forbidden."""
    with db.transaction() as session:
        found = review.review(session, actor)
    return "".join(review.as_csv(found)).encode("utf-8-sig")  # spreadsheets know UTF-8 by its mark


def draw_review(actor: Actor) -> None:
    """Draw the download of the access review."""
    what = "An access review: all users and API tokens, with role, organisations, last use and end."
    download_csv("access-review.csv", lambda: review_csv(actor), what, "access_review")


def _badges(user: User) -> str:
    role = {
        "admin": ":blue-badge[:material/shield_person: Admin]",
        "analyst": ":gray-badge[:material/visibility: Analyst]",
    }.get(user.role, ":gray-badge[:material/apartment: Member]")
    state = "" if user.is_active else " :red-badge[:material/block: Disabled]"
    asked = " :orange-badge[:material/password: Has to choose a password]" if user.must_change_password else ""
    return f"{role}{state}{asked}"


def _button(
    label: str, what: Literal["role", "password", "sign_out", "factor"], user: User, icon: str, does: str
) -> None:
    st.button(
        for_row(label, user.username),
        key=f"{what}_{user.username}",
        icon=f":material/{icon}:",
        help=does,
        on_click=partial(ask, what, id_of(user)),
    )
