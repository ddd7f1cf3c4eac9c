"""The Providers page: headers, query parameters, and the exchange of a key."""

from functools import partial
from itertools import pairwise
from typing import Any

import pytest
from sqlmodel import Session
from streamlit.testing.v1 import AppTest

from core import config
from core.actors import Actor
from core.manage import next_keys, provider_keys, provider_secrets, providers
from core.store import db
from core.store.carried_values import MOST
from core.store.tables import LlmProviderSecret
from tests.pages.test_providers import add, fill_new, named
from tests.screens import click, everything, has, open_page, pick
from tests.vendors import KEY, Vendor

page = partial(open_page, "providers")

CANARY = "hdr-canary-0123456789abcdefghij"
NEXT = KEY.replace("right", "later")


def put(app: AppTest, number: int, value: str, name: str | None = None, *, secret: bool | None = None) -> AppTest:
    """Type into a row."""
    if name is not None:
        app.text_input(key=f"carried_name_{number}").set_value(name).run()
    app.text_input(key=f"carried_value_{number}").set_value(value).run()
    if secret is not None:
        app.checkbox(key=f"carried_sealed_{number}").set_value(secret).run()
    return app


def rows(provider_id: int) -> dict[str, LlmProviderSecret]:
    with db.transaction() as session:
        session.expire_all()
        return {row.name: row for row in provider_secrets.list_of(session, provider_id)}


def opened(provider_id: int, name: str) -> str:
    with db.transaction() as session:
        return provider_secrets.open_value(providers.get(session, provider_id), rows(provider_id)[name])


def carry(session: Session, admin: Actor, provider_id: int, **headers: str) -> None:
    for name, value in headers.items():
        provider_secrets.set_value(session, admin, provider_id, "header", name, value=value, sealed=True)


def shown(app: AppTest) -> str:
    return everything(app).replace("\\", "")


def beside(app: AppTest, words: str) -> Any:
    """The key of the widget right above an error."""
    drawn = [node for node in app._tree if node.type in {"button", "text_input", "checkbox", "error"}]
    return [above.key for above, node in pairwise(drawn) if words in str(node.value).replace("\\", "")]


def test_a_provider_is_added_with_what_its_calls_carry(admin: Actor) -> None:
    """Header and parameter are saved with the provider, in one event; the secret is neither shown nor kept."""
    app = fill_new(page(admin))
    put(click(app, "carried_add_header"), 0, CANARY, "Ocp-Apim-Subscription-Key")
    put(click(app, "carried_add_query"), 1, "2026-01-01", "api-version")
    click(app, "carried_add_header")  # left empty: it is none
    click(app, "provider_save")

    provider_id = named("acme").id or 0
    found = rows(provider_id)
    assert {name: (row.use, row.plain_value) for name, row in found.items()} == {
        "Ocp-Apim-Subscription-Key": ("header", None),
        "api-version": ("query", "2026-01-01"),
    }
    assert opened(provider_id, "Ocp-Apim-Subscription-Key") == CANARY
    assert "with 1 header and 1 query parameter" in shown(app)
    assert all(CANARY not in str(value) for value in app.session_state.values())
    click(app, "edit_acme")
    assert CANARY not in str(list(app.session_state.values())) + shown(app)
    mask = provider_secrets.shown(found["Ocp-Apim-Subscription-Key"])
    assert app.text_input(key="carried_value_0").placeholder == f"{mask} is stored"


def test_errors_stand_beside_their_rows(admin: Actor) -> None:
    """All rows at fault are told at once, each below its row; nothing is saved, and what was typed stays."""
    app = fill_new(page(admin))
    put(click(app, "carried_add_header"), 0, "x", "Host")
    put(click(app, "carried_add_header"), 1, "a\u20acb", "X Y: <b>![x](http://evil.example/x.png)</b>")
    put(click(app, "carried_add_query"), 2, "", "api-version")
    put(click(app, "carried_add_header"), 3, "one", "X-Twice")
    put(click(app, "carried_add_header"), 4, "two", "x-twice")
    click(app, "provider_save")

    assert beside(app, "Host is written by the HTTP client") == ["carried_remove_0"]
    assert beside(app, "Name must be letters, digits and hyphens") == ["carried_remove_1"]
    assert beside(app, "no ASCII") == ["carried_remove_1"]
    assert beside(app, "Value must be 1 to 8,192 characters") == ["carried_remove_2"]
    assert beside(app, "Name x-twice stands twice") == ["carried_remove_4"]
    assert app.text_input(key="carried_value_1").value == "a\u20acb"
    for number in (4, 2, 1, 0):
        click(app, f"carried_remove_{number}")
    click(app, "provider_save")
    assert list(rows(named("acme").id or 0)) == ["X-Twice"]


