"""What becomes of personal data is said for each scope, by who may, inherited and held by limits; an upgrade's word waits for an admin."""

from typing import Any

import pytest
from sqlalchemy import text
from sqlmodel import Session

from core.access import users
from core.actors import COMMAND_LINE, Actor
from core.errors import Conflict, Forbidden, Invalid, NotFound
from core.manage import limits, organization_members, organizations, personal_data
from core.manage.scopes import SettingsScope
from core.store import db
from core.store.table import id_of
from tests.conftest import PASSWORD

EVERYBODY = SettingsScope()
STAFF = {"name": "STAFF", "pattern": r"\bE-[0-9]{6}\b", "matches": "E-123456", "spares": "E-12"}
REFUSED: list[tuple[dict[str, Any], str, str]] = [
    ({"logs": "refuse"}, "logs", "off or mask"),
    ({"prompts": "ask"}, "prompts", "off, mask or refuse"),
    ({"restore": "yes"}, "restore", "true or false"),
    ({"types": ["SHOE"]}, "types", "'SHOE' is none"),
    ({"countries": ["Germany"]}, "countries", "'Germany' is none"),
    ({"engine": "x" * 101}, "engine", "at most 100"),
    ({"allow": [""]}, "allow", "1 to 200"),
    ({"allow": ["x"] * 201}, "allow", "at most 200"),
    ({"patterns": [STAFF] * 21}, "patterns", "at most 20"),
    ({"patterns": [STAFF, STAFF]}, "patterns", "number 2: name must be another: STAFF stands twice"),
    ({"patterns": [STAFF | {"name": "IBAN"}]}, "patterns", "number 1: name must be another"),
    ({"patterns": [STAFF | {"name": "staff"}]}, "patterns", "name must be of A to Z"),
    ({"patterns": [STAFF | {"pattern": "("}]}, "patterns", "pattern is no regular expression"),
    ({"patterns": [STAFF | {"pattern": "(a+)+$"}]}, "patterns", "can be made slow"),
    ({"patterns": [STAFF | {"spares": "E-123456"}]}, "patterns", "spares must be"),
    ({"patterns": [{"name": "A"}]}, "patterns", "must have name, pattern, matches, spares"),
    ({"patterns": [STAFF | {"matches": "a\0"}]}, "patterns", "matches must be a text"),
]


@pytest.mark.long
def test_what_makes_no_sense_is_refused() -> None:
    """Each field names its rule, and of own patterns which one and which part; what can be made slow is not kept."""
    with db.transaction() as session:
        for patch, field, words in REFUSED:
            with pytest.raises(Invalid) as caught:
                personal_data.save(session, COMMAND_LINE, EVERYBODY, patch)
            assert words in caught.value.fields[field], (patch, caught.value.fields)
        assert personal_data.list_all(session, COMMAND_LINE) == []
        kept = personal_data.save(session, COMMAND_LINE, EVERYBODY, {"patterns": [STAFF], "types": ["IBAN", "IBAN"]})
        assert (kept.row.patterns, kept.row.types, kept.scope, kept.unread) == ([STAFF], ["IBAN"], "all providers", ())


def _of(session: Session, scope: SettingsScope) -> dict[str, tuple[Any, str]]:
    found = personal_data.of_scope(session, COMMAND_LINE, scope)
    assert {item.name.partition(".")[2] for item in found.explained} == set(found.rules._fields)
    return {item.name.partition(".")[2]: (item.value, item.source.layer) for item in found.explained}


def test_a_scope_inherits_and_says_of_whom() -> None:
    """Save, look, change, take back: each field with its layer; a stale edit is told, a limit is obeyed and refuses what it forbids."""
    with db.transaction() as session:
        acme = id_of(organizations.create_one(session, COMMAND_LINE, {"slug": "acme", "name": "Acme"}))
        mine = SettingsScope(organization_id=acme)
        personal_data.save(session, COMMAND_LINE, EVERYBODY, {"logs": "off", "countries": ["DE"]})
        kept = personal_data.save(session, COMMAND_LINE, mine, {"prompts": "mask", "countries": []}, version=0)
        assert {name: found for name, found in _of(session, mine).items() if found[1] != "built_in"} == {
            "logs": ("off", "all_providers"),
            "prompts": ("mask", "organization"),
            "countries": ([], "organization"),
        }
        personal_data.save(session, COMMAND_LINE, mine, {"countries": None}, version=kept.row.version)
        assert _of(session, mine)["countries"] == (["DE"], "all_providers")
        with pytest.raises(Conflict):
            personal_data.save(session, COMMAND_LINE, mine, {"logs": "mask"}, version=1)
        with pytest.raises(Invalid, match="stays as it is"):
            personal_data.update(session, COMMAND_LINE, id_of(kept.row), {"organization_id": None})

        limit = {"limits": {"personal_data.logs": {"in": ["mask"]}, "personal_data.prompts": {"lock": True}}}
        row = limits.create(session, COMMAND_LINE, limit)
        found = limits.outcome(session, COMMAND_LINE, row).effects
        assert (found.rows, dict(found.fields)) == (2, {"personal_data.logs": 1, "personal_data.prompts": 1})
        of = personal_data.of_scope(session, COMMAND_LINE, mine)
        assert (of.rules.logs, of.rules.prompts) == ("mask", "off")
        held = {item.name: (item.limited_by and item.limited_by.rule, item.wanted) for item in of.explained}
        assert (held["personal_data.logs"], held["personal_data.prompts"]) == (("in", "off"), ("lock", "mask"))
        with pytest.raises(Invalid, match="logs: mask here") as caught:
            personal_data.save(session, COMMAND_LINE, mine, {"logs": "off", "answers": "mask"})
        assert set(caught.value.fields) == {"logs"}
        assert limits.clear(session, COMMAND_LINE, id_of(row)) == 2
        assert _of(session, mine)["logs"] == ("mask", "built_in")

        personal_data.clear(session, COMMAND_LINE, mine)
        with pytest.raises(NotFound):
            personal_data.clear(session, COMMAND_LINE, mine)


