"""The dialogs of what admins say of models: say something, with a why; take it back."""

import json
from collections.abc import Mapping
from typing import Any, Final

import streamlit as st
from sqlmodel import Session

from core.errors import Invalid, NotFound
from core.manage import model_facts
from core.models.apis import APIS
from core.parameters import PARAMETERS, SENDABLE
from core.store import db
from core.store.schemas import parse_json_object
from core.store.table import id_of
from core.store.tables import LlmModelFacts
from core.wording import counted
from ui import reason
from ui.dialogs import Dialogs
from ui.feedback import attempt, field_error, other_errors, plain
from ui.guard import guard
from ui.models.head import VIEW

_PATTERN, _API, _ABOUT, _VALUE, _WHY = (f"correction_{name}" for name in ("pattern", "api", "about", "value", "why"))
_DOES, _LOW, _HIGH, _JSON = (f"correction_{name}" for name in ("does", "low", "high", "json"))
_dialogs = Dialogs("corrections_dialog", (_PATTERN, _API, _ABOUT, _VALUE, _WHY, _DOES, _LOW, _HIGH, _JSON), VIEW)
start_afresh = _dialogs.start_afresh
_EVERYWHERE: Final = ""
_JSON_ALONE: Final = "json"
_ABOUTS: Final[Mapping[str, str]] = {
    **{name: PARAMETERS[name].label for name in SENDABLE},
    "acts_as": "Which model is behind it",
    "context": "Context, in tokens",
    "max_output": "Longest answer, in tokens",
    "retires": "Retires on",
    "successor": "Successor",
    _JSON_ALONE: "All of it, as JSON",
}
_NUMBERS: Final = ("context", "max_output")
_VERDICTS: Final[Mapping[str, str]] = {
    "ok": "is taken",
    "refuse": "is not taken",
    "ignore": "has no effect",
    "range": "is taken from … to …",
}


def show(row_id: int | None = None) -> None:
    """Open the dialog that says something, new or of a row: a callback."""
    _dialogs.show("correct", row_id)


def ask_withdraw(row_id: int) -> None:
    """Open the dialog that takes something back: a callback."""
    _dialogs.show("withdraw", row_id)


def draw_dialog() -> None:
    """Draw the dialog that is open, if any, and if its row is still there."""
    name, row_id = _dialogs.opened()
    row = None
    if row_id is not None:
        try:
            with db.transaction() as session:
                row = model_facts.get(session, row_id)
        except NotFound:
            return
    if name == "correct":
        _correct(row)
    elif name == "withdraw" and row is not None and row.is_active:
        _withdraw(row)


@st.dialog("Correct what is known", icon=":material/fact_check:", dismissible=False)
def _correct(row: LlmModelFacts | None) -> None:
    actor = guard("admin")
    version = _dialogs.based_on(row)
    slots: dict[str, Any] = {}
    pattern = st.text_input(
        "Model",
        value=row.pattern if row else "",
        key=_PATTERN,
        max_chars=300,
        placeholder="my-deployment, or gpt-5*",
        help="A name, in whatever case; * and ? stand for any characters.",
        disabled=row is not None,
    )
    slots["pattern"] = st.empty()
    places = [_EVERYWHERE, *APIS, *([row.api] if row and row.api and row.api not in APIS else [])]
    api = st.selectbox(
        "At",
        places,
        index=places.index(row.api or _EVERYWHERE) if row else 0,
        format_func=lambda name: APIS[name].label if name in APIS else name or "Wherever it is called",
        key=_API,
        disabled=row is not None,
    )
    slots["api"] = st.empty()
    before = dict(row.facts) if row and isinstance(row.facts, Mapping) else {}
    about = st.selectbox(
        "About",
        list(_ABOUTS),
        index=list(_ABOUTS).index(_JSON_ALONE) if row else 0,
        format_func=_ABOUTS.__getitem__,
        key=_ABOUT,
    )
    value = _draw_value(about, before)
    slots["facts"] = st.empty()
    why = st.text_area(
        "Why",
        value=row.why if row else "",
        key=_WHY,
        max_chars=2000,
        height=80,
        placeholder="It answered 400 to temperature on 26 November",
        help="For who comes later: does it still hold?",
    )
    slots["why"] = st.empty()
    with st.container(horizontal=True, horizontal_alignment="right"):
        if st.button("Cancel", key="correction_cancel"):
            _dialogs.done()
        pressed = st.button("Save", key="correction_save", type="primary", icon=":material/save:")
    if not pressed:
        return

    def write(session: Session) -> None:
        facts = _facts(about, value, before or _stored(session, pattern, api))
        model_facts.set_facts(
            session, actor, pattern, facts, why=why or "", api=api or None, version=version if row else None
        )

    outcome = attempt(write, done=f"What is said of {pattern.strip()} counts now.")
    if outcome.ok:
        _dialogs.done()
    if outcome.conflict:
        st.warning("Somebody changed it just now: close this and look again.", icon=":material/group:")
    errors = dict(outcome.errors)
    odd = [f"{key.removeprefix('facts.')}: {rule}" for key, rule in errors.items() if key.startswith("facts.")]
    if odd:
        errors = {key: rule for key, rule in errors.items() if not key.startswith("facts.")} | {"facts": "; ".join(odd)}
    for name, slot in slots.items():
        field_error(slot, errors, name)
    other_errors(errors, set(slots))


