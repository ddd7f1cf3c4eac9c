"""The Providers page: cards, dialogs, keys, conflicts, deletion."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import pairwise
from typing import Any

import pytest
from sqlmodel import Session, text
from streamlit.testing.v1 import AppTest

from core import config, crypto
from core.actors import Actor
from core.errors import NotFound
from core.manage import model_facts, provider_keys, providers, settings
from core.manage.connection import STAGES
from core.models.facts import facts
from core.store import db
from core.store.tables import LlmProvider
from tests.conftest import ROOT
from tests.govern.test_usage import failed, log
from tests.screens import click, has, html_texts, offers, open_page, pick
from tests.vendors import KEY as RIGHT
from tests.vendors import Status, Vendor
from ui.providers import first_steps

page = partial(open_page, "providers")

HOSTILE = "![x](http://evil.example/x.png) <b>:red[name]</b>"
KEY = "sk-proj-canary-0123456789abcdefghijklmnopqrstuvwxyz"
SHOWN = ("title", "subheader", "markdown", "caption", "text", "warning", "error", "success", "info")


def add(session: Session, admin: Actor, name: str = "acme", **fields: Any) -> int:
    data = {"name": name, "display_name": name.title(), "kind": "openai", "available_models": ["m1", "m2"]}
    provider = providers.create(session, admin, {**data, "default_model": "m1", **fields})
    assert provider.id is not None
    return provider.id


def stored(provider_id: int) -> LlmProvider:
    with db.transaction() as session:
        session.expire_all()
        return providers.get(session, provider_id)


def named(name: str) -> LlmProvider:
    with db.transaction() as session:
        return providers.get_by_name(session, name)


def everything(app: AppTest) -> str:
    """All text that the page shows."""
    return "\n".join([str(element.value) for kind in SHOWN for element in getattr(app, kind)] + html_texts(app))


def fill_new(app: AppTest, **fields: Any) -> AppTest:
    """Open *Add* and fill in a provider that can be saved."""
    click(app, "add_provider")
    app.text_input(key="provider_display_name").set_value(fields.get("display_name", "Acme AI"))
    app.text_input(key="provider_name").set_value(fields.get("name", "acme"))
    app.selectbox(key="provider_kind").set_value(fields.get("kind", "openai"))
    app.multiselect(key="provider_available_models").set_value(fields.get("models", ["m1", "m2"])).run()
    app.selectbox(key="provider_default_model").set_value(fields.get("default", "m1")).run()
    return app


def test_stranger_and_analyst_see_nothing(session: Session, admin: Actor, analyst: Actor) -> None:
    """Without sign-in, and as an analyst, the page by itself draws no provider and no button of its own."""
    add(session, admin)
    for actor in (None, analyst):
        app = AppTest.from_file(str(ROOT / "pages/providers.py"), default_timeout=30)
        app.session_state["actor"] = actor
        app.run()
        assert not app.exception
        assert not has(app, "add_provider")
        assert "Acme" not in everything(app)


def test_open_dialog_writes_nothing_once_rights_are_gone(session: Session, admin: Actor) -> None:
    """Who is disabled while the dialog is open saves nothing with it."""
    app = fill_new(page(admin))
    session.execute(text("UPDATE users SET is_active = false, auth_epoch = auth_epoch + 1"))
    session.flush()

    app.button(key="provider_save").click().run()

    with pytest.raises(NotFound):
        named("acme")


def test_empty_page_says_what_to_do(admin: Actor) -> None:
    """Without providers the page says so, and the button that adds the first one is there."""
    app = page(admin)

    assert "There is no provider yet" in everything(app)
    click(app, "add_first")
    assert has(app, "provider_save")


def test_newcomer_reads_what_to_do_first(session: Session, admin: Actor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Above the list stands what the product is for and the next step, until a parameter is set; later only where none is active."""

    def steps() -> str:
        shown = everything(page(admin))
        return shown if "Your programs ask here" in shown else ""

    assert "**Add a provider** with its API key" in steps()
    provider_id = add(session, admin, is_active=False)
    assert "**Set the API key** of a provider below" in steps()
    providers.set_api_key(session, admin, provider_id, KEY)
    providers.update(session, admin, provider_id, {"is_active": True})
    assert ":green[:material/check_circle:] **A provider has its API key**" in steps()
    assert '`resolve("acme")`' in steps()
    settings.upsert_global(session, admin, None, {"temperature": 0.2})
    assert not steps()
    providers.update(session, admin, provider_id, {"is_active": False})
    assert "**Set the API key**" in steps()
    providers.update(session, admin, provider_id, {"is_active": True})
    settings.delete(session, admin, settings.list_global(session)[0].id or 0)
    assert steps()
    monkeypatch.setattr(first_steps, "_NEW", timedelta())
    assert not steps()


