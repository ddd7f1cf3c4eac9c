"""The course of costs: bars over the time chosen, each part with its number, against the time before; and the same as a table."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

import altair as alt
import streamlit as st

from core.govern.spend import SpendSums
from core.govern.spend_course import TIMES, CostCourse, CostPoint, added
from ui import address
from ui.costs import words
from ui.costs.choice import Chosen
from ui.feedback import plain, plain_cell
from ui.guard import guard
from ui.widgets import dollars

_HEIGHT: Final = 280
_COLORS: Final = ("#0f8278", "#2f62c9", "#8a5a00", "#7a4fb3", "#3b7a1f", "#a83f78", "#0b6e8f", "#9a4a12", "#5c6672")
"""Each with 4.5:1 against the white numbers in it; the last one is of all other parts."""
_STEP_TITLES: Final = {"hour": "%H:%M", "day": "%b %d", "week": "%b %d", "month": "%b %Y"}
_TABS: Final = ("Chart", "Table")
TAB: Final = "chart"
"""Key of the open tab, and its name in the page's address."""


@st.fragment
def draw(course: CostCourse, chosen: Chosen) -> None:
    """Draw how costs went, as bars or as a table."""
    guard("member")
    address.one_of(TAB, _TABS, "a chart or table")
    label = TIMES[chosen.time].label
    st.markdown(plain(_sentence(course, label)))
    chart, table = st.tabs(_TABS, key=TAB, on_change="rerun", bind="query-params")
    parts = parts_of(course.points)
    if chart.open:  # what is not open is not sent
        with chart:
            if course.points:
                st.altair_chart(_bars(course, parts, chosen), width="stretch", alt=_spoken(course, parts, chosen))
                st.caption(plain(f"By {_step(chosen)} in {chosen.zone}. The dashed line is the time before."))
            else:
                st.info("Nothing was spent in this time. Choose another one.", icon=":material/search_off:")
    if table.open:
        with table:
            _draw_table(parts, chosen)


def parts_of(points: Sequence[CostPoint]) -> list[tuple[str, bool, SpendSums]]:
    """Return each part with whether it is all other ones, and its sums; the dearest first, all other ones last."""
    by_name: dict[tuple[bool, str], list[SpendSums]] = {}
    for point in points:
        by_name.setdefault((point.is_other, point.name), []).append(point.sums)
    found = [(name, is_other, added(sums)) for (is_other, name), sums in by_name.items()]
    return sorted(found, key=lambda part: (part[1], -part[2].cost, -part[2].calls, part[0]))


def _sentence(course: CostCourse, label: str) -> str:
    whole = course.whole
    below = words.of_these(whole)
    before = words.against(whole.cost, course.so_far_before, "in as much of the time before")
    return f"{label}: {words.at_least(whole.cost, whole.unpriced)}{f', {below}' if below else ''}; {before}."


def _step(chosen: Chosen) -> str:
    return TIMES[chosen.time].step


def _spoken(course: CostCourse, parts: Sequence[tuple[str, bool, SpendSums]], chosen: Chosen) -> str:
    said = ", ".join(f"{words.named(chosen.by, name)} {dollars(sums.cost)}" for name, _, sums in parts)
    return (
        f"Costs by {_step(chosen)}, {dollars(course.whole.cost)} in all: {said}. The tab Table has the same as numbers."
    )


