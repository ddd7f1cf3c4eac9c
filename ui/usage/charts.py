"""The course of the figures on the Usage page: calls and errors, tokens, cost, latency."""

from collections.abc import Sequence
from typing import Any

import altair as alt
import streamlit as st

from core.govern.usage import Point
from ui.usage.figures import unpriced

_HEIGHT = 260
_COLORS = ["#0f8278", "#5b8def", "#c58b1b", "#8e6bbf", "#57a639", "#c96a9b", "#2aa5c9", "#b5651d", "#8a94a0"]
"""Of providers and models: readable on light and dark, and none is red, which is for errors."""
_RED = "#d64545"


def draw_charts(points: Sequence[Point], span: str, by: str) -> None:
    """Draw the course of the figures: calls and errors, tokens, cost, latency."""
    if not points:
        st.info("No call in this time.", icon=":material/search_off:")
        return
    rows = [_row(point) for point in points]
    axis = _time(span)
    calls, tokens, cost, latency = st.tabs(["Calls", "Tokens", "Cost", "Latency"])
    with calls:
        _draw(_bars(rows, axis, by, "calls", "Calls"), "Calls over time")
        if failed := [row for row in rows if row["errors"]]:
            st.caption("Errors among them")
            _draw(_errors(failed, axis, by), "Errors over time")
    with tokens:
        _draw(_bars(rows, axis, by, "tokens", "Tokens"), "Tokens over time")
    with cost:
        _draw(_bars([row for row in rows if row["cost"] is not None], axis, by, "cost", "US dollars"), "Cost over time")
        if missing := sum(row["unpriced"] for row in rows):
            st.caption(unpriced(missing))
    with latency:
        _draw(_lines(rows, axis, by), "Latency over time: p50 and p95")
        st.caption("Of the calls that worked; right to 5 %. Solid: p50, dashed: p95.")


def _row(point: Point) -> dict[str, Any]:
    figures = point.figures
    return {
        "at": point.at.isoformat(),
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
    labels = "%H:%M" if span in {"hour", "day"} else "%b %d"
    axis = alt.Axis(labelOverlap=True, tickCount=6, format=labels)
    return alt.X("at:T", title=None, scale=alt.Scale(type="utc"), axis=axis)


def _color() -> Any:
    legend = alt.Legend(orient="bottom", columns=3, labelLimit=200)
    return alt.Color("name:N", title=None, scale=alt.Scale(range=_COLORS), legend=legend)


def _tooltip(by: str, field: str, title: str) -> list[Any]:
    return [
        alt.Tooltip("utcyearmonthdatehoursminutes(at):T", title="From (UTC)"),
        alt.Tooltip("name:N", title=by.title()),
        alt.Tooltip(f"{field}:Q", title=title, format=",.6~g"),
    ]


def _bars(rows: list[dict[str, Any]], axis: Any, by: str, field: str, title: str) -> Any:
    return (
        alt.Chart(alt.InlineData(values=rows), height=_HEIGHT)
        .mark_bar()
        .encode(
            x=axis,
            y=alt.Y(f"sum({field}):Q", title=title, axis=alt.Axis(tickCount=4, format="~s")),
            color=_color(),
            tooltip=_tooltip(by, field, title),
        )
    )


def _errors(rows: list[dict[str, Any]], axis: Any, by: str) -> Any:
    return (
        alt.Chart(alt.InlineData(values=rows), height=120)
        .mark_bar(color=_RED)
        .encode(
            x=axis,
            y=alt.Y("sum(errors):Q", title="Errors", axis=alt.Axis(tickCount=3, tickMinStep=1, format="~s")),
            tooltip=_tooltip(by, "errors", "Errors"),
        )
    )


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
            y=alt.Y("ms:Q", title="ms", axis=alt.Axis(tickCount=4, format="~s")),
            color=_color(),
            strokeDash=alt.StrokeDash("percentile:N", legend=None),
            tooltip=[*_tooltip(by, "ms", "ms"), "percentile:N"],
        )
    )


def _draw(chart: Any, what: str) -> None:
    st.altair_chart(chart.properties(description=what), width="stretch")