def test_provider_is_added_with_its_key(admin: Actor) -> None:
    """What was filled in is stored; the key is masked on the card and neither shown nor kept."""
    app = fill_new(page(admin))
    app.text_input(key="provider_api_key").set_value(KEY).run()
    click(app, "provider_save")

    provider = named("acme")
    assert (provider.display_name, provider.available_models, provider.default_model) == ("Acme AI", ["m1", "m2"], "m1")
    assert provider.updated_by == "ada"
    with db.transaction() as session:
        assert providers.open_api_key(session, provider.id or 0) == KEY
    assert not has(app, "provider_save")
    assert "sk-proj...****" in everything(app)
    assert KEY not in everything(app)
    assert all(value != KEY for value in app.session_state.values())


def test_error_stands_beside_its_field_and_typing_stays(session: Session, admin: Actor) -> None:
    """A refused save names the rule below each field at fault, and every field keeps what was typed."""
    add(session, admin)
    app = fill_new(page(admin), name="Not A Name!", display_name="Second")
    app.text_input(key="provider_api_base_url").set_value("ftp://host").run()
    click(app, "provider_save")

    told = [error.value for error in app.error]
    assert any("1 to 50 of the characters" in line for line in told)
    assert any(line.startswith("Must begin with https") for line in told)
    assert app.text_input(key="provider_name").value == "Not A Name!"
    assert app.multiselect(key="provider_available_models").value == ["m1", "m2"]

    app.text_input(key="provider_api_base_url").set_value("")
    app.text_input(key="provider_name").set_value("acme").run()
    click(app, "provider_save")
    assert any("already a provider" in error.value for error in app.error)
    assert app.text_input(key="provider_display_name").value == "Second"


def test_doubtful_key_is_saved_on_demand_only(admin: Actor) -> None:
    """A key that does not look like its kind's is warned of, not saved, and saved once that is confirmed."""
    app = fill_new(page(admin))
    app.text_input(key="provider_api_key").set_value("xx-not-an-openai-key").run()
    assert any("usually begin with" in warning.value for warning in app.warning)
    app.text_input(key="provider_api_base_url").set_value("ftp://host")
    click(app, "provider_save")
    assert [error.value for error in app.error if "Must begin" in error.value or "Looks wrong" in error.value][1:]
    app.text_input(key="provider_api_base_url").set_value("")
    click(app, "provider_save")
    with pytest.raises(NotFound):
        named("acme")

    app.checkbox(key="provider_api_key_anyway").check().run()
    click(app, "provider_save")

    assert named("acme").api_key_masked == "xx-not-...****"


def test_empty_key_leaves_the_stored_one(session: Session, admin: Actor) -> None:
    """Saving other fields without typing a key changes nothing of it."""
    provider_id = add(session, admin, api_key=KEY)
    blob = stored(provider_id).api_key_encrypted
    app = click(page(admin), "edit_acme")
    app.text_input(key="provider_display_name").set_value("Renamed").run()
    click(app, "provider_save")

    assert stored(provider_id).display_name == "Renamed"
    assert stored(provider_id).api_key_encrypted == blob


def test_a_server_that_needs_no_key_is_added(admin: Actor) -> None:
    """Switched off, the key's field is gone and what was typed there is not sent; the card says that none is needed."""
    app = fill_new(page(admin), kind="openai_compatible")
    app.text_input(key="provider_api_base_url").set_value("http://127.0.0.1:11434/v1").run()
    app.text_input(key="provider_api_key").set_value("ollama").run()
    assert "switch “Needs an API key” off instead" in everything(app)
    app.toggle(key="provider_needs_key").set_value(False).run()
    assert not any(field.key == "provider_api_key" for field in app.text_input)
    assert "Programs get the word “not-needed”" in everything(app).replace("\\", "")
    app.toggle(key="provider_needs_key").set_value(True).run()
    assert app.text_input(key="provider_api_key").value == "ollama"  # nothing typed is lost
    app.toggle(key="provider_needs_key").set_value(False).run()
    click(app, "provider_save")

    provider = named("acme")
    assert (provider.needs_key, provider.is_active, provider.api_key_encrypted) == (False, True, None)
    told = everything(app)
    assert "Needs no key" in told
    assert "No key" not in told
    assert not has(app, "set_key_acme")
    assert "none needed" in everything(click(app, "details_acme"))
    assert next(metric.value for metric in app.metric if metric.label == "Without key") == "0"


def test_a_vendor_does_not_go_without_a_key(session: Session, admin: Actor) -> None:
    """The refusal stands beside the switch; a stored key stays, and the card and the form say so."""
    provider_id = add(session, admin, api_key=KEY)
    app = click(page(admin), "edit_acme")
    app.toggle(key="provider_needs_key").set_value(False).run()
    told = everything(app).replace("\\", "")
    assert f"{provider_keys.shown_key(stored(provider_id))} stays stored, and is not used." in told
    click(app, "provider_save")
    drawn = [node for node in app._tree if node.type in {"toggle", "text_input", "error"}]
    (above,) = [above.key for above, node in pairwise(drawn) if "answers nobody without" in str(node.value)]
    assert above == "provider_needs_key"
    app.text_input(key="provider_api_base_url").set_value("https://gateway.example/v1").run()
    app.toggle(key="provider_needs_key").set_value(True).run()
    app.text_input(key="provider_api_key").set_value(KEY).run()
    click(app, "provider_save")
    click(app, "edit_acme").toggle(key="provider_needs_key").set_value(False).run()
    click(app, "provider_save")

    assert not stored(provider_id).needs_key
    assert "kept, and not used" in everything(app)


