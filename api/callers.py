"""Who calls, whether they may, and how often."""

from collections import Counter
from collections.abc import Callable, MutableMapping
from typing import Annotated, Any, Final, NamedTuple, TypeVar
from urllib.parse import unquote_to_bytes

from fastapi import Depends, Request
from sqlmodel import Session

from api.errors import Refused, not_signed_in
from api.names import NotAsNamed
from core.access import authority, ratelimit, sessions, sign_in, tokens
from core.access.ratelimit import Spent
from core.actors import Actor
from core.audit.record import explained
from core.errors import AlreadyExists, Conflict, Forbidden, Invalid, KeyUnreadable, NotFound, Sealed
from core.manage import bootstrap
from core.store import db
from core.store.tables import MEMBER
from web.request import ADDRESS_HEADER, SECRET_HEADER, is_ours

T = TypeVar("T")

WRITES: Final = frozenset({"sensitive", "provisioning"})
"""The limits that count what is committed."""
SPENT: Final = "llm_settings.spent"
"""Where a request's scope keeps what is left of its limit."""
REASON: Final = "Change-Comment"
"""The header that says why something is changed: one for every write, as a DELETE has no body. Google Cloud's APIs have
``X-Goog-Request-Reason`` for the same."""


class Caller(NamedTuple):
    """Who calls: somebody whose token or sign-in holds, and who may do what they ask for."""

    actor: Actor
    role: str
    spent: Spent | None
    """What is left of the limit."""
    organizations: frozenset[int]
    """Those that a member belongs to; of others, who see all or none, none."""


class Asked(NamedTuple):
    """What a request says of itself."""

    authorization: str | None
    secret: str | None
    """Of the browser's cookie."""
    address: str


def look(asked: Asked, *, action: str, role: str, limit: ratelimit.LimitName | None) -> Caller:
    """Return who calls, if they may do *action*, which takes *role*. A token counts more than a cookie.

    The general limit is counted here, whatever comes of the request; those of writes are only looked at: :func:`write`
    counts what is committed.

    Raises:
        Refused: 401 if neither a token nor a sign-in holds. That counts by the network it comes from.
        TooManyRequests: If the limit is used up.
        Forbidden: If they may not; it is put on record.
        StoreUnavailable: As everywhere.
    """
    bootstrap.ensure_ready()
    limiter = ratelimit.get_limiter()
    with db.transaction() as session:
        actor = _find(session, asked)
        if actor is not None:
            has = authority.role_of(session, actor) or ""
            who = ratelimit.who_is(actor)
            spent = limiter.check(who, limit) if limit in WRITES else None
            if limit == "general" or has not in authority.ENOUGH[role]:
                spent = limiter.spend(who, "general")  # before the denial: nobody fills the audit without an end
            authority.require(session, actor, action, role=role)
            of = authority.visible(session, actor, action).roles if has == MEMBER else {}
            return Caller(actor, has, spent, frozenset(of))
    limiter.spend(f"address:{sign_in.network_of(asked.address)}", "general")
    raise not_signed_in()


def role_of(asked: Asked) -> str | None:
    """Return the role of who calls, None for nobody. Nothing is refused: what they may not see is left out, not on record.

    Raises:
        StoreUnavailable: As everywhere.
    """
    with db.transaction() as session:
        actor = _find(session, asked)
        return None if actor is None else authority.role_of(session, actor)


def _find(session: Session, asked: Asked) -> Actor | None:
    if asked.authorization is not None:
        scheme, _, token = asked.authorization.partition(" ")
        return tokens.find(session, token.strip(), asked.address) if scheme.lower() == "bearer" else None
    actor = sessions.find(session, asked.secret, asked.address) if asked.secret else None
    if actor is not None:
        sessions.touch(session, actor)
    return actor


def admitted(action: str, role: str, limit: ratelimit.LimitName | None = "general") -> Any:
    """Return the dependency that lets a caller in: signed in, with the right, within the limit, with known parameters."""

    def dependency(request: Request) -> Actor:
        headers = request.headers
        authorization = ", ".join(headers.getlist("authorization")) or None
        if authorization is None and request.method not in {"GET", "HEAD"}:
            _from_our_page(request)
        asked = Asked(authorization, headers.get(SECRET_HEADER), headers.get(ADDRESS_HEADER, ""))
        caller = look(asked, action=action, role=role, limit=limit)
        if caller.spent is not None:
            note_limit(request.scope, caller.spent)
        _known_parameters(request)
        return caller.actor

    return Depends(dependency)