def test_what_looks_like_a_secret_is_doubted(admin: Actor) -> None:
    """A plain value that looks like a secret is warned of, and saved as it is; sealed it is not."""
    app = fill_new(page(admin))
    put(click(app, "carried_add_header"), 0, "abc", "X-Token", secret=False)
    assert "This looks like a secret" in shown(app)
    app.checkbox(key="carried_sealed_0").check().run()
    assert "This looks like a secret" not in shown(app)
    assert app.text_input(key="carried_value_0").value == "abc"  # what was typed stays with another kind of field


def test_rows_are_changed_kept_and_removed(session: Session, admin: Actor) -> None:
    """An empty value leaves a secret as it is; a removed row can be kept after all; made plain it is typed again."""
    provider_id = add(session, admin)
    carry(session, admin, provider_id, A=CANARY, B=CANARY, C=CANARY)
    before = rows(provider_id)
    app = click(page(admin), "edit_acme")
    put(app, 1, "another-value-0123456789")
    click(app, "carried_remove_0")
    click(app, "carried_remove_2")
    assert "The header A is removed once this is saved." in shown(app)
    click(app, "carried_keep_0")
    app.checkbox(key="carried_sealed_0").uncheck().run()
    click(app, "provider_save")
    assert beside(app, "Value is needed again, to be stored as no secret") == ["carried_remove_0"]
    app.checkbox(key="carried_sealed_0").check().run()
    click(app, "provider_save")

    after = rows(provider_id)
    assert list(after) == ["A", "B"]
    assert (after["A"].value_encrypted, after["A"].version) == (before["A"].value_encrypted, before["A"].version)
    assert opened(provider_id, "B") == "another-value-0123456789"


def test_two_admins_at_once(session: Session, admin: Actor) -> None:
    """Who was faster with a row, or with its removal, is told beside it; saved again, what is typed here holds."""
    provider_id = add(session, admin)
    carry(session, admin, provider_id, A=CANARY, B=CANARY)
    app = click(page(admin), "edit_acme")
    carry(session, admin, provider_id, A="faster-0123456789abcdef")
    provider_secrets.remove_value(session, admin, provider_id, "header", "B")
    put(app, 0, "mine-a-0123456789abcdef")
    put(app, 1, "mine-b-0123456789abcdef")
    click(app, "provider_save")
    assert beside(app, "The header A was changed by ada meanwhile. Save again to write yours") == ["carried_remove_0"]
    assert beside(app, "The header B was removed meanwhile. Save again to add it") == ["carried_remove_1"]
    assert opened(provider_id, "A") == "faster-0123456789abcdef"
    click(app, "provider_save")

    assert [opened(provider_id, name) for name in "AB"] == ["mine-a-0123456789abcdef", "mine-b-0123456789abcdef"]


def test_a_secret_moves_with_the_host_only_as_a_new_one(session: Session, admin: Actor) -> None:
    """Another host wants each secret typed again, key and header; then both are saved in one event."""
    provider_id = add(session, admin, api_key=KEY)
    carry(session, admin, provider_id, A=CANARY)
    app = click(page(admin), "edit_acme")
    app.text_input(key="provider_api_base_url").set_value("https://elsewhere.example/v1").run()
    app.text_input(key="provider_api_key").set_value(KEY).run()
    click(app, "provider_save")
    assert beside(app, "the header A is sealed for") == ["provider_api_base_url"]
    put(app, 0, "again-0123456789abcdef")
    click(app, "provider_save")

    assert named("acme").api_base_url == "https://elsewhere.example/v1"
    assert opened(provider_id, "A") == "again-0123456789abcdef"


def test_as_many_as_there_may_be(session: Session, admin: Actor) -> None:
    """All rows are drawn and saved, and one more is not offered."""
    provider_id = add(session, admin)
    for number in range(MOST):
        for use in ("header", "query"):
            provider_secrets.set_value(
                session, admin, provider_id, use, f"x-{number}", value="v" * 300, sealed=number % 2 == 0
            )
    app = click(page(admin), "edit_acme")
    assert sum(str(field.key).startswith("carried_value_") for field in app.text_input) == 2 * MOST
    assert app.button(key="carried_add_header").disabled
    put(app, 2 * MOST - 1, "changed")
    click(app, "provider_save")
    assert [row.plain_value for row in rows(provider_id).values()].count("changed") == 1


