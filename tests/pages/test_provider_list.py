"""The list of the Providers page: what its rows tell, what a press in them does, and what stands in the address."""

from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from sqlmodel import Session
from streamlit.testing.v1 import AppTest

from core.actors import Actor
from core.errors import NotFound
from core.manage import provider_keys, providers
from core.store import db
from tests.govern.test_usage import log
from tests.pages.test_providers import KEY, add, cards, everything, many, stored
from tests.screens import click, has, html_texts, open_page, pick

page = partial(open_page, "providers")


def row(app: AppTest, name: str) -> str:
    """What the row of a provider tells."""
    return next(told for told in html_texts(app) if f" {name} · " in told)


def toasts(app: AppTest) -> list[str]:
    return [toast.value.replace("\\", "") for toast in app.toast]


def test_a_key_is_set_and_the_provider_activated_from_its_row(session: Session, admin: Actor) -> None:
    """Three presses: the row's button, the key, Save; then the provider is active with that key, and nothing keeps it."""
    provider_id = add(session, admin, is_active=False)
    app = click(page(admin), "set_key_acme")
    app.text_input(key="first_key_typed").set_value(KEY).run()
    click(app, "first_key_save")

    provider = stored(provider_id)
    assert provider.is_active
    assert providers.open_api_key(session, provider_id) == KEY
    assert toasts(app) == ["Acme has its API key and is active."]
    assert str(provider_keys.shown_key(provider)) in row(app, "acme")
    assert not has(app, "set_key_acme")
    assert not has(app, "first_key_save")
    assert all(value != KEY for value in app.session_state.values())


def test_a_key_is_set_without_activating(session: Session, admin: Actor) -> None:
    """With the box unticked the provider stays inactive; a doubtful key is neither saved nor does it activate anything."""
    provider_id = add(session, admin, is_active=False)
    app = click(page(admin), "set_key_acme")
    app.text_input(key="first_key_typed").set_value("xx-not-an-openai-key").run()
    click(app, "first_key_save")
    assert any("Looks wrong" in error.value for error in app.error)
    assert (stored(provider_id).api_key_encrypted, stored(provider_id).is_active) == (None, False)

    app.text_input(key="first_key_typed").set_value(KEY).run()
    app.checkbox(key="first_key_activate").uncheck().run()
    click(app, "first_key_save")

    assert (providers.open_api_key(session, provider_id), stored(provider_id).is_active) == (KEY, False)


def test_activating_without_a_key_warns(session: Session, admin: Actor) -> None:
    """What is switched on without a key is switched on, and the toast says what is missing instead of a green tick."""
    provider_id = add(session, admin, is_active=False)
    app = page(admin)
    app.toggle(key="active_acme").set_value(True).run()

    assert stored(provider_id).is_active
    (toast,) = app.toast
    assert toast.icon == ":material/warning:"
    assert "Acme is active, but programs get no API key" in toasts(app)[0]


@pytest.mark.parametrize("what", ["switch", "edit", "set_key", "details", "Delete", "Defaults"])
def test_a_press_on_what_was_deleted_meanwhile_is_told(session: Session, admin: Actor, what: str) -> None:
    """Whatever is pressed in the row of a provider that another admin has just deleted: its name is said, the list is right."""
    provider_id = add(session, admin, is_active=False)
    add(session, admin, name="other")
    app = page(admin)
    with db.transaction() as other:
        providers.delete(other, admin, provider_id)
    if what == "switch":
        app.toggle(key="active_acme").set_value(True).run()
    elif what in {"edit", "set_key", "details"}:
        click(app, f"{what}_acme")
    else:
        pick(app, "more_acme", what)

    assert not app.exception
    assert cards(app) == ["other"]
    told = [warning.value.replace("\\", "") for warning in app.warning]
    assert told == (
        [] if what == "details" else ["Acme is gone: somebody has deleted it meanwhile. Nothing was changed."]
    )
    with pytest.raises(NotFound):
        stored(provider_id)


