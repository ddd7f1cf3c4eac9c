"""Start-up data: the well-known providers."""

from typing import Literal, NamedTuple

from sqlmodel import Session, select

from ..access.authority import require
from ..actors import Actor
from ..models import catalogue
from ..store.tables import LlmProvider
from . import providers


class Outcome(NamedTuple):
    """What became of one provider or variable; never holds a key."""

    action: Literal["created", "updated", "left alone"]
    name: str
    why: str


def seed(session: Session, actor: Actor) -> list[Outcome]:
    """Add the providers of :mod:`core.models.catalogue` that are not there yet, inactive until they have a key.

    Raises:
        Forbidden: If the actor is no admin.
    """
    require(session, actor, "provider.create")
    outcomes = []
    for vendor in catalogue.SEEDED:
        if find(session, vendor.name):
            outcomes.append(Outcome("left alone", vendor.name, "is there already"))
            continue
        create_vendor(session, actor, vendor)
        outcomes.append(Outcome("created", vendor.name, f"{len(vendor.models)} models; inactive until it has a key"))
    return outcomes


def create_vendor(session: Session, actor: Actor, vendor: catalogue.SeededProvider) -> LlmProvider:
    """Add a provider of the catalogue, inactive. Raises as core.manage.providers.

    Nothing is omitted for its models: what they refuse is not sent anyway (:mod:`core.models.adapt`).
    """
    return providers.create(
        session,
        actor,
        vendor.fields(),
    )


def find(session: Session, name: str) -> LlmProvider | None:
    """Return the provider of that name, or None."""
    return session.exec(select(LlmProvider).where(LlmProvider.name == name)).one_or_none()
