"""Providers as people have them, in the browser: one without a key, a gateway that wants a header, a key that is exchanged."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from core.access import users
from core.actors import COMMAND_LINE
from core.manage import next_keys, provider_secrets, providers
from core.store import db
from tests.browser.conftest import Recorder, choose, enter, sign_in
from tests.browser.test_looks import PICTURES, show
from tests.conftest import ENCRYPTION_KEY, PASSWORD
from tests.processes import core, python, running_app
from tests.vendors import KEY, TEXT, Vendor

pytestmark = pytest.mark.browser

HEADER = "hdr-canary-0123456789abcdefghij"
NEXT = KEY.replace("right", "later")
SERVICE = """
import json, openai
from core.resolve import resolve, resolver

resolver.start().wait(60)
settings = resolve({name!r})
client = openai.OpenAI(**settings.client_options())
answer = client.chat.completions.create(messages=[{{"role": "user", "content": "Hello"}}], **settings.request_options())
print(json.dumps([settings.status, answer.choices[0].message.content]))
"""


def _fill(page: Page, name: str, url: str) -> Locator:
    """Open *Add provider* and fill it in, but for the key."""
    page.get_by_role("button", name="Add provider").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("textbox", name="Display name").fill(name.capitalize())
    dialog.get_by_role("textbox", name="Name", exact=True).fill(name)
    dialog.get_by_role("textbox", name="Name", exact=True).press("Tab")
    choose(dialog.get_by_role("combobox", name="Kind"), "OpenAI-compatible")
    expect(dialog.get_by_placeholder("https://host.example/v1")).to_be_visible()
    dialog.get_by_role("textbox", name="Base URL").fill(url)
    dialog.get_by_role("textbox", name="Base URL").press("Tab")
    models = dialog.get_by_role("combobox", name="Models")
    models.fill("m1")
    models.press("Enter")
    models.press("Escape")
    expect(dialog.get_by_text("m1").first).to_be_visible()
    expect(dialog.get_by_role("combobox", name="Default model")).to_have_value("m1")  # the only one
    return dialog


def _without_key(dialog: Locator) -> None:
    dialog.get_by_text("Needs an API key").click()
    expect(dialog.get_by_text("Programs get the word")).to_be_visible()


def _test_and_add(page: Page, dialog: Locator) -> None:
    dialog.get_by_role("button", name="Test connection").click()
    expect(dialog.get_by_text("It works: the model has answered.")).to_be_visible()
    dialog.get_by_role("button", name="Add provider").click()
    expect(page.get_by_role("dialog")).to_have_count(0)


def _exchange(page: Page, card: Locator, gateway: Vendor, served: Callable[[], Any]) -> None:
    """Add, test, promote and retire; before each step and after it the service goes on, with the key that is current."""
    card.get_by_role("button", name="More").click()
    page.get_by_role("menuitem", name="Exchange key").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("textbox", name="Next API key").fill(NEXT)
    dialog.get_by_role("button", name="Add the next key").click()
    dialog.get_by_role("button", name="Test the next key").click()
    expect(dialog.get_by_text("It works: the model has answered.")).to_be_visible()
    assert gateway.asked[-1].headers["authorization"] == f"Bearer {NEXT}"
    assert served() == ["ok", TEXT]
    assert gateway.asked[-1].headers["authorization"] == f"Bearer {KEY}"
    dialog.get_by_role("button", name="Promote it", exact=True).click()
    expect(dialog.get_by_text("Former key", exact=True)).to_be_visible()
    assert served() == ["ok", TEXT]
    assert gateway.asked[-1].headers["authorization"] == f"Bearer {NEXT}"
    dialog.get_by_role("button", name="Retire the former key").click()
    page.get_by_role("button", name="Retire it", exact=True).click()
    expect(dialog.get_by_role("button", name="Add the next key")).to_be_visible()


def test_keyless_gateway_and_an_exchanged_key(browser: Browser, database: str, tmp_path: Path) -> None:
    """Add, test, resolve in another process; then add, test, promote and retire a key, while nothing secret is sent back."""
    env = {"DATABASE_URL": database, "LLM_ENCRYPTION_KEY": ENCRYPTION_KEY, "LLM_PRIVATE_HOSTS": "127.0.0.1"}
    first = {"LLM_ADMIN_USERNAME": "ada", "LLM_ADMIN_PASSWORD": "a first sentence of hers"}

    def served(name: str) -> Any:
        done = python(SERVICE.format(name=name), **env)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    with (
        Vendor(keys=("not-needed",)) as own,
        Vendor(keys=("not-needed", KEY, NEXT), wants={"x-gateway-key": HEADER}) as gateway,
        running_app(tmp_path / "log", **env, **first) as app,
    ):
        page = browser.new_page(viewport={"width": 1440, "height": 1000})
        recorder = Recorder(page)
        sign_in(page, app.url, "ada", first["LLM_ADMIN_PASSWORD"])
        page.goto(f"{app.url}/providers")

        dialog = _fill(page, "ollama", own.base_url("openai_compatible"))
        _without_key(dialog)
        _test_and_add(page, dialog)
        expect(page.locator(".st-key-card_ollama")).to_contain_text("Needs no key")
        assert served("ollama") == ["ok", TEXT]
        assert {asked.headers["authorization"] for asked in own.asked} == {"Bearer not-needed"}

        dialog = _fill(page, "gateway", gateway.base_url("openai_compatible"))
        dialog.get_by_role("textbox", name="API key").fill(KEY)
        dialog.get_by_text("Headers and query parameters").click()
        dialog.get_by_role("button", name="Add a header").click()
        dialog.get_by_role("textbox", name="Name of header 1").fill("X-Gateway-Key")
        dialog.get_by_role("textbox", name="Value of header 1").fill("wrong-value-0123456789")
        dialog.get_by_role("button", name="Test connection").click()
        expect(dialog.get_by_text("x-gateway-key is missing or invalid").first).to_be_visible()
        dialog.get_by_role("textbox", name="Value of header 1").fill(HEADER)
        _test_and_add(page, dialog)
        card = page.locator(".st-key-card_gateway")
        expect(card).to_contain_text("with 1 header")
        assert served("gateway") == ["ok", TEXT]

        _exchange(page, card, gateway, lambda: served("gateway"))
        recorder.look()
        page.close()

    told = core("providers", "keys", "list", "gateway", **env).stdout
    assert told.startswith("current  sk-proj...**** #")
    received = b"".join(recorder.received)
    assert not any(secret.encode() in received for secret in (KEY, NEXT, HEADER))


CUT = """() => [...document.querySelectorAll('[role=dialog] *')].filter(part =>
    part.getBoundingClientRect().right > window.innerWidth + 1 && part.getBoundingClientRect().width > 0
    && getComputedStyle(part).position !== "fixed").map(part => part.outerHTML.slice(0, 120))"""
"""What reaches over the window's edge."""


