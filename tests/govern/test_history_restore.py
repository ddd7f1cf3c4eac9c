"""Restore and undo: what was becomes a new write, by the rules and rights of today; keys never come back."""

from random import Random
from typing import Any

import pytest
from sqlalchemy import text
from sqlmodel import Session, select

from core.access import users
from core.actors import COMMAND_LINE, Actor
from core.errors import Conflict, CoreError, Forbidden, Invalid, NotFound
from core.govern import history, history_restore, history_writers
from core.govern.history_moments import newest
from core.govern.history_queries import Filters
from core.manage import features, organization_keys, organization_members, organizations, providers, settings
from core.manage.scopes import SettingsScope
from core.store import db, past
from core.store.records import AuditEvent
from core.store.table import id_of
from core.store.tables import LlmProvider, LlmSettings
from tests.conftest import PASSWORD
from tests.govern import history_writes

ADA, BOB = Actor("ada"), Actor("bob")
MADE = {"name": "openai", "display_name": "O", "kind": "openai", "available_models": ["m", "n"], "default_model": "m"}


def _write(work: Any) -> int:
    """Do *work* in a transaction; return its generation."""
    with db.transaction() as session:
        work(session)
    return _now()


def _now() -> int:
    with db.transaction() as session:
        return newest(session).generation


def _row(session: Session, provider: int | None = None) -> Any:
    return session.exec(select(LlmSettings).where(LlmSettings.provider_id == provider)).one_or_none()


def _made(outcome: history_restore.RowOutcome) -> dict[str, Any]:
    """What is made again with an id of its own, where no key finds it: as the outcome says."""
    assert outcome.done == "made"
    return {name: after for name, (_, after) in outcome.fields.items()}


@pytest.fixture
def _random_store(committed: str) -> str:
    """A store that many random writes have gone over."""
    random = Random(12)
    for _ in range(60):
        with db.transaction() as session:
            history_writes.write(session, Actor(random.choice(["ada", "bob"])), random)
    return committed


@pytest.mark.usefixtures("_random_store")
def test_a_restored_row_is_what_it_was() -> None:
    """Of a random history each version of each row is restored, or refused with a reason; what is restored is as it was then, field by field, and on record."""
    with db.transaction() as session:
        query = "SELECT table_name, row_id, generation, image FROM settings_history WHERE image IS NOT NULL ORDER BY generation, table_name, row_id"
        versions = session.execute(text(query)).all()
    done = refused = 0
    for table, row_id, generation, image in Random(3).sample(list(versions), 60):
        try:
            with db.transaction() as session:
                outcome = history_restore.restore_row(session, ADA, table, row_id, generation)
                writer = history_writers.writer_of(table)
                wanted = history_writers.with_ids_of_today(session, image)
                now = writer.now(session, row_id, image) or _made(outcome)
        except CoreError:
            refused += 1
            continue
        assert {name: now.get(name) for name in writer.fields} == {
            name: wanted.get(name, now.get(name) if name not in writer.nullable else None) for name in writer.fields
        }, (table, row_id, generation)
        assert outcome.done != "made" or outcome.fields, (table, row_id, generation)
        done += 1
    assert done > 25
    assert refused < done
    with db.transaction() as session:
        assert len(session.exec(select(AuditEvent).where(AuditEvent.action == "settings.restore")).all()) > 10


@pytest.mark.usefixtures("committed")
def test_a_restored_organisation_is_as_of_then() -> None:
    """Restored to each generation of a random history, an organisation has what it had, but for what is refused by name; a preview writes nothing."""
    random = Random(5)
    with db.transaction() as session:
        for _ in range(12):
            history_writes.write(session, ADA, random)
        session.execute(text("DELETE FROM llm_limits"))  # today's limits hold for what is restored: another test's
        number = id_of(organizations.create_one(session, ADA, {"slug": "acme", "name": "Acme"}))
        providers.create(session, ADA, MADE)
    for turn in range(14):
        with db.transaction() as session:
            row = session.exec(select(LlmProvider).order_by(LlmProvider.id)).first()
            scope = SettingsScope(random.choice([None, row.id if row else None]), number, None)
            settings.upsert(session, Actor(random.choice(["ada", "bob"])), scope, history_writes.values(random))
            if turn % 3 == 0 and row is not None:
                organization_keys.update(
                    session, ADA, number, row.id or 0, {"is_allowed": random.choice([True, False])}
                )
            if turn % 4 == 1:
                organizations.update(session, ADA, number, {"name": f"Acme {turn}", "slug": f"acme-{turn}"})
            if turn == 9:
                found = settings.list_of(session, ADA, organization_id=number)
                settings.delete(session, ADA, id_of(found[0]))
    last = _now()
    for generation in range(last - 13, last, 3):
        before = _now()
        with db.transaction() as session:
            preview = history_restore.restore_organization(session, ADA, number, generation, dry_run=True)
        assert _now() == before
        with db.transaction() as session:
            done = history_restore.restore_organization(session, ADA, number, generation, looked_at=preview.looked_at)
            assert done.outcomes == preview.outcomes
            assert not done.refused
        with db.transaction() as session:
            now = _of(session, number)
            with past.reading(session, past.Past(generation, None)) as then:
                assert now == _of(then, number), generation


