"""The months on the Costs page: what was counted of one, what vendors charge for it, whether it is closed, and the file to charge it back."""

from collections import defaultdict
from datetime import date
from decimal import Decimal
from typing import Final, NamedTuple

import streamlit as st
from sqlmodel import Session

from core.access import authority
from core.actors import Actor
from core.govern import bills, closing, spend_months
from core.govern.bills import ComparedBill
from core.govern.closing import ChargedMonth
from core.govern.spend_months import SpendMonth
from core.store import db
from ui import address
from ui.costs import words
from ui.costs.choice import Chosen
from ui.costs.month_dialogs import MONTH, PRESSES, ShownMonth
from ui.feedback import plain, plain_cell
from ui.widgets import ago, dollars, download_csv, exact, isolated

MOST_SHOWN: Final = 50
"""Organisations in the table; the file has all."""


class MonthListing(NamedTuple):
    """What is read for the section."""

    found: list[SpendMonth]
    shown: SpendMonth | None
    """The one that was chosen."""
    charged: ChargedMonth | None
    compared: list[ComparedBill] | None
    """None: it is about an organisation, which has no bill of a vendor's."""


def read(actor: Actor, chosen: Chosen, session: Session) -> MonthListing:
    """Return the months, and what is known of the one that is chosen: nobody pays for a month that is not looked at."""
    of = chosen.scope.organization_id
    found = spend_months.months_with_spend(session, actor, zone=chosen.zone, organization_id=of)
    asked = st.session_state.get(MONTH) or address.asked(MONTH)
    shown = next((each for each in found if label(each.month) == asked), None)
    if shown is None:
        return MonthListing(found, None, None, None)
    charged = closing.charged(session, actor, shown.month, zone=shown.zone or chosen.zone, organization_id=of)
    may_compare = of is None and authority.role_of(session, actor) in authority.ENOUGH["analyst"]
    return MonthListing(found, shown, charged, bills.comparison(session, actor, shown.month) if may_compare else None)


def draw(actor: Actor, listing: MonthListing, chosen: Chosen, *, may_change: bool) -> None:
    """Draw the choice of a month, and the month."""
    st.header("Months", anchor=False)
    if not listing.found:
        st.info(
            "No month with spend yet: once a month is over it is closed here, compared with what vendors charge, and charged back.",
            icon=":material/calendar_month:",
        )
        return
    labels = {label(each.month): each for each in listing.found}
    address.one_of(MONTH, labels, "a month with spend")
    st.selectbox(
        "Month to charge back",
        list(labels),
        index=None,
        key=MONTH,
        bind="query-params",
        placeholder="Choose a month: what was counted, what vendors charge",
        width=420,
    )
    st.caption(_states(listing.found))
    if listing.shown is not None and listing.charged is not None:
        _draw_month(actor, listing.shown, listing.charged, listing.compared, chosen, may_change=may_change)


def label(month: date) -> str:
    """Return a month as the address has it: ``2026-10``."""
    return f"{month:%Y-%m}"


def export_csv(actor: Actor, month: date, zone: str, organization_id: int | None) -> bytes:
    """Return a month as it is charged back as a CSV file; asks for the right again, as each read does."""
    with db.transaction() as session:
        found = closing.charged(session, actor, month, zone=zone, organization_id=organization_id)
        return "".join(closing.as_csv(found)).encode("utf-8-sig")  # spreadsheets know UTF-8 by its mark


def _states(found: list[SpendMonth]) -> str:
    """Return which months are closed, open, and under way, in a line."""
    of: dict[str, list[str]] = defaultdict(list)
    for each in found:
        if each.closed_at is not None:
            of[":material/lock: Closed"].append(label(each.month))
        else:
            state = ":material/lock_open: Open" if each.is_over else ":material/pending: Under way"
            of[state].append(label(each.month))
    return " · ".join(f"{state}: {plain(', '.join(names))}" for state, names in of.items())


def _draw_month(
    actor: Actor,
    shown: SpendMonth,
    charged: ChargedMonth,
    compared: list[ComparedBill] | None,
    chosen: Chosen,
    *,
    may_change: bool,
) -> None:
    what = plain(f"{charged.month:%B %Y}, {charged.zone}: {_sum(charged)}")
    if charged.closing is not None:
        row = charged.closing
        st.markdown(
            f":material/lock: **Closed** {plain(ago(row.closed_at))} by {plain(isolated(row.closed_by))}. {what}",
            help=exact(row.closed_at),
        )
    elif shown.is_over:
        st.markdown(f":material/lock_open: **Open**: what is told late still counts in it. {what}")
    else:
        st.markdown(f":material/pending: **Under way**: it can be closed once it is over. {what}")
    _draw_buttons(actor, shown, charged, compared, chosen, may_change=may_change)
    _draw_organizations(charged)
    if compared is not None:
        _draw_bills(compared, may_change=may_change)


