"""Effective Preview: each value with its reason, two providers side by side, and no key anywhere."""

import json
from functools import partial
from typing import Any

import pytest
from sqlmodel import Session
from streamlit.testing.v1 import AppTest

from core.actors import Actor
from core.kinds import KINDS
from core.manage import features, organizations, providers, settings
from core.manage.scopes import SettingsScope
from core.parameters import PARAMETERS
from core.resolving.effective import CURES
from core.resolving.personal_data import PersonalDataRules
from core.store import db
from core.store.table import id_of
from tests.screens import open_page, samples
from ui.feedback import plain
from ui.preview.table import as_json, curl_snippet, python_snippet

page = partial(open_page, "effective_preview")

KEY = "sk-proj-canary-0123456789abcdefghijklmnop"
HOSTILE = "![x](http://evil.example/x.png) <b>:red[name]</b>"


def add_provider(session: Session, admin: Actor, name: str, **fields: Any) -> int:
    data = {
        "name": name,
        "display_name": name.title(),
        "kind": "openai_compatible",
        "api_base_url": "https://secret-host.example/v1",
        "available_models": ["m1", "m2"],
        "default_model": "m1",
        "is_active": True,
    }
    provider = providers.create(session, admin, {**data, **fields})
    session.flush()
    assert provider.id is not None
    return provider.id


def choose(at: AppTest, key: str, name: str) -> AppTest:
    at.selectbox(key=key).set_value(name).run()
    assert not at.exception
    return at


def everything(at: AppTest) -> str:
    """All text that the page shows, tables and code included."""
    kinds = ("markdown", "caption", "text", "warning", "error", "success", "info", "code")
    shown = [element.value for kind in kinds for element in getattr(at, kind)]
    return "\n".join([*shown, *samples(at), *(table.value.to_csv() for table in at.table)])


def rows(at: AppTest) -> dict[str, list[str]]:
    """The page's first table: parameter -> its other cells; what becomes of personal data has one of its own."""
    table = at.table[0]
    return {str(first).split("  \n")[0]: [str(cell) for cell in rest] for first, *rest in table.value.to_numpy()}


@pytest.fixture
def acme(session: Session, admin: Actor) -> int:
    """A ready provider whose temperature is set in two layers, and whose Top P is not sent."""
    acme = add_provider(session, admin, "acme", api_key=KEY)
    settings.upsert_global(session, admin, None, {"temperature": 0.3, "omitted_parameters": ["top_p"]})
    settings.upsert_global(session, admin, acme, {"temperature": 0.0, "custom_settings": {"team": "search"}})
    session.flush()
    return acme


@pytest.mark.usefixtures("acme")
def test_every_value_says_why(admin: Actor) -> None:
    """A value stands with its layer, version and author, and with what it hides in the layers below."""
    value, _, why = rows(page(admin))["Temperature"]

    assert value.startswith("0")
    for part in ("this provider, version 1", "ada", "just now", r"0\.3, all providers", r"0\.7, built\-in default"):
        assert part in why
    assert list(rows(page(admin)))[:-1] == ["Model", *(parameter.label for parameter in PARAMETERS.values())]


@pytest.mark.usefixtures("acme")
def test_built_in_value_has_nobody(admin: Actor) -> None:
    """A built-in default names neither an author nor a version, and hides nothing."""
    *_, why = rows(page(admin))["Max tokens"]

    assert why == r"built\-in default"


@pytest.mark.usefixtures("acme")
def test_omitted_parameter_says_who_does_not_send_it(admin: Actor) -> None:
    """What is not sent keeps its value, says which layer decided so, and is absent from what a call sends."""
    at = page(admin)
    value, sent_as, why = rows(at)["Top P"]
    sent = next(json.loads(code) for code in samples(at) if code.startswith("{"))

    assert value.startswith("1")
    assert "not sent" in sent_as
    assert "not sent: all providers" in why
    assert "top_p" not in sent
    assert (sent["model"], sent["temperature"]) == ("m1", 0.0)


