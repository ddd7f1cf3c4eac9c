"""Dialogs that edit a stored row while somebody else does: nobody's work is written over unseen, nothing typed is lost."""

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from sqlmodel import Session
from streamlit.testing.v1 import AppTest

from core.actors import COMMAND_LINE, Actor
from core.manage import features, model_facts, notifications, organizations, settings_presets
from core.store.table import id_of
from tests.screens import click, everything, open_page, pick


class Edited(NamedTuple):
    """A dialog that edits a row."""

    page: str
    make: Callable[[Session], Any]
    """Stores the row."""
    begin: Callable[[AppTest, Any], object]
    """Opens the dialog of the row."""
    field: str
    """Key of a field of text in it."""
    save: str
    change: Callable[[Session, Any], object]
    """What somebody else does meanwhile."""
    stored: Callable[[Any], str]
    """What the row has of the field."""


def _edit_preset(at: AppTest, row: Any) -> None:
    pick(at, "presets_menu", "Manage presets…")
    click(at, f"preset_edit_{row.id}")


def _edit_correction(at: AppTest, row: Any) -> None:
    at.segmented_control(key="show").set_value("said").run()
    click(at, f"edit_correction_{row.id}")


EDITED = {
    "webhook": Edited(
        "webhooks",
        lambda s: notifications.create(s, COMMAND_LINE, {"name": "ops", "url": "https://hooks.example.com/x"})[0],
        lambda at, row: pick(at, f"more_{row.id}", "Edit"),
        "webhook_name",
        "webhook_save",
        lambda s, row: notifications.update_target(s, COMMAND_LINE, id_of(row), {"name": "theirs"}, version=None),
        lambda row: str(row.name),
    ),
    "feature": Edited(
        "features",
        lambda s: features.create(s, COMMAND_LINE, {"name": "ask", "display_name": "Ask"}),
        lambda at, row: pick(at, f"more_{row.name}", "Edit"),
        "feature_display_name",
        "feature_save",
        lambda s, row: features.update(s, COMMAND_LINE, id_of(row), {"display_name": "theirs"}),
        lambda row: str(row.display_name),
    ),
    "organisation": Edited(
        "organizations",
        lambda s: organizations.create_one(s, COMMAND_LINE, {"slug": "acme", "name": "Acme"}),
        lambda at, row: pick(at, f"more_{row.slug}_{row.id}", "Edit"),
        "organization_name",
        "organization_save",
        lambda s, row: organizations.update(s, COMMAND_LINE, id_of(row), {"name": "theirs"}, version=row.version),
        lambda row: str(row.name),
    ),
    "preset": Edited(
        "defaults",
        lambda s: settings_presets.create(s, COMMAND_LINE, {"name": "terse", "fields": {"max_tokens": 100}}),
        _edit_preset,
        "preset_name",
        "preset_save",
        lambda s, row: settings_presets.update(s, COMMAND_LINE, id_of(row), {"name": "theirs"}),
        lambda row: str(row.name),
    ),
    "correction": Edited(
        "models",
        lambda s: model_facts.set_facts(s, COMMAND_LINE, "my-model", {"max_output": 100}, why="seen", api=None),
        _edit_correction,
        "correction_why",
        "correction_save",
        lambda s, row: model_facts.set_facts(
            s, COMMAND_LINE, "my-model", {"max_output": 100}, why="theirs", api=None, version=row.version
        ),
        lambda row: str(row.why),
    ),
}


@pytest.mark.parametrize("edited", EDITED.values(), ids=EDITED)
def test_who_was_quicker_is_named_before_anything_is_written(session: Session, admin: Actor, edited: Edited) -> None:
    """The first press after somebody else's save writes nothing and says so; what was typed stays, and the next press writes it."""
    row = edited.make(session)
    at = open_page(edited.page, admin)
    edited.begin(at, row)
    field = next(each for each in (*at.text_input, *at.text_area) if each.key == edited.field)
    field.set_value("mine").run()
    edited.change(session, row)
    session.flush()

    click(at, edited.save)

    session.refresh(row)
    assert edited.stored(row) == "theirs"
    assert "changed it" in everything(at)
    assert next(each for each in (*at.text_input, *at.text_area) if each.key == edited.field).value == "mine"

    click(at, edited.save)

    session.refresh(row)
    assert edited.stored(row) == "mine"
