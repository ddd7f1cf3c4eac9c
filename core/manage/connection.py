"""The connection test: stage by stage, what of a provider works, in the vendor's own words. And the vendor's model list.

Two steps, as no transaction is held while the network is waited for: :func:`prepare` asks for the right, puts the test on
record and opens the key; :func:`run` dials. A stored key goes to the origin it was saved with, and to no other.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final
from urllib.parse import urlsplit

from sqlmodel import Session

from ..access.authority import require
from ..actors import Actor
from ..audit.record import Target, record
from ..errors import Invalid, KeyUnreadable
from ..kinds import base_url_of, origin_of
from ..resolving.carried import NOTHING, Opened
from ..resolving.effective import NOT_NEEDED
from ..store.schemas import ApiKeyInput, ProviderInput, validate
from ..store.table import id_of
from ..store.tables import LlmProvider
from . import next_keys, provider_secrets, providers, settings
from .connection_report import STAGES, Report, Stage, StageState, Tested
from .connection_stages import LONGEST, bare, run
from .provider_secrets import Draft

__all__ = ["LONGEST", "STAGES", "Report", "Stage", "StageState", "Tested", "bare", "prepare", "run"]

_STAND_INS: Final[Mapping[str, Any]] = {"name": "unnamed", "display_name": "Unnamed", "available_models": ["none-yet"]}
"""For what a new provider cannot be saved without, and can be tested without: it is the test that lists the models."""


def prepare(
    session: Session,
    actor: Actor,
    provider_id: int | None,
    draft: Mapping[str, Any] | None = None,
    *,
    omitted: Collection[str] | None = None,
    next_key: bool = False,
    carried: Sequence[Draft] | None = None,
    list_only: bool = False,
) -> Tested:
    """Return what is to be tested, and put on record that it is; nothing is dialled yet.

    Args:
        session: The transaction.
        actor: An admin.
        provider_id: A stored provider; None: *draft* is a whole one.
        draft: Fields that were typed and not saved, as for :func:`core.manage.providers.update`; ``api_key`` may be one of them.
            Of a new provider the names and the models may still be empty.
        omitted: Parameters that are going to be omitted; None: those that are.
        next_key: Whether the provider's second key is tested, in place of the current one.
        carried: All headers and query parameters as they were typed; None: those that are stored.
        list_only: Whether the vendor is asked for its list of models and nothing else, as periodic work does each day; that
            is not put on record: of what it finds out, changes are.

    Raises:
        Forbidden, NotFound: As everywhere.
        Invalid: If the draft breaks a rule; above all if it leads the stored key to another host.
    """
    require(session, actor, "provider.test")
    fields = dict(draft or {})
    typed = fields.pop("api_key", None)
    typed = typed if isinstance(typed, str) and typed.strip() else None
    stored = None if provider_id is None else providers.get(session, provider_id)
    current = {} if stored is None else stored.model_dump(include=set(providers.FIELDS))
    stand_ins = {} if stored else {name: value for name, value in _STAND_INS.items() if not fields.get(name)}
    wanted = validate(ProviderInput, {**current, **fields, **stand_ins})
    if typed is not None:
        typed = validate(ApiKeyInput, {"api_key": typed, "kind": wanted.kind}).api_key.get_secret_value()
    key, problem = _key(session, stored, wanted, typed, next_one=next_key)
    opened, unreadable = _carried(session, stored, wanted, carried)
    if unreadable:
        key, problem = None, unreadable
    effective = settings.effective(session, stored.name if stored else "")
    model = wanted.default_model
    if stored is not None and effective.model in wanted.available_models and "default_model" not in fields:
        model = effective.model
    target = Tested(
        name=wanted.name,
        kind=wanted.kind,
        base_url=base_url_of(wanted.kind, wanted.api_base_url) or "",
        model=model,
        models=() if "available_models" in stand_ins else tuple(wanted.available_models),
        settings=replace(
            effective,
            kind=wanted.kind,
            base_url=base_url_of(wanted.kind, wanted.api_base_url),
            omitted=effective.omitted if omitted is None else tuple(sorted(omitted)),
        ),
        key=key,
        key_problem=problem,
        needs_key=wanted.needs_key,
        carried=opened,
        list_only=list_only,
    )
    if list_only:
        return target
    asked = {
        "base_url": (None, target.base_url),
        "model": (None, model),
        "key": (None, _which_key(target, typed, next_one=next_key)),
    }
    record(session, actor, "provider.test", Target("provider", provider_id, wanted.name), asked)
    return target


def _which_key(target: Tested, typed: str | None, *, next_one: bool) -> str:
    if not target.needs_key:
        return "none needed"
    if typed or target.key is None:
        return "typed" if typed else "none"
    return "next" if next_one else "stored"


def _key(
    session: Session, stored: LlmProvider | None, wanted: ProviderInput, typed: str | None, *, next_one: bool
) -> tuple[str | None, str]:
    if not wanted.needs_key:
        return NOT_NEEDED, ""
    if typed is not None:
        return typed, ""
    second = next_keys.get(session, id_of(stored)) if next_one and stored else None
    if stored is None or (second is None if next_one else not stored.api_key_encrypted):
        return None, "no next key is stored" if next_one else "no API key is stored"
    _stays(stored, wanted, "the stored key", "type the API key")
    try:
        if second is not None:
            return provider_secrets.open_value(stored, second), ""
        return providers.open_api_key(session, id_of(stored)), ""
    except KeyUnreadable as error:
        return None, str(error)


def _carried(
    session: Session, stored: LlmProvider | None, wanted: ProviderInput, drafts: Sequence[Draft] | None
) -> tuple[Opened, str]:
    """Return the headers and query parameters, and why they cannot be opened."""
    found, has_stored = NOTHING, False
    try:
        if drafts is not None:
            found, has_stored = provider_secrets.open_drafts(session, stored, wanted.kind, drafts)
        elif stored is not None:
            found = provider_secrets.open_all(session, stored)
            has_stored = bool(found.secrets)
    except KeyUnreadable as error:
        return NOTHING, str(error)
    if stored is not None and has_stored:
        _stays(stored, wanted, "its sealed headers", "remove them")
    return found, ""


def _stays(stored: LlmProvider, wanted: ProviderInput, what: str, cure: str) -> None:
    """Return when *wanted* leads nowhere but where *what* was saved for."""
    were = "was" if what.endswith("key") else "were"
    if origin_of(wanted.kind, wanted.api_base_url) != origin_of(stored.kind, stored.api_base_url):
        name = "kind" if wanted.api_base_url == stored.api_base_url else "api_base_url"
        raise Invalid({name: f"is another host than {what} {were} saved with: {cure}, to test it there"})
    if _path(wanted.kind, wanted.api_base_url) != _path(stored.kind, stored.api_base_url):
        # a path of the same host that repeats what it is sent would give the stored key out
        raise Invalid({"api_base_url": f"has another path than the saved one: {cure}, or save first, to test it there"})


def _path(kind: str, base_url: str | None) -> str:
    return urlsplit(base_url_of(kind, base_url) or "").path.rstrip("/")
