"""Headers and query parameters of a provider's calls, plain or sealed. What is sealed is bound to its row and the host."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final, Literal, NamedTuple
from urllib.parse import parse_qsl, urlsplit

from sqlalchemy import text
from sqlmodel import Session, col, func, select

from ..access.authority import require
from ..actors import Actor
from ..audit.record import Target, record
from ..crypto import Box, KeyRing, Place, get_ring, mask
from ..errors import Invalid, KeyUnreadable, NotFound
from ..kinds import base_url_of, origin_of
from ..resolving.carried import USES, Opened, place_of_secret
from ..store import carried_values
from ..store.carried_values import MOST
from ..store.schemas import CarriedInput, validate
from ..store.sealed import fingerprint, fingerprint_of
from ..store.table import id_of
from ..store.tables import LlmProvider, LlmProviderSecret
from ..store.versions import refuse_stale
from . import keys, providers
from .provider_keys import KeyState
from .providers import words_for

Use = Literal["header", "query"]
CARRIED: Final = ("header", "query")


def list_of(session: Session, provider_id: int) -> list[LlmProviderSecret]:
    """Return the headers of a provider and its query parameters, each by name. The plain ones have ``plain_value``."""
    found = (
        select(LlmProviderSecret)
        .where(LlmProviderSecret.provider_id == provider_id, col(LlmProviderSecret.use).in_(CARRIED))
        .order_by(col(LlmProviderSecret.use), func.lower(LlmProviderSecret.name), col(LlmProviderSecret.id))
    )
    return list(session.exec(found))


def list_all(session: Session) -> dict[int, list[LlmProviderSecret]]:
    """Return all rows of all providers, next keys among them: provider's id -> rows; for lists of many providers."""
    found: dict[int, list[LlmProviderSecret]] = {}
    order = (
        col(LlmProviderSecret.provider_id),
        col(LlmProviderSecret.use),
        func.lower(LlmProviderSecret.name),
        col(LlmProviderSecret.id),
    )
    for row in session.exec(select(LlmProviderSecret).order_by(*order)):
        found.setdefault(row.provider_id, []).append(row)
    return found


def set_value(
    session: Session,
    actor: Actor,
    provider_id: int,
    use: Use,
    name: str,
    *,
    value: str,
    sealed: bool,
    version: int | None = None,
) -> LlmProviderSecret:
    """Store a header or a query parameter, in place of the one of that name; of headers case does not count.

    Args:
        session: The transaction.
        actor: An admin.
        provider_id: Which provider.
        use: ``header`` or ``query``.
        name: 1 to 100 characters.
        value: 1 to 8,192 characters of ASCII.
        sealed: Whether it is a secret. What is plain is shown to everybody who may see providers, and in the audit.
        version: The version of the row that the edit was based on; None writes whatever is there.

    Raises:
        Forbidden, NotFound, Invalid, Conflict, Sealed: NotFound also if *version* is given and there is no such row any
            more. Invalid names ``name`` or ``value`` and the rule: see :mod:`core.store.carried_values`.
    """
    require(session, actor, f"provider.set_{use}")
    provider = providers.locked(session, provider_id)
    typed = {"kind": provider.kind, "use": use, "name": name, "value": value, "sealed": sealed}
    given = validate(CarriedInput, typed)
    plain = given.value.get_secret_value()
    row = _find(session, provider_id, use, given.name)
    if row is None and version is not None:
        raise NotFound(USES[use], given.name)
    if row is None:
        _has_room(session, provider, use, given.name)
        row = LlmProviderSecret(id=_next_id(session), provider_id=provider_id, use=use, name=given.name)
        before = None
    else:
        refuse_stale(USES[use], row, version, {"value": shown(row)})
        before = shown(row)
        if not sealed and row.plain_value == plain and row.name == given.name:
            return row
    row.name, row.value_set_at = given.name, datetime.now(UTC)
    if sealed:
        seal(session, provider, row, plain)
    else:
        row.plain_value = plain
        row.value_encrypted = row.value_masked = row.value_key_id = row.value_binding = row.value_fingerprint = None
    session.add(row)
    session.flush()
    session.refresh(row)
    put_on_record(session, actor, f"provider.set_{use}", provider, row, before=before, after=shown(row))
    return row


