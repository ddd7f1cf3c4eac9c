"""A second API key beside the current one, so that a key is exchanged without an outage: add, promote, retire.

The current key stays in its columns of ``llm_providers``, where other programs read it. Promoting exchanges the two: what was
the current key stays until it is retired, and can be promoted back.
"""

from datetime import UTC, datetime

from sqlmodel import Session, select

from .. import redaction
from ..access.authority import require
from ..actors import Actor
from ..audit.record import Target, record
from ..errors import Invalid, KeyUnreadable
from ..store.schemas import ApiKeyInput, validate
from ..store.tables import LlmProvider, LlmProviderSecret
from ..store.versions import refuse_stale
from . import provider_keys, provider_secrets, providers

_ONE = "next key"


def get(session: Session, provider_id: int) -> LlmProviderSecret | None:
    """Return the second key of a provider: its name is ``next`` before it was ever current, else ``former``; None: none."""
    found = select(LlmProviderSecret).where(
        LlmProviderSecret.provider_id == provider_id, LlmProviderSecret.use == "next_key"
    )
    return session.exec(found.execution_options(populate_existing=True)).one_or_none()


def add(session: Session, actor: Actor, provider_id: int, api_key: str) -> LlmProviderSecret:
    """Store a next key beside the current one, in place of a next one that was never promoted.

    Raises:
        Forbidden, NotFound, Sealed: As everywhere.
        Invalid: If it is no key, or the current one; without a current key; while a former one is not retired yet.
    """
    require(session, actor, "provider.add_key")
    provider = providers.locked(session, provider_id)
    plain = validate(ApiKeyInput, {"api_key": api_key, "kind": provider.kind}).api_key.get_secret_value()
    if not provider.needs_key:
        raise Invalid({"api_key": "would not be used: this provider needs none. Say first that it needs one"})
    if not provider.api_key_encrypted:
        raise Invalid({"api_key": "has no current key beside it: enter it as the API key"})
    row = get(session, provider_id)
    if row is not None and row.name == "former":
        raise Invalid({"api_key": "cannot be added while the former key is there: retire that one first"})
    if _current(session, provider_id) == plain:
        raise Invalid({"api_key": "is the current key"})
    before = None if row is None else provider_secrets.shown(row)
    row = row or provider_secrets.new_row(session, provider_id, "next_key", "next")
    provider_secrets.seal(session, provider, row, plain)
    row.value_set_at = datetime.now(UTC)
    _write(session, row)
    after = provider_secrets.shown(row)
    provider_secrets.put_on_record(session, actor, "provider.add_key", provider, row, before=before, after=after)
    return row


def promote(session: Session, actor: Actor, provider_id: int, *, version: int | None = None) -> LlmProvider:
    """Make the second key the current one, and the current one the former key, in one transaction.

    Services use the new one for each call that begins after they were told, within milliseconds; calls that are under way
    end with the one they began with, so both have to be valid at the vendor's until the former one is retired.

    Raises:
        Forbidden, NotFound, Conflict, Sealed: Conflict if the second key was changed since *version*.
        Invalid: If there is no second key.
        KeyUnreadable: If one of the two cannot be opened.
    """
    require(session, actor, "provider.promote_key")
    provider = providers.locked(session, provider_id)
    row = get(session, provider_id)
    if row is None:
        raise Invalid({"api_key": "has no next key beside it: add one first"})
    refuse_stale(_ONE, row, version, {})
    coming, going = provider_secrets.open_value(provider, row), providers.open_api_key(session, provider_id)
    before, entered, left = provider_keys.shown_key(provider), row.value_set_at, provider.api_key_set_at
    row.name = "former"  # the place that it is sealed for
    provider_secrets.seal(session, provider, row, going)
    row.value_set_at = left
    provider_keys.put_key(provider, coming, entered)
    _write(session, row)
    session.refresh(provider)
    changes = {
        "api_key": (before, provider_keys.shown_key(provider)),
        "former key": (None, provider_secrets.shown(row)),
    }
    record(session, actor, "provider.promote_key", Target("provider", provider.id, provider.name), changes)
    return provider


def retire(session: Session, actor: Actor, provider_id: int, *, version: int | None = None) -> None:
    """Forget the second key: a former one that no call uses any more, or a next one that is not wanted.

    The vendor is not told: revoke it there.

    Raises:
        Forbidden, NotFound, Conflict: The last if it was changed since *version*.
        Invalid: If there is no second key: the current one is removed, and not retired.
    """
    require(session, actor, "provider.retire_key")
    provider = providers.locked(session, provider_id)
    row = get(session, provider_id)
    if row is None:
        raise Invalid({"api_key": "is the only key: add the next one and promote it first, or remove the key"})
    refuse_stale(_ONE, row, version, {})
    if provider_secrets.state(provider, row).state == "ok":
        redaction.forget(provider_secrets.open_value(provider, row))
    session.delete(row)
    session.flush()
    before = provider_secrets.shown(row)
    provider_secrets.put_on_record(session, actor, "provider.retire_key", provider, row, before=before, after=None)


def _current(session: Session, provider_id: int) -> str | None:
    try:
        return providers.open_api_key(session, provider_id)
    except KeyUnreadable:
        return None  # whatever it is, the new one is to take its place


def _write(session: Session, row: LlmProviderSecret) -> None:
    session.add(row)
    session.flush()
    session.refresh(row)
