"""The form of a new provider: a preset fills what it knows, keeps what was typed, and leaves nothing of its own behind."""

from functools import partial

from sqlmodel import Session

from core.actors import Actor
from core.manage import providers
from core.presets import PRESETS
from core.store import db
from tests.screens import click, has, open_page

page = partial(open_page, "providers")


def test_a_preset_fills_the_form(admin: Actor) -> None:
    """Name, kind and address come from it, and its note is shown; what is saved is what stands in the fields."""
    app = page(admin)
    click(app, "add_provider")
    app.selectbox(key="provider_preset").set_value("groq").run()
    shown = {name: app.text_input(key=f"provider_{name}").value for name in ("name", "display_name", "api_base_url")}
    assert shown == {"name": "groq", "display_name": "Groq", "api_base_url": PRESETS["groq"].address}
    assert app.selectbox(key="provider_kind").value == "openai_compatible"

    app.selectbox(key="provider_preset").set_value("ollama").run()
    assert app.text_input(key="provider_name").value == "ollama"
    assert any("On this machine" in caption.value for caption in app.caption)
    assert not app.toggle(key="provider_needs_key").value

    app.text_input(key="provider_name").set_value("mine")
    app.selectbox(key="provider_preset").set_value("mistral").run()
    assert app.text_input(key="provider_name").value == "mine"
    assert app.toggle(key="provider_needs_key").value
    app.text_input(key="provider_api_base_url").set_value("https://gateway.example/v1")
    app.multiselect(key="provider_available_models").set_value(["m1"]).run()
    click(app, "provider_save")

    assert not app.exception
    with db.transaction() as session:
        row = providers.get_by_name(session, "mine")
        assert (row.kind, row.api_base_url, row.display_name) == (
            "openai_compatible",
            "https://gateway.example/v1",
            "Mistral",
        )


def test_a_key_of_another_vendor_is_questioned(admin: Actor) -> None:
    """By the host of the address, as soon as both stand in the form."""
    app = page(admin)
    click(app, "add_provider")
    app.selectbox(key="provider_preset").set_value("groq").run()
    app.text_input(key="provider_api_key").set_value("xai-" + "a1B2" * 20).run()

    assert any("Groq keys usually begin with gsk_" in warning.value.replace("\\", "") for warning in app.warning)


def test_an_edit_starts_from_what_is_stored(session: Session, admin: Actor) -> None:
    """There is nothing to start from."""
    data = {"name": "acme", "display_name": "Acme", "kind": "openai", "available_models": ["m1"]}
    providers.create(session, admin, data)
    app = page(admin)
    app.button(key="edit_acme").click().run()

    assert not has(app, "provider_preset")
