"""The headers and query parameters of a provider, as a person edits them: a row each, and what is written of them."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

import streamlit as st
from sqlmodel import Session

from core.actors import Actor
from core.errors import Conflict, Invalid, NotFound
from core.kinds import facts_of
from core.manage import provider_secrets
from core.manage.provider_secrets import Draft, Use
from core.resolving.carried import USES
from core.store.carried_values import MAX_NAME, MAX_VALUE, MOST
from core.store.tables import LlmProviderSecret
from ui.feedback import plain
from ui.guard import guard

_ROWS: Final = "carried_rows"
_ALL: Final = "carried"
"""The slot for the error of a row that is not drawn."""
_WIDGETS: Final = ("name", "value", "sealed")


@dataclass
class Row:
    """One row of the form."""

    number: int
    """Of its widgets."""
    use: Use
    name: str
    """Of what is stored."""
    shown: str
    """The same: a plain value as it is, of a sealed one mask and fingerprint."""
    sealed: bool
    version: int | None
    """What the edit is based on; None: it is not stored yet."""
    goes: bool = False
    """It is stored, and to be removed."""


def fill(stored: Iterable[LlmProviderSecret]) -> None:
    """Load what is stored into the widgets, before they are drawn."""
    forget()
    rows = []
    for number, each in enumerate(stored):
        sealed = each.plain_value is None
        use: Use = "query" if each.use == "query" else "header"
        rows.append(Row(number, use, each.name, provider_secrets.shown(each), sealed, each.version))
        _load(number, each.name, each.plain_value or "", sealed=sealed)
    st.session_state[_ROWS] = rows


def forget() -> None:
    """Drop what was typed: nothing keeps a secret once the dialog is closed."""
    for row in st.session_state.pop(_ROWS, ()):
        for widget in _WIDGETS:
            st.session_state.pop(_key(row, widget), None)


def draw(kind: str, slots: dict[str, Any]) -> None:
    """Draw the rows, and add the slot for the error of each to *slots*."""
    rows = [row for row in _rows() if not row.goes]
    with st.expander("Headers and query parameters", icon=":material/list_alt:", expanded=bool(_rows())):
        st.caption(
            "Sent with each call, beside the key: what a gateway asks for, as `Ocp-Apim-Subscription-Key` or `api-version`. "
            "A secret is stored encrypted, and never shown again."
        )
        for row in rows:
            _draw(row)
            slots[_slot(row)] = st.empty()
            if rule := _doubt(row):
                st.caption(f":orange[:material/warning: {plain(rule)}]")
        slots[_ALL] = st.empty()
        for row in (row for row in _rows() if row.goes):
            with st.container(horizontal=True, vertical_alignment="center", gap="small"):
                st.caption(plain(f"The {USES[row.use]} {row.name} is removed once this is saved."))
                st.button(
                    "Keep it",
                    key=_key(row, "keep"),
                    icon=":material/undo:",
                    type="tertiary",
                    on_click=_keep,
                    args=(row.number,),
                )
        with st.container(horizontal=True, gap="small"):
            _draw_add("header", "Add a header", full=_number("header") >= MOST)
            facts = facts_of(kind)
            why = None if facts.takes_query else f"The SDK of {facts.label} has no place for query parameters."
            _draw_add("query", "Add a query parameter", full=_number("query") >= MOST, why=why)


def unsaved() -> tuple[list[dict[str, Any]], bool, bool]:
    """Return the rows for :func:`take_up` without any secret; whether something was changed, and whether a secret was typed."""
    rows, secret, is_changed = [], False, False
    for row in _rows():
        value, sealed = _typed(row), _is_sealed(row)
        hidden = bool(value) and (sealed or bool(_doubt(row)))
        secret = secret or hidden
        is_changed = is_changed or row.goes or _is_changed(row)
        typed = {"name": _name(row), "value": "" if hidden else value or "", "sealed": sealed}
        rows.append({"row": asdict(row), "typed": typed})
    return rows, is_changed, secret


def take_up(rows: Collection[Mapping[str, Any]]) -> None:
    """Load what :func:`unsaved` gave into the widgets, before they are drawn."""
    forget()
    st.session_state[_ROWS] = [Row(**each["row"]) for each in rows]
    for row, each in zip(_rows(), rows, strict=True):
        _load(row.number, **each["typed"])


def drafts() -> list[Draft]:
    """Return all rows as they are typed, for a test before they are saved."""
    return [Draft(row.use, _name(row), _typed(row), _is_sealed(row)) for row in _there()]


def in_slots(errors: Mapping[str, str]) -> dict[str, str]:
    """Return the errors of a test, which counts what :func:`drafts` gave, by the slots of :func:`draw`."""
    there = list(_there())
    renamed = {f"carried.{number}": _slot(row) for number, row in enumerate(there)}
    return {renamed.get(name, name): rule for name, rule in errors.items()}


def write(session: Session, actor: Actor, provider_id: int, removed: Collection[int] = ()) -> None:
    """Write the rows that were changed, and those that :func:`remove` has *removed*.

    Raises:
        Invalid: With the slot of each row at fault and the rule, all at once. Also if somebody else has changed a row
            meanwhile: it says so, and the next time this one is written.
    """
    problems = _twice()
    for row in _there():
        value, sealed = _typed(row), _is_sealed(row)
        if not _is_changed(row) or _slot(row) in problems:
            continue
        if value is None:
            problems[_slot(row)] = "Value is needed again, to be stored as no secret"
            continue
        version = None if row.number in removed else row.version
        try:
            provider_secrets.set_value(
                session, actor, provider_id, row.use, _name(row), value=value, sealed=sealed, version=version
            )
        except Invalid as error:
            problems[_slot(row)] = provider_secrets.in_one_sentence(error)
        except (Conflict, NotFound) as error:
            problems[_slot(row)] = _overtaken(row, error)
    if problems:
        raise Invalid(problems)


def remove(session: Session, actor: Actor, provider_id: int, *, moves: bool) -> set[int]:
    """Remove the rows that are to go; with *moves*, before the provider moves to another host, those that are typed again too.

    A secret is sealed for its host: it moves with the host only as a new one. Returns the numbers of what was removed.
    """
    removed = set()
    for row in _rows():
        again = moves and row.sealed and row.version is not None and _typed(row) is not None
        if row.goes or again:
            removed.add(row.number)
            try:
                provider_secrets.remove_value(session, actor, provider_id, row.use, row.name, version=row.version)
            except NotFound:
                pass  # somebody else did it already
            except Conflict as error:
                raise Invalid({_slot(row) if again else _ALL: _overtaken(row, error)}) from None
    return removed


def _overtaken(row: Row, error: Conflict | NotFound) -> str:
    """Return what happened meanwhile; the next attempt writes what is typed here."""
    what = f"The {USES[row.use]} {row.name}"
    if isinstance(error, NotFound):
        row.version = None
        return f"{what} was removed meanwhile. Save again to add it as it is here"
    row.version = error.version
    verb = "remove it" if row.goes else "write yours"
    return f"{what} was changed by {error.changed_by or 'somebody'} meanwhile. Save again to {verb}"


def _draw(row: Row) -> None:
    word = USES[row.use]
    with st.container(horizontal=True, gap="small", vertical_alignment="center", key=_key(row, "row")):
        with st.container(width=80):
            st.caption("Header" if row.use == "header" else "Parameter")
        if row.version is None:
            st.text_input(
                f"Name of {word} {row.number + 1}",
                key=_key(row, "name"),
                persist_state="page",
                placeholder="Name",
                max_chars=MAX_NAME,
                label_visibility="collapsed",
                autocomplete="off",
                width=230,
            )
        else:
            with st.container(width=230):
                st.text(row.name)
        sealed = _is_sealed(row)
        st.text_input(
            f"Value of {word} {row.name or row.number + 1}",
            key=_key(row, "value"),
            persist_state="page",
            type="password" if sealed else "default",
            live="0ms",  # else Tab to the eye button, and on from there, never commits what was typed (Streamlit 1.67)
            placeholder=f"{row.shown} is stored" if row.sealed and row.version is not None else "Value",
            max_chars=MAX_VALUE,
            label_visibility="collapsed",
            autocomplete="new-password",
            width=330,
        )
        st.checkbox("Secret", key=_key(row, "sealed"), persist_state="page")
        st.button(
            "Remove",
            key=_key(row, "remove"),
            icon=":material/delete:",
            type="tertiary",
            help=plain(f"Remove the {word} {row.name}".rstrip()),
            on_click=_remove,
            args=(row.number,),
        )


def _draw_add(use: Use, label: str, *, full: bool, why: str | None = None) -> None:
    st.button(
        label,
        key=f"carried_add_{use}",
        icon=":material/add:",
        on_click=_add,
        args=(use,),
        disabled=full or why is not None,
        help=why or (f"At most {MOST}." if full else None),
    )


def _add(use: Use) -> None:
    guard("admin")
    rows = _rows()
    number = max((row.number for row in rows), default=-1) + 1
    rows.append(Row(number, use, "", "", sealed=True, version=None))
    _load(number, "", "", sealed=use == "header")


def _remove(number: int) -> None:
    guard("admin")
    rows = _rows()
    row = next(row for row in rows if row.number == number)
    row.goes = True
    if row.version is None:
        rows.remove(row)
        for widget in _WIDGETS:
            st.session_state.pop(_key(row, widget), None)


def _keep(number: int) -> None:
    guard("admin")
    next(row for row in _rows() if row.number == number).goes = False


def _load(number: int, name: str, value: str, *, sealed: bool) -> None:
    """Set, not only forget: the browser still sends what was typed in the dialog before, which may be another's."""
    for widget, content in {"name": name, "value": value, "sealed": sealed}.items():
        st.session_state[f"carried_{widget}_{number}"] = content


