"""Secrets as commands take them: from standard input, or a variable of the environment. Never as an argument, which others see."""

import codecs
import getpass
import os
import sys
from typing import Annotated, Final

import typer

from .. import env_file
from ..errors import Invalid

FromEnv = Annotated[
    str | None,
    typer.Option("--from-env", metavar="VARIABLE", help="Read it from this variable, not from standard input."),
]
_LONGEST: Final = 32_768
"""Bytes of standard input that are looked at."""


def secret(what: str, from_env: str | None) -> str:
    """Return a secret: of the variable *from_env*, else asked for without echo, or the first line of standard input.

    Raises:
        Invalid: If the variable is not set.
    """
    if from_env is not None:
        if not os.environ.get(from_env):
            raise Invalid({from_env: "is not set in the environment"})
        return os.environ[from_env]
    if sys.stdin.isatty():
        return getpass.getpass(f"{what}: ")
    return first_line(f"{what} on standard input")


def first_line(what: str) -> str:
    """Read the first line of standard input, as Windows writes it too: a mark or a CR is no part of a secret."""
    raw = sys.stdin.buffer.readline(_LONGEST)
    if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raw += sys.stdin.buffer.read(_LONGEST)  # a line break is two bytes there, of which one was read
    return env_file.decoded(raw, what).partition("\n")[0].removesuffix("\r")