@pytest.mark.usefixtures("acme")
def test_layer_that_decides_leads_to_where_it_is_changed(admin: Actor, analyst: Actor) -> None:
    """For an admin each row has a link with the provider in its address, not for an analyst, who may not change it."""
    found = rows(page(admin))

    assert "](defaults?provider=acme)" in found["Temperature"][2]
    assert "](defaults)" in found["Top P"][2]
    assert "](providers?provider=acme)" in found["Model"][2]
    assert "](" not in everything(page(analyst, provider="acme"))


def test_all_providers_at_once(session: Session, admin: Actor, analyst: Actor, acme: int) -> None:
    """A row each, what differs from all providers' marked with its source; an analyst sees it first, without any secret."""
    add_provider(session, admin, "beta")
    add_provider(session, admin, "idle", is_active=False)
    mask = providers.get(session, acme).api_key_masked
    session.flush()
    at = page(analyst)
    assert at.query_params == {"view": "all"}
    found = {str(row["Provider"]).partition("]")[0]: row for row in at.table[0].value.to_dict("records")}

    assert list(found) == ["**All providers**  \n:gray[:small[the installation's default", "[Acme", "[Beta", "[Idle"]
    ours = found["[Acme"]
    assert "differ" in ours["Temperature"]
    assert r'[0](effective_preview?provider=acme "this provider · ada, just now' in ours["Temperature"]
    assert "differ" not in found["[Beta"]["Temperature"]
    assert "Top P" not in ours  # not sent by all of them: nothing differs
    assert "Ready" in ours["State"]
    assert "Not active" in found["[Idle"]["State"]
    seen = everything(at) + repr(at.session_state)
    assert [secret for secret in (KEY, mask, "secret-host") if secret is None or secret in seen] == []
    for_admin = page(admin, view="all").table[0].value.to_csv()
    assert "](defaults?provider=acme" in for_admin


@pytest.mark.usefixtures("acme")
def test_overview_is_searched_and_narrowed(session: Session, admin: Actor) -> None:
    """The search and the time of the last change stay through runs; what fits nothing says so, with a way back."""
    add_provider(session, admin, "beta", default_model="m2")
    session.flush()
    at = page(admin, view="all")
    at.text_input(key="search").set_value("M2").run()
    assert [str(cell)[:5] for cell in at.table[0].value["Provider"]] == ["**All", "[Beta"]
    at.toggle(key="all_parameters").set_value(True).run()
    assert "Seed" in at.table[0].value.columns or "Log level" in at.table[0].value.columns
    assert len(at.table[0].value) == 2
    at.text_input(key="search").set_value("nobody").run()
    assert not at.table
    at.button(key="list_show_all").click().run()

    assert len(at.table[0].value) == 3
    at.selectbox(key="since").set_value("24 hours").run()
    assert len(at.table[0].value) == 3


@pytest.mark.usefixtures("acme")
def test_comparison_stands_in_the_address(session: Session, admin: Actor) -> None:
    """?compare= opens it, choosing writes it, and a name that does not exist is explained."""
    add_provider(session, admin, "beta")
    session.flush()
    at = page(admin, provider="acme", compare="beta")
    assert at.selectbox(key="compare_with").value == "beta"
    choose(choose(at, "preview_provider", "beta"), "compare_with", "acme")

    assert at.query_params == {"provider": "beta", "compare": "acme"} or at.query_params["compare"] in (
        "acme",
        ["acme"],
    )
    assert "There is no provider 'gone'" in page(admin, provider="acme", compare="gone").warning[0].value


@pytest.mark.parametrize("role", ["admin", "analyst"])
def test_no_key_and_no_address_is_shown(admin: Actor, analyst: Actor, acme: int, role: str) -> None:
    """Nobody sees the key, its mask or the base URL here; the analyst sees the rest."""
    with db.transaction() as session:
        mask = providers.get(session, acme).api_key_masked
    at = page({"admin": admin, "analyst": analyst}[role])
    seen = everything(at) + repr(at.session_state)

    assert "Ready" in seen
    assert mask is not None
    for secret in (KEY, mask, "secret-host"):
        assert secret not in seen


