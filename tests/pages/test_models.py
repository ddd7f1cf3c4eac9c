"""The Models page: what ends and who uses it, the change to another model, and what is known of any."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from sqlalchemy import text
from sqlmodel import Session
from streamlit.testing.v1 import AppTest

from core.actors import COMMAND_LINE, Actor
from core.errors import CallFailed
from core.govern import lifecycle
from core.govern.lifecycle import Retiring
from core.manage import model_facts, providers, settings
from core.models.facts import CatalogueHealth, facts, known
from core.models.knowledge import Knowledge
from core.models.vendored import FORMAT
from tests.screens import click, everything, has, open_page, toasts
from ui.models.board import WORDS, badge

page = partial(open_page, "models")
XAI = {"kind": "openai_compatible", "api_base_url": "https://api.x.ai/v1"}
HOSTILE = "![x](http://evil.example/x.png) <b>:red[name]</b>"


def add(session: Session, name: str, models: list[str], **more: Any) -> int:
    data = {"name": name, "display_name": name.title(), "kind": "openai", "available_models": models}
    return providers.create(session, COMMAND_LINE, {**data, "default_model": models[0], **more}).id or 0


def plainly(at: AppTest) -> str:
    return everything(at).replace("\\", "").replace("\u2060", "")


AZURE = {"kind": "azure_openai", "api_base_url": "https://x.openai.azure.com"}


def late() -> str:
    """A model at Azure whose end is known and far away."""
    today = datetime.now(UTC).date()
    return max(
        (found.retires, name)
        for name in known().catalogue.rows["azure"]
        if (found := facts("azure", name)) and found.retires and (found.retires - today).days > lifecycle.QUIET_DAYS
    )[1]


def test_nothing_ends(session: Session, admin: Actor) -> None:
    """Without a provider, and with a model that ends much later, it is said that nothing is to be done."""
    assert "No model that a provider offers has an end that is known here" in plainly(page(admin))
    model = late()
    add(session, "far", [model], **AZURE)
    at = page(admin)
    assert "No model in use ends within 180 days. 1 model of those in use end later" in plainly(at)
    at.selectbox(key="tier").set_value("Legacy").run()
    assert "Legacy" in badge_of(at, session, admin, model)


def badge_of(at: AppTest, session: Session, actor: Actor, model: str) -> str:
    line = line_of(session, actor, model)
    assert badge(line) in everything(at)
    return badge(line)


def line_of(session: Session, actor: Actor, model: str) -> Retiring:
    return next(line for line in lifecycle.retiring(session, actor, 36_500) if line.model == model)


def test_board_says_who_uses_what_and_what_comes_after(session: Session, admin: Actor, analyst: Actor) -> None:
    """Rerouted is told apart from refused; the successor with what is otherwise; an analyst reads it and has no button."""
    add(session, "grok", ["grok-3"], **XAI)
    add(session, "openai", ["gpt-4", "gpt-5"])
    at = page(admin)
    said = plainly(at)

    line = line_of(session, admin, "grok-3")
    assert line.tier == "overdue"
    assert badge(line) in everything(at)
    assert (
        f"Ended {line.retires}: another model answers since · offered by grok by default · 0 calls in 30 days" in said
    )
    assert "Successor **grok-4.3**" in said
    assert "Price: $3 in, $15 out a million tokens → " in said
    refused = line_of(session, admin, "gpt-5")
    assert f"{refused.retires}: {'then calls are refused' if refused.days >= 0 else 'calls are refused since'}" in said
    assert has(at, "change_model_0")

    seen = page(analyst)
    assert badge(line) in everything(seen)
    assert not has(seen, "change_model_0")


def test_change_to_the_successor(session: Session, admin: Actor) -> None:
    """The dialog shows what changes and what is otherwise; one press does all of it, and the line is gone."""
    first = add(session, "grok", ["grok-3"], **XAI)
    settings.upsert_global(session, admin, first, {"preferred_model": "grok-3"})
    add(session, "other", ["grok-3", "mine"], default_model="mine", **XAI)
    at = click(page(admin), "change_model_0")

    assert at.text_input(key="successor_name").value == "grok-4.3"
    assert at.checkbox(key="successor_take_off").value
    moves, differences = (table.value for table in at.table)
    assert list(moves["Provider"]) == ["Grok", "Other"]
    assert moves["What changes"][0].replace("\\", "") == (
        "Its list gets grok-4.3, its default becomes grok-4.3, its preferred model becomes grok-4.3 "
        "and its list loses grok-3"
    )
    assert "Price" in list(differences["What"])
    at.multiselect(key="successor_where").set_value(["grok"]).run()
    click(at, "successor_save")

    assert [each.replace("\\", "") for each in toasts(at)] == ["Changed grok-3 to grok-4.3 in 1 provider."]
    row = providers.get_by_name(session, "grok")
    own = settings.get_global(session, first)
    assert own is not None
    assert (row.available_models, row.default_model, own.preferred_model) == (["grok-4.3"], "grok-4.3", "grok-4.3")
    assert row.updated_by == admin.name
    assert providers.get_by_name(session, "other").available_models == ["grok-3", "mine"]
    assert "offered by other" in plainly(at)


def test_another_name_than_the_successor(session: Session, admin: Actor) -> None:
    """A name that nobody knows may be taken, and it says so; the model itself is refused with the rule."""
    add(session, "grok", ["grok-3"], **XAI)
    at = click(page(admin), "change_model_0")
    at.text_input(key="successor_name").set_value("unheard-of").run()
    assert "Not known here, which works as well" in plainly(at)
    at.text_input(key="successor_name").set_value("").run()
    assert at.button(key="successor_save").disabled
    at.text_input(key="successor_name").set_value("grok-3").run()
    click(at, "successor_save")
    assert "the one that ends" in plainly(at)
    assert providers.get_by_name(session, "grok").available_models == ["grok-3"]
    at.text_input(key="successor_name").set_value("unheard-of").run()
    click(at, "successor_save")
    assert providers.get_by_name(session, "grok").default_model == "unheard-of"


def test_list_is_searched_and_paged_and_names_are_text(session: Session, admin: Actor) -> None:
    """60 lines are three pages; search, state and page stand in the address; what people typed makes no markup."""
    for number in range(30):
        add(session, f"grok{number}", ["grok-3"], **XAI)
    names = [name for name, row in known().catalogue.rows["openai"].items() if "retires" in row][:40]
    add(session, "openai", names, display_name=HOSTILE)
    at = page(admin)
    assert "offered by grok0 by default, grok1 by default, grok10 by default, 27 more" in plainly(at)
    assert len([b for b in at.button if (b.key or "").startswith("change_model_")]) == 25
    assert "![x](" not in everything(at)
    at.text_input(key="search").set_value("GROK-3").run()
    assert len([b for b in at.button if (b.key or "").startswith("change_model_")]) == 1
    at.text_input(key="search").set_value("nothing has this").run()
    assert "No model fits this search and state" in plainly(at)


def test_what_is_known_of_any_model(admin: Actor, analyst: Actor) -> None:
    """By name and host, with who says so; part of a name lists those that have it; unknown works as well."""
    at = page(analyst, show="What is known", model="gpt-5", api="OpenAI")
    table = at.table[0].value
    said = {str(what): str(so).replace("\\", "").split("  \n") for what, so in table.to_numpy()}
    assert said["Temperature"][0] == "not taken: it always reasons"
    assert "https" in said["Temperature"][1]
    assert said["Max tokens"][0] == "sent as max_completion_tokens; 1 to 128,000"
    assert said["Context"][0] == "400,000 tokens"
    assert "other names with it" in plainly(at)
    odd = page(admin, show="What is known", model=HOSTILE, api="OpenAI")
    assert "not known here, which works as well" in plainly(odd)
    assert "![x](" not in everything(odd)
    assert "Type a model's name" in plainly(page(admin, show="What is known"))


@pytest.mark.parametrize(("days", "old"), [(0, False), (45, False), (46, True)])
def test_age_of_the_catalogue(monkeypatch: pytest.MonkeyPatch, admin: Actor, days: int, *, old: bool) -> None:
    """It is said how old it is, in amber after 45 days; what could not be read is said too."""
    as_of = datetime.now(UTC).date() - timedelta(days=days)
    monkeypatch.setattr(
        Knowledge,
        "health",
        lambda _: CatalogueHealth(ok=False, as_of=as_of, models=3, problems=("openai x: no object",)),
    )
    at = page(admin)

    assert ("A newer version of the app knows more" in plainly(at)) is old
    assert f"({as_of}): 3 models." in plainly(at)
    assert "openai x: no object" in plainly(at)


def test_every_tier_has_its_own_words() -> None:
    """Colour never says it alone."""
    words: Mapping[str, Any] = WORDS
    assert len({word for word, *_ in words.values()}) == len(words)


def correct(at: AppTest, about: str, why: str = "seen on the invoice", **fields: Any) -> AppTest:
    """Fill in the dialog that corrects something, and save."""
    click(at, "add_correction")
    at.text_input(key="correction_pattern").set_value(fields.get("pattern", "my-model")).run()
    at.selectbox(key="correction_api").set_value(fields.get("api", "")).run()
    at.selectbox(key="correction_about").set_value(about).run()
    if "does" in fields:
        at.selectbox(key="correction_does").set_value(fields["does"]).run()
    if "value" in fields:
        at.text_input(key="correction_value").set_value(fields["value"]).run()
    at.text_area(key="correction_why").set_value(why).run()
    return click(at, "correction_save")


def test_admin_corrects_what_is_known(session: Session, admin: Actor, analyst: Actor) -> None:
    """It counts at once, in the look-up, on the board and for what is sent; it says why and who; one takes it back."""
    add(session, "acme", ["my-model"])
    at = page(admin, show="Corrections")
    at.segmented_control(key="show").set_value("said").run()
    assert "Nothing is corrected" in plainly(at)
    correct(at, "temperature", does="refuse")
    assert [each.replace("\\", "") for each in toasts(at)] == ["What is said of my-model counts now."]
    correct(at, "retires", value=f"{datetime.now(UTC).date() + timedelta(days=3)}")

    (row,) = model_facts.list_all(session)
    assert set(row.facts) == {"temperature", "retires"}
    assert row.updated_by == admin.name
    said = plainly(at)
    assert "; Temperature: not taken" in said
    assert "seen on the invoice" in said
    sent = settings.effective(session, "acme")
    assert "temperature" not in sent.request_options()
    assert line_of(session, admin, "my-model").tier == "soon"
    seen = page(analyst)
    seen.segmented_control(key="show").set_value("said").run()
    assert "Temperature: not taken" in plainly(seen)
    assert not has(seen, "add_correction")
    assert not has(seen, f"withdraw_{row.id}")

    click(at, f"withdraw_{row.id}")
    click(at, "withdraw_confirm")
    assert model_facts.list_all(session) == []
    assert [line.label for line in at.expander] == ["Withdrawn or dismissed (1)"]
    assert "temperature" in settings.effective(session, "acme").request_options()


def test_what_vendors_refused_is_noted_at_a_press(session: Session, admin: Actor, analyst: Actor) -> None:
    """An admin sees it in the vendor's words, as text, and notes it; an analyst does not see it: words may be of a prompt."""
    provider = add(session, "acme", ["my-model"])
    words = f"`temperature` is deprecated for this model. {HOSTILE}"
    session.execute(
        text(
            "INSERT INTO llm_logs (provider_id, provider, model, status, attempts, latency_ms, generation, error)"
            " VALUES (:id, 'acme', 'my-model', 'error', 1, 1, 1, :error)"
        ),
        {"id": provider, "error": str(CallFailed("acme", "my-model", "refused", 400, words, 1))},
    )
    for who in (analyst, admin):
        at = page(who)
        at.segmented_control(key="show").set_value("said").run()
        assert ("is deprecated for this model" in plainly(at)) == (who is admin)
    assert HOSTILE not in everything(at)

    click(at, "dismiss_suggestion_openai_my-model_temperature")
    assert "is deprecated for this model" in plainly(at)  # below, among what does not count
    assert "Refused by vendors" not in plainly(at)
    assert (model_facts.list_all(session), HOSTILE in everything(at)) == ([], False)
    session.execute(text("DELETE FROM llm_model_facts"))
    at = page(admin)
    at.segmented_control(key="show").set_value("said").run()
    click(at, "accept_suggestion_openai_my-model_temperature")

    (row,) = model_facts.list_all(session)
    assert (row.api, row.facts, row.updated_by) == ("openai", {"temperature": {"refuse": True}}, admin.name)
    assert "Temperature: not taken" in plainly(at)
    assert "Refused by vendors" not in plainly(at)
    assert "temperature" not in settings.effective(session, "acme").request_options()


