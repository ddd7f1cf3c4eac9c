"""The Organisations page: what it lists a page at a time, and what adding, renaming, deleting, restoring and importing do and refuse."""

from functools import partial
from typing import Any

import pytest
from sqlalchemy import text
from sqlmodel import Session, select
from streamlit.testing.v1 import AppTest

from core.actors import COMMAND_LINE, Actor
from core.manage import installation, organization_deletion, organization_names, organizations
from core.store.organization_tables import Organization
from core.store.table import id_of
from tests.conftest import ROOT
from tests.pages.test_long_lists import NAMES, TURNING
from tests.screens import click, everything, has, open_page, pick, toasts
from tests.ui.test_address import at_once
from ui.organizations.rows import Shown
from ui.pressed import Press

page = partial(open_page, "organizations")


def made(session: Session, slug: str, **more: Any) -> Organization:
    return organizations.create_one(session, COMMAND_LINE, {"slug": slug, "name": slug.title(), **more})


def key(row: Organization) -> str:
    return f"{row.slug}_{row.id}"


def said(at: AppTest) -> str:
    return everything(at).replace("\\", "").replace("\u200b", "")


def lines(at: AppTest) -> list[str]:
    """The slugs of the rows that are drawn."""
    return [str(button.key)[5:].rpartition("_")[0] for button in at.button if str(button.key).startswith("open_")]


def find(session: Session, slug: str) -> Organization | None:
    session.expire_all()
    return session.exec(
        select(Organization).where(Organization.slug == slug, Organization.deleted_at == None)  # noqa: E711 - SQL
    ).one_or_none()


def test_empty_page_says_what_one_is_for(admin: Actor) -> None:
    """Without an organisation the page says what one is, with the button; it opens the dialog."""
    at = click(page(admin), "add_first_organization")

    assert "tenant of your services" in said(at)
    assert has(at, "organization_save")


def test_only_admins_see_it(analyst: Actor, session: Session) -> None:
    """An analyst sees no organisation there."""
    made(session, "acme")
    at = AppTest.from_file(str(ROOT / "pages/organizations.py"), default_timeout=30)
    at.session_state["actor"] = analyst
    at.run()

    assert "Admin access required" in everything(at)
    assert "acme" not in everything(at)


def test_thousands_are_read_a_page_at_a_time(session: Session, admin: Actor) -> None:
    """Of 2,000 a page is drawn; on, on and back lead to the same rows, an address opens its own, and a search begins anew."""
    session.execute(
        text(
            "INSERT INTO organizations (slug, name) SELECT 'o' || lpad(n::text, 5, '0'), 'Firma ' || n FROM generate_series(1, 2000) n"
        )
    )
    session.execute(text("INSERT INTO organization_names SELECT slug, id, 'slug' FROM organizations"))
    at = page(admin)
    first = lines(at)
    assert "2,000" in {metric.value for metric in at.metric}
    assert (first[0], first[-1], len(first)) == ("o00001", "o00025", 25)
    click(click(at, "organizations_next"), "organizations_next")
    assert lines(at)[0] == "o00051"
    assert at.query_params["after"] == "o00050"
    assert lines(click(at, "organizations_before"))[0] == "o00026"
    assert lines(click(at, "organizations_before")) == first
    assert "after" not in at.query_params

    at = at_once("organizations", admin, after="o01990")
    assert lines(at)[-1] == "o02000"
    at.text_input(key="search").set_value("o0150").run()
    assert lines(at) == [f"o0150{n}" for n in range(10)]
    assert "after" not in at.query_params


def test_row_tells_what_one_has(session: Session, admin: Actor) -> None:
    """Name, slug, external ids, former slugs, template, what is stored, and that it is disabled."""
    gold = made(session, "gold", kind="template")
    acme = made(session, "acme", template_id=id_of(gold), external_names=["crm-1", "crm-2", "crm-3", "crm-4"])
    organizations.update(session, COMMAND_LINE, id_of(acme), {"slug": "acme-inc", "is_active": False})
    at = page(admin)

    shown = said(at)
    for words in ("acme-inc", "external ids crm-1, crm-2, crm-3 and 1 more", "was acme", "builds on gold", "Disabled"):
        assert words in shown, words
    assert lines(at) == ["acme-inc"]
    at.segmented_control(key="show").set_value("Templates").run()
    assert lines(at) == ["gold"]


