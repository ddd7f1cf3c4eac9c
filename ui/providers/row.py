"""A row of the list of providers: one element that tells its facts, beside what one can press; and its details."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from html import escape
from typing import Final
from urllib.parse import quote

import streamlit as st

from core.config import get_config, key_max_age
from core.kinds import base_url_of, facts_of
from core.manage import provider_keys, provider_secrets
from core.manage.provider_keys import KeyState
from core.models.apis import api_of
from core.models.facts import facts
from core.resolving.carried import USES
from core.store.table import id_of
from core.store.tables import LlmProvider, LlmProviderSecret
from core.wording import counted
from ui import colors
from ui.feedback import plain
from ui.providers import clicks
from ui.providers.clicks import Action, Shown
from ui.widgets import ago, exact, for_row, unseen

_MODELS_BEFORE_SCROLLING: Final = 14
_KEY_WORDS: Final = {
    "none": ("key_off", "orange", "No key"),
    "not_needed": ("lock_open", "", "Needs no key"),
    "unbound": ("warning", "orange", "Key not adopted"),
}
_UNREADABLE: Final = ("error", "red", "Key unreadable")

_SET_KEY: Final = 132
_GAP: Final = 15
"""Pixels."""
STYLE: Final = """<style>
.lp {{display:grid;grid-template-columns:minmax(0,5fr) minmax(0,4fr) minmax(0,5fr) 5.6rem;gap:0 1rem;align-items:center;
  line-height:1.35}}
.lp>div {{min-width:0}} .lp b,.lp span,.lp small {{display:block;overflow:hidden;text-overflow:ellipsis;white-space:nowrap}}
.lp small,.lpd dt {{opacity:.72}} .lp small,.lpd {{font-size:.84rem}} .lp b {{font-weight:600}}
.lp a {{color:inherit;text-underline-offset:.2em}}
.lp i {{font:1rem 'Material Symbols Rounded';vertical-align:-.2em;font-feature-settings:'liga'}}
{colors}
.lpd {{display:grid;grid-template-columns:max-content minmax(0,1fr);gap:.2rem 1rem;margin:0}}
.lpd dd {{margin:0;overflow-wrap:anywhere}}
:is([class*=st-key-details_],[class*=st-key-edit_],[class*=st-key-more_]) button p {{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}}
[class*=st-key-card_] {{padding:.45rem .75rem}} :has(>[class*=st-key-below_]) {{flex:1 0 100%}}
:is([class*=st-key-details_],[class*=st-key-edit_],[class*=st-key-more_]) button span {{gap:0;margin:0}}
[class*=st-key-card_]>:has(>.stHtml) {{flex:1 1 0;min-width:18rem}}
@media (max-width:640px) {{.lp {{grid-template-columns:minmax(0,3fr) minmax(0,2fr);align-items:start}}
  .lp b,.lp span,.lp small {{white-space:normal;overflow-wrap:anywhere}}
  [class*=st-key-card_]>:has(>.stHtml) {{flex-basis:calc(100% - 3rem);min-width:0}}}}
@media (min-width:641px) {{.st-key-rows:has({first}) [class*=st-key-card_]:not(:has({first})) [class*=st-key-active_]
  {{margin-right:{beside}px}}}}
