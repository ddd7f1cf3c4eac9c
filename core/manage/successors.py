"""Going from a model that ends to another one: in the providers that offer it and the settings rows that prefer it, at once."""

from collections.abc import Collection, Iterable
from typing import NamedTuple

from sqlmodel import Session, col, select

from ..actors import Actor
from ..errors import Invalid
from ..models.apis import api_of
from ..store.table import id_of
from ..store.tables import LlmProvider, LlmSettings
from . import providers, settings


class Move(NamedTuple):
    """What changes in one provider."""

    provider: str
    display_name: str
    adds: bool
    """Whether the new model comes to its list."""
    default: bool
    """Whether its default model changes."""
    preferred: bool
    """Whether the model that its settings row prefers changes."""
    takes_off: bool
    """Whether the old model goes from its list."""


def plan(session: Session, api: str, old: str, new: str, *, take_off: bool) -> list[Move]:
    """Return what changes in each provider that offers the model *old* at *api*, were it to be *new*.

    Args:
        session: The transaction.
        api: A key of :data:`core.models.apis.APIS`: the same model elsewhere ends on another day.
        old: The model that is left.
        new: The model that is taken.
        take_off: Whether *old* goes from the providers' lists: programs cannot ask for it by its name then.
    """
    preferred = _preferred(session, old)
    moves = []
    for row in session.exec(select(LlmProvider).order_by(col(LlmProvider.name))):
        if old not in {*row.available_models, row.default_model} or api_of(row.kind, row.api_base_url) != api:
            continue
        move = Move(
            row.name,
            row.display_name,
            adds=new not in row.available_models,
            default=row.default_model == old,
            preferred=row.id in preferred,
            takes_off=take_off and old in row.available_models,
        )
        if any(move[2:]):
            moves.append(move)
    return moves


def change(
    session: Session, actor: Actor, api: str, old: str, new: str, *, names: Collection[str], take_off: bool
) -> list[Move]:
    """Do what :func:`plan` says, in the providers of these *names*; returns what was done.

    Raises:
        Forbidden: If the actor is no admin.
        Invalid: If *new* is no name of a model, or *old* itself.
    """
    if new == old:
        raise Invalid({"model": "is the one that ends; choose another one"})
    done = [move for move in plan(session, api, old, new, take_off=take_off) if move.provider in names]
    for move in done:
        _move(session, actor, move, old, new)
    return done


def _move(session: Session, actor: Actor, move: Move, old: str, new: str) -> None:
    row = providers.locked(session, id_of(providers.get_by_name(session, move.provider)))
    models = list(row.available_models)
    if move.adds:  # beside the old one, as people have sorted them
        models.insert(models.index(old) + 1 if old in models else len(models), new)
    wanted: dict[str, object] = {"available_models": models}
    if move.default:
        wanted["default_model"] = new
    without = [model for model in models if model != old]
    if move.takes_off and not move.preferred:  # what a settings row prefers stays until that has changed
        wanted["available_models"] = without
    providers.update(session, actor, id_of(row), wanted)
    if move.preferred:
        settings.upsert_global(session, actor, row.id, {"preferred_model": new})
        if move.takes_off:
            providers.update(session, actor, id_of(row), {"available_models": without})


def _preferred(session: Session, model: str) -> set[int | None]:
    query = select(LlmSettings.provider_id).where(LlmSettings.preferred_model == model, LlmSettings.is_active)
    found: Iterable[int | None] = session.exec(query).all()
    return set(found)