def test_what_is_wrong_in_a_correction_stands_by_its_field(session: Session, admin: Actor) -> None:
    """No why, no day, no JSON, no such key: the rule is said, what was typed stays, and nothing is stored."""
    at = page(admin)
    at.segmented_control(key="show").set_value("said").run()
    for about, value, why, rule in (
        ("retires", "soon", "x", "Retires: must be a day, as 2027-01-31"),
        ("retires", "2027-01-31", "", "Is needed, in 1 to 2,000 characters"),
    ):
        correct(at, about, value=value, why=why)
        assert rule in plainly(at)
        assert at.text_input(key="correction_value").value == value
        click(at, "correction_cancel")
    click(at, "add_correction")
    at.text_input(key="correction_pattern").set_value("m").run()
    at.selectbox(key="correction_about").set_value("json").run()
    at.text_area(key="correction_why").set_value("x").run()
    for typed, rule in (
        ("{", "Is not JSON"),
        ('{"colour": 1}', "Colour: is not a field here"),
        ("", "Must say something"),
    ):
        at.text_area(key="correction_json").set_value(typed).run()
        click(at, "correction_save")
        assert rule in plainly(at), typed
    assert model_facts.list_all(session) == []


def test_correction_is_changed_and_odd_ones_are_said(session: Session, admin: Actor) -> None:
    """The dialog of a row has all that it says; a row that says what holds anyway is named; rubbish by SQL breaks nothing."""
    add(session, "acme", ["gpt-5"])
    row = model_facts.set_facts(session, admin, "gpt-5", {"context": 400_000}, why=HOSTILE)
    session.flush()
    at = page(admin)
    at.segmented_control(key="show").set_value("said").run()
    assert "What is said of gpt-5 is the same without it now" in plainly(at)
    assert "![x](" not in everything(at)
    click(at, f"edit_correction_{row.id}")
    assert at.text_area(key="correction_json").value == '{\n  "context": 400000\n}'
    at.text_area(key="correction_json").set_value('{"context": 1000}').run()
    click(at, "correction_save")
    assert "What is said of gpt-5 is the same without it now" not in plainly(at)
    assert "context: 1000" in plainly(at)
    session.execute(text("UPDATE llm_model_facts SET facts = jsonb_build_object('colour', 1)"))
    assert not page(admin).exception


