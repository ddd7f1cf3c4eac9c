"""The Health page's lines about sizes: the tables that grow, how old they are, and how fast."""

from collections.abc import Iterable
from typing import Final

from core.govern.growth import TableSize
from core.wording import counted
from ui.health.line import Line
from ui.widgets import ago, exact

_NAMES: Final = {
    "llm_logs": "Request log",
    "llm_usage": "Figures by 5 minutes",
    "llm_usage_days": "Figures by days",
    "llm_spend": "Spend by hours",
    "audit_events": "Audit events",
}
"""The tables that grow with use -> their names for people."""
_SHOWN: Final = 50_000
"""Bytes a day that are worth a word: fewer would be 0.0 MB."""


def growth_lines(sizes: Iterable[TableSize]) -> list[Line]:
    """Return a line for each table that grows with use, the largest first."""
    return [_line(table) for table in sizes if table.name in _NAMES]


def _line(table: TableSize) -> Line:
    if not table.rows and table.oldest is None:
        return Line(_NAMES[table.name], "ok", _kept(table), "Empty.")
    detail = f"{megabytes(table.size)} MB, about {counted(table.rows, 'row')}"
    if table.oldest is not None:
        detail += f", the oldest {ago(table.oldest)}"
    if table.rows_a_day is not None:
        grown = "" if (table.bytes_a_day or 0) < _SHOWN else f", {megabytes(table.bytes_a_day or 0)} MB"
        detail += f". About {counted(round(table.rows_a_day), 'row')} a day{grown}"
    return Line(_NAMES[table.name], "ok", _kept(table), f"{detail}.", hover=exact(table.oldest))


def _kept(table: TableSize) -> str:
    return "Kept" if table.kept_days is None else f"For {counted(table.kept_days, 'day')}"


def megabytes(size: float) -> str:
    """Return bytes as MB with one digit behind the point."""
    return f"{size / 1_000_000:,.1f}"
