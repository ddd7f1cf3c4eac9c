"""What applying a document would change, field by field: against what is stored, with what others have changed since the last time."""

from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal, NamedTuple

from sqlalchemy import or_
from sqlmodel import Session, col, func, select

from ...access.authority import visible
from ...actors import APPLIER, Actor
from ...errors import Invalid
from ...manage.organization_members import shown_names
from ...store.records import AuditEvent
from .rows import DocumentScope, Fields, IdsAndNames, RowKey, RowKind, SecretWanted, StoredFields
from .schema import CALL_SCOPE, Document, Secrets, path_of
from .sections import KINDS
from .writing import generation, scope_of

APPLIED: Final = "document.apply"
"""The action of the event that an apply puts on record."""
NO_REFERENCE: Final = (
    "is a reference, {env: …} or {file: …}, which only the command line resolves, on its own machine: run python -m core apply "
    "there, or enter the key on its page and write {set: true} here"
)
_SOMEBODY: Final = "somebody"
_Shown = Callable[[str | None], str | None]
"""What makes of who changed something what the actor may read."""
_SECRETS: Final = frozenset({"api_key", "next_key", "value"})


class Disputed(NamedTuple):
    """A field that somebody changed since the last apply, and the document would change back."""

    name: str
    by: str
    at: str


@dataclass(frozen=True)
class RowChange:
    """One row that a document makes, changes or removes."""

    kind: RowKind
    key: RowKey
    what: Literal["create", "update", "delete"]
    before: StoredFields | None
    wanted: Fields
    differing: Mapping[str, Any]
    """Field -> what it is to be; None: nothing."""
    disputed: tuple[Disputed, ...] = ()

    @property
    def path(self) -> str:
        """Where it stands in the document."""
        return self.kind.path(self.key)


@dataclass(frozen=True)
class ChangePlan:
    """What applying a document does."""

    scope: DocumentScope
    generation: int
    """Of the store that it was compared with."""
    changes: tuple[RowChange, ...] = ()
    to_enter: tuple[str, ...] = ()
    """Paths of secrets that the document says are set, and that are not stored, or are others: a person enters them."""
    unread: tuple[str, ...] = ()
    """Paths of references that were not found where the plan was made; they are not compared."""
    names: IdsAndNames | None = field(default=None, repr=False, compare=False)

    @property
    def disputed(self) -> list[tuple[RowChange, Disputed]]:
        """Each field in dispute."""
        return [(change, each) for change in self.changes for each in change.disputed]


def plan(
    session: Session,
    actor: Actor,
    document: Document,
    *,
    organization: str | None = None,
    prune: bool = False,
    secrets: Secrets | None = None,
    missing: bool = False,
) -> ChangePlan:
    """Return what applying *document* would change.

    A row that it names is as it says, whole; rows that it does not name stay, unless *prune* is set, and then those of
    sections that it does not name stay still.

    Args:
        session: The transaction.
        actor: An admin; of one organisation also an admin of it.
        document: What is wanted.
        organization: A name of the one that it is of; None: it is of the installation.
        prune: Whether rows of its sections that it does not name are removed. Keys of rows that stay never are.
        secrets: What the command line read of its references; None: nobody resolves any, and each is refused.
        missing: Whether a reference that is not among *secrets* is left out of the comparison, rather than refused.

    Raises:
        Forbidden, NotFound: As everywhere.
        Invalid: Each path at fault and the rule.
    """
    scope = scope_of(session, actor, organization, "apply")
    stored_at = generation(session)
    plain, unread = _resolved(document, secrets, missing=missing)
    names = IdsAndNames(session).load(scope.organization_id)
    wanted = {kind.name: _wanted(kind, document, plain) for kind in KINDS}
    _refuse_other_sections(document, scope)
    _refuse_unknown(wanted, names)
    by = shown_names(session, visible(session, actor, APPLIED), scope.organization_id)
    since, changes, to_enter = _last_applied(session, scope), [], []
    going: dict[str, set[str]] = {}
    removed: list[RowChange] = []
    for kind in KINDS:
        stored = kind.load(session, scope, names)
        for key, fields in sorted(wanted[kind.name].items(), key=lambda item: kind.order(*item)):
            before = stored.get(key)
            differing, enter = _differing(kind, key, before, fields)
            to_enter += [_at(kind, key, name) for name in enter if _at(kind, key, name) not in unread]
            for name in enter:
                differing.pop(name, None)
            if differing:
                what: Literal["create", "update"] = "create" if before is None else "update"
                disputed = tuple(_disputed(kind, before, differing, since, by))
                changes.append(RowChange(kind, key, what, before, fields, differing, disputed))
        if prune and kind.remove is not None:
            gone = [key for key in stored if key not in wanted[kind.name] and _is_named(document, kind, key)]
            going[kind.name] = {str(key[0]) for key in gone}
            removed += [
                RowChange(kind, key, "delete", stored[key], {}, {}, tuple(_disputed_row(stored[key], since, by)))
                for key in sorted(gone, key=lambda key: tuple(each or "" for each in key))
                if not _goes_along(kind, key, going) and _would_go(kind, key, stored[key])
            ]
    order = [kind.name for kind in KINDS]
    removed.sort(key=lambda change: -order.index(change.kind.name))
    return ChangePlan(scope, stored_at, (*changes, *removed), tuple(to_enter), tuple(unread), names)


