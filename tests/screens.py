"""The pages for tests: each as a person opens it, in this process, behind the entry file."""

import re
from html import unescape
from typing import Any
from weakref import WeakKeyDictionary

from streamlit.testing.v1 import AppTest

from core.actors import Actor
from tests.conftest import ROOT
from web import runs

PAGES = sorted(path for path in (ROOT / "pages").glob("*.py") if path.stem != "__init__")
"""The files of the pages, whatever the product's own table says of them."""


def open_page(name: str, actor: Actor, **query: str) -> AppTest:
    """Return the page *name* as *actor* sees it, with a query in its address."""
    at = AppTest.from_file(str(ROOT / "streamlit_app.py"), default_timeout=30)
    at.session_state["actor"] = actor
    runs.keep_modules_out_of_collections()  # as in the app: else most of each run is a collection
    at.switch_page(f"pages/{name}.py")
    for key, value in query.items():
        at.query_params[key] = value
    at.run()
    assert not at.exception
    _draw_all(at)
    return at


def _draw_all(at: AppTest) -> None:
    """Have *at* hold the whole page after each run: of a run that draws parts alone it would hold those only."""
    run, toasts = at._run, _TOASTS.setdefault(at, [])

    def run_and_draw_all(*arguments: Any, **more: Any) -> AppTest:
        run(*arguments, **more)
        toasts[:] = [toast.value for toast in at.toast]
        if not at.title and not at.exception:
            run()
            toasts[:] = [*toasts, *(toast.value for toast in at.toast)]
        return at

    at._run = run_and_draw_all  # type: ignore[method-assign]


_TOASTS: WeakKeyDictionary[AppTest, list[str]] = WeakKeyDictionary()


def toasts(at: AppTest) -> list[str]:
    """Return what the toasts of the last press said."""
    return _TOASTS[at]


def click(at: AppTest, key: str) -> AppTest:
    """Press a button."""
    at.button(key=key).click().run()
    assert not at.exception
    return at


def pick(at: AppTest, key: str, words: str) -> AppTest:
    """Choose in a menu the line that ends with *words*."""
    menu = at.menu_button(key=key)
    menu.click(next(option for option in menu.options if option.endswith(words))).run()
    assert not at.exception
    return at


def offers(at: AppTest, key: str, words: str) -> bool:
    """Tell whether a menu has a line that ends with *words*."""
    return any(option.endswith(words) for option in at.menu_button(key=key).options)


def html_texts(at: AppTest) -> list[str]:
    """Return what a page shows as HTML, as a person reads it."""
    return [unescape(re.sub(r"<style>.*?</style>|<[^>]*>", " ", element.value, flags=re.DOTALL)) for element in at.html]


def samples(at: Any) -> list[str]:
    """Return the samples of code that a page shows, or a part of it."""
    found = [re.search(r'<pre class="sample">(.*)</pre>', element.value, re.DOTALL) for element in at.html]
    return [unescape(re.sub(r"<[^>]*>", "", match[1])) for match in found if match]


def has(at: AppTest, key: str) -> bool:
    """Tell whether there is such a button."""
    return any(button.key == key for button in at.button)


def everything(at: AppTest) -> str:
    """Return all text that a page shows, as Markdown, plain text and code; of a line that opens its label."""
    kinds = ("markdown", "caption", "text", "warning", "error", "success", "info", "code")
    shown = [element.value for kind in kinds for element in getattr(at, kind)]
    return "\n".join([*shown, *html_texts(at), *(expander.label for expander in at.expander)])