def _bars(course: CostCourse, parts: Sequence[tuple[str, bool, SpendSums]], chosen: Chosen) -> Any:
    names = {
        (name, is_other): f"{n + 1}  {words.named(chosen.by, name)}" for n, (name, is_other, _) in enumerate(parts)
    }
    rows = _stacked(course, names)
    domain = [_there(course.steps[0]), _there(course.ends)]
    axis = alt.Axis(labelOverlap=True, tickCount=8, format=_STEP_TITLES[_step(chosen)], titlePadding=4)
    scale = alt.Scale(type="utc", domain=domain, nice=False)
    x = alt.X("at:T", title=f"Time ({chosen.zone})", scale=scale, axis=axis)
    y = alt.Y("from:Q", title="US dollars", axis=alt.Axis(format="~s", minExtent=48, maxExtent=48, tickCount=4))
    legend = alt.Legend(orient="bottom", columns=2, labelLimit=150, offset=0, padding=0, symbolType="square")
    color = alt.Color(
        "name:N",
        title=None,
        sort=list(names.values()),
        scale=alt.Scale(domain=list(names.values()), range=[*_COLORS[: len(names) - 1], _last(parts)]),
        legend=legend,
    )
    tooltip = [
        alt.Tooltip("said:N", title=f"From ({chosen.zone})"),
        alt.Tooltip("label:N", title=words.SPLIT_LABELS[chosen.by]),
        alt.Tooltip("cost:Q", title="US dollars", format=",.6~g"),
    ]
    bars = (
        alt.Chart(alt.InlineData(values=rows))
        .mark_rect(stroke="#8888", strokeWidth=0.5, clip=True)
        .encode(x=x, x2="end:T", y=y, y2="to:Q", color=color, tooltip=tooltip)
    )
    numbers = (
        alt.Chart(alt.InlineData(values=_numbered(rows)))
        .mark_text(color="#ffffff", fontSize=11, fontWeight="bold", tooltip=None)
        .encode(x=alt.X("middle:T", scale=scale), y=alt.Y("half:Q"), text="number:N")
    )
    before = [{"at": _there(at), "before": float(cost)} for at, cost in zip(course.steps, course.before, strict=True)]
    before.append({"at": _there(course.ends), "before": before[-1]["before"]})
    line = (
        alt.Chart(alt.InlineData(values=before))
        .mark_line(color="#808080", strokeDash=[5, 3], strokeWidth=1.5, interpolate="step-after", clip=True)
        .encode(x=alt.X("at:T", scale=scale), y="before:Q")
    )
    return alt.layer(bars, numbers, line).properties(height=_HEIGHT)


def _last(parts: Sequence[tuple[str, bool, SpendSums]]) -> str:
    return _COLORS[-1] if parts[-1][1] else _COLORS[len(parts) - 1]


def _stacked(course: CostCourse, names: dict[tuple[str, bool], str]) -> list[dict[str, Any]]:
    """Return a row for each part of each bar, with where it begins and ends: the dearest part is at the bottom."""
    ends = dict(zip(course.steps, [*course.steps[1:], course.ends], strict=True))
    order = list(names)
    heights: dict[datetime, Decimal] = {}
    rows = []
    for point in sorted(course.points, key=lambda each: (each.at, order.index((each.name, each.is_other)))):
        end = ends.get(point.at)
        if end is None or not point.sums.cost:
            continue
        begin = heights.get(point.at, Decimal(0))
        heights[point.at] = begin + point.sums.cost
        number, _, label = names[point.name, point.is_other].partition("  ")
        rows.append(
            {
                "at": _there(point.at),
                "end": _there(end),
                "middle": _there(point.at + (end - point.at) / 2),
                "said": f"{point.at:%Y-%m-%d %H:%M}",
                "name": f"{number}  {label}",
                "number": number,
                "label": label,
                "cost": float(point.sums.cost),
                "from": float(begin),
                "to": float(heights[point.at]),
                "half": float(begin + point.sums.cost / 2),
            }
        )
    return rows


def _numbered(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return those parts of bars that are high enough for their number."""
    highest = max((row["to"] for row in rows), default=0)
    return [row for row in rows if row["cost"] >= highest / 16]


def _there(moment: datetime) -> str:
    """Return a moment on the clock of the zone, as the axis takes it: it knows no zone of its own."""
    return f"{moment.isoformat()}Z"


def _draw_table(parts: Sequence[tuple[str, bool, SpendSums]], chosen: Chosen) -> None:
    if not parts:
        st.info("Nothing was spent in this time. Choose another one.", icon=":material/search_off:")
        return
    rows = [
        {
            words.SPLIT_LABELS[chosen.by]: plain_cell(words.named(chosen.by, name)),
            "Cost": plain(words.at_least(sums.cost, sums.unpriced)),
            "Estimated": plain(dollars(sums.estimated)),
            "Unpriced calls": f"{sums.unpriced:,}",
            "Calls": f"{sums.calls:,}",
            "Tokens sent": f"{sums.input_tokens:,}",
            "Tokens answered": f"{sums.output_tokens:,}",
        }
        for name, _, sums in parts
    ]
    st.table(rows, border="horizontal", hide_index=True, alt=f"Costs by {words.SPLIT_LABELS[chosen.by].lower()}")
