"""What was found in logged calls: bars over the time chosen, each kind with its number; the same as a table, and as a file."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import altair as alt
import streamlit as st

from core.actors import Actor
from core.govern import personal_counts
from core.govern.personal_counts import ALL_OTHER, MOST_PARTS, TIMES, CountScope, FoundCourse
from core.store import db
from ui import address
from ui.costs.course import TAB
from ui.feedback import plain, plain_cell
from ui.privacy.choice import PrivacyChoice
from ui.privacy.words import KINDS
from ui.widgets import download_csv, exact, figure, isolated

_HEIGHT: Final = 260
_COLORS: Final = ("#0f8278", "#2f62c9", "#8a5a00", "#7a4fb3", "#3b7a1f", "#a83f78", "#0b6e8f", "#9a4a12", "#5c6672")
"""Each with 4.5:1 against the white numbers in it; the last one is of all other kinds."""
_TABS: Final = ("Chart", "Table")
_FORMATS: Final = {"hour": "%H:%M", "day": "%b %d"}
_LOWEST: Final = 16
"""A part that is less than this part of the highest bar has no room for its number."""


def draw(actor: Actor, chosen: PrivacyChoice) -> None:
    """Draw the figures of the time, how they went, and the download."""
    st.header("What was found", anchor=False)
    with db.transaction() as session:
        found = personal_counts.look_through(session, actor, chosen.time, _scope(chosen))
    if not found.points:
        st.info(
            f"Nothing was found in logged calls of {plain(isolated(chosen.words))} ({TIMES[chosen.time].label}). It is counted where the "
            "request log is masked, by programs of this version.",
            icon=":material/search_off:",
        )
        return
    parts = parts_of(found.totals)
    with st.container(horizontal=True, key="privacy_totals"):
        for kind, number in parts.items():
            figure(_named(kind), number)
    address.one_of(TAB, _TABS, "a chart or table")
    chart, table = st.tabs(_TABS, key=TAB, on_change="rerun", bind="query-params")
    step = TIMES[chosen.time].step
    if chart.open:  # what is not open is not sent
        with chart:
            st.altair_chart(_bars(found, parts, step), width="stretch", alt=_spoken(found, parts, chosen))
            st.caption(f"By {step} in UTC. Each bar has the numbers of the kinds, as the legend has them.")
    if table.open:
        with table:
            st.table(
                _rows(found, parts, step),
                border="horizontal",
                hide_index=True,
                alt=f"Places that were found, by {step} and kind",
            )
    if found.since is not None:
        st.caption(f"Of the newest {personal_counts.MOST_CALLS:,} calls, since {exact(found.since)}.")
    download_csv(
        "personal-data.csv",
        lambda: export_csv(actor, chosen),
        "How many places of each kind were found, by time; no texts.",
        "privacy_csv",
    )


def export_csv(actor: Actor, chosen: PrivacyChoice) -> bytes:
    """Return what is looked at as a CSV file; asks for the right again, as each read does."""
    with db.transaction() as session:
        lines = personal_counts.counts_as_csv(session, actor, chosen.time, _scope(chosen))
        return "".join(lines).encode("utf-8-sig")  # spreadsheets know UTF-8 by its mark


def parts_of(totals: Mapping[str, int]) -> dict[str, int]:
    """Return kind -> places, the most first; all that have no part of their own last, as one."""
    kinds = list(totals)
    parts = {kind: totals[kind] for kind in kinds[:MOST_PARTS]}
    rest = sum(totals[kind] for kind in kinds[MOST_PARTS:])
    return {**parts, ALL_OTHER: rest} if rest else parts


def _scope(chosen: PrivacyChoice) -> CountScope:
    return CountScope(chosen.scope.organization_id, chosen.names[1], chosen.names[2])


def _named(kind: str) -> str:
    return "All other kinds" if kind == ALL_OTHER else KINDS.get(kind, kind)


def _spoken(found: FoundCourse, parts: Mapping[str, int], chosen: PrivacyChoice) -> str:
    said = ", ".join(f"{_named(kind)} {number:,}" for kind, number in parts.items())
    whole = sum(found.totals.values())
    return (
        f"Places found by {TIMES[chosen.time].step}, {whole:,} in all: {said}. The tab Table has the same as numbers."
    )


def _steps(found: FoundCourse, parts: Mapping[str, int]) -> dict[datetime, dict[str, int]]:
    """Return step -> kind -> places, of the steps in which something was found; kinds in their order."""
    by_step: dict[datetime, dict[str, int]] = {}
    for point in found.points:
        counts = by_step.setdefault(point.at, dict.fromkeys(parts, 0))
        counts[point.kind if point.kind in parts else ALL_OTHER] += point.number
    return by_step


def _bars(found: FoundCourse, parts: Mapping[str, int], step: str) -> Any:
    labels = {kind: f"{n}  {_named(kind)}" for n, kind in enumerate(parts, 1)}
    rows = _stacked(found, parts, labels)
    axis = alt.Axis(labelOverlap=True, tickCount=8, format=_FORMATS[step], titlePadding=4)
    scale = alt.Scale(type="utc", domain=[_there(found.steps[0]), _there(found.ends)], nice=False)
    x = alt.X("at:T", title="Time (UTC)", scale=scale, axis=axis)
    y = alt.Y("from:Q", title="Places", axis=alt.Axis(format="~s", minExtent=48, maxExtent=48, tickCount=4))
    legend = alt.Legend(orient="bottom", columns=2, labelLimit=180, offset=0, padding=0, symbolType="square")
    colors = [_COLORS[-1] if kind == ALL_OTHER else _COLORS[n] for n, kind in enumerate(parts)]
    color = alt.Color(
        "name:N",
        title=None,
        sort=list(labels.values()),
        scale=alt.Scale(domain=list(labels.values()), range=colors),
        legend=legend,
    )
    tooltip = [
        alt.Tooltip("said:N", title="From (UTC)"),
        alt.Tooltip("label:N", title="Kind"),
        alt.Tooltip("places:Q", title="Places", format=","),
    ]
    bars = (
        alt.Chart(alt.InlineData(values=rows))
        .mark_rect(stroke="#8888", strokeWidth=0.5, clip=True)
        .encode(x=x, x2="end:T", y=y, y2="to:Q", color=color, tooltip=tooltip)
    )
    highest = max(row["to"] for row in rows)
    numbers = (
        alt.Chart(alt.InlineData(values=[row for row in rows if row["places"] * _LOWEST >= highest]))
        .mark_text(color="#ffffff", fontSize=11, fontWeight="bold", tooltip=None)
        .encode(x=alt.X("middle:T", scale=scale), y=alt.Y("half:Q"), text="number:N")
    )
    return alt.layer(bars, numbers).properties(height=_HEIGHT)


def _stacked(found: FoundCourse, parts: Mapping[str, int], labels: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return a row for each kind of each bar, with where it begins and ends: the most at the bottom."""
    long = found.steps[1] - found.steps[0]
    rows = []
    for at, counts in _steps(found, parts).items():
        height = 0
        for kind, number in counts.items():
            if number:
                place, _, label = labels[kind].partition("  ")
                rows.append(
                    {
                        "at": _there(at),
                        "end": _there(at + long),
                        "middle": _there(at + long / 2),
                        "said": f"{at:%Y-%m-%d %H:%M}",
                        "name": labels[kind],
                        "number": place,
                        "label": label,
                        "places": number,
                        "from": height,
                        "to": height + number,
                        "half": height + number / 2,
                    }
                )
                height += number
    return rows


def _rows(found: FoundCourse, parts: Mapping[str, int], step: str) -> Sequence[dict[str, str]]:
    """Return the rows of the table, the newest first."""
    form = "%Y-%m-%d" if step == "day" else "%Y-%m-%d %H:%M"
    return [
        {
            f"{step.title()} (UTC)": f"{at:{form}}",
            **{plain_cell(_named(kind)): f"{number:,}" for kind, number in counts.items()},
        }
        for at, counts in reversed(_steps(found, parts).items())
    ]


def _there(moment: datetime) -> str:
    """Return a moment as the axis takes it."""
    return f"{moment:%Y-%m-%dT%H:%M:%S}Z"
