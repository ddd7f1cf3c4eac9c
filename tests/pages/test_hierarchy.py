"""The Hierarchy page: every layer of a scope that says something, which of them decides, and whose it is to change."""

import re
from functools import partial
from typing import Any

import pytest
from sqlalchemy import text
from sqlmodel import Session, select
from streamlit.testing.v1 import AppTest

from core.actors import COMMAND_LINE, Actor
from core.manage import features, organization_keys, organization_members, organizations, providers, settings
from core.manage.scopes import SettingsScope
from core.store.records import AuditEvent
from core.store.table import id_of
from core.store.tables import User
from tests.conftest import make_user
from tests.pages.test_long_lists import NAMES
from tests.screens import everything, html_texts, open_page
from tests.ui.test_address import at_once
from ui.scopes.picker import MATCHES

page = partial(open_page, "hierarchy")

HOSTILE = "![x](http://evil.example/x.png) <b>:red[name]</b>"


@pytest.fixture
def ids(session: Session) -> dict[str, int]:
    """A provider, a template, two organisations of which one builds on it, and a feature; each layer of acme says something."""
    found = {}
    made = {"name": "openai", "display_name": "OpenAI", "kind": "openai", "available_models": ["m1", "m2"]}
    more = {"default_model": "m1", "api_key": "sk-all-0123456789abcdefghij", "is_active": True}
    found["openai"] = id_of(providers.create(session, COMMAND_LINE, {**made, **more}))
    tier = organizations.create_one(session, COMMAND_LINE, {"slug": "tier", "name": "Tier", "kind": "template"})
    found["tier"] = id_of(tier)
    for slug, template in (("acme", tier.id), ("beta", None)):
        entry = {"slug": slug, "name": slug.title(), "template_id": template, "external_names": [f"crm-{slug}"]}
        found[slug] = id_of(organizations.create_one(session, COMMAND_LINE, entry))
    row = features.create(session, COMMAND_LINE, {"name": "summarise", "display_name": "Summarise"})
    found["summarise"] = id_of(row)
    session.flush()
    return found


def fill(session: Session, admin: Actor, ids: dict[str, int]) -> None:
    """Store what the tests look at."""
    settings.upsert(session, admin, SettingsScope(), {"temperature": 0.1, "max_tokens": 100})
    openai, acme, summarise = ids["openai"], ids["acme"], ids["summarise"]
    fields: dict[str, Any] = {"omitted_parameters": ["top_p"], "preferred_model": "m2"}
    settings.upsert(session, admin, SettingsScope(openai), fields)
    settings.upsert(session, admin, SettingsScope(None, ids["tier"]), {"temperature": 0.2})
    settings.upsert(session, admin, SettingsScope(None, acme), {"temperature": 0.3, "top_p": 0.5})
    settings.upsert(session, admin, SettingsScope(None, acme, summarise), {"max_tokens": 7})
    organization_keys.update(session, admin, acme, openai, {"allowed_models": ["m1"]})
    session.flush()


def member(session: Session, name: str, organization_id: int, role: str = "admin") -> Actor:
    """A user who is nothing but a member, signed in."""
    made = make_user(name, "member")
    organization_members.set_member(session, COMMAND_LINE, organization_id, made.own_id(), role)
    user = session.get(User, made.own_id(), populate_existing=True)
    assert user is not None
    return Actor(name, user.id, user.auth_epoch)


def lines(at: AppTest) -> dict[str, dict[str, str]]:
    """Parameter -> column -> cell of the wide table."""
    table = at.table[1].value
    return {
        str(row["Parameter"]).split("  \n")[0]: {str(name).replace("\\", ""): str(cell) for name, cell in row.items()}
        for row in table.to_dict("records")
    }


def layers(at: AppTest) -> dict[str, dict[str, str]]:
    """Layer -> its row in the list of layers."""
    rows = at.table[0].value.to_dict("records")
    first = "Layer, the strongest first"
    return {str(row[first]).split(" :gray")[0].replace("\\", ""): {k: str(v) for k, v in row.items()} for row in rows}


