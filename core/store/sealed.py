"""The sealed columns: where they are, how a row is opened, and how many values each encryption key holds.

A test fails for a sealed column that is not registered in :data:`SEALED`.
"""

from collections import Counter
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from sqlalchemy import and_, case, func, select
from sqlmodel import Session

from ..crypto import KeyRing, Place, SealedKey
from ..errors import KeyUnreadable
from ..kinds import origin_of
from ..resolving.carried import place_of_secret
from ..resolving.tenant import place_of_own_key
from .notification_tables import NotificationTarget
from .organization_tables import Organization, OrganizationProvider
from .table import Table
from .tables import LlmProvider, LlmProviderSecret, SecondFactor, User


class SealedColumn(NamedTuple):
    """A column ``<name>_encrypted`` with ``<name>_key_id`` and ``<name>_binding`` beside it."""

    model: type[Table]
    name: str
    label: Any
    """SQL: what names the row to people."""
    beside: tuple[Any, ...]
    """SQL: further columns that *place* reads."""
    place: Callable[[Any], Place]
    """Row -> where its value belongs."""
    of: Any = None
    """The condition by which a row of another table, which *beside* is taken from, belongs to it."""
    fingerprinted: bool = False
    """Whether there is a column ``<name>_fingerprint``: see :func:`fingerprint`."""

    @property
    def table(self) -> Any:
        """The SQLAlchemy table."""
        return self.model.__table__  # type: ignore[attr-defined]  # SQLModel does not declare it

    def columns(self) -> tuple[Any, Any, Any]:
        """Return blob, key id and binding."""
        c = self.table.c
        return c[f"{self.name}_encrypted"], c[f"{self.name}_key_id"], c[f"{self.name}_binding"]

    def query(self) -> Any:
        """Select ``id, label, blob, key_id, binding`` and the columns beside, of rows that hold a value; by id."""
        c, (blob, key_id, binding) = self.table.c, self.columns()
        named = (self.label.label("label"), blob.label("blob"), key_id.label("key_id"), binding.label("binding"))
        query = select(c.id, *named, *self.beside).where(blob.is_not(None)).order_by(c.id)
        return query if self.of is None else query.where(self.of)

    def fingerprints(self, ring: KeyRing, plain: str, stored: SealedKey) -> dict[str, str]:
        """Return the fingerprint's column and its value, of what was sealed just now; empty where there is no such column."""
        return {f"{self.name}_fingerprint": fingerprint(ring, plain, stored)} if self.fingerprinted else {}

    def missing_fingerprint(self) -> Any:
        """Return the condition that a row has no fingerprint, or that of another blob."""
        written = func.coalesce(self.table.c[f"{self.name}_fingerprint"], "")
        return func.right(written, _SHOWN) != func.left(self.columns()[0], _SHOWN)


def fingerprint(ring: KeyRing, plain: str, stored: SealedKey) -> str:
    """Return what is stored as the fingerprint of a sealed value: see :meth:`~core.crypto.KeyRing.fingerprint`.

    Behind it stands the beginning of the blob that it is of: a program that knows only the blob may write another one, and
    :func:`fingerprint_of` then shows none, rather than that of a key that is gone.
    """
    return f"{ring.fingerprint(plain, stored.key_id)}@{stored.blob[:_SHOWN]}"


def fingerprint_of(stored: str | None, blob: str | None) -> str:
    """Return a stored fingerprint as people see it, ``#3f9a07c2``; empty if there is none, or it is of another blob."""
    shown, _, of = (stored or "").partition("@")
    return f"#{shown}" if shown and blob and blob[:_SHOWN] == of else ""


_SHOWN: Final = 8


def provider_place(row: Any) -> Place:
    """Return where the key of a provider belongs; *row* has ``id``, ``kind`` and ``api_base_url``."""
    return Place("llm_providers", row.id, "api_key", origin_of(row.kind, row.api_base_url))


def secret_place(row: Any) -> Place:
    """Return where a header, query parameter or next key belongs: its row, its name, its provider and the provider's host.

    *row* has ``id``, ``provider_id``, ``use`` and ``name``, and of the provider ``kind`` and ``api_base_url``.
    """
    return place_of_secret(row.id, row.provider_id, row.use, row.name, origin_of(row.kind, row.api_base_url))


def own_key_place(row: Any) -> Place:
    """Return where an organisation's own key belongs: its row, the organisation, the provider and the provider's host.

    *row* has ``id``, ``organization_id`` and ``provider_id``, and of the provider ``kind`` and ``api_base_url``.
    """
    return place_of_own_key(row.id, row.organization_id, row.provider_id, origin_of(row.kind, row.api_base_url))


def target_secret_place(row: Any) -> Place:
    """Return where the secret of a webhook belongs, or the URL of Slack: its row, and the host that its messages go to; *row* has ``id`` and ``url``."""
    return Place("notification_targets", row.id, "signing", origin_of("", row.url))


def former_target_secret_place(row: Any) -> Place:
    """Return the same for the secret that it had before."""
    return target_secret_place(row)._replace(column="former")


def second_factor_place(row: Any) -> Place:
    """Return where the seed of a second factor belongs: its row and its user; *row* has ``id`` and ``user_id``."""
    return Place("second_factors", row.id, "seed", f"user {row.user_id}")