@pytest.mark.usefixtures("committed")
def test_an_organisation_of_many_rows_is_restored_whole_or_not_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """More rows than a list of differences has are all restored; more than are restored at once are refused, with the cure, and none is."""
    monkeypatch.setattr(history, "MOST", 3)
    with db.transaction() as session:
        number = id_of(organizations.create_one(session, ADA, {"slug": "acme", "name": "Acme"}))
        scopes = [
            SettingsScope(None, number, id_of(features.create(session, ADA, {"name": f"f{n}", "display_name": "F"})))
            for n in range(5)
        ]

    def write(tokens: int) -> int:
        return _write(lambda s: [settings.upsert(s, ADA, scope, {"max_tokens": tokens}) for scope in scopes])

    then, now = write(100), write(200)
    with db.transaction() as session:
        listed = history.difference(session, ADA, then, now, organization_id=number)
        assert (len(listed.rows), listed.is_cut) == (3, True)
        monkeypatch.setattr(history_restore, "MOST_AT_ONCE", 4)
        with pytest.raises(Invalid, match=r"more than 4 rows that differ .* nothing was changed\. Restore row by row"):
            history_restore.restore_organization(session, ADA, number, then)
    assert _now() == now
    monkeypatch.setattr(history_restore, "MOST_AT_ONCE", 5)
    with db.transaction() as session:
        done = history_restore.restore_organization(session, ADA, number, then)
        assert [each.fields for each in done.outcomes] == [{"max_tokens": (200, 100)}] * 5


def _of(session: Session, number: int) -> Any:
    found = []
    for table in ("organizations", "organization_providers", "llm_settings", "feature_llm_overrides"):
        column = "id" if table == "organizations" else "organization_id"
        fields = history_writers.writer_of(table).fields
        keys = history_writers.writer_of(table).key
        for image in session.scalars(
            text(f"SELECT to_jsonb(t) FROM (SELECT * FROM {table}) t WHERE {column} = {number}")
        ):
            values = {name: image[name] for name in (*keys, *fields)}
            if table != "organization_providers" or any(
                value not in (None, False, []) for value in list(values.values())[2:]
            ):
                found.append((table, sorted(values.items(), key=str)))
    return sorted(found, key=str)


@pytest.mark.usefixtures("committed")
def test_one_field_and_a_preview() -> None:
    """One field is put back and the others stay; a preview says what would change, and writes nothing."""
    first = _write(lambda s: settings.upsert(s, ADA, SettingsScope(), {"temperature": 0.1, "max_tokens": 100}))
    _write(lambda s: settings.upsert(s, BOB, SettingsScope(), {"temperature": 0.9, "max_tokens": 900}))
    with db.transaction() as session:
        row = _row(session)
        args = ("llm_settings", row.id, first)
        preview = history_restore.restore_row(
            session, ADA, *args, fields=["max_tokens"], version=row.version, dry_run=True
        )
        assert _row(session).max_tokens == 900
        done = history_restore.restore_row(session, ADA, *args, fields=["max_tokens"], version=row.version)
        assert preview == done
        assert done.fields == {"max_tokens": (900, 100)}
    with db.transaction() as session:
        assert (_row(session).temperature, _row(session).max_tokens) == (0.9, 100)
        changed = history.changes(session, ADA, limit=1).rows[0]
        assert (changed.by, changed.fields) == ("ada", {"max_tokens": (900, 100)})
        forward = history_restore.restore_row(session, ADA, "llm_settings", row.id, first + 1)
        assert forward.fields == {"max_tokens": (100, 900)}  # what came after is not lost by going back
        with pytest.raises(Invalid, match="temprature"):
            history_restore.restore_row(session, ADA, *args, fields=["temprature"])