def remove_value(
    session: Session, actor: Actor, provider_id: int, use: Use, name: str, *, version: int | None = None
) -> None:
    """Forget a header or a query parameter.

    Raises:
        Forbidden, NotFound, Conflict: The last if it was changed since *version*.
    """
    require(session, actor, f"provider.remove_{use}")
    provider = providers.locked(session, provider_id)
    row = _find(session, provider_id, use, name)
    if row is None:
        raise NotFound(USES.get(use, "value"), name[: carried_values.MAX_NAME])
    refuse_stale(USES[use], row, version, {})
    session.delete(row)
    session.flush()
    put_on_record(session, actor, f"provider.remove_{use}", provider, row, before=shown(row), after=None)


def warning(name: str, value: str) -> str:
    """Return why a value that is to be stored plain is probably a secret; empty if it is none. Only a warning."""
    return carried_values.warning(name, value)


def shown(row: LlmProviderSecret) -> str:
    """Return what is shown of a value: a plain one as it is, of a sealed one mask and fingerprint."""
    if row.plain_value is not None:
        return row.plain_value
    return f"{row.value_masked or '****'} {value_fingerprint(row)}".rstrip()


def value_fingerprint(row: LlmProviderSecret) -> str:
    """Return ``#`` and 8 hex digits by which sealed values with one mask are told apart; empty where there are none."""
    return fingerprint_of(row.value_fingerprint, row.value_encrypted)


def state(provider: LlmProvider, row: LlmProviderSecret, ring: KeyRing | None = None) -> KeyState:
    """Return whether a sealed value can be opened: as :func:`core.manage.provider_keys.key_state`; a plain one is ``ok``."""
    try:
        if row.value_encrypted:
            _box(provider, row, ring or get_ring())
    except KeyUnreadable as error:
        return KeyState(error.reason, str(error))
    return KeyState("ok", "")


def _box(provider: LlmProvider, row: LlmProviderSecret, ring: KeyRing) -> Box:
    try:
        return ring.box(row.value_encrypted or "", row.value_key_id, row.value_binding, place_of(provider, row))
    except KeyUnreadable as error:
        reason, why = error.reason, f"{words_for(row.use, row.name)}: {error}"
    raise KeyUnreadable(reason, why)


def open_all(session: Session, provider: LlmProvider) -> Opened:
    """Return the headers and query parameters of *provider*, opened. Internal: nothing that a person sees calls it.

    Raises:
        KeyUnreadable: If one cannot be opened; names it.
    """
    headers: list[tuple[str, str]] = []
    query: list[tuple[str, str]] = []
    secrets: list[str] = []
    for row in list_of(session, id_of(provider)):
        plain = row.plain_value or ""
        if row.value_encrypted:
            plain = open_value(provider, row)
            secrets.append(plain)
        (headers if row.use == "header" else query).append((row.name, plain))
    return Opened(tuple(headers), tuple(query), tuple(secrets))


class Draft(NamedTuple):
    """A header or a query parameter as it was typed, and not saved."""

    use: Use
    name: str
    value: str | None = None
    """None: that of the stored one of this name."""
    sealed: bool = True


def open_drafts(
    session: Session, provider: LlmProvider | None, kind: str, drafts: Sequence[Draft]
) -> tuple[Opened, bool]:
    """Return *drafts* opened, in place of what is stored; and whether a stored secret is among them. Internal, as :func:`open_all`.

    Raises:
        Invalid: Naming ``carried.N``, the number of the draft, and the rule.
        KeyUnreadable: If a stored one cannot be opened.
    """
    headers: list[tuple[str, str]] = []
    query: list[tuple[str, str]] = []
    secrets: list[str] = []
    problems: dict[str, str] = {}
    has_stored = False
    for number, draft in enumerate(drafts):
        row = None if provider is None else _find(session, id_of(provider), draft.use, draft.name)
        plain = draft.value
        if plain is None and provider is not None and row is not None:
            has_stored = has_stored or row.plain_value is None
            plain = row.plain_value if row.plain_value is not None else open_value(provider, row)
        typed = {"kind": kind, "use": draft.use, "name": draft.name, "value": plain or "", "sealed": draft.sealed}
        try:
            given = validate(CarriedInput, typed)
        except Invalid as error:
            problems[f"carried.{number}"] = in_one_sentence(error)
            continue
        plain = given.value.get_secret_value()
        (headers if draft.use == "header" else query).append((given.name, plain))
        if draft.sealed:
            secrets.append(plain)
    if problems:
        raise Invalid(problems)
    return Opened(tuple(headers), tuple(query), tuple(secrets)), has_stored


