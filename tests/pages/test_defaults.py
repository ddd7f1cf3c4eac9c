"""The Defaults page: choices, unsaved changes, saving, conflicts."""

import re
from functools import partial
from typing import Any

import pytest
from sqlmodel import Session
from streamlit.testing.v1 import AppTest

from core.actors import Actor
from core.manage import features, organizations, providers, settings
from core.manage.hierarchy import AskedFor, in_force
from core.manage.scopes import SettingsScope
from core.parameters import PARAMETERS
from core.store import db
from core.store.table import id_of
from core.store.tables import LlmSettings, User
from tests.conftest import ROOT
from tests.screens import everything, has, open_page, samples, toasts
from ui.defaults import form
from ui.defaults.draft import OMIT, VALUE, Choice, patch, tidy
from ui.defaults.results import NOTED

page = partial(open_page, "defaults")

HOSTILE = "![x](http://evil.example/x.png) <b>:red[name]</b>"
"""Longer than the picker shows, so it is repeated below it, as plain text."""


def add_provider(session: Session, admin: Actor, name: str = "acme", **fields: Any) -> int:
    data = {"name": name, "display_name": name.title(), "kind": "openai", "available_models": ["m1", "m2"]}
    provider = providers.create(session, admin, {**data, "default_model": "m1", **fields})
    assert provider.id is not None
    return provider.id


def stored(scope_id: int | None) -> LlmSettings | None:
    with db.transaction() as session:
        return settings.get_global(session, scope_id)


def choose(app: AppTest, name: str, mode: str) -> AppTest:
    return app.segmented_control(key=f"{name}_mode").set_value(mode).run()


def notes(app: AppTest) -> dict[str, str]:
    """Field -> the line below it, without what colours it; fields without one are left out."""
    found = {}
    for name in NOTED:
        place: Any = app.get_by_key(f"note_{name}")
        for each in [*place.caption, *place.markdown]:
            found[name] = re.sub(r"^:orange\[:small\[:material/warning: (.*)]]$", r"\1", each.value).replace("\\", "")
    return found


def test_stranger_and_analyst_see_nothing(analyst: Actor) -> None:
    """Without sign-in, and as an analyst, the page by itself draws no field and no scope."""
    for actor in (None, analyst):
        app = AppTest.from_file(str(ROOT / "pages/defaults.py"), default_timeout=30)
        app.session_state["actor"] = actor
        app.run()
        assert not app.exception
        assert not app.segmented_control
        assert not app.selectbox


def test_every_parameter_inherits_at_first(admin: Actor) -> None:
    """Without any row all parameters inherit, the page says what and from where, and there is nothing to save."""
    app = page(admin)

    assert {control.value for control in app.segmented_control} == {"inherit"}
    assert {control.key for control in app.segmented_control} == {f"{name}_mode" for name in PARAMETERS}
    assert r"0\.7 · built\-in default" in everything(app)
    assert "There is no provider yet" in everything(app)
    assert not has(app, "save")


def test_value_is_saved_and_nothing_else(session: Session, admin: Actor) -> None:
    """A chosen value is marked as unsaved, saved as the only field, and the scope stays."""
    scope = add_provider(session, admin)
    app = choose(page(admin, provider="acme"), "temperature", "value")
    assert app.slider(key="temperature").value == 0.7
    app.slider(key="temperature").set_value(0.25).run()
    assert "1 change, unsaved" in everything(app)
    assert has(app, "undo_temperature")

    app.button(key="save").click().run()

    row = stored(scope)
    assert row is not None
    assert row.temperature == 0.25
    assert row.max_tokens is None
    assert row.updated_by == "ada"
    assert app.selectbox(key="scope").value == "acme"
    assert not has(app, "save")
    assert toasts(app) == [r"Saved 1 change in Acme\."]


