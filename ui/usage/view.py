"""What the Usage page shows: figures, their course, and a line for each logged call, which opens."""

import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

import altair as alt
import streamlit as st

from core.actors import Actor
from core.errors import NotFound
from core.govern import usage
from core.govern.usage import Choices, Figures, Filters, Line, Page, Point
from core.store import db
from core.store.tables import CALL_STATUSES, LlmLog
from ui import pager
from ui.feedback import plain
from ui.guard import guard
from ui.widgets import ago, exact

PAGE_SIZE: Final = 25
EXPORTED: Final = {False: 10_000, True: 1_000}
"""So many calls a file has: without and with what was said."""
LIVE_MINUTES: Final = 15
"""Live ends by itself: each look is a use of the sign-in, which would never end for want of use."""
SPANS: Final = {"hour": "Last hour", "day": "24 hours", "week": "7 days", "month": "30 days"}
_FILTERS = ("usage_provider", "usage_model", "usage_status", "usage_user")
_LISTED, _BEFORE, _CLEAR = "usage_listed", "usage_before", "usage_clear"
_LIVE_SINCE, _LIVE_OVER = "usage_live_since", "usage_live_over"
_ICONS = {"ok": "check_circle", "error": "error", "cancelled": "cancel"}
_HEIGHT = 260
_COLORS = ["#0f8278", "#5b8def", "#c58b1b", "#8e6bbf", "#57a639", "#c96a9b", "#2aa5c9", "#b5651d", "#8a94a0"]
"""Of providers and models: readable on light and dark, and none is red, which is for errors."""
_RED = "#d64545"
_SCROLLS = 1_500
"""Characters above which a text has a box of its own that scrolls."""


def pick_span() -> tuple[str, str]:
    """Draw how far back, and by what; returns both."""
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        st.session_state.setdefault("usage_span", "day")
        st.session_state.setdefault("usage_by", "provider")
        span = st.segmented_control("Time", list(SPANS), format_func=SPANS.__getitem__, required=True, key="usage_span")
        by = st.segmented_control("By", ["provider", "model"], format_func=str.title, required=True, key="usage_by")
    return span or "day", by or "provider"


def draw_figures(whole: Figures) -> None:
    """Draw the row of figures."""
    share = f"{whole.errors / whole.calls:.1%} of the calls" if whole.calls else ""
    with st.container(horizontal=True, gap="small"):
        st.metric("Calls", f"{whole.calls:,}", border=True, width=150, help=_cancelled(whole.cancelled))
        st.metric("Errors", f"{whole.errors:,}", border=True, width=150, help=share or None)
        st.metric(
            "Tokens",
            _short_number(whole.input_tokens + whole.output_tokens),
            border=True,
            width=150,
            help=f"{whole.input_tokens:,} sent, {whole.output_tokens:,} answered",
        )
        st.metric("Cost", _dollars(whole.cost), border=True, width=150, help=_unpriced(whole.unpriced))
        st.metric(
            "p50 latency", _milliseconds(whole.p50_ms), border=True, width=150, help="Half of the calls were as fast."
        )
        st.metric(
            "p95 latency",
            _milliseconds(whole.p95_ms),
            border=True,
            width=150,
            help="All but one in twenty were as fast.",
        )
    if whole.unpriced:
        st.caption(f":orange[:material/help:] {_unpriced(whole.unpriced)}")


def draw_nothing_yet() -> None:
    """Draw what stands here before the first call."""
    st.info("No call is logged yet. Have a program make one:", icon=":material/monitoring:")
    st.code(
        'from core.ai import complete\n\nprint(complete("Say hello.", provider="openai", user_id="me").text)',
        language="python",
    )
    st.caption(
        "docs/calls.md has the rest. Whether calls are logged, and what of them, is set on the Defaults page: Log requests, "
        "Log level, Log prompts, Log answers."
    )


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
        if unpriced := sum(row["unpriced"] for row in rows):
            st.caption(_unpriced(unpriced))
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


