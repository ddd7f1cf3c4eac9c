"""The fields of a provider, as a person edits them: widgets, and what was loaded into them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import streamlit as st

from core import crypto
from core.errors import Sealed
from core.kinds import KINDS, facts_of, origin_of
from core.manage import provider_keys, providers
from core.models import catalogue
from core.models.apis import place_of
from core.resolving.effective import NOT_NEEDED
from core.store import api_keys, base_urls
from core.store.tables import LlmProvider, LlmProviderSecret
from ui.feedback import field_error, plain
from ui.guard import guard
from ui.providers import carried, models, presets

_BASE = "provider_base"
_KEYS = {
    name: f"provider_{name}"
    for name in (*providers.FIELDS, "api_key", "api_key_anyway", "omit", "preset", *models.WIDGETS)
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
        "preset": None,
        **models.WIDGETS,
        "models_seen": list(fields["available_models"]),
    }.items():
        st.session_state[_KEYS[name]] = value


def fill_from(provider: LlmProvider, stored: Sequence[LlmProviderSecret]) -> None:
    """Load a stored provider into the widgets, with its headers and query parameters."""
    carried.fill(stored)
    fill(provider.model_dump(include=set(providers.FIELDS)), provider.version, provider_keys.shown_key(provider))


def unsaved() -> tuple[dict[str, Any], bool, bool]:
    """Return what is typed, without any secret; whether it differs from what was loaded, and whether a secret is typed."""
    base = _base()
    rows, carried_changed, carried_secret = carried.unsaved()
    typed = {name: st.session_state.get(_KEYS[name], value) for name, value in base.fields.items()}
    is_changed = any((value or None) != (base.fields[name] or None) for name, value in typed.items())
    content = {"base": base.fields, "version": base.version, "typed": typed, "carried": rows}
    secret = bool(st.session_state.get(_KEYS["api_key"])) or carried_secret
    return content, is_changed or carried_changed, secret


def is_changed() -> bool:
    """Whether saving would change anything."""
    _, differs, secret = unsaved()
    return differs or secret or omitted() is not None or behind() is not None


def began() -> Base:
    """Return what the fields were loaded with."""
    return _base()


def take_up(content: Mapping[str, Any]) -> None:
    """Load what :func:`unsaved` gave into the widgets, before they are drawn; the edit stays based on what it was."""
    fill(content["base"], content["version"], _base().mask)
    for name, value in content["typed"].items():
        st.session_state[_KEYS[name]] = value
    carried.take_up(content["carried"])


def is_filled() -> bool:
    """Whether the fields are there: leaving the page forgets them."""
    return _BASE in st.session_state and _KEYS["kind"] in st.session_state


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


def tested() -> int:
    """Return a number that differs once something else would be tested: what is typed, but for names and texts.

    A secret is a part of it; the number does not lead back to one.
    """
    typed = {name: value for name, value in patch().items() if name not in _UNTESTED}
    return hash(repr((sorted(typed.items()), omitted(), carried.drafts())))


_UNTESTED = frozenset({"name", "display_name", "description", "available_models", "is_active"})


def omitted() -> list[str] | None:
    """Return the parameters to leave out for the model, or None to let them be."""
    offered = _base().offered and _omission_matters()
    return sorted(_refused()) if offered and st.session_state.get(_KEYS["omit"]) else None


def behind() -> tuple[str, str, str] | None:
    """Return the default model, the API and host where it is called, and which model is said to be behind it; None: nothing."""
    wanted = {**_base().fields, **patch()}
    typed, model = (st.session_state.get(_KEYS["acts_as"]) or "").strip(), wanted["default_model"]
    return (model, place_of(wanted["kind"], wanted["api_base_url"]), typed) if typed and model else None


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


class Drawn(NamedTuple):
    """What :func:`draw` has drawn, and where the rest goes."""

    slots: dict[str, Any]
    """Name -> the slot for its error, right below its widget."""
    kind: str
    moved: Any
    """Place for what another host means."""
    models: Any
    """Place for the models: what a test of this run lists can be chosen at once."""
    omissions: Any
    report: Any
    """Place for the stages of a test."""


def draw() -> Drawn:
    """Draw the fields but for the models, which :func:`draw_models` draws."""
    slots: dict[str, Any] = {}
    is_new = version() is None
    columns = st.columns(3 if is_new else 2)
    if is_new:
        with columns[0]:
            presets.draw(_KEYS)
    with columns[-2]:
        st.text_input(
            "Display name", key=_KEYS["display_name"], persist_state=_KEPT, max_chars=100, placeholder="OpenAI"
        )
        slots["display_name"] = st.empty()
    with columns[-1]:
        st.text_input(
            "Name",
            key=_KEYS["name"],
            persist_state=_KEPT,
            max_chars=50,
            placeholder="openai",
            help="What services ask for: resolve(name).",
        )
        slots["name"] = st.empty()
    left, right = st.columns([1, 2] if is_new else 2)
    with left:
        kind = _draw_kind(slots)
    with right:
        _draw_url(slots, kind)
    places = [st.container()]
    with st.container():  # what comes and goes in it moves nothing below to another place of the page's tree
        _draw_key(slots)
    places += [st.container()]
    carried.draw(kind, slots)
    st.text_area("Description", key=_KEYS["description"], persist_state=_KEPT, max_chars=2000, height=80)
    slots["description"] = st.empty()
    st.toggle(
        "Active", key=_KEYS["is_active"], persist_state=_KEPT, help="Services resolve an inactive provider as disabled."
    )
    slots["is_active"] = st.empty()
    places += [st.container(), st.container()]
    return Drawn(slots, kind, *places)


def draw_models(drawn: Drawn, effective_omissions: tuple[str, ...], listed: Sequence[str] | None) -> None:
    """Draw the models, of which *listed* are the vendor's.

    *effective_omissions* are the parameters that are not sent today.
    """
    with drawn.models:
        models.draw(_KEYS, drawn.kind, drawn.slots, was_default=_base().fields["default_model"], listed=listed)
    with drawn.omissions:
        _draw_omissions(effective_omissions)


def _draw_kind(slots: dict[str, Any]) -> str:
    kinds = dict.fromkeys((*KINDS, st.session_state[_KEYS["kind"]]))  # the last may be one of a newer version
    kind: str = st.selectbox(
        "Kind", list(kinds), key=_KEYS["kind"], persist_state=_KEPT, format_func=lambda name: facts_of(name).label
    )
    slots["kind"] = st.empty()
    return kind


def _draw_url(slots: dict[str, Any], kind: str) -> None:
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


def _url_look(kind: str) -> base_urls.UrlVerdict | None:
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


def _key_look() -> api_keys.KeyVerdict:
    api_key, url = (st.session_state.get(_KEYS[name]) for name in ("api_key", "api_base_url"))
    return api_keys.look(st.session_state[_KEYS["kind"]], api_key, url) if api_key else api_keys.KeyVerdict()


def _correct_key() -> None:
    guard("admin")
    if correction := _key_look().correction:
        st.session_state[_KEYS["api_key"]] = correction


def _refused() -> frozenset[str]:
    return frozenset()  # what a model refuses is not sent anyway: core.models.adapt


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
        st.checkbox(
            plain(f"Send everything that {model} takes: omit nothing by hand"),
            key=_KEYS["omit"],
            persist_state=_KEPT,
            help="What the model does not take is left out anyway. The Defaults page can change it.",
        )
