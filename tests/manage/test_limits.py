"""Limits are set by who may, checked as a whole, counted before they are saved, obeyed by every save, and lifted without a loss."""

import re
from typing import Any

import psycopg
import pytest
from sqlalchemy import event, text
from sqlmodel import Session, col, select

from core.access import users
from core.actors import COMMAND_LINE, Actor
from core.audit.record import ORGANIZATION
from core.errors import AlreadyExists, Conflict, Forbidden, Invalid, NotFound
from core.manage import features, limit_effects, limits, organization_members, organizations, providers, settings
from core.manage.hierarchy import AskedFor, in_force
from core.manage.scopes import GLOBAL, SettingsScope
from core.manage.several import Change, apply
from core.store import db
from core.store.organization_tables import LlmLimits
from core.store.records import AuditEvent
from core.store.table import id_of
from tests.bench import organizations as organizations_of_bench
from tests.conftest import PASSWORD


@pytest.fixture
def ids(session: Session) -> dict[str, int]:
    """Two providers, a template, three organisations of which one builds on it, a feature."""
    found = {}
    for name in ("openai", "other"):
        made = {"name": name, "display_name": name, "kind": "openai", "available_models": ["m1", "m2"]}
        found[name] = id_of(providers.create(session, COMMAND_LINE, made | {"default_model": "m1"}))
    tier = organizations.create_one(session, COMMAND_LINE, {"slug": "tier", "name": "T", "kind": "template"})
    found["tier"] = id_of(tier)
    for slug, template in (("acme", tier.id), ("beta", None), ("solo", None)):
        row = organizations.create_one(session, COMMAND_LINE, {"slug": slug, "name": slug, "template_id": template})
        found[slug] = id_of(row)
    found["classify"] = id_of(features.create(session, COMMAND_LINE, {"name": "classify", "display_name": "C"}))
    return found


def scope(ids: dict[str, int], words: str) -> SettingsScope:
    """``acme classify openai`` in ids."""
    kinds = {"openai": "provider_id", "other": "provider_id", "classify": "feature_id"}
    return SettingsScope(**{kinds.get(word, "organization_id"): ids[word] for word in words.split()})


def data(ids: dict[str, int], words: str, fields: Any, owner: str = "installation", **more: Any) -> dict[str, Any]:
    return {"owner": owner, "limits": fields, **scope(ids, words)._asdict(), **more}


def put(session: Session, ids: dict[str, int], words: str, **fields: Any) -> None:
    settings.upsert(session, COMMAND_LINE, scope(ids, words), fields)


MOST = {"max_tokens": {"max": 4000}}


def member(session: Session, organization_id: int, role: str = "admin") -> Actor:
    user = users.add(session, COMMAND_LINE, "grace", PASSWORD, "member")
    user.must_change_password = False
    session.flush()
    organization_members.set_member(session, COMMAND_LINE, organization_id, id_of(user), role)
    session.refresh(user)
    return Actor("grace", user_id=user.id, auth_epoch=user.auth_epoch)


