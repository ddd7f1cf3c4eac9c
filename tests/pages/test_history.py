"""The History page: what was changed, by whom and why, what differs between two moments, and how it is put back."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from sqlalchemy import text
from sqlmodel import Session, select
from streamlit.testing.v1 import AppTest

from core.actors import COMMAND_LINE, Actor
from core.audit.record import explained
from core.govern.history_moments import newest
from core.manage import features, limits, organization_members, organizations, providers, settings
from core.manage.scopes import SettingsScope
from core.store import db
from core.store.records import AuditEvent
from core.store.table import id_of
from core.store.tables import LlmSettings, User
from tests.conftest import make_user
from tests.screens import click, everything, has, open_page, toasts
from tests.ui.test_address import at_once
from ui import reason
from ui.feedback import plain

pytestmark = pytest.mark.usefixtures("committed")
page = partial(open_page, "history")
MADE = {"name": "openai", "display_name": "O", "kind": "openai", "available_models": ["m", "n"], "default_model": "m"}
CANARY = "canary-of-custom-settings"


def commit(work: Callable[[Session], Any], why: str = "") -> tuple[Any, int]:
    """Do *work* in a transaction of its own; return what it returns, and its generation."""
    with db.transaction() as session, explained(session, why):
        found = work(session)
        session.flush()
        found = found.id if hasattr(found, "id") else found
    with db.transaction() as session:
        return found, newest(session).generation


def said(at: AppTest) -> str:
    return everything(at).replace("\\", "").replace("\u200b", "")


def lines(at: AppTest) -> list[str]:
    return [line.label.replace("\\", "") for line in at.expander]


def opened(at: AppTest, number: int = 0) -> AppTest:
    """Open a line of the list."""
    at.session_state[at.expander[number].key] = True
    at.run()
    assert not at.exception
    return at


def tables(at: AppTest) -> list[list[dict[str, str]]]:
    return [
        [
            {key: str(value).replace("\\", "").replace("\u200b", "") for key, value in row.items()}
            for row in table.value.to_dict("records")
        ]
        for table in at.table
    ]


def stored(provider: int | None) -> LlmSettings | None:
    with db.transaction() as session:
        query = select(LlmSettings).where(LlmSettings.provider_id == provider, LlmSettings.organization_id == None)  # noqa: E711 - SQL
        return session.exec(query).one_or_none()


def member(name: str, organization: int, role: str) -> Actor:
    """A user who is nothing but a member, signed in."""
    made = make_user(name, "member")
    commit(lambda session: organization_members.set_member(session, COMMAND_LINE, organization, made.own_id(), role))
    with db.transaction() as session:
        user = session.get_one(User, made.own_id())
        return Actor(name, user.id, user.auth_epoch)


@pytest.fixture
def provider() -> int:
    """A provider whose max_tokens ada raised, and bob lowered the temperature of all."""
    number: int = commit(lambda session: providers.create(session, COMMAND_LINE, MADE))[0]
    scope = SettingsScope(number)
    fields: dict[str, Any] = {"max_tokens": 100, "custom_settings": {"team": CANARY}}
    commit(lambda session: settings.upsert(session, Actor("ada"), scope, fields))
    commit(lambda session: settings.upsert(session, Actor("bob"), SettingsScope(), {"temperature": 0.2}))
    more: dict[str, Any] = {"max_tokens": 9000, "custom_settings": {"team": "another"}}
    commit(lambda session: settings.upsert(session, Actor("ada"), scope, more), why="the reports were cut")
    return number


@pytest.mark.long
def test_who_changed_what_and_why(provider: int) -> None:
    """Newest first, each line with who, what by its name, before and after and why; filters narrow it; analysts do not read what admins alone do."""
    ada, alan = make_user("carol", "admin"), make_user("alan", "analyst")
    found = lines(page(ada))
    assert [line.split(" · ")[0] for line in found][:4] == [
        "**ada** changed settings **openai**",
        "**bob** added settings **all providers**",
        "**ada** added settings **openai**",
        "**command line** added provider **openai**",
    ]
    assert "Max tokens 100 → 9,000" in found[0]
    assert found[0].endswith("“the reports were cut”")
    for query, number in (
        ({"field": "Max tokens"}, 2),
        ({"field": "Max tokens", "who": "bob"}, 0),
        ({"who": "bob"}, 1),
        ({"provider": "openai"}, 3),
        ({"kind": "Provider"}, 1),
        ({"since": "24 hours", "provider": "openai", "kind": "Settings"}, 2),
    ):
        assert len(lines(page(ada, **query))) == number, query

    at = opened(page(ada))
    assert {"Field": "Max tokens", "Before": "100", "After": "9,000"} in tables(at)[0]
    assert CANARY in said(at) + str(tables(at))
    at = opened(page(alan))
    assert CANARY not in said(at) + str(tables(at))
    assert "shown to admins alone: Custom settings" in said(at)
    assert not [button.key for button in at.button if str(button.key).startswith("put_back")]
    assert provider


def test_a_field_is_put_back_with_a_reason_unless_somebody_changed_it_meanwhile(provider: int) -> None:
    """The preview says what would change; crossed by another it is told and nothing written; pressed again it is, alone and with its reason."""
    at = opened(page(make_user("carol", "admin")))
    key = next(str(button.key) for button in at.button if str(button.key).startswith("put_back_max_tokens"))
    at = click(at, key)
    assert tables(at)[-1] == [{"Field": "Max tokens", "Now": "9,000", "Then": "100"}]
    commit(lambda session: settings.upsert(session, Actor("dan"), SettingsScope(provider), {"max_tokens": 7000}))
    at.text_input(key=reason.DIALOG).set_value("too dear")
    at = click(at, "put_back_confirm")
    assert "dan changed it meanwhile, and nothing was put back" in said(at)
    assert tables(at)[-1] == [{"Field": "Max tokens", "Now": "7,000", "Then": "100"}]
    row = stored(provider)
    assert row is not None
    assert row.max_tokens == 7000
    at = click(at, "put_back_confirm")

    row = stored(provider)
    assert row is not None
    assert (row.max_tokens, row.custom_settings) == (100, {"team": "another"})
    assert toasts(at) == [plain("openai is put back.")]
    assert not has(at, "put_back_confirm")
    assert lines(at)[0] == "**carol** changed settings **openai** · Max tokens 7,000 → 100 · “too dear”"
    with db.transaction() as session:
        event = session.exec(select(AuditEvent).where(AuditEvent.action == "settings.restore")).one()
        assert event.changes["comment"]["after"] == "too dear"


def test_a_deleted_row_comes_back_and_what_cannot_is_told_with_the_cure(provider: int) -> None:
    """Deleted settings are made again from the line that says so; a limit and a provider that is gone refuse, and say what to do."""
    carol = make_user("carol", "admin")
    row = stored(provider)
    assert row is not None
    commit(lambda session: settings.delete(session, COMMAND_LINE, id_of(row), version=row.version))
    at = opened(page(carol))
    key = f"put_back_row_{at.expander[0].key}"
    at = click(at, key)
    assert "The row would be made again" in said(at)
    at = click(at, "put_back_confirm")
    again = stored(provider)
    assert again is not None
    assert again.max_tokens == 9000

    rule = {"owner": "installation", "limits": {"max_tokens": {"max": 500}}, "note": "dear"}
    commit(lambda session: limits.create(session, COMMAND_LINE, rule))
    row_id, version = id_of(again), again.version
    commit(lambda session: settings.delete(session, COMMAND_LINE, row_id, version=version))
    at = opened(page(carol, kind="Settings"))
    key = f"put_back_row_{at.expander[0].key}"
    at = click(at, key)
    assert "It cannot be put back" in said(at)
    assert "500" in said(at)
    assert at.button(key="put_back_confirm").disabled

    commit(lambda session: providers.delete(session, COMMAND_LINE, provider))
    at = opened(page(carol, kind="Settings"))
    at = click(at, key)
    assert "The provider 'openai', which it belongs to, is gone: make it again under that name" in said(at)


@pytest.mark.usefixtures("provider")
def test_an_organisation_is_put_back_as_of_a_moment() -> None:
    """Two moments say what differs, by row and field; the preview lists what would become of each row; then it is as it was, and others' rows are not touched."""
    acme = commit(lambda session: organizations.create_one(session, COMMAND_LINE, {"slug": "acme", "name": "Acme"}))[0]
    feature = commit(lambda session: features.create(session, COMMAND_LINE, {"name": "chat", "display_name": "Chat"}))[
        0
    ]
    own = SettingsScope(None, acme)
    then = commit(lambda session: settings.upsert(session, COMMAND_LINE, own, {"temperature": 0.5}))[1]
    commit(lambda session: settings.upsert(session, COMMAND_LINE, own, {"temperature": 0.9}))
    of_feature = SettingsScope(None, acme, feature)
    commit(lambda session: settings.upsert(session, COMMAND_LINE, of_feature, {"top_p": 0.1}))
    commit(lambda session: settings.upsert(session, COMMAND_LINE, SettingsScope(), {"temperature": 0.3}))
    boss = member("boss", acme, "admin")
    reader = member("reader", acme, "analyst")

    asked = {"part": "Two moments", "organization": "acme", "from": str(then)}
    for actor, may in ((boss, True), (reader, False)):
        at = page(actor, **asked)
        assert lines(at) == [
            "Feature settings **acme · chat · all providers** · only at the second",
            "Settings **acme · all providers** · Temperature",
        ]
        assert has(at, "put_organization_back") is may
    at = click(page(boss, **asked), "put_organization_back")
    assert "**2 rows would change**" in said(at)
    assert "Temperature 0.9 → 0.5" in said(at)
    at.text_input(key=reason.DIALOG).set_value("the trial is over")
    at = click(at, "organization_back_confirm")
    assert toasts(at) == [plain("acme is put back as it was.")]
    assert "Nothing differs" in said(at)
    with db.transaction() as session:
        rows = session.execute(text("SELECT organization_id, temperature FROM llm_settings ORDER BY id")).all()
    assert {(row.organization_id, float(row.temperature)) for row in rows if row.temperature is not None} == {
        (None, 0.3),
        (acme, 0.5),
    }


