"""Several providers are selected in the list and get one change, which the dialog shows before it is made."""

from functools import partial

from sqlmodel import Session, text
from streamlit.testing.v1 import AppTest

from core.actors import Actor
from core.manage import organizations, providers, settings
from core.manage.scopes import SettingsScope
from core.store import db
from tests.pages.test_providers import add, many, stored
from tests.screens import click, everything, has, open_page, toasts

page = partial(open_page, "providers")


def select(app: AppTest, *names: str) -> AppTest:
    """Begin to select, tick these, and open the dialog."""
    click(app, "several")
    for name in names:
        app.checkbox(key=f"pick_{name}").check().run()
    return click(app, "change_several")


def choose_temperature(app: AppTest, value: float) -> AppTest:
    app.selectbox(key="several_field").set_value("temperature").run()
    app.number_input(key="several_temperature").set_value(value).run()
    return app


def table(app: AppTest) -> list[list[str]]:
    return [[str(cell).replace("\\", "") for cell in row] for row in app.table[0].value.values.tolist()]


def test_one_temperature_for_two_of_three(session: Session, admin: Actor) -> None:
    """Ticked, chosen, seen before and after, saved with a comment that the Audit page shows; the third is left alone."""
    ids = [add(session, admin, name) for name in ("one", "two", "three")]
    settings.upsert_global(session, admin, ids[1], {"temperature": 0.2})
    acme = organizations.create_one(session, admin, {"slug": "acme", "name": "Acme"})
    settings.upsert(session, admin, SettingsScope(ids[1], acme.id), {"temperature": 0.9})
    app = select(page(admin), "one", "two")
    assert app.button(key="several_save").disabled
    choose_temperature(app, 0.3)
    assert table(app) == [["One", "inherits 0.7", "**0.3**"], ["Two", "0.2", "**0.3**"]]
    app.text_input(key="reason_dialog").set_value("steadier answers")
    click(app, "several_save")

    (toast,) = toasts(app)
    told = "Temperature is changed at 2 providers. But at Two it is hidden by 1 organisation."
    assert toast.replace("\\", "") == told
    assert not has(app, "several_save")
    with db.transaction() as later:
        rows = [settings.get_global(later, each) for each in ids]
    assert [row and row.temperature for row in rows] == [0.3, 0.3, None]
    audit = open_page("audit", admin)
    lines = [label.replace("\\", "") for label in (line.label for line in audit.expander)]
    assert sum("Temperature · “steadier answers”" in line or "“steadier answers”" in line for line in lines) == 2


def test_ticks_in_quick_succession_all_count(session: Session, admin: Actor) -> None:
    """The answer to one tick sets no other box: it would take back, in the browser, one that was ticked before it came."""
    for name in ("one", "two", "three"):
        add(session, admin, name)
    app = click(page(admin), "several")
    for name in ("one", "two"):
        app.checkbox(key=f"pick_{name}").check().run()
        assert not [box.key for box in app.checkbox if box.proto.set_value]
    assert "**2 providers selected**" in everything(app)
    click(app, "pick_all")
    assert [box.value for box in app.checkbox] == [True, True, True]
    click(app, "pick_none")
    assert [box.value for box in app.checkbox] == [False, False, False]


def test_all_that_a_search_finds_on_any_page(session: Session, admin: Actor) -> None:
    """All of a search are selected at once, those of the next page too; another search keeps them, and none is one click."""
    many(session, 25)
    add(session, admin, "other", is_active=False)
    app = page(admin)
    app.text_input(key="search").set_value("provider").run()
    click(click(app, "several"), "pick_all")
    assert "**25 providers selected**" in everything(app)
    app.text_input(key="search").set_value("other").run()
    assert [box.key for box in app.checkbox] == ["pick_other"]
    assert not app.checkbox(key="pick_other").value
    app.checkbox(key="pick_other").check().run()
    assert "**26 providers selected**" in everything(app)
    app.checkbox(key="pick_other").uncheck().run()
    click(app, "change_several")
    app.selectbox(key="several_field").set_value("is_active").run()
    app.segmented_control(key="several_is_active").set_value("Active").run()
    click(app, "several_save")
    query = text("SELECT name FROM llm_providers WHERE NOT is_active")
    session.expire_all()
    assert list(session.execute(query).scalars()) == ["other"]
    assert "**25 providers selected**" in everything(app)
    click(app, "pick_none")
    assert app.button(key="change_several").disabled
    click(app, "several_done")
    assert has(app, "edit_other")


def test_what_another_admin_did_meanwhile_is_told_and_the_selection_stays(session: Session, admin: Actor) -> None:
    """One changed, one deleted: nothing is written and who it was is told; the next press does what is shown then."""
    ids = [add(session, admin, name) for name in ("one", "two", "three")]
    app = choose_temperature(select(page(admin), "one", "two", "three"), 0.3)
    with db.transaction() as other:
        settings.upsert_global(other, Actor("grace"), ids[0], {"temperature": 1.5})
        providers.delete(other, Actor("grace"), ids[1])
    click(app, "several_save")

    told = " ".join(error.value for error in app.error).replace("\\", "")
    assert "Nothing was changed" in told
    assert "One was changed by grace meanwhile" in told
    assert "was deleted meanwhile" in told
    assert settings.get_global(session, ids[2]) is None
    assert table(app) == [["One", "1.5", "**0.3**"], ["Three", "inherits 0.7", "**0.3**"]]
    click(app, "several_save")
    assert toasts(app) == ["Temperature is changed at 2 providers\\."]


def test_a_value_out_of_range_is_told_and_not_saved(session: Session, admin: Actor) -> None:
    """What the field may not have is said in words, and there is nothing to press."""
    add(session, admin, "one")
    add(session, admin, "two")
    app = choose_temperature(select(page(admin), "one"), 7.0)
    assert "Temperature must be a number from 0 to 2" in everything(app).replace("\\", "")
    assert app.button(key="several_save").disabled


def test_a_model_that_one_of_them_lacks_is_left_as_it_is(session: Session, admin: Actor) -> None:
    """The dialog says where it does not fit, and changes the others."""
    one, two = add(session, admin, "one"), add(session, admin, "two", available_models=["m1", "m9"])
    app = select(page(admin), "one", "two")
    app.selectbox(key="several_field").set_value("default_model").run()
    app.selectbox(key="several_default_model").set_value("m9").run()
    assert "has no such model" in table(app)[1][2]
    click(app, "several_save")
    assert [stored(each).default_model for each in (one, two)] == ["m1", "m9"]


def test_rights_that_are_gone_write_nothing(session: Session, admin: Actor) -> None:
    """The dialog was open when the admin was disabled: the press does nothing."""
    one = add(session, admin, "one")
    add(session, admin, "two")
    app = choose_temperature(select(page(admin), "one"), 0.3)
    session.execute(text("UPDATE users SET is_active = false, auth_epoch = auth_epoch + 1"))
    session.expire_all()
    app.button(key="several_save").click().run()
    assert settings.get_global(session, one) is None
    assert not has(app, "several_save")