def in_one_sentence(error: Invalid) -> str:
    """Return what is wrong with a header or query parameter, for one place beside both of its fields."""
    parts = [rule if rule[0].isupper() else f"{field} {rule}" for field, rule in error.fields.items()]
    return ". ".join(part[0].upper() + part[1:] for part in parts)


def open_value(provider: LlmProvider, row: LlmProviderSecret) -> str:
    """Return the plain value of a sealed row; raises KeyUnreadable. Internal, as :func:`open_all`."""
    return _box(provider, row, get_ring()).open()


def place_of(provider: LlmProvider, row: LlmProviderSecret) -> Place:
    """Return where a sealed value belongs."""
    origin = origin_of(provider.kind, provider.api_base_url)
    return place_of_secret(id_of(row), row.provider_id, row.use, row.name, origin)


def seal(session: Session, provider: LlmProvider, row: LlmProviderSecret, plain: str) -> None:
    """Seal *plain* for *row*, whose use and name are set; raises Invalid, Sealed and WrongEncryptionKey."""
    ring = get_ring()
    with session.no_autoflush:  # half of a change would be an edit of its own
        keys.require_known(session, ring)
    place = place_of(provider, row)
    if not place.origin:  # written by SQL: what is bound to no host would fit the next such URL too
        raise Invalid({"api_base_url": "is no URL that a value can be bound to: correct it first"})
    stored = ring.seal(plain, place)
    row.plain_value = None
    row.value_encrypted, row.value_key_id, row.value_binding = stored
    row.value_masked, row.value_fingerprint = mask(plain), fingerprint(ring, plain, stored)


def new_row(session: Session, provider_id: int, use: str, name: str) -> LlmProviderSecret:
    """Return a row with its id, which a sealed value is bound to; it is not written yet."""
    return LlmProviderSecret(id=_next_id(session), provider_id=provider_id, use=use, name=name)


def put_on_record(
    session: Session,
    actor: Actor,
    action: str,
    provider: LlmProvider,
    row: LlmProviderSecret,
    *,
    before: str | None,
    after: str | None,
) -> None:
    """Write the audit event of a change of one row."""
    name = words_for(row.use, row.name).removeprefix("the ")
    record(session, actor, action, Target("provider", provider.id, provider.name), {name: (before, after)})


def _find(session: Session, provider_id: int, use: str, name: str) -> LlmProviderSecret | None:
    is_named: Any = LlmProviderSecret.name == name
    if use == "header":
        is_named = func.lower(LlmProviderSecret.name) == func.lower(name)
    found = select(LlmProviderSecret).where(
        LlmProviderSecret.provider_id == provider_id, LlmProviderSecret.use == use, is_named
    )
    if not name.isascii() or "\x00" in name or not name:
        return None
    return session.exec(found.execution_options(populate_existing=True)).one_or_none()


def _next_id(session: Session) -> int:
    number: int = session.scalar(text("SELECT nextval(pg_get_serial_sequence('llm_provider_secrets', 'id'))")) or 0
    return number


def _has_room(session: Session, provider: LlmProvider, use: str, name: str) -> None:
    number = session.exec(
        select(func.count())
        .select_from(LlmProviderSecret)
        .where(LlmProviderSecret.provider_id == provider.id, LlmProviderSecret.use == use)
    ).one()
    if number >= MOST:
        raise Invalid({"name": f"is one too many: a provider has at most {MOST} of them"})
    url = base_url_of(provider.kind, provider.api_base_url) or ""
    if use == "query" and name in dict(parse_qsl(urlsplit(url).query, keep_blank_values=True)):
        raise Invalid({"name": f"{name} is in the base URL already"})