def test_number_beside_the_slider(session: Session, admin: Actor) -> None:
    """Both show one value, also one between the slider's steps; what is out of range names field and rule, unsaved."""
    scope = add_provider(session, admin)
    app = choose(page(admin, provider="acme"), "temperature", "value")
    app.slider(key="temperature").set_value(0.25).run()
    (number,) = [n for n in app.number_input if n.label == "Temperature: value, exactly"]
    assert number.value == 0.25
    number.set_value(0.355).run()
    (slider,) = app.slider
    assert slider.value == 0.355
    assert slider.key != "temperature"  # a click from before it moved says where the one before stood
    assert '"temperature": 0.355' in samples(app)[0]

    (number,) = [n for n in app.number_input if n.label == "Temperature: value, exactly"]
    number.set_value(2.5).run()
    app.button(key="save").click().run()
    assert stored(scope) is None
    assert [error.value for error in app.error] == [r"Temperature must be a number from 0 to 2\."]
    assert "Temperature must be a number from 0 to 2" in everything(app).replace("\\", "")
    (number,) = [n for n in app.number_input if n.label == "Temperature: value, exactly"]
    number.set_value(0.35).run()
    app.button(key="save").click().run()

    row = stored(scope)
    assert row is not None
    assert row.temperature == 0.35


def test_what_is_unsaved_is_kept_when_the_sign_in_ends(session: Session, admin: Actor) -> None:
    """It is offered to the same user, all scopes of it, and taken up on what it was based on."""
    scope_id = add_provider(session, admin)
    app = choose(choose(page(admin, provider="acme"), "temperature", "omit"), "top_p", "omit")
    user = session.get(User, admin.user_id)
    assert user is not None
    user.auth_epoch += 1
    session.flush()
    app.button(key="discard")  # something is unsaved
    app.run()
    assert "could not be saved" in everything(app)
    assert not app.segmented_control
    again = page(Actor(admin.name, admin.user_id, user.auth_epoch), provider="acme")
    again.button(key="draft_again_0").click().run()

    assert again.segmented_control(key="temperature_mode").value == "omit"
    again.button(key="save").click().run()
    row = stored(scope_id)
    assert row is not None
    assert row.omitted_parameters == ["temperature", "top_p"]


def test_do_not_send_is_a_third_choice(session: Session, admin: Actor) -> None:
    """*Do not send* stores no value and the name among the omitted ones; *value* takes it off again."""
    scope = add_provider(session, admin)
    settings.upsert_global(session, admin, scope, {"top_p": 0.5, "omitted_parameters": ["max_tokens"]})
    app = choose(page(admin, provider="acme"), "top_p", "omit")
    choose(app, "max_tokens", "value").button(key="save").click().run()

    row = stored(scope)
    assert row is not None
    assert (row.top_p, row.max_tokens, row.omitted_parameters) == (None, 2000, ["top_p"])
    assert app.segmented_control(key="max_retries_mode").options == ["Inherit", "Value"]


def test_value_begins_as_what_is_inherited(session: Session, admin: Actor) -> None:
    """Choosing *value* takes the inherited one at once, in the widget and in the preview, as one's own."""
    scope = add_provider(session, admin)
    settings.upsert_global(session, admin, None, {"temperature": 0.3})
    settings.upsert_global(session, admin, scope, {"omitted_parameters": ["temperature"]})
    app = choose(page(admin, provider="acme"), "temperature", "value")

    assert app.slider(key="temperature").value == 0.3
    assert '"temperature": 0.3' in samples(app)[0]
    assert "this provider" in app.table[0].value["Value"][1]


def test_preview_follows_the_form(session: Session, admin: Actor) -> None:
    """What would be sent changes with each choice, before anything is saved."""
    add_provider(session, admin)
    app = page(admin, provider="acme")
    assert '"presence_penalty": 0.0' in samples(app)[0]

    choose(app, "presence_penalty", "omit")
    app.selectbox(key="preferred_model").set_value("m2").run()

    assert "presence_penalty" not in samples(app)[0]
    assert '"model": "m2"' in samples(app)[0]
    assert "Check that it still fits m2" in everything(app)