def pick_filters(choices: Choices, span: str) -> Filters:
    """Draw the filters of the log; returns what is chosen. The time is that of the figures."""
    if st.session_state.pop(_CLEAR, False):
        for key in _FILTERS:
            st.session_state.pop(key, None)
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        provider = st.selectbox(
            "Provider", choices.providers, index=None, key="usage_provider", placeholder="Any", width=150
        )
        model = st.selectbox("Model", choices.models, index=None, key="usage_model", placeholder="Any", width=180)
        status = st.selectbox("Status", CALL_STATUSES, index=None, key="usage_status", placeholder="Any", width=130)
        user = st.text_input(
            "User", key="usage_user", placeholder="Exactly", max_chars=200, width=140, help="As the program named it."
        )
        if st.button(
            "Clear filters",
            key="usage_clear_button",
            icon=":material/filter_alt_off:",
            disabled=not any((provider, model, status, user)),
        ):
            st.session_state[_CLEAR] = True
            st.rerun()
        if st.session_state.pop(_LIVE_OVER, False):
            st.session_state["usage_live"] = False
        st.toggle(
            "Live", key="usage_live", help=f"The newest calls, looked up every two seconds, for {LIVE_MINUTES} minutes."
        )
    minute = datetime.now(UTC).replace(second=0, microsecond=0)  # so that the pager keeps its place
    return Filters(provider, model, status, user.strip() or None, minute - usage.SPANS[span][0])


def is_live() -> bool:
    """Tell whether new calls are to be shown as they come."""
    live = bool(st.session_state.get("usage_live"))
    if not live:
        st.session_state.pop(_LIVE_SINCE, None)
    return live


@st.fragment(run_every=2)
def draw_live(filters: Filters) -> None:
    """Draw the newest calls, again and again."""
    actor = guard("admin")
    if time.monotonic() - st.session_state.setdefault(_LIVE_SINCE, time.monotonic()) > LIVE_MINUTES * 60:
        st.session_state[_LIVE_OVER] = True
        st.rerun()
    with db.transaction() as session:
        page = usage.search(session, actor, filters, limit=PAGE_SIZE)
    st.caption(f":green[:material/sensors:] Live · looked up {datetime.now(UTC):%H:%M:%S} UTC")
    _draw_lines(actor, page)


@st.fragment
def draw_log(filters: Filters) -> None:
    """Draw a page of calls and the way to the others; what is opened here does not draw the charts again."""
    actor = guard("admin")
    if st.session_state.get(_LISTED) != filters._replace(since=None):
        st.session_state.update({_LISTED: filters._replace(since=None), _BEFORE: []})
    begins: list[tuple[datetime, int]] = st.session_state[_BEFORE]
    with db.transaction() as session:
        page = usage.search(session, actor, filters, before=begins[-1] if begins else None, limit=PAGE_SIZE)
    _draw_lines(actor, page)
    moved = pager.draw("usage", begins, page.older, shown=len(page.lines), size=PAGE_SIZE)
    if moved is not None:
        st.session_state[_BEFORE] = moved
        st.rerun()


def _draw_lines(actor: Actor, page: Page) -> None:
    if not page.lines:
        st.info("No call fits these filters in this time.", icon=":material/search_off:")
    with st.container(gap="xxsmall"):
        for line in page.lines:
            _draw_line(actor, line)


def _draw_line(actor: Actor, line: Line) -> None:
    key = f"usage_call_{line.id}"
    beside: Any = "top" if st.session_state.get(key) else "center"
    with st.container(horizontal=True, wrap=False, vertical_alignment=beside, gap="small", key=f"usage_row_{line.id}"):
        shown = st.expander(
            sentence(line), icon=f":material/{_ICONS[line.status]}:", key=key, on_change="rerun", width="stretch"
        )
        st.caption(ago(line.at), help=exact(line.at), width=100)
    if shown.open:
        with shown:
            _draw_call(actor, line.id)


def sentence(line: Line) -> str:
    """Return a call in one line, in Markdown that shows hostile names as they are."""
    told = [f"{line.latency_ms:,} ms"]
    if line.input_tokens is not None:
        told.append(f"{line.input_tokens + (line.output_tokens or 0):,} tokens")
    if line.cost is not None:
        told.append(_dollars(line.cost))
    if line.attempts > 1:
        told.append(f"{line.attempts} attempts")
    if line.user_id:
        told.append(f"for {_cut(line.user_id, 30)}")
    what = f"**{_cut(line.provider, 50)}** {_cut(line.model, 50)}"
    if line.status == "error":
        why = (line.error or "").partition("): ")[2] or line.error or "failed"  # what was called stands before it
        return f":red[{what}] · {_cut(why, 80)} · {plain(' · '.join(told))}"
    cancelled = "cancelled · " if line.status == "cancelled" else ""
    return f"{what} · {cancelled}{plain(' · '.join(told))}"


