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