@pytest.mark.parametrize(
    ("words", "fields", "more", "problems"),
    [
        ("", {"max_tokens": {"in": [1]}}, {}, {"max_tokens": "has no rule in; it may have lock, min, max, send"}),
        ("", {"log_level": {"max": 1}}, {}, {"log_level": "has no rule max; it may have lock, in"}),
        ("", {"max_tokens": {"max": 0}}, {}, {"max_tokens": "max must be a whole number from 1 to 1000000"}),
        ("", {"max_tokens": {"max": 1.5}}, {}, {"max_tokens": "max must be a whole number from 1 to 1000000"}),
        ("", {"max_tokens": {"lock": False}}, {}, {"max_tokens": "lock must be true; without a lock, leave it out"}),
        ("", {"temperature": {"send": 1}}, {}, {"temperature": "send must be true or false"}),
        ("", {"max_tokens": {"min": 5, "max": 4}}, {}, {"max_tokens": "min must not be more than max"}),
        ("", {"max_tokens": {}}, {}, {"max_tokens": "must be an object with any of lock, min, max, send"}),
        (
            "",
            {"max_tokens": {"most": 4}},
            {},
            {"max_tokens": "has a rule that there is not; it may have lock, min, max, send"},
        ),
        (
            "",
            {"log_level": {"in": ["loud"]}},
            {},
            {"log_level": "in must have values that are each one of full, minimal, errors_only"},
        ),
        ("", {"log_level": {"in": []}}, {}, {"log_level": "in must be a list of 1 to 100 values"}),
        (
            "openai",
            {"default_provider": {"in": [1]}},
            {},
            {"default_provider": "is limited where no provider is named"},
        ),
        (
            "",
            {"default_provider": {"in": [99_999]}},
            {},
            {"default_provider": "in must have ids of providers that are there; 99999 is not"},
        ),
        (
            "",
            {"nonsense": {"lock": True}},
            {},
            {"nonsense": "is nothing that can be limited; of a vendor's name limit the parameter that it is"},
        ),
        ("", {}, {}, {"limits": "must limit something: to lift a limit, delete it"}),
        ("", {f"custom_settings.{'x' * n}": {"lock": True} for n in range(1, 150)}, {"note": "x" * 501}, None),
        ("", MOST, {"owner": "organization"}, {"organization_id": "is needed for a limit of an organisation's own"}),
        ("", MOST, {"owner": "nobody"}, {"owner": "must be installation or organization"}),
    ],
)
def test_what_makes_no_sense_is_refused(
    session: Session, admin: Actor, ids: dict[str, int], words: str, fields: Any, more: dict[str, Any], problems: Any
) -> None:
    """Each rule by its field, with what the field may have; nothing is stored, and a preview says the same."""
    wanted = data(ids, words, fields, **more)
    for act in (limits.create, limits.preview, limits.save):
        with pytest.raises(Invalid) as caught:
            act(session, admin, wanted)
        assert caught.value.fields == problems if problems else caught.value.fields
    assert session.exec(select(LlmLimits)).all() == []


def test_limits_of_one_owner_do_not_contradict_each_other(session: Session, admin: Actor, ids: dict[str, int]) -> None:
    """A floor above a ceiling that counts together with it is refused; another owner's, or one that never meets it, is not."""
    limits.create(session, admin, data(ids, "acme", MOST))
    least = {"max_tokens": {"min": 5000}}
    for words in ("", "acme openai", "classify", "openai"):
        with pytest.raises(Invalid, match="leaves no value together with at most 4,000 of limit"):
            limits.create(session, admin, data(ids, words, least))
    assert limits.create(session, admin, data(ids, "beta", least)).version == 1
    assert limits.create(session, admin, data(ids, "acme", least, "organization")).version == 1
    made = limits.create(session, admin, data(ids, "solo", {"log_level": {"in": ["full"]}, "top_p": {"send": True}}))
    with pytest.raises(Invalid) as caught:
        limits.create(
            session, admin, data(ids, "solo openai", {"log_level": {"in": ["minimal"]}, "top_p": {"send": False}})
        )
    assert caught.value.fields.keys() == {"log_level", "top_p"}
    assert limits.update(session, admin, id_of(made), {"limits": {"top_p": {"send": False}}}).version == 2


def test_created_changed_and_lifted(session: Session, admin: Actor, ids: dict[str, int]) -> None:
    """One row a scope and owner, versions, each write on record with the organisation; lifted, the stored value counts again."""
    put(session, ids, "acme", max_tokens=8000)
    made = limits.create(session, admin, data(ids, "acme", MOST | {"temperature": {"max": 1}}, note="contract"))
    with pytest.raises(AlreadyExists), session.begin_nested():
        limits.create(session, admin, data(ids, "acme", MOST))

    def tokens() -> int:
        return in_force(session, admin, AskedFor("openai", "acme")).settings.max_tokens

    assert (tokens(), made.limits["temperature"]) == (4000, {"max": 1.0})
    changed = limits.save(session, admin, data(ids, "acme", {"max_tokens": {"max": 3000}}), version=1)
    assert (changed.id, changed.version, changed.note, tokens()) == (made.id, 2, None, 3000)
    with pytest.raises(Conflict):
        limits.update(session, admin, id_of(made), {"note": "x"}, version=1)
    with pytest.raises(Conflict):
        limits.delete(session, admin, id_of(made), version=1)
    with pytest.raises(Conflict):
        limits.save(session, admin, data(ids, "acme", MOST), version=1)
    with pytest.raises(Invalid, match="stays as it is"):
        limits.update(session, admin, id_of(made), {"owner": "organization"})
    limits.delete(session, admin, id_of(made), version=2)
    assert tokens() == 8000
    with pytest.raises(NotFound):
        limits.delete(session, admin, id_of(made))

    events = session.exec(
        select(AuditEvent).where(AuditEvent.target_type == "limit").order_by(col(AuditEvent.id))
    ).all()
    assert [each.action for each in events] == ["limit.create", "limit.update", "limit.delete"]
    assert {(each.target, each.changes[ORGANIZATION]["after"]) for each in events} == {
        ("installation: acme · all providers", ids["acme"])
    }


