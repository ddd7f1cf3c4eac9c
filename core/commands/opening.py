"""What the commands share: the store, opened and left, and the option of a dry run."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from ..config import check_at_start, get_config
from ..manage import bootstrap
from ..postgres import embedded
from ..store import db

DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")]


@contextmanager
def store() -> Iterator[None]:
    """The store, ready; an embedded one is stopped again unless somebody else uses it."""
    try:
        check_at_start(get_config())
        bootstrap.ensure_ready(typer.echo)
        yield
    finally:
        leave()


def leave() -> None:
    """Stop an embedded server that this process has started, unless somebody else uses it."""
    config = get_config()
    if config.embedded:
        db.close_engine()
        embedded.stop(config.data_dir)
