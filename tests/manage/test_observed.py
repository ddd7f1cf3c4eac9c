"""A vendor's own list is kept with its time, counts above the catalogue and below an admin, and holds at its host alone."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlmodel import Session, select, text

from core.actors import Actor
from core.errors import Forbidden
from core.manage import model_facts, observed, settings
from core.models.overlay import MOST_PATTERN
from core.store.records import AuditEvent
from tests.pages.test_providers import add

GATE = "https://gate.example:8443/v1"


def test_what_a_list_says_is_kept_and_counts(session: Session, admin: Actor, analyst: Actor) -> None:
    """A limit is obeyed and says who; the same list again writes nothing; what is gone from it is forgotten; an admin overrules."""
    add(session, admin, available_models=["gpt-4o"], default_model="gpt-4o")
    settings.upsert_global(session, admin, None, {"max_tokens": 5000})
    assert (
        observed.keep(
            session, admin, "openai", None, {"gpt-4o": {"max_output": 50}, "GPT-x": {"context": 9}, "plain": {}}
        )
        == 2
    )
    (note,) = [one for one in settings.effective(session, "acme").adjustments if one.parameter == "max_tokens"]
    assert (note.what, note.to, note.source) == ("clamped", 50, "vendor")
    assert [(row.api, row.pattern) for row in model_facts.list_all(session, origin="observed")] == [
        ("openai", "gpt-4o"),
        ("openai", "gpt-x"),
    ]
    assert observed.keep(session, admin, "openai", None, {"gpt-4o": {"max_output": 50}, "gpt-x": {"context": 9}}) == 0
    assert observed.keep(session, admin, "openai", None, {"gpt-4o": {"max_output": 60}}) == 1
    assert [row.facts for row in model_facts.list_all(session, origin="observed")] == [{"max_output": 60}]
    assert observed.keep(session, admin, "openai", None, {"gpt-4o": {}}) == 0, "names alone unlearn nothing"
    model_facts.set_facts(session, admin, "gpt-4o", {"max_output": 70}, why="tried")
    assert settings.effective(session, "acme").request_options()["max_completion_tokens"] == 70
    with pytest.raises(Forbidden):
        observed.keep(session, analyst, "openai", None, {"gpt-4o": {"max_output": 1}})
    actions = session.exec(select(AuditEvent.action).where(AuditEvent.target == "list of openai")).all()
    assert list(actions) == ["model_facts.observe"] * 2


def test_a_gateways_list_holds_there_alone(session: Session, admin: Actor) -> None:
    """Whatever a host calls its models, the vendor's own are not touched by it; hostile names and sizes are not kept."""
    facts = {"context": 7}
    rows = {"gpt-4o": facts, "*": facts, "x" * 400: facts, "\x00": facts, "big": {"efforts": ["e" * 200] * 50}}
    assert observed.keep(session, admin, "openai", GATE, rows) == 1
    known = model_facts.knowledge(session)
    there, here = (known.facts("openai", "gpt-4o", host) for host in ("gate.example:8443", "api.openai.com"))
    assert there is not None
    assert here is not None
    assert (there.context, here.context == 7) == (7, False)
    many = {f"m{number}": facts for number in range(10_000)}
    assert observed.keep(session, admin, "openai", GATE, many) == observed.MOST


def test_a_list_that_is_seen_again_is_dated_anew(session: Session, admin: Actor) -> None:
    """Each day once, though nothing in it has changed, which is no event; a row that was switched off counts again."""
    facts = {"gpt-4o": {"max_output": 50}, "gpt-x": {"context": 9}}
    observed.keep(session, admin, "openai", None, facts)
    for spoil, written in (
        ("as_of = as_of - interval '23 hours'", 0),
        ("as_of = as_of - interval '2 hours' WHERE pattern = 'gpt-x'", 1),
        ("is_active = false", 2),
    ):
        session.execute(text(f"UPDATE llm_model_facts SET {spoil}"))
        session.expire_all()
        assert observed.keep(session, admin, "openai", None, facts) == written, spoil
    rows = model_facts.list_all(session, origin="observed")
    assert [datetime.now(UTC) - row.as_of < timedelta(hours=1) for row in rows] == [True, True]
    events = session.exec(select(AuditEvent.changes).where(AuditEvent.target == "list of openai")).all()
    assert [event["models"] for event in events] == [{"before": 0, "after": 2}]


@pytest.mark.parametrize(
    ("name", "facts", "is_kept"),
    [
        ("m" * MOST_PATTERN, {"context": 1}, True),
        ("m" * (MOST_PATTERN + 1), {"context": 1}, False),
        ("", {"context": 1}, False),
        ("m?", {"context": 1}, False),
        ("m", {"successor": "s\x00"}, False),
        ("m", {"successor": "\ud800"}, False),
        ("m", {"successor": "x" * (8192 - len('["m", {"successor": ""}]'))}, True),
        ("m", {"successor": "x" * (8193 - len('["m", {"successor": ""}]'))}, False),
    ],
    ids=range(8),
)
def test_what_of_a_list_can_be_kept(
    session: Session, admin: Actor, name: str, facts: dict[str, object], *, is_kept: bool
) -> None:
    """Names as patterns may be, and what the database takes: 8 KB, no NUL, no half characters."""
    assert observed.keep(session, admin, "openai", None, {name: facts, "other": {"context": 1}}) == 1 + is_kept
