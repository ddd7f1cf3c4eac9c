"""The models of a provider, as a person edits them: chosen, typed, pasted, or taken from the vendor's list."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

import streamlit as st

from core.errors import Invalid
from core.manage.connection import bare
from core.models import catalogue
from core.store import schemas
from core.wording import counted
from ui.feedback import field_error, plain
from ui.guard import guard
from ui.providers import knowledge

WIDGETS: Final[Mapping[str, Any]] = {
    "paste": "",
    "models_add": [],
    "models_drop": [],
    "models_seen": None,
    "acts_as": "",
}
"""What only serves to choose -> empty. The last one: for which models the default model was drawn before."""
FEW: Final = 40
"""So many models are shown as one chip each."""
_KEPT: Literal["page"] = "page"


def draw(
    keys: Mapping[str, str],
    kind: str,
    slots: dict[str, Any],
    *,
    was_default: str | None,
    listed: Sequence[str] | None,
) -> None:
    """Draw the models and the default model.

    Args:
        keys: Those of the form's widgets, by field.
        kind: Of the provider.
        slots: Gets a slot for the error of each field.
        was_default: The default model that is stored.
        listed: The vendor's own list; None: it was not asked.
    """
    chosen: list[str] = st.session_state[keys["available_models"]]
    known = [model for vendor in catalogue.SEEDED if vendor.kind == kind for model in vendor.models]
    more = _not_in(chosen, sorted(listed, key=str.casefold) if listed else known)
    left, right = st.columns([2, 1])
    if len(chosen) <= FEW:
        left.multiselect(
            "Models",
            [*chosen, *more],
            key=keys["available_models"],
            persist_state=_KEPT,
            accept_new_options=True,
            select_all=False,
            placeholder="Type a name and press Enter",
        )
    else:
        with left:
            _draw_many(keys, chosen, more)
    slots["available_models"] = left.empty()
    with right:
        _draw_default(keys, st.session_state[keys["available_models"]], was_default, slots)
    with st.container(gap="xsmall", key="provider_knowledge"):
        knowledge.draw(keys, kind, st.session_state[keys["available_models"]])
    with st.container(horizontal=True, gap="small", vertical_alignment="center"):
        _draw_paste(keys)
        if listed and more:
            st.button(
                f"Take all {len(more):,}" if len(more) > 1 else f"Take {more[0]}",
                key="provider_take_all",
                icon=":material/playlist_add:",
                on_click=lambda: _take(keys, more),
            )
        if listed is not None:
            st.caption(_of_list(listed, more))


def _of_list(listed: Sequence[str], more: Sequence[str]) -> str:
    if not listed:
        return "The vendor's list is empty."
    if not more:
        return f"All of the vendor's list ({counted(len(listed), 'model')}) are here."
    return f"The vendor lists {counted(len(listed), 'model')}: search them in the field above."


def _draw_many(keys: Mapping[str, str], chosen: list[str], more: list[str]) -> None:
    """Draw two searches, one to add and one to take away: hundreds of chips can neither be read nor searched."""
    st.session_state[keys["available_models"]] = chosen  # its own field is not drawn, and would be forgotten
    add, drop = st.columns(2)
    add.multiselect(
        "Add models",
        more,
        key=keys["models_add"],
        accept_new_options=True,
        select_all=False,
        placeholder="Search, or type a name",
        on_change=lambda: _take(keys, st.session_state[keys["models_add"]]),
    )
    drop.multiselect(
        f"Models ({len(chosen):,}): take some away",
        sorted(chosen, key=str.casefold),
        key=keys["models_drop"],
        select_all=False,
        placeholder="Search among them",
        on_change=lambda: _drop(keys),
    )


def _draw_paste(keys: Mapping[str, str]) -> None:
    with st.popover("Paste a list", icon=":material/content_paste:"):
        pasted = st.text_area("A JSON array, or one name a line", key=keys["paste"], persist_state=_KEPT, height=120)
        slot = st.empty()

        def use() -> None:
            guard("admin")
            try:
                st.session_state[keys["available_models"]] = list(
                    dict.fromkeys(schemas.parse_models(st.session_state[keys["paste"]]))
                )
            except Invalid:
                return  # the rule stands below the field in the run that follows

        if st.button("Use these models", key="provider_use_models", on_click=use):
            try:
                schemas.parse_models(pasted)
            except Invalid as error:
                field_error(slot, error.fields, "available_models")


def _draw_default(keys: Mapping[str, str], models: list[str], was_default: str | None, slots: dict[str, Any]) -> None:
    seen = st.session_state.get(keys["models_seen"])
    if (
        st.session_state.get(keys["default_model"]) not in models
    ):  # where the models are others, one is chosen by itself
        chosen = sensible(st.session_state[keys["kind"]], models) if models != seen else None
        st.session_state[keys["default_model"]] = chosen
    st.selectbox(
        "Default model",
        models,
        index=None,
        key=keys["default_model"],
        persist_state=_KEPT,
        placeholder="Choose one of the models",
    )
    st.session_state[keys["models_seen"]] = list(models)  # after it: a newer run may stop this one before it is drawn
    slots["default_model"] = st.empty()
    if was_default and was_default not in models:
        st.caption(
            f":orange[:material/warning: {plain(was_default)} was the default, and is no longer among the models.]"
        )


def _take(keys: Mapping[str, str], models: Sequence[str]) -> None:
    guard("admin")
    chosen: list[str] = st.session_state[keys["available_models"]]
    st.session_state[keys["available_models"]] = list(dict.fromkeys([*chosen, *models]))
    st.session_state[keys["models_add"]] = []


def _drop(keys: Mapping[str, str]) -> None:
    guard("admin")
    gone = set(st.session_state[keys["models_drop"]])
    chosen: list[str] = st.session_state[keys["available_models"]]
    st.session_state[keys["available_models"]] = [model for model in chosen if model not in gone]
    st.session_state[keys["models_drop"]] = []


def sensible(kind: str, models: Sequence[str]) -> str | None:
    """Return which of *models* a provider of this *kind* would mostly be used with; None where nobody can know."""
    if len(models) == 1:
        return models[0]
    there = {bare(model): model for model in models}
    vendors = [vendor for vendor in catalogue.SEEDED if vendor.kind == kind]
    wanted = [name for vendor in vendors for name in (vendor.default_model, *vendor.models)]
    return next((there[name] for name in wanted if name in there), None)


def _not_in(chosen: Sequence[str], models: Sequence[str]) -> list[str]:
    there = set(map(bare, chosen))
    return [model for model in models if bare(model) not in there]
