"""The Document page: what it shows, compares and applies, what it refuses, and that nothing typed is lost."""

from functools import partial

from sqlmodel import Session
from streamlit.testing.v1 import AppTest

from core.actors import COMMAND_LINE, Actor
from core.govern.documents import schema, writing
from core.manage import organization_members, organizations, providers, settings
from core.store.table import id_of
from tests.conftest import ENCRYPTION_KEY, make_user
from tests.rest import KEY
from tests.screens import click, everything, has, open_page, toasts

page = partial(open_page, "document")
CHANGED = """
version: 1
defaults: {temperature: 0.2}
providers:
  openai: {display_name: OpenAI, kind: openai, available_models: [gpt-6], api_key: {set: true, fingerprint: "#00000000"}}
"""


def said(at: AppTest) -> str:
    return everything(at).replace("\\", "").replace("\u2060", "") + "".join(code.value for code in at.code)


def pasted(at: AppTest, text: str) -> AppTest:
    at.text_area(key="document_text").set_value(text).run()
    return click(at, "document_compare")


def test_it_is_compared_and_applied_by_one_button(admin: Actor, session: Session) -> None:
    """Compared by section, with what is to be entered; applied, and then there is nothing to change; what was typed stays."""
    at = pasted(page(admin), CHANGED)

    assert "2 to add" in said(at)
    assert "    temperature: 0.2" in said(at)
    assert "providers.openai.api_key" in said(at)
    assert settings.get_global(session, None) is None
    click(at, "document_apply")
    assert toasts(at) == ["Applied: 2 to add."] or "Applied" in " ".join(toasts(at))
    row = settings.get_global(session, None)
    assert row is not None
    assert (row.temperature, row.updated_by) == (0.2, "apply:ada")
    assert at.text_area(key="document_text").value == CHANGED
    assert "Nothing to change" in said(click(at, "document_compare"))


def test_what_others_changed_is_applied_only_where_one_says_so(admin: Actor, session: Session) -> None:
    """A field in dispute names who; Apply waits for the tick. Changed between the two clicks: nothing is applied."""
    at = pasted(page(admin), CHANGED)
    click(at, "document_apply")
    settings.upsert_global(session, COMMAND_LINE, None, {"temperature": 0.7})
    click(at, "document_compare")
    assert "changed by command line at" in said(at)
    assert at.button(key="document_apply").disabled
    at.checkbox(key="document_take").check().run()
    providers.create(
        session, admin, {"name": "other", "display_name": "O", "kind": "openai", "available_models": ["m"]}
    )
    session.connection().exec_driver_sql("UPDATE settings_generation SET generation = generation + 1")
    click(at, "document_apply")
    assert "were changed since you compared" in said(at)
    click(at, "document_compare")
    at.checkbox(key="document_take").check().run()
    click(at, "document_apply")
    session.expire_all()
    row = settings.get_global(session, None)
    assert row is not None
    assert row.temperature == 0.2


def test_what_is_wrong_is_named_and_what_was_typed_stays(admin: Actor) -> None:
    """Paths and rules with lines; of a reference, a key and a mask not a letter of what they stand for."""
    for secret, rule in (
        ("{env: LLM_ENCRYPTION_KEY}", "only the command line resolves"),
        ("{file: /etc/passwd}", "only the command line resolves"),
        (KEY, "must not be written out"),
    ):
        text = CHANGED.replace('{set: true, fingerprint: "#00000000"}', secret)
        at = pasted(page(admin), text)
        assert "providers.openai.api_key: " in said(at)
        assert rule in said(at)
        shown = "".join(str(error.value) for error in at.error)
        assert not any(plain in shown for plain in (KEY, ENCRYPTION_KEY, "root:"))
        assert at.text_area(key="document_text").value == text
        assert not has(at, "document_apply")


def test_what_is_stored_can_be_read(admin: Actor, session: Session) -> None:
    """Shown as it is exported; of an organisation alone where the address names one."""
    settings.upsert_global(session, admin, None, {"temperature": 0.4})
    organizations.create_one(session, admin, {"slug": "acme", "name": "Acme"})
    at = page(admin)
    at.segmented_control(key="document_section").set_value("What is stored").run()
    assert at.code[0].value == writing.write(session, admin).rstrip("\n")
    at.text_input(key="organization").set_value("acme").run()
    shown = schema.read(at.code[0].value)
    assert list(shown.organizations or {}) == ["acme"]
    assert shown.defaults is None
    at.text_input(key="organization").set_value("nobody").run()
    assert "no such organisation" in said(at)


def test_an_organisations_admin_has_its_document(session: Session) -> None:
    """And no other: not the whole, and nothing that the installation decides."""
    acme = id_of(organizations.create_one(session, COMMAND_LINE, {"slug": "acme", "name": "Acme"}))
    mia = make_user("mia", "member")
    organization_members.set_member(session, COMMAND_LINE, acme, mia.user_id or 0, "admin")
    session.flush()
    epoch = session.connection().exec_driver_sql("SELECT auth_epoch FROM users WHERE username = 'mia'").scalar_one()
    at = page(Actor("mia", mia.user_id, epoch))
    pasted(at, "version: 1\norganizations: {acme: {name: Acme, settings: {temperature: 0.1}}}\n")
    assert "1 to add" in said(at)
    click(at, "document_apply")
    assert "Applied" in " ".join(toasts(at))
    assert "does not belong" in said(pasted(at, "version: 1\ndefaults: {temperature: 1}\n"))
