"""The pages for tests: each as a person opens it, in this process, behind the entry file."""

from streamlit.testing.v1 import AppTest

from core.actors import Actor
from tests.conftest import ROOT

PAGES = sorted(path for path in (ROOT / "pages").glob("*.py") if path.stem != "__init__")
"""The files of the pages, whatever the product's own table says of them."""


def open_page(name: str, actor: Actor, **query: str) -> AppTest:
    """Return the page *name* as *actor* sees it, with a query in its address."""
    at = AppTest.from_file(str(ROOT / "streamlit_app.py"), default_timeout=30)
    at.session_state["actor"] = actor
    at.run()
    at.switch_page(f"pages/{name}.py")
    for key, value in query.items():
        at.query_params[key] = value
    at.run()
    assert not at.exception
    return at


def click(at: AppTest, key: str) -> AppTest:
    """Press a button."""
    at.button(key=key).click().run()
    assert not at.exception
    return at


def has(at: AppTest, key: str) -> bool:
    """Tell whether there is such a button."""
    return any(button.key == key for button in at.button)


def everything(at: AppTest) -> str:
    """Return all text that a page shows, as Markdown, plain text and code; of a line that opens its label."""
    kinds = ("markdown", "caption", "text", "warning", "error", "success", "info", "code")
    shown = [element.value for kind in kinds for element in getattr(at, kind)]
    return "\n".join([*shown, *(expander.label for expander in at.expander)])
