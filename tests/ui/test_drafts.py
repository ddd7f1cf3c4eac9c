"""What was typed when a sign-in ended is kept for the same person alone, for a time, without secrets, and taken up again."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlmodel import Session, text
from streamlit.testing.v1 import AppTest

from core.actors import Actor
from core.manage import providers
from core.store.table import id_of
from tests.conftest import make_user
from tests.screens import click, everything, has, open_page
from ui import drafts
from ui.drafts import KEPT_FOR, MOST, MOST_PLACES, Draft, Drafts

KEY = "sk-proj-canary-0123456789abcdefghijklmnopqrstuvwxyz"
HEADER = "hdr-canary-0123456789abcdefghij"


@pytest.fixture(autouse=True)
def _own_drafts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Users of other tests may have the same id."""
    monkeypatch.setattr(drafts, "DRAFTS", Drafts())


class Clock:
    """A time that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 26, tzinfo=UTC)

    def __call__(self) -> datetime:
        """Return the time, which goes on a little with each look."""
        self.now += timedelta(microseconds=1)
        return self.now


def test_drafts_have_an_end_and_a_bound() -> None:
    """After 30 minutes a draft is gone; of one user and page the newest few are there, and of all a bounded number."""
    clock = Clock()
    kept = Drafts(clock)
    for number in range(MOST + 3):
        kept.put(1, "providers", Draft(f"Edit {number}", number))
    kept.put(1, "providers", Draft(f"Edit {MOST + 2}", MOST + 2))  # the same again is one draft
    assert [draft.content for draft, _ in kept.of(1, "providers")] == list(range(MOST + 2, 2, -1))
    assert kept.of(2, "providers") == kept.of(1, "defaults") == []

    clock.now += KEPT_FOR
    assert kept.of(1, "providers") == []
    for user in range(MOST_PLACES + 5):
        kept.put(user, "providers", Draft("Edit", user))
    assert [len(kept.of(user, "providers")) for user in (4, 5)] == [0, 1]


def test_a_draft_is_a_copy_and_is_taken_once() -> None:
    """What the session goes on to change is not changed in the draft."""
    kept, content = Drafts(Clock()), {"models": ["m1"]}
    kept.put(1, "providers", Draft("Edit", content))
    content["models"].append("m2")
    ((_, at),) = kept.of(1, "providers")

    taken = kept.take(1, "providers", at)

    assert taken is not None
    assert taken.content == {"models": ["m1"]}
    assert kept.take(1, "providers", at) is None


def end_sign_ins(session: Session) -> None:
    """As a change of password, or an admin, ends them."""
    session.execute(text("UPDATE users SET auth_epoch = auth_epoch + 1"))
    session.flush()


def again(actor: Actor) -> Actor:
    """The same person, signed in anew."""
    return Actor(actor.name, actor.user_id, actor.auth_epoch + 1)


def held() -> str:
    """All that the process keeps of drafts."""
    return repr(drafts.DRAFTS._kept)


def type_all(app: AppTest, **fields: Any) -> None:
    for name, value in fields.items():
        app.text_input(key=f"provider_{name}").set_value(value)
    app.run()


def test_sign_in_that_ends_in_a_dialog(session: Session, admin: Actor) -> None:
    """The page says what becomes of what was typed, nobody else is offered it, and the same person saves it; no key is kept."""
    app = click(open_page("providers", admin), "add_provider")
    type_all(app, display_name="Half typed", name="half", api_base_url="https://half.example/v1", api_key=KEY)
    app.multiselect(key="provider_available_models").set_value(["m1", "m2"]).run()
    click(app, "carried_add_header")
    app.text_input(key="carried_name_0").set_value("X-Gateway").run()
    app.text_input(key="carried_value_0").set_value(HEADER).run()
    end_sign_ins(session)
    app.button(key="provider_save").click().run()

    assert [field.label for field in app.text_input] == ["Username", "Password"]
    assert [warning.value for warning in app.warning] == ["Your sign-in has ended. Sign in again."]
    assert "“Add a provider” could not be saved" in everything(app)
    assert "API keys and other secrets are not kept" in everything(app)
    assert not any(secret in held() for secret in (KEY, HEADER))
    assert not any(secret in repr(app.session_state) for secret in (KEY, HEADER))

    assert not has(open_page("providers", make_user("eve", "admin")), "draft_again_0")
    app = open_page("providers", again(admin))
    assert "Not saved: Add a provider" in everything(app)
    click(app, "draft_again_0")
    assert app.text_input(key="provider_display_name").value == "Half typed"
    assert app.text_input(key="provider_api_key").value == ""
    assert app.multiselect(key="provider_available_models").value == ["m1", "m2"]
    assert (app.text_input(key="carried_name_0").value, app.text_input(key="carried_value_0").value) == (
        "X-Gateway",
        "",
    )
    app.text_input(key="carried_value_0").set_value(HEADER).run()
    click(app, "provider_save")

    assert providers.get_by_name(session, "half").available_models == ["m1", "m2"]
    assert not has(open_page("providers", again(admin)), "draft_again_0")


def test_edit_is_taken_up_on_the_version_it_was_based_on(session: Session, admin: Actor) -> None:
    """What somebody else saved meanwhile is not overwritten without a question; a deleted provider is told of."""
    data = {"name": "acme", "display_name": "Acme", "kind": "openai", "available_models": ["m1"]}
    provider_id = id_of(providers.create(session, admin, data))
    app = click(open_page("providers", admin), "edit_acme")
    type_all(app, display_name="Mine")
    end_sign_ins(session)
    app.button(key="provider_cancel").click().run()
    assert "“Edit Acme” could not be saved" in everything(app)
    providers.update(session, again(admin), provider_id, {"display_name": "Theirs"})

    app = click(open_page("providers", again(admin)), "draft_again_0")
    assert app.text_input(key="provider_display_name").value == "Mine"
    click(app, "provider_save")
    assert providers.get(session, provider_id).display_name == "Theirs"
    click(app, "provider_write")
    assert providers.get(session, provider_id).display_name == "Mine"

    app = click(open_page("providers", again(admin)), "edit_acme")
    type_all(app, display_name="Once more")
    end_sign_ins(session)
    app.button(key="provider_save").click().run()
    back = again(again(admin))
    providers.delete(session, back, provider_id)
    app = open_page("providers", back)
    app.button(key="draft_again_0").click().run()
    assert not app.exception
    assert "There is no provider" in everything(app)


def test_nothing_is_offered_where_nothing_was_typed(session: Session, admin: Actor) -> None:
    """A dialog that was only opened leaves no draft; one that is not wanted goes."""
    app = click(open_page("providers", admin), "add_provider")
    end_sign_ins(session)
    app.button(key="provider_save").click().run()
    assert "could not be saved" not in everything(app)
    assert not has(open_page("providers", again(admin)), "draft_again_0")

    drafts.DRAFTS.put(admin.user_id or 0, "providers", Draft("Add a provider", {}))
    app = click(open_page("providers", again(admin)), "draft_forget_0")
    assert not has(app, "draft_forget_0")
