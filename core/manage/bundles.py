"""A newer catalogue than this version's, from a file: what it changes for models in use, and taking it over.

- :func:`read`: check a bundle, the JSON that ``catalogue export`` writes.
- :func:`preview`: what becomes otherwise for models that providers offer.
- :func:`take_over`: store it, all or nothing; services follow. It counts where it is newer than the catalogue of a version.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, time
from typing import Any, Final, NamedTuple

from sqlalchemy import delete, func, insert
from sqlmodel import Session, col, select

from ..access.authority import require
from ..actors import Actor
from ..audit.record import Target, record
from ..errors import Invalid
from ..models import overlay, vendored
from ..models.adapt import KIND_OF
from ..models.apis import APIS
from ..models.facts import FIELDS, Known, Price
from ..models.facts import known as ours
from ..models.knowledge import Knowledge
from ..models.vendored import Catalogue
from ..models.verdict import Verdict
from ..models.words import price_text
from ..store.tables import LlmModelFacts
from ..wording import plain_number
from . import knowledge, model_facts

_MOST_ROW: Final = 15 * 1024
"""Bytes of one model; PostgreSQL writes JSON a little wider, and takes 16 KB."""


class ModelDifference(NamedTuple):
    """What a bundle says otherwise of a model in use."""

    api: str
    model: str
    what: str
    """A fact, or a parameter."""
    before: Any
    after: Any

    def __str__(self) -> str:
        return f"{self.api} {self.model}: {self.what} {value_text(self.before)} -> {value_text(self.after)}"


def value_text(value: Any) -> str:
    """Return one side of a difference for people: ``low, high``, ``128,000``, ``$5 in, $25 out since 2026-09-01``."""
    if value is None:
        return "unknown"
    if isinstance(value, tuple):
        texts = [_price(each) if isinstance(each, Price) else str(each) for each in value]
        return "; ".join(texts) if any(isinstance(each, Price) for each in value) else ", ".join(texts)
    return f"{value:,}" if isinstance(value, int) else str(value)


def _price(price: Price) -> str:
    begin, end = price.hours or (0, 0)
    times = f" from {begin // 60:02}:{begin % 60:02} to {end // 60:02}:{end % 60:02} UTC" if price.hours else ""
    return f"{price_text(price) or 'another unit'}{f' since {price.since}' if price.since else ''}{times}"


def read(raw: bytes) -> Catalogue:
    """Return the catalogue in a bundle: format, as_of, versions and models, at most 4 MB.

    Raises:
        Invalid: Names ``bundle`` and the rule: of a bundle with one row that cannot be read nothing is taken.
    """
    if len(raw) > vendored.MOST_BYTES:
        raise Invalid({"bundle": f"must be at most {vendored.MOST_BYTES // 1024**2} MB"})
    try:
        content = json.loads(raw.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        raise Invalid({"bundle": "is not JSON in UTF-8, as `catalogue export` writes it"}) from None
    found = vendored.parse(content)
    problems = list(found.problems)
    if not problems:
        problems = [f"{api:.60} is no API" for api in found.rows if api not in APIS]
        problems += Known(found).health().problems
        problems += [
            f"{api} {name:.100} is too large"
            for api, rows in found.rows.items()
            for name, row in rows.items()
            if len(json.dumps(row).encode()) > _MOST_ROW or "\\u0000" in json.dumps(row)
        ]
    rows = sum(map(len, found.rows.values()))
    if not problems and not 0 < rows <= overlay.MOST_ROWS // 2:
        problems = [f"it has {rows:,} models; 1 to {overlay.MOST_ROWS // 2:,} can be taken"]
    if problems:
        raise Invalid(
            {"bundle": "cannot be taken: " + " ".join(problem.rstrip(".") + "." for problem in problems[:10])}
        )
    return found


def preview(session: Session, bundle: Catalogue) -> list[ModelDifference]:
    """Return what becomes otherwise for models that providers offer, once *bundle* is taken over."""
    before = knowledge.of(session)
    rows = overlay.Overlay(before.overlay.exact, before.overlay.patterns, bundle.rows, bundle.as_of)
    after = Knowledge(rows)
    found = []
    for api, model, host in model_facts.models_in_use(session):
        facts = [known.facts(api, model, host) for known in (before, after)]
        for name in FIELDS:
            was, now = (getattr(each, name) if each else None for each in facts)
            if (was or None) != (now or None):
                found.append(ModelDifference(api, model, name, was or None, now or None))
        kind = KIND_OF.get(api, "openai_compatible")
        of_each = [known.verdicts(api, kind, model, host) for known in (before, after)]
        for name in sorted(of_each[0].keys() | of_each[1].keys()):
            was, now = (_words(each.get(name, ())) for each in of_each)
            if was != now:
                found.append(ModelDifference(api, model, name, was, now))
    return found


def take_over(session: Session, actor: Actor, bundle: Catalogue, *, force: bool = False) -> int:
    """Store *bundle* in place of the one that was imported before; return how many models it has.

    Args:
        session: The transaction.
        actor: An admin.
        bundle: Of :func:`read`.
        force: Whether one that is older than the imported one is taken all the same. One that is not newer than this
            version's own would not count, and is never taken.

    Raises:
        Forbidden, Invalid: The latter names ``bundle``: it is not newer than what is there.
    """
    require(session, actor, "catalogue.import")
    own, imported = ours().catalogue.as_of, imported_as_of(session)
    if bundle.as_of <= own:
        raise Invalid({"bundle": f"is of {bundle.as_of}, and this version's own catalogue is of {own}, which counts"})
    if imported is not None and bundle.as_of <= imported.date() and not force:
        raise Invalid(
            {"bundle": f"is of {bundle.as_of}, and one of {imported:%Y-%m-%d} was imported already; --force takes it"}
        )
    is_imported = col(LlmModelFacts.origin) == "imported"
    had = session.exec(select(func.count()).select_from(LlmModelFacts).where(is_imported)).one()
    session.execute(delete(LlmModelFacts).where(is_imported))
    as_of = datetime.combine(bundle.as_of, time(), UTC)
    rows = [
        {"api": api, "pattern": name, "origin": "imported", "facts": dict(row), "as_of": as_of}
        for api, models in bundle.rows.items()
        for name, row in models.items()
    ]
    session.execute(insert(LlmModelFacts), rows)
    record(
        session,
        actor,
        "catalogue.import",
        Target("model", None, f"catalogue of {bundle.as_of}"),
        {"as_of": (f"{imported:%Y-%m-%d}" if imported else None, f"{bundle.as_of}"), "models": (had, len(rows))},
    )
    return len(rows)


def imported_as_of(session: Session) -> datetime | None:
    """Return of which day the imported catalogue is; None: there is none."""
    query = select(func.max(LlmModelFacts.as_of)).where(
        LlmModelFacts.origin == "imported", col(LlmModelFacts.is_active)
    )
    found: datetime | None = session.exec(query).one()
    return found


def _words(verdicts: tuple[Verdict, ...]) -> str:
    return ", ".join(_one(verdict) for verdict in verdicts) or "sent as it is"


def _one(verdict: Verdict) -> str:
    more: Mapping[str, str] = {
        "range": f" {plain_number(verdict.low)} to {plain_number(verdict.high)}",
        "only": f" {list(verdict.values)}",
    }
    return f"{verdict.does}{more.get(verdict.does, '')}{f' {verdict.to}' if verdict.to else ''}{f' unless {verdict.unless}' if verdict.unless else ''}"
