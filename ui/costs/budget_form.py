"""The form of a budget: what it is for, how much, how long, and what becomes of calls that do not fit."""

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final, NamedTuple

import streamlit as st
from sqlmodel import Session

from core.actors import Actor
from core.errors import Invalid
from core.manage import features, organizations
from core.manage.budgets import plain as digits
from core.store.budget_tables import LlmBudget
from core.store.organization_schemas import LONGEST_NAME
from core.store.table import id_of
from ui.costs import budget_words
from ui.costs.choice import Chosen
from ui.guard import guard

_FIELDS: Final = (
    *("name", "amount", "period", "organization", "feature", "provider", "time_zone", "week_starts", "first_month"),
    *("mode", "unpriced", "when_away", "thresholds", "forecast", "carry", "carry_cap"),
)
_KEYS: Final = {name: f"budget_{name}" for name in _FIELDS}
TYPED: Final = tuple(_KEYS.values())
_KEPT: Final[dict[str, Any]] = {"persist_state": "page"}
_DAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS: Final = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
_MODES: Final = {"hard": "Hard: refuses what does not fit", "soft": "Soft: counts alone"}
_UNPRICED: Final = {"refuse": "Refused", "count": "Let through, counted by number"}
_AWAY: Final = {"closed": "Refused", "open": "Let through, counted later"}
_CARRY: Final = {"none": "Nothing", "unused": "What it left", "both": "What it left or overspent"}


class OfferedScopes(NamedTuple):
    """What a budget may be for."""

    features: Collection[str]
    providers: Mapping[str, int]
    """Name -> id."""


def begin(row: LlmBudget | None, chosen: Chosen | None) -> None:
    """Fill the form, if nothing stands there yet: with *row*, or for a new budget with what the page is narrowed to."""
    state = st.session_state
    if _KEYS["amount"] in state:
        return
    values: dict[str, Any] = {}
    if row is None and chosen is not None:
        scope = chosen.scope
        values = {
            "name": "",
            "amount": "",
            "period": "month",
            "organization": chosen.organization or "",
            "feature": scope.feature,
            "provider": scope.provider,
            "time_zone": chosen.zone,
            "week_starts": 1,
            "first_month": 1,
            "mode": "hard",
            "unpriced": "refuse",
            "when_away": "closed",
            "thresholds": "50, 80, 100",
            "forecast": True,
            "carry": "none",
            "carry_cap": "",
        }
    elif row is not None:
        values = {name: getattr(row, name, None) for name in _FIELDS}
        values["amount"] = digits(row.amount)
        values["carry_cap"] = "" if row.carry_cap is None else digits(row.carry_cap)
        values["thresholds"] = ", ".join(map(str, row.thresholds))
    state.update({_KEYS[name]: value for name, value in values.items()})


def draw(row: LlmBudget | None, offered: OfferedScopes) -> dict[str, Any]:
    """Draw the form; returns field -> the place of its error. Scope and period of a budget that is there stay."""
    slots: dict[str, Any] = {}
    st.text_input("Name", key=_KEYS["name"], max_chars=100, placeholder="As Summaries, monthly", **_KEPT)
    slots["name"] = st.empty()
    with st.container(horizontal=True, vertical_alignment="top"):
        with st.container(width=220):
            st.text_input("Amount, US dollars", key=_KEYS["amount"], max_chars=40, placeholder="100", **_KEPT)
            slots["amount"] = st.empty()
        if row is None:
            with st.container(width=220):
                _choose("Period", "period", budget_words.PERIODS)
    if row is None:
        _draw_scope(offered, slots)
    _draw_calendar(row.period if row else st.session_state[_KEYS["period"]], slots)
    st.radio(
        "When it is spent",
        list(_MODES),
        format_func=_MODES.__getitem__,
        key=_KEYS["mode"],
        horizontal=True,
        on_change=_follow_mode,
        **_KEPT,
    )
    with st.container(horizontal=True, vertical_alignment="top"):
        for label, name, options in (
            ("Calls without a known price", "unpriced", _UNPRICED),
            ("Calls while the database is away", "when_away", _AWAY),
        ):
            with st.container(width=260):
                _choose(label, name, options)
    st.text_input(
        "Alerts at, percent",
        key=_KEYS["thresholds"],
        max_chars=60,
        placeholder="None",
        help="Of what may be spent; at most ten, as 50, 80, 100.",
        **_KEPT,
    )
    slots["thresholds"] = st.empty()
    st.toggle("Alert when it will be spent before the period ends", key=_KEYS["forecast"], **_KEPT)
    if (row.period if row else st.session_state[_KEYS["period"]]) != "total":
        with st.container(horizontal=True, vertical_alignment="top"):
            with st.container(width=260):
                _choose("Hands on to the next period", "carry", _CARRY)
                slots["carry"] = st.empty()
            if st.session_state[_KEYS["carry"]] != "none":
                with st.container(width=260):
                    st.text_input(
                        "At most, US dollars", key=_KEYS["carry_cap"], max_chars=40, placeholder="One amount", **_KEPT
                    )
                    slots["carry_cap"] = st.empty()
    return slots


