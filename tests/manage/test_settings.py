"""Settings rows: who may write which, what a lost update is told, and what is in force afterwards."""

import dataclasses
import inspect
import threading
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import text
from sqlmodel import Session, col, select

from core.access import users
from core.actors import COMMAND_LINE, Actor
from core.errors import AlreadyExists, Conflict, CoreError, Forbidden, Invalid, NotFound
from core.manage import providers, settings
from core.manage.scopes import SettingsScope
from core.parameters import PARAMETERS
from core.resolving.explanation import Source
from core.store import db
from core.store.records import AuditEvent
from core.store.tables import LlmProvider, LlmSettings
from tests.conftest import make_user

NOWHERE = 999_999
SQL = "'; DROP TABLE llm_settings; --"
CANARY = "sk-canary-0123456789abcdef"
EVERY_FIELD: dict[str, Any] = {
    "preferred_model": "m2",
    **{
        name: False if p.value_type is bool else p.choices[-1] if p.choices else p.minimum
        for name, p in PARAMETERS.items()
    },
    "omitted_parameters": ["temperature"],
    "custom_settings": {"a": [1, {"b": None}]},
    "extra_parameters": {"seed": 7, "a": [1, {"b": None}]},
}


def _add(session: Session, actor: Actor, name: str = "openai", **more: Any) -> LlmProvider:
    data = {"name": name, "display_name": name, "kind": "openai", "available_models": ["m1", "m2"]}
    return providers.create(session, actor, {**data, "default_model": "m1", **more})


@pytest.fixture
def provider(session: Session, admin: Actor) -> LlmProvider:
    return _add(session, admin)


def _id(row: LlmProvider | LlmSettings) -> int:
    assert row.id is not None
    return row.id


def test_every_field_is_stored_and_read_back(session: Session, admin: Actor, provider: LlmProvider) -> None:
    """All fields of a row go in and come out the same: 0 and False are values, not nothing."""
    row = settings.upsert_global(session, admin, provider.id, EVERY_FIELD)
    session.expire_all()
    session.refresh(row)

    assert row.model_dump(include=set(EVERY_FIELD)) == EVERY_FIELD
    assert set(EVERY_FIELD) | {"is_active"} == set(settings.FIELDS)
    assert (row.version, row.updated_by, row.organization_id, row.is_active) == (1, "ada", None, True)
    assert settings.get(session, _id(row)) == row


def test_row_is_made_once_for_a_scope(session: Session, admin: Actor, provider: LlmProvider) -> None:
    """The first write to a scope makes its row, the next one changes it; each provider and all have their own."""
    assert settings.get_global(session, None) is None
    everyone = settings.upsert_global(session, admin, None, {"temperature": 0.1})
    own = settings.upsert_global(session, admin, provider.id, {"temperature": 0.2})
    again = settings.upsert_global(session, admin, None, {"top_p": 0.5})

    assert (again.id, again.version, again.temperature, again.top_p) == (everyone.id, 2, 0.1, 0.5)
    assert settings.get_global(session, None) == everyone
    assert settings.get_global(session, provider.id) == own
    assert settings.get_global(session, NOWHERE) is None
    assert settings.list_global(session) == [everyone, own]


def test_patch_changes_what_it_names(session: Session, admin: Actor) -> None:
    """What is not named stays, None inherits again, and an equal or empty patch raises no version."""
    row = settings.upsert_global(session, admin, None, {"temperature": 0.1, "top_p": 0.5, "custom_settings": {"a": 1}})
    settings.update(session, admin, _id(row), {"temperature": None})
    assert (row.temperature, row.top_p, row.custom_settings, row.version) == (None, 0.5, {"a": 1}, 2)
    for nothing in ({}, {"top_p": 0.5}, {"temperature": None}, {"custom_settings": {"a": 1}}):
        assert settings.update(session, admin, _id(row), nothing, version=2).version == 2
    assert settings.update(session, admin, _id(row), {"custom_settings": None}).custom_settings is None


