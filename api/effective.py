"""GET /api/llm/settings, the route that programs poll: answered from memory, as bytes that were built once.

What is not looked up each time: a token, for at most ``TOKEN_SECONDS``; the settings, as long as the resolver, which listens
to the database, knows of no newer generation. Without a resolver that follows the database they are read each time.
"""

import asyncio
import hashlib
import threading
import time
from collections.abc import Iterable
from functools import lru_cache, partial
from typing import Any, Final, NamedTuple, TypedDict
from urllib.parse import parse_qsl

import anyio.to_thread
from sqlmodel import select
from starlette.types import Scope

from api import past, wire
from api.callers import Asked, Caller, limit_headers, look, note_limit
from api.errors import dumps
from api.ids import LARGEST
from api.metrics import SETTINGS_ANSWERS
from api.names import NotAsNamed
from core.access import authority, ratelimit
from core.actors import Actor
from core.errors import CoreError, NotFound, StoreUnavailable
from core.manage import organization_members, settings
from core.manage.hierarchy import AskedFor
from core.resolve import EffectiveSettings, Resolver
from core.store import db
from core.store.tables import MEMBER, SettingsGeneration
from web.request import ADDRESS_HEADER, SECRET_HEADER

TOKEN_SECONDS: Final = 0.8
"""A token that was found good is good for so long without another look: revoked, it stops within a second."""
TOKENS: Final = 1000
"""So many are remembered."""
PAGES: Final = 5000
"""So many answers are kept of one generation: those of organisations may be many."""
CATCH_UP_SECONDS: Final = 1.0
"""A write waits at most so long until this process's own settings have caught up with it."""

resolver = Resolver()
"""Listens for changes; web/process.py starts and closes it."""

_VARY = (b"vary", b"authorization, cookie")
_CACHE = (b"cache-control", b"private, no-cache")  # to be kept, and asked for again with its ETag


class Wanted(NamedTuple):
    """Which settings a request asks for."""

    name: str | int | None
    """A provider's name or id; None: all active ones."""
    organization: str | None = None
    """A name of the organisation's; None: nobody's."""
    feature: str | None = None
    explain: bool = False
    at: str | None = None
    """A moment of the past; None: now."""


class Page(NamedTuple):
    """An answer, built once."""

    headers: tuple[tuple[bytes, bytes], ...]
    bare: tuple[tuple[bytes, bytes], ...]
    """Those of a 304, which has no body."""
    etag: str
    body: bytes


class Picture:
    """What is stored at one generation, and the answers built from it so far."""

    def __init__(self, stored: settings.Stored) -> None:
        self.stored = stored
        self._pages: dict[tuple[Wanted, str], Page] = {}

    def known(self, wanted: Wanted, role: str) -> Page | None:
        """Return an answer that is built already."""
        return self._pages.get((wanted, role))

    def page(self, wanted: Wanted, role: str) -> Page:
        """Return the answer as *role* sees it; raises NotFound."""
        found = self._pages.get((wanted, role))
        if found is None:
            found = self._build(wanted, role)
            if len(self._pages) >= PAGES:
                self._pages.clear()
            self._pages[wanted, role] = found
        return found

    def _build(self, wanted: Wanted, role: str) -> Page:
        providers, name = self.stored.providers, wanted.name
        names = [n for n, row in providers.items() if (row["is_active"] if name is None else name in {n, row["id"]})]
        if name is not None and not names:
            raise NotFound("provider", name)
        shown = [self._one(n, wanted, role) for n in names]
        body = dumps({"success": True, "data": shown if name is None else shown[0]})
        etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
        generation = (b"llm-settings-generation", str(self.stored.generation).encode())
        bare = ((b"etag", etag.encode()), generation, _CACHE, _VARY)
        kind, length = (b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())
        return Page((kind, length, *bare), bare, etag, body)

    def _one(self, name: str, wanted: Wanted, role: str) -> dict[str, Any]:
        stored, row = self.stored, self.stored.providers[name]
        layer = stored.layers.get(row["id"]) or stored.layers.get(None)
        of_row = None if layer is None else layer.values
        settings = stored.effective(name) if wanted.organization is wanted.feature is None else _scoped(name, wanted)
        people = _people(settings.organization_id) if role == MEMBER and wanted.explain else None
        return wire.effective(settings, row, of_row, brief=role != "admin", explain=wanted.explain, people=people)


