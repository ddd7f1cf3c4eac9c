"""Configurations of other products, as a document for `apply`."""

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from .. import env_file
from ..errors import BadConfig, Invalid
from ..govern.documents import emitting, parsing
from ..govern.importers.losses import Imported
from ..govern.importers.products import PRODUCTS

_NEXT = "Nothing is stored yet. Look the document over, set the variables that it names, and: python -m core apply -f FILE --dry-run"
_FILES = "; ".join(f"{each.name}: {each.file}" for each in PRODUCTS.values())


class ProductName(StrEnum):
    """What the command line calls the products: the names of :data:`~core.govern.importers.products.PRODUCTS`."""

    LITELLM = "litellm"
    LIBRECHAT = "librechat"
    OTARI = "otari"
    OPEN_WEBUI = "open-webui"
    LANGFUSE = "langfuse"
    ENV = "env"


def import_from(
    product: Annotated[ProductName, typer.Argument(help=f"Whose configuration it is. {_FILES}")],
    file: Annotated[Path, typer.Argument(help="Its file; - is standard input.")],
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="Where the document goes; else to standard output.")
    ] = None,
    env: Annotated[
        Path | None,
        typer.Option(
            help="A .env file with variables that the file names, for addresses, versions and models; no key is taken."
        ),
    ] = None,
) -> None:
    """Write a document of another product's configuration, and say what does not come over. Nothing is stored."""
    variables = env_file.read(env).as_written() if env else None
    found = PRODUCTS[product].read(_text(file), variables)
    text = emitting.written(found.document, ("version",))
    _say(found)
    if out is None:
        typer.echo(text, nl=False)
    else:
        out.write_text(text, encoding="utf-8")
        typer.echo(f"Written to {out}.", err=True)
    typer.echo(_NEXT, err=True)


def _text(file: Path) -> str:
    """Return the text of a file, which may have the mark of UTF-8 or UTF-16 before it.

    Raises:
        Invalid: If it is no text, or too long.
        BadConfig: If there is none to read.
    """
    most = parsing.MOST_BYTES
    if str(file) == "-":
        content = sys.stdin.buffer.read(most + 1)
    else:
        try:
            with file.open("rb") as opened:
                content = opened.read(most + 1)
        except OSError as error:
            raise BadConfig(f"{file} cannot be read: {error.strerror}.") from None
    if len(content) > most:
        raise Invalid({"the file": f"must be at most {most // 1024**2} MB"})
    try:
        return env_file.decoded(content, "the file")
    except BadConfig:
        raise Invalid({"the file": "is not in UTF-8, nor in UTF-16 with a mark: save it as UTF-8"}) from None


def _say(found: Imported) -> None:
    for loss in found.losses:
        typer.echo(str(loss), err=True)
    typer.echo(f"Taken over: {found.summary}.", err=True)
