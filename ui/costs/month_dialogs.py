"""What the Costs page asks of a month: that it is closed or opened again, and what a vendor charges for it."""

from datetime import date
from typing import Any, Final, NamedTuple

import streamlit as st
from sqlmodel import Session

from core.actors import Actor
from core.errors import Invalid
from core.govern import bills, closing
from core.store.spend_tables import LlmVendorBill
from ui.dialogs import Dialogs
from ui.feedback import plain
from ui.guard import guard
from ui.pressed import Presses
from ui.widgets import isolated

MONTH: Final = "month"
"""Key of the choice of a month, and its name in the address."""
_ZONE, _PROVIDER, _AMOUNT, _NOTE, _FILE = "month_zone", "bill_provider", "bill_amount", "bill_note", "bill_file"
_DAYS, _AMOUNTS, _MARK = "bill_date_column", "bill_amount_column", "bill_decimal"
_QUICKER: Final = "bill_quicker"
"""Where the session has the versions of bills that others wrote while the dialog was open, and that were named."""
_TYPED: Final = (_ZONE, _PROVIDER, _AMOUNT, _NOTE, _FILE, _DAYS, _AMOUNTS, _MARK, _QUICKER)
DIALOGS: Final = Dialogs("months_dialog", _TYPED, MONTH, role="member")
PRESSES: Final = Presses("months_pressed")
_MARKS: Final = {"As the numbers show": "", "1,234.56": ".", "1.234,56": ","}
_LARGEST: Final = 50
"""MB of a file."""


class ShownMonth(NamedTuple):
    """A month, as the page showed it."""

    month: date
    zone: str
    providers: tuple[str, ...]
    """Whose bill can be entered."""
    billed: tuple[tuple[str, str], ...]
    """Whose bill is there, and what it says."""
    versions: tuple[tuple[str, int], ...] = ()
    """Whose bill is there, and which version of it was shown."""


def take_presses(actor: Actor, *, may_change: bool) -> None:
    """Open what was pressed for, if *actor* may change months."""
    PRESSES.do_all(actor, lambda press: DIALOGS.begin(press.action, press.what) if may_change else None)


def draw() -> None:
    """Draw the dialog that is open, if any."""
    name, shown = DIALOGS.opened()
    if name is not None:
        {"close": _close, "reopen": _reopen, "bill": _bill, "upload": _upload, "remove": _remove}[name](shown)


@st.dialog("Close the month", icon=":material/lock:", dismissible=False)
def _close(shown: ShownMonth) -> None:
    actor = guard("admin")
    st.markdown(
        f"What is counted of **{shown.month:%B %Y}** by now stands, by organisation, feature and cost centre. What is told later stands "
        "apart, below it."
    )
    slots = {"zone": _zone(shown.zone), "month": st.empty()}
    _save(
        slots,
        lambda session: closing.close(session, actor, shown.month, zone=_text(_ZONE) or "UTC"),
        f"{shown.month:%B %Y} is closed.",
        "Close month",
    )


@st.dialog("Reopen the month?", icon=":material/lock_open:", dismissible=False)
def _reopen(shown: ShownMonth) -> None:
    actor = guard("admin")
    st.markdown(
        f"The figures with which **{shown.month:%B %Y}** was closed are deleted, and what is counted now counts again. The audit keeps their "
        "sum. Charges that were sent to somebody may then differ from this page."
    )
    _save(
        {}, lambda session: closing.reopen(session, actor, shown.month), f"{shown.month:%B %Y} is open.", "Reopen month"
    )


@st.dialog("Enter a vendor's bill", icon=":material/receipt_long:", dismissible=False)
def _bill(shown: ShownMonth) -> None:
    actor = guard("admin")
    st.markdown(f"What the vendor charges for **{shown.month:%B %Y}**, in the place of what was said before.")
    slots = {"provider": _provider(shown.providers)}
    st.text_input("US dollars", key=_AMOUNT, persist_state="page", max_chars=40, placeholder="1234.56")
    slots["amount"] = st.empty()
    if (said := dict(shown.billed).get(_text(_PROVIDER))) is not None:
        st.caption(plain(f"Now {said}."))
    slots |= _how()

    def work(session: Session) -> LlmVendorBill:
        data: dict[str, Any] = {"provider": _text(_PROVIDER), "month": label_of(shown), "amount": _text(_AMOUNT)}
        data |= {"zone": _text(_ZONE) or "UTC", "note": _text(_NOTE) or None}
        return bills.set_bill(session, actor, data, version=_seen(shown))

    _save(slots, work, f"The bill of {shown.month:%B %Y} is saved.", "Save bill")