def test_added_with_what_was_typed(session: Session, admin: Actor) -> None:
    """A slug, a name, a template and ids make one; spaces around an id may be a part of it, an empty line is none."""
    gold = made(session, "gold", kind="template")
    at = click(page(admin), "add_organization")
    at.text_input(key="organization_slug").input("acme")
    at.text_input(key="organization_name").input("Acme GmbH 組織")
    at.selectbox(key="organization_template").set_value(id_of(gold))
    at.text_area(key="organization_externals").input("crm-7\n\n42")
    click(at, "organization_save")

    row = find(session, "acme")
    assert row is not None
    assert (row.name, row.shares_keys, row.template_id is not None) == ("Acme GmbH 組織", True, True)
    names = organization_names.list_of(session, [id_of(row)])[id_of(row)]
    assert [(each.name, each.kind) for each in names] == [("acme", "slug"), ("42", "external"), ("crm-7", "external")]
    assert not has(at, "organization_save")
    assert lines(at) == ["acme"]


@pytest.mark.parametrize(
    ("slug", "externals", "error"),
    [
        ("Upper Case", "", "1 to 63"),
        ("taken", "", "There is already"),
        ("fresh", "taken", "There is already"),
        ("", "", "1 to 63"),
    ],
)
def test_refused_one_keeps_what_was_typed(
    session: Session, admin: Actor, slug: str, externals: str, error: str
) -> None:
    """The rule that was broken is said, nothing is stored, and the dialog keeps what was typed."""
    made(session, "taken")
    at = click(page(admin), "add_organization")
    at.text_input(key="organization_slug").input(slug)
    at.text_input(key="organization_name").input("Firma")
    at.text_area(key="organization_externals").input(externals)
    click(at, "organization_save")

    assert error in said(at)
    assert at.text_input(key="organization_name").value == "Firma"
    assert at.text_area(key="organization_externals").value == externals
    assert [row.slug for row in session.exec(select(Organization))] == ["taken"]


def test_rename_keeps_the_slug_before_and_takes_a_former_one_on_purpose(session: Session, admin: Actor) -> None:
    """The slug before still answers; another organisation gets it only where that is ticked."""
    acme = made(session, "acme")
    at = pick(page(admin), f"more_{key(acme)}", "Edit")
    at.text_input(key="organization_slug").input("acme-inc")
    click(at, "organization_save")
    session.expire_all()
    assert organizations.get_by_name(session, COMMAND_LINE, "acme").slug == "acme-inc"

    click(at, "add_organization")
    at.text_input(key="organization_slug").input("acme")
    click(at, "organization_save")
    assert "former slug" in said(at)
    at.checkbox(key="organization_former").check()
    click(at, "organization_save")
    session.expire_all()
    assert organizations.get_by_name(session, COMMAND_LINE, "acme").id != acme.id


def test_of_two_admins_nobody_writes_over_the_other_unseen(session: Session, admin: Actor) -> None:
    """What somebody else saved while the dialog was open is said; what was typed stays, and is written at the second press."""
    acme = made(session, "acme")
    at = pick(page(admin), f"more_{key(acme)}", "Edit")
    at.text_input(key="organization_name").input("Mine")
    organizations.update(session, Actor("grace"), id_of(acme), {"name": "Theirs"})
    click(at, "organization_save")
    assert organizations.get(session, admin, id_of(acme)).name == "Theirs"
    assert "now Theirs" in said(at) or "changed it meanwhile" in said(at)
    assert at.text_input(key="organization_name").value == "Mine"

    click(at, "organization_save")
    session.expire_all()
    assert organizations.get(session, admin, id_of(acme)).name == "Mine"


def test_disabled_deleted_and_restored(session: Session, admin: Actor) -> None:
    """Disabling and deleting ask; deleting wants the slug; what is deleted stands under Deleted, and comes back under a slug that is free."""
    acme = made(session, "acme")
    at = pick(page(admin), f"more_{key(acme)}", "Disable")
    assert "get no key" in said(at)
    click(at, "organization_save")
    assert not organizations.get(session, admin, id_of(acme)).is_active
    pick(at, f"more_{key(acme)}", "Enable")
    session.expire_all()
    assert organizations.get(session, admin, id_of(acme)).is_active

    pick(at, f"more_{key(acme)}", "Delete")
    click(at, "delete_confirm")
    assert find(session, "acme") is not None
    at.text_input(key="delete_name").input("acme")
    click(at, "delete_confirm")
    assert find(session, "acme") is None
    made(session, "acme")
    at.segmented_control(key="show").set_value("Deleted").run()
    click(click(at, f"restore_{key(acme)}"), "organization_save")
    assert "There is already" in said(at)
    at.text_input(key="organization_restored_slug").input("acme-2")
    click(at, "organization_save")
    row = find(session, "acme-2")
    assert row is not None
    assert row.id == acme.id


