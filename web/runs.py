"""One run of a page's script: its id, for the log and for the person who sees an error, and its count for Prometheus.

Streamlit runs callbacks, the script, dialogs and fragments of one message from the browser in one call of
``ScriptRunner._run_script``, in a thread of the session: the only place where each run, of whatever kind, begins.
"""

import time
from functools import wraps
from typing import Any, Final

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx
from streamlit.runtime.scriptrunner.script_runner import ScriptRunner

from core import request_ids
from web import metrics

NO_PAGE: Final = "none"
"""Label of a run that is of no page: nobody is signed in, or there is no such page."""


def give_ids() -> None:
    """Give each run of a page from now on an id of its own, and count it."""
    run: Any = ScriptRunner._run_script  # noqa: SLF001 - see above
    if hasattr(run, "__wrapped__"):
        return

    @wraps(run)
    def with_id(runner: ScriptRunner, rerun_data: Any) -> None:
        request_ids.begin()
        began = time.perf_counter()
        try:
            run(runner, rerun_data)
        finally:
            metrics.PAGE_RUNS.labels(_page()).observe(time.perf_counter() - began)
            metrics.PAGE_ERRORS.labels(_page())  # from 0 on: Prometheus sees no increase in a series that begins with 1

    ScriptRunner._run_script = with_id  # type: ignore[method-assign, assignment]  # noqa: SLF001 - as above


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
