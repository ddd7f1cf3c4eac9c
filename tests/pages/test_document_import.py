"""Import on the Document page: what is read and shown, that nothing of it is stored or secret, and what is refused with what was typed left there."""

import pytest
from sqlmodel import Session, select
from streamlit.testing.v1 import AppTest

from core.actors import COMMAND_LINE, Actor
from core.manage import organization_members, organizations
from core.store.table import id_of
from core.store.tables import LlmProvider
from tests.conftest import make_user
from tests.govern.importers.samples import FOLDER
from tests.screens import click, everything, has, open_page, toasts

KEY = "sk-canary-pageimport-0123456789abcdef"
MEDIA = (FOLDER / "litellm-media.yaml").read_text(encoding="utf-8").replace("os.environ/GROK_API_KEY", KEY)


def page(admin: Actor, product: str = "litellm") -> AppTest:
    """The part of the page, with a product chosen."""
    at = open_page("document", admin)
    at.segmented_control(key="document_section").set_value("Import from another product").run()
    at.selectbox(key="import_product").select(product).run()
    return at


def read(at: AppTest, text: str) -> AppTest:
    """Paste and read."""
    at.text_area(key="import_text").set_value(text).run()
    return click(at, "import_read")


def said(at: AppTest) -> str:
    """All that is shown but the field itself, as it reads."""
    tables = "".join(table.value.to_csv() for table in at.table)
    return (everything(at) + tables).replace("\\", "").replace("\u2060", "").replace("\u200b", "")


def test_it_is_read_handed_on_and_applied(admin: Actor, session: Session) -> None:
    """The document, each loss with place, why and cure; compared and applied in the next part; keys are to be entered, and shown nowhere."""
    at = page(admin)
    at.text_area(key="import_variables").set_value(f"LOCAL_API_BASE=http://127.0.0.1:9/v1\nOTHER={KEY}x\n").run()
    read(at, MEDIA)

    table = at.table[0].value
    assert list(table.columns) == ["Where", "What becomes of it", "What to do instead"]
    shown = said(at)
    assert "Taken over: 3 providers" in shown
    assert "line 25, model_list[5]" in shown
    assert "is no model for chat" in shown
    assert "put it into the variable XAI_API_KEY" in shown
    assert "api_key: {env: XAI_API_KEY}" in at.code[0].value
    assert "enter the keys on Providers" in shown
    assert KEY not in shown
    assert not session.exec(select(LlmProvider)).all()

    click(at, "import_on")
    assert at.segmented_control(key="document_section").value == "Compare and apply"
    handed = at.text_area(key="document_text").value
    assert "api_key: {set: true}" in handed
    assert "env:" not in handed
    click(at, "document_compare")
    assert "providers.xai.api_key" in said(at)
    assert not session.exec(select(LlmProvider)).all()
    click(at, "document_apply")
    assert "Applied" in " ".join(toasts(at))
    assert {row.name for row in session.exec(select(LlmProvider))} == {"openai", "xai", "127-0-0-1"}
    assert KEY not in said(at) + handed
    at.segmented_control(key="document_section").set_value("Import from another product").run()
    assert not at.text_area(key="import_text").value  # it had a key in it


@pytest.mark.parametrize(
    ("product", "text", "rule"),
    [
        ("litellm", f"model_list:\n- model_name: {KEY}\n  a: [1\n", "the file: is no YAML at line 4"),
        ("litellm", f"model_list: [{KEY}]\na: &x [*x]\n", "has an alias that stands inside what it names at line 2"),
        (
            "librechat",
            "".join(
                [
                    f"a0: &a0 [{KEY}, {KEY}]\n",
                    *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 9)),
                ]
            ),
            "has more than 200,000 values, with what its aliases stand for at line 6",
        ),
        ("librechat", (FOLDER / "otari-pilot.yml").read_text(encoding="utf-8"), "is no configuration of LibreChat"),
        ("langfuse", MEDIA, "the file: is no"),
        ("litellm", f"# {KEY}\n" * (10 * 1024**2 // 40), "the file: must be at most 4 MB; this is 10"),
        ("env", f"A_KEY={KEY}\n" * 50_000, "is larger than 1 MB"),
        ("otari", "  \n", "is empty"),
    ],
    ids=["no YAML", "circle", "aliases", "another", "none of it", "10 MB", "large .env", "empty"],
)
def test_what_cannot_be_read_is_told_and_stays(admin: Actor, product: str, text: str, rule: str) -> None:
    """With the line where there is one; nothing of it is repeated, there is nothing to go on with, and the text is still in the field."""
    at = read(page(admin, product), text)
    assert rule in said(at)
    assert "what you typed is still here" in said(at)
    assert KEY not in said(at)
    assert at.text_area(key="import_text").value == text
    assert not has(at, "import_on")


def test_another_text_has_none_of_what_was_read(admin: Actor) -> None:
    """What was read of one text is not shown beside another one; the document pasted before is told to be replaced."""
    at = open_page("document", admin)
    at.text_area(key="document_text").set_value("version: 1\n").run()
    at.segmented_control(key="document_section").set_value("Import from another product").run()
    read(at, MEDIA)
    assert "is replaced by this one" in said(at)
    at.text_area(key="import_text").set_value(f"{MEDIA}\n").run()
    assert not has(at, "import_on")


def test_an_organisations_document_has_no_import(admin: Actor, session: Session) -> None:
    """It makes providers, which no organisation has: neither for its admins, nor with one chosen."""
    acme = id_of(organizations.create_one(session, COMMAND_LINE, {"slug": "acme", "name": "Acme"}))
    mia = make_user("mia", "member")
    organization_members.set_member(session, COMMAND_LINE, acme, mia.user_id or 0, "admin")
    session.flush()
    epoch = session.connection().exec_driver_sql("SELECT auth_epoch FROM users WHERE username = 'mia'").scalar_one()
    own = open_page("document", Actor("mia", mia.user_id, epoch))
    assert own.segmented_control(key="document_section").options == ["Compare and apply", "What is stored"]
    at = page(admin)
    at.text_input(key="organization").set_value("acme").run()
    assert at.segmented_control(key="document_section").value == "Compare and apply"
    assert len(at.segmented_control(key="document_section").options) == 2