def _key(row: Row, widget: str) -> str:
    return f"carried_{widget}_{row.number}"


def _slot(row: Row) -> str:
    return f"carried_{row.number}"


def _rows() -> list[Row]:
    rows: list[Row] = st.session_state.setdefault(_ROWS, [])
    return rows


def _there() -> Iterator[Row]:
    """The rows that are to be there once it is saved; one that was added and left empty is none."""
    return (row for row in _rows() if not row.goes and (row.version is not None or _name(row) or _typed(row)))


def _number(use: Use) -> int:
    return sum(row.use == use and not row.goes for row in _rows())


def _name(row: Row) -> str:
    return row.name if row.version is not None else str(st.session_state.get(_key(row, "name")) or "").strip()


def _typed(row: Row) -> str | None:
    """Return the value; None: that of a stored secret, which is not typed again."""
    typed = str(st.session_state.get(_key(row, "value")) or "")
    return None if not typed and row.sealed and row.version is not None else typed


def _is_sealed(row: Row) -> bool:
    return bool(st.session_state.get(_key(row, "sealed"), row.sealed))


def _is_changed(row: Row) -> bool:
    if row.version is None or _is_sealed(row) != row.sealed:
        return True
    return _typed(row) is not None if row.sealed else _typed(row) != row.shown


def _doubt(row: Row) -> str:
    value = _typed(row)
    return provider_secrets.warning(_name(row), value) if value and not _is_sealed(row) else ""


def _twice() -> dict[str, str]:
    seen: set[tuple[str, str]] = set()
    problems = {}
    for row in _there():
        name = (row.use, _name(row).lower() if row.use == "header" else _name(row))
        if name in seen:
            problems[_slot(row)] = f"Name {_name(row)} stands twice"
        seen.add(name)
    return problems
