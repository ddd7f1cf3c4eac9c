"""One budget, opened: how its money goes, its ledger, and its periods before."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Final
from urllib.parse import urlencode

import altair as alt
import streamlit as st

from core.actors import Actor
from core.errors import NotFound
from core.govern import burn_down
from core.govern.burn_down import BurnDown
from core.manage import budget_listing
from core.manage.budget_listing import ListedBudget
from core.store import db
from core.store.budget_tables import LlmBudgetLedger, LlmBudgetPeriod
from core.store.table import id_of
from ui import address
from ui.costs import budget_words as words
from ui.costs.budgets import BUDGET, draw_menu
from ui.costs.dialogs import DIALOGS, ShownBudget
from ui.feedback import plain, plain_cell
from ui.guard import guard
from ui.navigation import SCREENS
from ui.widgets import dollars, exact, isolated

_ALERTS: Final = SCREENS["alerts"]
_HEIGHT: Final = 320
_SPENT, _LIMIT, _PLAN, _AHEAD = "#2f62c9", "#d64545", "#808080", "#0f8278"
SHOWN_PERIODS: Final = 24
SHOWN_ENTRIES: Final = 50


def asked() -> int | None:
    """Return the budget that the address asks for alone; None: for no single one. What is no number is told."""
    value = address.asked(BUDGET)
    if not value:
        return None
    if not (value.isascii() and value.isdecimal() and len(value) < 10):  # noqa: PLR2004 - an id has 9 digits
        address.refuse(BUDGET, "which is no number of a budget")
        return None
    return int(value)


def draw(actor: Actor, number: int, *, may_change: bool) -> None:
    """Draw a budget, whole."""
    try:
        with db.transaction() as session:
            listed = budget_listing.one_of_them(session, actor, number)
            entries = budget_listing.entries(session, actor, listed, limit=SHOWN_ENTRIES)
            periods = budget_listing.periods_before(session, listed, limit=SHOWN_PERIODS)
            of_now = [each for each in entries if each.period_id == listed.now.period.id]
            found = burn_down.burn_down(session, listed, of_now)
    except NotFound:
        _draw_back()
        st.info("There is no such budget: it was deleted, or is not yours to see.", icon=":material/savings:")
        return
    _draw_head(listed, may_change=may_change)
    st.markdown(plain(sentence(listed, found)))
    with st.container(key="burn_down"):
        st.altair_chart(_chart(listed, found), width="stretch", alt=sentence(listed, found))
    with st.container(key="budget_tables"):
        _draw_numbers(listed, found)
        _draw_ledger(listed, entries)
        _draw_periods(listed, periods)


def _draw_head(listed: ListedBudget, *, may_change: bool) -> None:
    row = listed.now.row
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="budget_head"):
        st.header(plain(isolated(row.name)), anchor=False)
        st.markdown(words.state(listed), width="content")
        _draw_back()
        if may_change:
            draw_menu(listed, ShownBudget(id_of(row), row.version, row.name))
    facts = [listed.now.scope, words.allowed(listed), row.mode, words.ends(listed)]
    st.markdown(f"[:material/{_ALERTS.icon}: {_ALERTS.title}](alerts?{urlencode({'of_budget': row.name})})")
    st.caption(
        plain(" · ".join(map(isolated, facts))),
        help=plain(f"Changed {exact(row.updated_at)} by {listed.changed_by or 'somebody'}"),
    )


def _draw_back() -> None:
    st.button("All costs", key=DIALOGS.beside, icon=":material/arrow_back:", on_click=_go_back)


def _go_back() -> None:
    guard("member")
    st.query_params.pop(BUDGET, None)


def sentence(listed: ListedBudget, found: BurnDown) -> str:
    """Return how a budget's money goes, in words."""
    below = words.of_these(listed.now.period)
    said = words.how_far(listed) + (f", {below}" if below else "")
    if found.planned is not None:
        said += f"; {dollars(found.planned)} of it by now if it went evenly"
    if listed.now.period.spent >= listed.now.allowed:
        return f"{said}."
    if not found.outlooks:
        return f"{said}. From the first whole day on there is a forecast."
    if found.lasts_until is not None:
        return f"{said}. At this pace it is spent on {found.lasts_until.day} {found.lasts_until:%B}."
    last = found.outlooks[-1]
    return f"{said}. At this pace {dollars(last.mean)} by {last.at.day} {last.at:%B}: between {dollars(last.low)} and {dollars(last.high)}."