def test_moments_that_are_none_are_told(provider: int) -> None:
    """No time, a generation that has not come, and one before the history begins, which is 410 over REST: in words, and no exception."""
    carol = make_user("carol", "admin")
    for given, words in (
        ("tomorrow-ish", "tomorrow-ish is no moment. Type a time, as 2026-03-01 09:00 (UTC), or a generation."),
        ("999999", "must be a generation up to"),
        ("2001-01-01", "What the settings were then is not kept: the history begins on"),
        ("", "Say from when"),
    ):
        assert words in said(page(carol, part="Two moments", **{"from": given})), given
    assert provider


@pytest.mark.long
def test_a_member_sees_their_own_organisation_alone(provider: int) -> None:
    """Of another's organisation nothing, whatever the address asks; who belongs to none is told so."""
    for slug in ("acme", "beta"):
        number = commit(
            lambda session, slug=slug: organizations.create_one(session, COMMAND_LINE, {"slug": slug, "name": slug})
        )[0]
        commit(
            lambda session, number=number: settings.upsert(
                session, COMMAND_LINE, SettingsScope(provider, number), {"top_p": 0.25}
            )
        )
    with db.transaction() as session:
        acme = id_of(organizations.get_by_name(session, COMMAND_LINE, "acme"))
    boss = member("boss", acme, "admin")
    for query in ({}, {"organization": "beta"}, {"provider": "openai"}, {"organization": "beta", "provider": "openai"}):
        found = " ".join(lines(page(boss, **query)))
        assert "acme · openai" in found
        assert "beta" not in found
        assert "all providers" not in found
    at = opened(page(boss, kind="Settings"))
    assert "by installation" in said(at)
    assert has(at, f"put_back_row_{at.expander[0].key}")
    assert "You belong to no organisation" in said(page(make_user("eve", "member")))


