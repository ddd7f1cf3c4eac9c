"""The sign-in page where there is an identity provider: its link, the form beside it or behind a link, and the way back."""

from collections.abc import Callable

import pytest
from sqlalchemy import text
from streamlit.testing.v1 import AppTest

from core import config
from core.access import users
from core.actors import COMMAND_LINE
from core.crypto import get_ring
from core.manage import health
from core.store import db
from core.store.table import id_of
from tests.conftest import PASSWORD
from tests.ui.test_guard import ROOT, WRONG, run
from ui.health.sign_on import sign_on_lines

SET = {
    "LLM_OIDC_ISSUER": "https://login.example",
    "LLM_OIDC_CLIENT_ID": "llm-settings",
    "LLM_PUBLIC_URL": "https://llm.corp.example/llm",
    "LLM_OIDC_ADMIN_GROUPS": "llm-admins",
    "LLM_OIDC_NAME": "Corp <b>Login</b>",
}


@pytest.fixture
def configured(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Sets the environment; what is not set is as in SET."""

    def configure(**more: str) -> None:
        for name, value in {**SET, **more}.items():
            monkeypatch.setenv(name, value)
        config.get_config.cache_clear()

    with db.transaction() as session:
        for name in ("ada", "bea"):
            users.add(session, COMMAND_LINE, name, PASSWORD, "admin")
    return configure


def sign_in(at: AppTest, name: str) -> AppTest:
    """Fill in the form."""
    at.text_input[0].input(name)
    at.text_input[1].input(PASSWORD)
    return at.button(key="sign_in_button").click().run()


def way_back() -> tuple[str, str]:
    """State and word of the row of Health."""
    with db.transaction() as session:
        found = health.look(session, get_ring()).sign_on
    (line,) = [line for line in sign_on_lines(found) if line.name == "Way back"]
    return line.state, line.word


def test_link_stands_above_the_form(configured: Callable[..., None]) -> None:
    """To the public address, in the same tab; its name is text. The form works on."""
    configured()
    at = run(ROOT / "streamlit_app.py")
    (link,) = [element.value for element in at.html if "Sign in with" in element.value]

    assert "Corp &lt;b&gt;Login&lt;/b&gt;" in link
    assert '<a href="https://llm.corp.example/llm/sso/start">' in link
    assert "actor" in sign_in(at, "ada").session_state


def test_only_the_provider_and_the_way_back(configured: Callable[..., None]) -> None:
    """The form is behind a link; a local user is refused as an unknown one; one that is marked gets in, which is on record and on Health."""
    configured(LLM_OIDC_ONLY="1")
    assert way_back() == ("soon", "None")
    with db.transaction() as session:
        bea = users.find(session, "bea")
        assert bea is not None
        users.set_break_glass(session, COMMAND_LINE, id_of(bea), on=True)
    assert way_back() == ("ok", "There")

    at = run(ROOT / "streamlit_app.py")
    assert not at.text_input
    at.button(key="by_password").click().run()
    refused = sign_in(at, "ada")
    assert [error.value for error in refused.error] == [WRONG]
    assert "actor" not in refused.session_state
    assert "actor" in sign_in(at, "bea").session_state
    with db.transaction() as session:
        events = session.execute(text("SELECT target FROM audit_events WHERE action = 'session.break_glass'")).all()
    assert [tuple(row) for row in events] == [("bea",)]
    assert way_back() == ("soon", "Was used")