def test_another_host_needs_the_key_again(session: Session, admin: Actor) -> None:
    """A new origin is refused beside the base URL; with the key typed again it is saved."""
    provider_id = add(session, admin, api_key=KEY)
    app = click(page(admin), "edit_acme")
    app.text_input(key="provider_api_base_url").set_value("https://elsewhere.example/v1").run()
    click(app, "provider_save")
    assert any("type the API key again" in error.value for error in app.error)
    assert stored(provider_id).api_base_url is None

    app.text_input(key="provider_api_key").set_value(KEY).run()
    click(app, "provider_save")

    assert stored(provider_id).api_base_url == "https://elsewhere.example/v1"


@pytest.mark.parametrize("dialog", ["add", "edit"])
def test_private_address_is_told_beside_the_base_url(
    session: Session, admin: Actor, monkeypatch: pytest.MonkeyPatch, dialog: str
) -> None:
    """CHECKS 46: the rule and its cure stand right below the Base URL; the other kind, or another host, is saved."""
    monkeypatch.setattr("socket.getaddrinfo", lambda *_, **__: pytest.fail("something was looked up"))
    app = page(admin)
    if dialog == "add":
        fill_new(app)
    else:
        add(session, admin)
        click(app.run(), "edit_acme")
    for url, rule in {"http://127.1:8000": "LLM_PRIVATE_HOSTS", "http://0xa9fea9fe": "Nothing allows this"}.items():
        app.text_input(key="provider_api_base_url").set_value(url).run()
        click(app, "provider_save")
        drawn = [node for node in app._tree if node.type in {"text_input", "selectbox", "multiselect", "error"}]
        told = [above.key for above, node in pairwise(drawn) if rule in str(node.value).replace("\\", "")]
        assert told == ["provider_api_base_url"]
        assert len(app.error) == 1
        assert app.text_input(key="provider_api_base_url").value == url

    app.text_input(key="provider_api_base_url").set_value("http://127.1:8000")
    app.selectbox(key="provider_kind").set_value("openai_compatible").run()
    click(app, "provider_save")
    assert (named("acme").kind, named("acme").api_base_url) == ("openai_compatible", "http://127.1:8000")


def test_nothing_is_omitted_for_a_new_model(admin: Actor) -> None:
    """What its API would answer 400 to is not sent anyway: no settings row is written for it."""
    app = fill_new(page(admin), kind="anthropic", models=["claude-next"], default="claude-next")
    assert not [box for box in app.checkbox if box.key == "provider_omit"]
    click(app, "provider_save")

    with db.transaction() as session:
        assert settings.get_global(session, named("acme").id) is None
        assert "presence_penalty" not in settings.effective(session, "acme").request_options()


def test_omissions_of_another_model_are_taken_back_on_demand(session: Session, admin: Actor) -> None:
    """With another default model one box takes off what was omitted by hand; left as it is, it stays."""
    provider_id = add(session, admin)
    settings.upsert_global(session, admin, provider_id, {"omitted_parameters": ["top_p"]})
    app = click(page(admin), "edit_acme")
    app.selectbox(key="provider_default_model").set_value("m2").run()
    app.checkbox(key="provider_omit").check().run()
    click(app, "provider_save")

    with db.transaction() as fresh:
        assert settings.effective(fresh, "acme").omitted == ()


def test_form_says_what_is_known_of_the_model(admin: Actor) -> None:
    """Before it is saved: limits, price, what is not sent to it, and its end with the successor, used at one press."""
    app = fill_new(page(admin), kind="openai", models=["gpt-5", "unheard-of"], default="gpt-5")
    said = everything(app).replace("\\", "")
    assert "gpt-5: Known · context 400,000" in said
    assert "Not sent to it: Temperature and Top P (it always reasons)" in said
    app.selectbox(key="provider_default_model").set_value("unheard-of").run()
    assert "unheard-of: Not known here, which works as well" in everything(app).replace("\\", "")
    assert "1 other model ends within 180 days, or ended: gpt-5." in everything(app).replace("\\", "")
    app.selectbox(key="provider_default_model").set_value("gpt-5").run()
    successor = facts("openai", "gpt-5")
    assert successor is not None
    click(app, "provider_use_successor")
    assert app.selectbox(key="provider_default_model").value == successor.successor
    assert successor.successor in app.multiselect(key="provider_available_models").value


