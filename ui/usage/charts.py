"""The course of the figures on the Usage page: calls and errors, tokens, cost, latency."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import altair as alt
import streamlit as st

from core.govern import usage
from core.govern.usage import Point
from ui import address
from ui.feedback import plain, plain_cell
from ui.guard import guard
from ui.usage.figures import unpriced
from ui.widgets import dollars

_HEIGHT, _WIDTH = 260, 48
"""Pixels: of a chart, and of the labels of its numbers."""
_BAR: Final[dict[str, Any]] = {"stroke": "#8888", "strokeWidth": 0.5, "clip": True}
"""A thin line around each part of a bar, so that parts are told apart without their colours."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_COLORS = ["#0f8278", "#5b8def", "#c58b1b", "#8e6bbf", "#57a639", "#c96a9b", "#2aa5c9", "#b5651d", "#8a94a0"]
"""Of providers and models: readable on light and dark, and none is red, which is for errors."""
_RED = "#d64545"


@st.fragment
def draw_charts(points: Sequence[Point], span: str, by: str) -> None:
    """Draw the course of the figures: calls and errors, tokens, cost, latency; and all of them as a table."""
    guard("manager")
    address.one_of(TAB, TABS, "a chart")
    tabs = st.tabs(list(TABS), key=TAB, on_change="rerun", bind="query-params")
    for tab, draw in zip(tabs, TABS.values(), strict=True):
        if not tab.open:  # what is not open is not sent
            continue
        with tab:
            if points:
                draw(points, span, by)
            else:
                st.info("No call in this time. Choose a longer one.", icon=":material/search_off:")


def _draw_calls(points: Sequence[Point], span: str, by: str) -> None:
    rows, axis = [_row(point, span) for point in points], _time(span)
    _draw(_bars(rows, axis, by, "calls", "Calls"), "Calls over time")
    if failed := [row for row in rows if row["errors"]]:
        st.caption("Errors among them")
        _draw(_errors(failed, axis, by), "Errors over time")


def _draw_tokens(points: Sequence[Point], span: str, by: str) -> None:
    rows = [_row(point, span) for point in points]
    _draw(_bars(rows, _time(span), by, "tokens", "Tokens"), "Tokens over time")


def _draw_cost(points: Sequence[Point], span: str, by: str) -> None:
    rows = [_row(point, span) for point in points]
    priced = [row for row in rows if row["cost"] is not None]
    _draw(_bars(priced, _time(span), by, "cost", "US dollars"), "Cost over time")
    if missing := sum(row["unpriced"] for row in rows):
        st.caption(unpriced(missing))


def _draw_latency(points: Sequence[Point], span: str, by: str) -> None:
    _draw(_lines([_row(point, span) for point in points], _time(span), by), "Latency over time: p50 and p95")
    st.caption("Of the calls that worked; right to 5 %. Solid: p50, dashed: p95.")


def _draw_table(points: Sequence[Point], _span: str, by: str) -> None:
    """Draw the figures of each name as numbers: what the charts show, for who cannot tell their colours apart."""
    sums: dict[str, list[Any]] = {}
    for point in points:
        of = sums.setdefault(point.name, [0, 0, 0, 0, None])
        figures = point.figures
        for place, more in enumerate((figures.calls, figures.errors, figures.input_tokens, figures.output_tokens)):
            of[place] += more
        if figures.cost is not None:
            of[4] = (of[4] or 0) + figures.cost
    rows = [
        {
            by.title(): plain_cell(name),
            "Calls": f"{calls:,}",
            "Errors": f"{errors:,}",
            "Tokens sent": f"{sent:,}",
            "Tokens answered": f"{answered:,}",
            "Cost": plain(dollars(cost)),
        }
        for name, (calls, errors, sent, answered, cost) in sorted(sums.items(), key=lambda item: -item[1][0])
    ]
    st.table(rows, border="horizontal", hide_index=True, alt=f"The figures by {by}")


def _row(point: Point, span: str) -> dict[str, Any]:
    figures = point.figures
    return {
        "at": point.at.isoformat(),
        "end": (point.at + usage.SPANS[span].step).isoformat(),
        "name": point.name,
        "calls": figures.calls,
        "errors": figures.errors,
        "tokens": figures.input_tokens + figures.output_tokens,
        "cost": None if figures.cost is None else float(figures.cost),
        "unpriced": figures.unpriced,
        "p50": figures.p50_ms,
        "p95": figures.p95_ms,
    }


