"""What is known of models is read before a caller asks for it; what of it cannot be read is logged, and all is sent then."""

import logging

from ..models.facts import known
from .snapshot import Snapshot

_log = logging.getLogger("core.resolve")


def look_at_catalogue() -> None:
    """Read the catalogue of this version."""
    if problems := known().catalogue.problems:
        _log.warning("It is not known what models take, or not of all: %s", " ".join(problems))


def look(new: Snapshot, old: Snapshot | None) -> None:
    """Read the database's rows of a new snapshot; the same problems are logged once."""
    problems = new.knowledge.overlay.problems
    if problems and (old is None or old.knowledge.overlay.problems != problems):
        _log.warning("What is stored of models is not read, or not all of it: %s", " ".join(problems))
