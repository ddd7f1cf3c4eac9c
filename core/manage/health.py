"""How the store is: the database, the key ring, sign-ins and the audit, as the Health page shows them."""

from datetime import datetime
from typing import Final, NamedTuple

from sqlalchemy import text
from sqlalchemy.pool import QueuePool
from sqlmodel import Session, col, select

from ..access import sessions, sign_in, users
from ..access.sso_config import oidc_config
from ..config import get_config
from ..crypto import KeyRing
from ..errors import CoreError
from ..models.facts import CatalogueHealth
from ..store import grants, migrate, outages, revisions, sealed
from ..store.records import AuditEvent, AuditHead
from ..store.tables import LlmProvider
from . import keys, knowledge, next_keys, personal_data, provider_keys, provider_secrets, readable, services


class Health(NamedTuple):
    """What was found; nothing in it is secret."""

    embedded: bool
    database: str
    server: str
    """Version of PostgreSQL."""
    size: int
    """Bytes on disk."""
    revision: str | None
    """Of the schema; None: it was never migrated."""
    head: str
    """The revision this version needs."""
    schema: revisions.SchemaState
    older_services: tuple[services.Service, ...]
    """Connected resolvers of versions before this one."""
    processes: tuple[services.Process, ...]
    """Connected to this database, this one among them."""
    untelling: tuple[services.Untelling, ...]
    """Connected processes that may not tell what their calls cost."""
    without_the_key: tuple[services.Process, ...]
    """Those of them that lack this process's primary key, or do not say their keys."""
    in_use: int
    """Connections of this process in use now, this look's own among them."""
    keys: keys.RingStatus
    sealed_values: int
    unreadable: tuple[sealed.Tried, ...]
    refused_keys: tuple["RefusedKey", ...]
    sign_ins: int
    """Live now, by the database's clock."""
    events: int
    """Of the audit, ever."""
    newest_event: datetime | None
    catalogue: CatalogueHealth
    """Whether it is known what models take: the catalogue, and what the database has beside it."""
    sign_on: "SignOnHealth | None" = None
    """None: no identity provider is configured."""
    log_awaits_decision: bool = False
    """Whether an upgrade keeps personal data in the request log as it was, and nobody has decided since."""


class SignOnHealth(NamedTuple):
    """How people sign in where there is an identity provider."""

    issuer: str
    only: bool
    """Whether local users are refused, but those of the way back."""
    way_back: bool
    """Whether an active admin is marked as such."""
    came_by_it: tuple[tuple[str, datetime], ...]
    """Who came in by the way back in the last day, and when, the newest first."""


class RefusedKey(NamedTuple):
    """A provider whose current API key the vendor refuses, as calls of the last day found out."""

    provider: str
    display_name: str
    key: str
    """Mask and fingerprint."""
    at: datetime
    """Of the newest refusal; no call of the provider has worked since."""
    beside: str | None
    """The key beside it: ``next`` or ``former``, with mask and fingerprint; None: there is none."""


class Readiness(NamedTuple):
    """Whether this process can do its work, in words that give nothing away."""

    database: str
    """``ok``, ``unreachable``, or one of :data:`core.store.outages.WORDS`. ``disk_full``: it refused a change for that within
    the last minute; reading works."""
    schema: str
    """``ok``, ``newer``, ``newer_read_only`` (:data:`core.store.revisions.SchemaState`), ``mismatch`` or ``unknown``."""
    key_ring: str
    """``ok``, ``unknown``, ``degraded`` where an active provider's API key cannot be opened, or what
    :func:`core.manage.keys.look_at_canary` says of the primary key."""
    serves: bool = True
    """Whether requests are better sent here than refused."""


UNREACHABLE: Final = Readiness("unreachable", "unknown", "unknown", serves=False)


def readiness(session: Session, ring: KeyRing) -> Readiness:
    """Return whether the database has this version's schema, and knows this process's key."""
    connection = session.connection()
    found = revisions.state(connection)
    if found not in {"ok", "newer", "newer_read_only"}:
        return Readiness("ok", "mismatch", "unknown", serves=False)
    if lacks := grants.lacking(session):
        table, right = lacks[0]
        outages.causes.note(
            outages.NO_RIGHT, f"no {right} on {table}: run `python -m core grant-app ROLE` as the owner"
        )
        return Readiness("no_rights", found, "unknown", serves=all(right != "SELECT" for _, right in lacks))
    canary = keys.look_at_canary(session, ring).state
    key_ring: str = "ok" if canary in {"first_use", "new_primary"} else canary
    if key_ring in {"ok", "behind", "damaged"} and not readable.all_open(session, ring):
        key_ring = "degraded"
    if session.scalar(text("SELECT current_setting('transaction_read_only') = 'on'")):
        outages.causes.note(outages.READ_ONLY, "it allows read-only transactions alone")
        session.invalidate()  # a new line may find the primary, or a database that takes changes again
        return Readiness("read_only", found, key_ring, serves=False)
    return Readiness("disk_full" if outages.causes.is_recent(outages.DISK_FULL) else "ok", found, key_ring)