def test_download_holds_reasons_and_no_key(acme: int) -> None:
    """The JSON to download has every value with its source, and neither key, mask, blob nor base URL."""
    with db.transaction() as session:
        provider = providers.get(session, acme)
        hidden = [KEY, provider.api_key_masked, provider.api_key_encrypted, provider.api_key_binding, "secret-host"]
        text = as_json(settings.effective(session, "acme"))
    reasons = {item["parameter"]: item for item in json.loads(text)["explain"]}

    assert reasons["temperature"]["layer"] == "provider"
    assert [item["value"] for item in reasons["temperature"]["shadows"]] == [0.3, 0.7]
    assert not [secret for secret in hidden if secret is None or secret in text]


@pytest.mark.parametrize(
    ("fields", "status", "word"),
    [
        ({"is_active": False}, "disabled", "Not active"),
        ({"default_model": None}, "no_model", "No model"),
        ({}, "no_key", "No key"),
    ],
)
def test_status_has_a_word_and_a_cure(
    session: Session, admin: Actor, fields: dict[str, Any], status: str, word: str
) -> None:
    """What keeps a service from its key is told in words, with what to do about it."""
    add_provider(session, admin, "acme", **fields)
    session.flush()
    seen = everything(page(admin))

    assert word in seen
    assert plain(CURES[status]) in seen


def test_what_the_model_does_not_take_is_shown(session: Session, admin: Actor) -> None:
    """What somebody set and the model refuses is a warning with its cure; why stands in its row, and it is not sent."""
    model = "gpt-5"
    made = add_provider(
        session, admin, "acme", kind="openai", available_models=[model], default_model=model, api_key=KEY
    )
    settings.upsert_global(session, admin, made, {"temperature": 0.2})
    session.flush()
    at = page(admin)

    (warning,) = [warning.value for warning in at.warning]
    assert plain("temperature 0.2 is not sent to gpt-5: it always reasons.") in warning
    found = rows(at)
    for name, colour in (("Temperature", "orange"), ("Top P", "gray")):  # nobody has chosen the built-in default
        assert found[name][1].startswith(f":{colour}[:small[:material/block: not sent]]")
        assert plain("it always reasons") in found[name][1]
    assert found["Max tokens"][1] == plain("max_completion_tokens")
    assert "Ready, with changes" in everything(at)
    (_, overview) = page(admin, view="all").table[0].value["State"]
    assert "Ready, with changes" in overview
    assert '"temperature"' not in everything(at)
    body = json.loads(samples(at.tabs[1])[0])
    assert body == {
        "model": model,
        "messages": [{"role": "user", "content": "Hello"}],
        "max_completion_tokens": 2000,
    }


@pytest.mark.usefixtures("acme")
def test_two_providers_are_compared(session: Session, admin: Actor) -> None:
    """Beside another provider what differs is marked in a word, and alone on demand."""
    add_provider(session, admin, "beta", default_model="m1")
    session.flush()
    at = choose(page(admin, provider="acme"), "compare_with", "beta")
    everywhere = rows(at)
    at.toggle(key="only_differences").set_value(True).run()
    different = rows(at)

    assert {"Model", "Temperature", "Max tokens"} <= set(everywhere)
    assert "Temperature" in different
    assert not {"Model", "Max tokens"} & set(different)
    assert "differs" in everything(at)


@pytest.mark.usefixtures("acme")
def test_provider_chosen_as_the_other_one_too(session: Session, admin: Actor) -> None:
    """Choosing the provider that is being compared with does not compare it with itself, nor break."""
    add_provider(session, admin, "beta")
    session.flush()
    at = choose(choose(page(admin, provider="acme"), "compare_with", "beta"), "preview_provider", "beta")

    assert at.selectbox(key="compare_with").value is None
    assert at.query_params["provider"] in ("beta", ["beta"])


@pytest.mark.usefixtures("acme")
def test_address_keeps_the_provider(session: Session, admin: Actor) -> None:
    """?provider= opens the page there; a name that does not exist breaks nothing."""
    add_provider(session, admin, "zeta")
    session.flush()

    assert page(admin, provider="zeta").selectbox(key="preview_provider").value == "zeta"
    assert not page(admin, provider="no/such").exception


