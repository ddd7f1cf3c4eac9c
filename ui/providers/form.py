"""The fields of a provider, as a person edits them: widgets, and what was loaded into them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import streamlit as st

from core import crypto
from core.errors import Invalid, Sealed
from core.kinds import KINDS, facts_of, origin_of
from core.manage import providers
from core.models import catalogue
from core.resolving.effective import NOT_NEEDED
from core.store import api_keys, base_urls, schemas
from core.store.tables import LlmProvider, LlmProviderSecret
from ui.feedback import field_error, plain
from ui.guard import guard
from ui.providers import carried, presets

_BASE = "provider_base"
_KEYS = {
    name: f"provider_{name}" for name in (*providers.FIELDS, "api_key", "api_key_anyway", "omit", "paste", "preset")
}
_KEPT: Literal["page"] = "page"
"""What is typed outlives a run that could not draw it: a lost database, a conflict."""
EMPTY: Mapping[str, Any] = {
    "name": "",
    "display_name": "",
    "description": None,
    "kind": "openai",
    "api_base_url": None,
    "needs_key": True,
    "available_models": [],
    "default_model": None,
    "is_active": True,
}


@dataclass
class Base:
    """What the fields were loaded with."""

    fields: dict[str, Any]
    version: int | None
    """What the edit is based on; None for a provider that is not stored yet."""
    mask: str | None
    """Of the stored API key, with its fingerprint."""
    offered: bool = False
    """Whether the form offers to set what is not sent."""


def fill_new() -> None:
    """Load what a new provider begins with."""
    fill(EMPTY, None, None)
    carried.fill(())


def fill(fields: Mapping[str, Any], version: int | None, mask: str | None) -> None:
    """Load *fields* into the widgets, before they are drawn; *version* is what the edit is based on."""
    st.session_state[_BASE] = Base(dict(fields), version, mask)
    for name, value in fields.items():
        st.session_state[_KEYS[name]] = "" if value is None and name != "default_model" else value
    # Set, not only forgotten: the browser still sends what was typed in the dialog before, which may be another's key.
    for name, value in {
        "api_key": "",
        "api_key_anyway": False,
        "omit": version is None,
        "paste": "",
        "preset": None,
    }.items():
        st.session_state[_KEYS[name]] = value


def fill_from(provider: LlmProvider, stored: Sequence[LlmProviderSecret]) -> None:
    """Load a stored provider into the widgets, with its headers and query parameters."""
    carried.fill(stored)
    fill(provider.model_dump(include=set(providers.FIELDS)), provider.version, providers.shown_key(provider))


def _base() -> Base:
    base: Base = st.session_state[_BASE]
    return base


def version() -> int | None:
    """Return the version the edit is based on; None for a provider that is not stored yet."""
    return _base().version


def patch() -> dict[str, Any]:
    """Return the fields that differ from what was loaded, and the key if one was typed."""
    base = _base().fields
    typed = {name: st.session_state.get(_KEYS[name], base[name]) for name in base}
    fields = {name: value for name, value in typed.items() if (value or None) != (base[name] or None)}
    if typed["needs_key"] and (api_key := st.session_state.get(_KEYS["api_key"])):
        fields["api_key"] = api_key
    return {**typed, **fields} if version() is None else fields


def moves() -> bool:
    """Whether what is typed leads to another host than what was loaded."""
    base = _base().fields
    wanted = {**base, **patch()}
    return origin_of(wanted["kind"], wanted["api_base_url"]) != origin_of(base["kind"], base["api_base_url"])


def omitted() -> list[str] | None:
    """Return the parameters to leave out for the model, or None to let them be."""
    offered = _base().offered and _omission_matters()
    return sorted(_refused()) if offered and st.session_state.get(_KEYS["omit"]) else None


def unconfirmed() -> dict[str, str]:
    """Return the error of a key that looks wrong and was not confirmed."""
    if (
        st.session_state.get(_KEYS["needs_key"], True)
        and _key_look().warning
        and not st.session_state.get(_KEYS["api_key_anyway"])
    ):
        return {"api_key": "looks wrong: check it, or tick 'Use this key anyway'"}
    return {}


def forget_key() -> None:
    """Drop the typed key from the session: nothing keeps it once the dialog is closed."""
    st.session_state.pop(_KEYS["api_key"], None)
    carried.forget()


def draw(effective_omissions: tuple[str, ...]) -> dict[str, Any]:
    """Draw the fields; returns name -> the slot for its error, right below its widget.

    *effective_omissions* are the parameters that are not sent today.
    """
    slots: dict[str, Any] = {}
    if version() is None:
        presets.draw(_KEYS)
    with st.container(horizontal=True, gap="small"):
        with st.container(width=330):
            st.text_input(
                "Display name", key=_KEYS["display_name"], persist_state=_KEPT, max_chars=100, placeholder="OpenAI"
            )
            slots["display_name"] = st.empty()
        with st.container(width=330):
            st.text_input(
                "Name",
                key=_KEYS["name"],
                persist_state=_KEPT,
                max_chars=50,
                placeholder="openai",
                help="What services ask for: resolve(name).",
            )
            slots["name"] = st.empty()
    kinds = dict.fromkeys((*KINDS, st.session_state[_KEYS["kind"]]))  # the last may be one of a newer version
    kind = st.selectbox(
        "Kind", list(kinds), key=_KEYS["kind"], persist_state=_KEPT, format_func=lambda name: facts_of(name).label
    )
    slots["kind"] = st.empty()
    st.text_input(
        "Base URL",
        key=_KEYS["api_base_url"],
        persist_state=_KEPT,
        max_chars=500,
        placeholder=facts_of(kind).base_url or "https://host.example/v1",
        help="Empty: the vendor's own address. Another host needs the API key typed again.",
    )
    slots["api_base_url"] = st.empty()
    if found := _url_look(kind):
        field_error(slots["api_base_url"], {"api_base_url": found.refused}, "api_base_url")
        st.button("Use what is proposed", key="provider_correct_url", on_click=_correct_url)
    _draw_key(slots)
    carried.draw(kind, slots)
    _draw_models(slots, kind)
    st.text_area("Description", key=_KEYS["description"], persist_state=_KEPT, max_chars=2000, height=80)
    slots["description"] = st.empty()
    st.toggle(
        "Active", key=_KEYS["is_active"], persist_state=_KEPT, help="Services resolve an inactive provider as disabled."
    )
    slots["is_active"] = st.empty()
    _draw_omissions(effective_omissions)
    return slots


def _url_look(kind: str) -> base_urls.Look | None:
    found = base_urls.look(kind, st.session_state.get(_KEYS["api_base_url"]) or "")
    return found if found.correction else None


def _correct_url() -> None:
    guard("admin")
    if found := _url_look(st.session_state[_KEYS["kind"]]):
        st.session_state[_KEYS["api_base_url"]] = found.correction


def _draw_key(slots: dict[str, Any]) -> None:
    needs_key = st.toggle(
        "Needs an API key",
        key=_KEYS["needs_key"],
        persist_state=_KEPT,
        help="Off for a server that asks for none, as Ollama, LM Studio or vLLM on your own machines.",
    )
    slots["needs_key"] = st.empty()
    mask = _base().mask
    if not needs_key:
        kept = f" {mask} stays stored, and is not used." if mask else ""
        st.caption(plain(f"Programs get the word “{NOT_NEEDED}” in place of a key, which every SDK takes.{kept}"))
        return
    ring = crypto.get_ring()
    sealed = ring.primary_id is None
    st.text_input(
        "API key",
        key=_KEYS["api_key"],
        persist_state=_KEPT,
        type="password",
        live="0ms",  # else Tab to the eye button, and on from there, never commits what was typed (Streamlit 1.67)
        max_chars=api_keys.MAX_KEY,
        autocomplete="new-password",
        disabled=sealed,
        placeholder=f"{mask} is stored; empty leaves it unchanged" if mask else "Not set",
        help="Stored encrypted, and never shown again.",
    )
    slots["api_key"] = st.empty()
    if sealed:
        st.caption(
            f":orange[:material/lock: {plain(str(Sealed()) if ring.kept_in == crypto.VARIABLE else ring.absent())}]"
        )
        return
    found = _key_look()
    if found.refused:
        field_error(slots["api_key"], {"api_key": found.refused}, "api_key")
        if found.correction:
            st.button("Use the key without that", key="provider_correct_key", on_click=_correct_key)
    if found.warning:
        st.warning(plain(found.warning), icon=":material/warning:")
        st.checkbox("Use this key anyway", key=_KEYS["api_key_anyway"], persist_state=_KEPT)
    if found.note:
        st.caption(plain(found.note))
    if facts_of(st.session_state[_KEYS["kind"]]).self_hosted and api_keys.dummy(
        st.session_state[_KEYS["api_key"]] or ""
    ):
        st.caption(
            "This is what servers without a key are given. Where it is one, switch “Needs an API key” off instead."
        )


def _key_look() -> api_keys.Look:
    api_key, url = (st.session_state.get(_KEYS[name]) for name in ("api_key", "api_base_url"))
    return api_keys.look(st.session_state[_KEYS["kind"]], api_key, url) if api_key else api_keys.Look()


def _correct_key() -> None:
    guard("admin")
    if correction := _key_look().correction:
        st.session_state[_KEYS["api_key"]] = correction


def _draw_models(slots: dict[str, Any], kind: str) -> None:
    above = st.container()
    with st.popover("Paste a list", icon=":material/content_paste:"):
        pasted = st.text_area("A JSON array, or one name a line", key=_KEYS["paste"], persist_state=_KEPT, height=120)
        slot = st.empty()
        if st.button("Use these models", key="provider_use_models"):
            guard("admin")
            try:
                st.session_state[_KEYS["available_models"]] = list(dict.fromkeys(schemas.parse_models(pasted)))
            except Invalid as error:
                field_error(slot, error.fields, "available_models")
    with above:
        chosen: list[str] = st.session_state[_KEYS["available_models"]]
        known = [m.name for v in catalogue.VENDORS if v.kind == kind for m in v.models]
        models = st.multiselect(
            "Models",
            list(dict.fromkeys([*chosen, *known])),
            key=_KEYS["available_models"],
            persist_state=_KEPT,
            accept_new_options=True,
            select_all=False,
            placeholder="Type a name and press Enter",
        )
        slots["available_models"] = st.empty()
    base = _base().fields["default_model"]
    if st.session_state.get(_KEYS["default_model"]) not in models:
        st.session_state[_KEYS["default_model"]] = None
    st.selectbox(
        "Default model",
        models,
        index=None,
        key=_KEYS["default_model"],
        persist_state=_KEPT,
        placeholder="Choose one of the models",
    )
    slots["default_model"] = st.empty()
    if base and base not in models:
        st.caption(f":orange[:material/warning: {plain(base)} was the default, and is no longer among the models.]")


def _refused() -> frozenset[str]:
    return catalogue.to_omit(st.session_state[_KEYS["kind"]], st.session_state.get(_KEYS["default_model"]))


def _omission_matters() -> bool:
    base = _base().fields
    new = version() is None
    other = any(st.session_state.get(_KEYS[name]) != base[name] for name in ("kind", "default_model"))
    return bool((new or other) and st.session_state.get(_KEYS["default_model"]))


def _draw_omissions(effective_omissions: tuple[str, ...]) -> None:
    refused = _refused()
    _base().offered = offered = refused != set(effective_omissions)
    if not _omission_matters():
        return
    base = _base().fields
    model = st.session_state[_KEYS["default_model"]]
    if warning := catalogue.model_change_warning(base["default_model"], model, effective_omissions):
        st.warning(plain(warning), icon=":material/warning:")
    if offered:
        names = ", ".join(sorted(refused)) or "nothing"
        st.checkbox(
            plain(f"Set what is not sent to what {model} does not take: {names}"),
            key=_KEYS["omit"],
            persist_state=_KEPT,
            help="Otherwise the first call may be refused. The Defaults page can change it.",
        )
