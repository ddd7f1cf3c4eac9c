"""What an admin says of models: stored with a why, checked, on record, taken back; and what it does everywhere."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg.types.json import Jsonb
from sqlmodel import Session, col, select, text

from core.actors import Actor
from core.crypto import KeyRing
from core.errors import Conflict, Forbidden, Invalid, NotFound
from core.manage import health, knowledge, model_facts, settings
from core.models import overlay
from core.resolve import Resolver
from core.resolving import snapshot_file
from core.store import db
from core.store.fact_schemas import facts_of
from core.store.records import AuditEvent
from core.store.table import id_of
from tests.conftest import make_user
from tests.pages.test_providers import add

WHY = "The vendor's support said so on 26 November"
OK = {"temperature": {"ok": True}}


def test_it_is_stored_on_record_and_in_force(session: Session, admin: Actor) -> None:
    """The why, who and each field's change; Preview's settings follow in the same transaction; taken back, all is as before."""
    add(session, admin, available_models=["o3"], default_model="o3")
    before = settings.effective(session, "acme").adjustments

    row = model_facts.set_facts(session, admin, " O3 ", {**OK, "context": 5}, why=WHY, api="openai")
    answer = settings.effective(session, "acme")
    loaded = settings.load(session).effective("acme")
    again = model_facts.set_facts(session, admin, "o3", {"context": 6}, why=WHY, api="openai", version=row.version)
    taken = model_facts.withdraw(session, admin, id_of(row), version=2)

    assert (row.id, again.id, taken.is_active, taken.version, taken.updated_by) == (row.id, row.id, False, 3, "ada")
    assert "temperature" not in {each.parameter for each in answer.adjustments}
    assert answer.request_options()["temperature"] == loaded.request_options(top_p=1.0)["temperature"] == 0.7
    assert answer.model_facts is not None
    assert answer.model_facts.context == 5
    assert settings.effective(session, "acme").adjustments == before != answer.adjustments
    events = session.exec(
        select(AuditEvent).where(AuditEvent.target_type == "model").order_by(col(AuditEvent.id))
    ).all()
    assert [(event.action, event.target) for event in events] == [
        ("model_facts.set", "o3 at openai"),
        ("model_facts.set", "o3 at openai"),
        ("model_facts.withdraw", "o3 at openai"),
    ]
    assert events[0].changes["why"]["after"] == WHY
    assert events[1].changes["facts"] == {"before": {**OK, "context": 5}, "after": {"context": 6}}
    assert events[2].changes["is_active"] == {"before": True, "after": False}
    assert again.field_changes["facts"]["version"] == 2
    assert model_facts.list_all(session) == []
    assert [each.id for each in model_facts.list_all(session, withdrawn=True)] == [row.id]


def test_only_an_admin_says_so_and_no_edit_is_lost(session: Session, admin: Actor, analyst: Actor) -> None:
    """An analyst may not; a stale edit is told both values; nothing is written where nothing changes."""
    row = model_facts.set_facts(session, admin, "o3", OK, why=WHY)
    assert model_facts.set_facts(session, admin, "o3", OK, why=WHY).version == row.version == 1
    model_facts.set_facts(session, admin, "o3", {"context": 9}, why=WHY, version=1)
    with pytest.raises(Conflict) as raised:
        model_facts.set_facts(session, admin, "o3", OK, why=WHY, version=1)
    assert raised.value.changes["facts"] == ({"context": 9}, OK)
    with pytest.raises(Conflict):
        model_facts.withdraw(session, admin, id_of(row), version=1)
    with pytest.raises(NotFound):
        model_facts.set_facts(session, admin, "o4", OK, why=WHY, version=3)
    with pytest.raises(NotFound):
        model_facts.withdraw(session, admin, 2**40)
    for forbidden in (
        lambda: model_facts.set_facts(session, analyst, "o3", OK, why=WHY),
        lambda: model_facts.withdraw(session, analyst, id_of(row)),
    ):
        with pytest.raises(Forbidden):
            forbidden()


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("why", {"why": ""}),
        ("why", {"why": "x" * 2001}),
        ("why", {"why": "a\x00b"}),
        ("why", {"why": None}),
        ("pattern", {"pattern": " "}),
        ("pattern", {"pattern": "x" * 301}),
        ("pattern", {"pattern": "*a" * 9}),
        ("pattern", {"pattern": 5}),
        ("api", {"api": "nobody"}),
        ("api", {"api": "openai@"}),
        ("api", {"api": "openai@a b"}),
        ("api", {"api": ["openai"]}),
        ("facts", {"facts": {}}),
        ("facts", {"facts": []}),
        ("facts", {"facts": {"temperature": None}}),
        ("facts", {"facts": {"prices": [{"tiers": ["x" * 70_000]}]}}),
        ("facts.nobody", {"facts": {"nobody": 1}}),
        ("facts.context", {"facts": {"context": 0}}),
        ("facts.context", {"facts": {"context": "many"}}),
        ("facts.retires", {"facts": {"retires": "2026-13-01"}}),
        ("facts.prices.0.input", {"facts": {"prices": [{"input": -1.0}]}}),
        ("facts.prices", {"facts": {"prices": [{"tiers": [1]}]}}),
        ("facts.temperature", {"facts": {"temperature": True}}),
        ("facts.temperature", {"facts": {"temperature": {}}}),
        ("facts.temperature.ok", {"facts": {"temperature": {"ok": False}}}),
        ("facts.temperature.nobody", {"facts": {"temperature": {"nobody": 1}}}),
        ("facts.temperature", {"facts": {"temperature": {"range": [1, 0]}}}),
        ("facts.temperature", {"facts": {"temperature": {"rename": "model"}}}),
        ("facts.temperature", {"facts": {"temperature": {"rename": "top_p"}}}),
        ("facts.temperature", {"facts": {"temperature": {"exclusive": "temperature"}}}),
        ("facts.temperature", {"facts": {"temperature": {"refuse": True, "unless": "whenever"}}}),
    ],
)
def test_what_is_no_fact_is_refused(session: Session, admin: Actor, field: str, change: Any) -> None:
    """The field and the rule are named, and nothing is stored."""
    given: dict[str, Any] = {"pattern": "o3", "facts": OK, "why": WHY, "api": None, **change}
    pattern, facts = given.pop("pattern"), given.pop("facts")
    with pytest.raises(Invalid) as raised:
        model_facts.set_facts(session, admin, pattern, facts, **given)
    assert set(raised.value.fields) == {field}
    assert all(rule and not rule.startswith("Value") for rule in raised.value.fields.values())
    assert model_facts.list_all(session) == []


values = (
    st.none()
    | st.booleans()
    | st.integers(-3, 10**10)
    | st.floats(-3, 3)
    | st.sampled_from(["none", "default", "2026-01-01", "x", "top_p", "top_p>1"])
)
verdict = st.dictionaries(
    st.sampled_from(["ok", "refuse", "only", "range", "rename", "exclusive", "unless", "by_default"]),
    values | st.lists(values, max_size=2),
    max_size=2,
)
facts = st.dictionaries(st.sampled_from(["temperature", "top_p"]), verdict, max_size=2) | st.dictionaries(
    st.sampled_from(
        ["context", "reasoning", "retires", "sampling", "efforts", "prices", "temperature_max", "custom", "acts_as"]
    ),
    values
    | st.lists(
        values
        | st.dictionaries(
            st.sampled_from(["input", "since", "hours"]), values | st.lists(values, max_size=2), max_size=2
        ),
        max_size=2,
    ),
    max_size=2,
)


@given(facts)
def test_what_is_taken_is_read(given_facts: Any) -> None:
    """Whatever the validator lets through, the resolver reads whole."""
    try:
        stored = facts_of(given_facts)
    except Invalid:
        return
    row = {
        "id": 1,
        "api": None,
        "pattern": "x",
        "origin": "operator",
        "as_of": "2026-11-26",
        "facts": json.loads(json.dumps(stored)),
    }
    assert overlay.read([row]).problems == ()


def test_there_is_an_end_to_what_admins_say(session: Session, admin: Actor) -> None:
    """At most 1,000 rows; what is withdrawn makes room."""
    session.execute(
        text(
            "INSERT INTO llm_model_facts (pattern, origin, facts, why) SELECT 'm' || n, 'operator', '{\"context\": 1}', 'x' FROM generate_series(1, 1000) n"
        )
    )
    with pytest.raises(Invalid) as raised:
        model_facts.set_facts(session, admin, "o3", OK, why=WHY)
    assert "1,000" in raised.value.fields["pattern"]
    model_facts.withdraw(session, admin, id_of(model_facts.list_all(session)[0]))
    model_facts.set_facts(session, admin, "o3", OK, why=WHY)


def test_contradictions_say_which_wins_and_why(session: Session, admin: Actor) -> None:
    """Of two rows for a model in use; rows that agree, and models that nobody has, are no news."""
    add(session, admin, available_models=["gpt-4o"], default_model="gpt-4o")
    wide = model_facts.set_facts(session, admin, "gpt-*", {"temperature": {"refuse": True}, "context": 5}, why=WHY)
    exact = model_facts.set_facts(session, admin, "gpt-4o", {**OK, "context": 5}, why=WHY)
    model_facts.set_facts(session, admin, "o3*", {"context": 1}, why=WHY)
    model_facts.set_facts(session, admin, "o3", {"context": 2}, why=WHY)

    (clash,) = model_facts.contradictions(session)

    assert (clash.model, clash.key, clash.winner.id, clash.loser.id) == ("gpt-4o", "temperature", exact.id, wide.id)
    assert "names the model in full" in str(clash)
    assert model_facts.warnings(session, wide) == [str(clash)]
    assert "No model of a provider" in model_facts.warnings(session, model_facts.find(session, "o3") or wide)[0]
    everything = model_facts.set_facts(session, admin, "*", {"max_output": 5}, why=WHY)
    assert model_facts.warnings(session, everything)[0] == "It is for every model: 1 in use."


def test_each_fact_says_where_it_comes_from(session: Session, admin: Actor) -> None:
    """Source, row and why of what an admin says, the catalogue's day of the rest, and what is hidden."""
    row = model_facts.set_facts(session, admin, "o3", {"context": 5, "reasoning": "always", "successor": "o9"}, why=WHY)
    explained = model_facts.explain(session, "openai", "o3")
    facts = {fact.name: fact for fact in explained.sourced}

    assert (facts["context"].value, facts["context"].source, facts["context"].row_id, facts["context"].why) == (
        5,
        "operator",
        row.id,
        WHY,
    )
    assert facts["context"].hides == (("catalogue", 200_000),)
    assert (facts["reasoning"].source, facts["reasoning"].row_id, facts["reasoning"].hides) == ("catalogue", None, ())
    assert facts["successor"].source == "operator"
    model_facts.set_facts(session, admin, "house-*", {"context": 7}, why="ours", api="openai")
    (only,) = model_facts.explain(session, "openai", "house-1").sourced  # of which the catalogue says nothing
    assert (only.name, only.value, only.source, only.pattern, only.why) == ("context", 7, "operator", "house-*", "ours")
    assert explained.verdicts["temperature"][0].does == "refuse"
    assert model_facts.explain(session, "compatible", "nobody-knows").sourced == ()