def test_unset_json_is_sql_null(session: Session, admin: Actor) -> None:
    """An inherited JSON field is NULL, not JSON's null: NULL is what inherits."""
    settings.upsert_global(session, admin, None, {"custom_settings": {}, "omitted_parameters": []})
    settings.upsert_global(session, admin, None, {"custom_settings": None, "omitted_parameters": None})

    found = session.execute(
        text("SELECT custom_settings IS NULL AND omitted_parameters IS NULL FROM llm_settings")
    ).scalar()
    assert found is True


@pytest.mark.parametrize(
    ("patch", "field"),
    [
        ({"temperature": 2.1}, "temperature"),
        ({"temperature": float("nan")}, "temperature"),
        ({"max_tokens": "5"}, "max_tokens"),
        ({"log_level": "debug"}, "log_level"),
        ({"preferred_model": "m1"}, "preferred_model"),
        ({"organization_id": 5}, "organization_id"),
        ({"provider_id": 5}, "provider_id"),
        ({"version": 5}, "version"),
        ({"id": 5}, "id"),
        ({"updated_by": "bob"}, "updated_by"),
    ],
)
def test_wrong_input_is_refused_by_field(session: Session, admin: Actor, patch: dict[str, Any], field: str) -> None:
    """CHECKS 25, 53: a value out of its range, a column that is no input, and a model for everybody are refused."""
    row = settings.upsert_global(session, admin, None, {"top_p": 0.5})
    for write in (
        lambda: settings.upsert_global(session, admin, None, patch),
        lambda: settings.update(session, admin, _id(row), patch),
    ):
        with pytest.raises(Invalid) as caught:
            write()
        assert list(caught.value.fields) == [field]
    session.refresh(row)
    assert row.version == 1


def test_preferred_model_is_one_of_the_providers(session: Session, admin: Actor, provider: LlmProvider) -> None:
    """CHECKS 56: a provider's row prefers one of its models, and nothing else; blank is none."""
    row = settings.upsert_global(session, admin, provider.id, {"preferred_model": " m2 "})
    assert row.preferred_model == "m2"
    for wrong in ("m3", "M2", SQL):
        with pytest.raises(Invalid, match="one of the provider's models"):
            settings.upsert_global(session, admin, provider.id, {"preferred_model": wrong})
    assert settings.upsert_global(session, admin, provider.id, {"preferred_model": ""}).preferred_model is None


def test_sql_is_stored_as_text(session: Session, admin: Actor) -> None:
    """CHECKS 57: SQL in keys and values of custom settings, and in the model, is stored literally."""
    made = _add(session, admin, "sql", available_models=[SQL], default_model=None)
    row = settings.upsert_global(session, admin, made.id, {"custom_settings": {SQL: SQL}, "preferred_model": SQL})
    session.expire_all()

    assert (row.custom_settings, row.preferred_model) == ({SQL: SQL}, SQL)
    assert settings.effective(session, "sql").model == SQL


def _writes(session: Session, actor: Actor, row_id: int) -> dict[str, Callable[[], object]]:
    return {
        "upsert_global": lambda: settings.upsert_global(session, actor, None, {"temperature": 0.9}),
        "update": lambda: settings.update(session, actor, row_id, {"temperature": 0.9}),
        "delete": lambda: settings.delete(session, actor, row_id),
        "upsert": lambda: settings.upsert(session, actor, SettingsScope(None, None, row_id), {"temperature": 0.9}),
        "update_override": lambda: settings.update_override(session, actor, row_id, {"temperature": 0.9}),
        "delete_override": lambda: settings.delete_override(session, actor, row_id),
        "find": lambda: settings.find(session, actor, row_id),
        "find_override": lambda: settings.find_override(session, actor, row_id),
        "get_of": lambda: settings.get_of(session, actor, SettingsScope(None, None, row_id)),
        "list_of": lambda: settings.list_of(session, actor, feature_id=row_id),
    }