def _chart(listed: ListedBudget, found: BurnDown) -> Any:
    end = found.ends or (found.outlooks[-1].at if found.outlooks else found.now)
    scale = alt.Scale(type="utc", domain=[_there(found.begins), _there(max(end, found.now))], nice=False)
    labels = "%H:%M" if listed.now.row.period == "day" else "%b %d"
    x = alt.X(
        "at:T",
        title=f"Time ({found.zone})",
        scale=scale,
        axis=alt.Axis(labelOverlap=True, tickCount=8, format=labels, titlePadding=4),
    )
    y = alt.Y("amount:Q", title="US dollars", axis=alt.Axis(format="~s", tickCount=4))
    line = alt.Chart(_rows((point.at, point.amount) for point in found.spent)).mark_line(
        color=_SPENT, strokeWidth=2.5, point=alt.OverlayMarkDef(color=_SPENT, size=18), clip=True
    )
    layers = [*_ahead(found, x), *_limits(listed, found, end, x, y), line.encode(x=x, y=y, tooltip=_tooltip("Spent"))]
    if found.ends is not None:
        plan = [(found.begins, Decimal(0)), (found.ends, found.allowed[-1].amount)]
        layers.append(
            alt.Chart(_rows(plan)).mark_line(color=_PLAN, strokeDash=[2, 4], strokeWidth=1.5).encode(x=x, y=y)
        )
    layers += _names(found, x, y)
    return alt.layer(*layers).properties(height=_HEIGHT)


def _ahead(found: BurnDown, x: Any) -> list[Any]:
    """Return the band of the forecast and its middle."""
    if not found.outlooks:
        return []
    rows = [
        {"at": _there(each.at), "amount": float(each.mean), "low": float(each.low), "high": float(each.high)}
        for each in found.outlooks
    ]
    tooltip = [
        alt.Tooltip("at:T", title=f"Forecast for ({found.zone})"),
        *(
            alt.Tooltip(f"{name}:Q", title=title, format=",.2f")
            for name, title in (("amount", "Mean"), ("low", "Lowest"), ("high", "Highest"))
        ),
    ]
    chart = alt.Chart(alt.InlineData(values=rows))
    return [
        chart.mark_area(color=_AHEAD, opacity=0.22, clip=True).encode(x=x, y="low:Q", y2="high:Q"),
        chart.mark_line(color=_AHEAD, strokeDash=[6, 3], strokeWidth=2, clip=True).encode(
            x=x, y="amount:Q", tooltip=tooltip
        ),
    ]


def _limits(listed: ListedBudget, found: BurnDown, end: datetime, x: Any, y: Any) -> list[Any]:
    """Return the limit as it rose, the thresholds of now, and the top-ups."""
    steps = [(point.at, point.amount) for point in found.allowed]
    limit = alt.Chart(_rows([*steps, (end, steps[-1][1])])).mark_line(
        color=_LIMIT, strokeWidth=2, interpolate="step-after", clip=True
    )
    layers = [limit.encode(x=x, y=y, tooltip=_tooltip("Limit"))]
    rules = [
        {"amount": float(found.allowed[-1].amount * percent / 100), "at": _there(found.begins), "said": f"{percent} %"}
        for percent in listed.now.row.thresholds
        if percent != 100  # noqa: PLR2004 - that is the limit
    ]
    if rules:
        chart = alt.Chart(alt.InlineData(values=rules))
        layers += [
            chart.mark_rule(color=_LIMIT, strokeDash=[1, 3], strokeWidth=1).encode(y=y),
            chart.mark_text(align="left", baseline="bottom", dx=4, fontSize=11, color=_PLAN).encode(
                x=x, y=y, text="said:N"
            ),
        ]
    if found.top_ups:
        after = {point.at: point.amount for point in found.allowed}
        marks = [
            {"at": _there(each.at), "amount": float(after[each.at]), "said": f"+{dollars(each.amount)}"}
            for each in found.top_ups
        ]
        chart = alt.Chart(alt.InlineData(values=marks))
        layers += [
            chart.mark_point(shape="triangle-up", filled=True, size=90, color=_LIMIT, opacity=1).encode(
                x=x, y=y, tooltip=[alt.Tooltip("said:N", title="Topped up")]
            ),
            chart.mark_text(align="center", baseline="bottom", dy=-8, fontSize=11, color=_PLAN).encode(
                x=x, y=y, text="said:N"
            ),
        ]
    return layers