def test_who_may(session: Session, admin: Actor, ids: dict[str, int]) -> None:
    """An organisation's admin sets its own limits, sees the installation's for it, and of another's sees and learns nothing."""
    grace = member(session, ids["acme"])
    theirs = [limits.create(session, admin, data(ids, words, MOST)) for words in ("beta", "")]
    for_acme = limits.create(session, admin, data(ids, "acme", MOST))
    own = limits.create(session, grace, data(ids, "acme classify", {"top_p": {"max": 0.5}}, "organization"))

    assert [row.id for row in limits.list_of(session, grace)] == [for_acme.id, own.id]
    assert [row.id for row in limits.list_of(session, admin, organization_id=ids["beta"])] == [theirs[0].id]
    assert [row.id for row in limits.list_of(session, admin, GLOBAL)] == [theirs[1].id]
    assert limits.find(session, grace, id_of(for_acme)).id == for_acme.id
    assert limits.update(session, grace, id_of(own), {"note": "ours"}).version == 2
    with pytest.raises(Forbidden):
        limits.create(session, grace, data(ids, "acme", MOST))
    for change in (limits.delete, limits.clear):
        with pytest.raises(Forbidden):
            change(session, grace, id_of(for_acme))
    with pytest.raises(Forbidden):
        limits.update(session, grace, id_of(for_acme), {"note": "x"})
    for look in (limits.find, limits.delete, limits.clear):
        with pytest.raises(NotFound) as absent:
            look(session, grace, 99_999)
        with pytest.raises(NotFound) as foreign:
            look(session, grace, id_of(theirs[0]))
        assert str(foreign.value).replace(str(theirs[0].id), "99999") == str(absent.value)
    for write in (limits.create, limits.preview, limits.save):
        with pytest.raises(NotFound):
            write(session, grace, data(ids, "beta", MOST, "organization"))
    with pytest.raises(NotFound):
        limits.list_of(session, grace, organization_id=ids["beta"])


def test_what_a_limit_puts_out_of_force(session: Session, admin: Actor, ids: dict[str, int]) -> None:
    """Rows within its scope are counted and listed, by field; others are not; cleared they say nothing of it, each as an edit of its own."""
    put(session, ids, "", max_tokens=9000)
    put(session, ids, "acme", max_tokens=8000, temperature=0.5, omitted_parameters=["top_p"])
    put(session, ids, "acme openai", max_tokens=3000)
    put(session, ids, "acme classify", extra_parameters={"max_completion_tokens": 7000, "seed": 1}, log_level="full")
    put(session, ids, "beta", max_tokens=8000)
    put(session, ids, "tier", log_level="full")
    fields = MOST | {"top_p": {"send": True}, "log_level": {"in": ["minimal"]}}

    found = limits.preview(session, admin, data(ids, "acme", fields)).effects
    assert (found.rows, found.organizations) == (2, 1)
    assert dict(found.fields) == {"max_tokens": 2, "top_p": 1, "log_level": 1}
    assert {each.words: each.fields for each in found.listed} == {
        "acme · all providers": ("max_tokens", "top_p"),
        "acme · classify · all providers": ("max_tokens", "log_level"),
    }
    everyone = limits.preview(session, admin, data(ids, "", MOST)).effects
    assert (everyone.rows, everyone.organizations) == (4, 2)
    assert limits.preview(session, admin, data(ids, "tier", {"log_level": {"in": ["minimal"]}})).effects.rows == 2
    locked = limits.preview(session, admin, data(ids, "acme", {"max_tokens": {"lock": True}})).effects
    assert {each.words for each in locked.listed} == {"acme · openai", "acme · classify · all providers"}
    assert session.exec(select(LlmLimits)).all() == []

    row = limits.create(session, admin, data(ids, "acme", fields))
    assert limits.clear(session, admin, id_of(row)) == 2
    assert (limits.outcome(session, admin, row).effects.rows, limits.clear(session, admin, id_of(row))) == (0, 0)
    acme = settings.get_of(session, admin, scope(ids, "acme"))
    assert acme is not None
    assert (acme.max_tokens, acme.temperature, acme.omitted_parameters) == (None, 0.5, None)
    classify = settings.get_of(session, admin, scope(ids, "acme classify"))
    assert classify is not None
    assert (classify.extra_parameters, classify.log_level) == ({"seed": 1}, None)
    edits = select(AuditEvent.target).where(col(AuditEvent.action).in_(["settings.update", "override.update"]))
    assert set(session.exec(edits)) == {"acme · all providers", "acme · classify · all providers"}


