"""How the process is put together around the pages: configuration, the store's life, whom to believe. For streamlit_app.py."""

import logging
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import anyio
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from core import env_file, log_lines, redaction
from core.config import choose_log_format, get_config
from core.errors import BadConfig
from core.govern import jobs
from core.govern.audit_lines import AuditLines
from core.govern.outbox import Outbox
from core.manage import bootstrap
from core.resolve import Resolver
from core.store import db
from web import connections, runs
from web.request import Proxies


def prepare() -> None:
    """Read the configuration and bound the connections; a malformed configuration ends the process here, in one sentence."""
    redaction.set_up_logging()
    reachable = False
    with suppress(RuntimeError):  # no HOME, and a user without an entry in passwd: usual in containers
        reachable = os.access(Path.home(), os.X_OK)
    if not reachable:
        os.environ["HOME"] = "/nonexistent"  # Streamlit looks for files of its user there, and would fail each request
    try:
        choose_log_format()
        env_file.load()
        choose_log_format()
        db.be("app")
        bootstrap.check_configuration()
    except BadConfig as error:
        sys.exit(log_lines.sentence(f"Not started: {error}", "CRITICAL"))
    # By default uvicorn believes X-Forwarded-For of every peer at 127.0.0.1, and puts it in the peer's place. Whom to
    # believe is for LLM_TRUSTED_PROXIES to say, and web/middleware.py has to see the real peer. uvicorn wraps the app later.
    ProxyHeadersMiddleware.__call__ = _passed_on  # type: ignore[method-assign, assignment]  # as above
    connections.bound(Proxies(get_config().trusted_proxies).trusts)
    connections.raise_file_limit()
    runs.give_ids()
    runs.keep_pages_apart()
    runs.leave_out_what_no_widget_takes()
    runs.begin_with_the_entry()


def lifespan_with(resolver: Resolver) -> Callable[[Any], AbstractAsyncContextManager[None]]:
    """Return the app's lifespan: while the process serves, *resolver* follows the store, and what is due is done and told."""

    @asynccontextmanager
    async def lifespan(_app: Any) -> AsyncIterator[None]:
        logging.getLogger("uvicorn.error").setLevel(logging.INFO)  # Streamlit has silenced it: it says where we serve
        store = bootstrap.running()
        await anyio.to_thread.run_sync(store.__enter__)  # starting and stopping takes a moment: not on the event loop
        resolver.start()
        periodic = jobs.Runner()
        periodic.start()
        outbox = Outbox()
        outbox.start()
        audit_lines = AuditLines()
        audit_lines.start()
        try:
            yield
        finally:
            await anyio.to_thread.run_sync(outbox.close)
            await anyio.to_thread.run_sync(periodic.close)
            await anyio.to_thread.run_sync(audit_lines.close)
            await anyio.to_thread.run_sync(resolver.close)
            await anyio.to_thread.run_sync(store.__exit__, None, None, None)

    return lifespan


async def _passed_on(proxy_headers: Any, scope: Any, receive: Any, send: Any) -> None:
    await proxy_headers.app(scope, receive, send)