def _names(found: BurnDown, x: Any, y: Any) -> list[Any]:
    """Return what each line is called, beside it: it is told without its colour."""
    middle = found.spent[len(found.spent) // 2] if len(found.spent) > 2 else found.spent[-1]  # noqa: PLR2004 - it begins and is now
    named = [
        {"at": _there(found.begins), "amount": float(found.allowed[0].amount), "said": "limit"},
        {"at": _there(middle.at), "amount": float(middle.amount), "said": "spent"},
    ]
    if found.ends is not None:
        third = found.begins + (found.ends - found.begins) / 3
        named.append({"at": _there(third), "amount": float(found.allowed[-1].amount / 3), "said": "plan"})
    look: dict[str, Any] = {"fontSize": 12, "fontStyle": "italic", "color": _PLAN}
    beside = alt.Chart(alt.InlineData(values=named)).mark_text(align="left", baseline="bottom", dx=4, dy=-4, **look)
    layers = [beside.encode(x=x, y=y, text="said:N")]
    if len(found.outlooks) > 1:
        last = found.outlooks[-1]
        ahead = [{"at": _there(last.at), "amount": float(last.mean), "said": "forecast"}]
        below = alt.Chart(alt.InlineData(values=ahead)).mark_text(align="right", baseline="top", dy=8, **look)
        layers.append(below.encode(x=x, y=y, text="said:N"))
    return layers


def _rows(points: Any) -> Any:
    return alt.InlineData(values=[{"at": _there(at), "amount": float(amount)} for at, amount in points])


def _tooltip(title: str) -> list[Any]:
    return [alt.Tooltip("at:T", title="At"), alt.Tooltip("amount:Q", title=title, format=",.2f")]


def _there(moment: datetime) -> str:
    """Return a moment on the clock of the zone, as the axis takes it: it knows no zone of its own."""
    return f"{moment.isoformat()}Z"


def _draw_numbers(listed: ListedBudget, found: BurnDown) -> None:
    rows = [
        ("Spent so far", dollars(listed.now.period.spent)),
        ("Held by calls under way", dollars(listed.now.period.leased)),
        ("May be spent", dollars(listed.now.allowed)),
    ]
    if found.planned is not None:
        rows.append(("Plan by now", dollars(found.planned)))
    if found.outlooks:
        last = found.outlooks[-1]
        rows.append(
            (
                f"Forecast for {last.at.day} {last.at:%B}",
                f"{dollars(last.mean)} ({dollars(last.low)} to {dollars(last.high)})",
            )
        )
    st.table(
        [{"": plain(name), "US dollars": plain(value)} for name, value in rows],
        border="horizontal",
        hide_index=True,
        width="content",
        alt="The burn-down in numbers",
    )
    st.caption(
        "The points are added up from what calls cost by the hour; the last one is what counts in the budget. The forecast takes each day that is "
        "left as the last seven of its weekday: their mean, and the cheapest and the dearest of them."
    )


def _draw_ledger(listed: ListedBudget, entries: Sequence[LlmBudgetLedger]) -> None:
    st.subheader("Ledger", anchor=False)
    if not entries:
        st.caption("Nothing was added to this budget or taken from it other than by calls.")
        return
    zone = listed.now.row.time_zone
    rows = [
        {
            "When": plain_cell(words.there(each.at, zone)),
            "What": plain_cell(words.LEDGER.get(each.kind, each.kind)),
            "US dollars": plain(words.signed(each.amount)),
            "By": plain_cell(isolated(each.by)),
            "Why": plain_cell(isolated(each.reason or "")),
        }
        for each in entries
    ]
    st.table(rows, border="horizontal", hide_index=True, alt="What was added other than by calls")


def _draw_periods(listed: ListedBudget, periods: Sequence[LlmBudgetPeriod]) -> None:
    before = [each for each in periods if each.id != listed.now.period.id]
    if not before:
        return
    st.subheader("Periods before", anchor=False)
    zone = listed.now.row.time_zone
    rows = []
    for each in before:
        might = each.amount + each.carried + each.topped_up
        rows.append(
            {
                "From": plain_cell(words.there(each.starts_at, zone)),
                "To": plain_cell(words.there(each.ends_at, zone)) if each.ends_at else "",
                "Spent": plain(f"{'at least ' if each.unpriced else ''}{dollars(each.spent)}"),
                "Of": plain(dollars(might)),
                "Share": f"{each.spent / might:.0%}" if might > 0 else "",
                "Estimated": plain(dollars(each.estimated)),
                "Unpriced calls": f"{each.unpriced:,}",
            }
        )
    st.table(rows, border="horizontal", hide_index=True, alt="Periods before")