def test_external_ids_are_set_all_at_once(session: Session, admin: Actor) -> None:
    """One a line; what another admin set while they were typed is said, and what is typed stays."""
    acme = made(session, "acme", external_names=["a"])
    at = pick(page(admin), f"more_{key(acme)}", "External ids")
    assert at.text_area(key="organization_externals").value == "a"
    at.text_area(key="organization_externals").input("a\nb")
    organization_names.set_external(session, Actor("grace"), id_of(acme), ["c"])
    click(at, "organization_save")
    shown = said(at)
    if "c" not in {each.name for each in organization_names.list_of(session, [id_of(acme)])[id_of(acme)]}:
        pytest.fail("what the other admin set was written over unseen")
    assert "meanwhile" in shown
    assert at.text_area(key="organization_externals").value == "a\nb"
    click(at, "organization_save")
    names = organization_names.list_of(session, [id_of(acme)])[id_of(acme)]
    assert [each.name for each in names if each.kind == "external"] == ["a", "b"]


def test_import_says_what_came_of_each(session: Session, admin: Actor) -> None:
    """New ones are made, those there get the ids they lack, and a refused line keeps none of the others."""
    made(session, "acme", external_names=["crm-1"])
    at = click(page(admin), "import_organizations")
    at.text_area(key="organization_csv").input(
        "slug,name,external\nacme,Acme,crm-9\nbeta,Beta,crm-2\nbeta,,crm-3\nNo Slug,X,\ngamma,Gamma,crm-1\n"
    )
    click(at, "import_start")
    (table,) = at.table
    outcomes = {row["Slug"].replace("\\", ""): row["What came of it"] for row in table.value.to_dict("records")}
    assert outcomes["beta"] == "added"
    assert "1 name added" in outcomes["acme"].replace("\\", "")
    assert "1 to 63" in outcomes["No Slug"]
    assert "already" in outcomes["gamma"]
    click(at, "import_done")
    assert lines(at) == ["acme", "beta"]
    assert organizations.get_by_name(session, COMMAND_LINE, "crm-3").slug == "beta"

    click(at, "import_organizations")
    at.text_area(key="organization_csv").input("id,title\n1,x")
    click(at, "import_start")
    assert "must begin with a line of names" in said(at)


def test_what_unregistered_names_get_is_chosen(session: Session, admin: Actor) -> None:
    """Closed until an admin opens it; what it means stands below, and a press stores it."""
    at = page(admin)
    assert "spends nobody's money" in said(at)
    at.segmented_control(key="unknown_organizations").set_value("open").run()

    session.expire_all()
    assert installation.get(session, admin).organizations == "open"
    assert toasts(at)
    assert "as if none had been given" in said(at)


def test_open_leads_to_its_page(session: Session, admin: Actor) -> None:
    """Open shows the organisation on its own page, which its address names."""
    acme = made(session, "acme")
    at = click(page(admin), f"open_{key(acme)}")

    assert [title.value for title in at.title] == ["Organisation"]
    assert "Services ask for acme" in said(at)


def test_template_of_others_is_not_deleted(session: Session, admin: Actor) -> None:
    """Who builds on it is named, and it stays."""
    gold = made(session, "gold", kind="template")
    made(session, "acme", template_id=id_of(gold))
    at = at_once("organizations", admin, show="Templates")
    pick(at, f"more_{key(gold)}", "Delete")
    at.text_input(key="delete_name").input("gold")
    click(at, "delete_confirm")

    assert "acme build on" in said(at)
    assert find(session, "gold") is not None
    assert organization_deletion.to_purge(session, 0) == []


def test_names_in_six_scripts(session: Session, admin: Actor) -> None:
    """Each is shown whole and found by a part of it, and one from right to left turns nothing else."""
    for number, name in enumerate(NAMES):
        made(session, f"o{number}", name=name)
    at = page(admin)
    for name in NAMES:
        assert name in said(at).replace("\u2068", "").replace("\u2069", "")
    assert "\u2068" in everything(at)
    assert lines(at_once("organizations", admin, search=TURNING[:30])) == ["o3"]


def test_press_of_somebody_else_is_dropped(session: Session, admin: Actor) -> None:
    """What another person had pressed in this tab, before this one signed in, is not done."""
    acme = made(session, "acme")
    row = organizations.update(session, COMMAND_LINE, id_of(acme), {"is_active": False})
    shown = Shown(id_of(row), row.version, row.slug, row.name)
    at = page(admin)
    for who, is_active in ((Actor("mallory", 999), False), (admin, True)):
        at.session_state["organizations_pressed"] = [Press(who, "enable", shown)]
        at.run()
        session.expire_all()
        assert organizations.get(session, admin, id_of(acme)).is_active == is_active