def test_a_stale_switch_changes_nothing_and_shows_what_is_stored(session: Session, admin: Actor) -> None:
    """Who switches what somebody changed since is told who; the switch goes back. The own change before does not count."""
    provider_id = add(session, admin)
    app = page(admin)
    with db.transaction() as other:
        providers.update(other, Actor("grace"), provider_id, {"description": "by grace"})
    app.toggle(key="active_acme").set_value(False).run()
    assert "grace changed Acme just now" in everything(app)
    assert stored(provider_id).is_active
    assert app.toggle(key="active_acme").value

    app.toggle(key="active_acme").set_value(False).run()
    app.toggle(key="active_acme").set_value(True).run()

    assert stored(provider_id).is_active
    assert not app.warning


def test_what_another_person_had_pressed_is_dropped(session: Session, admin: Actor) -> None:
    """A press that was noted for one person is not done for the next one of the same browser tab."""
    provider_id = add(session, admin)
    app = page(admin)
    app.toggle(key="active_acme").set_value(False)
    app.session_state["actor"] = Actor("somebody", 7, 1)
    app.run()

    assert stored(provider_id).is_active


def test_the_menu_leads_to_the_pages_of_the_provider(session: Session, admin: Actor) -> None:
    """What is chosen opens, with the provider of the row."""
    add(session, admin)
    app = pick(page(admin), "more_acme", "Defaults")

    assert [title.value for title in app.title] == ["Defaults"]
    assert app.selectbox(key="scope").value == "acme"


def test_the_address_puts_one_first(session: Session, admin: Actor) -> None:
    """A provider that the address names stands first, wherever it would stand; a deleted one is told of."""
    many(session, 50)
    assert cards(page(admin, provider="p33"))[:2] == ["p33", "p1"]
    assert "no provider “gone”" in everything(page(admin, provider="gone"))


def test_a_new_provider_is_named_and_in_sight(session: Session, admin: Actor) -> None:
    """After Add its name is in the toast and its row is the first, on whatever page of the list one was."""
    many(session, 50)
    app = page(admin)
    app.segmented_control(key="state").set_value("Active").run()
    app.session_state["provider_added"] = "p50"
    app.run()

    assert cards(app)[0] == "p50"
    assert app.segmented_control(key="state").value == "All"


def test_rows_tell_when_they_were_used(session: Session, admin: Actor) -> None:
    """The last logged call of each provider is in its row, and of nobody else's; one with the key before is none of this key.

    Who switches one off is told how many calls programs make with it.
    """
    for name in ("acme", "idle", "fresh"):
        add(session, admin, name=name, api_key=KEY, is_active=True)
    log(session, *({"provider": name, "at": datetime.now(UTC)} for name in ("acme", "other")))
    log(session, {"provider": "fresh", "at": datetime.now(UTC) - timedelta(hours=1)})
    app = page(admin)

    assert "used just now" in " ".join(row(app, "acme").split())
    assert "used" not in row(app, "idle")
    assert "not used yet" in " ".join(row(app, "fresh").split())

    app.toggle(key="active_idle").set_value(False).run()
    assert toasts(app) == ["Idle is inactive."]
    app.toggle(key="active_acme").set_value(False).run()
    assert toasts(app) == ["Acme is inactive. Programs made 1 call with it in 30 days: such calls fail now."]


def test_a_name_of_any_script_is_apart_from_what_is_around_it(session: Session, admin: Actor) -> None:
    """A right-to-left name stands in <bdi>, and 100 letters do not make the row a word longer than its own."""
    name = "مزود النماذج اللغوية"
    add(session, admin, display_name=name, available_models=["x" * 100], default_model="x" * 100)
    app = page(admin)

    assert any(f"<bdi>{name}</bdi>" in element.value for element in app.html)


def test_a_copy_stands_first_and_wants_its_key(session: Session, admin: Actor) -> None:
    """Duplicate in the menu adds an inactive copy, in sight, with the button that sets its key."""
    add(session, admin, api_key=KEY)
    app = pick(page(admin), "more_acme", "Duplicate")

    assert cards(app) == ["acme-copy", "acme"]
    assert has(app, "set_key_acme-copy")
    assert toasts(app) == ["A copy of Acme is added: inactive, and without an API key."]