def test_deciding_cell_and_what_it_hides(session: Session, admin: Actor, ids: dict[str, int]) -> None:
    """Of each parameter the deciding layer by weight and colour; what is hidden, not sent and not allowed in words."""
    fill(session, admin, ids)
    found = lines(page(admin, organization="acme", feature="summarise", provider="openai"))

    assert list(found["Temperature"])[:2] == ["Parameter", "In force"]
    columns = [name.partition(" (")[0] for name in list(found["Temperature"])[2:]]
    assert columns == [
        "acme · summarise",
        "acme",
        "tier",
        "openai",
        "openai: default model",
        "all providers",
        "built-in",
    ]
    temperature = {name.partition(" (")[0]: cell for name, cell in found["Temperature"].items()}
    assert temperature["acme"] == r":green[**0\.3**]"
    assert temperature["tier"].startswith(r":gray[0\.2]")
    assert "hidden" in temperature["tier"]
    assert temperature["acme · summarise"] == ""
    top_p = {name.partition(" (")[0]: cell for name, cell in found["Top P"].items()}
    assert top_p["openai"] == ":orange[**not sent**]"
    assert top_p["acme"] == r":green[**0\.5**]"
    assert "not sent" in top_p["In force"]
    model = {name.partition(" (")[0]: cell for name, cell in found["Model"].items()}
    assert "not allowed" in model["openai"]
    assert model["openai: default model"] == ":green[**m1**]"
    assert "Log level" not in found


def test_same_as_a_list_for_narrow_windows(session: Session, admin: Actor, ids: dict[str, int]) -> None:
    """Each parameter with its value and source; opened, what its layers say, with who said it."""
    fill(session, admin, ids)
    (shown,) = (one for one in html_texts(page(admin, organization="acme", provider="openai")) if "Temperature" in one)
    words = " ".join(shown.split())

    assert "Temperature 0.3 acme" in words
    assert "0.2 (hidden)" in words
    assert "openai: not sent" in " ".join(words.replace(" :", ":").split())
    assert "acme: 0.3, ada" in words.replace(" :", ":").replace(" ,", ",")


def test_layers_with_figures_and_ways_to_change_them(session: Session, admin: Actor, ids: dict[str, int]) -> None:
    """All layers of the scope, also those that say nothing; an admin is led to where each is changed."""
    fill(session, admin, ids)
    at = page(admin, organization="acme", feature="summarise", provider="openai")
    found = layers(at)

    assert len(found) == 12
    assert next(iter(found)) == "acme · summarise · openai"
    assert "nothing" in found["acme · summarise · openai"]["Says"]
    assert found["acme"]["Says"] == "2 values"
    assert found["openai"]["Says"] == r"1 value, 1 not sent"
    assert "ada" in found["acme"]["Last change"]
    assert "[Edit openai](defaults?provider=openai " in found["openai"]["Last change"]
    assert "[Edit all providers](defaults " in found["all providers"]["Last change"]
    text_of = everything(at).replace("\\", "")
    assert "with the installation's key" in text_of
    assert "m1" in text_of


def test_all_parameters(session: Session, admin: Actor, ids: dict[str, int]) -> None:
    """Those of which no layer speaks are shown when asked for, also by the address."""
    fill(session, admin, ids)
    assert "Log level" not in lines(page(admin, provider="openai"))
    assert "Log level" in lines(at_once("hierarchy", admin, provider="openai", all_parameters="true"))


def test_whose_key_and_the_cure(session: Session, admin: Actor, analyst: Actor, ids: dict[str, int]) -> None:
    """An own key is said to be one; where it cannot be opened, an admin reads why, and an analyst whom to ask."""
    organization_keys.set_api_key(session, admin, ids["acme"], ids["openai"], "sk-own-0123456789abcdefghij")
    session.flush()
    assert "a key of the organisation's own" in everything(page(admin, organization="acme", provider="openai"))
    session.execute(text("UPDATE organization_providers SET api_key_binding = 'x'"))
    session.expire_all()
    for actor in (admin, analyst):
        at = at_once("hierarchy", actor, organization="acme", provider="openai")
        words = at.warning[0].value.replace("\\", "")
        assert ("Ask an admin." in words) == (actor is analyst)
        assert "Not ready" in words
    organizations.update(session, admin, ids["acme"], {"is_active": False})
    session.flush()
    assert "Organisation not active" in everything(page(admin, organization="acme", provider="openai"))


def test_search_offers_what_fits(admin: Actor, ids: dict[str, int]) -> None:
    """The beginning of a name is a search; a press chooses, and the address names it. Each of its names means it."""
    assert ids
    at = page(admin, provider="openai")
    at.text_input(key="organization").set_value("ac").run()
    assert not at.table
    (pills,) = at.pills
    assert len(pills.options) == 1
    pills.set_value("acme").run()
    assert not at.exception
    assert at.text_input(key="organization").value == "acme"
    assert at.query_params["organization"] in ("acme", ["acme"])
    assert "acme" in layers(at)
    assert "acme" in layers(page(admin, organization="crm-acme", provider="openai"))