@pytest.mark.long
def test_pages_as_of_a_moment(provider: int) -> None:
    """Effective Preview and Hierarchy show what was in force then, say so, edit nothing and lead back; what was not there is told, and so is what is not kept."""
    carol = make_user("carol", "admin")
    acme = commit(lambda session: organizations.create_one(session, COMMAND_LINE, {"slug": "acme", "name": "Acme"}))[0]
    own = SettingsScope(provider, acme)
    then = commit(lambda session: settings.upsert(session, COMMAND_LINE, own, {"temperature": 0.5}))[1]
    commit(lambda session: settings.upsert(session, COMMAND_LINE, own, {"temperature": 0.9}))
    commit(lambda session: providers.create(session, COMMAND_LINE, {**MADE, "name": "newer", "display_name": "N"}))
    asked = {"provider": "openai", "organization": "acme"}
    for name in ("hierarchy", "effective_preview"):
        for query, value in (({}, "0.9"), ({"at": str(then)}, "0.5")):
            at = open_page(name, carol, **asked, **query)
            rows = [row for table in tables(at) for row in table if row.get("Parameter") == "Temperature"]
            assert value in str(rows[0]), (name, query)
            assert ("As of generation" in said(at)) is bool(query)
            assert ("defaults?" in str(tables(at))) is not bool(query), (name, query)
        at = click(at, "as_of_now")
        assert "0.9" in str([row for table in tables(at) for row in table if row.get("Parameter") == "Temperature"])
        assert "As of generation" not in said(at)

        for query, words in (
            ({"provider": "newer", "at": str(then)}, "There was no provider newer then"),
            ({**asked, "at": "4"}, "There was no"),
            ({"provider": "openai", "at": "2001-01-01"}, "What the settings were then is not kept"),
            ({"provider": "openai", "at": "soon"}, "soon is no moment"),
            ({"provider": "openai", "at": "999999"}, "must be a generation up to"),
        ):
            at = open_page(name, carol, **query)
            assert words in said(at), (name, query)
            assert not at.error
            assert "0.9" not in str(tables(at))

    for query in ({"provider": "openai"}, {"view": "all"}):
        seen = [str(tables(open_page("effective_preview", carol, **query, at=at))) for at in ("", "3")]
        assert ["9,000" in each for each in seen] == [True, False], query
        assert "100" in seen[1], query
    boss = member("boss", acme, "admin")
    at = at_once("hierarchy", boss, **asked, at=str(then))
    assert "0.5" in str([row for table in tables(at) for row in table if row.get("Parameter") == "Temperature"])
