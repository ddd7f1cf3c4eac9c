"""What a person meets beside the main job: sign-out, two admins, hostile names, a lost database, a wrong key."""

import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psycopg
import pytest
from playwright.sync_api import Browser, Error, Locator, Page, expect

from core.access import users
from core.actors import COMMAND_LINE
from core.manage import providers
from core.store import db
from tests.browser.conftest import enter, settled, sign_in
from tests.conftest import PASSWORD, named
from tests.processes import App, core, running_app
from tests.rest import token, traffic
from tests.shares import share
from ui.navigation import SCREENS, names_for

pytestmark = pytest.mark.browser
CANARY = "sk-proj-canary-0123456789abcdefghijklmnopqrstuvwxyz"
PROVIDER = {
    "name": "acme",
    "display_name": "Acme AI",
    "kind": "openai",
    "available_models": ["m1", "m2"],
    "default_model": "m1",
    "api_key": CANARY,
}


@pytest.fixture
def app(committed: str, tmp_path: Path) -> Iterator[App]:
    """The app on a database of the test's own, with the admin and the provider acme; programs use it over REST meanwhile."""
    with db.transaction() as session:
        providers.create(session, COMMAND_LINE, PROVIDER)
        users.add(session, COMMAND_LINE, "admin", PASSWORD, "admin")
    env = {"DATABASE_URL": committed, "LLM_RATE_LIMIT_GENERAL": "1000000 per minute"}
    with running_app(tmp_path / "log", **env) as app, traffic(app.url, token("admin")) as seen:
        yield app
    assert seen[200] > 0
    assert seen.keys() <= {200, 304, 422, 503}


@pytest.fixture
def page(app: App, browser: Browser) -> Iterator[Page]:
    """The admin, signed in, on the Providers page."""
    page = browser.new_page()
    enter(page, app.url, "admin")
    yield page
    page.close()


def test_sign_out_ends_the_session(page: Page, app: App) -> None:
    """After signing out the sign-in stands there, and a reload does not bring the session back."""
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("button", name="Sign in")).to_be_visible()
    expect(page.get_by_text("Acme AI")).to_have_count(0)
    page.goto(app.url)
    expect(page.get_by_role("button", name="Sign in")).to_be_visible()


def test_key_typed_and_left_by_tab_is_saved(page: Page, committed: str) -> None:
    """A new key, typed and left with Tab, replaces the old one; the dialog never holds it again."""
    page.locator(".st-key-edit_acme button").click()
    dialog = page.get_by_role("dialog")
    field = dialog.get_by_role("textbox", name="API key")
    field.fill("sk-new-0123456789abcdefghijklmnopqrstuvwxyzabcdef")
    field.press("Tab")
    page.keyboard.press("Tab")
    dialog.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Acme AI saved.")).to_be_visible()
    page.locator(".st-key-edit_acme button").click()
    expect(page.get_by_role("dialog").get_by_role("textbox", name="API key")).to_have_value("")
    with psycopg.connect(committed) as connection:
        masked = connection.execute("SELECT api_key_masked FROM llm_providers").fetchone()

    assert masked == ("sk-new-...****",)


def test_key_typed_for_one_provider_reaches_no_other(page: Page, committed: str) -> None:
    """A key that was typed and abandoned is not in the next dialog, and is not stored with its provider."""
    page.locator(".st-key-edit_acme button").click()
    page.get_by_test_id("stDialog").get_by_role("textbox", name="API key").fill(f"{CANARY}-abandoned")
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Add provider").click()
    dialog = page.get_by_test_id("stDialog")
    expect(dialog.get_by_role("textbox", name="API key")).to_have_value("")
    dialog.get_by_role("textbox", name="Display name").fill("Second")
    dialog.get_by_role("textbox", name="Name", exact=True).fill("second")
    models = dialog.get_by_role("combobox", name="Models")
    models.fill("m")
    models.press("Enter")
    models.press("Escape")
    dialog.get_by_role("button", name="Add provider").click()
    expect(page.locator(".st-key-card_second")).to_contain_text("No key")
    with psycopg.connect(committed) as connection:
        masks = connection.execute("SELECT name, api_key_masked FROM llm_providers ORDER BY name").fetchall()

    assert masks == [("acme", "sk-proj...****"), ("second", None)]


