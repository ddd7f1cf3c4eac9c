"""An asyncio service: `uvicorn tests.programs.asgi_app:app`. It waits for its settings at start-up, and never after."""

import asyncio
import json
import os
import time
from typing import Any

from core.resolve import resolve, resolver

longest = 0.0
"""Seconds that the event loop stood still at a stretch."""


async def _watch() -> None:
    global longest
    last = time.monotonic()
    while True:
        await asyncio.sleep(0.005)
        now = time.monotonic()
        longest, last = max(longest, now - last), now


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Say what this process has, and how long its loop has ever stood still."""
    if scope["type"] == "lifespan":
        await receive()
        scope["state"]["watch"] = asyncio.create_task(_watch())
        await asyncio.sleep(0.05)
        await resolver.start()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        scope["state"]["watch"].cancel()
        await send({"type": "lifespan.shutdown.complete"})
        return
    settings = resolve("openai")
    said = {
        "pid": os.getpid(),
        "status": settings.status,
        "temperature": settings.temperature,
        "key": settings.api_key()[-4:] if settings.status == "ok" else None,
        "longest": longest,
    }
    headers = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(said).encode()})