@pytest.mark.usefixtures("acme")
def test_address_that_changes_is_followed(session: Session, admin: Actor) -> None:
    """Choosing writes the address; one that changes later, as by Back, is followed."""
    add_provider(session, admin, "beta")
    at = choose(page(admin, provider="acme"), "preview_provider", "beta")
    written = at.query_params["provider"]
    at.query_params["provider"] = "acme"
    at.run()

    assert written in ("beta", ["beta"])
    assert at.selectbox(key="preview_provider").value == "acme"


@pytest.mark.usefixtures("acme")
def test_unknown_provider_is_not_replaced(admin: Actor) -> None:
    """An address with a name that does not exist shows no other provider's settings, however often it is drawn."""
    at = page(admin, provider=HOSTILE)
    for _ in range(2):
        assert ["There is no provider" in warning.value for warning in at.warning] == [True]
        assert not at.table
        assert "![x](" not in everything(at)
        at.run()
    choose(at, "preview_provider", "acme")

    assert at.table
    assert not at.warning


def test_analyst_is_not_told_why_a_key_is_unreadable(session: Session, analyst: Actor, admin: Actor, acme: int) -> None:
    """Of a key that cannot be opened an admin learns why and where to mend it, an analyst that, and whom to ask."""
    providers.get(session, acme).api_base_url = "https://moved-host.example/v1"
    session.flush()
    for_admin, for_analyst = page(admin), page(analyst)

    assert "another base URL" in everything(for_admin)
    assert for_admin.get("page_link")
    assert "Key unreadable" in everything(for_analyst)
    assert plain("Ask an admin.") in everything(for_analyst)
    assert "base URL" not in everything(for_analyst)
    assert "moved-host" not in everything(for_analyst)
    assert not for_analyst.get("page_link")


@pytest.mark.usefixtures("acme")
def test_exact_times_are_a_hover_away(admin: Actor) -> None:
    """The newest change is told relative; its hover text has the exact time of every value that somebody set."""
    with db.transaction() as session:
        row = settings.get_global(session, None)
    assert row is not None
    (newest,) = (caption for caption in page(admin).caption if caption.value.startswith("Newest change"))

    assert newest.value.endswith("ada, just now")
    assert plain(f"{row.updated_at:%Y-%m-%d %H:%M:%S} UTC") in newest.help
    assert "Temperature" in newest.help


@pytest.mark.usefixtures("acme")
def test_value_says_whether_it_is_sent(admin: Actor) -> None:
    """A parameter of the model is sent or not; retries, timeouts and logging are the program's own."""
    found = rows(page(admin))

    assert found["Temperature"][1] == "temperature"
    assert "not sent" in found["Top P"][1]
    assert "for the program" in found["Max retries"][1]


@pytest.mark.parametrize("kind", [kind for kind in KINDS if KINDS[kind].never_accepted])
def test_what_the_vendor_has_not_is_not_sent(session: Session, admin: Actor, kind: str) -> None:
    """Nobody omits it, and it is not sent all the same: the table says why, and a comparison marks it."""
    add_provider(session, admin, "acme", kind=kind, api_base_url=None)
    add_provider(session, admin, "beta")
    at = page(admin, provider="acme")
    alone = rows(at)
    compared = choose(at, "compare_with", "beta").table[0].value.to_numpy().tolist()

    for name in KINDS[kind].never_accepted - {p.name for p in PARAMETERS.values() if p.default is None}:
        label = PARAMETERS[name].label
        assert "not sent" in alone[label][1]
        assert "API has none" in alone[label][1]
        (cells,) = [row for row in compared if str(row[0]).startswith(label)]
        assert ["not sent" in str(cell) for cell in cells[1:]] == [True, False]
        assert "differs" in str(cells[0])