def test_every_write_needs_an_admin(session: Session, admin: Actor, analyst: Actor) -> None:
    """Analysts, former admins and people who are gone can write nothing; a new write fails until it is listed here."""
    row = settings.upsert_global(session, admin, None, {"temperature": 0.1})
    former = make_user("former", "admin")
    users.set_role(session, admin, former.user_id or 0, "analyst")
    listed = {
        name
        for name, function in vars(settings).items()
        if inspect.isfunction(function)
        and function.__module__ == settings.__name__
        and "actor" in inspect.signature(function).parameters
        and not name.startswith("_")
    }

    assert set(_writes(session, admin, 1)) == listed  # reading rows of a scope is theirs alone too
    for actor in (analyst, former, Actor("ghost", NOWHERE, 1), Actor("ada", admin.user_id, 99)):
        for row_id in (_id(row), NOWHERE):
            for write in _writes(session, actor, row_id).values():
                with pytest.raises(Forbidden):
                    write()
    session.refresh(row)
    assert (row.version, row.temperature) == (1, 0.1)


@pytest.mark.parametrize("number", [NOWHERE, 0, -1, 2**31, 2**63, 10**30])
def test_row_that_is_not_there(session: Session, admin: Actor, number: int) -> None:
    """A row or provider that does not exist is not found, also by a number no column can hold."""
    for ask in (
        lambda: settings.get(session, number),
        lambda: settings.update(session, admin, number, {}),
        lambda: settings.delete(session, admin, number),
        lambda: settings.upsert_global(session, admin, number, {}),
    ):
        with pytest.raises(NotFound):
            ask()
    with pytest.raises(NotFound, match="version"):
        settings.upsert_global(session, admin, None, {"temperature": 0.1}, version=3)


def test_stale_edit_is_told_both_values(session: Session, admin: Actor) -> None:
    """CHECKS 59: whoever saves second sees who was first and both values, whichever function they save by."""
    bob = make_user("bob", "admin")
    row = settings.upsert_global(session, admin, None, {"temperature": 0.1, "top_p": 0.5}, version=0)
    settings.upsert_global(session, bob, None, {"temperature": 0.2, "max_retries": 1}, version=1)

    patch = {"temperature": 0.3, "top_p": 0.5, "log_level": "minimal"}
    for write in (
        lambda: settings.upsert_global(session, admin, None, patch, version=1),
        lambda: settings.update(session, admin, _id(row), patch, version=1),
    ):
        with pytest.raises(Conflict, match="changed by bob") as caught:
            write()
        assert (caught.value.version, caught.value.changed_by) == (2, "bob")
        assert caught.value.changes == {
            "temperature": (0.2, 0.3),
            "max_retries": (1, 1),
            "log_level": (None, "minimal"),
        }
    for version in (0, 1, 3, -1):
        with pytest.raises(Conflict):
            settings.delete(session, admin, _id(row), version=version)
    with pytest.raises(Conflict):
        settings.upsert_global(session, admin, None, patch, version=0)
    assert settings.update(session, admin, _id(row), patch, version=2).version == 3


def test_deleting_inherits_again(session: Session, admin: Actor, provider: LlmProvider) -> None:
    """Without its row a scope inherits; the next write makes a new row."""
    row = settings.upsert_global(session, admin, provider.id, {"temperature": 0.1})
    assert settings.effective(session, "openai").temperature == 0.1
    settings.delete(session, admin, _id(row), version=1)

    assert settings.effective(session, "openai").source("temperature") == Source("built_in")
    assert settings.get_global(session, provider.id) is None
    assert settings.upsert_global(session, admin, provider.id, {}, version=0).id != row.id


def test_history_is_kept_by_field(session: Session, admin: Actor, provider: LlmProvider) -> None:
    """Each field knows who changed it, when and in which version; raw SQL is put down to its role."""
    bob = make_user("bob", "admin")
    row = settings.upsert_global(session, admin, provider.id, {"temperature": 0.1, "top_p": 0.5})
    settings.upsert_global(session, bob, provider.id, {"top_p": 0.6})
    session.execute(text("SELECT set_config('llm_settings.actor', '', true)"))
    session.execute(text("UPDATE llm_settings SET max_tokens = 5, version = 90"))
    session.expire_all()
    role = f"{session.execute(text('SELECT session_user')).scalar()} (SQL)"
    answer = settings.effective(session, "openai")

    whom = {"temperature": ("ada", 1), "top_p": ("bob", 2), "max_tokens": (role, 3)}
    for name, (by, version) in whom.items():
        source = answer.source(name)
        assert (source.layer, source.row_id, source.changed_by, source.version) == ("provider", row.id, by, version)
        assert source.changed_at is not None
    assert (row.version, row.updated_by) == (3, role)


