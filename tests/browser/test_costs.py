"""A budget, the whole path in Chromium: made on the page, spent by a service, told of to a receiver, topped up on the page, and calls go on."""

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from core import config
from core.access import users
from core.actors import COMMAND_LINE
from core.manage import model_facts, notifications, providers, settings
from core.store import db
from tests.browser.conftest import enter, settled
from tests.conftest import PASSWORD, ROOT
from tests.processes import environment, running_app
from tests.receivers import Receiver, is_signed
from tests.vendors import KEY, Vendor

pytestmark = pytest.mark.browser
PROMISE = 3.0
"""Seconds: what is done on the page acts in a service within one, and this machine may be three times as slow."""
SERVICE = """
import time
from core.ai import complete
from core.errors import BudgetExceeded
while True:
    try:
        answer = complete("How are you today?", provider="acme", feature="chat")
        print(time.time(), "answered", answer.cost, flush=True)
    except BudgetExceeded as error:
        print(time.time(), "refused", error.reason, flush=True)
    time.sleep(0.05)
"""


@contextmanager
def service(log: Path, **env: str) -> Iterator[Callable[[str, float], float]]:
    """A program that calls without an end; gives what waits for the first line with a word that was written after a moment."""
    with log.open("w") as out:
        process = subprocess.Popen(
            [sys.executable, "-c", SERVICE], env=environment(**env), cwd=ROOT, stdout=out, stderr=out
        )

    def wait_for(word: str, since: float) -> float:
        until = time.monotonic() + 60
        while time.monotonic() < until and process.poll() is None:
            for line in log.read_text().splitlines():
                at, _, said = line.partition(" ")
                if word in said and re.fullmatch(r"[\d.]+", at) and float(at) > since:
                    return float(at) - since
            time.sleep(0.02)
        raise AssertionError(log.read_text()[-2000:])

    try:
        yield wait_for
    finally:
        process.kill()
        process.wait()


def _save(page: Page) -> float:
    """Press the last button of the dialog; return when."""
    settled(page)
    pressed = time.time()
    page.get_by_role("dialog").locator(".st-key-budget_save button").click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    settled(page)
    return pressed


def _add(page: Page) -> float:
    page.get_by_role("button", name="Add budget").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("textbox", name="Name", exact=True).fill("Chats, monthly")
    amount = dialog.get_by_role("textbox", name="Amount, US dollars")
    amount.fill("0.1")
    alerts = dialog.get_by_role("textbox", name="Alerts at, percent")
    alerts.fill("10, 20")
    alerts.press("Tab")
    return _save(page)


def _is_told(receiver: Receiver, secret: str) -> dict[str, Any]:
    """Wait for the message of a threshold; return what it says."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        for got in receiver.got:
            said = json.loads(got.body)
            if said["type"] == "budget.threshold":
                assert is_signed(got, secret)
                return dict(said["data"])
        time.sleep(0.1)
    raise AssertionError([got.body for got in receiver.got])


def _top_up(page: Page) -> float:
    page.locator("[class*=st-key-more_budget_] button").click()
    page.get_by_role("menuitem", name="Top up").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("textbox", name="US dollars more for this period").fill("50")
    reason = dialog.get_by_role("textbox", name="Reason, in one line")
    reason.fill("the campaign runs a week longer")
    reason.press("Tab")
    return _save(page)


def test_budget_spent_and_topped_up(
    committed: str, browser: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within a second each: the service is held to a budget that was just made, is refused once it is spent, and goes on after a top-up. Meanwhile a receiver is told."""
    monkeypatch.setenv("LLM_PRIVATE_HOSTS", "127.0.0.1")
    config.get_config.cache_clear()
    env = {"DATABASE_URL": committed, "LLM_PRIVATE_HOSTS": "127.0.0.1"}
    with Vendor() as vendor, Receiver() as receiver, running_app(tmp_path / "app", **env) as app:
        with db.transaction() as session:
            users.add(session, COMMAND_LINE, "ada", PASSWORD, "admin")
            acme = {"name": "acme", "display_name": "Acme", "kind": "openai", "api_base_url": vendor.base_url("openai")}
            made = {"available_models": ["m1"], "default_model": "m1", "api_key": KEY}
            providers.create(session, COMMAND_LINE, {**acme, **made})
            settings.upsert_global(session, COMMAND_LINE, None, {"max_tokens": 10})
            prices = {"prices": [{"input": 1000, "output": 1000}]}
            model_facts.set_facts(session, COMMAND_LINE, "m1", prices, why="for a test")
            hears = {"name": "ops", "url": receiver.url, "events": ["budget.threshold"]}
            secret = notifications.create(session, COMMAND_LINE, hears)[1]
        page = browser.new_page(viewport={"width": 1440, "height": 1000})
        with service(tmp_path / "service", **env) as wait_for:
            enter(page, f"{app.url}/costs", "ada")
            wait_for("answered", 0)
            made_at = _add(page)
            spent_within = wait_for("refused spent", made_at)

            told = _is_told(receiver, secret)
            page.reload()
            settled(page)
            row = page.locator("[class*=st-key-line_budget_]")
            expect(row).to_contain_text("of $0.10 spent")
            topped_up_at = _top_up(page)
            went_on_within = wait_for("answered", topped_up_at)
            expect(row).to_contain_text("of $50.10 spent")

            row.get_by_role("button", name="Burn-down").click()
            expect(page.get_by_role("cell", name="the campaign runs a week longer")).to_be_visible()
            settled(page)
            expect(page).to_have_url(re.compile(r"/costs\?budget=\d+$"))
        page.close()
    assert max(spent_within, went_on_within) < PROMISE, (spent_within, went_on_within)
    assert (told["budget"], told["threshold"] in {10, 20}) == ("Chats, monthly", True), told