def test_small_difference_is_one(session: Session, admin: Actor, acme: int) -> None:
    """What differs is counted and compared as it is, not as it is rounded for people; the status counts, too."""
    beta = add_provider(session, admin, "beta", is_active=False)
    settings.upsert_global(session, admin, acme, {"temperature": 0.5})
    settings.upsert_global(session, admin, beta, {"temperature": 0.50000001, "custom_settings": {"team": "search"}})
    at = choose(page(admin, provider="acme"), "compare_with", "beta")
    differing = [cell.split("  \n")[0] for cell in at.table[0].value["Parameter"] if "differs" in cell]

    assert differing == ["Status", "Temperature"]
    rows_of_others = ("Status", "Model", "team")
    of_all = len(PARAMETERS) + len(rows_of_others) + len(PersonalDataRules._fields)
    assert f"2 of {of_all} differ." in everything(at)


def test_same_values_are_said(session: Session, admin: Actor) -> None:
    """Two providers that resolve alike are said to; with the toggle there is no empty table. A name may be a heading."""
    add_provider(session, admin, "acme")
    add_provider(session, admin, "beta", display_name="Parameter")
    at = choose(page(admin, provider="acme"), "compare_with", "beta")
    columns = list(at.table[0].value.columns)
    at.toggle(key="only_differences").set_value(True).run()

    assert len(columns) == 3
    assert "The two resolve to the same values." in everything(at)
    assert not at.table


@pytest.mark.usefixtures("acme")
def test_http_is_shown(admin: Actor) -> None:
    """The request of the REST API can be copied, and it is said where its token comes from."""
    at = page(admin)

    assert [tab.label for tab in at.tabs] == ["What is sent", "Request body", "Python", "HTTP"]
    assert "makes the token" in at.tabs[3].caption[0].value
    assert "/api/llm/settings?provider=acme" in samples(at.tabs[3])[0]


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://llm.example.com/effective_preview?provider=acme", "https://llm.example.com"),
        ("http://127.0.0.1:8501/effective_preview", "http://127.0.0.1:8501"),
        (None, "https://YOUR-HOST"),
    ],
)
def test_curl_names_the_host_of_the_page(url: str | None, host: str) -> None:
    """The line works as it is copied, where the page is open; the token itself is not in it."""
    expected = f'curl -H "Authorization: Bearer $LLM_SETTINGS_TOKEN" "{host}/api/llm/settings?provider=acme"'

    assert curl_snippet("acme", url) == expected


@pytest.mark.parametrize("kind", [*KINDS, "unheard-of", None])
def test_python_snippet_is_python(kind: str | None) -> None:
    """The lines of each kind compile, and resolve the provider by its name."""
    snippet = python_snippet("acme", kind)

    compile(snippet, "snippet", "exec")
    assert 'resolve("acme")' in snippet


@pytest.fixture
def scoped(session: Session, admin: Actor, acme: int) -> int:
    """Two organisations and a feature, each with something of its own."""
    one, two = (
        id_of(organizations.create_one(session, admin, {"slug": slug, "name": slug.title()}))
        for slug in ("tenant-a", "tenant-b")
    )
    feature = id_of(features.create(session, admin, {"name": "summarise", "display_name": "Summarise"}))
    settings.upsert(session, admin, SettingsScope(None, one), {"temperature": 0.9})
    settings.upsert(session, admin, SettingsScope(acme, two, feature), {"max_tokens": 7})
    session.flush()
    return one


@pytest.mark.usefixtures("scoped")
def test_settings_of_an_organisation_and_a_feature(admin: Actor, analyst: Actor) -> None:
    """Chosen by the address: values with the scope that they come from, and the code that asks for the same."""
    at = page(admin, provider="acme", organization="tenant-a", feature="summarise")
    value, _, why = rows(at)["Temperature"]

    assert value.startswith(r"0\.9")
    assert r"organisation (tenant-a), version 1" in why.replace("\\-", "-").replace("\\(", "(").replace("\\)", ")")
    assert "hides 0" in why
    code = samples(at)
    assert any('resolve("acme", organization="tenant-a", feature="summarise")' in each for each in code)
    assert any("provider=acme&organization=tenant-a&feature=summarise" in each for each in code)
    assert "](hierarchy?organization=tenant-a&feature=summarise&provider=acme)" in everything(at)
    assert "](defaults" not in everything(page(analyst, provider="acme", organization="tenant-a"))


