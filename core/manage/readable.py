"""Whether this process can open the API key of each active provider, cheaply enough to be asked every second."""

import threading
import time
from typing import Any, Final

from sqlalchemy import func, select
from sqlmodel import Session

from ..crypto import KeyRing
from ..store import sealed
from ..store.tables import LlmProvider, SettingsGeneration

AGAIN: Final = 5.0
"""Seconds between two looks at every key, while settings change all the time; 10,000 keys take 0.3 s."""

_PROVIDERS: Any = LlmProvider.__table__  # type: ignore[attr-defined]  # SQLModel does not declare it
_GENERATION: Any = SettingsGeneration.__table__  # type: ignore[attr-defined]  # as above
_lock = threading.Lock()
_last: tuple[object, float, bool] | None = None


def all_open(session: Session, ring: KeyRing) -> bool:
    """Return whether *ring* opens the key of each active provider that has one.

    A key that another encryption key sealed is seen at once, one that is damaged, or was moved to another row, at the first
    look after a change, at most :data:`AGAIN` seconds later.
    """
    global _last  # noqa: PLW0603 - what was found last
    key_id = sealed.SEALED[0].columns()[1]
    active = (_PROVIDERS.c.is_active, _PROVIDERS.c.api_key_encrypted.is_not(None))
    foreign = select(_PROVIDERS.c.id).where(*active, func.coalesce(key_id, "") != "", key_id.not_in(ring.ids)).limit(1)
    if session.execute(foreign).first() is not None:
        return False
    row = session.execute(select(_GENERATION.c.generation, _GENERATION.c.epoch)).one_or_none()
    now, state = time.monotonic(), (tuple(row) if row else None, ring.ids)
    with _lock:
        if _last is not None and (_last[0] == state or now - _last[1] < AGAIN):
            return _last[2]
        column = sealed.SEALED[0]
        rows = session.execute(column.query().where(_PROVIDERS.c.is_active))
        found = all(sealed.try_open(column, one, ring)[0].state == "ok" for one in rows)
        _last = (state, now, found)
        return found
