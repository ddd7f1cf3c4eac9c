"""API keys that stand in environment variables today: each goes with the address beside it, and to no other."""

from collections.abc import Mapping
from typing import Literal
from urllib.parse import urlsplit

from sqlmodel import Session, select

from ..access.authority import require
from ..actors import Actor
from ..audit.record import ask_reason, tried
from ..errors import AlreadyExists, Invalid
from ..kinds import base_url_of, origin_of
from ..store import api_keys
from ..store.table import id_of
from ..store.tables import LlmProvider
from . import env_reading, provider_keys, provider_secrets, providers
from .env_reading import KeyFound
from .seed import Outcome, find


def import_env(session: Session, actor: Actor, env: Mapping[str, str]) -> list[Outcome]:
    """Move API keys from *env* into the store, and activate their providers.

    A key with a base URL beside it (``OPENAI_BASE_URL``, ``OPENAI_API_BASE``, …) goes to a provider of that URL, which is
    made where the variables name a model too; never to the vendor's own. Placeholders, comments and references are no
    keys. Idempotent: a provider that has a key already is left alone. For a dry run, roll the transaction back.

    Returns:
        What became of each variable that :func:`~.env_reading.read` tells of.

    Raises:
        Forbidden, Sealed: The latter if this process has no encryption key.
    """
    require(session, actor, "provider.create")
    ask_reason(session, actor, "provider.create")
    return [
        _stored(session, actor, each, env[each.variable])
        if isinstance(each, KeyFound)
        else _left(each.variable, each.why)
        for each in env_reading.read(env)
    ]


def preview(session: Session, actor: Actor, env: Mapping[str, str]) -> list[Outcome]:
    """Return what :func:`import_env` would make of *env* now, and change nothing. Raises as it does."""
    attempt = session.begin_nested()
    try:
        with tried(session):
            return import_env(session, actor, env)
    finally:
        attempt.rollback()
        session.expire_all()


def _stored(session: Session, actor: Actor, found: KeyFound, value: str) -> Outcome:
    if not found.url:
        return _vendors(session, actor, found, value)
    stored = _at(session, found.kind, found.url)
    if stored is None and not found.fields["available_models"]:
        return _left(found.variable, found.nameless)
    if not found.needs_key:
        return _without_key(session, actor, found, stored)
    done = _into(session, actor, found, value, stored)
    if done.action != "created" or not found.query or (made := _at(session, found.kind, found.url)) is None:
        return done
    for name, text in found.query.items():
        provider_secrets.set_value(session, actor, id_of(made), "query", name, value=text, sealed=False)
        done = done._replace(why=f"{done.why}. Its query parameter {name} is {text}")
    return done


def _vendors(session: Session, actor: Actor, found: KeyFound, api_key: str) -> Outcome:
    """Import the key of a vendor's own provider, of the catalogue."""
    name = found.fields["name"]
    stored = find(session, name)
    if stored is not None and origin_of(stored.kind, stored.api_base_url) != origin_of(found.kind, None):
        return _left(
            found.variable,
            f"provider {name} has a base URL of another host, and no variable beside the key says that it belongs there",
        )
    return _into(session, actor, found, api_key, stored)


def _without_key(session: Session, actor: Actor, found: KeyFound, stored: LlmProvider | None) -> Outcome:
    if stored is not None:
        return _left(found.variable, f"provider {stored.name} has this base URL already")
    try:
        with session.begin_nested():
            made = providers.create(session, actor, {**found.fields, "needs_key": False, "is_active": True})
    except (Invalid, AlreadyExists) as error:
        return _left(found.variable, str(error))
    return Outcome("created", found.variable, f"provider {made.name}, which needs no key, is active")


def _at(session: Session, kind: str, url: str) -> LlmProvider | None:
    query = select(LlmProvider).where(LlmProvider.kind == kind).order_by(LlmProvider.name)
    return next(
        (
            row
            for row in session.exec(query)
            if (base_url_of(kind, row.api_base_url) or "").rstrip("/") == url.rstrip("/")
        ),
        None,
    )


def _into(session: Session, actor: Actor, found: KeyFound, api_key: str, stored: LlmProvider | None) -> Outcome:
    """Store the key in *stored*, or in a provider that is made."""
    variable, api_key = found.variable, api_key.strip()
    if stored is not None and stored.api_key_encrypted:
        return _left(variable, f"provider {stored.name} {_has(session, stored, api_key)}")
    if api_keys.placeholder(api_key) and not (found.url and api_keys.dummy(api_key)):
        return _left(variable, "is a placeholder, and no key")
    action: Literal["created", "updated"] = "created" if stored is None else "updated"
    try:
        with session.begin_nested():  # a key that is refused leaves nothing behind
            if stored is None:
                stored = providers.create(session, actor, found.fields)
            providers.update(session, actor, id_of(stored), {"api_key": api_key, "is_active": True})
    except Invalid as error:
        return _left(variable, str(error))
    except AlreadyExists as error:
        return _left(variable, f"{error} Its base URL or its kind is another one")
    warning = provider_keys.validate_api_key_format(stored.kind, api_key, stored.api_base_url)
    where = f", which calls {urlsplit(stored.api_base_url).hostname}," if stored.api_base_url else ""
    why = f"provider {stored.name}{where} has its key now and is active" + (f". Note: {warning}" if warning else "")
    return Outcome(action, variable, why)


def _has(session: Session, stored: LlmProvider, api_key: str) -> str:
    state = provider_keys.key_state(stored)
    if state.state != "ok":
        return f"has a key that cannot be opened ({state.state}); replace it on the Providers page"
    same = providers.open_api_key(session, id_of(stored)) == api_key
    return "has this key already" if same else "has another key; replace it on the Providers page"


def _left(variable: str, why: str) -> Outcome:
    return Outcome("left alone", variable, why)