def test_form_asks_which_model_is_behind_a_name(session: Session, admin: Actor) -> None:
    """A deployment's name is anybody's choice: what is typed is stored with the provider, and counts; a vendor's own is not asked."""
    azure = {"kind": "azure_openai", "api_base_url": "https://x.openai.azure.com"}
    made = add(session, admin, available_models=["prod-chat"], default_model="prod-chat", **azure)
    app = click(page(admin), "edit_acme")
    assert "prod-chat: Not known here" in everything(app).replace("\\", "")
    app.text_input(key="provider_acts_as").set_value("gpt-5").run()
    click(app, "provider_save")

    (row,) = model_facts.list_all(session)
    assert (row.pattern, row.api, row.facts) == ("prod-chat", "azure@x.openai.azure.com", {"acts_as": "gpt-5"})
    assert "temperature" not in settings.effective(session, "acme").request_options()
    assert stored(made).default_model == "prod-chat"
    click(app, "edit_acme")
    assert "prod-chat: Known" in everything(app).replace("\\", "")
    assert app.text_input(key="provider_acts_as").placeholder == "gpt-5"


def test_another_default_model_tells_what_is_left_out(session: Session, admin: Actor) -> None:
    """Omissions that were set for one model are told of when another becomes the default."""
    provider_id = add(session, admin)
    settings.upsert_global(session, admin, provider_id, {"omitted_parameters": ["top_p"]})
    app = click(page(admin), "edit_acme")
    assert not app.warning

    app.selectbox(key="provider_default_model").set_value("m2").run()

    assert any("that was set while the model was m1" in w.value.replace("\\", "") for w in app.warning)


def test_models_are_pasted(admin: Actor) -> None:
    """A JSON array, or one name a line, becomes the models; what is neither is told beside the field and stays."""
    app = click(page(admin), "add_provider")
    app.text_area(key="provider_paste").set_value('["a", "b"')
    click(app, "provider_use_models")
    assert any("Is not a JSON array" in error.value for error in app.error)
    assert app.text_area(key="provider_paste").value == '["a", "b"'

    for pasted in ('["a", "b"]', "a\nb\na"):
        app.text_area(key="provider_paste").set_value(pasted)
        click(app, "provider_use_models")
        assert app.multiselect(key="provider_available_models").value == ["a", "b"]
    assert app.selectbox(key="provider_default_model").options == ["a", "b"]


@pytest.mark.parametrize(("choice", "name"), [("provider_write", "Mine"), ("provider_keep", "Theirs")])
def test_second_of_two_admins_chooses(session: Session, admin: Actor, choice: str, name: str) -> None:
    """Who saves on an old version sees both values; writing mine keeps what only they changed, keeping loses mine."""
    provider_id = add(session, admin)
    app = click(page(admin), "edit_acme")
    app.text_input(key="provider_display_name").set_value("Mine").run()
    with db.transaction() as other:
        providers.update(other, Actor("grace"), provider_id, {"display_name": "Theirs", "description": "by grace"})
    click(app, "provider_save")
    assert stored(provider_id).display_name == "Theirs"
    assert "grace" in everything(app)
    rows = {row["Field"]: [cell.split("  ")[0] for cell in row.iloc[1:]] for _, row in app.table[0].value.iterrows()}
    assert rows["Display name"] == ["Acme", "Theirs", "**Mine**"]
    assert rows["Description"] == [":gray[empty]", "by grace", ":gray[not changed]"]
    assert len(rows) == 2

    click(app, choice)

    assert stored(provider_id).display_name == name
    assert stored(provider_id).description == "by grace"


def test_conflict_keeps_the_typed_key(session: Session, admin: Actor) -> None:
    """A key that was typed before a conflict is saved by *Write mine*, not lost without a word."""
    provider_id = add(session, admin)
    app = click(page(admin), "edit_acme")
    app.text_input(key="provider_api_key").set_value(KEY).run()
    with db.transaction() as other:
        providers.update(other, Actor("grace"), provider_id, {"description": "by grace"})
    told = everything(click(app, "provider_save")).replace("\\", "")
    assert "You alone changed: a new API key." in told
    assert "drops what you typed, the API key that you typed too" in told
    assert list(app.table[0].value["Field"]) == ["Description"]
    assert KEY not in told
    click(app, "provider_write")

    assert stored(provider_id).api_key_masked == "sk-proj...****"
    assert all(value != KEY for value in app.session_state.values())


def test_two_new_keys_cross(session: Session, admin: Actor) -> None:
    """Whose key was replaced by somebody else meanwhile sees both by their masks, and keeping what is saved keeps that one."""
    provider_id = add(session, admin, api_key=KEY)
    app = click(page(admin), "edit_acme")
    app.text_input(key="provider_api_key").set_value(KEY.replace("canary", "typed0")).run()
    with db.transaction() as other:
        providers.update(other, Actor("grace"), provider_id, {"api_key": KEY.replace("canary", "theirs")})
    click(app, "provider_save")
    ((_, row),) = app.table[0].value.iterrows()
    assert (row["Field"], row["Yours"]) == ("API key", "**a new API key**")
    assert row["When you began"] != row["Saved now"].split("  ")[0]
    click(app, "provider_keep")

    assert providers.open_api_key(session, provider_id) == KEY.replace("canary", "theirs")
    assert app.text_input(key="provider_api_key").value == ""