@pytest.mark.parametrize("name", ["acmee", HOSTILE, "x" * 190, NAMES[3]])
def test_unknown_names_are_said(admin: Actor, ids: dict[str, int], name: str) -> None:
    """An organisation, a feature and a provider that are not there are named as such, as text."""
    assert ids
    at = page(admin, organization=name, provider="openai")
    assert "There is no organisation" in at.warning[0].value
    assert "![x](" not in at.warning[0].value
    assert not at.table
    for parameter in ("feature", "provider"):
        at = at_once("hierarchy", admin, **{parameter: name})
        assert "It is left out" in at.warning[0].value
    assert "template" in page(admin, organization="tier").warning[0].value


def test_a_hundred_thousand_organisations(session: Session, admin: Actor, ids: dict[str, int]) -> None:
    """None is in a list to choose from: a search offers the first of those that fit, and asks for more letters."""
    assert ids
    for statement in (
        "SET LOCAL session_replication_role = replica",  # a trigger a row would take most of the time
        "INSERT INTO organizations (slug, name) SELECT 'z' || n, 'Zeta ' || n FROM generate_series(1, 100000) n",
        "INSERT INTO organization_names SELECT slug, id, 'slug' FROM organizations WHERE slug LIKE 'z%'",
        "SET LOCAL session_replication_role = DEFAULT",
        "ANALYZE organizations, organization_names",  # as autovacuum does; without it each search may read all
    ):
        session.execute(text(statement))
    at = page(admin, organization="z", provider="openai")

    (pills,) = at.pills
    assert len(pills.options) == MATCHES
    assert "Type more of a name" in everything(at)
    assert max((len(box.options) for box in at.selectbox), default=0) < 10
    assert "z77777" in layers(page(admin, organization="z77777", provider="openai"))


def test_member_sees_their_organisation(session: Session, admin: Actor, ids: dict[str, int]) -> None:
    """A member's is chosen from the start; nobody of the installation is named, and only their own layers may be changed."""
    fill(session, admin, ids)
    at = page(member(session, "olga", ids["acme"]), provider="openai")

    assert at.selectbox(key="organization").options == ["acme"]
    shown = everything(at) + "".join(table.value.to_string() for table in at.table)
    assert "acme" in layers(at)
    assert not re.search(r"\bada\b|beta|\]\((defaults|features|providers)", shown)


def test_another_organisation_is_as_a_missing_one(session: Session, ids: dict[str, int]) -> None:
    """To a member, by the address: the same page but for the name; and both attempts are on record."""
    one = member(session, "olga", ids["acme"])
    words = {}
    for name in ("beta", "nowhere"):
        at = at_once("hierarchy", one, organization=name, provider="openai")
        assert "no such organisation that you may see" in at.warning[0].value.replace("\\", "")
        shown = everything(at) + "".join(table.value.to_string() for table in at.table)
        words[name] = shown.replace(name, "NAME")
        assert at.selectbox(key="organization").options == ["acme"]
    assert words["beta"] == words["nowhere"]
    session.expire_all()
    denied = select(AuditEvent).where(AuditEvent.action == "denied", AuditEvent.actor == "olga")
    assert len(session.exec(denied).all()) == 2


def test_member_of_nothing(session: Session, ids: dict[str, int]) -> None:
    """Who belongs to no organisation is words whom to ask; and sees no layer of anybody."""
    assert ids
    assert session
    at = page(make_user("sam", "member"))
    assert "You belong to no organisation" in everything(at)
    assert not at.table


def test_first_steps(session: Session, admin: Actor, analyst: Actor) -> None:
    """Without a provider, and without organisations and features, the page says what comes next."""
    assert "There is no provider yet" in everything(page(admin))
    assert "Ask an admin to add one." in everything(page(analyst))
    made = {"name": "openai", "display_name": "OpenAI", "kind": "openai", "available_models": ["m1"]}
    providers.create(session, COMMAND_LINE, {**made, "default_model": "m1"})
    session.flush()
    at = page(admin)
    assert "Choose a provider above" in everything(at)
    at.selectbox(key="provider").set_value("openai").run()
    assert not at.exception
    assert "There is no organisation and no feature yet" in everything(at)
    assert list(lines(at)) == ["Model"]
    assert [field.key for field in at.text_input] == ["at"]


def test_names_in_every_script(session: Session, admin: Actor, ids: dict[str, int]) -> None:
    """Organisations with names of 100 letters are found by them, and shown as text."""
    assert ids
    for number, name in enumerate([*NAMES, HOSTILE]):
        organizations.create_one(session, COMMAND_LINE, {"slug": f"n{number}", "name": name})
    session.flush()
    at = page(admin, provider="openai")
    for number, name in enumerate(NAMES):
        (pills,) = at.text_input(key="organization").set_value(name[:30]).run().pills
        assert any(option.startswith(f"n{number} ") for option in pills.options), name
    (pills,) = at.text_input(key="organization").set_value("![x](http").run().pills
    assert "![x](" not in pills.options[0]
