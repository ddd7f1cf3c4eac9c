"""The whole app with one more route: raw ASGI, the least that a request can cost here."""

import streamlit as st
from starlette.middleware import Middleware as Wrapped
from starlette.routing import Mount
from starlette.types import Receive, Scope, Send

from api.app import api
from api.effective import resolver
from tests.conftest import ROOT
from web import process
from web.middleware import Middleware

BODY = b'{"success":true,"data":{' + b",".join(b'"value%d":0.7' % i for i in range(60)) + b"}}"
HEADERS = [(b"content-type", b"application/json"), (b"content-length", str(len(BODY)).encode())]


async def raw(_scope: Scope, _receive: Receive, send: Send) -> None:
    """Answer a kilobyte of JSON."""
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
    await send({"type": "http.response.body", "body": BODY})


process.prepare()
app = st.App(
    ROOT / "streamlit_app.py",
    lifespan=process.lifespan_with(resolver),
    routes=[Mount("/raw", app=raw), Mount("/api", app=api)],
    middleware=[Wrapped(Middleware)],
)