</style>"""


def draw_style() -> None:
    """Draw the looks of the rows: Streamlit has no grid in one element, and an element a fact makes each click slow.

    Of a button with an icon the words are hidden: they are for who does not see in which row it is.
    """
    st.html(STYLE.format(colors=colors.rules(".lp"), first="[class*=st-key-set_key_]", beside=_SET_KEY + _GAP))


def draw_to_pick(
    provider: LlmProvider, carried: Sequence[LlmProviderSecret], used: datetime | None, *, ticked: bool
) -> None:
    """Draw one provider with a box to tick in place of its buttons; the rest as :func:`draw`."""
    shown = Shown(id_of(provider), provider.version, provider.name, provider.display_name)
    box = f"pick_{provider.name}"
    if st.session_state.get(box) != ticked:
        st.session_state[box] = ticked  # else the answer to one tick would take back the next, made before it came
    with st.container(
        border=True, horizontal=True, vertical_alignment="center", gap="small", key=f"card_{provider.name}"
    ):
        st.checkbox(
            unseen(f"Select {provider.display_name}"),
            key=box,
            label_visibility="collapsed",
            on_change=clicks.note_pick,
            args=(box, shown),
        )
        st.html(_facts(provider, provider_keys.key_state(provider), carried, used))


def draw(provider: LlmProvider, carried: Sequence[LlmProviderSecret], used: datetime | None, *, opened: bool) -> None:
    """Draw one provider.

    Args:
        provider: Which.
        carried: What its calls carry.
        used: When its last logged call was.
        opened: Whether its details are shown.
    """
    key, name = provider_keys.key_state(provider), provider.name
    shown = Shown(id_of(provider), provider.version, name, provider.display_name)
    # One flat container: each more is an element more in all rows. What is opened goes below, see STYLE.
    with st.container(border=True, horizontal=True, vertical_alignment="center", gap="small", key=f"card_{name}"):
        st.button(
            plain(f"Details of {provider.display_name}"),
            key=f"details_{name}",
            icon=":material/expand_less:" if opened else ":material/expand_more:",
            type="tertiary",
            on_click=clicks.note,
            args=("details", shown),
        )
        st.html(_facts(provider, key, carried, used))
        _draw_buttons(provider, key, shown)
        troubles = [key.message, *(provider_secrets.state(provider, each).message for each in carried)]
        if opened or any(troubles):
            with st.container(key=f"below_{name}", gap="small"):
                _draw_trouble(list(filter(None, troubles)), shown if key.state == "unbound" else None)
                if opened:
                    _draw_details(provider, carried, used)


def _draw_buttons(provider: LlmProvider, key: KeyState, shown: Shown) -> None:
    name = provider.name
    switch = f"active_{name}"
    if st.session_state.get(switch) != provider.is_active:
        st.session_state[switch] = provider.is_active  # the first time; or it was refused, or somebody else changed it
    st.toggle(
        unseen(f"Active, {provider.display_name}"),
        key=switch,
        label_visibility="collapsed",
        on_change=clicks.note_switch,
        args=(switch, shown),
    )
    if key.state == "none":
        st.button(
            for_row("Set API key", provider.display_name),
            key=f"set_key_{name}",
            icon=":material/key:",
            type="primary",
            width=_SET_KEY,
            on_click=clicks.note,
            args=("set_key", shown),
        )
    st.button(
        plain(f"Edit {provider.display_name}"),
        key=f"edit_{name}",
        icon=":material/edit:",
        on_click=clicks.note,
        args=("edit", shown),
    )
    menu = f"more_{name}"
    actions = _menu(provider)
    st.menu_button(
        plain(f"More for {provider.display_name}"),
        list(actions),
        key=menu,
        icon=":material/more_horiz:",
        on_click=clicks.note_choice,
        args=(menu, actions, shown),
    )


def _menu(provider: LlmProvider) -> dict[str, Action]:
    actions: dict[str, Action] = {":material/network_check: Test connection": "test"}
    if provider.needs_key and provider.api_key_encrypted is not None:
        actions[":material/sync_alt: Exchange key"] = "keys"
    if provider.api_key_encrypted is not None:
        actions[":material/key_off: Remove key"] = "remove_key"
    actions[":material/tune: Defaults"] = "defaults"
    actions[":material/visibility: Preview"] = "effective_preview"
    actions[":material/monitoring: Usage"] = "usage"
    actions[":material/payments: Costs"] = "costs"
    actions[":material/history: Audit"] = "audit"
    actions[":material/content_copy: Duplicate"] = "duplicate"
    actions[":material/delete: Delete"] = "delete"
    return actions


def _facts(provider: LlmProvider, key: KeyState, carried: Sequence[LlmProviderSecret], used: datetime | None) -> str:
    kind = facts_of(provider.kind).label
    model = provider.default_model
    state = ("check_circle", "green", "Active") if provider.is_active else ("pause_circle", "", "Inactive")
    return (
        f'<div class="lp"><div>{_cut("b", provider.display_name)}{_cut("small", f"{provider.name} · {kind}")}</div>'
        f"<div>{_cut('span', model) if model else _status_html('warning', 'orange', 'No default model')}"
        f"<small>{counted(len(provider.available_models), 'model')} · {_defaults_link(provider)}</small></div>"
        f"<div>{_key(provider, key)}<small>{_key_notes(provider, carried, used)}</small></div>"
        f"<div>{_status_html(*state)}</div></div>"
    )


def _defaults_link(provider: LlmProvider) -> str:
    """Return the way that is gone most, in one click; see web/leaving.py. The others are in the menu."""
    to = f"defaults?provider={quote(provider.name, safe='')}"
    return f'<a href="{to}" aria-label="Defaults of {escape(provider.display_name)}">Defaults</a>'


def _key(provider: LlmProvider, key: KeyState) -> str:
    if key.state == "ok":
        return _cut("span", provider_keys.shown_key(provider) or "****")
    return _status_html(*_KEY_WORDS.get(key.state, _UNREADABLE))


def _key_notes(provider: LlmProvider, carried: Sequence[LlmProviderSecret], used: datetime | None) -> str:
    notes = []
    if provider.api_key_encrypted and not provider.needs_key:
        notes.append("a key is kept, and not used")
    elif provider.api_key_set_at:
        notes.append(_when("set", provider.api_key_set_at))
        days = key_max_age(get_config())
        if days is not None and provider.api_key_set_at <= datetime.now(UTC) - timedelta(days=days):
            notes.append(f"older than {counted(days, 'day')}: exchange it")
    if used is not None:
        before = provider.api_key_set_at is not None and used < provider.api_key_set_at
        notes.append(
            _hover("not used yet", f"Last call {exact(used)}, with the key before") if before else _when("used", used)
        )
    notes += [escape(f"{row.name} key: {provider_secrets.shown(row)}") for row in carried if row.use == "next_key"]
    numbers = ((use, sum(row.use == use for row in carried)) for use in provider_secrets.CARRIED)
    if with_it := [counted(number, USES[use]) for use, number in numbers if number]:
        notes.append(f"with {' and '.join(with_it)}")
    return " · ".join(notes)


def _when(word: str, moment: datetime) -> str:
    return f"{word} {_hover(ago(moment), exact(moment))}"


def _hover(words: str, whole: str) -> str:
    return f'<span style="display:inline" title="{whole}">{words}</span>'


def _cut(tag: str, text: str) -> str:
    """Return *text* in one line that may be cut, whole on hover, its direction apart from what is around it."""
    return f'<{tag} title="{escape(text)}"><bdi>{escape(text)}</bdi></{tag}>'


def _status_html(icon: str, color: str, words: str) -> str:
    return f'<span class="{color}"><i aria-hidden="true">{icon}</i> {words}</span>'


def _draw_trouble(troubles: list[str], to_adopt: Shown | None) -> None:
    for trouble in troubles:
        st.error(plain(trouble), icon=":material/key_off:")
    if to_adopt:
        st.button(
            "Adopt key",
            key=f"adopt_{to_adopt.name}",
            icon=":material/link:",
            on_click=clicks.note,
            args=("adopt", to_adopt),
        )


def _about(provider: LlmProvider) -> str | None:
    """Return in a sentence how the default model reasons; None where that is not known."""
    api = api_of(provider.kind, provider.api_base_url)
    found = facts(api, provider.default_model) if provider.default_model else None
    return _REASONS.get(found.reasoning or "") if found else None


_REASONS: Final = {
    "always": "It always reasons.",
    "default": "It reasons unless that is turned off.",
    "optional": "It reasons when it is asked to.",
}


def _draw_details(provider: LlmProvider, carried: Sequence[LlmProviderSecret], used: datetime | None) -> None:
    own = "" if provider.api_base_url else " (the vendor's own)"
    rows = {
        "Description": provider.description,
        "Base URL": f"{base_url_of(provider.kind, provider.api_base_url)}{own}",
        "Default model": provider.default_model or "none chosen: calls have no model",
        "About it": _about(provider),
        "API key": provider_keys.shown_key(provider) or ("not set" if provider.needs_key else "none needed"),
        "Key set": f"{ago(provider.api_key_set_at)}, {exact(provider.api_key_set_at)}"
        if provider.api_key_set_at
        else None,
        "Last call": f"{ago(used)}, {exact(used)}" if used else "none in the log",
        "Carries": ", ".join(f"{USES.get(row.use, row.use)} {row.name}" for row in carried if row.use in USES) or None,
        "Changed": f"{ago(provider.updated_at)} by {provider.updated_by or 'somebody'}, {exact(provider.updated_at)}",
    }
    lines = (f'<dt>{term}</dt><dd dir="auto">{escape(text)}</dd>' for term, text in rows.items() if text)
    st.html(f'<dl class="lpd">{"".join(lines)}</dl>')
    models = provider.available_models
    st.caption(counted(len(models), "model"))
    st.code(
        "\n".join(models),
        language=None,
        wrap_lines=True,
        height=300 if len(models) > _MODELS_BEFORE_SCROLLING else "content",
    )
