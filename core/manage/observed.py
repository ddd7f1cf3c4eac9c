"""What vendors' own lists say of their models, kept as the connection test saw it: beside the catalogue, and above it."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy import and_, delete, insert
from sqlmodel import Session, col, select

from ..access.authority import require
from ..actors import Actor
from ..audit.record import Target, record
from ..models.apis import place_of
from ..models.overlay import MOST_PATTERN, has_wildcards
from ..store.tables import LlmModelFacts

MOST: Final = 2_000
"""Models of one list that are kept: OpenRouter has some 600."""
_STALE: Final = timedelta(days=1)
"""So old a row is written anew, though nothing in it has changed: its day says when it was seen last."""
_MOST_BYTES: Final = 8 * 1024


def keep(
    session: Session, actor: Actor, kind: str, base_url: str | None, listed: Mapping[str, Mapping[str, Any]]
) -> int:
    """Keep what a vendor's list says, in place of what the same host's list said before; return how many rows were written.

    Args:
        session: The transaction.
        actor: An admin.
        kind: Of the provider that was tested.
        base_url: What was dialled. The list of a host that is not the API's own holds at that host alone.
        listed: Model -> its facts, as :mod:`core.calling.listed` reads them. Models without facts are not kept.
    """
    require(session, actor, "model_facts.observe")
    place, now = place_of(kind, base_url), datetime.now(UTC)
    wanted = {
        name.lower(): dict(facts)
        for name, facts in list(listed.items())[:MOST]
        if facts and 0 < len(name) <= MOST_PATTERN and not has_wildcards(name) and _is_storable(name, facts)
    }
    if not wanted:  # names alone, as most compatible servers list them: nothing is known, and nothing unlearnt
        return 0
    here = and_(col(LlmModelFacts.origin) == "observed", col(LlmModelFacts.api) == place)
    stored = {row.pattern: row for row in session.exec(select(LlmModelFacts).where(here)).all()}
    same = {
        name
        for name, row in stored.items()
        if row.is_active and wanted.get(name) == row.facts and now - row.as_of < _STALE
    }
    gone = [row.id for name, row in stored.items() if name not in same]
    fresh = [
        {"api": place, "pattern": name, "origin": "observed", "facts": facts, "as_of": now}
        for name, facts in wanted.items()
        if name not in same
    ]
    changed = sum(name not in wanted or wanted[name] != row.facts for name, row in stored.items())
    changed += len(wanted.keys() - stored.keys())
    if gone:
        session.execute(delete(LlmModelFacts).where(col(LlmModelFacts.id).in_(gone)))
    if fresh:
        session.execute(insert(LlmModelFacts), fresh)
    if changed:
        was_and_is = {"models": (len(stored), len(wanted)), "changed": (None, changed)}
        record(session, actor, "model_facts.observe", Target("model", None, f"list of {place}"), was_and_is)
    return len(fresh)


def _is_storable(name: str, facts: Mapping[str, Any]) -> bool:
    text = json.dumps([name, facts])
    return len(text) <= _MOST_BYTES and "\\u0000" not in text and "\\ud" not in text