@pytest.mark.usefixtures("committed")
def test_a_row_that_moved_on_is_a_conflict() -> None:
    """Who decides by what is not there any more is told both values, for one row and for an organisation."""
    with db.transaction() as session:
        number = id_of(organizations.create_one(session, ADA, {"slug": "acme", "name": "Acme"}))
    scope = SettingsScope(organization_id=number)
    first = _write(lambda s: settings.upsert(s, ADA, scope, {"max_tokens": 100}))
    looked = _write(lambda s: settings.upsert(s, ADA, scope, {"max_tokens": 200}))
    _write(lambda s: settings.upsert(s, BOB, scope, {"max_tokens": 300}))
    with db.transaction() as session:
        row = settings.get_of(session, ADA, scope)
        assert row is not None
        with pytest.raises(Conflict) as refused:
            history_restore.restore_row(session, ADA, "llm_settings", id_of(row), first, version=row.version - 1)
        assert refused.value.changes["max_tokens"] == (300, 100)
        assert refused.value.changed_by == "bob"
    with db.transaction() as session:
        done = history_restore.restore_organization(session, ADA, number, first, looked_at=looked)
        assert [(each.done, each.table) for each in done.outcomes] == [("refused", "llm_settings")]
        assert "bob" in done.outcomes[0].problem


@pytest.mark.usefixtures("committed")
def test_what_is_gone_is_named_with_the_cure() -> None:
    """A row whose provider is gone is refused until the provider is there again, under its name, with an id of its own; its key does not come back."""
    with db.transaction() as session:
        number = id_of(providers.create(session, ADA, {**MADE, "api_key": history_writes.KEY}))
    first = _write(
        lambda s: settings.upsert(s, ADA, SettingsScope(number), {"max_tokens": 100, "preferred_model": "n"})
    )
    with db.transaction() as session:
        row = id_of(_row(session, number))
        providers.delete(session, ADA, number)
    with (
        db.transaction() as session,
        pytest.raises(NotFound, match="'openai', which it belongs to, is gone: make it again"),
    ):
        history_restore.restore_row(session, ADA, "llm_settings", row, first)
    with db.transaction() as session:
        made = history_restore.restore_row(session, ADA, "llm_providers", number, first, version=0)
        assert made.done == "made"
        assert "key does not come back" in made.notes[0]
        assert history_restore.restore_row(session, ADA, "llm_settings", row, first).done == "made"
        again = providers.get_by_name(session, "openai")
        assert again.id != number
        assert again.api_key_encrypted is None
        assert _row(session, again.id).preferred_model == "n"
    with db.transaction() as session, pytest.raises(Conflict):
        history_restore.restore_row(session, ADA, "llm_settings", row, first, version=0)


# --- undo ---


@pytest.mark.usefixtures("committed")
def test_undo_takes_one_write_back() -> None:
    """What one write changed, made and deleted is as before; others' writes, and what was changed since, are not taken back."""

    def make(session: Session) -> None:
        providers.create(session, ADA, MADE)
        settings.upsert(session, ADA, SettingsScope(), {"max_tokens": 100})
        features.create(session, ADA, {"name": "classify", "display_name": "C"})

    def change(session: Session) -> None:
        settings.upsert(session, ADA, SettingsScope(), {"max_tokens": 900})
        settings.upsert(session, ADA, SettingsScope(id_of(providers.get_by_name(session, "openai"))), {"max_tokens": 5})
        features.delete(session, ADA, id_of(features.get_by_name(session, "classify")))

    _write(make)
    generation = _write(change)
    with db.transaction() as session, pytest.raises(Forbidden, match="Only who made"):
        history_restore.undo(session, BOB, generation)
    with db.transaction() as session:
        preview = history_restore.undo(session, ADA, generation, dry_run=True)
        done = history_restore.undo(session, ADA, generation)
        assert done.outcomes == preview.outcomes
        assert {(each.table, each.done) for each in done.outcomes} == {
            ("llm_settings", "changed"),
            ("llm_settings", "deleted"),
            ("llm_features", "made"),
        }
    undone = _now()
    with db.transaction() as session:
        assert _row(session).max_tokens == 100
        assert features.get_by_name(session, "classify")
        assert len(session.exec(select(LlmSettings)).all()) == 1
    _write(lambda s: settings.upsert(s, BOB, SettingsScope(), {"max_tokens": 7}))
    with db.transaction() as session, pytest.raises(Conflict) as refused:
        history_restore.undo(session, ADA, undone)
    assert refused.value.changes == {"max_tokens": (7, 900)}
    with db.transaction() as session, pytest.raises(Invalid):
        history_restore.undo(session, ADA, undone + 99)


