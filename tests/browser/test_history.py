"""History, the whole path: two weeks of changes, who raised max_tokens and why, it is put back, and that is undone."""

import os
import re
from pathlib import Path
from random import Random

import pytest
from playwright.sync_api import Browser, Page, expect
from sqlalchemy import text

from core.access import users
from core.actors import COMMAND_LINE, Actor
from core.audit.record import explained
from core.manage import providers, settings
from core.manage.scopes import SettingsScope
from core.store import db
from tests.browser.conftest import choose, enter, settled
from tests.conftest import PASSWORD
from tests.processes import running_app

pytestmark = pytest.mark.browser
CHANGES = 60
WHY = "customers said that reports were cut off (ticket 4711)"
PICTURES = os.environ.get("LLM_TEST_PICTURES", "")
"""A folder in which each step is kept as a picture, for who changes the page."""


def _two_weeks() -> None:
    """Providers and changes of all kinds by three people, most without a reason; among them grace raised max_tokens of one."""
    random = Random(7)
    with db.transaction() as session:
        users.add(session, COMMAND_LINE, "ada", PASSWORD, "admin")
        made = [
            providers.create(
                session,
                COMMAND_LINE,
                {
                    "name": name,
                    "display_name": name.title(),
                    "kind": "openai",
                    "available_models": ["m", "n"],
                    "default_model": "m",
                },
            ).id
            for name in ("openai", "reports", "search")
        ]
        settings.upsert(session, COMMAND_LINE, SettingsScope(made[1]), {"max_tokens": 4000})
    for number in range(CHANGES):
        raised = number == CHANGES // 2
        with db.transaction() as session, explained(session, WHY if raised else random.choice(["", "", "a trial"])):
            if raised:
                settings.upsert(session, Actor("grace"), SettingsScope(made[1]), {"max_tokens": 32000})
                continue
            scope = SettingsScope(random.choice([None, made[0], made[2]]))
            field = random.choice(["temperature", "top_p"])
            settings.upsert(
                session, Actor(random.choice(["bob", "grace", "eve"])), scope, {field: round(number / 100, 2)}
            )
    with db.transaction() as session:  # as if it had been so slow
        for table in ("settings_generations", "settings_history"):
            newest = "(SELECT max(generation) FROM settings_generations)"
            session.execute(
                text(f"UPDATE {table} SET at = at - ({newest} - generation) * interval '5 hours 36 minutes'")
            )


def _picture(page: Page, name: str) -> None:
    if not PICTURES:
        return
    for width in (1440, 420):
        page.set_viewport_size({"width": width, "height": 900})
        for scheme in ("dark", "light"):
            page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
            page.wait_for_timeout(600)
            page.screenshot(path=Path(PICTURES) / f"{name}-{width}-{scheme}.png")
    page.set_viewport_size({"width": 1440, "height": 900})


def _put_it_back(page: Page) -> None:
    """Find who raised it and why by one filter, and put it back."""
    page.get_by_role("link", name="History", exact=True).click()
    expect(page.get_by_role("button", name="Next")).to_be_visible()
    settled(page)
    _picture(page, "list")
    page.get_by_role("button", name="Next").click()
    expect(page.get_by_role("button", name="First")).to_be_enabled()
    settled(page)
    choose(page.get_by_role("combobox", name="Field"), "Max tokens")
    line = page.locator("summary").filter(has_text="4,000 → 32,000")
    expect(line).to_contain_text("grace changed settings reports")
    expect(line).to_contain_text("ticket 4711")
    expect(page).to_have_url(re.compile(r"field=Max(\+|%20)tokens$"))
    settled(page)
    line.click()
    button = page.get_by_role("button", name="Put back Max tokens")
    expect(button).to_be_visible()
    settled(page)
    _picture(page, "line")
    button.click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_text("1 field would change")).to_be_visible()
    settled(page)
    _picture(page, "dialog")
    dialog.get_by_role("textbox", name="Reason, in one line").fill("reports have pages now")
    dialog.get_by_role("button", name="Put back").click()
    expect(page.get_by_text("reports is put back.")).to_be_visible()
    newest = page.locator("summary").first
    expect(newest).to_contain_text(
        "ada changed settings reports · Max tokens 32,000 → 4,000 · “reports have pages now”"
    )


def _undo_it(page: Page) -> None:
    settled(page)
    _picture(page, "undo")
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_text("Undone: reports is put back.")).to_be_visible()
    expect(page.locator("summary").first).to_contain_text("Max tokens 4,000 → 32,000")
    settled(page)


def _look_back(page: Page, url: str) -> None:
    """What differs from then, and what was in force then."""
    page.get_by_role("radio", name="Two moments").click()
    first = page.get_by_role("textbox", name="From")
    first.fill("5")
    first.press("Enter")
    expect(page.get_by_text("4 rows differ")).to_be_visible()
    settled(page)
    _picture(page, "moments")
    for name in ("effective_preview", "hierarchy"):
        page.goto(f"{url}/{name}?provider=reports&at=5")
        expect(page.get_by_text("As of generation 5 ")).to_be_visible()
        expect(page.get_by_role("row", name=re.compile("^Max tokens"))).to_contain_text("4,000")
        _picture(page, name)


def _undo_in_a_list(page: Page, url: str) -> None:
    """A click of a list that runs alone is taken back by the same button."""
    page.goto(f"{url}/providers")
    switch = page.locator(".st-key-active_reports").get_by_role("switch")
    expect(switch).to_be_checked()
    settled(page)
    page.locator(".st-key-active_reports label").click()
    expect(page.get_by_role("button", name="Undo")).to_be_visible()
    settled(page)
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_text("Undone")).to_be_visible()
    settled(page)  # while the list is drawn anew it is there twice
    expect(switch).to_be_checked()


def test_who_raised_it_and_why_and_it_is_put_back(committed: str, browser: Browser, tmp_path: Path) -> None:
    """By one filter of the list; the reason stands in the line; the preview says what changes; then it is as it was, and that is undone."""
    _two_weeks()
    with running_app(tmp_path / "log", DATABASE_URL=committed) as app, browser.new_context() as context:
        page = context.new_page()
        enter(page, app.url, "ada")
        _put_it_back(page)
        with db.transaction() as session:
            assert settings.effective(session, "reports").max_tokens == 4000
        _undo_it(page)
        with db.transaction() as session:
            assert settings.effective(session, "reports").max_tokens == 32000
        _look_back(page, app.url)
        _undo_in_a_list(page, app.url)