def _draw_value(about: str, before: Mapping[str, Any]) -> Any:
    """Draw what is said; returns it as it stands in facts, or its text."""
    if about == _JSON_ALONE:
        return st.text_area(
            "Facts",
            value=json.dumps(before, indent=2, ensure_ascii=False) if before else "",
            key=_JSON,
            height=160,
            placeholder='{"temperature": {"ok": true}, "max_output": 64000}',
        )
    if about in SENDABLE:
        parameter = PARAMETERS[about]
        words = [does for does in _VERDICTS if does != "range" or parameter.minimum is not None]
        does = st.selectbox("It", words, format_func=_VERDICTS.__getitem__, key=_DOES)
        if does != "range":
            return {does: True}
        with st.container(horizontal=True):
            low = st.number_input("From", value=float(parameter.minimum or 0), key=_LOW)
            high = st.number_input("To", value=float(parameter.maximum or 0), key=_HIGH)
        return {"range": [low, high]}
    if about in _NUMBERS:
        return int(st.number_input("Tokens", min_value=1, value=100_000, step=1000, key=_VALUE))
    hint = {"retires": "2027-01-31", "acts_as": "gpt-5", "successor": "gpt-6.1-sol"}[about]
    return st.text_input(_ABOUTS[about], key=_VALUE, max_chars=200, placeholder=hint).strip()


def _stored(session: Session, pattern: str, api: str) -> dict[str, Any]:
    row = model_facts.find(session, pattern, api or None)
    return dict(row.facts) if row is not None and isinstance(row.facts, Mapping) else {}


def _facts(about: str, value: Any, before: Mapping[str, Any]) -> dict[str, Any]:
    """Return all that is said from now on: what was said before, and *value* in its place."""
    if about != _JSON_ALONE:
        return {**before, about: value}
    try:
        return parse_json_object(value, "facts") or {}
    except Invalid as error:
        raise Invalid({"facts": next(iter(error.fields.values()))}) from None


@st.dialog("Withdraw it?", icon=":material/undo:", on_dismiss=_dialogs.close)
def _withdraw(row: LlmModelFacts) -> None:
    actor = guard("admin")
    version = _dialogs.based_on(row, "Look again, and withdraw it if you still want to.")
    facts = row.facts if isinstance(row.facts, Mapping) else {}
    st.markdown(
        plain(
            f"{counted(len(facts), 'fact')} of {row.pattern} by {row.updated_by or 'somebody'} would count no more:"
            " the vendor's list and the catalogue do again."
        )
    )
    st.caption(plain(f"It was said because: {row.why}"))
    with reason.buttons():
        if st.button("Cancel", key="withdraw_cancel"):
            _dialogs.done()
        pressed = st.button("Withdraw", key="withdraw_confirm", type="primary", icon=":material/undo:")
    if pressed:
        outcome = attempt(
            lambda session: model_facts.withdraw(session, actor, id_of(row), version=version),
            done=f"What was said of {row.pattern} counts no more.",
        )
        if outcome.ok:
            _dialogs.done()
        if outcome.conflict:
            st.warning("Somebody changed it just now: close this and look again.", icon=":material/group:")
        other_errors(outcome.errors, set())