def note_limit(scope: MutableMapping[str, Any], spent: Spent) -> None:
    """Have the answer say what is left of a limit, whatever it will be."""
    scope[SPENT] = spent


def limit_headers(spent: Spent) -> tuple[tuple[bytes, bytes], ...]:
    """Return what an answer says of a limit, as draft-ietf-httpapi-ratelimit-headers-06 has it."""
    return (
        (b"ratelimit-limit", b"%d" % spent.limit),
        (b"ratelimit-remaining", b"%d" % spent.remaining),
        (b"ratelimit-reset", b"%d" % spent.reset),
        (b"ratelimit-policy", b"%d;w=%d" % (spent.limit, spent.window)),
    )


def write(request: Request, actor: Actor, work: Callable[[Session], T], limit: ratelimit.LimitName = "sensitive") -> T:
    """Run *work* as one transaction; counted on *limit* if it commits, on the general one if it is refused.

    What the header :data:`REASON` says goes on record with it.

    Raises:
        TooManyRequests: If the limit was used up meanwhile; nothing is changed then.
        CoreError: What *work* raises.
    """
    limiter, who = ratelimit.get_limiter(), ratelimit.who_is(actor)
    spent: list[Spent] = []
    why = reason_of(request)

    def counted(session: Session) -> T:
        with explained(session, why):
            done = work(session)
        if not spent:  # a lost deadlock runs it again
            spent.append(limiter.spend(who, limit))
            note_limit(request.scope, spent[0])
        return done

    try:
        return db.retrying(counted)
    except (Refused, Invalid, NotFound, AlreadyExists, Conflict, Forbidden, Sealed, KeyUnreadable):
        count_refused(request, actor)
        raise


def reason_of(request: Request) -> str:
    """Return what the header :data:`REASON` says; empty: there is none.

    Headers are bytes: UTF-8 is read as it is, and where it is percent-encoded, as clients must who send ASCII alone.
    """
    sent = " ".join(request.headers.getlist(REASON)).encode("latin-1")
    for given in (unquote_to_bytes(sent), sent):
        try:
            return given.decode()
        except UnicodeDecodeError:
            continue
    return sent.decode("latin-1")


def count_refused(request: Request, actor: Actor) -> None:
    """Count a write that was refused, on the general limit; raises TooManyRequests."""
    note_limit(request.scope, ratelimit.get_limiter().spend(ratelimit.who_is(actor), "general"))


def _from_our_page(request: Request) -> None:
    """A cookie goes along with whatever a page anywhere sends; the Origin, which browsers set, says whose page it was."""
    if request.headers.get(SECRET_HEADER) and not is_ours(request.headers.get("origin", ""), request.headers):
        raise Refused(403, "FOREIGN_ORIGIN", "With a cookie, writes come from our own pages; programs send a token.")


def _known_parameters(request: Request) -> None:
    known = {parameter.alias for parameter in request.scope["route"].dependant.query_params}
    sent = [name for name, _ in request.query_params.multi_items()]
    unknown = f"is no parameter here; there are: {', '.join(sorted(known)) or 'none'}"
    problems = {name[:50]: "stands twice" for name, times in Counter(sent).items() if times > 1}
    problems |= {name[:50]: unknown for name in sent if name not in known}
    if problems:
        raise NotAsNamed(problems)


Reader = Annotated[Actor, admitted("rest.read", "admin")]
"""An admin who reads."""
Writer = Annotated[Actor, admitted("rest.write", "admin", "sensitive")]
"""An admin who writes."""
MemberReader = Annotated[Actor, admitted("rest.read", MEMBER)]
"""Whoever reads what organisations have; core decides what they see."""
MemberWriter = Annotated[Actor, admitted("rest.write", MEMBER, "sensitive")]
"""Whoever writes settings that may be an organisation's; core decides which they may."""
Provisioner = Annotated[Actor, admitted("rest.write", MEMBER, "provisioning")]
"""Whoever makes organisations, or manages one; core decides which they may."""
