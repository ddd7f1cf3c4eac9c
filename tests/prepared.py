"""Run ``python -m core``, ``python -m uvicorn`` or a program of a few lines in forks of one process that has imported what they
import of others.

A process of its own for each run, with its own environment, folder and standard streams, and a real end of the
interpreter: what is saved is the second or two that each start imports. :mod:`tests.processes` asks; ends with its asker.
"""

import contextlib
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import struct
import sys
from typing import Any

from sqlalchemy import orm

IMPORTED = {
    "core": (
        "typer",
        "sqlmodel",
        "psycopg",
        "alembic.command",
        "alembic.autogenerate",
        "bcrypt",
        "zxcvbn",
        "typer.rich_utils",
        "rich.columns",
        "core.commands.app",
    ),
    "uvicorn": (
        "uvicorn.main",
        "uvicorn.lifespan.on",
        "uvicorn.loops.auto",
        "uvicorn.protocols.http.auto",
        "uvicorn.protocols.websockets.auto",
        "streamlit",
        "streamlit.starlette",
        "fastapi.staticfiles",
        "fastapi_offline",
        "limits.storage",
        "limits.strategies",
        "prometheus_client",
        "sqlmodel",
        "psycopg",
        "alembic.command",
        "alembic.autogenerate",
        "bcrypt",
        "zxcvbn",
        "cryptography.hazmat.primitives.ciphers.aead",
        "requests",
        "jsonschema",
        "pandas",
        "pyarrow.compute",
        "altair",
        "openai.types",
        "captcha.image",
        "cryptography.fernet",
        "cryptography.x509",
        "jwt",
        "yaml",
        "api.app",
        "web.middleware",
        "web.process",
        "web.runs",
    ),
    "tests.programs.program": (
        "psycopg",
        "cryptography.hazmat.primitives.ciphers.aead",
        "openai",
        "openai.resources.chat",
        "openai.resources.embeddings",
        "openai.types.chat",
        "anthropic",
        "anthropic.resources.messages",
        "google.genai",
        "pydantic",
        "jsonschema",
        "asyncio",
    ),
}
"""Module that is run -> what it imports: others' code, and ours that only defines, as building the models of REST and of the
tables takes two seconds. By each run anew: what reads the environment, pages, and what Streamlit has to know of in the process."""


def serve(listener: socket.socket) -> Any:
    """Answer until standard input ends: the pid of a run, then its status. In a run, return what it is asked to be."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        ready, _, _ = select.select([0, listener], [], [])
        if 0 in ready:
            os._exit(0)
        connection, _ = listener.accept()
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            listener.close()
            _, streams, _, _ = socket.recv_fds(connection, 1, 3)
            size = struct.unpack("!I", connection.recv(4, socket.MSG_WAITALL))[0]
            question = json.loads(connection.recv(size, socket.MSG_WAITALL))
            child = os.fork()
            if child == 0:
                connection.close()
                return question, streams
            for stream in streams:
                os.close(stream)
            connection.sendall(struct.pack("!i", child))
            status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            with contextlib.suppress(OSError):
                connection.sendall(struct.pack("!i", status))
            os._exit(0)
        connection.close()


def become(question: Any, streams: list[int]) -> None:
    """Be a fresh ``python -m``: streams, environment, folder, words."""
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    for name, mode, number in (("stdin", "r", 0), ("stdout", "w", 1), ("stderr", "w", 2)):
        old = getattr(sys, name)
        new = open(number, mode, encoding=old.encoding, errors=old.errors, closefd=False)  # noqa: SIM115 - as long as the process
        new.reconfigure(write_through=mode == "w")
        setattr(sys, name, new)
        setattr(sys, f"__{name}__", new)
    os.environ.clear()
    os.environ.update(question["env"])
    os.chdir(question["cwd"])
    sys.argv = [question["module"], *question["arguments"]]
    if measured := "coverage" in sys.modules and sys.modules["coverage"].Coverage.current():
        measured.switch_context(os.environ.get("PYTEST_CURRENT_TEST", "").rpartition(" ")[0])


if __name__ == "__main__":
    module = sys.argv[2]
    for name in IMPORTED[module]:
        with contextlib.suppress(ImportError):  # of an extra
            importlib.import_module(name)
    orm.configure_mappers()
    gc.freeze()  # no fork writes to what it shares
    asked = serve(socket.socket(fileno=int(sys.argv[1])))
    become(*asked)
    runpy.run_module(module, run_name="__main__", alter_sys=True)
