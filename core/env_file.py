"""The one reader of ``.env`` files, for the app, the command line and the import: python-dotenv, as ``uvicorn --env-file``.

Standard library alone at import; python-dotenv is of the extra ``cli``.
"""

import codecs
import io
import os
from collections import Counter
from pathlib import Path
from typing import Final, NamedTuple

from .errors import BadConfig

_MARKS: Final = (
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_LARGEST: Final = 1024 * 1024
"""Bytes; more is no .env file."""


class EnvFile(NamedTuple):
    """What is in a ``.env`` file."""

    values: dict[str, str]
    """Name -> value, ``${NAME}`` replaced; a name without ``=`` is left out."""
    raw: dict[str, str]
    """Name -> what was written, before ``${NAME}`` was replaced."""
    unread: tuple[int, ...]
    """Numbers of the lines that are no ``NAME=value``."""
    twice: tuple[str, ...] = ()
    """Names that stand there more than once: the last value counts."""

    def as_written(self) -> dict[str, str]:
        """Return the values; where ``${NAME}`` led to nothing, what was written: it was meant to be something."""
        return {name: value or self.raw.get(name, "") for name, value in self.values.items()}


def load(path: Path = Path(".env")) -> None:
    """Put the variables of *path* into the environment, where not already set. Missing file: nothing.

    Raises:
        BadConfig: If the file cannot be read, or python-dotenv is not installed.
    """
    if path.is_file():
        for name, value in read(path).values.items():
            os.environ.setdefault(name, value)


def read(path: Path) -> EnvFile:
    """Read a file in UTF-8, or in UTF-16 or UTF-32 with a mark, as PowerShell writes it.

    Raises:
        BadConfig: As :func:`load`, and if *path* is no file.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST + 1)
    except OSError as error:
        raise BadConfig(f"{path} cannot be read: {error.strerror}.") from error
    if len(content) > _LARGEST:
        raise BadConfig(f"{path} is larger than 1 MB: that is no .env file.")
    return parse(decoded(content, str(path)))


def pasted(text: str) -> EnvFile:
    """Read what somebody has pasted. ``${NAME}`` stays as it is written: the environment of this process is not theirs to read.

    Raises:
        BadConfig: If it is larger than 1 MB or no text, or if python-dotenv is not installed.
    """
    content = text.encode(errors="replace")
    if len(content) > _LARGEST:
        raise BadConfig("What you pasted is larger than 1 MB: that is no .env file.")
    return parse(decoded(content, "What you pasted"), replaces=False)


def parse(text: str, *, replaces: bool = True) -> EnvFile:
    """Read the text of a ``.env`` file, by the rules of python-dotenv; raises BadConfig if that is not installed.

    *replaces* is whether ``${NAME}`` is replaced, from the file and from the environment.
    """
    try:
        from dotenv.main import DotEnv  # noqa: PLC0415 - of the extra `cli`; services read no .env file
        from dotenv.parser import parse_stream  # noqa: PLC0415
    except ModuleNotFoundError:
        raise BadConfig("A .env file is here, and reading it needs an extra: pip install 'llm-settings[cli]'") from None
    text = text.replace("\r\n", "\n").replace("\r", "\n")  # as a file that is opened as text
    bindings = list(parse_stream(io.StringIO(text)))
    raw = {found.key: found.value for found in bindings if found.key is not None and found.value is not None}
    unread = tuple(found.original.line for found in bindings if found.error)
    values = DotEnv(None, io.StringIO(text), interpolate=replaces, override=False).dict()
    times = Counter(found.key for found in bindings if found.key is not None and found.value is not None)
    return EnvFile(
        {name: value for name, value in values.items() if value is not None},
        raw,
        unread,
        tuple(name for name, number in times.items() if number > 1),
    )


def decoded(content: bytes, name: str) -> str:
    """Return the text of a file, or of what came on standard input, without the mark before it.

    Raises:
        BadConfig: With *name*, if it is neither in UTF-8 nor in UTF-16 or UTF-32 with a mark.
    """
    encoding = next((name for mark, name in _MARKS if content.startswith(mark)), "utf-8")
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:  # also UTF-16 without its mark, which every other byte of it gives away
        raise BadConfig(f"{name} is not in UTF-8, nor in UTF-16 with a mark: save it as UTF-8.") from None
    return text
