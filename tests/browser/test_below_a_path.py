"""Behind a real nginx that serves the app below /llm/: sign-in, deep links, REST and its documentation."""

import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import httpx2
import pytest
from playwright.sync_api import Browser, expect

from core.access import tokens, users
from core.actors import COMMAND_LINE
from core.store import db
from tests.browser.conftest import sign_in
from tests.conftest import PASSWORD, ROOT, require
from tests.processes import free_port, running_app

pytestmark = pytest.mark.browser
OURS = ("/sign-in", "/api", "/_stcore", "/static", "/media", "/users", "/defaults")
CONFIGURATION = """
daemon off; master_process off; pid {folder}/pid; error_log {folder}/errors;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/f;
    uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
    map $http_upgrade $connection_upgrade {{ default upgrade; "" close; }}
    server {{
        listen 127.0.0.1:{port};
        location / {{ return 404; }}
        {shipped}
    }}
}}
"""


@pytest.fixture
def below(committed: str, tmp_path: Path) -> Iterator[str]:
    """URL of the app below a path, with the admin ada; what is not below it is 404."""
    require("nginx", shutil.which("nginx"))
    with db.transaction() as session:
        users.add(session, COMMAND_LINE, "ada", PASSWORD, "admin")
    port = free_port()
    with running_app(tmp_path / "log", DATABASE_URL=committed, LLM_TRUSTED_PROXIES="127.0.0.1") as app:
        shipped = (ROOT / "deploy" / "nginx-below-a-path.conf").read_text(encoding="utf-8")
        assert "127.0.0.1:8501" in shipped
        shipped = shipped.replace("127.0.0.1:8501", f"127.0.0.1:{app.port}")
        file = tmp_path / "nginx.conf"
        file.write_text(CONFIGURATION.format(folder=tmp_path, port=port, shipped=shipped), encoding="utf-8")
        nginx = subprocess.Popen(["nginx", "-p", str(tmp_path), "-c", str(file)])
        url = f"http://127.0.0.1:{port}/llm/"
        try:
            deadline = time.monotonic() + 20
            while True:
                try:
                    assert httpx2.get(url).status_code == 200
                    break
                except httpx2.TransportError:
                    assert time.monotonic() < deadline
                    assert nginx.poll() is None
                    time.sleep(0.05)
            yield url
            assert "Traceback" not in app.output()
        finally:
            nginx.terminate()
            nginx.wait(10)


def test_pages_below_a_path(below: str, browser: Browser) -> None:
    """Sign-in, reload, links of the menu, a deep link in a fresh tab, sign-out; nothing is asked for outside the path."""
    with browser.new_context() as context:
        page = context.new_page()
        outside: list[str] = []
        page.on(
            "request",
            lambda asked: outside.append(asked.url) if urlsplit(asked.url).path.startswith(OURS) else None,
        )
        sign_in(page, below, "ada", PASSWORD)
        page.reload()
        expect(page.get_by_text("Signed in as ada (admin)")).to_be_visible()
        expect(page.get_by_role("button", name="Add provider").first).to_be_visible()  # the page is drawn to its end
        page.get_by_role("link", name="Defaults", exact=True).click()
        expect(page.get_by_role("heading", name="Defaults")).to_be_visible()
        expect(page).to_have_url(f"{below}defaults")
        tab = context.new_page()
        tab.goto(f"{below}users")
        expect(tab.get_by_role("heading", name="Users")).to_be_visible()
        tab.get_by_test_id("stSidebar").get_by_role("button", name="Sign out").click()
        expect(tab.get_by_role("button", name="Sign in")).to_be_visible()
        expect(tab.get_by_text("Signed in as")).to_have_count(0)

        assert outside == []


def test_sign_in_at_a_deep_link(below: str, browser: Browser) -> None:
    """Who opens a page's own address signs in there, and is on that page then; without its last slash nginx adds it."""
    with browser.new_context() as context:
        page = context.new_page()
        page.goto(f"{below}users")
        page.get_by_label("Username").fill("ada")
        page.get_by_role("textbox", name="Password").fill(PASSWORD)
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("heading", name="Users")).to_be_visible()
        page.goto(below.removesuffix("/"))
        assert page.url.startswith(below)
        expect(page.get_by_text("Signed in as ada (admin)")).to_be_visible()


def test_rest_below_a_path(below: str, browser: Browser) -> None:
    """The API answers below the path, names what it made relative to it, and its page can try a request out."""
    with db.transaction() as session:
        _, token = tokens.create(session, COMMAND_LINE, {"name": "t", "role": "admin", "expires_in_days": None})
    body = {"name": "acme", "displayName": "Acme", "kind": "openai", "availableModels": ["m"]}
    url = f"{below}api/llm/providers"
    with httpx2.Client(headers={"Authorization": f"Bearer {token}"}) as client:
        made = client.post(url, json=body)
        assert made.status_code == 201
        assert client.get(urljoin(url, made.headers["Location"])).json()["data"]["name"] == "acme"
        assert client.get(f"{below}api/health/ready").status_code == 200

    with browser.new_context() as context:
        page = context.new_page()
        sign_in(page, below, "ada", PASSWORD)
        page.goto(f"{below}api/docs")
        page.locator(".opblock-summary", has_text="List providers").click()
        page.get_by_role("button", name="Try it out").click()
        with page.expect_response(lambda answer: "llm/providers" in answer.url) as answer:
            page.get_by_role("button", name="Execute").click()
        assert answer.value.url.startswith(url)
        assert answer.value.status == 200