def test_each_change_is_one_event(session: Session, admin: Actor, provider: LlmProvider) -> None:
    """Making, changing and deleting a row are on record with what changed, under the scope's name; no change is no event."""
    own = settings.upsert_global(session, admin, provider.id, {"temperature": 0.1})
    settings.upsert_global(session, admin, provider.id, {"temperature": 0.2, "top_p": None})
    settings.update(session, admin, _id(own), {"temperature": 0.2})
    everyone = settings.upsert_global(session, admin, None, {"top_p": 0.5})
    settings.delete(session, admin, _id(everyone))
    found = select(AuditEvent).where(col(AuditEvent.action).startswith("settings.")).order_by(col(AuditEvent.id))
    events = [(each.action, each.target, each.target_id, each.changes) for each in session.exec(found)]

    assert [event[:3] for event in events] == [
        ("settings.create", "openai", own.id),
        ("settings.update", "openai", own.id),
        ("settings.create", "all providers", everyone.id),
        ("settings.delete", "all providers", everyone.id),
    ]
    changed = [
        {name: tuple(change[name] for name in ("before", "after")) for name, change in event[3].items()}
        for event in events
    ]
    assert [change.get("temperature") for change in changed] == [(None, 0.1), (0.1, 0.2), None, None]
    assert [change.get("top_p") for change in changed] == [None, None, (None, 0.5), (0.5, None)]


def test_what_is_stored_is_read_at_once(session: Session, admin: Actor, provider: LlmProvider) -> None:
    """All effective settings of one moment are those that each has; what nobody overrides is the installation's own."""
    assert settings.load(session).own().temperature == PARAMETERS["temperature"].default
    settings.upsert_global(session, admin, provider.id, {"temperature": 0.1})
    settings.upsert_global(session, admin, None, {"temperature": 0.2, "top_p": 0.5})
    _add(session, admin, "other")
    stored = settings.load(session)

    for name in ("openai", "other"):
        assert stored.effective(name) == dataclasses.replace(
            settings.effective(session, name), generation=stored.generation
        )
    assert stored.effective("openai").temperature == 0.1
    own = stored.own()
    assert (own.temperature, own.top_p, own.model, own.status, own.generation) == (
        *(0.2, 0.5, None, "disabled"),
        stored.generation,
    )


def test_inactive_row_is_ignored(session: Session, admin: Actor, provider: LlmProvider) -> None:
    """A row that is switched off counts for nothing, and its scope may have a new one."""
    row = settings.upsert_global(session, admin, provider.id, {"temperature": 0.1})
    settings.update(session, admin, _id(row), {"is_active": False})

    assert settings.effective(session, "openai").temperature == 0.7
    assert settings.list_global(session) == []
    other = settings.upsert_global(session, admin, provider.id, {"temperature": 0.2})
    assert other.id != row.id
    assert settings.effective(session, "openai").temperature == 0.2


@pytest.mark.parametrize("everybody", [True, False])
def test_second_active_row_of_a_scope_is_refused(
    session: Session, admin: Actor, provider: LlmProvider, *, everybody: bool
) -> None:
    """CHECKS 58: switching on a row whose scope has one already is refused in words; NULL scopes are one scope."""
    scope = None if everybody else provider.id
    row = settings.upsert_global(session, admin, scope, {"temperature": 0.1})
    settings.update(session, admin, _id(row), {"is_active": False})
    settings.upsert_global(session, admin, scope, {"temperature": 0.2})

    with pytest.raises(AlreadyExists, match="all providers" if everybody else f"provider {scope}"):
        settings.update(session, admin, _id(row), {"is_active": True})