def test_a_long_custom_setting_leaves_its_value_room(session: Session, admin: Actor) -> None:
    """A table makes a column as wide as its longest word: names and values of custom settings may break."""
    add_provider(session, admin)
    settings.upsert_global(session, admin, None, {"custom_settings": {"k" * 60: "v" * 60}})
    table = page(admin).table[0].value

    (custom,) = [row for row in table.to_dict("records") if row["Parameter"].endswith(":gray[:small[custom]]")]
    for cell in (custom["Parameter"], custom["Value"]):
        assert max(map(len, re.split(r"[\s\u200b]", cell))) <= 30


def test_broken_json_stays_with_its_error(admin: Actor) -> None:
    """Text that is no JSON is told beside the field, stays after Save, and nothing of the form is written."""
    app = choose(page(admin), "max_retries", "value")
    app.text_area(key="custom_settings").set_value('{"a": 1').run()
    assert "Is not JSON" in app.error[0].value

    app.button(key="save").click().run()

    assert app.text_area(key="custom_settings").value == '{"a": 1'
    assert stored(None) is None


def test_field_and_form_go_back_to_what_is_saved(session: Session, admin: Actor) -> None:
    """Undo puts one field back, Discard all of them, and the widgets show it."""
    settings.upsert_global(session, admin, None, {"max_retries": 7})
    app = page(admin)
    app.number_input(key="max_retries").set_value(9).run()
    choose(app, "temperature", "value")

    app.button(key="undo_max_retries").click().run()
    assert app.number_input(key="max_retries").value == 7
    assert app.segmented_control(key="temperature_mode").value == "value"

    app.button(key="discard").click().run()
    assert app.segmented_control(key="temperature_mode").value == "inherit"
    assert not has(app, "save")


def test_edits_wait_for_their_scope(session: Session, admin: Actor) -> None:
    """Another scope shows its own values; what is unsaved here is named there, and found again on return."""
    add_provider(session, admin)
    app = choose(page(admin), "temperature", "value")
    app.slider(key="temperature").set_value(1.5).run()
    app.selectbox(key="scope").set_value("acme").run()
    assert app.segmented_control(key="temperature_mode").value == "inherit"
    assert app.query_params["provider"] == "acme"

    app.button(key="go_to_all").click().run()

    assert app.slider(key="temperature").value == 1.5
    assert "provider" not in app.query_params


def test_edits_survive_another_page(admin: Actor) -> None:
    """Going to another page and coming back loses no unsaved change."""
    app = choose(page(admin), "log_level", "value")
    app.selectbox(key="log_level").set_value("minimal").run()
    app.switch_page("pages/effective_preview.py").run()
    app.switch_page("pages/defaults.py").run()

    assert app.selectbox(key="log_level").value == "minimal"
    assert has(app, "save")


def test_second_of_two_admins_chooses(session: Session, admin: Actor) -> None:
    """CHECKS: who saves on an old version sees who changed what; writing mine keeps what only they changed."""
    scope = add_provider(session, admin)
    app = choose(page(admin, provider="acme"), "temperature", "omit")
    grace = Actor("grace")
    settings.upsert_global(session, grace, scope, {"temperature": 0.1, "omitted_parameters": ["top_p"]}, version=0)
    app.button(key="save").click().run()

    row = stored(scope)
    assert row is not None
    assert row.temperature == 0.1
    table = app.table[-1].value
    assert list(table["Field"]) == ["Temperature", "Top P"]
    assert table["Saved now"][0].startswith(r"0\.1")
    assert "grace" in table["Saved now"][0]
    assert table["Yours"][0] == "**Do not send**"

    app.button(key="conflict_write").click().run()

    row = stored(scope)
    assert row is not None
    assert (row.temperature, row.omitted_parameters) == (None, ["temperature", "top_p"])
    assert not has(app, "conflict_write")


def test_second_admin_can_keep_theirs(session: Session, admin: Actor) -> None:
    """Keeping what is saved drops the own changes and shows the other's."""
    app = choose(page(admin), "max_retries", "value")
    settings.upsert_global(session, Actor("grace"), None, {"max_retries": 9}, version=0)
    app.button(key="save").click().run()
    app.button(key="conflict_keep").click().run()

    assert app.number_input(key="max_retries").value == 9
    assert not has(app, "save")


