"""The Privacy page: what is found in a text, who says how long things are kept, and who may change it."""

import json
import re
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from sqlalchemy import text
from sqlmodel import Session, select
from streamlit.testing.v1 import AppTest

from core import config
from core.actors import COMMAND_LINE, Actor
from core.errors import Forbidden
from core.govern import keeping
from core.manage import features, installation, organization_members, organizations, personal_data
from core.manage.personal_trying import LARGEST_TEXT
from core.privacy import looking
from core.store import db
from core.store.records import AuditEvent
from core.store.table import id_of
from core.store.tables import MEMBER, User
from tests.conftest import make_user
from tests.govern.test_usage import log
from tests.pages.test_costs import layers
from tests.screens import click, everything, has, open_page
from ui.navigation import names_for

page = partial(open_page, "privacy")


def read(at: AppTest) -> str:
    return everything(at).replace("\\", "").replace("\u2060", "")


def look(at: AppTest, text: str) -> str:
    """Type a text, look, and return what the page says."""
    at.text_area(key="privacy_text").set_value(text)
    return read(click(at, "privacy_look"))


@pytest.mark.usefixtures("session")
def test_try_a_text(analyst: Actor) -> None:
    """What is found is counted by type and masked; nothing found is no promise; nothing of the text is in the store."""
    at = page(analyst)
    assert "Names, addresses of streets and dates of birth are not." in read(at)

    said = look(at, "Mail anna@example.com or bob@example.org, card 4111 1111 1111 1111")

    assert [(each.label, each.value) for each in at.metric] == [("E-mail addresses", "2"), ("Payment cards", "1")]
    assert "3 places in the text" in said
    assert at.code[0].value == "Mail <EMAIL_1> or <EMAIL_2>, card <CARD_1>"
    assert rows(at, "Placeholder")[0] == ["E-mail addresses", "anna@example.com", "6 to 21", "<EMAIL_1>"]
    assert [row[2] for row in rows(at, "Placeholder")] == ["6 to 21", "26 to 40", "48 to 66"]
    said = look(at, "Anna lives in the blue house")
    assert "Nothing is found in it. That does not mean that nobody is named in it." in said
    assert not at.code
    with db.transaction() as session:
        assert "anna@" not in str(session.exec(select(AuditEvent)).all())


def rows(at: AppTest, column: str) -> list[list[str]]:
    """Return the rows of the table that has *column*, as they read."""
    shown: Any = next(each.value for each in at.table if column in each.value.columns)
    return [[re.sub("[\\\\\u200b\u2060\u2068\u2069]", "", cell) for cell in row] for row in shown.to_numpy().tolist()]