def typed(session: Session, actor: Actor, offered: OfferedScopes, *, is_new: bool) -> dict[str, Any]:
    """Return what stands in the form, as core takes it.

    Raises:
        Invalid: If there is no such organisation.
        NotFound: If the feature is gone.
    """
    state = {name: st.session_state.get(key) for name, key in _KEYS.items()}
    data: dict[str, Any] = {
        name: state[name] for name in ("name", "amount", "time_zone", "week_starts", "first_month", "mode", "unpriced")
    }
    data |= {"when_away": state["when_away"], "forecast": bool(state["forecast"])}
    data["time_zone"] = (state["time_zone"] or "").strip() or "UTC"
    data["thresholds"] = _percents(state["thresholds"] or "")
    data["carry"] = state["carry"] or "none"
    data["carry_cap"] = (state["carry_cap"] or "").strip() or None if data["carry"] != "none" else None
    if is_new:
        data |= {
            "period": state["period"],
            "organization_id": _organization(session, actor, state["organization"] or ""),
        }
        name = state["feature"]
        data["feature_id"] = id_of(features.get_by_name(session, name)) if name else None
        data["provider_id"] = offered.providers.get(state["provider"] or "")
        if data["period"] == "total":
            data |= {"carry": "none", "carry_cap": None}
    return data


def _draw_scope(offered: OfferedScopes, slots: dict[str, Any]) -> None:
    st.caption("For calls of all of these; what is not chosen is all of them. Period and scope stay as they are made.")
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


def _draw_calendar(period: str, slots: dict[str, Any]) -> None:
    with st.container(horizontal=True, vertical_alignment="top"):
        with st.container(width=220):
            st.text_input(
                "Time zone of the budget",
                key=_KEYS["time_zone"],
                max_chars=60,
                placeholder="UTC",
                help="As Europe/Berlin. Another one acts from the next period on.",
                **_KEPT,
            )
            slots["time_zone"] = st.empty()
        if period == "week":
            with st.container(width=220):
                _number("Weeks begin on", "week_starts", _DAYS)
        if period in {"quarter", "year"}:
            with st.container(width=220):
                _number("Years begin in", "first_month", _MONTHS)


def _choose(label: str, name: str, options: dict[str, str]) -> None:
    st.selectbox(label, list(options), format_func=options.__getitem__, key=_KEYS[name], **_KEPT)


def _number(label: str, name: str, options: Sequence[str]) -> None:
    st.selectbox(
        label, range(1, len(options) + 1), format_func=lambda number: options[number - 1], key=_KEYS[name], **_KEPT
    )


def _follow_mode() -> None:
    """Let a soft budget refuse nothing, and a hard one what it cannot count: a callback, of what may be chosen otherwise."""
    guard("admin")
    is_soft = st.session_state[_KEYS["mode"]] == "soft"
    st.session_state[_KEYS["unpriced"]] = "count" if is_soft else "refuse"
    st.session_state[_KEYS["when_away"]] = "open" if is_soft else "closed"


def _percents(words: str) -> list[Any]:
    found = [part for part in re.split(r"[\s,;%]+", words) if part]
    return [int(part) if part.isascii() and part.isdecimal() and len(part) < 7 else part for part in found]  # noqa: PLR2004 - longer ones are refused as text


def _organization(session: Session, actor: Actor, words: str) -> int | None:
    if not words.strip():
        return None
    row = organizations.find_by_name(session, actor, words.strip())
    if row is None:
        raise Invalid({"organization_id": "is no name of an organisation; leave it empty for all"})
    return id_of(row)