def test_row_deleted_while_editing(session: Session, admin: Actor) -> None:
    """When the row was reset meanwhile, saving asks, and writing mine makes a new row with my field alone."""
    row = settings.upsert_global(session, admin, None, {"max_retries": 7, "top_p": 0.5})
    acme = organizations.create_one(session, admin, {"slug": "acme", "name": "Acme"})
    settings.upsert(session, admin, SettingsScope(None, acme.id), {"max_retries": 1})
    app = page(admin)
    app.number_input(key="max_retries").set_value(9).run()
    settings.delete(session, Actor("grace"), row.id or 0)
    app.run().button(key="save").click().run()
    app.button(key="conflict_write").click().run()
    assert toasts(app)[-1].replace("\\", "").endswith("Max retries is hidden by 1 organisation.")

    new = stored(None)
    assert new is not None
    assert (new.max_retries, new.top_p) == (9, None)


def test_untouched_form_follows_what_others_save(session: Session, admin: Actor) -> None:
    """A form without changes shows what somebody else saved, not a change of its own."""
    app = page(admin)
    settings.upsert_global(session, Actor("grace"), None, {"max_retries": 9})
    app.run()

    assert app.number_input(key="max_retries").value == 9
    assert not has(app, "save")


def test_reset_asks_and_deletes_the_row(session: Session, admin: Actor) -> None:
    """Reset names what goes, and only the second click deletes the row."""
    settings.upsert_global(session, admin, None, {"max_retries": 7, "omitted_parameters": ["top_p"]})
    app = page(admin)
    app.button(key="reset").click().run()
    assert list(app.table[-1].value["Field"]) == ["Top P", "Max retries"]
    assert stored(None) is not None

    app.button(key="reset_confirm").click().run()

    assert stored(None) is None
    assert app.segmented_control(key="max_retries_mode").value == "inherit"


def test_unfit_parameters_are_left_out_in_one_click(session: Session, admin: Actor) -> None:
    """A value that the model does not take is warned of; one click chooses *do not send* for it, unsaved."""
    provider_id = add_provider(session, admin, "claude", kind="anthropic")
    settings.upsert_global(session, admin, provider_id, {"presence_penalty": 0.5})
    app = page(admin, provider="claude")
    assert "0.5 · will be left out: Anthropic's API has none" in notes(app)["presence_penalty"]

    app.button(key="omit_refused").click().run()

    assert app.segmented_control(key="presence_penalty_mode").value == "omit"
    assert "presence_penalty" not in notes(app)
    assert has(app, "save")


def test_each_row_says_what_the_model_makes_of_it(session: Session, admin: Actor) -> None:
    """Before anything is saved: left out and why, renamed, brought into the range, one of two; and how the model is known."""
    add_provider(session, admin, "gpt", available_models=["gpt-5", "unheard-of"], default_model="gpt-5")
    add_provider(session, admin, "claude", kind="anthropic", available_models=["claude-sonnet-4-5"], default_model=None)
    app = page(admin, provider="gpt")

    said = notes(app)
    assert said["temperature"] == "0.7 · will be left out: it always reasons"
    assert said["max_tokens"] == "sent as max_completion_tokens"
    assert said["preferred_model"].startswith("Known · context 400,000")
    assert "then gpt-6.1-sol" in said["preferred_model"]
    app.selectbox(key="preferred_model").set_value("unheard-of").run()
    assert notes(app)["preferred_model"].startswith("Not known here, which works as well")
    assert "temperature" not in notes(app)

    app = page(admin, provider="claude")
    app.selectbox(key="preferred_model").set_value("claude-sonnet-4-5").run()
    app = choose(choose(app, "temperature", "value"), "top_p", "value")
    (slider,) = [each for each in app.slider if each.label.startswith("Temperature")]
    assert slider.max == 1
    (number,) = [n for n in app.number_input if n.label == "Temperature: value, exactly"]
    number.set_value(2.0).run()
    said = notes(app)
    assert said["temperature"] == "2 → 1: it takes 0 to 1"
    assert said["top_p"].endswith("only one of temperature and top_p is taken; temperature is sent")