def test_a_text_is_tried_by_the_rules_of_a_scope(session: Session, analyst: Actor) -> None:
    """What is in force there, of which layer, decides what is found; the text is bounded, and is gone with the page."""
    acme = id_of(organizations.create_one(session, COMMAND_LINE, {"slug": "acme", "name": "Acme"}))
    chat = id_of(features.create(session, COMMAND_LINE, {"name": "chat", "display_name": "Chat"}))
    own = {"name": "CASE_NUMBER", "pattern": "C-[0-9]{6}", "matches": "C-123456", "spares": "C-12"}
    personal_data.create(session, COMMAND_LINE, {"countries": ["DE"], "types": ["EMAIL", "PHONE"]})
    of_acme = {"organization_id": acme, "patterns": [own], "allow": ["support@example.com"]}
    personal_data.create(session, COMMAND_LINE, of_acme)
    personal_data.create(session, COMMAND_LINE, {"feature_id": chat, "types": ["EMAIL"]})
    said = "C-123456: ring 030 901820 or support@example.com, a@example.com, 4111 1111 1111 1111"
    found = {}
    for asked in ({}, {"organization": "acme"}, {"organization": "acme", "feature": "chat"}):
        at = page(analyst, **asked)
        look(at, said)
        found[len(asked)] = (rows(at, "In force"), [row[3] for row in rows(at, "Placeholder")])

    assert found[0][1] == ["<PHONE_1>", "<EMAIL_1>", "<EMAIL_2>"]
    assert found[0][0][:2] == [
        ["Kinds", "E-mail addresses and Phone numbers", "all providers"],
        ["Countries", "DE", "all providers"],
    ]
    assert found[1][1] == ["<CASE_NUMBER_1>", "<PHONE_1>", "<EMAIL_1>"]
    assert [row[1:] for row in found[1][0][2:4]] == [
        ["CASE_NUMBER", "organisation (acme)"],
        ["support@example.com", "organisation (acme)"],
    ]
    assert found[2][1] == ["<CASE_NUMBER_1>", "<EMAIL_1>"]
    assert found[2][0][0] == ["Kinds", "E-mail addresses", "feature (chat)"]
    look(at, "ä" * (LARGEST_TEXT // 2 + 1))
    assert "Has 100,002 bytes, and 100,000 are tried at most" in "".join(each.value for each in at.error)
    assert not at.code
    assert len(at.text_area(key="privacy_text").value or "") == LARGEST_TEXT // 2 + 1
    look(at, said)
    assert said not in str(dict(at.query_params))
    at.switch_page("pages/account.py").run()
    assert said not in repr(at.session_state)


def test_an_engine_that_is_not_there_is_named(session: Session, analyst: Actor) -> None:
    """What could not be searched is no text in which nothing was found."""
    personal_data.create(session, COMMAND_LINE, {"engine": "elsewhere"})

    said = look(page(analyst), "Mail anna@example.com")

    assert "Nothing is found" not in said
    assert "the engine elsewhere failed (it is not installed here)" in said


def test_what_was_found_over_time(session: Session, admin: Actor, analyst: Actor) -> None:
    """Bars whose parts have numbers, the same as a table and a file; narrowed by the address; nothing found is said with its time."""
    acme = id_of(organizations.create_one(session, admin, {"slug": "acme", "name": "Acme"}))
    assert "Nothing was found in logged calls of all calls (30 days)" in read(page(analyst))
    at = datetime.now(UTC) - timedelta(days=2)
    for number, organization in ((5, acme), (2, None)):
        log(session, {"at": at, "organization_id": organization, "provider": "openai"})
        text_ = text("UPDATE llm_logs SET pii = CAST(:pii AS jsonb) WHERE pii IS NULL")
        session.execute(text_, {"pii": json.dumps({"EMAIL": number, **{f"OWN_{n}": 1 for n in range(9)}})})

    shown = page(analyst)

    assert [each.value for each in shown.metric] == ["7", *["2"] * 7, "4"]
    (bar, bars), (_, numbers) = layers(shown)
    assert [(row["number"], row["places"], row["from"]) for row in bars[:2]] == [("1", 7, 0), ("2", 2, 7)]
    assert [row["number"] for row in numbers] == [str(n) for n in range(1, 10)]
    assert bar["x"]["title"] == "Time (UTC)"
    assert page(analyst, organization="acme").metric[0].value == "5"
    assert "Nothing was found" in read(page(analyst, span="24 hours"))
    assert rows(page(analyst, chart="Table"), "Day (UTC)")[0][:2] == [f"{at:%Y-%m-%d}", "7"]


def test_an_organisation_s_people(session: Session, admin: Actor) -> None:
    """Its admin says what becomes of personal data there and nowhere else; its analyst reads; nothing of others, nor how long all is kept."""
    acme, beta = (
        id_of(organizations.create_one(session, COMMAND_LINE, {"slug": slug, "name": slug.title()}))
        for slug in ("acme", "beta")
    )
    personal_data.create(session, COMMAND_LINE, {"organization_id": beta, "prompts": "refuse"})
    people = {role: make_user(f"its-{role}", MEMBER) for role in ("admin", "analyst")}
    for role, actor in people.items():
        organization_members.set_member(session, admin, acme, actor.own_id(), role)
    people = {role: renewed(session, actor) for role, actor in people.items()}
    at = page(people["admin"])
    assert not has(at, "change_keeping")
    click(at, "add_personal")
    assert at.text_input(key="personal_organization").value == "acme"
    at.text_input(key="personal_organization").set_value("beta")
    at.selectbox(key="personal_prompts").set_value("mask")
    click(at, "personal_save")
    assert [each.value for each in at.error] == ["Is no name that is there; leave it empty for all\\."]
    at.text_input(key="personal_organization").set_value("")
    click(at, "personal_save")
    assert "Admin access required" in read(at)
    at.text_input(key="personal_organization").set_value("acme")
    click(at, "personal_save")

    assert "Prompts are sent masked" in kept(at)
    assert "if something is found" not in kept(at)
    assert session.exec(
        select(AuditEvent.target).where(AuditEvent.action == "personal_data.create", AuditEvent.actor == "its-admin")
    ).all() == ["acme · all providers"]
    for_analyst = page(people["analyst"])
    assert "Prompts are sent masked" in kept(for_analyst)
    assert not has(for_analyst, "add_personal")


@pytest.mark.usefixtures("session")
def test_a_missing_extra_is_said(analyst: Actor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where phones and national numbers are not looked for, the page says so, and the cure."""
    assert "install llm-settings[pii]" not in read(page(analyst))
    monkeypatch.setattr(looking, "_has_extra", False)

    said = read(page(analyst))

    assert "does not look for national numbers and phone numbers here: install llm-settings[pii]" in said


def kept(at: AppTest) -> str:
    return " ".join(each.value.replace("\\", "") for each in at.markdown)


def test_how_long_things_are_kept(session: Session, analyst: Actor, monkeypatch: pytest.MonkeyPatch) -> None:
    """What holds is the fewest days; who says so stands beside it, and organisations that keep fewer."""
    said = kept(page(analyst))
    assert said.count("For ever") == 3
    assert "Nobody has said how long, for the whole installation" in said

    installation.update(session, COMMAND_LINE, {"keep_calls_days": 90, "keep_audit_days": 400})
    for slug, days in (("acme", 30), ("beta", 200), ("gone", None)):
        entry = {"slug": slug, "name": slug.title(), "keep_calls_days": days}
        organizations.create_one(session, COMMAND_LINE, entry)
    monkeypatch.setenv("LLM_LOG_DAYS", "60")
    config.get_config.cache_clear()
    at = page(analyst)

    said = kept(at)
    assert "**Calls, with prompts and answers**: 60 days" in said
    assert "The host says 60 days (LLM_LOG_DAYS), the installation 90 days." in said
    assert "**The audit**: 400 days" in said
    assert rows(at, "Organisation") == [["Acme", "30 days", "30 days"], ["Beta", "200 days", "60 days"]]
    assert not has(at, "change_keeping")


def test_an_admin_changes_how_long(session: Session, admin: Actor) -> None:
    """Typed in a dialog; what breaks a rule is said beside its field, and nothing typed is lost; who was quicker is named."""
    at = click(page(admin), "change_keeping")
    at.text_input(key="privacy_keep_calls_days").set_value("90")
    at.text_input(key="privacy_keep_audit_days").set_value("a week")
    click(at, "privacy_keeping_save")
    assert [each.value.replace("\\", "") for each in at.error] == [
        "Must be a number of days from 30 to 36,500, or nothing: for ever."
    ]
    assert at.text_input(key="privacy_keep_calls_days").value == "90"
    installation.update(session, COMMAND_LINE, {"keep_history_days": 300})
    at.text_input(key="privacy_keep_audit_days").set_value("")
    click(at, "privacy_keeping_save")
    assert "command line changed it" in read(at)
    assert installation.get(session, admin).keep_calls_days is None
    at.text_input(key="privacy_keep_history_days").set_value("300")

    click(at, "privacy_keeping_save")

    row = installation.get(session, admin)
    assert (row.keep_calls_days, row.keep_audit_days, row.keep_history_days) == (90, None, 300)
    assert "**Calls, with prompts and answers**: 90 days" in kept(at)


def test_whose_page_it_is(session: Session) -> None:
    """Everybody has it: members for their organisations, and who has none is told; how long all is kept is not theirs."""
    assert all("privacy" in names_for(role) for role in ("admin", "analyst", MEMBER))
    assert "You belong to no organisation" in read(page(make_user("max", MEMBER)))
    with pytest.raises(Forbidden):
        keeping.overview(session, make_user("mel", MEMBER))


def renewed(session: Session, actor: Actor) -> Actor:
    """Return who signs in again, with the rights of now."""
    number, epoch = session.exec(select(User.id, User.auth_epoch).where(User.username == actor.name)).one()
    return Actor(actor.name, number, epoch)


def rule(at: AppTest) -> str:
    """Return what holds unless a scope says otherwise."""
    return next(each.value for each in at.markdown if "Unless a scope says otherwise" in each.value).replace("\\", "")


def test_what_is_masked_and_where(session: Session, admin: Actor, analyst: Actor) -> None:
    """A scope is added, edited by two, and cleared in dialogs; what is wrong stands at its field; an analyst reads alone."""
    organizations.create_one(session, COMMAND_LINE, {"slug": "acme", "name": "Acme"})
    at = page(admin)
    assert "The request log is masked. Prompts are sent as they are." in rule(at)
    click(at, "add_personal")
    at.text_input(key="personal_organization").set_value("nobody")
    at.selectbox(key="personal_prompts").set_value("mask")
    click(at, "personal_save")
    assert [each.value for each in at.error] == ["Is no name that is there; leave it empty for all\\."]
    assert at.selectbox(key="personal_prompts").value == "mask"
    at.text_input(key="personal_organization").set_value("acme")
    click(at, "personal_save")
    (row,) = [each.row for each in personal_data.list_all(session, admin)]
    assert (row.prompts, row.logs, row.countries, row.patterns) == ("mask", None, None, None)
    assert "Prompts are sent masked" in kept(at)
    assert has(page(analyst), "privacy_look")
    assert not has(page(analyst), f"edit_personal_{row.id}")

    click(at, f"edit_personal_{row.id}")
    at.multiselect(key="personal_countries").set_value(["DE"])
    personal_data.update(session, COMMAND_LINE, id_of(row), {"answers": "mask"})
    click(at, "personal_save")
    assert "command line changed it" in read(at)
    assert at.multiselect(key="personal_countries").value == ["DE"]
    click(at, "personal_save")
    session.refresh(row)
    assert (row.prompts, row.countries, row.answers) == ("mask", ["DE"], None)

    click(at, f"clear_personal_{row.id}")
    click(at, "personal_save")
    assert personal_data.list_all(session, admin) == []


@pytest.mark.long
def test_own_patterns_are_typed_as_lines(session: Session, admin: Actor) -> None:
    """What is no JSON, no pattern or not whole is refused by its number, and stays; what was kept stands there again."""
    own = '{"name": "CASE_NUMBER", "pattern": "C-[0-9]{6}", "matches": "C-123456", "spares": "C-12"}'
    at = page(admin)
    click(at, "add_personal")
    for typed, words in (
        (f"{own}\nC-[0-9]+", "line 2 must be JSON"),
        ("[" * 40_000, "line 1 must be JSON"),
        ("5", "must be a list of at most 20, each with name"),
        ('{"name": "CASE_NUMBER"}', "number 1: must have name, pattern, matches, spares"),
        (own.replace("C-123456", "D-1"), "matches"),
    ):
        at.text_area(key="personal_own").set_value(typed)
        click(at, "personal_save")
        assert any(words.casefold() in each.value.replace("\\", "").casefold() for each in at.error), (
            words,
            [each.value for each in at.error],
        )
        assert at.text_area(key="personal_own").value == typed
    at.text_area(key="personal_own").set_value(own)
    click(at, "personal_save")
    (row,) = [each.row for each in personal_data.list_all(session, admin)]
    assert row.patterns == [json.loads(own)]
    click(at, f"edit_personal_{row.id}")
    assert at.text_area(key="personal_own").value == own