def test_a_pasted_catalogue_is_looked_at_and_imported(session: Session, admin: Actor, analyst: Actor) -> None:
    """What it changes for models in use stands there first, as text; another text hides Import; rubbish is said by the field."""
    add(session, "acme", ["gpt-99"])
    row = {"reasoning": "always", "context": 9, "successor": HOSTILE}
    first, older = (
        json.dumps({"format": FORMAT, "as_of": day, "versions": {}, "models": {"openai": {"gpt-99": row}}})
        for day in ("2099-01-01", "2098-01-01")
    )
    seen = page(analyst)
    seen.segmented_control(key="show").set_value("catalogue").run()
    assert "No catalogue is imported" in plainly(seen)
    assert not has(seen, "bundle_look")

    at = page(admin)
    at.segmented_control(key="show").set_value("catalogue").run()
    at.text_area(key="bundle_text_0").set_value(first).run()
    assert not has(at, "bundle_import")
    click(at, "bundle_look")
    assert "1 model, as of 2099-01-01: " in plainly(at)
    assert "| openai | gpt-99 | temperature | " in plainly(at)
    assert HOSTILE in plainly(at).replace("\u200b", "")
    assert HOSTILE not in everything(at)
    assert model_facts.list_all(session, origin="imported") == []
    at.text_area(key="bundle_text_0").set_value("[]").run()
    assert not has(at, "bundle_import")
    click(at, "bundle_look")
    assert "Cannot be taken: catalogue.json is unread: it has other keys" in plainly(at)
    assert not has(at, "bundle_import")

    at.text_area(key="bundle_text_0").set_value(first).run()
    click(click(at, "bundle_look"), "bundle_import")
    assert [each.replace("\\", "") for each in toasts(at)] == ["Imported: 1 model, as of 2099-01-01."]
    assert "A catalogue of 2099-01-01 is imported." in plainly(at)
    assert "temperature" not in settings.effective(session, "acme").request_options()
    event = "SELECT actor FROM audit_events WHERE action = 'catalogue.import'"
    assert session.execute(text(event)).scalars().all() == [admin.name]

    at.text_area(key="bundle_text_1").set_value(older).run()
    click(click(at, "bundle_look"), "bundle_import")
    assert "tick the box below" in plainly(at)
    at.checkbox(key="bundle_force").check().run()
    click(at, "bundle_import")
    assert "A catalogue of 2098-01-01 is imported." in plainly(at)
