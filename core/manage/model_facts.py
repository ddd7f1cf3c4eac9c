"""What an admin says of models: rows that overrule the vendors' lists, the catalogue and the rules, fact by fact.

- :func:`list_all`, :func:`get`: the rows, those of an admin by default.
- :func:`set_facts`: say something of a model or a pattern of names; needs a why. In place of what was said before.
- :func:`withdraw`: take it back; the row stays, inactive.
- :func:`warnings`: what is odd about a row that is stored all the same: other rows that win, models in use that it is not for.
- :func:`explain`: of one model each fact, who says so, why, and what that hides; and what becomes of each parameter.
- :func:`agreeing`: rows that say no more than the catalogue now: they could go. :func:`contradictions`: rows that say two things.
- :func:`knowledge`: all of it, as :mod:`core.models.knowledge` has it.

Facts are a JSON object: ``acts_as``, ``custom``, ``context``, ``max_input``, ``max_output`` (tokens), ``reasoning``, ``efforts``,
``default_effort``, ``sampling``, ``temperature_max``, ``retires``, ``retired_effect``, ``successor``, ``prices`` (US dollars a
million tokens), and a verdict by the name of a parameter: ``{"temperature": {"ok": true}}``, ``{"top_p": {"range": [0, 0.9]}}``,
``{"max_tokens": {"rename": "max_completion_tokens"}}``, ``{"top_p": {"only": [1], "unless": "reasoning_effort=none"}}``.
"""

from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any, Final, NamedTuple

from sqlalchemy import ColumnElement
from sqlmodel import Session, col, func, select

from ..access.authority import require
from ..actors import Actor
from ..audit.reasons import MAX_COMMENT
from ..audit.record import Target, changes_between, explained, record
from ..errors import AlreadyExists, Invalid, NotFound
from ..models import overlay
from ..models.adapt import KIND_OF
from ..models.apis import api_of, host_of
from ..models.facts import FIELDS, ModelFacts
from ..models.knowledge import Knowledge
from ..models.overlay import FactRow
from ..models.verdict import FactSource, Verdict
from ..store import violations
from ..store.fact_schemas import api_of as checked_api
from ..store.fact_schemas import facts_of, pattern_of, why_of
from ..store.schemas import could_be_id
from ..store.table import id_of
from ..store.tables import LlmModelFacts, LlmProvider
from ..store.versions import refuse_stale
from . import knowledge as known_models

FIELDS_ON_RECORD: Final = ("api", "pattern", "facts", "why", "is_active")
MOST: Final = overlay.MOST_OPERATOR_ROWS


def knowledge(session: Session) -> Knowledge:
    """Return what is known of models, with what *session* has written."""
    return known_models.of(session)


def list_all(session: Session, *, origin: str = "operator", withdrawn: bool = False) -> list[LlmModelFacts]:
    """Return the rows of an origin, by pattern and API; *withdrawn*: those that were taken back, instead."""
    query = select(LlmModelFacts).where(LlmModelFacts.origin == origin, col(LlmModelFacts.is_active) != withdrawn)
    return list(session.exec(query.order_by(col(LlmModelFacts.pattern), col(LlmModelFacts.api), col(LlmModelFacts.id))))


def get(session: Session, row_id: int) -> LlmModelFacts:
    """Return a row; raises NotFound."""
    row = session.get(LlmModelFacts, row_id) if could_be_id(row_id) else None
    if row is None:
        raise NotFound("facts of a model", row_id)
    return row


def find(session: Session, pattern: str, api: str | None = None) -> LlmModelFacts | None:
    """Return what an admin says of *pattern* at *api*, None for everywhere; None: nothing."""
    row: LlmModelFacts | None = session.exec(_active(pattern.strip().lower(), api)).one_or_none()
    return row