def _draw_call(actor: Actor, call_id: int) -> None:
    try:
        with db.transaction() as session:
            call = usage.get(session, actor, call_id)
    except NotFound as error:
        st.text(str(error))
        return
    told = [f"Call {call.id}", exact(call.at), f"settings of generation {call.generation}"]
    told.append(f"cost {_dollars(call.cost)}")
    if call.user_id:
        told.append(f"for {call.user_id}")
    st.caption(plain(" · ".join(told)))
    if call.error:
        st.error(plain(call.error), icon=":material/error:")
    _draw_text("Prompt", call.prompt)
    _draw_text("Answer", call.response)
    for title, value in (("Parameters", call.parameters), ("Tokens", call.token_usage)):
        if value:
            rows = [{"Name": plain(str(name)), "Value": plain(str(one))} for name, one in value.items()]
            st.caption(title)
            st.table(rows, border="horizontal", hide_index=True, alt=title)
    if missing := _missing(call):
        st.caption(f"Not kept, as the settings said then, or as there was none: {missing}.")


def _draw_text(title: str, value: str | None) -> None:
    if value is None:
        return
    st.caption(title)
    st.code(value, language=None, wrap_lines=True, height=300 if len(value) > _SCROLLS else "content")


def _missing(call: LlmLog) -> str:
    parts = {"prompt": call.prompt, "parameters": call.parameters, "answer": call.response, "tokens": call.token_usage}
    return ", ".join(name for name, value in parts.items() if value is None)


def export_csv(actor: Actor, filters: Filters, *, contents: bool) -> bytes:
    """Return the newest calls of *filters* as a CSV file; asks for the right again, as each read does."""
    with db.transaction() as session:
        lines = usage.as_csv(session, actor, filters, contents=contents, limit=EXPORTED[contents])
        return "".join(lines).encode("utf-8-sig")  # spreadsheets know UTF-8 by its mark


def draw_export(actor: Actor, filters: Filters) -> None:
    """Draw the download of the filtered calls."""
    with st.container(horizontal=True, vertical_alignment="center"):
        contents = st.checkbox("With prompts and answers", key="usage_contents")
        st.download_button(
            "Export as CSV",
            lambda: export_csv(actor, filters, contents=contents),
            file_name=f"{datetime.now(UTC):%Y-%m-%d}-calls.csv",
            mime="text/csv",
            key="usage_export",
            icon=":material/download:",
            on_click="ignore",
            help=f"The newest {EXPORTED[contents]:,} of the filtered calls. What a spreadsheet would run as a formula gets "
            "an apostrophe.",
        )


def _cut(text: str, longest: int) -> str:
    line = " ".join(text.split())
    return plain(line if len(line) <= longest else f"{line[: longest - 1]}…")


def _dollars(cost: Decimal | None) -> str:
    if cost is None:
        return "not known"
    if cost and cost < Decimal("0.01"):
        return f"${cost.normalize():.2g}" if cost >= Decimal("0.0001") else "< $0.0001"
    return f"${cost:,.2f}"


def _milliseconds(value: int | None) -> str:
    if value is None:
        return "none"
    return f"{value:,} ms" if value < 10_000 else f"{timedelta(milliseconds=value).total_seconds():,.0f} s"  # noqa: PLR2004 - reads well


def _short_number(number: int) -> str:
    for size, unit in ((10**9, "G"), (10**6, "M"), (10**4, "k")):
        if number >= size:
            return f"{number / (1000 if unit == 'k' else size):,.1f} {unit}"
    return f"{number:,}"


def _unpriced(number: int) -> str:
    if not number:
        return "The price of every call that worked is known."
    return f"{number:,} call{'s' * (number != 1)} that worked without a known price: not in the sum, and not free."


def _cancelled(number: int) -> str | None:
    return f"{number:,} of them given up by their caller" if number else None