def test_saving_without_a_change_says_so(session: Session, admin: Actor) -> None:
    """Nothing is written, and nothing claims that it was; what only looks like a change is none."""
    provider_id = add(session, admin)
    version = stored(provider_id).version
    app = click(page(admin), "edit_acme")
    app.text_input(key="provider_display_name").set_value("Else").run()
    app.text_input(key="provider_display_name").set_value("Acme").run()
    click(app, "provider_save")

    assert [toast.value for toast in app.toast] == ["Nothing was changed\\."]
    assert stored(provider_id).version == version


def test_dialog_opens_with_an_empty_key(session: Session, admin: Actor) -> None:
    """The browser is told to empty the key: it would else show, and save, what was typed in another's dialog.

    Seen in Chromium: Esc, then Edit of another provider at once. AppTest has no browser that is late, so this looks at
    what the page sends.
    """
    add(session, admin)
    app = click(page(admin), "add_provider")
    app.text_input(key="provider_api_key").set_value("xx-not-an-openai-key").run()
    app.checkbox(key="provider_api_key_anyway").check().run()
    click(app, "provider_cancel")
    field = click(app, "edit_acme").text_input(key="provider_api_key")
    assert field.proto.set_value
    assert (field.proto.value, field.value) == ("", "")

    field.set_value("xx-not-an-openai-key").run()

    assert not app.checkbox(key="provider_api_key_anyway").value


def test_dialog_left_by_another_page_harms_nothing(session: Session, admin: Actor) -> None:
    """Going away while a dialog is open, and coming back, does not break the page."""
    add(session, admin)
    for button in ("add_provider", "edit_acme", "paste_env"):
        app = click(page(admin), button)
        app.switch_page("pages/defaults.py").run()
        app.switch_page("pages/providers.py").run()
        assert not app.exception
        assert has(app, "edit_acme")
        assert not any(has(app, key) for key in ("provider_save", "env_import"))


def test_toggle_switches_a_provider(session: Session, admin: Actor) -> None:
    """The switch on the card is saved at once, and shows what is stored."""
    provider_id = add(session, admin)
    app = page(admin)
    app.toggle(key="active_acme").set_value(False).run()

    assert not stored(provider_id).is_active
    assert not app.toggle(key="active_acme").value
    assert "Inactive" in everything(app)


def test_key_is_removed_after_a_question(session: Session, admin: Actor) -> None:
    """*Remove key* asks first; after it the card says that there is none."""
    provider_id = add(session, admin, api_key=KEY)
    app = pick(page(admin), "more_acme", "Remove key")
    assert stored(provider_id).api_key_encrypted
    click(app, "remove_key_confirm")

    assert stored(provider_id).api_key_encrypted is None
    assert not offers(app, "more_acme", "Remove key")
    assert "No key" in everything(app)


def test_foreign_key_is_adopted(session: Session, admin: Actor) -> None:
    """A key that another program wrote is told of, and served once it is adopted; a broken one has a cure."""
    provider_id = add(session, admin, api_key=KEY)
    session.execute(text("UPDATE llm_providers SET api_key_key_id = NULL, api_key_binding = NULL"))
    session.flush()
    app = page(admin)
    assert "Key not adopted" in everything(app)
    click(app, "adopt_acme")
    assert provider_keys.key_state(stored(provider_id)).state == "ok"

    session.execute(text("UPDATE llm_providers SET api_key_key_id = '00000000'"))
    session.flush()
    app.run()
    assert "Key unreadable" in everything(app)
    assert not has(app, "adopt_acme")
    assert provider_keys.key_state(stored(provider_id)).message in everything(app).replace("\\", "").replace(
        "\u2060", ""
    )


def test_deleting_wants_the_name(session: Session, admin: Actor) -> None:
    """The dialog says what goes, refuses another text, and deletes with the name typed."""
    provider_id = add(session, admin, api_key=KEY)
    settings.upsert_global(session, admin, provider_id, {"top_p": 0.5})
    app = pick(page(admin), "more_acme", "Delete")
    shown = everything(app).replace("\\", "")
    assert all(line in shown for line in providers.deletion(session, provider_id))

    app.text_input(key="delete_name").set_value("acmee").run()
    click(app, "delete_confirm")
    assert stored(provider_id)
    assert app.text_input(key="delete_name").value == "acmee"

    app.text_input(key="delete_name").set_value("acme").run()
    click(app, "delete_confirm")
    with pytest.raises(NotFound):
        stored(provider_id)


def test_deleting_what_programs_use_warns(session: Session, admin: Actor) -> None:
    """CHECKS 60: calls of the last 30 days are told, older ones and those to others are not."""
    add(session, admin, api_key=KEY)
    long_ago = datetime.now(UTC) - timedelta(days=31)
    log(session, {"provider": "acme", "at": long_ago}, {"provider": "other"})
    app = pick(page(admin), "more_acme", "Delete")
    assert "Programs use it" not in everything(app)

    log(session, *[{"provider": "acme"}] * 3, failed(provider="acme"))
    app = pick(page(admin), "more_acme", "Delete")
    assert "Programs use it: 4 logged calls in the last 30 days" in everything(app)
    assert "such calls fail" in everything(app)