def set_facts(
    session: Session,
    actor: Actor,
    pattern: str,
    facts: Mapping[str, Any],
    *,
    why: str,
    api: str | None = None,
    version: int | None = None,
) -> LlmModelFacts:
    """Say what holds of the models whose names match *pattern*, in place of what was said of it before.

    Args:
        session: The transaction.
        actor: An admin.
        pattern: A model's name, in whatever case; ``*`` and ``?`` stand for characters.
        facts: See the top of this module.
        why: For who comes later.
        api: A key of :data:`core.models.apis.APIS`, perhaps with ``@`` and a host; None: wherever the model is called.
        version: The version the edit was based on, 0 if there was no row; None writes whatever is there.

    Raises:
        Forbidden, Invalid, Conflict: Invalid names ``pattern``, ``api``, ``why`` or ``facts.KEY`` and the rule.
        NotFound: If *version* is given and there is no such row any more.
        AlreadyExists: If somebody else has just said something of it.
    """
    require(session, actor, "model_facts.set")
    name, where = pattern_of(pattern), checked_api(api)
    wanted = {"pattern": name, "api": where, "facts": facts_of(facts), "why": why_of(why)}
    locked = _active(name, where).with_for_update().execution_options(populate_existing=True)
    row: LlmModelFacts | None = session.exec(locked).one_or_none()
    before: dict[str, Any] = {}
    if row is None:
        if version:
            raise NotFound("facts of a model with version", version)
        _has_room(session)
        row = LlmModelFacts(origin="operator", pattern=name, facts={})
    else:
        refuse_stale("facts of a model", row, version, wanted)
        before = _shown(row)
        if all(before[field] == value for field, value in wanted.items()):
            return row
    for field, value in wanted.items():
        setattr(row, field, value)
    row.as_of = datetime.now(UTC)
    session.add(row)
    violations.flush(session, AlreadyExists("facts of a model", name, "pattern"))
    session.refresh(row)
    _record(session, actor, "model_facts.set", row, before)
    return row


def withdraw(
    session: Session, actor: Actor, row_id: int, *, version: int | None = None, why: str = ""
) -> LlmModelFacts:
    """Take back what an admin said: the next source counts again. What was withdrawn already stays so.

    *why* stands in the audit, as the comment of the event; the row keeps the reason for which it was said.

    Raises:
        Forbidden, NotFound, Conflict: The last if it was changed since *version*.
        Invalid: If *why* is too long.
    """
    require(session, actor, "model_facts.withdraw")
    if len(why) > MAX_COMMENT:
        raise Invalid({"why": f"must be at most {MAX_COMMENT} characters; this has {len(why)}"})
    row = (
        session.get(LlmModelFacts, row_id, with_for_update=True, populate_existing=True)
        if could_be_id(row_id)
        else None
    )
    if row is None or row.origin != "operator":
        raise NotFound("facts of a model", row_id)
    refuse_stale("facts of a model", row, version, {})
    if row.is_active:
        before = _shown(row)
        row.is_active = False
        session.add(row)
        session.flush()
        session.refresh(row)
        with explained(session, why):
            _record(session, actor, "model_facts.withdraw", row, before)
    return row


def warnings(session: Session, row: LlmModelFacts) -> list[str]:
    """Return what is odd about a row, in sentences: it is stored all the same."""
    sentences = []
    used = models_in_use(session)
    own = knowledge(session)
    reached = [use for use in used if any(each.id == row.id for each in own.rows(*use))]
    if not reached:
        sentences.append("No model of a provider matches it yet.")
    elif row.pattern.strip("*?") == "":
        sentences.append(f"It is for every model{'' if row.api is None else f' at {row.api}'}: {len(reached)} in use.")
    clashes = contradictions(session)
    return sentences + [str(clash) for clash in clashes if row.id in {clash.winner.id, clash.loser.id}]


class Clash(NamedTuple):
    """Two rows of an admin that say different things of one model in use."""

    model: str
    key: str
    winner: FactRow
    loser: FactRow

    def __str__(self) -> str:
        return (
            f"Of {self.model} two rows say different things, as to {self.key}: "
            f"{_named(self.winner)} counts, as {_stronger(self.winner, self.loser)}; {_named(self.loser)} does not."
        )


