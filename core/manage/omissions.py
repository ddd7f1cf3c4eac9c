"""Parameters that somebody left out by hand, for a model that takes them now: found, and sent again at one press."""

from collections.abc import Collection
from typing import NamedTuple

from sqlmodel import Session

from ..actors import Actor
from ..resolving.words import omitted_for_nothing
from . import settings


class Omission(NamedTuple):
    """A provider whose settings row leaves out what would be sent right."""

    provider: str
    display_name: str
    model: str
    names: tuple[str, ...]
    """The parameters."""


def needless(session: Session) -> list[Omission]:
    """Return the parameters that providers' own settings rows leave out, though the model is known and takes them.

    Another name, or a value within the model's range, counts as taken: providers that were seeded by a version before 0.2
    leave such out. What all providers leave out is left alone: it may be meant for a model that is not known here.
    """
    stored = settings.load(session)
    found = []
    for name, row in stored.providers.items():
        layer = stored.layers.get(row["id"])
        own = (layer.values.get("omitted_parameters") if layer else None) or ()
        if not own:
            continue
        effective = stored.effective(name)
        if effective.model is None or effective.model_is != "known":
            continue
        names = tuple(each for each in omitted_for_nothing(effective) if each in own)
        if names:
            found.append(Omission(name, effective.display_name, effective.model, names))
    return found


def send_again(session: Session, actor: Actor, providers: Collection[str] | None = None) -> list[Omission]:
    """Take what :func:`needless` finds off the omitted parameters, of these *providers* (None: of all), in this transaction.

    Returns what was changed.

    Raises:
        Forbidden: If the actor is no admin.
        Conflict: If somebody changes a row at this moment.
    """
    ids = {name: row["id"] for name, row in settings.load(session).providers.items()}
    done = [each for each in needless(session) if providers is None or each.provider in providers]
    for each in done:
        row = settings.get_global(session, ids[each.provider])
        if row is None:
            continue
        kept = [name for name in row.omitted_parameters or () if name not in each.names]
        settings.upsert_global(
            session, actor, ids[each.provider], {"omitted_parameters": kept or None}, version=row.version
        )
    return done
