"""Organisations: made in bulk with an outcome each, named, renamed, deleted, restored and purged; two admins at once lose nothing."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import text
from sqlmodel import Session, col, func, select

from core.actors import COMMAND_LINE, Actor
from core.audit.record import ORGANIZATION
from core.errors import AlreadyExists, Conflict, Forbidden, Invalid, NotFound
from core.manage import organization_deletion, organization_names, organizations
from core.store import db
from core.store.organization_tables import Organization, OrganizationName
from core.store.records import AuditEvent
from core.store.table import id_of
from tests.conftest import make_user

SCRIPTS = [
    "Ünïcödé GmbH",
    "組織・東京",
    "شرکت نمونه",
    "ארגון לדוגמה",
    "Организация",
    "संगठन",
    "องค์กร",
    "🦜🌍",
    "'; DROP TABLE organizations; --",
    "%_\\",
    "x" * 200,
    "組" * 200,
]


def made(session: Session, slug: str, **more: Any) -> Organization:
    """Make an organisation of that slug."""
    return organizations.create_one(session, COMMAND_LINE, {"slug": slug, "name": slug.title(), **more})


def names(session: Session, organization: Organization) -> list[tuple[str, str]]:
    """Its names and their kinds."""
    number = id_of(organization)
    return [(row.name, row.kind) for row in organization_names.list_of(session, [number])[number]]


def test_a_thousand_at_once(session: Session, admin: Actor) -> None:
    """One write makes a thousand; each entry has its outcome, and what is wrong with one keeps none of the others."""
    entries: list[dict[str, Any]] = [
        {"slug": f"o{n}", "name": f"O {n}", "external_names": [f"crm-{n}"]} for n in range(995)
    ]
    entries += [
        {"slug": "Upper", "name": "U"},
        {"slug": "o1", "name": "twice"},
        {"slug": "fresh", "name": "F", "external_names": ["crm-1"]},
        {"slug": "child", "name": "C", "template_id": 99},
        {"slug": "odd", "name": "O", "surprise": 1},
    ]

    done = organizations.create(session, admin, entries)

    assert [each.organization.slug for each in done[:995] if each.organization] == [f"o{n}" for n in range(995)]
    refused = [each.error for each in done[995:]]
    assert [each.organization for each in done[995:]] == [None] * 5
    assert [type(error) for error in refused] == [Invalid, AlreadyExists, AlreadyExists, Invalid, Invalid]
    assert [next(iter(error.fields)) for error in refused if isinstance(error, Invalid)] == [
        "slug",
        "template_id",
        "surprise",
    ]
    assert "'crm-1'" in str(refused[2])
    assert session.exec(select(func.count()).select_from(Organization)).one() == 995
    assert session.exec(select(func.count()).select_from(OrganizationName)).one() == 2 * 995
    events = select(func.count()).select_from(AuditEvent).where(AuditEvent.action == "organization.create")
    assert session.exec(events).one() == 995
    with pytest.raises(Invalid, match="at most 1,000"):
        organizations.create(session, admin, [{}] * 1001)


@pytest.mark.parametrize("name", SCRIPTS)
def test_names_of_every_script(session: Session, admin: Actor, name: str) -> None:
    """What it is called, and what services call it, comes back letter by letter, and is found by it."""
    row = made(session, "acme", name=name, external_names=[name])

    assert (row.name, names(session, row)) == (name, [("acme", "slug"), (name, "external")])
    assert organizations.get_by_name(session, admin, name).id == row.id
    assert [each.slug for each in organizations.search(session, admin, name[:50])] == ["acme"]


@pytest.mark.parametrize("name", ["", " x", "x\n", "x\x00", "x" * 201, "\ud800"])
def test_names_that_nobody_could_tell_apart_are_refused(session: Session, name: str) -> None:
    """An external name is what a service writes: what cannot be seen in it is refused, never taken out; and nobody is found by it."""
    with pytest.raises(Invalid, match="external_names"):
        made(session, "acme", external_names=[name])
    assert organization_names.find(session, name) is None


def test_a_rename_keeps_the_former_slug(session: Session, admin: Actor) -> None:
    """Services that ask for the old slug go on; it is somebody else's only if that is said, and back again without a word."""
    row = made(session, "acme")
    number = id_of(row)
    row = organizations.update(session, admin, number, {"slug": "acme-2"}, version=row.version)
    assert names(session, row) == [("acme-2", "slug"), ("acme", "former")]
    assert organizations.get_by_name(session, admin, "acme").id == number

    with pytest.raises(AlreadyExists, match="former"), session.begin_nested():
        made(session, "acme")
    back = organizations.update(session, admin, number, {"slug": "acme"})
    assert names(session, back) == [("acme", "slug"), ("acme-2", "former")]
    organizations.update(session, admin, number, {"slug": "acme-3"})
    other = organizations.create_one(session, admin, {"slug": "acme", "name": "New"}, take_former=True)
    assert organizations.get_by_name(session, admin, "acme").id == other.id
    assert names(session, organizations.get(session, admin, number)) == [("acme-3", "slug"), ("acme-2", "former")]


