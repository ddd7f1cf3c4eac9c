"""A pasted .env file: it is shown what would become of it, one click writes all or nothing, and no secret is shown."""

from functools import partial

import pytest
from sqlmodel import Session, text
from streamlit.testing.v1 import AppTest

from core import config, crypto
from core.actors import Actor
from core.errors import NotFound
from core.manage import providers
from core.store.table import id_of
from tests.screens import click, everything, has, open_page

page = partial(open_page, "providers")
OPENAI = "sk-proj-canary-0123456789abcdefghijklmnopqrstuvwxyz"
MISTRAL = "canary0123456789abcdefghijklmnop"
PASTED = f"""
# of the old program
OPENAI_API_KEY="{OPENAI}"
MISTRAL_API_KEY={MISTRAL}
MISTRAL_MODEL=mistral-large-latest
ANTHROPIC_API_KEY=your-key-here
NOBODY_API_KEY=abc
DATABASE_URL=postgresql://user:canary@host/db
this is no line
DEBUG=1
DEBUG=2
"""


def paste(actor: Actor, pasted: str) -> AppTest:
    """Open the dialog and paste."""
    app = click(page(actor), "paste_env")
    app.text_area(key="env_pasted").set_value(pasted).run()
    assert not app.exception
    return app


def rows(app: AppTest) -> dict[str, tuple[str, str, str]]:
    """Variable -> mask, what is done, and why."""
    found = {}
    for _, row in app.table[0].value.iterrows():
        (name, mask), (action, why) = (
            str(cell).replace("\\", "").replace("\u200b", "").split("  \n") for cell in (row.iloc[0], row.iloc[1])
        )
        found[name] = (mask.removeprefix(":gray[:small[").removesuffix("]]"), action, why)
    return found


def test_what_is_pasted_is_shown_and_then_written(session: Session, admin: Actor) -> None:
    """Two keys are stored in one transaction, as the command does it; placeholders, strangers and rubbish say why not."""
    app = paste(admin, PASTED)

    shown = rows(app)
    assert shown["OPENAI_API_KEY"][:2] == ("sk-proj...****", ":green[new provider]")
    assert shown["MISTRAL_API_KEY"][1] == ":green[new provider]"
    assert "api.mistral.ai" in shown["MISTRAL_API_KEY"][2]
    assert "placeholder" in shown["ANTHROPIC_API_KEY"][2]
    assert "no vendor that is known" in shown["NOBODY_API_KEY"][2]
    told = everything(app).replace("\\", "")
    assert "Not read, as it is no NAME=value: line 9." in told
    assert "There more than once, and the last one counts: DEBUG." in told
    assert "where its key is: MISTRAL_MODEL, DATABASE_URL, DEBUG." in told
    assert "canary0" not in told
    assert ":canary@" not in told
    with pytest.raises(NotFound):
        providers.get_by_name(session, "openai")

    assert app.button(key="env_import").label == "Import 2 variables"
    click(app, "env_import")

    assert not has(app, "env_import")
    assert providers.open_api_key(session, id_of(providers.get_by_name(session, "openai"))) == OPENAI
    made = next(each for each in providers.list_all(session) if each.api_base_url == "https://api.mistral.ai/v1")
    assert (made.available_models, made.is_active) == (["mistral-large-latest"], True)
    assert not any("canary" in repr(value) for value in app.session_state.values())
    who = session.execute(text("SELECT DISTINCT actor FROM audit_events WHERE action LIKE 'provider.%'")).scalars()
    assert list(who) == [admin.name]

    app = paste(admin, PASTED)
    assert "has this key already" in rows(app)["OPENAI_API_KEY"][2]
    assert app.button(key="env_import").disabled


def test_nothing_is_written_that_was_not_shown(session: Session, admin: Actor) -> None:
    """What somebody saves between the look and the click makes another outcome: then nothing is written, and the text stays."""
    app = paste(admin, f"OPENAI_API_KEY={OPENAI}")
    data = {"name": "openai", "display_name": "OpenAI", "kind": "openai", "available_models": ["m1"]}
    stored = providers.create(session, admin, data)
    click(app, "env_import")

    assert "somebody saved something meanwhile" in "".join(error.value for error in app.error)
    session.refresh(stored)
    assert stored.api_key_encrypted is None
    assert app.text_area(key="env_pasted").value == f"OPENAI_API_KEY={OPENAI}"
    assert rows(app)["OPENAI_API_KEY"][1] == ":green[key is set]"
    click(app, "env_import")

    session.refresh(stored)
    assert providers.open_api_key(session, stored.id or 0) == OPENAI


@pytest.mark.parametrize(
    ("pasted", "told"),
    [
        ("x" * (1024 * 1024 + 1), "larger than 1 MB"),
        ("A=\0", "save it as UTF-8"),
        (OPENAI, "No variable here has the name of an API key"),
        (f"{OPENAI}=\n{OPENAI}=x\n", "No variable here has the name of an API key"),
        ("\u202e{[<![x](http://evil.example/x.png)\n" * 50, "No variable here has the name of an API key"),
        ("OPENAI_API_KEY=${LLM_ENCRYPTION_KEY}", "is a reference to a secret"),
    ],
    ids=["huge", "nul", "a bare key", "a key for a name", "rubbish", "a reference"],
)
def test_rubbish_is_told_and_stays(admin: Actor, pasted: str, told: str) -> None:
    """Nothing that is no .env file breaks the page, none of it is shown again outside its field, and nothing is lost."""
    app = paste(admin, pasted)

    cells = [str(cell) for table in app.table for cell in table.value.to_numpy().ravel()]
    shown = "\n".join([everything(app), *cells])
    assert told in shown.replace("\\", "").replace("\u200b", "")
    assert "canary" not in shown
    assert app.button(key="env_import").disabled
    assert app.text_area(key="env_pasted").value == pasted
    click(app, "env_cancel")
    assert "env_pasted" not in app.session_state


def test_without_encryption_key_it_says_so(admin: Actor, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that cannot seal imports nothing."""
    monkeypatch.delenv("LLM_ENCRYPTION_KEY")
    config.get_config.cache_clear()
    crypto.get_ring.cache_clear()

    app = paste(admin, f"OPENAI_API_KEY={OPENAI}")

    assert "LLM_ENCRYPTION_KEY is not set" in everything(app).replace("\\", "")
    assert app.button(key="env_import").disabled
