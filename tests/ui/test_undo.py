"""Undo: offered to who saved, for a minute; takes the whole write back, or says why not."""

import pytest
from streamlit.testing.v1 import AppTest

from core.actors import COMMAND_LINE, Actor
from core.manage import providers, settings
from core.manage.scopes import SettingsScope
from tests.pages.test_defaults import choose
from tests.pages.test_history import MADE, commit, said, stored
from tests.screens import click, open_page, toasts
from ui.undo import SECONDS

pytestmark = pytest.mark.usefixtures("committed")


def saved(admin: Actor, retries: int) -> AppTest:
    """Defaults, after a save."""
    at = choose(open_page("defaults", admin, provider="openai"), "max_retries", "Value")
    at.number_input(key="max_retries").set_value(retries).run()
    return click(at, "save")


def undo_of(at: AppTest) -> list[str]:
    return [str(button.key) for button in at.button if str(button.key).startswith(("undo_a_", "undo_b_"))]


def test_a_save_is_taken_back_and_so_is_that(admin: Actor) -> None:
    """Offered once after a save, on other pages too; the row is what it was, the page shows it; Undo of Undo brings it back, with both on record."""
    number: int = commit(lambda session: providers.create(session, COMMAND_LINE, MADE))[0]
    commit(lambda session: settings.upsert(session, Actor("bob"), SettingsScope(number), {"max_retries": 1}))
    at = open_page("defaults", admin, provider="openai")
    assert undo_of(at) == []
    at.number_input(key="max_retries").set_value(7).run()
    at = click(at, "save")
    (key,) = undo_of(at)
    at = click(at, key)
    row = stored(number)
    assert row is not None
    assert row.max_retries == 1
    assert at.number_input(key="max_retries").value == 1
    assert toasts(at)[0].startswith("Undone")
    (other,) = undo_of(at)
    assert other != key
    at.switch_page("pages/account.py").run()
    assert undo_of(at) == [other]
    at = click(at, other)
    row = stored(number)
    assert row is not None
    assert (row.max_retries, row.updated_by) == (7, "ada")
    assert "Undo of generation" in " ".join(line.label for line in open_page("history", admin).expander)


def test_what_is_not_undone_is_told(admin: Actor) -> None:
    """Changed by somebody since: who, and nothing is written; a minute later it is over; what another person pressed is not done."""
    number: int = commit(lambda session: providers.create(session, COMMAND_LINE, MADE))[0]
    at = saved(admin, 5)
    (key,) = undo_of(at)
    commit(lambda session: settings.upsert(session, Actor("bob"), SettingsScope(number), {"max_retries": 6}))
    at = click(at, key)
    assert "It is not undone: bob changed this settings since. [Look at History](history)" in said(at)
    row = stored(number)
    assert row is not None
    assert row.max_retries == 6
    assert undo_of(at) == []

    at = saved(admin, 8)
    (key,) = undo_of(at)
    offered = at.session_state["undo_offer"]
    at.session_state["undo_offer"] = offered._replace(at=offered.at - SECONDS - 1)
    at.run()
    assert undo_of(at) == []
    at.session_state["undo_pressed"] = offered._replace(at=offered.at - SECONDS - 1)
    at.run()
    assert "The minute for Undo is over" in said(at)
    at.session_state["undo_pressed"] = offered._replace(who=Actor("bob", 999))
    at.run()
    row = stored(number)
    assert row is not None
    assert row.max_retries == 8