def test_external_names_are_set_as_a_whole(session: Session, admin: Actor) -> None:
    """They take the place of those before; another's is refused, and who based the edit on an older list is told."""
    row, other = made(session, "acme", external_names=["a", "b"]), made(session, "beta", external_names=["c"])
    number = id_of(row)

    assert organization_names.set_external(session, admin, number, ["b", "d"], was=["b", "a"]) == ["b", "d"]
    for taken in (["c"], ["beta"], ["acme"]):
        with pytest.raises(AlreadyExists), session.begin_nested():
            organization_names.set_external(session, admin, number, taken)
    with pytest.raises(Conflict) as caught:
        organization_names.set_external(session, admin, number, [], was=["a", "b"])
    assert caught.value.changes == {"external_names": (["b", "d"], [])}
    assert names(session, row) == [("acme", "slug"), ("b", "external"), ("d", "external")]
    assert names(session, other) == [("beta", "slug"), ("c", "external")]


def test_deleted_restored_and_purged(session: Session, admin: Actor) -> None:
    """A deleted one is found by nobody, its names are free; restored it has what it had; purged it is gone with all of it."""
    row = made(session, "acme", external_names=["crm-1"])
    number = id_of(row)
    session.execute(text("INSERT INTO llm_settings (organization_id, top_p) VALUES (:id, 0.5)"), {"id": number})
    with pytest.raises(Conflict):
        organization_deletion.delete(session, admin, number, version=9)
    organization_deletion.delete(session, admin, number, version=row.version)
    with pytest.raises(NotFound):
        organizations.get_by_name(session, admin, "acme")
    assert [each.slug for each in organizations.search(session, admin, deleted=True)] == ["acme"]
    assert organization_deletion.to_purge(session) == []
    for wrong in (organization_deletion.delete, organizations.update):
        with pytest.raises(NotFound):
            wrong(session, admin, number, *([{}] if wrong is organizations.update else []))

    organization_deletion.restore(session, admin, number)
    assert names(session, organizations.get(session, admin, number)) == [("acme", "slug"), ("crm-1", "external")]
    organization_deletion.delete(session, admin, number)
    other = made(session, "acme")
    with pytest.raises(AlreadyExists), session.begin_nested():
        organization_deletion.restore(session, admin, number)
    again = organization_deletion.restore(session, admin, number, slug="acme-old")
    assert names(session, again) == [("acme-old", "slug"), ("crm-1", "external")]
    assert organizations.get_by_name(session, admin, "acme").id == other.id
    with pytest.raises(NotFound, match="deleted"):
        organization_deletion.purge(session, admin, number)
    organization_deletion.delete(session, admin, number)

    assert organization_deletion.purge(session, admin, number) == ["1 settings row"]
    assert session.execute(text("SELECT count(*) FROM llm_settings")).scalar() == 0
    with pytest.raises(NotFound):
        organization_deletion.restore(session, admin, number)


def test_templates(session: Session, admin: Actor) -> None:
    """An organisation builds on a template, never on itself, on another organisation, or on one that is gone; a template on none."""
    tier = made(session, "tier", kind="template")
    acme = made(session, "acme", template_id=tier.id)
    for slug, template in (("tier", tier.id), ("acme", acme.id), ("tier", acme.id), ("acme", 999)):
        number = id_of({"tier": tier, "acme": acme}[slug])
        with pytest.raises(Invalid, match="template_id"):
            organizations.update(session, admin, number, {"template_id": template})
    with pytest.raises(Invalid, match="template_id"):
        made(session, "sub", kind="template", template_id=tier.id)
    with pytest.raises(Invalid, match="kind"):
        organizations.update(session, admin, id_of(acme), {"kind": "template"})
    with pytest.raises(Invalid, match="acme build on"):
        organization_deletion.delete(session, admin, id_of(tier))

    organization_deletion.delete(session, admin, id_of(acme))
    organization_deletion.delete(session, admin, id_of(tier))
    with pytest.raises(Invalid, match="template_id"):
        organization_deletion.restore(session, admin, id_of(acme))
    organization_deletion.purge(session, admin, id_of(tier))
    assert organization_deletion.restore(session, admin, id_of(acme)).template_id is None


