"""The whole process. Served by `uvicorn asgi:app`; a malformed configuration ends it here, in one sentence."""

import logging
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import streamlit as st
from starlette.middleware import Middleware as Wrapped

from core import bootstrap, crypto, redaction
from core.errors import BadConfig
from ui.middleware import Middleware

redaction.set_up_logging()
try:
    crypto.get_ring()
except BadConfig as error:
    sys.exit(f"Not started: {error}")


@asynccontextmanager
async def lifespan(_app: Any) -> AsyncIterator[None]:
    """Hold the store while the process serves: starting and stopping it takes a moment, so not on the event loop."""
    logging.getLogger("uvicorn.error").setLevel(logging.INFO)  # Streamlit has silenced it: it says where we serve
    store = bootstrap.running()
    await anyio.to_thread.run_sync(store.__enter__)
    try:
        yield
    finally:
        await anyio.to_thread.run_sync(store.__exit__, None, None, None)


app = st.App(Path(__file__).with_name("streamlit_app.py"), lifespan=lifespan, middleware=[Wrapped(Middleware)])