def test_nothing_typed_is_thrown_away_by_a_slip(page: Page) -> None:
    """Escape, or a click beside it, closes no dialog with fields or with what is shown once; a reload asks first."""
    asked: list[str] = []
    page.on("dialog", lambda question: (asked.append(question.type), question.dismiss()))

    def stays(field: Locator) -> None:
        for _ in range(2):
            page.keyboard.press("Escape")
            page.mouse.click(5, 5)
        expect(field).to_be_visible()

    page.get_by_role("button", name="Add provider").click()
    name = page.get_by_role("dialog").get_by_role("textbox", name="Display name")
    name.fill("Half typed")
    stays(name)
    expect(name).to_have_value("Half typed")
    with pytest.raises(Error):
        page.reload(timeout=2_000)
    assert asked == ["beforeunload"]
    expect(name).to_have_value("Half typed")
    page.get_by_role("button", name="Cancel").click()

    page.get_by_test_id("stSidebarNav").get_by_text("API tokens").click()
    page.get_by_role("button", name="Make token").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("textbox", name="Name").fill("a program")
    dialog.get_by_role("button", name="Make token").click()
    stays(dialog.get_by_text("llms_").first)


def test_error_stands_beside_its_field_and_loses_nothing(page: Page) -> None:
    """A refused save names each field and its rule, and what was typed stays."""
    page.get_by_role("button", name="Add provider").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("textbox", name="Display name").fill("Second")
    dialog.get_by_role("textbox", name="Name", exact=True).fill("Not A Name")
    dialog.get_by_role("textbox", name="Base URL").fill("ftp://host")
    dialog.get_by_role("button", name="Add provider").click()

    expect(dialog.get_by_text("Must be 1 to 50 of the characters")).to_be_visible()
    expect(dialog.get_by_text("Must begin with")).to_be_visible()
    expect(dialog.get_by_text("Must be a list of 1 to 5,000 model names")).to_be_visible()
    expect(dialog.get_by_role("textbox", name="Name", exact=True)).to_have_value("Not A Name")
    expect(dialog.get_by_role("textbox", name="Base URL")).to_have_value("ftp://host")


def test_second_of_two_admins_chooses(page: Page, app: App, browser: Browser, committed: str) -> None:
    """CHECKS 59: the second to save sees both values and who, writes theirs on purpose, and nothing is lost unseen."""
    other = browser.new_page()
    enter(other, app.url, "admin")
    for editor, name in ((page, "By the first"), (other, "By the second")):
        editor.locator(".st-key-edit_acme button").click()
        editor.get_by_role("dialog").get_by_role("textbox", name="Display name").fill(name)
    page.get_by_role("dialog").get_by_role("button", name="Save").click()
    expect(page.locator(".st-key-card_acme")).to_contain_text("By the first")
    other.get_by_role("dialog").get_by_role("button", name="Save").click()

    dialog = other.get_by_role("dialog")
    expect(dialog.get_by_text(re.compile("admin saved it .*, while you were editing"))).to_be_visible()
    row = dialog.get_by_role("row", name=re.compile("Display name"))
    expect(row).to_contain_text("By the first")
    expect(row).to_contain_text("By the second")
    dialog.get_by_role("button", name="Write mine").click()
    expect(other.locator(".st-key-card_acme")).to_contain_text("By the second")
    with psycopg.connect(committed) as connection:
        stored = connection.execute("SELECT display_name, version FROM llm_providers").fetchone()
    other.close()

    assert stored is not None
    assert stored[0] == "By the second"


def test_delete_wants_the_name(page: Page) -> None:
    """Deleting says what goes with it and wants the name typed; afterwards the empty page says what to do next."""
    page.locator(".st-key-more_acme button").click()
    page.get_by_role("menuitem", name="Delete").click()
    dialog = page.get_by_test_id("stDialog")
    expect(dialog.get_by_text("its API key sk-proj")).to_be_visible()
    expect(page.get_by_role("menuitem", name="Delete")).to_have_count(0)  # the menu does not stay over the dialog
    dialog.get_by_role("button", name="Delete").click()
    expect(dialog.get_by_text("Type acme exactly to delete it")).to_be_visible()
    dialog.get_by_role("textbox", name="to confirm").fill("acme")
    dialog.get_by_role("button", name="Delete").click()

    expect(page.get_by_text("There is no provider yet. Add the first one")).to_be_visible()