@pytest.mark.parametrize("used", ["slider", "number_input"])
def test_quick_presses_all_count(session: Session, admin: Actor, used: str) -> None:
    """A browser that has not drawn the answer to the press before sends what is no more with the next: nothing is taken back."""
    add_provider(session, admin)
    app = choose(page(admin, provider="acme"), "temperature", "value")
    sent = app._tree.get_widget_states()
    pressed: Any = next(each for each in getattr(app, used) if each.label.startswith("Temperature"))
    (widget,) = [each for each in sent.widgets if each.id == pressed.id]
    for value in (0.65, 0.6, 0.55):
        if used == "slider":
            widget.double_array_value.data[:] = [value]
        else:
            widget.double_value = value
        app._run(sent)
        (slider,) = app.slider
        (number,) = [n for n in app.number_input if n.label == "Temperature: value, exactly"]
        assert (slider.value, number.value) == (value, value)
    assert pressed.key in {slider.key, number.key}, "what is pressed stays"
    assert "**1 change, unsaved**" in everything(app)


def test_slider_follows_the_model_and_the_number_stays(session: Session, admin: Actor) -> None:
    """Of a value beyond the model's range the slider shows as much as there is; with another model it is whole again."""
    scope = add_provider(session, admin, "c", kind="anthropic", api_base_url="https://gw.example.com")
    settings.upsert_global(session, admin, scope, {"temperature": 1.5})
    providers.create(
        session,
        admin,
        {"name": "o", "display_name": "O", "kind": "openai", "available_models": ["m"], "default_model": "m"},
    )
    app = page(admin, provider="c")
    (slider,) = app.slider
    assert (slider.max, slider.value) == (1.0, 1.0)
    assert '"temperature": 1.0' in samples(app)[0]
    assert not has(app, "save")

    app.selectbox(key="scope").set_value("o").run()
    app = choose(app, "temperature", "value")
    (slider,) = app.slider
    assert (slider.max, slider.value) == (2.0, 0.7)


def test_typed_value_that_is_not_sent_is_asked_about_once(session: Session, admin: Actor) -> None:
    """Save asks, goes back with nothing lost, and saves it all the same; what is saved already is not asked about again."""
    scope = add_provider(session, admin, "gpt", available_models=["gpt-5"], default_model="gpt-5")
    app = choose(page(admin, provider="gpt"), "temperature", "value")
    app.button(key="save").click().run()
    assert list(app.table[-1].value["Field"]) == ["Temperature"]
    assert "it always reasons" in app.table[-1].value["What becomes of it"][0]
    assert stored(scope) is None
    app.button(key="unsent_back").click().run()
    assert stored(scope) is None
    assert has(app, "save")
    app.button(key="save").click().run()
    app.button(key="unsent_save").click().run()

    row = stored(scope)
    assert row is not None
    assert row.temperature == 0.7
    app = choose(app, "max_retries", "value")
    app.button(key="save").click().run()
    row = stored(scope)
    assert row is not None
    assert row.max_retries == 3


def test_all_providers_say_how_many_take_a_value(session: Session, admin: Actor) -> None:
    """Of those that inherit it; who has a value of their own is not counted, and what nobody takes is asked about."""
    add_provider(session, admin, "a", available_models=["gpt-5"], default_model="gpt-5")
    add_provider(session, admin, "b")
    own = add_provider(session, admin, "c")
    settings.upsert_global(session, admin, own, {"temperature": 0.1})
    app = choose(page(admin), "temperature", "value")

    assert notes(app)["temperature"] == "fits 1 of 2 providers; not A (not sent: it always reasons)"
    app.button(key="save").click().run()
    row = stored(None)
    assert row is not None
    assert row.temperature == 0.7


