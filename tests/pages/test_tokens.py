"""The API tokens page: what it lists, and what making and revoking do and refuse."""

import re
from functools import partial

import pytest
from sqlalchemy import text
from streamlit.testing.v1 import AppTest

from core.access import tokens
from core.actors import COMMAND_LINE, Actor
from core.store import db
from tests.conftest import ROOT, make_user
from tests.screens import click, everything, open_page

page = partial(open_page, "tokens")


def made(name: str = "billing", **more: object) -> int:
    with db.transaction() as session:
        return tokens.create(session, COMMAND_LINE, {"name": name, "role": "analyst", **more})[0].id or 0


def test_empty_page_says_what_to_do(admin: Actor) -> None:
    """Without a token the page says what one is for, with the button."""
    at = page(admin)

    assert "Make one for each program" in everything(at)
    assert at.button(key="make_token").label == "Make token"


def test_analysts_see_nothing_of_it(analyst: Actor) -> None:
    """The page is an admin's."""
    made()
    at = AppTest.from_file(str(ROOT / "pages/tokens.py"), default_timeout=30)
    at.session_state["actor"] = analyst
    at.run()

    assert "Admin access required" in everything(at)
    assert "billing" not in everything(at)


def test_tokens_are_listed_with_use_and_end(admin: Actor) -> None:
    """Name, hint, role, who made it, last use and when it ends; revoked ones below."""
    made("billing", expires_in_days=7)
    made("forever")
    gone = made("old")
    with db.transaction() as later:
        tokens.revoke(later, admin, gone)
        later.execute(
            text("UPDATE api_tokens SET last_used_at = now(), last_used_from = '192.0.2.7' WHERE name = 'forever'")
        )
    at = page(admin)

    assert [(metric.label, metric.value) for metric in at.metric] == [
        ("Valid", "2"),
        ("Expire in 14 days", "1"),
        ("Never used", "1"),
    ]
    said = everything(at).replace("\\", "")
    assert "**billing** llms_" in said
    assert "last used just now from 192.0.2.7" in said
    assert "by command line, never used" in said
    assert "old llms_" in said
    assert "revoked just now by ada" in said
    assert at.expander[0].label == "Revoked (1)"


@pytest.mark.parametrize("name", ["![](http://x)", "**bold** :red[x]", "<b>x</b>", "x" * 100])
def test_hostile_names_are_text(admin: Actor, name: str) -> None:
    """Nothing in a name is Markdown."""
    made(name)
    at = page(admin)

    assert not at.exception
    assert f"**{name}**" not in everything(at) or name == "x" * 100


def test_a_token_is_shown_once(admin: Actor) -> None:
    """Made, it is shown with how to use it; after Done it is gone, from the session too, and it works."""
    at = click(page(admin), "make_token")
    at.text_input(key="token_name").set_value("billing").run()
    click(at, "token_save")

    token = next(code.value for code in at.code if code.value.startswith("llms_"))
    assert re.fullmatch(r"llms_[A-Za-z0-9_-]{43}", token)
    assert not any(token in code.value for code in at.code if code.value.startswith("curl"))
    with db.transaction() as session:
        assert tokens.find(session, token) is not None
        assert tokens.get_by_name(session, "billing").created_by == "ada"
        assert tokens.get_by_name(session, "billing").expires_at is not None
    click(at, "token_done")
    assert token not in everything(at)
    assert token not in repr(at.session_state)
    assert "billing" in everything(at)


def test_a_token_left_by_leaving_the_page_is_forgotten(admin: Actor) -> None:
    """Back does not close a dialog: the token must not come up again on return."""
    at = click(page(admin), "make_token")
    at.text_input(key="token_name").set_value("billing").run()
    click(at, "token_save")
    token = next(code.value for code in at.code if code.value.startswith("llms_"))

    at.switch_page("pages/users.py").run()
    at.switch_page("pages/tokens.py").run()

    assert token not in everything(at)
    assert token not in repr(at.session_state)


@pytest.mark.parametrize(
    ("name", "told"), [("", "Must be 1 to 100 characters"), ("billing", "There is already a token")]
)
def test_refused_input_stays(admin: Actor, name: str, told: str) -> None:
    """The rule stands beside the field, and what was typed stays."""
    made("billing")
    at = click(page(admin), "make_token")
    at.text_input(key="token_name").set_value(name).run()
    click(at, "token_save")

    assert told in everything(at).replace("\\", "")
    assert at.text_input(key="token_name").value == name


def test_revoking_wants_the_name(admin: Actor) -> None:
    """Only with the name typed; then it is refused at once, and listed below."""
    token_id = made("billing")
    at = click(page(admin), f"revoke_{token_id}")
    at.text_input(key="revoke_name").set_value("billin").run()
    click(at, "revoke_confirm")
    assert "Type billing exactly" in everything(at).replace("\\", "")
    with db.transaction() as session:
        assert tokens.get_by_name(session, "billing").id == token_id

    at.text_input(key="revoke_name").set_value("billing").run()
    click(at, "revoke_confirm")

    with db.transaction() as session:
        assert [row.revoked_by for row in tokens.list_all(session)] == ["ada"]
    assert at.expander[0].label == "Revoked (1)"


def test_pages_have_a_limit_of_their_own(admin: Actor, monkeypatch: pytest.MonkeyPatch) -> None:
    """CHECKS 28: from the pages too, counted by committed saves; refused input counts nothing, another admin goes on."""
    from core import config  # noqa: PLC0415 - for this test alone
    from core.access import ratelimit  # noqa: PLC0415 - for this test alone

    monkeypatch.setenv("LLM_RATE_LIMIT_PAGES", "2 per 5 minutes")
    config.get_config.cache_clear()
    ratelimit.get_limiter.cache_clear()

    def make(actor: Actor, name: str) -> str:
        at = click(page(actor), "make_token")
        at.text_input(key="token_name").set_value(name).run()
        return everything(click(at, "token_save"))

    for _ in range(3):
        assert "Must be 1 to 100" in make(admin, "")
    for name in ("one", "two"):
        assert "Copy it now" in make(admin, name)
    assert "More than 2 per 5 minutes" in make(admin, "three")
    assert "Copy it now" in make(make_user("grace", "admin"), "four")
    with db.transaction() as session:
        assert {row.name for row in tokens.list_all(session)} == {"one", "two", "four"}