def test_what_is_typed_is_tested(admin: Actor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before it is saved: the vendor gets the header and the parameter, and a fault of a row stands beside it."""
    monkeypatch.setenv("LLM_PRIVATE_HOSTS", "127.0.0.1")
    config.get_config.cache_clear()
    with Vendor() as vendor:
        app = fill_new(page(admin), kind="openai_compatible", models=["m1"])
        app.text_input(key="provider_api_base_url").set_value(vendor.base_url("openai_compatible")).run()
        app.text_input(key="provider_api_key").set_value(KEY).run()
        put(click(app, "carried_add_header"), 0, CANARY, "X-Gateway")
        put(click(app, "carried_add_query"), 1, "2026-01-01", "api version")
        click(app, "provider_test")
        assert beside(app, "Name must be letters, digits and") == ["carried_remove_1"]
        put(app, 1, "2026-01-01", "api-version")
        click(app, "provider_test")
        assert "It works: the model has answered." in shown(app)

    assert all(asked.headers["x-gateway"] == CANARY for asked in vendor.asked)
    assert all(asked.path.endswith("?api-version=2026-01-01") for asked in vendor.asked)


def test_a_key_is_exchanged(session: Session, admin: Actor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Add, test, promote, retire: each step shows which key is which, by mask and fingerprint."""
    monkeypatch.setenv("LLM_PRIVATE_HOSTS", "127.0.0.1")
    config.get_config.cache_clear()
    with Vendor(keys=(NEXT,)) as vendor:
        provider_id = add(session, admin, api_base_url=vendor.base_url("openai"), api_key=KEY)
        first = provider_keys.shown_key(named("acme")) or ""
        app = pick(page(admin), "more_acme", "Exchange key")
        assert first in shown(app)
        app.text_input(key="next_key_typed").set_value("${OPENAI_API_KEY}").run()
        click(app, "next_key_add")
        assert "Is a reference to a secret kept elsewhere" in shown(app)
        app.text_input(key="next_key_typed").set_value(NEXT).run()
        click(app, "next_key_add")
        assert all(NEXT not in str(value) for value in app.session_state.values())
        with db.transaction() as again:
            second = provider_secrets.shown(next_keys.get(again, provider_id) or pytest.fail("no next key"))
        assert second in shown(app)
        assert second.split()[0] == first.split()[0]
        assert second != first
        click(app, "next_key_test")
        assert "It works" in shown(app)
        assert {asked.headers["authorization"] for asked in vendor.asked} == {f"Bearer {NEXT}"}
        click(app, "next_key_promote")
    assert provider_keys.shown_key(named("acme")) == second
    assert has(app, "former_key_retire")
    click(app, "former_key_promote")
    assert provider_keys.shown_key(named("acme")) == first
    click(app, "former_key_promote")
    click(app, "former_key_retire")
    assert has(app, "next_key_add")
    with db.transaction() as again:
        assert next_keys.get(again, provider_id) is None
    click(app, "keys_close")
    assert second.split()[1] in shown(app)


def test_somebody_else_exchanged_it(session: Session, admin: Actor) -> None:
    """Who promotes what another admin replaced meanwhile is told, and promotes nothing."""
    provider_id = add(session, admin, api_key=KEY)
    next_keys.add(session, admin, provider_id, NEXT)
    app = pick(page(admin), "more_acme", "Exchange key")
    before = provider_keys.shown_key(named("acme"))
    next_keys.add(session, admin, provider_id, f"{NEXT}-again")
    click(app, "next_key_promote")
    assert "ada changed it meanwhile. Look again" in shown(app)
    assert provider_keys.shown_key(named("acme")) == before

    click(app, "next_key_promote")
    with db.transaction() as again:
        assert providers.open_api_key(again, provider_id) == f"{NEXT}-again"


def test_a_key_beside_another_is_not_removed(session: Session, admin: Actor) -> None:
    """Remove key says why not, while a next key waits."""
    provider_id = add(session, admin, api_key=KEY)
    next_keys.add(session, admin, provider_id, NEXT)
    app = click(pick(page(admin), "more_acme", "Remove key"), "remove_key_confirm")

    assert "has a next key beside it: promote that one, or retire it first" in shown(app)
    assert named("acme").api_key_encrypted


def test_deleting_names_the_key_by_its_fingerprint(session: Session, admin: Actor) -> None:
    """The dialog says which key goes, and what else."""
    provider_id = add(session, admin, api_key=KEY)
    carry(session, admin, provider_id, A=CANARY)
    app = pick(page(admin), "more_acme", "Delete")

    assert f"its API key {provider_keys.shown_key(named('acme'))}" in shown(app)
    assert "its 1 header" in shown(app)