def _sum(charged: ChargedMonth) -> str:
    parts = [words.at_least(charged.whole.cost, charged.whole.unpriced)]
    if below := words.of_these(charged.whole):
        parts.append(below)
    if any(charged.later):
        parts.append(f"{words.at_least(charged.later.cost, charged.later.unpriced)} told after closing")
    return f"{'; '.join(parts)}."


def _draw_buttons(
    actor: Actor,
    shown: SpendMonth,
    charged: ChargedMonth,
    compared: list[ComparedBill] | None,
    chosen: Chosen,
    *,
    may_change: bool,
) -> None:
    providers = tuple(sorted({*chosen.providers, *(each.provider for each in compared or ())}))
    billed = tuple(
        (each.provider, f"{_signed(each.bill.amount)}, {each.bill.source} by {each.bill.updated_by}")
        for each in compared or ()
        if each.bill is not None
    )
    versions = tuple((each.provider, each.bill.version) for each in compared or () if each.bill is not None)
    about = ShownMonth(shown.month, charged.zone, providers, billed, versions)
    actions = []
    if may_change:
        if charged.closing is not None:
            actions.append(("reopen", "Reopen month", "lock_open"))
        elif shown.is_over:
            actions.append(("close", "Close month", "lock"))
        if compared is not None and providers:
            actions += [("bill", "Enter bill", "receipt_long"), ("upload", "Upload bill", "upload_file")]
        if billed:
            actions.append(("remove", "Remove bill", "delete"))
    with st.container(horizontal=True, gap="small", key="month_buttons"):
        for action, verb, icon in actions:
            st.button(
                verb,
                key=f"month_{action}_button",
                icon=f":material/{icon}:",
                on_click=PRESSES.note,
                args=(action, about),
            )
        of = chosen.scope.organization_id
        download_csv(
            f"charges-{label(charged.month)}.csv",
            lambda: export_csv(actor, charged.month, charged.zone, of),
            "The month by organisation, feature and cost centre; what was told after closing stands in lines of its own.",
            key="month_export",
        )


def _draw_organizations(charged: ChargedMonth) -> None:
    sums: dict[str, list[Decimal]] = defaultdict(lambda: [Decimal(0), Decimal(0)])
    unpriced: dict[str, int] = defaultdict(int)
    for row in charged.rows:
        sums[row.names[0]][0] += row.sums.cost
        sums[row.names[0]][1] += row.later.cost
        unpriced[row.names[0]] += row.sums.unpriced
    dearest = sorted(sums, key=lambda name: (-sums[name][0], name))
    rows = [
        {
            "Organisation": plain_cell(isolated(words.named("organization", name))),
            "Counted": plain(words.at_least(sums[name][0], unpriced[name])),
            **({"After closing": plain(dollars(sums[name][1]))} if charged.closing is not None else {}),
        }
        for name in dearest[:MOST_SHOWN]
    ]
    if rows:
        st.table(rows, border="horizontal", hide_index=True, alt="What the month is charged, by organisation")
    if len(dearest) > MOST_SHOWN:
        st.caption(f"{len(dearest) - MOST_SHOWN:,} more organisations are in the file.")


def _draw_bills(compared: list[ComparedBill], *, may_change: bool) -> None:
    st.subheader("What vendors charge", anchor=False)
    if not compared:
        st.caption("No provider was called in it, and no bill is known.")
        return
    rows = [
        {
            "Provider": plain_cell(isolated(each.provider)),
            "Counted": plain(words.at_least(each.counted.cost, each.counted.unpriced)),
            "Vendor's figure": _figure(each),
            "Difference": _difference(each),
        }
        for each in compared
    ]
    st.table(rows, border="horizontal", hide_index=True, alt="What was counted, and what vendors charge, by provider")
    zones = {each.zone for each in compared}
    where = f"in {', '.join(sorted(zones))}, as vendors count" if zones else ""
    enter = "" if may_change else " Admins enter them."
    st.caption(
        plain(f"Months here are {where}; the difference is what the vendor charges beyond what was counted.{enter}")
    )


def _figure(each: ComparedBill) -> str:
    if each.bill is None:
        return ":material/edit_note: not entered"
    return plain(f"{_signed(each.bill.amount)} ({each.bill.source})")


def _difference(each: ComparedBill) -> str:
    if each.difference is None:
        return ""
    if not each.difference:
        return ":material/check: none"
    icon, word = ("trending_up", "more") if each.difference > 0 else ("trending_down", "less")
    share = "" if each.per_cent is None else f", {each.per_cent:+} %"
    return f":material/{icon}: {plain(f'{dollars(abs(each.difference))} {word}{share}')}"


def _signed(amount: Decimal) -> str:
    return f"{'-' if amount < 0 else ''}{dollars(abs(amount))}"