def test_what_is_left_out_for_nothing_is_sent_in_one_click(session: Session, admin: Actor) -> None:
    """It stands in its row; a press chooses the stored value or the inherited one, unsaved."""
    scope = add_provider(session, admin, "gpt", available_models=["gpt-4o"], default_model="gpt-4o")
    settings.upsert_global(
        session, admin, scope, {"temperature": 0.3, "omitted_parameters": ["temperature", "max_tokens"]}
    )
    app = page(admin, provider="gpt")
    assert notes(app)["max_tokens"] == "left out by hand, though gpt-4o takes it"
    app.button(key="send_needless").click().run()
    assert app.segmented_control(key="temperature_mode").value == "value"
    assert app.segmented_control(key="max_tokens_mode").value == "inherit"
    app.button(key="save").click().run()

    row = stored(scope)
    assert row is not None
    assert (row.omitted_parameters, row.temperature) == (None, 0.3)
    assert not has(app, "send_needless")


def test_names_are_shown_as_text(session: Session, admin: Actor) -> None:
    """Names and models from people load no image and make no markup."""
    add_provider(session, admin, display_name=HOSTILE, available_models=[HOSTILE], default_model=HOSTILE)
    app = choose(page(admin, provider="acme"), "top_p", "value")

    assert HOSTILE in [text.value for text in app.text]
    drawn = everything(app).replace(HOSTILE, "") + app.table[0].value.to_string()
    assert "evil" in drawn
    assert "![x]" not in drawn
    assert "<b>" not in drawn
    assert ":red[" not in drawn


def test_unknown_provider_in_the_address(admin: Actor) -> None:
    """A link to a provider that is gone says so and shows all providers."""
    app = page(admin, provider="gone")

    assert "There is no provider 'gone'" in app.warning[0].value
    assert app.selectbox(key="scope").value == ""


@pytest.mark.parametrize(
    ("omitted", "choice", "expected"),
    [
        (None, Choice(OMIT), {"omitted_parameters": ["temperature"]}),
        (["temperature"], Choice(VALUE, 0.0), {"temperature": 0.0, "omitted_parameters": None}),
        (["top_p"], Choice(VALUE, 0.0), {"temperature": 0.0}),
    ],
)
def test_patch_has_changed_fields_only(omitted: list[str] | None, choice: Choice, expected: dict[str, Any]) -> None:
    """A patch names a field only if the choice changes it; 0 is a value."""
    fields = {**dict.fromkeys(settings.FIELDS), "omitted_parameters": omitted}

    assert patch(fields, {"temperature": choice}) == expected


def test_binary_fractions_are_no_change() -> None:
    """What a slider adds in the 17th digit is neither stored nor shown as a change; -0.0 is 0.0."""
    assert tidy(0.7000000000000001, None) == 0.7
    assert tidy(0.12345678, 0.12345678) == 0.12345678
    assert str(tidy(-0.0, None)) == "0.0"


def test_effort_stop_and_extra_parameters_are_saved(session: Session, admin: Actor) -> None:
    """The model's own efforts are offered, a break in a stop text is typed as \\n, and JSON that is refused says why."""
    models = {"kind": "anthropic", "available_models": ["claude-opus-4-6"], "default_model": "claude-opus-4-6"}
    scope = add_provider(session, admin, **models)
    app = page(admin, provider="acme")
    app = choose(choose(app, "reasoning_effort", "value"), "stop", "value")
    assert app.selectbox(key="reasoning_effort").options == ["low", "medium", "high", "max"]
    app.selectbox(key="reasoning_effort").set_value("max")
    app.multiselect(key="stop").set_value(["END"])
    app.text_area(key="extra_parameters").set_value('{"model": "x"}').run()
    assert "may not have model" in everything(app)

    app.text_area(key="extra_parameters").set_value('{"top_k": 5}').run()
    app.button(key="save").click().run()

    assert not app.exception
    row = stored(scope)
    assert row is not None
    assert (row.reasoning_effort, row.stop, row.extra_parameters) == ("max", ["END"], {"top_k": 5})
    assert [form._typed(form._shown(text)) for text in ("\n", "\\n", "a\tb", "\\\\")] == ["\n", "\\n", "a\tb", "\\\\"]