@st.dialog("Upload a vendor's bill", icon=":material/upload_file:", width="medium", dismissible=False)
def _upload(shown: ShownMonth) -> None:
    actor = guard("admin")
    st.markdown(
        f"The CSV file of costs that the vendor's console exports (OpenAI, Anthropic, Google Cloud, Azure, FOCUS). Its lines of "
        f"**{shown.month:%B %Y}** are added up; a file of half a month sets half a bill."
    )
    slots = {"provider": _provider(shown.providers)}
    uploaded = st.file_uploader("File of costs", type="csv", key=_FILE, max_upload_size=_LARGEST)
    slots |= {"file": st.empty(), "month": st.empty()}
    with st.expander("If the file is not understood", key="bill_columns"):
        for field, words, key in (
            ("date_column", "Column of days", _DAYS),
            ("amount_column", "Column of US dollars", _AMOUNTS),
        ):
            st.text_input(words, key=key, persist_state="page", max_chars=100, placeholder="A known name")
            slots[field] = st.empty()
        st.selectbox("Numbers are written", list(_MARKS), key=_MARK)
    slots["decimal"] = st.empty()
    slots |= _how()

    def work(session: Session) -> None:
        if uploaded is None:
            raise Invalid({"file": "must be chosen: the CSV file that the vendor's console exports"})
        bills.take(
            session,
            actor,
            _text(_PROVIDER),
            uploaded.getvalue(),
            zone=_text(_ZONE) or "UTC",
            note=_text(_NOTE),
            date_column=_text(_DAYS),
            amount_column=_text(_AMOUNTS),
            decimal=_MARKS.get(_text(_MARK), ""),
            month=shown.month,
        )

    _save(slots, work, f"The bill of {shown.month:%B %Y} is taken from the file.", "Upload bill")


@st.dialog("Remove a vendor's bill?", icon=":material/delete:", dismissible=False)
def _remove(shown: ShownMonth) -> None:
    actor = guard("admin")
    st.markdown(f"What the vendor was said to charge for **{shown.month:%B %Y}** is taken back; the audit keeps it.")
    slots = {"provider": _provider(tuple(name for name, _ in shown.billed))}
    _save(
        slots,
        lambda session: bills.remove(session, actor, _text(_PROVIDER), shown.month, version=_seen(shown)),
        f"The bill of {shown.month:%B %Y} is removed.",
        ":red[Remove bill]",
    )


def label_of(shown: ShownMonth) -> str:
    """Return the month as core takes it."""
    return f"{shown.month:%Y-%m}"


def _save(slots: dict[str, Any], work: Any, done: str, verb: str) -> None:
    outcome = DIALOGS.save("month_dialog", slots, work, done, verb)
    if outcome is not None and outcome.conflict:
        named = st.session_state.setdefault(_QUICKER, {})
        named[_text(_PROVIDER)] = outcome.conflict.version


def _seen(shown: ShownMonth) -> int:
    """Return the version of the chosen provider's bill that was shown, or named since; 0: there was none."""
    known: dict[str, int] = dict(shown.versions) | st.session_state.get(_QUICKER, {})
    return known.get(_text(_PROVIDER), 0)


def _text(key: str) -> str:
    return str(st.session_state.get(key) or "").strip()


def _provider(names: tuple[str, ...]) -> Any:
    st.selectbox("Provider of the bill", names, key=_PROVIDER, format_func=isolated, filter_mode="contains")
    return st.empty()


def _zone(preset: str) -> Any:
    st.session_state.setdefault(_ZONE, preset)
    st.text_input(
        "Time zone of the month",
        key=_ZONE,
        persist_state="page",
        max_chars=64,
        placeholder="UTC",
        help="Whose month it is, as Europe/Berlin.",
    )
    return st.empty()


def _how() -> dict[str, Any]:
    slots = {"zone": _zone("UTC")}
    st.text_input("Note", key=_NOTE, persist_state="page", max_chars=500, placeholder="Invoice 7 (optional)")
    return {**slots, "note": st.empty()}