def _resolved(document: Document, secrets: Secrets | None, *, missing: bool) -> tuple[dict[int, str], list[str]]:
    """Return the plain values that were read, by the part that refers to them, and the paths of those that were not found."""
    plain: dict[int, str] = {}
    problems: dict[str, str] = {}
    unread: list[str] = []
    for path, part in document.secrets():
        if not part.reference:
            continue
        if secrets is None:
            problems[path] = NO_REFERENCE
        elif path in secrets:
            plain[id(part)] = secrets[path]
        elif missing:
            unread.append(path)
        else:
            problems[path] = f"refers to {part.reference}, which is not there"
    if problems:
        raise Invalid(problems)
    return plain, unread


def _wanted(kind: RowKind, document: Document, plain: Mapping[int, str]) -> dict[RowKey, Fields]:
    found: dict[RowKey, Fields] = {}
    for key, fields in kind.find(document):
        if key in found:
            raise Invalid({kind.path(key): "stands twice"})
        found[key] = {
            name: value._replace(plain=plain.get(id(value.part))) if isinstance(value, SecretWanted) else value
            for name, value in fields.items()
        }
    return found


def _refuse_other_sections(document: Document, scope: DocumentScope) -> None:
    if scope.organization_id is None:
        return
    rule = f"does not belong into the document of {scope.slug}: it has organizations.{scope.slug} alone"
    problems = dict.fromkeys(document.model_fields_set - {"version", "organizations", "limits", "personal_data"}, rule)
    problems |= {path_of("organizations", slug): rule for slug in document.organizations or {} if slug != scope.slug}
    problems |= {
        f"limits.{at}": rule for at, part in enumerate(document.limits or ()) if part.organization != scope.slug
    }
    problems |= {
        f"personal_data.{at}": rule
        for at, part in enumerate(document.personal_data or ())
        if part.organization != scope.slug
    }
    if problems:
        raise Invalid(problems)


def _refuse_unknown(wanted: Mapping[str, Mapping[RowKey, Fields]], names: IdsAndNames) -> None:
    """Refuse what names a provider, a feature or a template that is neither stored nor in the document."""
    providers = {*names.providers.values(), *(str(key[0]) for key in wanted["provider"])}
    features = {*names.features.values(), *(str(key[0]) for key in wanted["feature"])}
    kinds = {**names.kinds, **{str(key[0]): str(row["kind"]) for key, row in wanted["organization"].items()}}
    problems = {}
    for key, fields in wanted["settings"].items():
        path = path_of(*_steps(key))
        if key[2] is not None and key[2] not in providers:
            problems[path] = _unknown("provider", key[2])
        if key[1] is not None and key[1] not in features:
            problems[path] = _unknown("feature", key[1])
        default = fields.get("default_provider")
        if default is not None and default not in providers:
            problems[f"{path}.default_provider"] = _unknown("provider", default)
    problems |= _unknown_of_limits(wanted["limits"], providers, features, kinds)
    known = {"provider": providers, "feature": features, "organization": kinds}
    problems |= {
        f"{path_of(section, str(key[0]))}.{each}": _unknown(each.replace("z", "s"), fields[each])
        for kind, section in (("budget", "budgets"), ("rate_limit", "rate_limits"))
        for key, fields in wanted[kind].items()
        for each in CALL_SCOPE
        if each in fields and fields[each] not in known[each]
    }
    problems |= {
        path_of("personal_data", *filter(None, key)): _unknown(each.replace("z", "s"), name)
        for key in wanted["personal_data"]
        for each, name in zip(CALL_SCOPE, key, strict=True)
        if name is not None and name not in known[each]
    }
    for slug, provider in wanted["terms"]:
        if provider not in providers:
            problems[path_of("organizations", str(slug), "providers", str(provider))] = _unknown("provider", provider)
    for (slug, *_), fields in wanted["organization"].items():
        template = fields.get("template")
        if template is not None and kinds.get(template) != "template":
            rule = _unknown("template", template) if template not in kinds else f"{template} is no template"
            problems[path_of("organizations", str(slug), "template")] = rule
    if problems:
        raise Invalid(problems)