# --- who may ---


@pytest.mark.usefixtures("committed")
def test_an_organisation_s_admin_restores_what_is_theirs_alone() -> None:
    """An admin of acme sees and restores acme's; what is beta's, or nobody's, is to them as what is not there; analysts restore nothing and read no custom settings."""
    with db.transaction() as session:
        users.bootstrap(session, "root", PASSWORD)
        acme, beta = (id_of(organizations.create_one(session, ADA, {"slug": s, "name": s})) for s in ("acme", "beta"))
        eve, ann = (users.add(session, COMMAND_LINE, name, PASSWORD, "member") for name in ("eve", "ann"))
        organization_members.set_member(session, ADA, acme, id_of(eve), "admin")
        organization_members.set_member(session, ADA, acme, id_of(ann), "analyst")
        for user in (eve, ann):
            user.must_change_password = False
        session.flush()
        actors = [Actor(user.username, user.id, user.auth_epoch) for user in (eve, ann)]
    admin, analyst = actors
    rows: dict[int | None, int] = {}
    for of in (acme, beta, None):
        for number in (100, 200):
            values = {"max_tokens": number, "custom_settings": {"secret": number}}
            first = _write(
                lambda s, of=of, values=values: settings.upsert(s, ADA, SettingsScope(organization_id=of), values)
            )
        with db.transaction() as session:
            rows[of] = id_of(session.exec(select(LlmSettings).where(LlmSettings.organization_id == of)).one())
    with db.transaction() as session:
        seen = history.changes(session, admin).rows
        assert {row.organization_id for row in seen} == {acme}
        assert {row.by for row in seen} == {"installation"}
        assert ("custom_settings", ({"secret": 100}, {"secret": 200})) in seen[0].fields.items()
        assert history.changes(session, admin, Filters(by="ada", organization_id=acme)).rows == []
        shown = history.changes(session, analyst, Filters(organization_id=acme)).rows
        assert [row.generation for row in shown] == [row.generation for row in seen]
        assert "secret" not in str(shown)
        assert shown[0].hidden == ("custom_settings",)
        assert history.changes(session, analyst, Filters(acme, field="custom_settings")).rows == []
    for of in (beta, None, 999):
        row = rows.get(of, 999) if of != 999 else 999
        for actor in actors:
            with db.transaction() as session, pytest.raises(NotFound) as refused:
                history_restore.restore_row(session, actor, "llm_settings", row, first)
            assert str(refused.value).startswith(f"There is no version 'llm_settings {row} at generation {first}'.")
    for of in (beta, 999):
        with db.transaction() as session, pytest.raises(NotFound):
            history.changes(session, admin, Filters(of))
        with db.transaction() as session, pytest.raises(NotFound):
            history_restore.restore_organization(session, admin, of, first)
    with (
        db.transaction() as session,
        pytest.raises(NotFound),
        history.as_of(session, admin, first, organization="beta"),
    ):
        pass
    with db.transaction() as session, pytest.raises(Forbidden):
        history_restore.restore_row(session, analyst, "llm_settings", rows[acme], first)
    with db.transaction() as session:
        of_acme = Filters(acme, table="llm_settings")
        oldest = history.changes(session, admin, of_acme).rows[-1].generation
        done = history_restore.restore_row(session, admin, "llm_settings", rows[acme], oldest)
        assert done.fields["max_tokens"] == (200, 100)
    theirs = SettingsScope(organization_id=acme)
    hers = _write(lambda session: settings.upsert(session, admin, theirs, {"top_p": 0.5}))
    _write(lambda session: settings.upsert(session, ADA, theirs, {"top_p": 0.6}))
    with db.transaction() as session, pytest.raises(Conflict) as quicker:
        history_restore.undo(session, admin, hers)
    assert quicker.value.changed_by == "installation"