def unready(error: CoreError) -> Readiness:
    """Return why there is nothing to look at, by the error that a transaction ended with."""
    return UNREACHABLE._replace(database=outages.word_of(error))


def look(session: Session, ring: KeyRing) -> Health:
    """Return how everything is. Opens every sealed value: some 30 µs each.

    Raises:
        BadConfig: If the environment is wrong.
    """
    connection = session.connection()
    pool = connection.engine.pool
    tried = sealed.open_all(session, ring)
    database, server, size = connection.execute(
        text("SELECT current_database(), current_setting('server_version'), pg_database_size(current_database())")
    ).one()
    return Health(
        embedded=get_config().embedded,
        database=database,
        server=server.split(" ")[0],
        size=size,
        revision=revisions.current(connection),
        head=migrate.head(),
        schema=revisions.state(connection),
        older_services=tuple(services.older(session)),
        processes=tuple(services.processes(session)),
        untelling=tuple(services.untelling(session)),
        without_the_key=tuple(services.lacking(session, ring.primary_id)) if ring.primary_id else (),
        in_use=pool.checkedout() if isinstance(pool, QueuePool) else 1,
        keys=keys.status(session, ring),
        sealed_values=len(tried),
        unreadable=tuple(row for row in tried if row.state != "ok"),
        refused_keys=tuple(refused_keys(session)),
        sign_ins=sum(sessions.count_live(session).values()),
        events=session.exec(select(AuditHead.seq)).one_or_none() or 0,
        newest_event=session.exec(select(AuditEvent.at).order_by(col(AuditEvent.at).desc()).limit(1)).one_or_none(),
        catalogue=knowledge.of(session).health(),
        sign_on=_sign_on(session),
        log_awaits_decision=personal_data.undecided(session),
    )


def _sign_on(session: Session) -> SignOnHealth | None:
    config = oidc_config(get_config())
    if config is None:
        return None
    query = select(AuditEvent.target, AuditEvent.at).where(AuditEvent.action == sign_in.WAY_BACK)
    query = query.where(col(AuditEvent.at) > text("now() - interval '1 day'"))
    came = session.exec(query.order_by(col(AuditEvent.at).desc()).limit(_SHOWN)).all()
    return SignOnHealth(config.issuer, config.only, users.has_way_back(session), tuple((name, at) for name, at in came))


_SHOWN: Final = 5


def refused_keys(session: Session) -> list[RefusedKey]:
    """Return the providers whose current key was refused (401) by their newest logged call since the key was set.

    By the request log of a day, its newest 10,000 failures: where calls are not logged nothing is known.
    """
    found = session.execute(text(_REFUSED), {"newest": _NEWEST}).all()
    refused = []
    for provider_id, at in found:
        provider = session.get(LlmProvider, provider_id)
        if provider is None or not provider.is_active or not provider.needs_key or provider.api_key_encrypted is None:
            continue
        change = provider.field_changes.get("api_key") or {}
        if "at" in change and datetime.fromisoformat(change["at"]) > at:
            continue  # of another key
        row = next_keys.get(session, provider_id)
        beside = None if row is None else f"{row.name} key {provider_secrets.shown(row)}"
        shown = provider_keys.shown_key(provider) or ""
        refused.append(RefusedKey(provider.name, provider.display_name, shown, at, beside))
    return refused


_NEWEST: Final = 10_000
_REFUSED: Final = """
    SELECT refused.provider_id, refused.at FROM (
        SELECT provider_id, max(at) AS at FROM (
            SELECT provider_id, at, error FROM llm_logs
            WHERE status = 'error' AND at > now() - interval '1 day' ORDER BY at DESC, id DESC LIMIT :newest
        ) failed WHERE error LIKE '% failed (key, %): 401: %' AND provider_id IS NOT NULL GROUP BY provider_id
    ) refused JOIN llm_providers ON llm_providers.id = refused.provider_id
    WHERE NOT EXISTS (
        SELECT FROM llm_logs later
        WHERE later.provider = llm_providers.name AND later.at > refused.at AND later.status = 'ok'
    ) ORDER BY llm_providers.name
"""