@pytest.mark.usefixtures("scoped")
def test_two_organisations_side_by_side(admin: Actor) -> None:
    """One against the other, for the same provider and feature; what differs is marked. The address has both."""
    at = page(admin, provider="acme", organization="tenant-a", against="tenant-b", feature="summarise")
    (table,) = at.table
    titles = [str(name).replace("\\", "") for name in table.value.columns]

    assert titles == ["Parameter", "Acme · acme · tenant-a · summarise", "Acme · acme · tenant-b · summarise"]
    assert {name for name, (one, two) in rows(at).items() if one.split("  \n")[0] != two.split("  \n")[0]} >= {
        "Temperature",
        "Max tokens",
    }
    at.text_input(key="against").set_value("tenant").run()
    assert not at.table
    (pills,) = at.pills
    assert len(pills.options) == 2
    pills.set_value("tenant-a").run()
    assert not at.exception
    assert "Change for" in at.table[0].value.to_csv()  # the same scope is no comparison


@pytest.mark.usefixtures("scoped")
def test_all_providers_of_an_organisation(session: Session, admin: Actor) -> None:
    """What each provider gets there beside what one without settings of its own gets there; links keep the scope."""
    add_provider(session, admin, "beta")
    session.flush()
    at = page(admin, view="all", organization="tenant-a")
    found = {str(row["Provider"]).partition("]")[0]: row for row in at.table[0].value.to_dict("records")}

    assert "what tenant\\-a gets of each" in str(at.table[0].value["Provider"][0])
    assert "effective_preview?provider=acme&organization=tenant-a" in str(found["[Acme"]["Provider"])
    assert not any("differ" in str(cell) for cell in found["[Beta"].values())  # 0.9 of the organisation, as all
    at.text_input(key="organization").set_value("tenant-c").run()
    assert not at.table
    assert "There is no organisation" in at.warning[0].value


@pytest.mark.usefixtures("scoped")
def test_organisation_that_is_not_there(admin: Actor) -> None:
    """Its settings are not those of nobody: it is said that there is none."""
    at = page(admin, provider="acme", organization="tenant-c")

    assert "There is no organisation" in at.warning[0].value
    assert not at.table


def test_chosen_provider_that_is_deleted(session: Session, admin: Actor, acme: int) -> None:
    """A provider deleted by somebody else while it was looked at is said to be gone; no other one's settings are shown."""
    add_provider(session, admin, "zeta")
    session.flush()
    at = page(admin, provider="acme")
    providers.delete(session, admin, acme)
    session.flush()
    at.run()

    assert not at.exception
    assert at.selectbox(key="preview_provider").options == ["Zeta  ·  zeta"]
    assert "There is no provider 'acme'" in at.warning[0].value
    assert not at.table


def test_hostile_names_are_text(session: Session, admin: Actor) -> None:
    """Markdown in a display name, a model, or a custom setting is shown as it is: no image, no colour."""
    bad = add_provider(
        session, admin, "bad", display_name=HOSTILE, available_models=[HOSTILE], default_model=HOSTILE, api_key=KEY
    )
    add_provider(session, admin, "good")
    settings.upsert_global(session, admin, bad, {"custom_settings": {"k": HOSTILE}})
    session.flush()
    at = choose(page(admin, provider="bad"), "compare_with", "good")
    single = page(admin, provider="bad")
    drawn = [*at.table, *single.table, *at.caption, *single.caption, *at.markdown, *single.markdown]
    text = "\n".join(str(getattr(e.value, "to_csv", lambda e=e: e.value)()) for e in drawn)

    assert "evil" in text
    assert "![x](" not in text
    assert "http://evil" not in text


def test_no_provider_says_what_to_do(admin: Actor, analyst: Actor) -> None:
    """Without any provider an admin is told where to add one, and an analyst whom to ask."""
    for_admin, for_analyst = page(admin), page(analyst)

    assert not for_admin.selectbox
    assert "There is no provider yet" in everything(for_admin)
    assert "Ask an admin to add one." not in everything(for_admin)
    assert "Ask an admin to add one." in everything(for_analyst)
