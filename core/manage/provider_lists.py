"""What the list of providers asks beside the providers themselves: when each was last used."""

from collections.abc import Collection
from datetime import datetime
from typing import Any

from sqlalchemy import lateral, select, true
from sqlmodel import Session

from ..store.tables import LlmLog, LlmProvider


def last_used(session: Session, names: Collection[str]) -> dict[str, datetime]:
    """Return when the last call of each provider in *names* was that the log still holds; who has none is missing.

    One query, and a step into the log's index for each name: it takes as long in a log of any size.
    """
    log: Any = LlmLog
    provider: Any = LlmProvider
    newest = lateral(
        select(log.at).where(log.provider == provider.name).order_by(log.at.desc(), log.id.desc()).limit(1)
    )
    query = select(provider.name, newest.c.at).join(newest, true()).where(provider.name.in_(list(names)))
    rows: Any = session.execute(query).all()
    return dict(rows)
