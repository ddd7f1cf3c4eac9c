"""What is known of models, by this database: read once for each state of its rows, for everything that a process shows."""

from typing import Any, Final

from sqlalchemy import text
from sqlmodel import Session

from ..models import overlay
from ..models.knowledge import Knowledge
from ..resolving.merge import read_json

_STATE: Final = text(
    "SELECT (SELECT epoch FROM settings_generation), count(*), max(updated_at), sum(version), max(id)"
    " FROM llm_model_facts WHERE is_active"
)
_ROWS: Final = text(
    "SELECT id, api, pattern, origin, to_char(as_of AT TIME ZONE 'UTC', 'YYYY-MM-DD') AS as_of, facts::text AS facts"
    " FROM llm_model_facts WHERE is_active ORDER BY origin <> 'operator', id LIMIT :most"
)
_MOST_KEPT: Final = 4
_kept: dict[tuple[Any, ...], Knowledge] = {}


def of(session: Session) -> Knowledge:
    """Return what is known of models, with what *session* has written; one query where nothing has changed."""
    session.flush()
    state = tuple(session.execute(_STATE).one())
    found = _kept.get(state)
    if found is None:
        rows = session.execute(_ROWS, {"most": overlay.MOST_ROWS + 1}).mappings()
        found = Knowledge(overlay.read({**row, "facts": read_json(row["facts"])} for row in rows))
        if len(_kept) >= _MOST_KEPT:
            _kept.clear()
        _kept[state] = found
    return found
