"""People sign in at a real identity provider, npm's oidc-provider, through a real browser: one of each sort, and a stranger."""

import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect
from sqlalchemy import text

from core.access import oidc, users
from core.actors import COMMAND_LINE
from core.manage import organizations
from core.store import db
from tests import processes
from tests.conftest import PASSWORD, ROOT, make_user, require
from tests.processes import free_port, running_app
from tests.shares import chosen

pytestmark = [pytest.mark.browser, pytest.mark.long]
FOLDER = ROOT / "tests" / "identity_provider"
FILES = ("package.json", "package-lock.json", "server.js")


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The provider with its packages, as its lock names them; without npm, or what it brings, a loud skip."""
    npm = shutil.which("npm")
    require("npm", npm and shutil.which("node"))
    folder = tmp_path_factory.mktemp("identity_provider")
    for name in FILES:
        shutil.copy(FOLDER / name, folder)
    words = [str(npm), "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--cache", str(folder / "cache")]
    done = subprocess.run(words, cwd=folder, capture_output=True, timeout=120, check=False)
    require("npm", done.returncode == 0)
    return folder


class Provider:
    """The identity provider, which can be stopped, and comes back with another key."""

    def __init__(self, folder: Path, app: str) -> None:
        self.port = free_port()
        self.issuer = f"http://localhost:{self.port}"  # another site than the app, which is at 127.0.0.1
        self._words, self._folder = ["node", "server.js", str(self.port), app], folder
        self.start()

    def start(self) -> None:
        """Begin; returns when it answers."""
        self.process = subprocess.Popen(self._words, cwd=self._folder, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n"

    def stop(self) -> None:
        """End."""
        self.process.kill()
        self.process.wait(10)


@pytest.fixture
def served(
    committed: str, packages: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[str, Provider]]:
    """The app, which knows the provider, with a local admin called admin; and the provider."""
    with db.transaction() as session:
        users.add(session, COMMAND_LINE, "admin", PASSWORD, "admin")
    ada = make_user("ada", "admin")
    with db.transaction() as session:
        organizations.create(session, ada, [{"slug": "emea", "name": "EMEA"}])
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    provider = Provider(packages, url)
    monkeypatch.setattr(processes, "free_port", lambda: port)
    known = {
        "LLM_PUBLIC_URL": url,
        "LLM_OIDC_ISSUER": provider.issuer,
        "LLM_OIDC_CLIENT_ID": "llm-settings",
        "LLM_OIDC_CLIENT_SECRET": "a secret of this test",
        "LLM_OIDC_NAME": "Corp Login",
        "LLM_OIDC_ADMIN_GROUPS": "llm-admins",
        "LLM_OIDC_ANALYST_GROUPS": "llm-analysts",
        "LLM_OIDC_ORGANIZATION_GROUPS": "llm-emea=emea:admin",
    }
    try:
        with running_app(tmp_path / "log", DATABASE_URL=committed, **known) as app:
            yield app.url, provider
    finally:
        provider.stop()


def sign_on(context: BrowserContext, url: str, name: str) -> Page:
    """Follow the link of the sign-in, and sign in at the provider as *name*."""
    page = context.new_page()
    page.goto(url)
    page.get_by_role("link", name="Sign in with Corp Login").click()
    page.locator("input[name=login]").fill(name)
    page.locator("input[name=password]").fill("anything")
    page.locator("button[type=submit]").click()
    page.get_by_role("button", name="Continue").click()
    return page


def test_people_sign_in_at_the_provider_by_their_groups(served: tuple[str, Provider], browser: Browser) -> None:
    """Admin, analyst, an organisation's admin, a stranger; a sign-out there ends the page here, and one here goes on there; by night also with
    other keys after a restart.
    """
    url, provider = served
    contexts = {name: browser.new_context() for name in ("admin", "alan", "olga", "sven")}
    began = time.monotonic()
    admin = sign_on(contexts["admin"], url, "admin")
    expect(admin.get_by_role("heading", name="Providers", exact=True)).to_be_visible()
    assert admin.url.startswith(url)
    assert len(admin.context.pages) == 1
    kept = {cookie["name"]: cookie for cookie in contexts["admin"].cookies(url)}
    assert kept["llm_settings_session"]["sameSite"] == "Strict"
    assert "llm_settings_sso" not in kept

    analyst = sign_on(contexts["alan"], url, "alan")
    expect(analyst.get_by_role("heading", name="Effective Preview", exact=True)).to_be_visible()
    member = sign_on(contexts["olga"], url, "olga")
    expect(member.get_by_text("olga").first).to_be_visible()
    stranger = sign_on(contexts["sven"], url, "sven")
    expect(stranger.get_by_text("None of your groups may use LLM Settings.")).to_be_visible()
    with db.transaction() as session:
        found = session.execute(text("SELECT sso_subject, username, role FROM users WHERE sso_subject IS NOT NULL"))
        people = {subject: (username, role) for subject, username, role in found}
        within = session.execute(
            text("SELECT u.username, m.role FROM organization_members m JOIN users u ON id = user_id")
        )
        assert [tuple(row) for row in within] == [("olga", "admin")]
    assert people["alan"] == ("alan", "analyst")
    assert people["olga"] == ("olga", "member")
    assert people["admin"][0].startswith("admin-")
    assert "sven" not in people

    elsewhere = contexts["admin"].new_page()
    elsewhere.goto(f"{provider.issuer}/session/end")
    elsewhere.get_by_role("button", name="Yes, sign me out").click()
    elsewhere.wait_for_load_state()
    deadline = time.monotonic() + 10
    live = text(
        "SELECT count(*) FROM auth_sessions s JOIN users u ON u.id = user_id WHERE sso_subject = 'admin' AND revoked_at IS NULL"
    )
    while True:
        with db.transaction() as session:
            if session.execute(live).scalar() == 0:
                break
        assert time.monotonic() < deadline
        time.sleep(0.1)
    admin.reload()
    expect(admin.get_by_role("link", name="Sign in with Corp Login")).to_be_visible()

    analyst.get_by_role("button", name="Sign out", exact=True).click()
    analyst.wait_for_url(f"{provider.issuer}/session/end**")
    if chosen() == "all":  # it takes half a minute; tests/access/test_oidc.py does it by another clock
        provider.stop()
        provider.start()
        time.sleep(max(0.0, oidc.BETWEEN_SECONDS + 1 - (time.monotonic() - began)))
        again = sign_on(browser.new_context(), url, "alan")
        expect(again.get_by_role("heading", name="Effective Preview", exact=True)).to_be_visible()
    for context in contexts.values():
        context.close()
