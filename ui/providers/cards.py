"""What the Providers page shows: the row of figures, and a card for each provider."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import streamlit as st

from core.kinds import base_url_of, facts_of
from core.manage import provider_secrets, providers
from core.manage.keys import RingStatus
from core.manage.providers import KeyState, ProviderFigures
from core.models import catalogue
from core.resolving.carried import USES
from core.store.tables import LlmProvider, LlmProviderSecret
from core.wording import counted
from ui.feedback import as_markdown, plain
from ui.guard import guard
from ui.widgets import ago, changed, exact, figure

PAGE_SIZE = 20
ROLES = {"primary": "primary", "extra": "not primary", "unknown": "not in this key ring"}
_MODELS_SHOWN = 4
_MODELS_BEFORE_SCROLLING = 14
_FOLDED = "providers_folded"
"""Where the session keeps how often a menu of a card was used."""


Action = Literal["edit", "test", "keys", "delete", "remove_key", "adopt", "activate", "deactivate"]


class Clicked(NamedTuple):
    """What was pressed on a card."""

    action: Action
    provider: LlmProvider


def draw_figures(figures: ProviderFigures) -> None:
    """Draw the row of figures above the list."""
    with st.container(horizontal=True, gap="small"):
        figure(f"Active of {figures.total}", figures.active)
        figure("Without key", figures.without_key)
        figure("Key unreadable", figures.unreadable)
        figure("Last change", ago(figures.last_change), help=exact(figures.last_change))


def draw_encryption_keys(status: RingStatus) -> None:
    """Draw one line: how many API keys each encryption key holds, and what is to be done about it."""
    if status.canary.state in {"wrong_key", "sealed", "behind"} and status.canary.known:
        st.error(as_markdown(status.canary.message), icon=":material/key_off:")
    counts = [
        f"{key.key_id} ({ROLES[key.role]}) holds {key.rows}" for key in status.keys if key.rows or key.role == "primary"
    ]
    if counts:
        st.caption(f":material/key: API keys by encryption key: {plain(' · '.join(counts))}")
    if any(key.role == "extra" and key.rows for key in status.keys) and status.canary.state == "ok":
        st.caption(
            ":orange[:material/sync: An old encryption key is still in use.] Once every process has the new one, an "
            "operator moves the API keys with `python -m core keys rotate`. Details are on the Health page."
        )


def draw_nothing(figures: ProviderFigures, search: str, state: str) -> Literal["add", "show_all"] | None:
    """Draw what stands in place of the cards when there are none; returns what was pressed."""
    if not figures.total:
        st.info(
            "There is no provider yet. Add the first one: its name, its models and its API key.", icon=":material/hub:"
        )
        return "add" if st.button("Add the first provider", key="add_first", icon=":material/add:") else None
    which = "provider" if state == "All" else f"{state.lower()} provider"
    what = (
        f"No {which} has “{search.strip()}” in its name, kind or models." if search.strip() else f"There is no {which}."
    )
    st.info(plain(what), icon=":material/search_off:")
    return "show_all" if st.button("Show all providers", key="show_all", icon=":material/undo:") else None


def _fold() -> None:
    """Close the menu of a card, which would stay open over the dialog: one with another key is another menu."""
    guard("admin")
    st.session_state[_FOLDED] = st.session_state.get(_FOLDED, 0) + 1


def draw_card(provider: LlmProvider, carried: Sequence[LlmProviderSecret] = ()) -> Clicked | None:
    """Draw one provider, with what its calls carry; returns what was pressed on it, if anything."""
    key = providers.key_state(provider)
    name = provider.name
    with st.container(border=True, key=f"card_{name}", gap="small"):
        with st.container(horizontal=True, vertical_alignment="center"):
            with st.container(width="stretch", gap=None):
                st.markdown(f"**{plain(provider.display_name)}**")
                st.caption(f"{plain(name)} · {plain(facts_of(provider.kind).label)}")
            _badges(provider, key)
            active = st.toggle("Active", value=provider.is_active, key=f"active_{name}_{provider.version}")
            edit = st.button("Edit", key=f"edit_{name}", icon=":material/edit:")
            test = st.button("Test", key=f"test_{name}", icon=":material/network_check:", help="Test the connection")
            with (
                st.container(width="content", key=f"more_{name}"),
                st.popover("More", icon=":material/more_horiz:", key=f"more_{name}_{st.session_state.get(_FOLDED, 0)}"),
            ):
                exchange = (
                    provider.needs_key
                    and provider.api_key_encrypted is not None
                    and st.button(
                        "Exchange key", key=f"keys_{name}", icon=":material/sync_alt:", width="stretch", on_click=_fold
                    )
                )
                remove_key = provider.api_key_encrypted is not None and st.button(
                    "Remove key", key=f"remove_key_{name}", icon=":material/key_off:", width="stretch", on_click=_fold
                )
                delete = st.button(
                    "Delete", key=f"delete_{name}", icon=":material/delete:", width="stretch", on_click=_fold
                )
        adopt = _key_trouble(provider, key)
        for row in carried:
            if trouble := provider_secrets.state(provider, row).message:
                st.error(plain(trouble), icon=":material/key_off:")
        _facts(provider, carried)
    pressed: dict[Action, bool] = {
        "edit": edit,
        "test": test,
        "keys": exchange,
        "remove_key": remove_key,
        "delete": delete,
        "adopt": adopt,
        "activate": active and not provider.is_active,
        "deactivate": provider.is_active and not active,
    }
    return next((Clicked(action, provider) for action, yes in pressed.items() if yes), None)


def _badges(provider: LlmProvider, key: KeyState) -> None:
    if key.state == "not_needed":
        st.badge("Needs no key", icon=":material/lock_open:", color="gray")
    elif key.state == "none":
        st.badge("No key", icon=":material/key_off:", color="orange")
    elif key.state == "unbound":
        st.badge("Key not adopted", icon=":material/warning:", color="orange")
    elif key.state != "ok":
        st.badge("Key unreadable", icon=":material/error:", color="red")
    if provider.is_active:
        st.badge("Active", icon=":material/check_circle:", color="green")
    else:
        st.badge("Inactive", icon=":material/pause_circle:", color="gray")


def _key_trouble(provider: LlmProvider, key: KeyState) -> bool:
    if not key.message:
        return False
    with st.container(horizontal=True, vertical_alignment="center"):
        st.error(plain(key.message), icon=":material/key_off:")
        return key.state == "unbound" and st.button("Adopt key", key=f"adopt_{provider.name}", icon=":material/link:")


def _facts(provider: LlmProvider, carried: Sequence[LlmProviderSecret]) -> None:
    if provider.description:
        st.caption(plain(provider.description))
    with st.container(horizontal=True, gap="small"):
        with st.container(width=190, gap=None):
            st.caption("API key", help=f"Set {exact(provider.api_key_set_at)}" if provider.api_key_set_at else None)
            stored = (provider.api_key_masked or "****") if provider.api_key_encrypted else ""
            st.text(stored or ("not set" if provider.needs_key else "none needed"))
            if stored and not provider.needs_key:
                st.caption("kept, and not used")
            elif provider.api_key_set_at:
                fingerprint = providers.key_fingerprint(provider)
                st.caption(" · ".join(filter(None, (fingerprint, f"set {ago(provider.api_key_set_at)}"))))
            for row in (row for row in carried if row.use == "next_key"):
                st.caption(plain(f"{row.name} key: {provider_secrets.shown(row)}"))
        with st.container(width=190, gap=None):
            st.caption("Default model")
            st.text(provider.default_model or "none chosen")
            if provider.default_model is None:
                st.caption(":orange[:material/warning: calls have no model]")
            known = catalogue.find(provider.kind, provider.default_model) if provider.default_model else None
            if known and known.note:
                st.caption(plain(known.note))
        with st.container(width=230, gap=None):
            models = provider.available_models
            st.caption(counted(len(models), "model"))
            st.text(", ".join(models[:_MODELS_SHOWN]))
            if (rest := len(models) - _MODELS_SHOWN) > 0:
                with st.popover(f"+ {rest} more", type="tertiary", key=f"models_{provider.name}"):
                    st.code(
                        "\n".join(models),
                        language=None,
                        wrap_lines=True,
                        height=300 if len(models) > _MODELS_BEFORE_SCROLLING else "content",
                    )
        with st.container(width=230, gap=None):
            st.caption("Base URL")
            own = "" if provider.api_base_url else " (the vendor's)"
            st.text(f"{base_url_of(provider.kind, provider.api_base_url)}{own}")
            numbers = ((use, sum(row.use == use for row in carried)) for use in provider_secrets.CARRIED)
            if with_it := [counted(number, USES[use]) for use, number in numbers if number]:
                st.caption(f"with {' and '.join(with_it)}")
    changed(provider.updated_at, provider.updated_by)
