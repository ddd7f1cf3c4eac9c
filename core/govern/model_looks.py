"""The daily look at the vendors' own lists of models: what they say of limits, prices and ends is kept, as after a connection test."""

import random
import time
from collections.abc import Mapping
from typing import Final

from sqlmodel import Session, col, select

from ..actors import Actor
from ..errors import CoreError
from ..kinds import KINDS
from ..manage import connection, observed
from ..manage.connection import Report
from ..models.apis import place_of
from ..store.db import Transact
from ..store.table import id_of
from ..store.tables import LlmProvider
from ..wording import counted
from .partly import Partly

LONGEST: Final = 240.0
"""Seconds of a run; who was not asked by then is named, and may be the first one tomorrow."""
TRIES: Final = 3
"""Providers that are asked for the list of one place, where the first of them does not get it."""
_NAMED: Final = 5
_WORDS: Final = 120


def look(transact: Transact, actor: Actor, *, longest: float = LONGEST) -> int:
    """Ask each place that active providers call for its list of models, once; return how many rows were written.

    A provider counts that has a stored key or needs none. No call is made, and no transaction is held while one is asked.

    Raises:
        Partly: Some lists were not got: says whose, and why.
    """
    ends = time.monotonic() + longest
    places = list(transact(_places).items())
    random.shuffle(places)  # where the time is not enough for all, it is not always the same ones
    written, failed = 0, []
    for _place, providers in places:
        problem = ""
        for name, provider_id in list(providers.items())[:TRIES]:
            if time.monotonic() >= ends:
                problem = f"{name}: not asked within {longest:.0f} seconds"
                break
            rows, problem = _one(transact, actor, name, provider_id)
            written += rows
            if not problem:
                break
        if problem:
            failed.append(problem)
    if failed:
        named = "; ".join(sorted(failed)[:_NAMED])
        raise Partly(f"{len(failed)} of {counted(len(places), 'list')} not got: {named}", written)
    return written


def _places(session: Session) -> Mapping[str, Mapping[str, int]]:
    """Return whose lists there are to be got, and for each the providers by which: name -> id."""
    found: dict[str, dict[str, int]] = {}
    for row in session.exec(select(LlmProvider).where(col(LlmProvider.is_active)).order_by(LlmProvider.name)):
        kind = KINDS.get(row.kind)
        if kind is not None and kind.lists_models and (row.api_key_encrypted or not row.needs_key):
            found.setdefault(place_of(row.kind, row.api_base_url), {})[row.name] = id_of(row)
    return found


def _one(transact: Transact, actor: Actor, name: str, provider_id: int) -> tuple[int, str]:
    """Ask one provider; return how many rows were written, and why its list was not got."""
    try:
        target = transact(lambda session: connection.prepare(session, actor, provider_id, list_only=True))
        report = connection.run(target)
        if report.models is None:
            return 0, f"{name}: {_why(report)}"[:_WORDS]
        return transact(lambda s: observed.keep(s, actor, target.kind, target.base_url, report.facts)), ""
    except CoreError as error:  # gone meanwhile, a key that cannot be opened, a row that breaks a rule
        return 0, f"{name}: {error}"[:_WORDS]


def _why(report: Report) -> str:
    refused = [stage for stage in report.stages if stage.state == "refused"]
    asked = [stage for stage in report.stages if stage.name == "key"]
    return next((stage.words for stage in (*refused, *asked) if stage.words), "no answer")
