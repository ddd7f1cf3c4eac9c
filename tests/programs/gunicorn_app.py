"""A WSGI service under gunicorn: `gunicorn --workers 4 tests.programs.gunicorn_app:app`, with or without --preload."""

import json
import os
from collections.abc import Callable, Iterable

from core.resolve import resolve

if os.environ.get("RESOLVE_AT_IMPORT"):
    resolve("openai")  # with --preload in the master, before it forks


def app(_environ: object, start_response: Callable[[str, list[tuple[str, str]]], object]) -> Iterable[bytes]:
    """Say what this worker has."""
    settings = resolve("openai")
    said = {
        "pid": os.getpid(),
        "status": settings.status,
        "temperature": settings.temperature,
        "key": settings.api_key()[-4:],
    }
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(said).encode()]