def _scoped(name: str, wanted: Wanted) -> EffectiveSettings:
    """Return the settings of an organisation or a feature, as this process's resolver has them.

    Raises:
        NotFound: If there is no such organisation, or feature.
        StoreUnavailable: If the resolver does not follow the database.
    """
    found = resolver.resolve(name, wanted.organization, wanted.feature)
    if found.status == "store_unavailable" and resolver.generation < 0:
        raise StoreUnavailable("The settings of organisations are not in memory: the database cannot be reached.")
    if not found.organization_known and found.status == "unknown_organization":
        raise NotFound("organization", wanted.organization)
    if not found.feature_known:
        raise NotFound("feature", wanted.feature)
    return found


def _people(organization_id: int | None) -> frozenset[str]:
    if organization_id is None:
        return frozenset()
    with db.transaction() as session:
        return organization_members.people_of(session, organization_id)


def _of_member(known: "_Known", wanted: Wanted) -> None:
    """Return when a member asks for an organisation of theirs; another's is not there, and the attempt is put on record.

    Raises:
        NotAsNamed: If they name none.
        NotFound: If there is none that they see.
        StoreUnavailable: If the resolver does not follow the database.
    """
    if wanted.organization is None:
        raise NotAsNamed({"organization": _MEMBERS})
    found = resolver.resolve(None, wanted.organization)
    if found.status == "store_unavailable" and resolver.generation < 0:
        raise StoreUnavailable("The settings of organisations are not in memory: the database cannot be reached.")
    if found.organization_id is None or found.organization_id not in known.organizations:
        with db.transaction() as session:
            authority.not_found(session, known.actor, _READ["action"], "organization", wanted.organization)


class _Known(NamedTuple):
    role: str
    who: str
    actor: Actor
    organizations: frozenset[int]
    again: float
    """When to look again, beside an answer."""
    until: float
    """When it is forgotten."""


class _Look(TypedDict):
    action: str
    role: str
    limit: None


_READ: Final[_Look] = {"action": "settings.read", "role": MEMBER, "limit": None}  # the limit is counted by serve()


_MEMBERS: Final = "is needed: you see the settings of your own organisations"
_picture: Picture | None = None
_loading = threading.Lock()
_tokens: dict[bytes, _Known] = {}
_looks: "dict[bytes, asyncio.Task[_Known]]" = {}


def caught_up() -> None:
    """Wait until this process answers with what was just committed: who writes and then reads sees what they wrote.

    Never fails: what was committed must not be answered as an error.
    """
    if resolver.stale:
        return
    try:
        with db.transaction() as session:
            generation = session.exec(select(SettingsGeneration.generation)).one()
    except CoreError:
        return
    resolver.wait_for(generation, CATCH_UP_SECONDS)


async def serve(scope: Scope) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    """Return status, headers and body of the answer to GET: 200, or 304 if the client has it already.

    Raises:
        CoreError: For whatever is refused.
    """
    asked, if_none_match = _read_headers(scope["headers"])
    known = await _caller(asked)
    limiter = ratelimit.get_limiter()
    spend = partial(limiter.spend, known.who, "general")
    spent = await anyio.to_thread.run_sync(spend) if limiter.shared else spend()
    note_limit(scope, spent)  # also should it be refused from here on
    wanted = _read_query(scope["query_string"])
    if known.role == MEMBER and wanted.at is None:
        await anyio.to_thread.run_sync(partial(_of_member, known, wanted))
    if wanted.at is not None:
        return await anyio.to_thread.run_sync(partial(_then, known, wanted, spent))
    page = await _page(wanted, known.role)
    if if_none_match is not None and _matches(if_none_match, page.etag):
        SETTINGS_ANSWERS["unchanged"].inc()
        return 304, [*page.bare, *limit_headers(spent)], b""
    SETTINGS_ANSWERS["sent"].inc()
    return 200, [*page.headers, *limit_headers(spent)], page.body


def _then(known: "_Known", wanted: Wanted, spent: Any) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    """Return the answer for a moment of the past: nothing of it is kept. Whose organisation it is, the history asks.

    Raises:
        NotAsNamed: If a member names none.
    """
    if known.role == MEMBER and wanted.organization is None:
        raise NotAsNamed({"organization": _MEMBERS})
    asked = AskedFor(None, wanted.organization, wanted.feature)
    generation, body = past.body(known.actor, known.role, wanted.at or "", wanted.name, asked, explain=wanted.explain)
    kind, length = (b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())
    of = (b"llm-settings-generation", str(generation).encode())
    return 200, [kind, length, of, _CACHE, _VARY, *limit_headers(spent)], body