def contradictions(session: Session) -> list[Clash]:
    """Return where rows of admins contradict each other, as to models in use; the first for each pair of rows and key."""
    own = knowledge(session)
    found: dict[tuple[int, int, str], Clash] = {}
    for use in models_in_use(session):
        strongest: dict[str, FactRow] = {}
        for row in own.rows(*use):
            if row.origin != "operator":
                continue
            for key, value in _content(row).items():
                before = strongest.get(key)
                if before is not None and _content(before)[key] != value:
                    found.setdefault((row.id, before.id, key), Clash(use[1], key, row, before))
                strongest[key] = row
    return list(found.values())


def agreeing(session: Session) -> list[tuple[LlmModelFacts, str]]:
    """Return the rows of admins that say of every model in use what would hold without them, each with a sentence."""
    own = knowledge(session)
    reached: dict[int, list[tuple[str, str, str]]] = {}
    for use in models_in_use(session):
        for each in own.rows(*use):
            reached.setdefault(each.id, []).append(use)
    found = []
    for row in list_all(session):
        uses = reached.get(id_of(row), [])
        if not uses or row.facts.keys() & {"acts_as", "custom"}:
            continue
        others = Knowledge(_without(own.overlay, id_of(row)))
        if all(same(own, others, use) for use in uses):
            names = ", ".join(sorted({use[1] for use in uses})[:3])
            found.append((row, f"What is said of {row.pattern} is the same without it now ({names}): withdraw it?"))
    return found


class Fact(NamedTuple):
    """One fact of a model."""

    name: str
    value: Any
    source: FactSource
    as_of: date
    row_id: int | None
    """Of ``llm_model_facts``; None: of the catalogue."""
    pattern: str | None
    why: str | None
    hides: tuple[tuple[FactSource, Any], ...]
    """What weaker sources say otherwise, the strongest of them first."""


class Explanation(NamedTuple):
    """What is known of a model at an API."""

    api: str
    model: str
    facts: ModelFacts | None
    sourced: tuple[Fact, ...]
    verdicts: Mapping[str, tuple[Verdict, ...]]
    """Our parameter -> what the API does with it; what is not in it is sent as it is."""
    acts_as: str | None
    is_custom: bool


def explain(session: Session, api: str, model: str, *, host: str = "", kind: str | None = None) -> Explanation:
    """Return what is known of *model* at *api*, by whom, and what becomes of its parameters.

    Args:
        session: The transaction.
        api: A key of :data:`core.models.apis.APIS`.
        model: The name as it is called.
        host: Of the provider's base URL, where something is said of one host.
        kind: Of the provider; None: the API's own.
    """
    own = knowledge(session)
    rows = own.rows(api, model, host)
    levels = own.levels(api, model, host)
    whys = {row.id: get(session, row.id).why for row in rows}
    sourced = []
    for name in FIELDS:
        claims = [(level, getattr(level.facts, name)) for level in levels if level.facts is not None]
        claims = [each for each in claims if each[1] not in {None, ()}]
        if not claims:
            continue
        value = claims[-1][1]
        at = next(index for index, _ in enumerate(claims) if all(later[1] == value for later in claims[index:]))
        level = claims[at][0]
        row = None
        if level is not levels[0]:  # which is the catalogue alone
            row = next((row for row in reversed(rows) if row.fields.get(name) == value), None)
        hides = tuple((weaker.basis, other) for weaker, other in reversed(claims[:at]) if other != value)
        basis, as_of = (level.basis, level.as_of) if row is None else (overlay.ORIGINS[row.origin], row.as_of)
        pattern, why = (None, None) if row is None else (row.pattern, whys[row.id])
        sourced.append(Fact(name, value, basis, as_of, None if row is None else row.id, pattern, why, hides))
    behind = next((row.acts_as for row in reversed(rows) if row.acts_as), None)
    verdicts = own.verdicts(api, kind or KIND_OF.get(api, "openai_compatible"), model, host)
    is_custom = any(row.is_custom for row in rows)
    return Explanation(api, model, levels[-1].facts, tuple(sourced), verdicts, behind, is_custom)