def test_deleting_what_was_changed_meanwhile_asks_again(session: Session, admin: Actor) -> None:
    """What somebody changed since the dialog was opened is not deleted before it was seen."""
    provider_id = add(session, admin)
    app = pick(page(admin), "more_acme", "Delete")
    app.text_input(key="delete_name").set_value("acme").run()
    with db.transaction() as other:
        providers.set_api_key(other, Actor("grace"), provider_id, KEY)
    click(app, "delete_confirm")
    assert any("grace changed it meanwhile" in warning.value for warning in app.warning)
    assert stored(provider_id)

    click(app, "delete_confirm")

    with pytest.raises(NotFound):
        stored(provider_id)


def test_provider_deleted_elsewhere_is_told(session: Session, admin: Actor) -> None:
    """Saving a provider that somebody has deleted meanwhile says so, and the page works on."""
    provider_id = add(session, admin)
    app = click(page(admin), "edit_acme")
    with db.transaction() as other:
        providers.delete(other, admin, provider_id)
    app.button(key="provider_save").click().run()

    assert not app.exception
    assert any("There is no provider" in error.value for error in app.error)
    app.run()
    assert has(app, "add_provider")


def test_hostile_text_is_shown_as_it_is(session: Session, admin: Actor) -> None:
    """Names, models and descriptions with Markdown in them show as text: no image, no colour, no HTML."""
    add(session, admin, display_name=HOSTILE, description=HOSTILE, available_models=[HOSTILE], default_model=HOSTILE)
    app = page(admin)
    for button in (None, "details_acme", "edit_acme", "provider_cancel", "delete"):
        if button == "delete":
            pick(app, "more_acme", "Delete")
        elif button:
            click(app, button)
        assert not any("<b>:red" in element.value or "<b></b>" in element.value for element in app.html)
        for kind in ("markdown", "caption", "warning", "error", "info"):
            assert not any("![x](" in element.value or "<b>" in element.value for element in getattr(app, kind))