def test_what_the_catalogue_says_by_now_can_go(session: Session, admin: Actor) -> None:
    """An override that changes nothing is named; one that does, or that no model in use needs, is not."""
    add(session, admin, available_models=["o3", "gpt-4o"], default_model="o3")
    same = model_facts.set_facts(
        session, admin, "o3", {"reasoning": "always", "temperature": {"refuse": True}}, why=WHY
    )
    model_facts.set_facts(session, admin, "gpt-4o", {"temperature": {"refuse": True}}, why=WHY)
    model_facts.set_facts(session, admin, "unused", {"context": 1}, why=WHY)

    found = model_facts.agreeing(session)

    assert [row.id for row, _ in found] == [same.id]
    assert "o3" in found[0][1]


@pytest.fixture
def resolver(committed: str, tmp_path: Path) -> Iterator[Resolver]:
    """A resolver on a database of its own, with a snapshot file."""
    found = Resolver(committed, ring=KeyRing("0123456789abcdef" * 4), snapshot_file=tmp_path / "snapshot")
    yield found
    found.close()


def _generation() -> int:
    with db.transaction() as session:
        return int(session.execute(text("SELECT generation FROM settings_generation")).scalar_one())


def test_services_follow_and_their_file_has_it(resolver: Resolver, tmp_path: Path) -> None:
    """A running resolver decides by a new row at once, forgets one that is withdrawn; the file answers the same without database."""
    ada = make_user("ada", "admin")
    with db.transaction() as session:
        add(session, ada, available_models=["o3"], default_model="o3")
    assert resolver.wait_for(_generation(), 20)
    plain = resolver.resolve("acme")
    with db.transaction() as session:
        row_id = id_of(model_facts.set_facts(session, ada, "o3", OK, why=WHY))
    assert resolver.wait_for(_generation(), 20)
    told = resolver.resolve("acme")
    with db.transaction() as session:
        settings.upsert_global(session, ada, None, {"top_p": 0.5})
    assert resolver.wait_for(_generation(), 20)
    kept = resolver.resolve("acme")
    snapshot_file.write(tmp_path / "copy", resolver._snapshot or pytest.fail("none"), 0)
    saved = snapshot_file.read(tmp_path / "copy") or pytest.fail("unread")
    from_file = saved.snapshot.answer("acme", KeyRing(None))
    with db.transaction() as session:
        model_facts.withdraw(session, ada, row_id)
    assert resolver.wait_for(_generation(), 20)

    assert "temperature" not in plain.request_options()
    assert told.request_options()["temperature"] == kept.request_options()["temperature"] == 0.7
    assert from_file.request_options() == kept.request_options()
    assert "temperature" not in resolver.resolve("acme").request_options()
    assert resolver.unread == ()


