"""What is known of a provider's models while they are chosen: of the default model all in a line, of the others which end."""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any, Final, NamedTuple

import streamlit as st

from core.govern.lifecycle import QUIET_DAYS
from core.manage import knowledge as known_models
from core.models.adapt import adapt
from core.models.apis import api_of, host_of
from core.models.facts import ModelFacts
from core.models.knowledge import Knowledge
from core.models.words import model_line
from core.parameters import PARAMETERS, SENDABLE
from core.store import db
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
    url = st.session_state.get(keys["api_base_url"]) or None
    with db.transaction() as session:
        there = _Place(known_models.of(session), kind, api_of(kind, url), host_of(kind, url))
    today = datetime.now(UTC).date()
    default = st.session_state.get(keys["default_model"])
    if default:
        _draw_default(keys, there, default, today)
    if others := [model for model in models if model != default and _ends(there.facts(model), today)]:
        named = ", ".join(isolated(model) for model in others[:_NAMED])
        more = f", and {len(others) - _NAMED:,} more" if len(others) > _NAMED else ""
        verb = "ends" if len(others) == 1 else "end"
        st.caption(
            plain(f"{counted(len(others), 'other model')} {verb} within {QUIET_DAYS} days, or ended: {named}{more}.")
        )


class _Place(NamedTuple):
    """Where the models are called."""

    known: Knowledge
    kind: str
    api: str
    host: str

    def facts(self, model: str) -> ModelFacts | None:
        """Return what is known of *model* there."""
        return self.known.facts(self.api, model, self.host)


def _draw_default(keys: Mapping[str, str], there: _Place, default: str, today: date) -> None:
    found = there.facts(default)
    line = model_line(there.api, default, today, knowledge=there.known, host=there.host)
    unsent = unsent_text(there, default)
    urgent = _ends(found, today)
    st.markdown(
        f":{'orange' if urgent else 'gray'}[:small[{plain(f'{isolated(default)}: {line}')}]]"
        + (f"  \n:gray[:small[{plain(unsent)}]]" if unsent else ""),
    )
    if urgent and found is not None and found.successor:
        st.button(
            f"Use {cut(found.successor, _LONGEST)}",
            key="provider_use_successor",
            icon=":material/swap_horiz:",
            on_click=_use,
            args=(keys, found.successor),
        )
    behind = next((row.acts_as for row in there.known.rows(there.api, default, there.host)[::-1] if row.acts_as), None)
    if there.api in _NAMES_OF_THEIR_OWN and (found is None or behind):
        st.text_input(
            "Which model is behind it?",
            key=keys["acts_as"],
            persist_state="page",
            max_chars=200,
            placeholder=behind or "gpt-5",
            help="A deployment, or a gateway's name for a model, is not known by its name. Said here, it is taken for that model:"
            " what it takes, its limits and its price. It stands among the corrections on the Models page.",
        )


def unsent_text(there: _Place, model: str) -> str:
    """Return which parameters *model* is not sent though they have a built-in default, and why; empty if it takes all."""
    defaults: dict[str, Any] = {name: PARAMETERS[name].default for name in SENDABLE}
    adapted = adapt(there.api, model, defaults, (), kind=there.kind, knowledge=there.known, host=there.host)
    why: dict[str, list[str]] = {}
    for each in adapted.adjustments:
        if each.what == "left_out":
            why.setdefault(each.why, []).append(PARAMETERS[each.parameter].label)
    parts = [f"{listed(names)} ({reason})" for reason, names in why.items()]
    return f"Not sent to it: {'; '.join(parts)}." if parts else ""


_NAMES_OF_THEIR_OWN: Final = frozenset({"azure", "compatible", "bedrock"})
"""APIs where a model's name may be anybody's choice."""


def _ends(found: ModelFacts | None, today: date) -> bool:
    return found is not None and found.retires is not None and (found.retires - today).days <= QUIET_DAYS


def _use(keys: Mapping[str, str], model: str) -> None:
    guard("admin")
    chosen: list[str] = list(st.session_state[keys["available_models"]])
    if model not in chosen:
        st.session_state[keys["available_models"]] = [*chosen, model]
    st.session_state[keys["models_seen"]] = list(st.session_state[keys["available_models"]])
    st.session_state[keys["default_model"]] = model