def test_without_encryption_key_the_field_says_so(
    session: Session, admin: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that cannot seal takes no key, says what is missing, and saves the rest."""
    provider_id = add(session, admin)
    monkeypatch.delenv("LLM_ENCRYPTION_KEY")
    config.get_config.cache_clear()
    crypto.get_ring.cache_clear()
    app = click(page(admin), "edit_acme")
    assert app.text_input(key="provider_api_key").disabled
    assert "LLM_ENCRYPTION_KEY is not set" in everything(app).replace("\\", "")

    app.text_input(key="provider_display_name").set_value("Renamed").run()
    click(app, "provider_save")

    assert stored(provider_id).display_name == "Renamed"


def many(session: Session, number: int) -> None:
    session.execute(
        text(
            "INSERT INTO llm_providers (name, display_name, kind, available_models, default_model, is_active)"
            " SELECT 'p' || i, 'Provider ' || lpad(i::text, 4, '0'), 'openai', '[\"m1\"]', 'm1', i % 2 = 0"
            " FROM generate_series(1, :number) i"
        ),
        {"number": number},
    )
    session.flush()


def cards(app: AppTest) -> list[str]:
    return [button.key.removeprefix("edit_") for button in app.button if (button.key or "").startswith("edit_")]


def to_page(app: AppTest, number: int) -> None:
    app.pagination[0].set_value(number).run()


def test_long_list_comes_in_pages(session: Session, admin: Actor) -> None:
    """Fifteen cards a page; a search or another filter begins at its first page."""
    many(session, 100)
    app = page(admin)
    assert cards(app) == [f"p{i}" for i in range(1, 16)]
    to_page(app, 3)
    assert cards(app)[0] == "p31"
    click(app, "edit_p31")
    click(app, "provider_cancel")
    assert cards(app)[0] == "p31"

    app.segmented_control(key="state").set_value("Inactive").run()
    assert cards(app)[:2] == ["p1", "p3"]
    to_page(app, 2)
    app.text_input(key="search").set_value("p").run()
    assert cards(app)[:2] == ["p1", "p3"]


def test_search_without_hits_offers_the_way_back(session: Session, admin: Actor) -> None:
    """Nothing found is told with the words searched for, and one click shows all again."""
    add(session, admin)
    app = page(admin)
    app.segmented_control(key="state").set_value("Inactive")
    app.text_input(key="search").set_value("nothing![x](y)").run()
    assert not cards(app)
    click(app, "show_all")

    assert cards(app) == ["acme"]
    assert app.text_input(key="search").value == ""


def test_all_models_can_be_read(session: Session, admin: Actor) -> None:
    """However many models there are, the card has a way to read each."""
    models = [f"model-{i:03}-{'x' * 30}" for i in range(300)]
    add(session, admin, available_models=models, default_model=models[0])

    app = page(admin)
    before = sum(len(element.value) for element in app.html)
    shown = "\n".join(code.value for code in click(app, "details_acme").code)

    assert before < 5_000  # the row itself does not grow with them
    assert all(model in shown for model in models)


# The connection test


@pytest.fixture
def vendor(monkeypatch: pytest.MonkeyPatch) -> Iterator[Vendor]:
    """A vendor on this machine, which providers of every kind may point to."""
    monkeypatch.setenv("LLM_PRIVATE_HOSTS", "127.0.0.1")
    config.get_config.cache_clear()
    with Vendor() as vendor:
        yield vendor


def at_vendor(session: Session, admin: Actor, vendor: Vendor, key: str = RIGHT) -> int:
    """The provider acme, at the vendor."""
    fields = {"kind": "openai", "api_base_url": vendor.base_url("openai"), "api_key": key}
    return add(session, admin, available_models=["m1", "gone"], default_model="m1", **fields)


def test_test_of_what_is_saved(session: Session, admin: Actor, vendor: Vendor) -> None:
    """Each stage is shown with its word; what is new in the vendor's list can be added, what has gone taken away."""
    provider_id = at_vendor(session, admin, vendor)

    app = pick(page(admin), "more_acme", "Test connection")

    shown = everything(app)
    assert "It works" in shown
    assert shown.count("Verified") == len(STAGES) - 1  # the vendor speaks plain HTTP: no TLS
    assert "Hello from the model" in shown
    asked = len(vendor.asked)
    app.multiselect(key="connection_new").set_value(["m2"]).run()
    app.multiselect(key="connection_gone").set_value(["gone"]).run()
    click(app, "connection_models")
    assert stored(provider_id).available_models == ["m1", "m2"]
    assert len(vendor.asked) == asked  # it was not tested again


def test_refusal_of_a_parameter_is_noted_at_a_press(session: Session, admin: Actor, vendor: Vendor) -> None:
    """Of what is saved and of what is typed: nothing is noted unasked; noted, the next test does not send it."""
    at_vendor(session, admin, vendor)
    listed = Status(200, {}, {"object": "list", "data": [{"id": "m1", "object": "model"}]})
    words = "Unsupported parameter: '{}' is not supported with this model."
    refusals = [
        Status(400, {}, {"error": {"message": words.format(name), "param": name, "code": "unsupported_parameter"}})
        for name in ("temperature", "top_p")
    ]
    vendor.fail(listed, refusals[0])
    app = pick(page(admin), "more_acme", "Test connection")
    assert "Call refused" in everything(app)
    assert model_facts.list_all(session) == []
    click(app, "connection_note")
    (row,) = model_facts.list_all(session)
    assert (row.pattern, row.facts) == ("m1", {"temperature": {"refuse": True}})
    assert not has(app, "connection_note")
    assert "It works" in everything(pick(page(admin), "more_acme", "Test connection"))
    assert "temperature" not in vendor.asked[-1].body

    vendor.fail(listed, refusals[1])
    app = click(page(admin), "edit_acme")
    app.text_input(key="provider_api_key").set_value(RIGHT).run()
    click(app, "provider_test")
    click(app, "connection_note")
    (row,) = model_facts.list_all(session)
    session.refresh(row)
    assert row.facts == {"temperature": {"refuse": True}, "top_p": {"refuse": True}}
    assert not has(app, "connection_note")
    assert app.text_input(key="provider_api_key").value == RIGHT


def test_test_of_what_is_typed(session: Session, admin: Actor, vendor: Vendor) -> None:
    """A wrong key is refused in the vendor's words, the right one verified; nothing is saved, and nothing typed is lost."""
    provider_id = at_vendor(session, admin, vendor)
    wrong, before = RIGHT.replace("right", "wrong"), stored(provider_id).version
    app = click(page(admin), "edit_acme")

    app.text_input(key="provider_api_key").set_value(wrong).run()
    refused = everything(click(app, "provider_test"))
    app.text_input(key="provider_api_key").set_value(RIGHT).run()
    verified = everything(click(app, "provider_test"))

    assert "Incorrect API key provided" in refused
    assert "Refused" in refused
    assert wrong not in refused
    assert "It works" in verified
    assert app.text_input(key="provider_api_key").value == RIGHT
    assert stored(provider_id).version == before


def test_verdict_stays_and_says_of_what(session: Session, admin: Actor, vendor: Vendor) -> None:
    """The reason stands in the headline; once something else is typed the report is marked, not gone; no green toast."""
    at_vendor(session, admin, vendor)
    app = click(page(admin), "edit_acme")
    app.text_input(key="provider_api_key").set_value(RIGHT.replace("right", "wrong")).run()
    click(app, "provider_test")
    headline = next(error.value for error in app.error).replace("\\", "")
    assert headline.startswith("Key refused: 401 Incorrect API key provided")
    assert app.expander[-1].label == "Stages of the test"
    assert app.expander[-1].proto.expanded
    app.text_input(key="provider_display_name").set_value("Another name").run()
    assert app.error  # a name is no part of what was tested

    app.text_input(key="provider_api_key").set_value(RIGHT).run()
    assert not app.error
    assert any("Of what was typed before: Key refused" in caption.value for caption in app.caption)
    assert not app.toast
    click(app, "provider_cancel")
    assert not app.toast
    assert "Key refused" not in everything(click(app, "edit_acme"))


def test_models_of_the_vendor_are_taken_before_anything_is_saved(admin: Actor, vendor: Vendor) -> None:
    """A new provider needs address and key for the test: the vendor's list is offered, and one click takes it."""
    vendor.models = ["m2", "m1", "m3"]
    app = click(page(admin), "add_provider")
    app.selectbox(key="provider_kind").set_value("openai_compatible")
    app.text_input(key="provider_api_base_url").set_value(vendor.base_url("openai_compatible"))
    app.text_input(key="provider_api_key").set_value(RIGHT).run()
    click(app, "provider_test")
    assert app.multiselect(key="provider_available_models").options == ["m1", "m2", "m3"]
    assert "The vendor lists 3 models" in everything(app)
    assert "The key is accepted" in everything(app)

    app.multiselect(key="provider_available_models").set_value(["m2"]).run()
    assert app.selectbox(key="provider_default_model").value == "m2"
    click(app, "provider_take_all")
    assert app.multiselect(key="provider_available_models").value == ["m2", "m1", "m3"]
    assert "All of the vendor's list (3 models) are here." in everything(app)
    assert "It works" in everything(click(app, "provider_test"))
    app.text_input(key="provider_display_name").set_value("Acme")
    app.text_input(key="provider_name").set_value("acme").run()
    click(app, "provider_save")

    assert (named("acme").available_models, named("acme").default_model) == (["m2", "m1", "m3"], "m2")


def test_hundreds_of_models_are_searched(session: Session, admin: Actor) -> None:
    """A provider of 1,200 models shows no chip for each: one field adds, another one takes away; both are sorted."""
    models = [f"model-{(number * 7) % 1200:04}" for number in range(1200)]
    provider_id = add(session, admin, available_models=models, default_model=models[5])
    app = click(page(admin), "edit_acme")
    drop = app.multiselect(key="provider_models_drop")
    assert (drop.options, drop.value) == (sorted(models), [])

    drop.set_value([models[5]]).run()
    assert app.selectbox(key="provider_default_model").value is None
    assert app.multiselect(key="provider_models_drop").label.startswith("Models (1,199)")
    app.multiselect(key="provider_models_add").set_value(["gpt-6.1-sol"]).run()
    app.text_input(key="provider_display_name").set_value("Large").run()
    click(app, "provider_save")

    assert stored(provider_id).available_models == [*(m for m in models if m != models[5]), "gpt-6.1-sol"]
    assert stored(provider_id).display_name == "Large"


def test_stored_key_is_not_tested_elsewhere(session: Session, admin: Actor, vendor: Vendor) -> None:
    """CHECKS 41: another host typed, the key not: the rule stands at the field, and nobody is dialled."""
    at_vendor(session, admin, vendor)
    app = click(page(admin), "edit_acme")
    with Vendor() as elsewhere:
        app.text_input(key="provider_api_base_url").set_value(elsewhere.base_url("openai")).run()
        shown = everything(click(app, "provider_test"))

        assert "type the API key" in shown
        assert (elsewhere.lines, vendor.lines) == (0, 0)


def test_a_key_with_something_around_it_is_corrected(session: Session, admin: Actor) -> None:
    """What is no key is refused as soon as it is typed, and one click takes what was meant."""
    app = fill_new(page(admin))
    app.text_input(key="provider_api_key").set_value(f'export OPENAI_API_KEY="{KEY}"').run()
    assert any("leave out the name" in error.value for error in app.error)
    click(app, "provider_save")
    with pytest.raises(NotFound):
        named("acme")

    click(app, "provider_correct_key")
    assert not has(app, "provider_correct_key")
    click(app, "provider_save")

    assert providers.open_api_key(session, named("acme").id or 0) == KEY


def test_a_short_key_of_ones_own_server(admin: Actor) -> None:
    """A key that the server's documentation names is kept; the form says that so short a one counts as no secret."""
    app = fill_new(page(admin), kind="openai_compatible")
    app.text_input(key="provider_api_base_url").set_value("http://vllm:8000/v1")
    app.text_input(key="provider_api_key").set_value("EMPTY").run()
    assert any("counts as no secret" in caption.value for caption in app.caption)
    assert not app.warning

    click(app, "provider_save")

    assert named("acme").api_key_masked == r"****"


def test_a_base_url_with_a_known_end_is_corrected(admin: Actor) -> None:
    """What the SDK adds by itself is told as soon as it is typed, and one click cuts it off."""
    app = fill_new(page(admin), kind="openai_compatible")
    app.text_input(key="provider_api_base_url").set_value("http://vllm:8000/v1/chat/completions").run()
    assert any("added when a call is made" in error.value for error in app.error)

    click(app, "provider_correct_url")
    assert not has(app, "provider_correct_url")
    click(app, "provider_save")

    assert named("acme").api_base_url == "http://vllm:8000/v1"
