"""What the list of providers asks and does beside the providers themselves: when each was last used, and copies."""

from collections.abc import Collection
from datetime import datetime
from itertools import count
from typing import Any

from sqlalchemy import lateral, select, true
from sqlmodel import Session

from ..access.authority import require
from ..actors import Actor
from ..store.records import LlmLog
from ..store.table import id_of
from ..store.tables import LlmProvider
from . import provider_secrets, providers, settings

_NAME, _DISPLAY_NAME = 50, 100
"""Characters at most."""


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


def ids(
    session: Session, *, active: bool | None = None, search: str = "", since: datetime | None = None
) -> frozenset[int]:
    """Return the ids of all that :func:`core.manage.providers.list_all` has for the same filters."""
    provider: Any = LlmProvider
    query = providers.matching(select(provider.id), active, search, since)
    return frozenset(session.execute(query).scalars())


def is_there(session: Session, provider_id: int) -> bool:
    """Tell whether there is a provider with this id."""
    provider: Any = LlmProvider
    return session.execute(select(provider.id).where(provider.id == provider_id)).scalar_one_or_none() is not None


def duplicate(session: Session, actor: Actor, provider_id: int) -> LlmProvider:
    """Add a copy of a provider, inactive: its fields, its settings and its plain headers and query parameters.

    Not its key, nor what is sealed: both are bound to the provider and host that they were entered for.

    Raises:
        Forbidden, NotFound, Invalid: Invalid if what is stored breaks a rule of today.
    """
    require(session, actor, "provider.create")
    source = providers.get(session, provider_id)
    taken = providers.names(session)
    number = next(n for n in count(1) if _copied(source.name, n, "-copy", "-", _NAME) not in taken)
    fields = source.model_dump(include=set(providers.FIELDS))
    fields |= {
        "name": _copied(source.name, number, "-copy", "-", _NAME),
        "display_name": _copied(source.display_name, number, " copy", " ", _DISPLAY_NAME),
        "is_active": False,
    }
    made = providers.create(session, actor, fields)
    for row in provider_secrets.list_of(session, provider_id):
        if row.plain_value is not None and row.use in provider_secrets.CARRIED:
            use: Any = row.use
            provider_secrets.set_value(session, actor, id_of(made), use, row.name, value=row.plain_value, sealed=False)
    own = settings.get_global(session, provider_id)
    if own is not None:
        settings.upsert_global(session, actor, made.id, own.model_dump(include=set(settings.FIELDS), exclude_none=True))
    return made


def _copied(text: str, number: int, word: str, before: str, longest: int) -> str:
    end = word if number == 1 else f"{word}{before}{number}"
    return text[: longest - len(end)] + end
