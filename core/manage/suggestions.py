"""What vendors' refusals say of models, and nobody has noted: suggestions to admins. Nothing is changed by itself.

They are read anew each time from the failed calls of the last days, and from what a connection test was answered: a
suggestion goes once it is taken over or dismissed, once an admin says otherwise after it, and when the calls are that old.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

from sqlmodel import Session, col, select

from ..access.authority import require
from ..actors import Actor
from ..audit.record import Target, record
from ..models import overlay, refused
from ..models.apis import api_of, host_of, place_of
from ..models.knowledge import Knowledge
from ..store.fact_schemas import MOST_WHY, facts_of, why_of
from ..store.records import LlmLog
from ..store.tables import LlmModelFacts, LlmProvider
from . import knowledge, model_facts

DAYS: Final = 7
"""Failed calls of so many days are looked at,"""
MOST: Final = 2_000
"""and at most so many: the newest."""
DISMISSED_DAYS: Final = 90
"""So long what an admin dismissed, or said once and took back, is not suggested again."""
_WORDS: Final = 300
"""Characters of a vendor's words that a why has."""
_IN_LOG: Final = re.compile(r"\(refused, [^)]{1,20}\): (?:400|422): (?P<words>.*)", re.DOTALL)
"""As :class:`core.errors.CallFailed` writes it."""
_IN_TEST: Final = re.compile(r"(?:400|422): (?P<words>.*)", re.DOTALL)


class Called(NamedTuple):
    """What was called: a provider's kind and base URL, and the model."""

    kind: str
    base_url: str | None
    model: str


class Suggestion(NamedTuple):
    """What could be noted of a model."""

    place: str
    """API, perhaps with ``@`` and a host: as the column ``api`` has it."""
    model: str
    facts: Mapping[str, Any]
    words: str
    """The vendor's own."""
    seen: datetime


def list_all(session: Session) -> list[Suggestion]:
    """Return what could be noted, by the failed calls of the last days; the newest first, each once."""
    failed = (
        select(LlmLog.provider_id, LlmLog.model, LlmLog.error, LlmLog.at)
        .where(LlmLog.status == "error", LlmLog.at > datetime.now(UTC) - timedelta(days=DAYS))
        .order_by(col(LlmLog.at).desc(), col(LlmLog.id).desc())
        .limit(MOST)
    )
    rows = session.exec(failed).all()
    query = select(LlmProvider.id, LlmProvider.kind, LlmProvider.api_base_url)
    providers = {number: (kind, url) for number, kind, url in session.exec(query)} if rows else {}
    own = knowledge.of(session)
    dismissed = _dismissed(session) if rows else {}
    found: dict[tuple[str, str, tuple[str, ...]], Suggestion] = {}
    for provider_id, model, error, at in rows:
        match = _IN_LOG.search(error or "")
        if match is None or provider_id not in providers:
            continue
        suggestion = _of(own, Called(*providers[provider_id], model), match["words"], at)
        if suggestion is not None:
            gone = dismissed.get((suggestion.place, suggestion.model), [])
            facts = {key: value for key, value in suggestion.facts.items() if (key, value) not in gone}
            suggestion = suggestion._replace(facts=facts)
        if suggestion is not None and suggestion.facts:
            found.setdefault((suggestion.place, suggestion.model, tuple(suggestion.facts)), suggestion)
    return list(found.values())


def of_test(session: Session, called: Called, words: str, seen: datetime) -> Suggestion | None:
    """Return what could be noted by what a connection test was answered; None: nothing.

    Args:
        session: The transaction.
        called: By the test.
        words: Of the stage ``call``, with the status in front.
        seen: When it was tested.
    """
    match = _IN_TEST.match(words)
    return None if match is None else _of(knowledge.of(session), called, match["words"], seen)