def test_rows_of_organisations_are_left_alone(session: Session, admin: Actor, provider: LlmProvider) -> None:
    """Rows with an organisation are for a later version: nothing here reads or changes them."""
    session.execute(text("INSERT INTO organizations (id, slug, name) VALUES (1, 'acme', 'Acme')"))
    session.execute(text("INSERT INTO llm_settings (organization_id, temperature) VALUES (1, 0.1)"))

    assert settings.get_global(session, None) is None
    assert settings.list_global(session) == []
    assert settings.effective(session, provider.name).temperature == 0.7
    assert settings.upsert_global(session, admin, None, {"temperature": 0.2}).temperature == 0.2


def test_effective_is_the_cascade(session: Session, admin: Actor, provider: LlmProvider) -> None:
    """All providers below, the provider above, another provider's row not at all."""
    other = _add(session, admin, "other")
    settings.upsert_global(session, admin, None, {"temperature": 0.1, "top_p": 0.1})
    settings.upsert_global(session, admin, provider.id, {"temperature": 0.2, "preferred_model": "m2"})
    settings.upsert_global(session, admin, other.id, {"temperature": 0.3})
    answer = settings.effective(session, "openai")

    assert (answer.temperature, answer.top_p, answer.max_tokens, answer.model) == (0.2, 0.1, 2000, "m2")
    assert answer.status == "no_key"
    assert settings.effective(session, "other").temperature == 0.3
    providers.set_api_key(session, admin, _id(provider), CANARY)
    answer = settings.effective(session, "openai")
    assert (answer.status, answer.api_key()) == ("ok", CANARY)


@pytest.mark.parametrize("name", ["nope", "", "\x00", "\ud800", "x" * 10_000, "OPENAI", "%", SQL])
@pytest.mark.usefixtures("provider")
def test_unknown_name_is_a_status(session: Session, name: str) -> None:
    """CHECKS 54, 57: whatever name is asked for, the answer is the built-in defaults and unknown_provider."""
    answer = settings.effective(session, name)

    assert (answer.status, answer.provider, answer.temperature) == ("unknown_provider", name, 0.7)
    assert settings.effective(session, "openai").status == "no_key"


def test_draft_is_seen_as_if_it_were_saved(session: Session, admin: Actor, provider: LlmProvider) -> None:
    """Unsaved values show in the preview, with what they hide; nothing is written."""
    settings.upsert_global(session, admin, None, {"temperature": 0.1, "top_p": 0.1})
    own = settings.upsert_global(session, admin, provider.id, {"temperature": 0.2, "max_tokens": 5})
    draft = {"temperature": 0.9, "max_tokens": None, "top_p": 0.1, "preferred_model": "m2"}
    answer = settings.effective(session, "openai", draft=(provider.id, draft))

    assert (answer.temperature, answer.max_tokens, answer.top_p, answer.model) == (0.9, 2000, 0.1, "m2")
    assert answer.source("temperature") == Source("provider", own.id, 1)
    assert answer.source("top_p").layer == "provider"
    shadows = next(e for e in answer.explain() if e.name == "temperature").shadows
    assert [(source.layer, value) for source, value in shadows] == [("all_providers", 0.1), ("built_in", 0.7)]
    assert settings.effective(session, "openai").temperature == 0.2
    assert own.version == 1


def test_draft_of_an_unchanged_value_keeps_its_history(session: Session, admin: Actor, provider: LlmProvider) -> None:
    """What the draft leaves as stored is still put down to who stored it."""
    settings.upsert_global(session, admin, provider.id, {"temperature": 0.2, "top_p": 0.3})
    answer = settings.effective(session, "openai", draft=(provider.id, {"temperature": 0.2, "top_p": 0.4}))

    assert (answer.source("temperature").changed_by, answer.source("top_p").changed_by) == ("ada", None)


def test_draft_of_all_providers(session: Session, admin: Actor, provider: LlmProvider) -> None:
    """A draft of the lower layer stays below the provider's own values, with or without a stored row."""
    settings.upsert_global(session, admin, provider.id, {"temperature": 0.2})
    for _ in range(2):
        answer = settings.effective(session, "openai", draft=(None, {"temperature": 0.9, "top_p": 0.4}))
        assert (answer.temperature, answer.top_p, answer.max_tokens) == (0.2, 0.4, 2000)
        settings.upsert_global(session, admin, None, {"temperature": 0.1})