def test_database_that_goes_and_comes_back(page: Page, committed: str) -> None:
    """With the database away an open page says so in a sentence; once it is back, Try again goes on, still signed in."""
    name = committed.partition("?")[0].rpartition("/")[2]
    with psycopg.connect(named(committed, "postgres"), autocommit=True) as admin:
        admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
        page.get_by_role("link", name="Defaults", exact=True).click()
        expect(page.get_by_text("The database cannot be reached")).to_be_visible()
        admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
    page.get_by_role("button", name="Try again").click()

    expect(page.get_by_role("heading", name="Defaults")).to_be_visible()
    expect(page.get_by_text("Signed in as")).to_be_visible()


def test_nothing_typed_is_lost_while_the_database_is_away(page: Page, committed: str) -> None:
    """A field and a save that find the database away say so in the dialog; what was typed stays, and with it back is saved."""
    name = committed.partition("?")[0].rpartition("/")[2]
    page.locator(".st-key-edit_acme button").click()
    dialog = page.get_by_role("dialog")
    field = dialog.get_by_role("textbox", name="Display name")
    field.fill("Typed before the outage")
    save = dialog.get_by_role("button", name="Save")
    for act in (lambda: field.press("Tab"), save.click):  # the field's own run fails, then the save
        with psycopg.connect(named(committed, "postgres"), autocommit=True) as admin:
            admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
            admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
            act()
            expect(dialog.get_by_text("The database cannot be reached")).to_be_visible()
            admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
        dialog.get_by_role("button", name="Try again").click()
        expect(save).to_be_visible()
        settled(page)
        expect(field).to_have_value("Typed before the outage")
    save.click()

    expect(page.locator(".st-key-card_acme")).to_contain_text("Typed before the outage")


