"""The dialogs of the Privacy page: what becomes of personal data in a scope, and how long things are kept."""

import json
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import streamlit as st
from sqlmodel import Session

from core.actors import Actor
from core.errors import CoreError, Invalid, NotFound
from core.manage import features, installation, organizations, personal_data, providers
from core.privacy.national import COUNTRIES
from core.privacy.spans import TYPES
from core.store import db
from core.store.personal_data_schemas import LONGEST_TEXT
from core.store.table import id_of
from ui.dialogs import Dialogs
from ui.feedback import plain, show_fault, show_toast, warn
from ui.guard import guard
from ui.pressed import Presses
from ui.privacy.choice import BESIDE, PrivacyChoice
from ui.privacy.words import CHOICES, KINDS, WHAT
from ui.widgets import isolated

_KEPT: Final = {
    "keep_calls_days": ("Days that calls are kept", "Prompts and answers go with them; their figures stay."),
    "keep_audit_days": ("Days that the audit is kept", "30 at least. Its chain holds after each cut."),
    "keep_history_days": ("Days that the history of settings is kept", "What was in force before is answered no more."),
}
_KEYS: Final = {name: f"privacy_{name}" for name in _KEPT}
_SCOPE: Final = ("organization", "feature", "provider")
_LISTS: Final = ("types", "countries", "allow", "patterns")
_OWN: Final = "own"
"""The field of own patterns as lines; `patterns` are they as core takes them."""
_PERSONAL: Final = {name: f"personal_{name}" for name in (*_SCOPE, *WHAT, *_LISTS, _OWN)}
DIALOGS: Final = Dialogs("privacy_dialog", (*_KEYS.values(), *_PERSONAL.values()), BESIDE, role="member")
PRESSES: Final = Presses("privacy_pressed")
_SOON: Final = "In force everywhere within a second or two; calls under way go on."


class ShownScope(NamedTuple):
    """A row of settings of personal data, as it was shown."""

    id: int
    version: int
    name: str


def take_presses(actor: Actor) -> None:
    """Open what was pressed for; who may do it is asked where it is saved."""
    PRESSES.do_all(
        actor, lambda press: DIALOGS.begin(press.action, press.what, press.what.version if press.what else None)
    )
    show_toast()


def draw(chosen: PrivacyChoice) -> None:
    """Draw the dialog that is open, if any."""
    name, shown = DIALOGS.opened()
    if name == "keeping":
        _change_keeping()
    elif name == "add":
        _add(chosen)
    elif name is not None:
        {"edit": _edit, "clear": _clear}[name](shown)


@st.dialog("How long things are kept", icon=":material/auto_delete:", dismissible=False)
def _change_keeping() -> None:
    actor = guard("admin")
    with db.transaction() as session:
        row = installation.get(session, actor)
    if _KEYS["keep_calls_days"] not in st.session_state:
        stored = {key: getattr(row, name) for name, key in _KEYS.items()}
        st.session_state.update({key: "" if days is None else str(days) for key, days in stored.items()})
    version = DIALOGS.based_on(row)
    slots = {}
    for name, (label, help_) in _KEPT.items():
        st.text_input(label, key=_KEYS[name], max_chars=20, placeholder="For ever", help=help_, persist_state="page")
        slots[name] = st.empty()
    st.caption(
        "What is older is deleted each day, for good. An organisation may keep its calls for fewer days, and so may the host by "
        "LLM\\_LOG\\_DAYS: the fewest days hold."
    )
    wanted = {name: _days(st.session_state.get(key) or "") for name, key in _KEYS.items()}
    DIALOGS.save(
        "privacy_keeping",
        slots,
        lambda session: installation.update(session, actor, wanted, version=version),
        "It is decided how long things are kept.",
    )


def _days(typed: str) -> int | str | None:
    """Return a number, nothing, or what is none: core says which rule that breaks."""
    words = typed.strip().replace(",", "")
    return int(words) if words.isascii() and words.isdigit() else words or None


@st.dialog("Personal data in a scope", icon=":material/shield_person:", width="large", dismissible=False)
def _add(chosen: PrivacyChoice) -> None:
    actor = guard("member")
    _fill({}, chosen.names)
    st.caption("For calls of all of these; what is empty is all of them.")
    slots: dict[str, Any] = {}
    with st.container(horizontal=True):
        for name, label in zip(_SCOPE, ("Organisation", "Feature", "Provider"), strict=True):
            with st.container(width=200):
                st.text_input(
                    label, key=_PERSONAL[name], max_chars=200, placeholder="All: its name", persist_state="page"
                )
                slots[f"{name}_id"] = st.empty()
    _draw_fields(slots, [])
    DIALOGS.save(
        "personal",
        slots,
        lambda session: personal_data.create(session, actor, {**_scope(session, actor), **_typed()}),
        "It is said for the scope.",
        "Say it",
    )


@st.dialog("Personal data in a scope", icon=":material/shield_person:", width="large", dismissible=False)
def _edit(shown: ShownScope) -> None:
    actor = guard("member")
    row = _read(actor, shown).row
    _fill({name: getattr(row, name) for name in (*WHAT, *_LISTS)})
    version = DIALOGS.based_on(row)
    st.markdown(f"**{plain(isolated(shown.name))}**")
    slots: dict[str, Any] = {}
    _draw_fields(slots, row.patterns or [])
    DIALOGS.save(
        "personal",
        slots,
        lambda session: personal_data.update(session, actor, id_of(row), _typed(), version=version),
        f"{shown.name} is saved.",
    )