def _member(session: Session, role: str, organization_id: int) -> Actor:
    user = users.add(session, COMMAND_LINE, f"{role}1", PASSWORD, "member")
    user.must_change_password = False
    session.flush()
    organization_members.set_member(session, COMMAND_LINE, organization_id, id_of(user), role)
    session.refresh(user)
    return Actor(user.username, user_id=user.id, auth_epoch=user.auth_epoch)


def test_who_may(session: Session) -> None:
    """An admin all, an organisation's admin its own, its analyst looks; of another's organisation nothing is there."""
    acme, beta = (
        id_of(organizations.create_one(session, COMMAND_LINE, {"slug": slug, "name": slug}))
        for slug in ("acme", "beta")
    )
    ours, theirs = SettingsScope(organization_id=acme), SettingsScope(organization_id=beta)
    admin, member = (_member(session, role, acme) for role in ("admin", "analyst"))
    kept = [personal_data.save(session, COMMAND_LINE, of, {"logs": "off"}) for of in (EVERYBODY, ours, theirs)]
    assert [each.scope for each in kept] == ["all providers", "acme · all providers", "beta · all providers"]

    personal_data.save(session, admin, ours, {"prompts": "mask"})
    for actor in (admin, member):
        assert [each.scope for each in personal_data.list_all(session, actor)] == ["acme · all providers"]
    refusals: list[tuple[Actor, SettingsScope, type[Exception]]] = [
        (admin, EVERYBODY, Forbidden),
        (admin, theirs, NotFound),
        (member, ours, Forbidden),
    ]
    for actor, scope, error in refusals:
        with pytest.raises(error):
            personal_data.save(session, actor, scope, {"logs": "mask"})
        with pytest.raises(error):
            personal_data.clear(session, actor, scope)
    with pytest.raises(NotFound):
        personal_data.get(session, admin, id_of(kept[2].row))


def test_rows_a_page_at_a_time(session: Session) -> None:
    """Whoever looks page by page sees each row of theirs once, in the order of all: a member never another organisation's."""
    ids = [
        id_of(organizations.create_one(session, COMMAND_LINE, {"slug": f"o{number}", "name": f"O {number}"}))
        for number in range(5)
    ]
    for scope in ({}, *({"organization_id": number} for number in ids)):
        personal_data.create(session, COMMAND_LINE, {**scope, "logs": "off"})
    mine = _member(session, "analyst", ids[1])

    def walked(actor: Actor) -> list[int]:
        found: list[int] = []
        after = None
        for _ in range(10):
            page = personal_data.page_of(session, actor, SettingsScope(), after=after, limit=2)
            found += [id_of(each.row) for each in page]
            after = personal_data.place_of(page[-1].row) if page else after
        return found

    whole = [id_of(each.row) for each in personal_data.list_all(session, COMMAND_LINE)]
    assert walked(COMMAND_LINE) == whole
    assert len(whole) >= 6
    assert [personal_data.get(session, mine, number).row.organization_id for number in walked(mine)] == [ids[1]]
    with pytest.raises(NotFound):
        personal_data.page_of(session, mine, SettingsScope(organization_id=ids[0]), limit=2)


def test_an_upgrade_waits_for_somebody_to_decide(session: Session) -> None:
    """To save what it wrote, as it is, decides: nothing else is changed, and the audit says who."""
    session.execute(text("INSERT INTO llm_pii_settings (logs, awaits_decision) VALUES ('off', true)"))
    assert personal_data.undecided(session)
    (found,) = personal_data.list_all(session, COMMAND_LINE)
    kept = personal_data.save(session, COMMAND_LINE, EVERYBODY, {}, version=found.row.version)
    assert (kept.row.logs, personal_data.undecided(session)) == ("off", False)
    event = session.execute(text("SELECT action, changes FROM audit_events ORDER BY seq DESC LIMIT 1")).one()
    assert event.action == "personal_data.update"
    assert event.changes["awaits_decision"] == {"before": True, "after": False}


def test_what_raw_sql_left_is_shown_as_unread(session: Session) -> None:
    """A pattern that does not compile counts as not there, and its field is named."""
    session.execute(
        text('INSERT INTO llm_pii_settings (patterns, types) VALUES (:own, \'["EMAIL", "SHOE"]\')'),
        {"own": '[{"name": "X", "pattern": "("}, {"name": "Y", "pattern": "y"}]'},
    )
    (found,) = personal_data.list_all(session, COMMAND_LINE)
    assert found.unread == ("types", "patterns")
    rules = personal_data.of_scope(session, COMMAND_LINE, EVERYBODY).rules
    assert (rules.types, [own.name for own in rules.patterns]) == (("EMAIL",), ["Y"])