def _scopes(session: Session, admin: Actor) -> tuple[int, int, int]:
    provider = add_provider(session, admin)
    organization = id_of(organizations.create_one(session, admin, {"slug": "tenant", "name": "Tenant"}))
    feature = id_of(features.create(session, admin, {"name": "summarise", "display_name": "Summarise"}))
    session.flush()
    return provider, organization, feature


def test_saving_says_who_overrides_it(session: Session, admin: Actor) -> None:
    """Saved for all, a value that organisations and features override says how many; saved where nobody does, nothing of it."""
    provider, organization, feature = _scopes(session, admin)
    settings.upsert(session, admin, SettingsScope(None, organization), {"temperature": 0.9})
    settings.upsert(session, admin, SettingsScope(provider, None, feature), {"temperature": 0.1, "top_p": 0.5})
    session.flush()
    app = choose(page(admin), "temperature", "value")
    app.button(key="save").click().run()
    (shown,) = toasts(app)
    assert "Temperature is hidden by 1 organisation and 1 feature: " in shown.replace("\\", "")
    app = choose(app, "max_tokens", "value")
    app.button(key="save").click().run()
    (shown,) = toasts(app)
    assert "hidden" not in shown
    app = choose(app, "temperature", "inherit")
    app.button(key="save").click().run()
    assert "hidden" not in "".join(toasts(app))


def test_default_provider_of_all(session: Session, admin: Actor) -> None:
    """Chosen, it is stored and says who has another one; what is typed in the form stays unsaved, and is saved without a question."""
    provider, organization, _ = _scopes(session, admin)
    settings.upsert(session, admin, SettingsScope(None, organization), {"default_provider_id": provider})
    session.flush()
    app = choose(page(admin), "max_retries", "value")
    app.selectbox(key="default_provider_of_all").set_value(provider).run()
    assert toasts(app) == ["The default provider is saved\\. It is hidden by 1 organisation\\."]
    found = in_force(session, admin, AskedFor())
    assert (found.settings.provider_id, found.settings.default_by and found.settings.default_by.changed_by) == (
        provider,
        admin.name,
    )
    assert found.settings.max_retries == 3
    app.button(key="save").click().run()
    row = stored(None)
    assert row is not None
    assert (row.default_provider_id, row.max_retries, has(app, "conflict_write")) == (provider, 3, False)
    app.button(key="reset").click().run()
    assert "The default provider goes, too" in "".join(each.value for each in app.warning)
    app.button(key="reset_cancel").click().run()
    app.selectbox(key="default_provider_of_all").set_value(0).run()
    assert in_force(session, admin, AskedFor()).settings.status == "no_provider"


def test_scope_of_an_organisation_leads_to_its_page(session: Session, admin: Actor) -> None:
    """What is stored for it is said, the form of all providers is not drawn, and what was typed there is kept."""
    provider, organization, feature = _scopes(session, admin)
    settings.upsert(session, admin, SettingsScope(provider, organization, feature), {"temperature": 0.9})
    session.flush()
    app = choose(page(admin), "temperature", "value")
    app.text_input(key="organization").set_value("tenant").run()
    app.selectbox(key="feature").set_value("summarise").run()
    app.selectbox(key="scope").set_value("acme").run()
    assert not app.exception
    assert not app.segmented_control
    assert "tenant · summarise · acme" in everything(app)
    assert "1 value, 0 not sent" in everything(app)
    assert "](hierarchy?organization=tenant&feature=summarise&provider=acme)" in everything(app)
    app.button(key="go_to_all").click().run()
    assert not app.exception
    assert app.segmented_control(key="temperature_mode").value == "value"
    assert has(app, "save")


def test_search_for_an_organisation_offers_what_fits(session: Session, admin: Actor) -> None:
    """A part of a name draws no form: whose it would be is not clear."""
    _scopes(session, admin)
    app = page(admin, organization="ten")

    assert not app.segmented_control
    assert len(app.pills) == 1
    assert "There is no organisation" in page(admin, organization="nobody").warning[0].value