def test_search_pages_by_slug(session: Session, admin: Actor) -> None:
    """A page begins behind the slug that the one before ended with; what is looked for may be a part of what it is called, or begin a name."""
    organizations.create(session, admin, [{"slug": f"s{n:03}", "name": f"Firm {n} 50%"} for n in range(25)])
    made(session, "tier", kind="template", name="Gold")

    first = organizations.search(session, admin, limit=20)
    assert [row.slug for row in organizations.search(session, admin, after=first[-1].slug)] == [
        *(f"s{n:03}" for n in range(20, 25)),
        "tier",
    ]
    for words, number in (("S01", 10), ("firm 7", 1), ("50%", 25), ("5_%", 0), ("old", 1), ("%", 25), ("\x00", 26)):
        assert len(organizations.search(session, admin, words)) == number, words
    assert [row.slug for row in organizations.search(session, admin, kind="template")] == ["tier"]
    assert organizations.count(session, admin) == {"organization": 25, "template": 1}


def test_every_change_is_on_record_with_its_organisation(session: Session, admin: Actor) -> None:
    """Each event names the organisation, so that its own admins find it; without a change there is no event."""
    row = made(session, "acme")
    number = id_of(row)
    organizations.update(session, admin, number, {"name": "Acme"})
    organizations.update(session, admin, number, {"shares_keys": False, "slug": "acme-2"})
    organization_names.set_external(session, admin, number, ["x"])
    organization_names.set_external(session, admin, number, ["x"])
    organization_deletion.delete(session, admin, number)
    organization_deletion.restore(session, admin, number)
    organization_deletion.delete(session, admin, number)
    organization_deletion.purge(session, admin, number)

    events = session.exec(select(AuditEvent).order_by(col(AuditEvent.id))).all()
    assert [each.action.removeprefix("organization.") for each in events] == [
        *("create", "update", "set_names", "delete", "restore", "delete", "purge")
    ]
    assert {each.changes[ORGANIZATION]["after"] for each in events} == {number}
    assert (events[1].target, events[1].changes["slug"]) == ("acme-2", {"before": "acme", "after": "acme-2"})


def test_only_admins_of_the_installation(session: Session, analyst: Actor) -> None:
    """Who may see all organisations may still change none, whatever is there."""
    number = id_of(made(session, "acme"))
    with pytest.raises(Forbidden):
        organizations.create(session, analyst, [{"slug": "x", "name": "X"}])
    for wrong in (number, 999):
        for act in (organization_deletion.delete, organization_deletion.restore, organization_deletion.purge):
            with pytest.raises(Forbidden):
                act(session, analyst, wrong)
        with pytest.raises(Forbidden):
            organizations.update(session, analyst, wrong, {"name": "x"})
        with pytest.raises(Forbidden):
            organization_names.set_external(session, analyst, wrong, [])
    assert organizations.get(session, analyst, number).slug == "acme"


@pytest.mark.usefixtures("committed")
def test_two_admins_at_once() -> None:
    """Of two that make the same organisation one makes it and the other is told; of two that edit one the second is told both values."""
    actors = [make_user(name, "admin") for name in ("ada", "grace")]
    entries = [{"slug": f"o{n}", "name": "O", "external_names": [f"x{n}"]} for n in range(50)]

    def create(actor: Actor) -> list[bool]:
        with db.transaction() as session:
            return [each.organization is not None for each in organizations.create(session, actor, entries)]

    with ThreadPoolExecutor(2) as crew:
        done = list(crew.map(create, actors))
    assert [one != other for one, other in zip(*done, strict=True)] == [True] * 50
    with db.transaction() as session:
        row = organizations.get_by_name(session, actors[0], "o1")
        number, version = id_of(row), row.version
    with db.transaction() as session:
        organizations.update(session, actors[0], number, {"name": "ada's"}, version=version)
    with pytest.raises(Conflict) as caught, db.transaction() as session:
        organizations.update(session, actors[1], number, {"name": "grace's"}, version=version)
    assert caught.value.changes == {"name": ("ada's", "grace's")}
    assert caught.value.changed_by == "ada"
