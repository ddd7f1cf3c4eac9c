"""What is counted of providers: the row of figures above the list, and who called one lately."""

from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import select as sql_select
from sqlmodel import Session, func, select

from ..crypto import KeyRing
from ..store.records import LlmUsage
from ..store.tables import LlmProvider
from . import provider_keys


class ProviderFigures(NamedTuple):
    """The row of figures above the list."""

    total: int
    active: int
    without_key: int
    unreadable: int
    last_change: datetime | None


def figures(session: Session, ring: KeyRing | None = None) -> ProviderFigures:
    """Count providers for the row of figures. A key counts as unreadable as :func:`key_state` says."""
    needed = (
        LlmProvider.needs_key,
        LlmProvider.kind,
        LlmProvider.api_base_url,
        LlmProvider.is_active,
        LlmProvider.updated_at,
    )
    sealed = (LlmProvider.api_key_encrypted, LlmProvider.api_key_key_id, LlmProvider.api_key_binding)
    columns: list[Any] = [LlmProvider.id, LlmProvider.name, *needed, *sealed]
    rows: Any = session.execute(sql_select(*columns)).all()  # no objects: there may be 1,000
    states = [provider_keys.key_state(row, ring).state for row in rows]
    return ProviderFigures(
        total=len(rows),
        active=sum(row.is_active for row in rows),
        without_key=states.count("none"),
        unreadable=sum(state not in {"none", "not_needed", "ok"} for state in states),
        last_change=max((row.updated_at for row in rows), default=None),
    )


def recent_calls(session: Session, name: str) -> tuple[int, datetime] | None:
    """Return how many logged calls of 30 days the provider *name* had, and when the last (to 5 minutes); None: none."""
    used: Any = LlmUsage
    query = select(func.sum(used.calls), func.max(used.slot)).where(
        used.provider == name, used.slot > func.now() - timedelta(days=30)
    )
    calls, last = session.exec(query).one()
    return None if last is None else (int(calls), last)