@pytest.mark.long
def test_rubbish_by_sql_is_said_and_harms_nothing(
    resolver: Resolver, committed: str, caplog: pytest.LogCaptureFixture
) -> None:
    """30,000 patterns, facts that are none, a number of 500 digits: services resolve, their health and the Health page say it."""
    ada = make_user("ada", "admin")
    with db.transaction() as session:
        add(session, ada, available_models=["o3"], default_model="o3")
    assert resolver.wait_for(_generation(), 20)
    with db.transaction() as session:
        for facts in ('{"temperature": 5}', '{"context": 1' + "0" * 5000 + "}", "[" * 150 + "]" * 150):
            wide = facts if facts.startswith("{") else '{"x": ' + facts + "}"
            session.execute(
                text(
                    "INSERT INTO llm_model_facts (pattern, origin, facts, why) VALUES (left(md5(CAST(:f AS text)), 5), 'operator', CAST(:f AS jsonb), 'x')"
                ),
                {"f": wide},
            )
        session.execute(
            text("INSERT INTO llm_model_facts (pattern, origin, facts) VALUES ('o3', 'observed', '{\"context\": 77}')")
        )
    with psycopg.connect(committed, autocommit=True) as connection:  # triggers would take half a minute
        connection.execute("SET session_replication_role = replica")
        connection.execute(
            "INSERT INTO llm_model_facts (pattern, origin, facts, why)"
            " SELECT '*' || n || '*', 'operator', '{\"temperature\": {\"ok\": true}}', 'x' FROM generate_series(1, 30000) n"
        )
        connection.execute("UPDATE settings_generation SET generation = generation + 1")
    assert resolver.wait_for(_generation(), 60)

    assert resolver.resolve("acme").status == "no_key"
    assert "temperature" in resolver.resolve("acme").request_options(), "*3* is one of those that are read"
    assert "unread" in resolver.unread[0]
    assert "is not read, or not all of it" in caplog.text
    with db.transaction() as session:
        found = health.look(session, KeyRing("0123456789abcdef" * 4)).catalogue
        assert not found.ok
        assert len(found.problems) <= 10
        assert knowledge.of(session) is knowledge.of(session)


def test_the_database_keeps_its_rules(committed: str) -> None:
    """Raw SQL meets them too: origin, a why of an admin's row, size, one active row for a pattern; each change is counted."""
    insert = "INSERT INTO llm_model_facts (origin, api, pattern, facts, why) VALUES (%s, %s, %s, %s, %s)"
    good = ("operator", None, "x", Jsonb({"context": 1}), "why")
    with psycopg.connect(committed, autocommit=True) as connection:
        before = _generation()
        connection.execute(insert, good)
        assert _generation() == before + 1
        for wrong in (
            good,
            ("nobody", *good[1:]),
            (*good[:2], "y", good[3], None),
            (*good[:2], "", *good[3:]),
            (*good[:2], "y", Jsonb([1]), "why"),
            (*good[:2], "y", Jsonb({"a": "x" * 65_536}), "why"),
            ("observed", None, "y", Jsonb({"a": "x" * 16_384}), None),
        ):
            with pytest.raises(psycopg.errors.IntegrityError):
                connection.execute(insert, wrong)
        connection.execute(insert, ("observed", *good[1:]))
        connection.execute("TRUNCATE llm_model_facts")
        assert _generation() > before + 2