def test_how_it_looks(browser: Browser, committed: str, tmp_path: Path) -> None:
    """The form with many rows and faults, and both keys: nothing is cut at 1440 and 420, light and dark."""
    data = {"name": "gateway", "display_name": "Gateway", "kind": "openai_compatible", "available_models": ["m1"]}
    with db.transaction() as session:
        users.add(session, COMMAND_LINE, "admin", PASSWORD, "admin")
        url = {"api_base_url": "http://127.0.0.1:9/v1", "api_key": KEY}
        made = providers.create(session, COMMAND_LINE, {**data, **url}).id or 0
        next_keys.add(session, COMMAND_LINE, made, NEXT)
        names = (
            "Ocp-Apim-Subscription-Key",
            "anthropic-beta",
            "X-A-Name-That-Is-As-Long-As-Names-Of-Gateways-Come",
            "x!#$%&'*+",
        )
        for number, name in enumerate(names):
            value = HEADER if number != 1 else "context-1m-2025-08-07"
            provider_secrets.set_value(session, COMMAND_LINE, made, "header", name, value=value, sealed=number != 1)
        provider_secrets.set_value(
            session, COMMAND_LINE, made, "query", "api-version", value="2026-01-01", sealed=False
        )
    with running_app(tmp_path / "log", DATABASE_URL=committed, LLM_ENCRYPTION_KEY=ENCRYPTION_KEY) as app:
        for width, height in ((1440, 1000), (420, 900)):
            page = browser.new_page(viewport={"width": width, "height": height}, color_scheme="light")
            enter(page, app.url, "admin")
            card = page.locator(".st-key-card_gateway")
            expect(card).to_contain_text("next key: sk-proj...**** #")
            card.get_by_role("button", name="Edit").click()
            dialog = page.get_by_role("dialog")
            expect(dialog.get_by_role("textbox", name="Value of header Ocp-Apim-Subscription-Key")).to_be_visible()
            dialog.get_by_role("button", name="Add a header").click()
            dialog.get_by_role("textbox", name="Name of header 6").fill("Host")
            dialog.get_by_role("textbox", name="Value of header 6").fill("x")
            dialog.get_by_role("button", name="Save").click()
            expect(dialog.get_by_text("Host is written by the HTTP client")).to_be_visible()
            dialog.get_by_text("Headers and query parameters").scroll_into_view_if_needed()
            _pictures(page, f"headers-{width}")
            dialog.get_by_role("button", name="Cancel").click()
            card.get_by_role("button", name="More").click()
            page.get_by_role("menuitem", name="Exchange key").click()
            expect(dialog.get_by_role("button", name="Test the next key")).to_be_visible()
            _pictures(page, f"keys-{width}")
            page.close()


def _pictures(page: Page, name: str) -> None:
    for scheme in ("dark", "light"):
        show(page, scheme)
        assert page.evaluate(CUT) == []
        if PICTURES:
            page.screenshot(path=Path(PICTURES) / f"{name}-{scheme}.jpg", quality=80)