_PROVIDERS: Final[Any] = LlmProvider.__table__.c  # type: ignore[attr-defined]  # SQLModel does not declare it
_SECRETS: Final[Any] = LlmProviderSecret.__table__.c  # type: ignore[attr-defined]  # SQLModel does not declare it
_OWN: Final[Any] = OrganizationProvider.__table__.c  # type: ignore[attr-defined]  # SQLModel does not declare it
_ORGANIZATIONS: Final[Any] = Organization.__table__.c  # type: ignore[attr-defined]  # SQLModel does not declare it
_TARGETS: Final[Any] = NotificationTarget.__table__.c  # type: ignore[attr-defined]  # SQLModel does not declare it
_FACTORS: Final[Any] = SecondFactor.__table__.c  # type: ignore[attr-defined]  # SQLModel does not declare it
_USERS: Final[Any] = User.__table__.c  # type: ignore[attr-defined]  # SQLModel does not declare it
_USES: Final = {"header": "header ", "query": "query parameter ", "next_key": "key "}
PROVIDER_KEY: Final = SealedColumn(
    LlmProvider,
    "api_key",
    _PROVIDERS.name,
    (_PROVIDERS.kind, _PROVIDERS.api_base_url),
    provider_place,
    fingerprinted=True,
)
PROVIDER_SECRET: Final = SealedColumn(
    LlmProviderSecret,
    "value",
    _PROVIDERS.name + ": " + case(_USES, value=_SECRETS.use, else_="") + _SECRETS.name,
    (_SECRETS.provider_id, _SECRETS.use, _SECRETS.name, _PROVIDERS.kind, _PROVIDERS.api_base_url),
    secret_place,
    of=_SECRETS.provider_id == _PROVIDERS.id,
    fingerprinted=True,
)
OWN_KEY: Final = SealedColumn(
    OrganizationProvider,
    "api_key",
    _ORGANIZATIONS.slug + " / " + _PROVIDERS.name,
    (_OWN.organization_id, _OWN.provider_id, _PROVIDERS.kind, _PROVIDERS.api_base_url),
    own_key_place,
    of=and_(_OWN.provider_id == _PROVIDERS.id, _OWN.organization_id == _ORGANIZATIONS.id),
    fingerprinted=True,
)
TARGET_SECRET: Final = SealedColumn(
    NotificationTarget,
    "signing",
    "receiver " + _TARGETS.name,
    (_TARGETS.url,),
    target_secret_place,
    fingerprinted=True,
)
FORMER_TARGET_SECRET: Final = SealedColumn(
    NotificationTarget,
    "former",
    "former secret of the receiver " + _TARGETS.name,
    (_TARGETS.url,),
    former_target_secret_place,
    fingerprinted=True,
)
SECOND_FACTOR: Final = SealedColumn(
    SecondFactor,
    "seed",
    "second factor of " + _USERS.username,
    (_FACTORS.user_id,),
    second_factor_place,
    of=_FACTORS.user_id == _USERS.id,
)
SEALED: Final = (PROVIDER_KEY, PROVIDER_SECRET, OWN_KEY, TARGET_SECRET, FORMER_TARGET_SECRET, SECOND_FACTOR)


class Tried(NamedTuple):
    """One sealed value that was tried."""

    table: str
    row_id: int
    name: str
    key_id: str | None
    state: str
    """``ok``, or the reason of :class:`~core.errors.KeyUnreadable`."""
    message: str
    """For people: what is wrong and the cure; empty for ``ok``."""


def try_open(column: SealedColumn, row: Any, ring: KeyRing) -> tuple[Tried, str | None]:
    """Open a row of ``column.query()``; returns what became of it, and the plain value or None."""
    seen = (column.table.name, row.id, row.label, row.key_id)
    try:
        return Tried(*seen, "ok", ""), ring.open(row.blob, row.key_id, row.binding, column.place(row))
    except KeyUnreadable as error:
        return Tried(*seen, error.reason, str(error)), None


def open_all(session: Session, ring: KeyRing) -> list[Tried]:
    """Try every sealed value. The plain values are dropped at once."""
    return [try_open(column, row, ring)[0] for column in SEALED for row in session.execute(column.query())]


def held(session: Session) -> Counter[str]:
    """Count sealed values by encryption key, by what stands beside them: nothing is opened. ``""``: no key id."""
    found: Counter[str] = Counter()
    for column in SEALED:
        blob, key_id, _ = column.columns()
        named = func.coalesce(key_id, "")
        for name, number in session.execute(select(named, func.count()).where(blob.is_not(None)).group_by(named)):
            found[name] += number
    return found


def unbound(session: Session, ring: KeyRing) -> Counter[str]:
    """Count the values of other programs, not adopted yet, by the key of *ring* that opens them; ``""``: none does."""
    found: Counter[str] = Counter()
    for column in SEALED:
        blob, key_id, binding = column.columns()
        bare = select(blob).where(blob.is_not(None), func.coalesce(key_id, "") == "", func.coalesce(binding, "") == "")
        found.update(ring.find(text) or "" for text in session.scalars(bare))
    return found