def _unknown_of_limits(
    wanted: Mapping[RowKey, Fields], providers: Container[str], features: Container[str], organizations: Container[str]
) -> dict[str, str]:
    problems: dict[str, str] = {}
    for (owner, slug, feature, provider), fields in wanted.items():
        path = path_of("limits", *(each for each in (owner, slug, feature, provider) if each is not None))
        if slug is not None and slug not in organizations:
            problems[path] = _unknown("organisation", slug)
        if feature is not None and feature not in features:
            problems[path] = _unknown("feature", feature)
        defaults = fields["limits"].get("default_provider", {}).get("in", ())
        for name in (*defaults, *([provider] if provider is not None else ())):
            if name not in providers:
                problems[path] = _unknown("provider", name)
    return problems


def _steps(key: RowKey) -> Iterable[str]:
    names = ("organizations", "features", "providers")
    return [step for name, each in zip(names, key, strict=True) if each is not None for step in (name, each)] or [
        "defaults"
    ]


def _unknown(what: str, name: str | None) -> str:
    return f"names the {what} {path_of(name or '')}, which is neither in the document nor stored"


def _differing(kind: RowKind, key: RowKey, before: StoredFields | None, wanted: Fields) -> tuple[Fields, list[str]]:
    """Return what differs, and the secrets that a person has to enter."""
    has = before.fields if before is not None else kind.nothing(key) or {}
    differing: Fields = {}
    enter: list[str] = []
    for name in {*wanted, *(() if kind.partial else has)} - {*kind.names}:
        value = wanted.get(name)
        if isinstance(value, SecretWanted):
            outcome = value.against(has.get(name))
            if outcome == "enter" or (value.part.reference and value.plain is None):
                enter.append(name)
            elif outcome != "same":
                differing[name] = value
        elif name in _SECRETS and name not in wanted:
            continue  # a key that is not named stays
        elif value != has.get(name) or isinstance(value, bool) != isinstance(has.get(name), bool):
            differing[name] = value
    return dict(sorted(differing.items())), enter


def _at(kind: RowKind, key: RowKey, name: str) -> str:
    return kind.path(key) if name == "value" else f"{kind.path(key)}.{name}"


def _is_named(document: Document, kind: RowKind, key: RowKey) -> bool:
    section = kind.section or kind.path(key).partition(".")[0]
    return getattr(document, section) is not None


def _goes_along(kind: RowKind, key: RowKey, going: Mapping[str, set[str]]) -> bool:
    """Return whether a row goes, or is kept, with what it belongs to, which is removed."""
    owners = {
        "carried": (("provider", 0),),
        "terms": (("organization", 0), ("provider", 1)),
        "settings": (("organization", 0), ("feature", 1), ("provider", 2)),
        "limits": (("organization", 1), ("feature", 2), ("provider", 3)),
        "personal_data": (("organization", 0), ("feature", 1), ("provider", 2)),
    }
    return any(key[at] is not None and key[at] in going.get(owner, ()) for owner, at in owners.get(kind.name, ()))


def _would_go(kind: RowKind, key: RowKey, stored: StoredFields) -> bool:
    nothing = kind.nothing(key)
    return not nothing or {name: value for name, value in stored.fields.items() if name not in _SECRETS} != nothing


def _last_applied(session: Session, scope: DocumentScope) -> datetime | None:
    """Return when a document of this scope, or of the installation, was applied last; None: never."""
    of = col(AuditEvent.target_id)
    mine = of.is_(None) if scope.organization_id is None else or_(of.is_(None), of == scope.organization_id)
    found: datetime | None = session.exec(
        select(func.max(AuditEvent.at)).where(AuditEvent.action == APPLIED, mine)
    ).one()
    return found


def _disputed(
    kind: RowKind, before: StoredFields | None, differing: Mapping[str, Any], since: datetime | None, by: _Shown
) -> Iterator[Disputed]:
    if before is None or since is None:
        return
    for name in differing:
        for column in kind.columns.get(name, (name,)):
            found = [change for key, change in before.changes.items() if key == column or key.startswith(f"{column}.")]
            change = max(
                (each for each in found if isinstance(each, dict)), key=lambda each: str(each.get("at")), default=None
            )
            if change is not None and _is_later(change.get("by"), change.get("at"), since):
                yield Disputed(name, by(change.get("by")) or _SOMEBODY, str(change.get("at")))
                break


def _disputed_row(before: StoredFields, since: datetime | None, by: _Shown) -> Iterator[Disputed]:
    if since is not None and before.at is not None and _is_later(before.by, before.at.isoformat(), since):
        yield Disputed("", by(before.by) or _SOMEBODY, before.at.isoformat())


def _is_later(by: Any, at: Any, since: datetime) -> bool:
    if str(by).startswith(APPLIER):
        return False
    try:
        return datetime.fromisoformat(str(at)) > since
    except (ValueError, TypeError):
        return False
