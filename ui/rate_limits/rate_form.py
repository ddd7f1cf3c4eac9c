"""The form of a rate limit: what it is for, how much it lets through, and what becomes of a call that finds no room."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final, NamedTuple

import streamlit as st
from sqlmodel import Session

from core.actors import Actor
from core.errors import Invalid
from core.manage import features, organizations
from core.manage.rate_limit_listing import ListedRateLimit
from core.store.organization_schemas import LONGEST_NAME
from core.store.rate_tables import FIGURES
from core.store.table import id_of

_FIELDS: Final = (
    *("name", "organization", "feature", "provider", "model", *FIGURES),
    *("burst_seconds", "when_full", "max_wait_ms"),
)
_KEYS: Final = {name: f"rate_{name}" for name in _FIELDS}
TYPED: Final = tuple(_KEYS.values())
_KEPT: Final[dict[str, Any]] = {"persist_state": "page"}
_LABELS: Final = dict(zip(FIGURES, ("Requests a minute", "Tokens a minute", "Calls at once"), strict=True))
_WHEN_FULL: Final = {"wait": "The call waits its turn", "refuse": "It is refused at once"}


class OfferedNames(NamedTuple):
    """What a rate limit may be for."""

    features: Sequence[str]
    providers: Mapping[str, int]
    """Name -> id."""


def is_begun() -> bool:
    """Return whether anything stands in the form."""
    return _KEYS["when_full"] in st.session_state


def begin(listed: ListedRateLimit | None, asked: Mapping[str, Any], organization: str | None) -> None:
    """Fill the form, if nothing stands there yet.

    Args:
        listed: What is edited; None: a new one.
        asked: What the list is narrowed to, and a new one begins with.
        organization: The slug of that organisation.
    """
    if is_begun():
        return
    values: dict[str, Any] = {"burst_seconds": 6.0, "when_full": "wait", "max_wait_ms": 2000, "name": "", "model": ""}
    if listed is None:
        values |= {"organization": organization, "feature": asked.get("feature"), "provider": asked.get("provider")}
    else:
        row = listed.now.row
        values = {name: getattr(row, name, None) for name in _FIELDS}
        values |= {name: getattr(listed, name) for name in ("organization", "feature", "provider")}
    for name in ("organization", "model"):
        values[name] = values.get(name) or ""
    st.session_state.update({key: values.get(name) for name, key in _KEYS.items()})


def draw(offered: OfferedNames) -> dict[str, Any]:
    """Draw the form; returns field -> the place of its error."""
    slots: dict[str, Any] = {}
    st.text_input("Name", key=_KEYS["name"], max_chars=100, placeholder="As Chat at openai", **_KEPT)
    slots["name"] = st.empty()
    _draw_scope(offered, slots)
    st.caption("It lets through so much, by all processes together; an empty figure is not limited.")
    with st.container(horizontal=True, vertical_alignment="top"):
        for name, label in _LABELS.items():
            with st.container(width=200):
                _number(label, name, "Not limited", step=1)
                slots[name] = st.empty()
    st.radio(
        "When it is full",
        list(_WHEN_FULL),
        format_func=_WHEN_FULL.__getitem__,
        key=_KEYS["when_full"],
        horizontal=True,
        **_KEPT,
    )
    with st.container(horizontal=True, vertical_alignment="top"):
        if st.session_state[_KEYS["when_full"]] == "wait":
            with st.container(width=220):
                _number("Milliseconds it waits at most", "max_wait_ms", "0 to 60,000", step=500)
                slots["max_wait_ms"] = st.empty()
        with st.container(width=220):
            _number(
                "Seconds of a minute at once",
                "burst_seconds",
                "0.1 to 60",
                step=1.0,
                help_="After a pause so much of a minute's figure may go at once. Longer for calls larger than a tenth of the tokens of a minute.",
            )
            slots["burst_seconds"] = st.empty()
    return slots


def typed(session: Session, actor: Actor, offered: OfferedNames) -> dict[str, Any]:
    """Return what stands in the form, as core takes it.

    Raises:
        Invalid: If there is no such organisation.
        NotFound: If the feature is gone.
    """
    data = {name: st.session_state.get(key) for name, key in _KEYS.items()}
    organization, feature, provider = (data.pop(name) for name in ("organization", "feature", "provider"))
    return {
        **data,
        "model": (data["model"] or "").strip() or None,
        "organization_id": _organization(session, actor, (organization or "").strip()),
        "feature_id": id_of(features.get_by_name(session, feature)) if feature else None,
        "provider_id": offered.providers.get(provider or ""),
    }


def _draw_scope(offered: OfferedNames, slots: dict[str, Any]) -> None:
    st.caption("For calls of all of these; what is not chosen is all of them.")
    with st.container(horizontal=True, vertical_alignment="top"):
        with st.container(width=200):
            st.text_input(
                "Organisation", key=_KEYS["organization"], max_chars=LONGEST_NAME, placeholder="All: its name", **_KEPT
            )
            slots["organization_id"] = st.empty()
        choices: tuple[tuple[str, str, Collection[str]], ...] = (
            ("Feature", "feature", offered.features),
            ("Provider", "provider", offered.providers),
        )
        for label, name, options in choices:
            with st.container(width=200):
                if st.session_state.get(_KEYS[name]) not in options:
                    st.session_state[_KEYS[name]] = None
                st.selectbox(label, list(options), key=_KEYS[name], placeholder="All", index=None, **_KEPT)
                slots[f"{name}_id"] = st.empty()
        with st.container(width=200):
            st.text_input("Model", key=_KEYS["model"], max_chars=200, placeholder="All: as calls name it", **_KEPT)
            slots["model"] = st.empty()


def _number(label: str, name: str, empty: str, *, step: float, help_: str | None = None) -> None:
    """Draw a number without its bounds: the browser would throw away what is beyond them, and not say why."""
    form = "%d" if isinstance(step, int) else "%g"
    st.number_input(label, value=None, step=step, format=form, key=_KEYS[name], placeholder=empty, help=help_, **_KEPT)


def _organization(session: Session, actor: Actor, words: str) -> int | None:
    if not words:
        return None
    row = organizations.find_by_name(session, actor, words)
    if row is None:
        raise Invalid({"organization_id": "is no name of an organisation; leave it empty for all"})
    return id_of(row)