def test_draft_of_a_scope_without_a_row(session: Session, provider: LlmProvider) -> None:
    """A draft may be of a scope that has no row yet; the values it does not name inherit."""
    answer = settings.effective(session, "openai", draft=(provider.id, {"omitted_parameters": ["top_p"]}))

    (omitted,) = [each for each in answer.explain() if each.omitted_by]
    assert answer.omitted == ("top_p",)
    assert (omitted.name, omitted.omitted_by) == ("top_p", Source("provider", 0, 0))
    assert answer.source("temperature") == Source("built_in")


def test_draft_of_another_provider_changes_nothing(session: Session, admin: Actor, provider: LlmProvider) -> None:
    """Saving another provider's row would change nothing here: neither does its draft."""
    other = _add(session, admin, "other")
    settings.upsert_global(session, admin, provider.id, {"temperature": 0.2})

    assert settings.effective(session, "openai", draft=(other.id, {"temperature": 0.9})).temperature == 0.2


def test_draft_that_switches_a_row_off(session: Session, admin: Actor, provider: LlmProvider) -> None:
    """A draft that switches its row off shows what would be inherited."""
    settings.upsert_global(session, admin, provider.id, {"temperature": 0.2})

    assert settings.effective(session, "openai", draft=(provider.id, {"is_active": False})).temperature == 0.7


def test_database_refuses_what_the_rules_refuse(session: Session, provider: LlmProvider) -> None:
    """CHECKS 53, 58: raw SQL meets the same walls: ranges, shapes, one row a scope, no model for everybody."""
    scope = f"provider_id = {provider.id}"
    session.execute(text("INSERT INTO llm_settings (provider_id) VALUES (:p)"), {"p": provider.id})
    for statement in (
        "INSERT INTO llm_settings (temperature) VALUES ('NaN')",
        "INSERT INTO llm_settings (preferred_model) VALUES ('m1')",
        "INSERT INTO llm_settings (is_active) VALUES (NULL)",
        "INSERT INTO llm_settings (custom_settings) VALUES ('[1]')",
        """INSERT INTO llm_settings (custom_settings) VALUES (jsonb_build_object('a', repeat('x', 40000)))""",
        "INSERT INTO llm_settings (omitted_parameters) VALUES ('{}')",
        f"INSERT INTO llm_settings (provider_id) VALUES ({NOWHERE})",
        f"INSERT INTO llm_settings (provider_id) SELECT provider_id FROM llm_settings WHERE {scope}",
        "INSERT INTO llm_settings (temperature) VALUES (0.1), (0.2)",
    ):
        with pytest.raises(db.DBAPIError, match="constraint"), session.begin_nested():
            session.execute(text(statement))