async def _caller(asked: Asked) -> _Known:
    """Return who calls, from memory if it is a token that was just looked at. Of those who have to look, one does."""
    if asked.authorization is None:
        caller = await anyio.to_thread.run_sync(
            partial(look, asked, **_READ)
        )  # a sign-in ends at once: never remembered
        return _known(caller, 0, 0)
    digest = hashlib.sha256(asked.authorization.encode()).digest()
    known, now = _tokens.get(digest), time.monotonic()
    if known is not None and now < known.until:
        if now > known.again:
            _looking(digest, asked)  # beside this answer, so that none has to wait
        return known
    return await asyncio.shield(_looking(digest, asked))


def _known(caller: Caller, again: float, until: float) -> _Known:
    return _Known(caller.role, ratelimit.who_is(caller.actor), caller.actor, caller.organizations, again, until)


def _looking(digest: bytes, asked: Asked) -> "asyncio.Task[_Known]":
    task = _looks.get(digest)
    if task is None:
        task = _looks[digest] = asyncio.create_task(_look_at_token(digest, asked))
        task.add_done_callback(partial(_looked, digest))
    return task


async def _look_at_token(digest: bytes, asked: Asked) -> _Known:
    began = time.monotonic()
    caller = await anyio.to_thread.run_sync(partial(look, asked, **_READ))
    if len(_tokens) >= TOKENS:
        _tokens.clear()
    known = _known(caller, began + TOKEN_SECONDS / 2, began + TOKEN_SECONDS)
    _tokens[digest] = known
    return known


def _looked(digest: bytes, task: "asyncio.Task[_Known]") -> None:
    del _looks[digest]
    if task.cancelled() or task.exception() is not None:
        _tokens.pop(digest, None)


async def _page(wanted: Wanted, role: str) -> Page:
    picture = _picture
    if picture is not None and not resolver.stale and picture.stored.generation == resolver.generation:
        page = picture.known(wanted, role)
        if page is not None:
            return page
    return await anyio.to_thread.run_sync(partial(_built, wanted, role))


def _built(wanted: Wanted, role: str) -> Page:
    global _picture  # noqa: PLW0603 - replaced whole
    with _loading:  # of those who find it old, one reads
        picture = _picture
        if picture is None or resolver.stale or picture.stored.generation != resolver.generation:
            with db.transaction() as session:
                picture = _picture = Picture(settings.load(session))
    return picture.page(wanted, role)


def _read_headers(headers: Iterable[tuple[bytes, bytes]]) -> tuple[Asked, str | None]:
    found: dict[bytes, str] = {}
    for name, value in headers:
        if name in _WANTED:
            text = value.decode("latin-1")
            found[name] = f"{found[name]}, {text}" if name in found else text
    asked = Asked(found.get(b"authorization"), found.get(_SECRET), found.get(_ADDRESS, ""))
    return asked, found.get(b"if-none-match")


_SECRET, _ADDRESS = SECRET_HEADER.encode(), ADDRESS_HEADER.encode()
_WANTED = frozenset({b"authorization", b"if-none-match", _SECRET, _ADDRESS})


@lru_cache(maxsize=2048)
def _read_query(query: bytes) -> Wanted:
    if not query:
        return Wanted(None)
    try:
        pairs = parse_qsl(query.decode("ascii"), keep_blank_values=True, max_num_fields=10)
    except ValueError:
        raise NotAsNamed({"query": "cannot be read"}) from None
    sent = dict(pairs)
    problems = {
        name[:50]: "is no parameter here; there are: at, explain, feature, organization, provider, providerId"
        for name in sent.keys() - _PARAMETERS
    }
    if len(sent) < len(pairs):
        problems |= {name[:50]: "stands twice" for name in sent if [n for n, _ in pairs].count(name) > 1}
    explain = sent.get("explain", "false")
    if explain not in {"true", "false"}:
        problems["explain"] = "must be true or false"
    by_id = sent.get("providerId")
    if by_id is not None and not (by_id.isdecimal() and by_id.isascii() and 0 < int(by_id[:11]) <= LARGEST):
        problems["providerId"] = "must be the id of a provider"
    if by_id is not None and "provider" in sent:
        problems["providerId"] = "stands beside provider: one of them says which"
    if problems:
        raise NotAsNamed(problems)
    name = sent.get("provider") if by_id is None else int(by_id)
    return Wanted(name, sent.get("organization"), sent.get("feature"), explain == "true", sent.get("at"))


_PARAMETERS = {"provider", "providerId", "organization", "feature", "explain", "at"}


def _matches(if_none_match: str, etag: str) -> bool:
    """Compare weakly, as RFC 9110 §13.1.2 has it."""
    return if_none_match.strip() == "*" or etag in [tag.strip().removeprefix("W/") for tag in if_none_match.split(",")]