@pytest.mark.long
def test_one_organisation_s_rows_are_found_by_index(committed: str) -> None:
    """What a limit of one organisation puts out of force is counted and listed without reading the rows of all others."""
    organizations_of_bench.fill(committed, 4_000)
    asked: list[tuple[str, Any]] = []

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        asked.append((statement, parameters))

    rules: dict[str, Any] = {"max_tokens": {"max": 500}, "temperature": {"lock": True}}
    with db.transaction() as session:
        event.listen(session.connection(), "before_cursor_execute", note)
        found = limit_effects.effects(session, SettingsScope(organization_id=1), rules)
    assert (found.rows, found.organizations, len(found.listed)) == (10, 1, 10)
    assert len(asked) == 2
    with psycopg.connect(committed) as connection:
        for statement, parameters in asked:
            plan = "\n".join(line for (line,) in connection.execute(f"EXPLAIN {statement}".encode(), parameters))
            assert "Index" in plan
            assert not re.search("Seq Scan on (llm_settings|feature_llm_overrides)", plan), plan


REFUSED: list[tuple[str, str, dict[str, Any], dict[str, Any], str]] = [
    ("acme", "acme", MOST, {"max_tokens": 8000}, "max_tokens: at most 4,000 here: limit of ada, "),
    ("", "acme classify", {"max_tokens": {"min": 3000}}, {"max_tokens": 2000}, "max_tokens: at least 3,000 here"),
    ("tier", "acme", MOST, {"max_tokens": 8000}, "max_tokens: at most 4,000 here"),
    ("openai", "acme openai", {"log_level": {"in": ["minimal"]}}, {"log_level": "full"}, "log_level: minimal here"),
    ("acme", "acme classify", {"max_tokens": {"lock": True}}, {"max_tokens": 8000}, "max_tokens: locked here"),
    ("acme", "acme", {"top_p": {"send": True}}, {"omitted_parameters": ["top_p"]}, "top_p: must be sent here"),
    ("acme", "acme openai", {"top_p": {"lock": True}}, {"omitted_parameters": ["top_p"]}, "top_p: locked here"),
    (
        "acme",
        "acme",
        MOST,
        {"extra_parameters": {"max_completion_tokens": 9000}},
        "extra_parameters: max_completion_tokens: at most 4,000",
    ),
    (
        "openai",
        "acme openai",
        {"preferred_model": {"lock": True}},
        {"preferred_model": "m2"},
        "preferred_model: locked here",
    ),
    (
        "",
        "acme",
        {"custom_settings.region": {"lock": True}},
        {"custom_settings": {"region": "us"}},
        "custom_settings: region: locked here",
    ),
    (
        "",
        "acme",
        {"extra_parameters": {"lock": True}},
        {"extra_parameters": {"seed": 1}},
        "extra_parameters: seed: locked here",
    ),
]


