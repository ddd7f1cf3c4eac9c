"""What is known of a provider's models while they are chosen: of the default model all in a line, of the others which end."""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any, Final

import streamlit as st

from core.govern.lifecycle import QUIET_DAYS
from core.models.adapt import adapt
from core.models.apis import api_of
from core.models.facts import facts
from core.models.words import model_line
from core.parameters import PARAMETERS, SENDABLE
from core.wording import counted, listed
from ui.feedback import plain
from ui.guard import guard
from ui.widgets import cut, isolated

_NAMED: Final = 3
_LONGEST: Final = 60


def draw(keys: Mapping[str, str], kind: str, models: Sequence[str]) -> None:
    """Draw what is known, below the fields.

    Args:
        keys: Those of the form's widgets, by field.
        kind: Of the provider.
        models: As they are chosen now.
    """
    api = api_of(kind, st.session_state.get(keys["api_base_url"]) or None)
    today = datetime.now(UTC).date()
    default = st.session_state.get(keys["default_model"])
    if default:
        line = plain(f"{isolated(default)}: {model_line(api, default, today)}")
        unsent = unsent_text(api, kind, default)
        urgent = _ends(api, default, today)
        st.markdown(
            f":{'orange' if urgent else 'gray'}[:small[{line}]]"
            + (f"  \n:gray[:small[{plain(unsent)}]]" if unsent else ""),
        )
        found = facts(api, default)
        if urgent and found is not None and found.successor:
            st.button(
                f"Use {cut(found.successor, _LONGEST)}",
                key="provider_use_successor",
                icon=":material/swap_horiz:",
                on_click=_use,
                args=(keys, found.successor),
            )
    if others := [model for model in models if model != default and _ends(api, model, today)]:
        named = ", ".join(isolated(model) for model in others[:_NAMED])
        more = f", and {len(others) - _NAMED:,} more" if len(others) > _NAMED else ""
        verb = "ends" if len(others) == 1 else "end"
        st.caption(
            plain(f"{counted(len(others), 'other model')} {verb} within {QUIET_DAYS} days, or ended: {named}{more}.")
        )


def unsent_text(api: str, kind: str, model: str) -> str:
    """Return which parameters *model* is not sent though they have a built-in default, and why; empty if it takes all."""
    defaults: dict[str, Any] = {name: PARAMETERS[name].default for name in SENDABLE}
    why: dict[str, list[str]] = {}
    for each in adapt(api, model, defaults, (), kind=kind).adjustments:
        if each.what == "left_out":
            why.setdefault(each.why, []).append(PARAMETERS[each.parameter].label)
    parts = [f"{listed(names)} ({reason})" for reason, names in why.items()]
    return f"Not sent to it: {'; '.join(parts)}." if parts else ""


def _ends(api: str, model: str, today: date) -> bool:
    found = facts(api, model)
    return found is not None and found.retires is not None and (found.retires - today).days <= QUIET_DAYS


def _use(keys: Mapping[str, str], model: str) -> None:
    guard("admin")
    chosen: list[str] = list(st.session_state[keys["available_models"]])
    if model not in chosen:
        st.session_state[keys["available_models"]] = [*chosen, model]
    st.session_state[keys["models_seen"]] = list(st.session_state[keys["available_models"]])
    st.session_state[keys["default_model"]] = model