def accept(session: Session, actor: Actor, suggestion: Suggestion) -> LlmModelFacts:
    """Note a suggestion as what an admin says, beside what is said of that model already; on record as that.

    Raises:
        Forbidden, Invalid, Conflict, AlreadyExists: As :func:`core.manage.model_facts.set_facts`.
    """
    row = model_facts.find(session, suggestion.model, suggestion.place)
    before = dict(row.facts) if row is not None and isinstance(row.facts, Mapping) else {}
    why = f"refused by the vendor on {suggestion.seen.astimezone(UTC):%Y-%m-%d}: {suggestion.words[:_WORDS]}"
    if row is not None and row.why:
        why = f"{row.why[: MOST_WHY - len(why) - 2]}; {why}"
    return model_facts.set_facts(
        session,
        actor,
        suggestion.model,
        {**before, **suggestion.facts},
        why=why,
        api=suggestion.place,
        version=row.version if row is not None else None,
    )


def dismiss(session: Session, actor: Actor, suggestion: Suggestion) -> LlmModelFacts:
    """Have a suggestion not made again for :data:`DISMISSED_DAYS` days; nothing else changes by it. On record.

    It stays as a row that does not count, as one that was taken back.

    Raises:
        Forbidden: If *actor* is no admin.
    """
    require(session, actor, "model_facts.set")
    why = f"dismissed; the vendor's words of {suggestion.seen.astimezone(UTC):%Y-%m-%d}: {suggestion.words[:_WORDS]}"
    row = LlmModelFacts(
        origin="operator",
        api=suggestion.place,
        pattern=suggestion.model,
        facts=facts_of(suggestion.facts),
        why=why_of(why),
        is_active=False,
    )
    session.add(row)
    session.flush()
    session.refresh(row)
    record(
        session,
        actor,
        "model_facts.dismiss",
        Target("model", row.id, f"{row.pattern} at {row.api}"),
        {"facts": (None, row.facts), "why": (None, row.why)},
    )
    return row


def _dismissed(session: Session) -> dict[tuple[str | None, str], list[tuple[str, Any]]]:
    """Return what was dismissed or taken back lately: place and model -> each fact."""
    since = datetime.now(UTC) - timedelta(days=DISMISSED_DAYS)
    query = select(LlmModelFacts.api, LlmModelFacts.pattern, LlmModelFacts.facts).where(
        LlmModelFacts.origin == "operator", ~col(LlmModelFacts.is_active), LlmModelFacts.updated_at > since
    )
    found: dict[tuple[str | None, str], list[tuple[str, Any]]] = {}
    for api, pattern, facts in session.exec(query):
        if isinstance(facts, Mapping):  # raw SQL may have anything
            found.setdefault((api, pattern), []).extend(facts.items())
    return found


def _of(own: Knowledge, called: Called, words: str, seen: datetime) -> Suggestion | None:
    """Return what *words* say of *model* and is not known yet."""
    kind, base_url, model = called
    place, name = place_of(kind, base_url), model.strip().lower()
    if not 0 < len(name) <= overlay.MOST_PATTERN or overlay.has_wildcards(name):
        return None
    use = (api_of(kind, base_url), name, host_of(kind, base_url))
    day = seen.astimezone(UTC).date()
    known = {
        key
        for row in own.rows(*use)
        if row.origin == "operator" and row.as_of >= day
        for key in (*row.fields, *row.verdicts)
    }
    facts = {key: value for key, value in refused.read(words).items() if key not in known}
    facts = {
        key: value
        for key, value in facts.items()
        if not model_facts.same(own, _with(own, place, name, key, value), use)
    }
    return Suggestion(place, name, facts, words, seen) if facts else None


def _with(own: Knowledge, place: str, name: str, key: str, value: Any) -> Knowledge:
    """Return what would be known with one fact more."""
    rows = own.overlay
    row = {"id": 2**62, "api": place, "pattern": name, "origin": "operator", "as_of": None, "facts": {key: value}}
    more = overlay.read([row]).exact
    exact = {**rows.exact, name: (*rows.exact.get(name, ()), *more.get(name, ()))}
    return Knowledge(overlay.Overlay(exact, rows.patterns, rows.imported, rows.imported_as_of, rows.problems))