@st.dialog("Clear what the scope says?", icon=":material/ink_eraser:", dismissible=False)
def _clear(shown: ShownScope) -> None:
    actor = guard("member")
    row = _read(actor, shown).row
    version = DIALOGS.based_on(row, "Look again, and clear it if you still want to.")
    st.markdown(f"**{plain(isolated(shown.name))}** inherits everything again. {_SOON} The history can bring it back.")
    DIALOGS.save(
        "personal",
        {},
        lambda session: personal_data.delete(session, actor, id_of(row), version=version),
        f"{shown.name} inherits again.",
        "Clear",
    )


def _read(actor: Actor, shown: ShownScope) -> personal_data.PersonalDataRow:
    try:
        with db.transaction() as session:
            return personal_data.get(session, actor, shown.id)
    except NotFound:
        DIALOGS.leave()
        warn(f"What {shown.name} said was cleared meanwhile.")
        st.rerun()
    except CoreError as error:
        show_fault(error)
        st.stop()


def _fill(values: dict[str, Any], scope: tuple[str | None, ...] = ("", "", "")) -> None:
    """Fill the form, if nothing stands there yet."""
    if _PERSONAL["logs"] in st.session_state:
        return
    state = st.session_state
    state.update({_PERSONAL[name]: values.get(name) for name in WHAT})
    state.update({_PERSONAL[name]: said or "" for name, said in zip(_SCOPE, scope, strict=True)})
    state.update({_PERSONAL[name]: values.get(name) or [] for name in ("types", "countries")})
    state[_PERSONAL["allow"]] = "\n".join(values.get("allow") or [])


def _draw_fields(slots: dict[str, Any], patterns: list[dict[str, Any]]) -> None:
    """Draw what a scope may say."""
    for name, what in WHAT.items():
        st.selectbox(
            what,
            list(CHOICES[name]),
            key=_PERSONAL[name],
            index=None,
            placeholder="Inherited",
            format_func=CHOICES[name].__getitem__,
            persist_state="page",
        )
        slots[name] = st.empty()
    st.multiselect(
        "Kinds that are looked for",
        list(TYPES),
        key=_PERSONAL["types"],
        format_func=lambda kind: KINDS[kind],
        placeholder="Inherited",
        persist_state="page",
    )
    slots["types"] = st.empty()
    st.multiselect(
        "Countries whose numbers are known",
        sorted(COUNTRIES),
        key=_PERSONAL["countries"],
        placeholder="Inherited",
        persist_state="page",
    )
    slots["countries"] = st.empty()
    st.text_area(
        "What is let be, a line each",
        key=_PERSONAL["allow"],
        placeholder="Inherited: as support@example.com",
        height=80,
        persist_state="page",
    )
    slots["allow"] = st.empty()
    st.session_state.setdefault(_PERSONAL[_OWN], _lines(patterns))
    st.text_area(
        "Own patterns, a line each",
        key=_PERSONAL[_OWN],
        placeholder='{"name": "CASE_NUMBER", "pattern": "C-[0-9]{6}", "matches": "C-123456", "spares": "C-12"}',
        help="As JSON: a name of capital letters, a regular expression, a text that it finds, and one that it lets be.",
        height=100,
        max_chars=50_000,
        persist_state="page",
    )
    slots["patterns"] = st.empty()
    st.caption(_SOON)


def _typed() -> dict[str, Any]:
    """Return what stands in the form, as core takes it; what is empty is inherited."""
    state = st.session_state
    data: dict[str, Any] = {name: state.get(_PERSONAL[name]) for name in WHAT}
    data |= {name: state.get(_PERSONAL[name]) or None for name in ("types", "countries")}
    data["allow"] = [
        line.strip() for line in (state.get(_PERSONAL["allow"]) or "").splitlines() if line.strip()
    ] or None
    data["patterns"] = _patterns(state.get(_PERSONAL[_OWN]) or "") or None
    return data


def _lines(patterns: list[dict[str, Any]]) -> str:
    """Return own patterns as they are typed: the store has their parts in an order of its own."""
    whole = ({part: each[part] for part in LONGEST_TEXT if part in each} for each in patterns)
    return "\n".join(json.dumps(each, ensure_ascii=False) for each in whole)


def _patterns(typed: str) -> list[Any]:
    """Return the own patterns of a text, a line each; raises Invalid, naming the line."""
    found = []
    for number, line in enumerate(typed.splitlines(), 1):
        if line.strip():
            try:
                found.append(json.loads(line))
            except (ValueError, RecursionError):
                raise Invalid({"patterns": f"line {number} must be JSON, as the empty field shows it"}) from None
    return found


def _scope(session: Session, actor: Actor) -> dict[str, int | None]:
    """Return the ids of what is named; raises Invalid, naming the field."""
    find: dict[str, Callable[[str], Any]] = {
        "organization": lambda name: organizations.get_by_name(session, actor, name),
        "feature": lambda name: features.get_by_name(session, name),
        "provider": lambda name: providers.get_by_name(session, name),
    }
    found: dict[str, int | None] = {}
    for name, by_name in find.items():
        typed = (st.session_state.get(_PERSONAL[name]) or "").strip()
        try:
            found[f"{name}_id"] = id_of(by_name(typed)) if typed else None
        except NotFound as error:
            raise Invalid({f"{name}_id": "is no name that is there; leave it empty for all"}) from error
    return found
