"""The whole process. Served by `uvicorn asgi:app`; a malformed configuration ends it here, in one sentence."""

import logging
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import anyio
import streamlit as st
from starlette.middleware import Middleware as Wrapped
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from api.app import mounted
from api.effective import resolver
from core import env_file, redaction
from core.config import get_config
from core.errors import BadConfig
from core.manage import bootstrap
from web import connections
from web.middleware import Middleware
from web.request import Proxies

redaction.set_up_logging()
reachable = False
with suppress(RuntimeError):  # no HOME, and a user without an entry in passwd: usual in containers
    reachable = os.access(Path.home(), os.X_OK)
if not reachable:
    os.environ["HOME"] = "/nonexistent"  # Streamlit looks for files of its user there, and would fail each request
try:
    env_file.load()
    bootstrap.check_configuration()
except BadConfig as error:
    sys.exit(f"Not started: {error}")


@asynccontextmanager
async def lifespan(_app: Any) -> AsyncIterator[None]:
    """Hold the store while the process serves: starting and stopping it takes a moment, so not on the event loop."""
    logging.getLogger("uvicorn.error").setLevel(logging.INFO)  # Streamlit has silenced it: it says where we serve
    store = bootstrap.running()
    await anyio.to_thread.run_sync(store.__enter__)
    resolver.start()
    try:
        yield
    finally:
        await anyio.to_thread.run_sync(resolver.close)
        await anyio.to_thread.run_sync(store.__exit__, None, None, None)


async def _passed_on(proxy_headers: Any, scope: Any, receive: Any, send: Any) -> None:
    await proxy_headers.app(scope, receive, send)


# By default uvicorn believes X-Forwarded-For of every peer at 127.0.0.1, and puts it in the peer's place. Whom to believe
# is for LLM_TRUSTED_PROXIES to say, and web/middleware.py has to see the real peer. uvicorn wraps the app after this import.
ProxyHeadersMiddleware.__call__ = _passed_on
connections.bound(Proxies(get_config().trusted_proxies).trusts)
connections.raise_file_limit()

app = st.App(
    Path(__file__).with_name("streamlit_app.py"),
    lifespan=lifespan,
    routes=[mounted()],
    middleware=[Wrapped(Middleware)],
)
