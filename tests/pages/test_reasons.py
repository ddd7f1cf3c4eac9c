"""Why something is changed, on the pages: one field beside Save, in each dialog, and where it is needed on each page."""

import re

from sqlmodel import Session, col, select

from core.actors import Actor
from core.manage import installation, providers
from core.store import db
from core.store.records import AuditEvent
from tests.conftest import ROOT
from tests.pages.test_defaults import add_provider, choose, stored
from tests.screens import click, everything, has, open_page, pick, toasts
from ui import reason


def said(action: str) -> list[object]:
    """The reasons of the events of an action, oldest first."""
    with db.transaction() as session:
        query = select(AuditEvent.changes).where(col(AuditEvent.action) == action).order_by(col(AuditEvent.id))
        return [changes.get("comment", {}).get("after") for changes in session.exec(query)]


def test_beside_save_it_is_optional(session: Session, admin: Actor) -> None:
    """Defaults: typed it stands in the audit and is gone for the next save; left empty it is none; nothing asks for it."""
    add_provider(session, admin)
    app = choose(open_page("defaults", admin, provider="acme"), "max_retries", "Value")
    assert not any(field.key == reason.PAGE for field in app.text_input)
    field = app.text_input(key=reason.BAR)
    assert (field.placeholder, field.label) == ("Reason (optional)", "Reason, in one line")
    field.set_value("the vendor is slow this week").run()
    click(app, "save")
    choose(app, "max_retries", "Inherit")
    assert app.text_input(key=reason.BAR).value == ""
    click(app, "save")

    assert said("settings.create") + said("settings.update") == ["the vendor is slow this week", None]
    audit = open_page("audit", admin, reason="SLOW this")
    assert ["“the vendor is slow this week”" in line.label.replace("\\", "") for line in audit.expander] == [True]
    assert "No event fits" in everything(open_page("audit", admin, reason="100%"))


def test_where_it_is_needed_nothing_is_lost_without_it(session: Session, admin: Actor) -> None:
    """A save, a dialog and one click without a reason: refused in words, what was typed stays, and with one they go."""
    number = add_provider(session, admin, api_key="sk-proj-canary-0123456789abcdefghij")
    installation.update(session, admin, {"require_reason": True})
    app = choose(open_page("defaults", admin, provider="acme"), "max_retries", "Value")
    app.number_input(key="max_retries").set_value(7).run()
    click(app, "save")
    assert stored(number) is None
    assert "**1 change, unsaved**" in everything(app)
    assert app.text_input(key=reason.BAR).placeholder == "Reason (needed)"
    app.text_input(key=reason.BAR).set_value("ticket 1").run()
    click(app, "save")
    assert (row := stored(number)) is not None
    assert row.max_retries == 7

    app = pick(open_page("providers", admin), "more_acme", "Remove key")
    click(app, "remove_key_confirm")
    assert [each.value for each in app.error] == [reason.MISSING]
    app.text_input(key=reason.DIALOG).set_value("ticket 2").run()
    click(app, "remove_key_confirm")
    assert not has(app, "remove_key_confirm")

    app = open_page("providers", admin)
    app.toggle(key="active_acme").set_value(False).run()
    assert reason.MISSING in [each.value for each in app.error]
    app.text_input(key=reason.PAGE).set_value("ticket 3").run()
    app.toggle(key="active_acme").set_value(False).run()
    assert toasts(app)
    with db.transaction() as later:
        assert not providers.get(later, number).is_active
    assert (said("settings.create"), said("provider.remove_key"), said("provider.update")) == (
        ["ticket 1"],
        ["ticket 2"],
        ["ticket 3"],
    )


def test_a_document_is_applied_with_one(session: Session, admin: Actor) -> None:
    """Beside Apply it is optional, and of no second document; where it is needed nothing is applied without, and what was typed stays."""
    app = open_page("document", admin)
    for needed, why, temperature in ((False, "colder", 0.2), (False, None, 0.3), (True, "ticket 4", 0.4)):
        installation.update(session, admin, {"require_reason": needed})
        text = f"version: 1\ndefaults: {{temperature: {temperature}}}\n"
        app.text_area(key="document_text").set_value(text).run()
        click(app, "document_compare")
        field = app.text_input(key=reason.BAR)
        assert (field.value, field.placeholder) == ("", f"Reason ({'needed' if needed else 'optional'})")
        if needed:
            click(app, "document_apply")
            assert [each.value for each in app.error] == [reason.MISSING]
            assert app.text_area(key="document_text").value == text
        if why:
            app.text_input(key=reason.BAR).set_value(why).run()
        click(app, "document_apply")
        assert toasts(app)[0].startswith("Applied")
    assert said("document.apply") == ["colder", None, "ticket 4"]


def test_it_is_decided_on_organisations(session: Session, admin: Actor) -> None:
    """One switch: on without a reason, as none was needed; then the field is there; off with one."""
    app = open_page("organizations", admin)
    app.toggle(key="require_reason").set_value(True).run()
    assert installation.get(session, admin).require_reason
    app.toggle(key="require_reason").set_value(False).run()
    assert reason.MISSING in [each.value for each in app.error]
    assert app.toggle(key="require_reason").value
    app.text_input(key=reason.PAGE).set_value("nobody wrote any").run()
    app.toggle(key="require_reason").set_value(False).run()

    session.expire_all()
    assert not installation.get(session, admin).require_reason
    assert said("installation.update") == [None, "nobody wrote any"]


def test_each_dialog_that_writes_has_the_field() -> None:
    """A module with a dialog and a write draws the dialog's last row with the field, or asks for a name, which has it too."""
    found = (ROOT / "ui").rglob("*.py")
    texts = {path.relative_to(ROOT / "ui").as_posix(): path.read_text(encoding="utf-8") for path in found}
    writing = {name for name, text in texts.items() if "@st.dialog(" in text and " attempt(" in text}
    drawing = {name for name in writing if re.search(r"reason\.buttons\(|confirm_by_name\(", texts[name])}

    assert writing >= {"users/dialogs.py", "providers/dialogs.py", "defaults/dialogs.py"}
    assert drawing == writing
