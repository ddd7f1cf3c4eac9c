"""Start-up data: the well-known providers, and keys that stand in environment variables today."""

from collections.abc import Mapping
from typing import Final, Literal, NamedTuple

from sqlmodel import Session, select

from ..access.authority import require
from ..actors import Actor
from ..errors import Invalid
from ..kinds import KINDS
from ..models import catalogue
from ..store.tables import LlmProvider, id_of
from . import providers, settings

KEY_VARIABLES: Final = {
    variable: vendor.name for vendor in catalogue.VENDORS for variable in KINDS[vendor.kind].key_variables
}
"""Environment variable -> the provider of the catalogue whose key it holds."""


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
    for vendor in catalogue.VENDORS:
        if _find(session, vendor.name):
            outcomes.append(Outcome("left alone", vendor.name, "is there already"))
            continue
        _create(session, actor, vendor)
        outcomes.append(Outcome("created", vendor.name, f"{len(vendor.models)} models; inactive until it has a key"))
    return outcomes


def import_env(session: Session, actor: Actor, env: Mapping[str, str]) -> list[Outcome]:
    """Move the keys of :data:`KEY_VARIABLES` from *env* into the store, and activate their providers.

    Idempotent: a provider that has a key already is left alone. For a dry run, roll the transaction back.

    Raises:
        Forbidden, Sealed: The latter if this process has no encryption key.
    """
    require(session, actor, "provider.create")
    outcomes: list[Outcome] = []
    done: dict[str, str] = {}
    for variable, name in KEY_VARIABLES.items():
        api_key = env.get(variable, "").strip()
        if not api_key:
            outcomes.append(Outcome("left alone", variable, "is not set"))
        elif name in done:
            outcomes.append(Outcome("left alone", variable, f"{done[name]} is used for provider {name}"))
        else:
            done[name] = variable
            outcomes.append(_import_key(session, actor, variable, name, api_key))
    return outcomes


def _import_key(session: Session, actor: Actor, variable: str, name: str, api_key: str) -> Outcome:
    provider = _find(session, name)
    if provider is not None and provider.api_key_encrypted:
        state = providers.key_state(provider)
        same = state.state == "ok" and providers.open_api_key(session, id_of(provider)) == api_key
        why = "has this key already" if same else "has another key; replace it on the Providers page"
        if state.state != "ok":
            why = f"has a key that cannot be opened ({state.state}); replace it on the Providers page"
        return Outcome("left alone", variable, f"provider {name} {why}")
    action: Literal["created", "updated"] = "created" if provider is None else "updated"
    try:
        with session.begin_nested():  # a key that is refused leaves nothing behind
            if provider is None:
                provider = _create(session, actor, next(v for v in catalogue.VENDORS if v.name == name))
            providers.update(session, actor, id_of(provider), {"api_key": api_key, "is_active": True})
    except Invalid as error:
        return Outcome("left alone", variable, str(error))
    warning = providers.validate_api_key_format(provider.kind, api_key)
    why = f"provider {name} has its key now and is active" + (f". Note: {warning}" if warning else "")
    return Outcome(action, variable, why)


def _create(session: Session, actor: Actor, vendor: catalogue.Vendor) -> LlmProvider:
    provider = providers.create(
        session,
        actor,
        {
            "name": vendor.name,
            "display_name": vendor.display_name,
            "description": vendor.description,
            "kind": vendor.kind,
            "available_models": [model.name for model in vendor.models],
            "default_model": vendor.default_model,
            "is_active": False,
        },
    )
    refused = catalogue.to_omit(vendor.kind, vendor.default_model)
    if refused:  # else the first real call would be answered with a 400
        settings.upsert_global(session, actor, provider.id, {"omitted_parameters": sorted(refused)})
    return provider


def _find(session: Session, name: str) -> LlmProvider | None:
    return session.exec(select(LlmProvider).where(LlmProvider.name == name)).one_or_none()
