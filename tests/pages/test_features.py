"""The Features page: the registry, what overrides each, names that nobody registered, and what is set for one."""

from functools import partial
from typing import Any

import pytest
from sqlalchemy import text
from sqlmodel import Session, select
from streamlit.testing.v1 import AppTest

from core.actors import COMMAND_LINE, Actor
from core.manage import features, organizations, settings
from core.manage.scopes import SettingsScope
from core.store.organization_tables import LlmFeature
from core.store.table import id_of
from tests.govern.test_usage import log
from tests.screens import click, everything, has, open_page, pick
from tests.ui.test_address import at_once

page = partial(open_page, "features")


def made(session: Session, name: str, **more: Any) -> LlmFeature:
    return features.create(session, COMMAND_LINE, {"name": name, "display_name": name.title(), **more})


def said(at: AppTest) -> str:
    return everything(at).replace("\\", "").replace("\u200b", "")


def names(session: Session) -> list[str]:
    session.expire_all()
    return sorted(session.exec(select(LlmFeature.name)))


def test_empty_page_says_what_one_is_for(admin: Actor) -> None:
    """Without a feature the page says what one is, with the button."""
    at = page(admin)

    assert "A feature is a purpose" in said(at)
    assert has(at, "add_feature")


def test_registered_edited_and_deleted(session: Session, admin: Actor) -> None:
    """A name is enough; a rename says what it means; deleting names what goes and wants the name."""
    at = click(page(admin), "add_feature")
    at.text_input(key="feature_name").input("Not a name")
    click(at, "feature_save")
    assert "1 to 100" in said(at)
    assert at.text_input(key="feature_name").value == "Not a name"
    at.text_input(key="feature_name").input("summarise")
    click(at, "feature_save")
    assert names(session) == ["summarise"]

    pick(at, "more_summarise", "Edit")
    at.text_input(key="feature_name").input("summaries").run()
    assert "another name is another feature" in said(at)
    click(at, "feature_save")
    assert names(session) == ["summaries"]
    row = session.exec(select(LlmFeature)).one()
    settings.upsert(session, COMMAND_LINE, SettingsScope(None, None, id_of(row)), {"temperature": 0.0})

    pick(at, "more_summaries", "Delete")
    assert "its 1 override" in said(at)
    click(at, "delete_confirm")
    assert names(session) == ["summaries"]
    at.text_input(key="delete_name").input("summaries")
    click(at, "delete_confirm")
    assert names(session) == []


def test_of_two_admins_nobody_writes_over_the_other_unseen(session: Session, admin: Actor) -> None:
    """What was saved while the dialog was open is said; what was typed stays, and is written at the second press."""
    row = made(session, "summarise")
    at = pick(page(admin), "more_summarise", "Edit")
    at.text_input(key="feature_display_name").input("Mine")
    features.update(session, Actor("grace"), id_of(row), {"display_name": "Theirs"})
    click(at, "feature_save")
    session.expire_all()
    assert features.get(session, id_of(row)).display_name == "Theirs"
    assert at.text_input(key="feature_display_name").value == "Mine"
    click(at, "feature_save")
    session.expire_all()
    assert features.get(session, id_of(row)).display_name == "Mine"


def test_rows_say_how_many_override_one(session: Session, admin: Actor) -> None:
    """How many rows there are, and of how many organisations; a page at a time."""
    for number in range(30):
        made(session, f"f{number:02}")
    for slug in ("acme", "beta"):
        of = organizations.create_one(session, COMMAND_LINE, {"slug": slug, "name": slug})
        scope = SettingsScope(None, id_of(of), id_of(features.get_by_name(session, "f00")))
        settings.upsert(session, COMMAND_LINE, scope, {"temperature": 0.5})
    at = page(admin)

    assert "2 rows · overridden by 2 organisations" in said(at)
    assert has(at, "overrides_f24")
    assert not has(at, "overrides_f25")
    assert has(click(at, "features_next"), "overrides_f25")


def test_names_that_nobody_registered(session: Session, admin: Actor) -> None:
    """A name in the log that is no feature's is shown, and registered by a press and a save."""
    made(session, "summarise")
    log(session, {"user_id": "summarise"}, {"user_id": "sumarise"})
    session.execute(text("UPDATE llm_logs SET feature = user_id"))
    at = page(admin)
    assert "sumarise" in said(at)
    assert not has(at, "register_1")
    click(at, "register_0")
    assert at.text_input(key="feature_name").value == "sumarise"
    click(at, "feature_save")
    assert names(session) == ["sumarise", "summarise"]
    assert "not registered" not in said(at)


def test_value_of_one_feature_is_saved(session: Session, admin: Actor) -> None:
    """Overrides of a feature have an address; a value is stored for it alone, and who hides it is counted."""
    row = made(session, "classify")
    of = organizations.create_one(session, COMMAND_LINE, {"slug": "acme", "name": "Acme"})
    settings.upsert(session, COMMAND_LINE, SettingsScope(None, id_of(of), id_of(row)), {"max_tokens": 9})
    at = click(page(admin), "overrides_classify")
    assert at.query_params["feature"] == "classify"
    at.segmented_control(key="max_tokens_mode").set_value("value").run()
    at.number_input(key="max_tokens").set_value(50).run()
    assert "Hidden by 1 organisation" in said(at)
    click(at, "override_save")

    session.expire_all()
    found = settings.get_of(session, COMMAND_LINE, SettingsScope(None, None, id_of(row)))
    assert found is not None
    assert found.max_tokens == 50
    assert has(click(at, "all_features"), "overrides_classify")


@pytest.mark.parametrize("name", ["nope", "", "x" * 300])
def test_feature_that_is_not_there_is_said(admin: Actor, name: str) -> None:
    """Its address shows the list, and says so."""
    at = at_once("features", admin, feature=name)

    assert has(at, "add_feature")
    assert bool(at.warning) == bool(name)