def _together(*works: Callable[[Session], object]) -> list[object]:
    """Run each work in a thread and a transaction of its own, at once; return results and errors."""
    start = threading.Barrier(len(works))
    outcomes: list[object] = [None] * len(works)

    def run(number: int) -> None:
        try:
            with db.transaction() as session:
                session.execute(text("SELECT 1"))
                start.wait(5)
                outcomes[number] = works[number](session)
        except CoreError as error:
            outcomes[number] = error

    threads = [threading.Thread(target=run, args=(n,)) for n in range(len(works))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return outcomes


@pytest.mark.parametrize("everybody", [True, False])
def test_two_who_make_the_same_row(committed: str, *, everybody: bool) -> None:  # noqa: ARG001 - where it happens
    """CHECKS 58: of two who make the row of one scope at once, one makes it and the other is told; one row is left."""
    with db.transaction() as session:
        scope = None if everybody else _add(session, COMMAND_LINE).id
    seen: list[str] = []
    for _ in range(5):
        outcomes = _together(
            *[
                lambda s, t=temperature: settings.upsert_global(s, COMMAND_LINE, scope, {"temperature": t}, version=0)
                for temperature in (0.1, 0.2)
            ]
        )
        seen += sorted(type(outcome).__name__ for outcome in outcomes)
        with db.transaction() as session:
            rows = settings.list_global(session)
            assert [row.provider_id for row in rows] == [scope]
            settings.delete(session, COMMAND_LINE, _id(rows[0]))

    assert seen.count("LlmSettings") == 5
    assert seen.count("AlreadyExists") + seen.count("Conflict") == 5


def test_two_admins_edit_the_same_row(committed: str) -> None:  # noqa: ARG001 - the database it happens in
    """CHECKS 59: of two edits based on one version one is saved, and the other sees both values and who."""
    actors = [make_user(name, "admin") for name in ("ada", "bob")]
    with db.transaction() as session:
        row_id = _id(settings.upsert_global(session, COMMAND_LINE, None, {"temperature": 1.0}))
    for version in range(1, 6):
        values = [version / 10, version / 10 + 0.01]
        outcomes = _together(
            lambda s, v=version, x=values[0]: settings.update(s, actors[0], row_id, {"temperature": x}, version=v),
            lambda s, v=version, x=values[1]: settings.upsert_global(s, actors[1], None, {"temperature": x}, version=v),
        )
        saved = [n for n, outcome in enumerate(outcomes) if isinstance(outcome, LlmSettings)]
        assert len(saved) == 1
        conflict = outcomes[1 - saved[0]]
        assert isinstance(conflict, Conflict)
        assert (conflict.version, conflict.changed_by) == (version + 1, actors[saved[0]].name)
        assert conflict.changes == {"temperature": (values[saved[0]], values[1 - saved[0]])}


def test_what_was_read_before_is_read_again(committed: str) -> None:  # noqa: ARG001 - the database it happens in
    """CHECKS 59: a transaction that had looked at the row before somebody else saved it does not pass over that."""
    with db.transaction() as session:
        provider_id = _id(_add(session, COMMAND_LINE))
        row_id = _id(settings.upsert_global(session, COMMAND_LINE, provider_id, {"temperature": 1.0}))
    writes: list[Callable[[Session], object]] = [
        lambda s: settings.upsert_global(s, COMMAND_LINE, provider_id, {"temperature": 0.1}, version=1),
        lambda s: settings.update(s, COMMAND_LINE, row_id, {"temperature": 0.1}, version=1),
        lambda s: settings.delete(s, COMMAND_LINE, row_id, version=1),
        lambda s: providers.update(s, COMMAND_LINE, provider_id, {"display_name": "x"}, version=1),
        lambda s: providers.delete(s, COMMAND_LINE, provider_id, version=1),
    ]
    with db.transaction() as session:
        seen = settings.get(session, row_id), providers.get(session, provider_id)
        assert (seen[0].version, seen[1].version) == (1, 1)
        with db.transaction() as other:
            settings.update(other, COMMAND_LINE, row_id, {"temperature": 0.2})
            providers.update(other, COMMAND_LINE, provider_id, {"display_name": "other"})
        for write in writes:
            with pytest.raises(Conflict) as caught, session.begin_nested():
                write(session)
            assert caught.value.version == 2
        with db.transaction() as other:
            providers.update(other, COMMAND_LINE, provider_id, {"available_models": ["m1"]})
        with pytest.raises(Invalid, match="one of the provider's models"):
            settings.upsert_global(session, COMMAND_LINE, provider_id, {"preferred_model": "m2"})


def test_edit_while_the_model_goes(committed: str) -> None:  # noqa: ARG001 - the database it happens in
    """CHECKS 56: one prefers a model while the other takes it away: one of them is refused, never both saved."""
    for round_ in range(5):
        with db.transaction() as session:
            scope = _id(_add(session, COMMAND_LINE, f"p{round_}"))
        outcomes = _together(
            lambda s, p=scope: settings.upsert_global(s, COMMAND_LINE, p, {"preferred_model": "m2"}),
            lambda s, p=scope: providers.update(s, COMMAND_LINE, p, {"available_models": ["m1"]}),
        )
        assert sum(isinstance(outcome, Invalid) for outcome in outcomes) == 1


def test_parameters_and_columns_are_the_same() -> None:
    """Every parameter has a column and an input field of its name."""
    assert set(PARAMETERS) < set(LlmSettings.model_fields) & set(settings.FIELDS)