@pytest.mark.parametrize(("limited", "edited", "fields", "patch", "says"), REFUSED)
def test_what_is_forbidden_is_not_saved(
    session: Session, admin: Actor, ids: dict[str, int], limited: str, edited: str, fields: Any, patch: Any, says: str
) -> None:
    """A field set to what a limit forbids is refused with rule, who, when and note; left alone it may stay, and inheriting is always right."""
    settings.upsert(session, COMMAND_LINE, scope(ids, edited), patch)
    row = limits.create(session, admin, data(ids, limited, fields, note="contract"))
    stays = settings.upsert(session, admin, scope(ids, edited), {"max_retries": 5})
    assert {name: getattr(stays, name) for name in patch} == patch
    settings.upsert(session, admin, scope(ids, edited), dict.fromkeys(patch))
    with pytest.raises(Invalid) as caught:
        settings.upsert(session, admin, scope(ids, edited), patch)
    assert says in str(caught.value)
    assert str(caught.value).rstrip(".").endswith("\u201ccontract\u201d")
    settings.upsert(session, admin, scope(ids, limited), {"max_retries": 1})
    limits.delete(session, admin, id_of(row))
    settings.upsert(session, admin, scope(ids, edited), patch)


def test_other_doors_obey_too(session: Session, admin: Actor, ids: dict[str, int]) -> None:
    """Several at once, the default provider, an organisation's own admin; a wider row may say what a narrower limit forbids."""
    limits.create(session, admin, data(ids, "openai", MOST))
    only = {"default_provider": {"in": [ids["other"]]}, "log_level": {"lock": True}}
    limits.create(session, admin, data(ids, "acme", only))
    with pytest.raises(Invalid, match="openai"):
        apply(session, admin, {ids["openai"]: 0, ids["other"]: 0}, Change("max_tokens", "value", 9000))
    with pytest.raises(Invalid, match="default_provider_id: other here"):
        settings.upsert(session, admin, scope(ids, "acme"), {"default_provider_id": ids["openai"]})
    settings.upsert(session, admin, scope(ids, "acme"), {"default_provider_id": ids["other"], "log_level": "minimal"})
    settings.upsert(session, admin, GLOBAL, {"max_tokens": 9000, "default_provider_id": ids["openai"]})
    grace = member(session, ids["acme"])
    with pytest.raises(Invalid, match="locked here: limit of installation, "):
        settings.upsert(session, grace, scope(ids, "acme classify"), {"log_level": "full"})
    found = in_force(session, admin, AskedFor(None, "acme")).settings
    assert (found.provider, found.max_tokens) == ("other", 9000)


def test_form_knows_what_binds_it(session: Session, admin: Actor, ids: dict[str, int]) -> None:
    """Field -> the rules for that scope, in words, with whose they are; a lock does not bind the row that it stands on."""
    limits.create(session, admin, data(ids, "acme", MOST | {"top_p": {"lock": True}}, note="contract"))
    limits.create(session, admin, data(ids, "", {"default_provider": {"in": [ids["other"]]}}))
    own = limits.binding(session, admin, scope(ids, "acme"))
    above = limits.binding(session, admin, scope(ids, "acme classify"))

    assert {name: [each.text for each in rules] for name, rules in own.items()} == {
        "max_tokens": ["at most 4,000"],
        "default_provider": ["other"],
    }
    assert above["top_p"][0].text == "locked"
    assert above["max_tokens"][0].who.startswith("limit of ada, ")
    assert limits.binding(session, admin, scope(ids, "beta openai")) == {}


def test_limit_on_what_is_not_sent_says_so(session: Session, admin: Actor, ids: dict[str, int]) -> None:
    """A bound on an omitted parameter binds nothing, and says what to do; with ``send: true`` it binds."""
    put(session, ids, "acme", omitted_parameters=["temperature"])
    fields = {"temperature": {"max": 1}, "top_p": {"max": 0.5}}
    assert limits.preview(session, admin, data(ids, "acme", fields)).notes == {
        "temperature": 'binds nothing: it is not sent here. Add "send": true to have it sent'
    }
    sent = {"temperature": {"max": 1, "send": True}, "max_retries": {"max": 5}}
    assert limits.preview(session, admin, data(ids, "acme", sent)).notes == {}


def test_older_services_ignore_limits(session: Session, admin: Actor, ids: dict[str, int]) -> None:
    """How many are connected that do not know limits is said; *holds everywhere* is said where there is none."""
    row = limits.create(session, admin, data(ids, "acme", MOST))
    assert limits.outcome(session, admin, row).holds == "It holds everywhere."
    session.execute(
        text("SELECT set_config('application_name', 'llm-settings resolver', true), pg_stat_clear_snapshot()")
    )
    told = limits.outcome(session, admin, row)
    assert (told.ignored_by, "1 connected service of a version before 0.2.0 does not know limits" in told.holds) == (
        1,
        True,
    )
