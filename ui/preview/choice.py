"""What Effective Preview shows: all providers or one, which one, and beside which; all of it stands in the address."""

from collections.abc import Mapping
from typing import Final, NamedTuple

import streamlit as st

from ui.feedback import plain
from ui.widgets import two_names

_VIEWS: Final = {"one": "One provider", "all": "All providers"}
_FIELDS: Final = {"view": "preview_view", "provider": "preview_provider", "compare": "compare_with"}
"""Parameter of the address -> key of its widget. Streamlit's own binding would put the options' labels there."""
_SEEN = "preview_address"
"""In the session: what we wrote into the address, to tell it from one that came with a link or Back."""
_CHOSEN = "preview_chosen"
"""In the session: a picker was used just now. A second click before the browser has the new address comes with the old one."""
_FOLLOWED = "preview_followed"
"""In the session: how often the address was followed. The switch gets another key each time: a click from before says where
another one stood, that is no more."""
_MANY = 2


class Choice(NamedTuple):
    """What is asked for."""

    everything: bool
    """All providers at once."""
    provider: str | None
    """None if the one asked for does not exist, or all are shown."""
    other: str | None
    """What it is compared with."""


def pick(names: Mapping[str, str], *, for_admin: bool) -> Choice:
    """Draw the pickers; returns what is chosen.

    Who comes without a provider in the address sees the first one; an analyst, who has none in mind to change, sees all.
    """
    state = st.session_state
    switch = f"{_FIELDS['view']}_{state.get(_FOLLOWED, 0)}"
    asked = {name: st.query_params.get(name) or None for name in _FIELDS}
    seen = state.get(_SEEN)
    chosen_now = state.pop(_CHOSEN, False)
    if seen is None or (asked != seen and not chosen_now):
        for name in ("provider", "compare"):
            if asked[name] or (seen is not None and name != "provider"):
                state[_FIELDS[name]] = asked[name]
        if seen is not None:
            state[_FOLLOWED] = state.get(_FOLLOWED, 0) + 1
            switch = f"{_FIELDS['view']}_{state[_FOLLOWED]}"
        state[switch] = asked["view"]
        state[_SEEN] = asked
    if state.get(switch) not in _VIEWS:
        first = not for_admin and not asked["provider"] and seen is None and len(names) >= _MANY
        state[switch] = "all" if first else "one"
    with st.container(horizontal=True, vertical_alignment="bottom", key="choice"):
        view = st.segmented_control(
            "Show",
            list(_VIEWS),
            format_func=_VIEWS.__getitem__,
            key=switch,
            required=True,
            persist_state="session",
            on_change=_choose,
        )
        if view == "all":
            _write({"view": "all", "provider": None, "compare": None})
            return Choice(everything=True, provider=None, other=None)
        chosen, other = _pick_providers(names)
    if asked["compare"] and asked["compare"] not in names:
        _say_unknown(asked["compare"], "It is compared with nothing.")
    if chosen is None:
        _say_unknown(asked["provider"] or "", "Choose one above.")
    else:
        _write({"view": None, "provider": chosen, "compare": other})
    return Choice(everything=False, provider=chosen, other=other)


def _pick_providers(names: Mapping[str, str]) -> tuple[str | None, str | None]:
    state, provider, compare = st.session_state, _FIELDS["provider"], _FIELDS["compare"]
    known = state.setdefault(provider, next(iter(names))) in names
    if not known:
        state[provider] = None

    def label(name: str) -> str:
        return two_names(names.get(name, name), name)

    chosen = st.selectbox(
        "Provider",
        list(names),
        index=0 if known else None,
        format_func=label,
        key=provider,
        persist_state="session",
        placeholder="Choose a provider",
        filter_mode="contains",
        width=340,
        on_change=_choose,
    )
    others = [name for name in names if name != chosen]
    if state.get(compare) not in others:
        state[compare] = None
    other = st.selectbox(
        "Compare with",
        others,
        index=None,
        format_func=label,
        key=compare,
        placeholder="No other provider",
        filter_mode="contains",
        width=340,
        on_change=_choose,
    )
    return chosen, other


def _choose() -> None:
    st.session_state[_CHOSEN] = True


def _write(wanted: Mapping[str, str | None]) -> None:
    """Write what is shown into the address, at once: so Back goes from one choice to the one before."""
    for name, value in wanted.items():
        if value is None and name in st.query_params:
            del st.query_params[name]
    then = {name: value for name, value in wanted.items() if value and st.query_params.get(name) != value}
    if then:
        st.query_params.update(then)
    st.session_state[_SEEN] = dict(wanted)


def _say_unknown(name: str, cure: str) -> None:
    st.warning(plain(f"There is no provider {name[:60]!r}. {cure}"), icon=":material/help:")
