"""What the rooms of a document share: rows as a document says them, those that are stored and those that are wanted, and secrets."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, NamedTuple

from sqlmodel import Session, col, select

from ...actors import Actor
from ...crypto import get_ring
from ...errors import Sealed
from ...store.organization_tables import LlmFeature, Organization
from ...store.sealed import fingerprint_of
from ...store.table import id_of
from ...store.tables import LlmProvider
from .schema import SecretPart

RowKey = tuple[str | None, ...]
"""The names by which a row is found."""
Fields = dict[str, Any]
"""What a row has, as a document says it; what it does not say is not in it."""
UNCHANGED: Final = "unchanged"


class SecretStored(NamedTuple):
    """A secret that is stored."""

    fingerprint: str
    """``#3f9a07c2``; empty if none was written."""
    key_id: str | None

    def exported(self) -> Fields:
        """Return how a document says it."""
        return {"set": True, "fingerprint": self.fingerprint} if self.fingerprint else {"set": True}


class SecretWanted(NamedTuple):
    """A secret that a document names, with its value if the command line read it."""

    part: SecretPart
    plain: str | None = None

    def __repr__(self) -> str:
        return f"SecretWanted({self.part.reference or 'set'})"

    def against(self, stored: "SecretStored | str | None") -> str:
        """Return what applying it does to *stored*, which may be plain text: ``same``, ``set``, ``remove`` or ``enter``."""
        secret = stored if isinstance(stored, SecretStored) else None
        if self.plain is not None:
            return "same" if secret is not None and _is_same(secret, self.plain) else "set"
        if self.part.set is False:
            return "same" if stored is None else "remove"
        if self.part.set:
            known = self.part.fingerprint
            if secret is not None and known in {None, secret.fingerprint}:
                return "same"
            return "same" if known is None and stored is not None else "enter"
        return "set"


def _is_same(stored: SecretStored, plain: str) -> bool:
    try:
        return bool(stored.fingerprint) and f"#{get_ring().fingerprint(plain, stored.key_id)}" == stored.fingerprint
    except Sealed:
        return False  # sealed with a key that is not here: enter it again


def stored_secret(row: Any, name: str) -> SecretStored | None:
    """Return what is stored of a sealed column of *row*, None if nothing."""
    blob = getattr(row, f"{name}_encrypted")
    if not blob:
        return None
    return SecretStored(fingerprint_of(getattr(row, f"{name}_fingerprint"), blob), getattr(row, f"{name}_key_id"))


@dataclass(frozen=True)
class StoredFields:
    """A row that is stored."""

    fields: Fields
    id: int | None = None
    version: int | None = None
    changes: Mapping[str, Any] = field(default_factory=dict)
    """The column ``field_changes``."""
    by: str | None = None
    at: datetime | None = None
    """Who changed it last, and when."""


def stored_of(row: Any, fields: Fields) -> StoredFields:
    """Return a row of a table that the stamp trigger serves."""
    changes = row.field_changes if isinstance(row.field_changes, dict) else {}
    return StoredFields(fields, id_of(row), row.version, changes, row.updated_by, row.updated_at)


class IdsAndNames:
    """Ids of names and names of ids, as this transaction has them."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.providers: dict[int, str] = {}
        self.features: dict[int, str] = {}
        self.organizations: dict[int, str] = {}
        """Of organisations and templates that are not deleted."""
        self.kinds: dict[str, str] = {}
        """Slug -> organization or template."""

    def load(self, organization: int | None = None) -> "IdsAndNames":
        """Read the names; of organisations with *organization* only it and the templates."""
        self.providers = {
            number or 0: name for number, name in self._session.exec(select(LlmProvider.id, LlmProvider.name))
        }
        self.features = {
            number or 0: name for number, name in self._session.exec(select(LlmFeature.id, LlmFeature.name))
        }
        query = select(Organization.id, Organization.slug, Organization.kind).where(
            col(Organization.deleted_at).is_(None)
        )
        if organization is not None:
            query = query.where((col(Organization.id) == organization) | (col(Organization.kind) == "template"))
        rows = self._session.exec(query).all()
        self.organizations = {number or 0: slug for number, slug, _ in rows}
        self.kinds = {slug: kind for _, slug, kind in rows}
        return self

    def provider(self, name: str) -> int:
        """Return the id of a provider that is there by now."""
        return self._id(LlmProvider, LlmProvider.name, name)

    def feature(self, name: str) -> int:
        """Return the id of a feature that is there by now."""
        return self._id(LlmFeature, LlmFeature.name, name)

    def organization(self, slug: str) -> int:
        """Return the id of an organisation that is there by now."""
        return self._id(Organization, Organization.slug, slug, col(Organization.deleted_at).is_(None))

    def _id(self, model: Any, column: Any, name: str, *more: Any) -> int:
        return int(self._session.exec(select(model.id).where(column == name, *more)).one())


class DocumentScope(NamedTuple):
    """What a document is of: the whole installation, or one organisation."""

    organization_id: int | None = None
    slug: str | None = None

    def of(self, query: Any, column: Any) -> Any:
        """Return *query* narrowed to the rows of the scope."""
        return query if self.organization_id is None else query.where(column == self.organization_id)


class Writing(NamedTuple):
    """What writing a row needs."""

    session: Session
    actor: Actor
    names: IdsAndNames


@dataclass(frozen=True)
class RowKind:
    """One kind of rows: where it stands in a document, and how its rows are read, found and written. See :mod:`~.sections`."""

    name: str
    section: str
    """The key at the top of a document."""
    tables: tuple[str, ...]
    """What it is stored in."""
    load: Callable[[Session, DocumentScope, IdsAndNames], dict[RowKey, StoredFields]]
    """What is stored."""
    find: Callable[[Any], Iterator[tuple[RowKey, Fields]]]
    """What a document wants."""
    put: Callable[[dict[str, Any], RowKey, Fields], None]
    """Puts a row into the data of a document."""
    path: Callable[[RowKey], str]
    """Where it stands in a document."""
    write: Callable[[Writing, RowKey, StoredFields | None, Fields, Mapping[str, Any]], None]
    """Writes what is wanted; the last is what differs: field -> wanted value."""
    remove: Callable[[Writing, RowKey, StoredFields], None] | None = None
    """Removes a row; None: it is never removed."""
    nothing: Callable[[RowKey], Fields | None] = lambda _key: None
    """What a row that is not there is equal to; None: to no row."""
    first: Callable[[StoredFields, Fields], Fields | None] | None = None
    """What of a row is written before all others, the rest after them; None: all of it in its turn."""
    late: bool = False
    """Whether a new row is written behind all others: as limits, which let what is stored be, and refuse what comes later."""
    partial: bool = False
    """Whether fields that a document does not name stay as they are stored."""
    names: tuple[str, ...] = ()
    """Fields that differ by spelling alone: they are not compared."""
    columns: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Field -> the columns that it is stored in, where they have other names."""
    of_organizations: bool = False
    """Whether rows of it are an organisation's, which its own admins export and apply."""
    order: Callable[[RowKey, Fields], Any] = lambda key, _fields: tuple(each or "" for each in key)
    """By which its rows are written."""


def within(data: dict[str, Any], *steps: str) -> dict[str, Any]:
    """Return the mapping at *steps* of *data*, made if it is not there."""
    for step in steps:
        data = data.setdefault(step, {})
    return data


def without_nothing(fields: Mapping[str, Any]) -> Fields:
    """Return fields without those that are None: a document leaves them out."""
    return {name: value for name, value in fields.items() if value is not None}