class _Beacon(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.server.seen.append(self.path)  # type: ignore[attr-defined]  # set below
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is given
        """Be quiet."""


def test_hostile_names_are_text(page: Page, committed: str) -> None:
    """CHECKS 51: markup, scripts and remote images in names, descriptions and models are shown as typed; nothing is asked."""
    beacon = ThreadingHTTPServer(("127.0.0.1", 0), _Beacon)
    beacon.seen = []  # type: ignore[attr-defined]  # what it was asked
    threading.Thread(target=beacon.serve_forever, daemon=True).start()
    image = f"![x](http://127.0.0.1:{beacon.server_port}/x)"
    hostile = f"{image} <script>alert(1)</script> :red[hot] [y](javascript:alert(2)) =1+1 $x^2$ \u202etxt"[:100]
    with psycopg.connect(committed, autocommit=True) as connection:
        connection.execute(
            "UPDATE llm_providers SET display_name = %s, description = %s,"
            " available_models = jsonb_build_array(%s::text, 'm1'), default_model = %s",
            [hostile, hostile, hostile, hostile],
        )
    page.on("dialog", lambda dialog: pytest.fail(f"a script ran: {dialog.message}"))
    for link in ("Defaults", "Effective Preview", "Providers"):
        page.get_by_role("link", name=link, exact=True).click()
        expect(page.get_by_role("heading", name=link)).to_be_visible()
        settled(page)
    expect(page.locator(".st-key-card_acme")).to_contain_text(":red[hot]")
    page.locator(".st-key-edit_acme button").click()
    expect(page.get_by_role("dialog").get_by_role("textbox", name="Display name")).to_have_value(hostile)
    beacon.shutdown()

    assert beacon.seen == []  # type: ignore[attr-defined]
    expect(page.locator("main img[src^='http']")).to_have_count(0)
    expect(page.locator("main a[href^='javascript']")).to_have_count(0)


def test_wrong_key_is_a_state_of_the_row(committed: str, browser: Browser, tmp_path: Path) -> None:
    """CHECKS 42: with another encryption key the list works, the row says so with its cure, and nothing is sealed until the operator says that the old key is lost."""
    with db.transaction() as session:
        providers.create(session, COMMAND_LINE, PROVIDER)
        blob = providers.get_by_name(session, "acme").api_key_encrypted or ""
    wrong = {"LLM_ENCRYPTION_KEY": "fedcba9876543210" * 4, "LLM_ADMIN_PASSWORD": PASSWORD, "DATABASE_URL": committed}
    with running_app(tmp_path / "log", **wrong) as app:
        page = browser.new_page()
        sign_in(page, app.url, "admin", PASSWORD)
        card = page.locator(".st-key-card_acme")
        expect(card.get_by_text("Key unreadable")).to_be_visible()
        expect(card.get_by_text("LLM_ENCRYPTION_KEYS_EXTRA")).to_be_visible()
        assert blob not in page.content()
        page.locator(".st-key-edit_acme button").click()
        dialog = page.get_by_role("dialog")
        dialog.get_by_role("textbox", name="API key").fill(CANARY)
        dialog.get_by_role("button", name="Save").click()
        expect(dialog.get_by_text("is not the key this database was used with")).to_be_visible()
        expect(dialog.get_by_role("textbox", name="API key")).to_have_value(CANARY)
        db.get_engine().dispose()  # this process has the lost key only: while it is connected, rotate refuses
        given_up = core("keys", "rotate", "--old-key-lost", **wrong)
        assert (given_up.returncode, given_up.stderr) == (1, "")
        assert "Left as it is: acme (" in given_up.stdout
        dialog.get_by_role("button", name="Save").click()
        expect(card.get_by_text("Key unreadable")).to_have_count(0)
        page.close()

    assert core("keys", "check", **wrong).returncode == 0


def test_thousand_providers_stay_quick_to_page(page: Page, committed: str) -> None:
    """With 1,000 providers the page shows 15 rows, finds one by its model as it is typed, and pages back and forth.

    One change for ten of those that a search finds goes by the keyboard alone, in a narrow window.
    """
    with psycopg.connect(committed, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO llm_providers (name, display_name, kind, available_models)"
            " SELECT 'p' || n, 'Provider ' || lpad(n::text, 4, '0'), 'openai', jsonb_build_array('model-' || n)"
            " FROM generate_series(1, 999) n"
        )
    page.get_by_role("link", name="Providers").click()
    expect(page.get_by_text("1 to 15 of 1000")).to_be_visible()
    expect(page.locator("[class*='st-key-card_']")).to_have_count(15)
    page.get_by_role("button", name="Next").click()
    expect(page.get_by_text("16 to 30 of 1000")).to_be_visible()
    search = page.get_by_role("textbox", name="Search")
    search.fill("model-777")  # found as it is typed
    expect(page.locator(".st-key-card_p777")).to_be_visible()
    expect(page.locator("[class*='st-key-card_']")).to_have_count(1)
    expect(page).to_have_url(re.compile(r"/providers\?search=model-777$"))  # and no more the second page
    search.fill("model-77")
    expect(page.locator("[class*='st-key-card_']")).to_have_count(11)
    _change_several_by_keyboard(page)
    with psycopg.connect(committed) as connection:
        query = "SELECT p.name, s.max_retries FROM llm_settings s JOIN llm_providers p ON p.id = s.provider_id"
        assert sorted(connection.execute(query).fetchall()) == [(f"p77{each}", 7) for each in range(10)]
    search.fill("")
    expect(page.get_by_text("1 to 15 of 1000")).to_be_visible()
    expect(page).to_have_url(re.compile(r"/providers$"))


def _change_several_by_keyboard(page: Page) -> None:
    """Give all that are found but p77 seven retries."""
    page.set_viewport_size({"width": 420, "height": 900})
    page.get_by_role("button", name="Select several").press("Enter")
    page.get_by_role("button", name="Select all 11").press("Enter")
    expect(page.get_by_text("11 providers selected")).to_be_visible()
    box = page.get_by_role("checkbox", name="Select Provider 0077", exact=True)
    expect(box).to_be_checked()
    box.press("Space")
    expect(page.get_by_text("10 providers selected")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 420
    page.get_by_role("button", name="Change them").press("Enter")
    dialog = page.get_by_role("dialog")
    field = dialog.get_by_role("combobox", name="What to change")
    field.fill("Max retries")
    expect(page.get_by_role("option", name="Max retries")).to_be_visible()
    field.press("Enter")
    number = dialog.get_by_role("spinbutton", name="Max retries")
    number.fill("7")
    number.press("Enter")
    expect(dialog.get_by_role("row", name=re.compile("Provider 0770"))).to_contain_text("inherits 3")
    dialog.get_by_role("textbox", name="Reason").fill("a flaky gateway")
    dialog.get_by_role("button", name="Change 10 providers").press("Enter")
    expect(dialog).to_have_count(0)
    expect(page.get_by_text("Max retries is changed at 10 providers.")).to_be_visible()
    page.get_by_role("button", name="Done", exact=True).press("Enter")
    expect(page.get_by_role("button", name="Edit Provider 0770")).to_be_visible()
    page.set_viewport_size({"width": 1280, "height": 720})


def test_address_of_a_page_is_the_same_for_every_role(app: App, browser: Browser, committed: str) -> None:
    """What one copies from the address bar opens for the other role: the same page, at the same address, with its query.

    From the sign-in on, a page loads from the app alone, its icon too, and our content security policy refuses nothing.
    """
    core("users", "add", "anna", "--role", "analyst", stdin=PASSWORD, DATABASE_URL=committed)
    said: list[str] = []
    elsewhere: list[str] = []
    for username, role in (("admin", "admin"), ("anna", "analyst")):
        page = browser.new_page()
        page.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
        page.on(
            "request", lambda request: elsewhere.append(request.url) if not request.url.startswith(app.url) else None
        )
        sign_in(page, app.url, username, PASSWORD)
        first = names_for(role)[0]
        page.goto(f"{app.url}/?provider=acme&second=b%20c")
        expect(page.get_by_role("heading", name=SCREENS[first].title, exact=True)).to_be_visible()
        expect(page).to_have_url(re.compile(rf"^{re.escape(app.url)}/{first}\?provider=acme&second=b(%20|\+)c$"))
        for name in share(f"addresses {role}", names_for(role)):
            page.goto(f"{app.url}/{name}?provider=acme")
            expect(page.get_by_role("heading", name=SCREENS[name].title, exact=True)).to_be_visible()
            expect(page.get_by_text("Page not found")).to_have_count(0)
            expect(page).to_have_url(f"{app.url}/{name}?provider=acme")
            expect(page.locator("link[rel*=icon]")).to_have_attribute(
                "href", re.compile(r"^(data:image/svg|.*/media/)")
            )
        menu = page.get_by_test_id("stSidebarNavLink")
        expect(menu).to_have_count(len(names_for(role)))
        addresses = [str(link.get_attribute("href")).rsplit("/", 1)[-1] for link in menu.all()]
        assert addresses == names_for(role)
        page.close()

    # Below an address like /providers Streamlit's script looks for its server first under that address, which is a 404
    assert [text for text in said if "404 (Not Found)" not in text] == []
    assert [url for url in elsewhere if not url.startswith(("data:", "blob:"))] == []


def test_analyst_is_offered_their_page_alone(app: App, browser: Browser, committed: str) -> None:
    """An analyst sees Effective Preview, neither mask nor base URL, and is denied an admin's page by its address."""
    core("users", "add", "alan", "--role", "analyst", stdin=PASSWORD, DATABASE_URL=committed)
    page = browser.new_page()
    sign_in(page, app.url, "alan", PASSWORD)
    expect(page.get_by_role("heading", name="Effective Preview")).to_be_visible()
    expect(page.get_by_role("row", name=re.compile("^Temperature"))).to_contain_text("0.7")
    settled(page)
    text = page.content()
    assert page.get_by_role("link", name="Providers").count() == 0
    assert "sk-proj" not in text
    assert "api.openai.com" not in text
    page.goto(f"{app.url}/providers")
    expect(page.get_by_text("Admin access required. Ask an admin, or open a page from the menu.")).to_be_visible()
    expect(page.get_by_text("Page not found")).to_have_count(0)
    expect(page.get_by_text("Acme AI", exact=True)).to_have_count(0)
    expect(page.get_by_test_id("stSidebarNavLink")).to_have_count(len(names_for("analyst")))
    page.close()