def _time(span: str) -> Any:
    """Return the axis of time: all that was chosen, with or without calls, so that an hour looks other than a day."""
    _, back, step = usage.SPANS[span]
    now = datetime.now(UTC)
    begin = now - back
    begin -= timedelta(seconds=(begin - _EPOCH).total_seconds() % step.total_seconds())
    labels = "%H:%M" if span in {"hour", "day"} else "%b %d"
    axis = alt.Axis(labelOverlap=True, tickCount=6, format=labels, titlePadding=4)
    scale = alt.Scale(type="utc", domain=[begin.isoformat(), now.isoformat()], nice=False)
    return alt.X("at:T", title="Time (UTC)", scale=scale, axis=axis)


def _color() -> Any:
    legend = alt.Legend(orient="bottom", columns=3, labelLimit=200, offset=0, padding=0)
    return alt.Color("name:N", title=None, scale=alt.Scale(range=_COLORS), legend=legend)


def _numbers(**more: Any) -> Any:
    """Return the axis of numbers, as wide in each chart: so charts one below the other share their time."""
    return alt.Axis(format="~s", minExtent=_WIDTH, maxExtent=_WIDTH, **more)


def _tooltip(by: str, field: str, title: str) -> list[Any]:
    return [
        alt.Tooltip("utcyearmonthdatehoursminutes(at):T", title="From (UTC)"),
        alt.Tooltip("name:N", title=by.title()),
        alt.Tooltip(f"{field}:Q", title=title, format=",.6~g"),
    ]


def _bars(rows: list[dict[str, Any]], axis: Any, by: str, field: str, title: str) -> Any:
    return (
        alt.Chart(alt.InlineData(values=_stacked(rows, field)), height=_HEIGHT)
        .mark_rect(**_BAR)
        .encode(
            x=axis,
            x2="end:T",
            y=alt.Y("from:Q", title=title, axis=_numbers(tickCount=4)),
            y2="to:Q",
            color=_color(),
            tooltip=_tooltip(by, field, title),
        )
    )


def _errors(rows: list[dict[str, Any]], axis: Any, by: str) -> Any:
    return (
        alt.Chart(alt.InlineData(values=_stacked(rows, "errors")), height=120)
        .mark_rect(color=_RED, **_BAR)
        .encode(
            x=axis,
            x2="end:T",
            y=alt.Y("from:Q", title="Errors", axis=_numbers(tickCount=3, tickMinStep=1)),
            y2="to:Q",
            tooltip=_tooltip(by, "errors", "Errors"),
        )
    )


def _stacked(rows: list[dict[str, Any]], field: str) -> list[dict[str, Any]]:
    """Return *rows* with where each one's part of the bar of its time begins and ends: Vega stacks no bars of a given width."""
    heights: dict[str, float] = {}
    stacked = []
    for row in rows:
        begin = heights.get(row["at"], 0)
        heights[row["at"]] = begin + row[field]
        stacked.append({**row, "from": begin, "to": begin + row[field]})
    return stacked


def _lines(rows: list[dict[str, Any]], axis: Any, by: str) -> Any:
    long = [
        {"at": row["at"], "name": row["name"], "percentile": percentile, "ms": row[percentile]}
        for row in rows
        for percentile in ("p50", "p95")
        if row[percentile] is not None
    ]
    return (
        alt.Chart(alt.InlineData(values=long), height=_HEIGHT)
        .mark_line(point=True)
        .encode(
            x=axis,
            y=alt.Y("ms:Q", title="ms", axis=_numbers(tickCount=4)),
            color=_color(),
            shape=alt.Shape("name:N", legend=None),
            strokeDash=alt.StrokeDash("percentile:N", legend=None),
            tooltip=[*_tooltip(by, "ms", "ms"), "percentile:N"],
        )
    )


def _draw(chart: Any, what: str) -> None:
    st.altair_chart(chart.properties(description=what), width="stretch")


TABS: Final = {
    "Calls": _draw_calls,
    "Tokens": _draw_tokens,
    "Cost": _draw_cost,
    "Latency": _draw_latency,
    "Table": _draw_table,
}
TAB: Final = "chart"
"""Key of the open tab, and its name in the page's address."""
