"""One run of a page's script: its id, for the log and for the person who sees an error, its count, and its page.

Streamlit runs callbacks, the script, dialogs and fragments of one message from the browser in one call of
``ScriptRunner._run_script``, in a thread of the session: the only place where each run, of whatever kind, begins.
"""

import gc
import logging
import sys
import threading
import time
from functools import wraps
from typing import Any, Final

import streamlit as st
from streamlit.runtime.pages_manager import PagesManager
from streamlit.runtime.scriptrunner import get_script_run_ctx
from streamlit.runtime.scriptrunner.script_runner import ScriptRunner
from streamlit.runtime.state.session_state import WStates

from core import request_ids
from web import metrics

_LOG: Final = logging.getLogger(__name__)
NO_PAGE: Final = "none"
"""Label of a run that is of no page: nobody is signed in, or there is no such page."""


_modules = 0
"""How many there were when the collector was last asked to leave them alone."""


def give_ids() -> None:
    """Give each run of a page from now on an id of its own, and count it."""
    run: Any = ScriptRunner._run_script  # noqa: SLF001 - see above
    if hasattr(run, "__wrapped__"):
        return

    @wraps(run)
    def with_id(runner: ScriptRunner, rerun_data: Any) -> None:
        request_ids.begin()
        began = time.perf_counter()
        if rerun_data.is_history_navigation:
            _keep_address(runner, rerun_data.page_script_hash)
        try:
            run(runner, rerun_data)
        finally:
            keep_modules_out_of_collections()
            metrics.PAGE_RUNS.labels(_page()).observe(time.perf_counter() - began)
            metrics.PAGE_ERRORS.labels(_page())  # from 0 on: Prometheus sees no increase in a series that begins with 1

    ScriptRunner._run_script = with_id  # type: ignore[method-assign, assignment]  # noqa: SLF001 - as above


def _keep_address(runner: ScriptRunner, page: str) -> None:
    """Let the page that Back leads to, or a link as Back does, have all that its address says.

    Streamlit takes out of it whatever has the name of a bound widget of the page that is left: a filter by provider on both
    was lost, and the step of Back with it.
    """
    of_the_page = {page, runner._pages_manager.main_script_hash}  # noqa: SLF001 - see above
    with runner._session_state.query_params() as known:  # noqa: SLF001 - as above
        for widget, bound in list(known._bindings_by_widget.items()):  # noqa: SLF001 - as above
            if bound.script_hash not in of_the_page:
                known.unbind_widget(widget)


def keep_modules_out_of_collections() -> None:
    """Have the garbage collector leave alone what is there now, if modules were imported since it was asked last.

    Streamlit runs a full collection after each run, and so in each click: with the half a million objects of our libraries,
    which never become garbage, it took three quarters of a click. Modules are imported a few times only, so little that is
    not theirs is ever kept with them.
    """
    global _modules  # noqa: PLW0603 - one number, and who loses the race only asks once more
    if (number := len(sys.modules)) != _modules:
        _modules = number
        gc.freeze()


def keep_pages_apart() -> None:
    """Let each run, from now on, draw the page that it was begun for.

    Streamlit keeps the page that is asked for once a session. Whoever clicks in the menu while a run is about to go on by
    `st.rerun` or `st.switch_page` starts a run beside it, and the first one then put its own page in that place: on a busy
    machine the click was lost every second time. Each run has a thread of its own, so each thread keeps its own.
    """
    for name in ("_intended_page_script_hash", "_intended_page_name"):
        setattr(PagesManager, name, _of_this_thread(name))


def leave_out_what_no_widget_takes() -> None:
    """Take a widget's value that Streamlit cannot read, from now on, for one that was not sent.

    No browser sends one. Streamlit reads values between two runs, too: there the error ended the session's thread, and
    nothing was drawn any more. For a widget that it does not know Streamlit does the same, by the same error.
    """
    read: Any = WStates.__getitem__
    if hasattr(read, "__wrapped__"):
        return

    @wraps(read)
    def or_none(states: WStates, key: str) -> Any:
        try:
            return read(states, key)
        except KeyError:
            raise
        except Exception as error:
            _LOG.warning("A value that its widget cannot read is left out: %s", type(error).__name__)
            raise KeyError(key) from error

    WStates.__getitem__ = or_none  # type: ignore[method-assign]


def begin_with_the_entry() -> None:
    """Let each page be drawn by the entry script, in its frame, also before it has named the pages for the first time.

    Of itself Streamlit serves a folder named pages file by file until then: who followed a link to a page of a new
    process had it without menu, style and scripts.
    """
    PagesManager.uses_pages_directory = False


def _of_this_thread(name: str) -> property:
    def values(manager: PagesManager) -> threading.local:
        local: threading.local = vars(manager).setdefault("of_this_thread", threading.local())
        return local

    def get(manager: PagesManager) -> Any:
        return getattr(values(manager), name, None)

    def put(manager: PagesManager, value: object) -> None:
        setattr(values(manager), name, value)

    return property(get, put)


def failed(_error: Exception) -> bool:
    """Count a run that ended by an exception, which Streamlit has logged, and show by which id it is found there."""
    metrics.PAGE_ERRORS.labels(_page()).inc()
    st.error(
        f"Something went wrong on this page. It is in the log, reference `{request_ids.current()}`. Reload the page; "
        "if it comes again, tell whoever runs LLM Settings this reference.",
        icon=":material/error:",
    )
    return True


def _page() -> str:
    """Return the page's address, one of those in the menu."""
    context = get_script_run_ctx(suppress_warning=True)
    if context is None:
        return NO_PAGE
    known = context.pages_manager.get_pages().get(context.page_script_hash)
    return (known and known.get("url_pathname")) or NO_PAGE