def models_in_use(session: Session) -> list[tuple[str, str, str]]:
    """Return API, model and host of every model that a provider offers, once each."""
    found: dict[tuple[str, str, str], None] = {}
    for kind, url, models in session.exec(
        select(LlmProvider.kind, LlmProvider.api_base_url, LlmProvider.available_models).order_by(LlmProvider.name)
    ):
        for model in models if isinstance(models, list) else ():
            if isinstance(model, str):
                found[api_of(kind, url), model, host_of(kind, url)] = None
    return list(found)


def same(one: Knowledge, other: Knowledge, use: tuple[str, str, str]) -> bool:
    """Return whether both know the same of a model, as API, name and host; who says so does not count."""
    api, model, host = use
    facts = [known.facts(api, model, host) for known in (one, other)]
    plain = [{name: getattr(found, name) for name in FIELDS} if found else None for found in facts]
    if plain[0] != plain[1]:
        return False
    kind = KIND_OF.get(api, "openai_compatible")
    mine, theirs = (known.verdicts(api, kind, model, host) for known in (one, other))
    return {name: _effects(verdicts) for name, verdicts in mine.items()} == {
        name: _effects(verdicts) for name, verdicts in theirs.items()
    }


def _content(row: FactRow) -> dict[str, Any]:
    return {**row.fields, **row.verdicts}


def _named(row: FactRow) -> str:
    return f"{row.pattern}{'' if row.api is None else f' at {row.api}'} (row {row.id})"


def _stronger(winner: FactRow, loser: FactRow) -> str:
    """Return why *winner* is stronger, as :func:`core.models.overlay.strength` has it."""
    if overlay.has_wildcards(loser.pattern) and not overlay.has_wildcards(winner.pattern):
        return "it names the model in full"
    before, after = overlay.strength(loser), overlay.strength(winner)
    if before[2] != after[2]:
        return "it names more of the model's name"
    return "it names the API, or the host" if before[3] != after[3] else "it is newer"


def _without(rows: overlay.Overlay, row_id: int) -> overlay.Overlay:
    exact = {name: tuple(row for row in found if row.id != row_id) for name, found in rows.exact.items()}
    patterns = tuple(pair for pair in rows.patterns if pair[1].id != row_id)
    return overlay.Overlay(exact, patterns, rows.imported, rows.imported_as_of, rows.problems)


def _effects(verdicts: tuple[Verdict, ...]) -> list[Any]:
    return sorted((v.does, v.values, v.low, v.high, v.to, v.unless, v.by_default, v.is_absent) for v in verdicts)


def _active(pattern: str, api: str | None) -> Any:
    where: ColumnElement[bool] = col(LlmModelFacts.api).is_(None) if api is None else col(LlmModelFacts.api) == api
    return select(LlmModelFacts).where(
        LlmModelFacts.origin == "operator", LlmModelFacts.is_active, LlmModelFacts.pattern == pattern, where
    )


def _has_room(session: Session) -> None:
    query = select(func.count()).where(LlmModelFacts.origin == "operator", LlmModelFacts.is_active)
    if session.exec(query).one() >= MOST:
        raise Invalid({"pattern": f"would be one too many: there are {MOST:,} already. Withdraw some, or use * and ?"})


def _shown(row: LlmModelFacts) -> dict[str, Any]:
    return row.model_dump(include=set(FIELDS_ON_RECORD))


def _record(session: Session, actor: Actor, action: str, row: LlmModelFacts, before: Mapping[str, Any]) -> None:
    name = row.pattern if row.api is None else f"{row.pattern} at {row.api}"
    changes = changes_between(before, _shown(row), FIELDS_ON_RECORD)
    record(session, actor, action, Target("model", row.id, name), changes)
