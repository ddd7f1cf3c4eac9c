"""By which function a row of each table is written when it is restored: the one that any other edit of it is written by."""

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple, NoReturn

from sqlalchemy import text
from sqlmodel import Session

from ..access.authority import require
from ..actors import Actor
from ..errors import Forbidden, Invalid, NotFound
from ..manage import (
    budgets,
    features,
    installation,
    limits,
    model_facts,
    organization_deletion,
    organization_keys,
    organization_names,
    organizations,
    personal_data,
    provider_secrets,
    providers,
    rate_limits,
    settings,
    settings_presets,
)
from ..manage.organization_rows import reach
from ..manage.scopes import SettingsScope
from ..store.organization_schemas import OrganizationProviderInput
from ..store.tables import METADATA

Image = Mapping[str, Any]
_REFERS: Final = {
    "provider_id": ("llm_providers", "name", "provider"),
    "default_provider_id": ("llm_providers", "name", "provider"),
    "feature_id": ("llm_features", "name", "feature"),
    "organization_id": ("organizations", "slug", "organisation"),
    "template_id": ("organizations", "slug", "template"),
}
"""Column -> the table it refers to, the column that names a row there, and what people call it."""
TARGETS: Final = {
    "llm_providers": "provider",
    "llm_provider_secrets": "provider",
    "llm_settings": "settings",
    "feature_llm_overrides": "override",
    "llm_model_facts": "model_facts",
    "llm_features": "feature",
    "organizations": "organization",
    "organization_names": "organization",
    "organization_providers": "organization",
    "installation": "installation",
    "llm_limits": "limit",
    "settings_presets": "preset",
    "org_llm_budgets": "budget",
    "llm_rate_limits": "rate_limit",
    "llm_pii_settings": "personal_data",
}
"""Table -> the type of target in the audit."""


class Edit(NamedTuple):
    """What is to be written of one row."""

    row: Image
    """As it is now; empty: it is not there."""
    image: Image
    """As it is to be; empty: not there."""
    patch: dict[str, Any]
    """Fields of it."""
    version: int | None
    """The row's version that this was decided on; None writes whatever is there."""


Write = Callable[[Session, Actor, Edit], object]


class RowWriter(NamedTuple):
    """How a row of one table is written."""

    table: str
    fields: tuple[str, ...]
    """Those that can be restored."""
    make: Write
    change: Write
    delete: Write
    key: tuple[str, ...] = ()
    """What stands for the same thing, where the row of that id is gone: a scope, a name."""

    @property
    def nullable(self) -> frozenset[str]:
        """Fields that an image lacks where they were NULL."""
        columns = METADATA.tables[self.table].columns
        return frozenset(name for name in self.fields if name in columns and columns[name].nullable)

    def now(self, session: Session, row_id: int, image: Image | None) -> dict[str, Any] | None:
        """Return the row as it is: that of this id, or what stands in its place; None: there is none."""
        looks = (self._of_id, self._in_place) if self.table != "llm_model_facts" else (self._in_place, self._of_id)
        for look in looks:  # facts that were withdrawn stay so: what is said again is another row
            if found := look(session, row_id, image):
                return dict(found)
        return None

    def _of_id(self, session: Session, row_id: int, _: Image | None) -> Any:
        return session.scalar(text(f"SELECT to_jsonb(t) FROM {self.table} t WHERE id = :id"), {"id": row_id})  # noqa: S608 - of ours

    def _in_place(self, session: Session, _: int, image: Image | None) -> Any:
        if image is None or not self.key:
            return None
        of = with_ids_of_today(session, image, strict=False)
        conditions = [f"t.{name} IS NULL" if of.get(name) is None else f"t.{name} = :{name}" for name in self.key]
        conditions += ["t.is_active"] * (self.table in _SCOPED)
        query = f"SELECT to_jsonb(t) FROM {self.table} t WHERE {' AND '.join(conditions)} ORDER BY id LIMIT 1"  # noqa: S608 - of ours
        return session.scalar(text(query), {name: of[name] for name in self.key if of.get(name) is not None})


def with_ids_of_today(session: Session, image: Image, *, strict: bool = True) -> dict[str, Any]:
    """Return an image that refers to what is there now: what was deleted, and made again under its name, has another id.

    Raises:
        NotFound: With *strict*, if something that it refers to is gone; says what to do.
    """
    found = dict(image)
    for column, (table, name, kind) in _REFERS.items():
        number = image.get(column)
        if number is None or session.scalar(text(f"SELECT true FROM {table} WHERE id = :id"), {"id": number}):  # noqa: S608 - of ours
            continue
        word = session.scalar(text(_CALLED), {"table": table, "id": number, "name": name})
        live = " AND deleted_at IS NULL" if table == "organizations" else ""
        again = f"SELECT id FROM {table} WHERE {name} = :word{live}"  # noqa: S608 - of ours
        found[column] = session.scalar(text(again), {"word": word})
        if found[column] is None and strict:
            raise Missing(kind, word or number)
    return found


class Missing(NotFound):
    """What a row belongs to is gone."""

    code = "NOT_FOUND"

    def __init__(self, kind: str, key: object) -> None:
        super().__init__(kind, key)
        self._text = (
            f"The {kind} {key!r}, which it belongs to, is gone: make it again under that name, or restore it from its own history, "
            "then restore this."
        )


def writer_of(table: str) -> RowWriter:
    """Return how rows of *table* are written.

    Raises:
        Invalid: If they are not restored.
    """
    found = WRITERS.get(table)
    if found is None:
        raise Invalid({"table": f"must be one whose rows are restored: {', '.join(sorted(WRITERS))}"})
    return found


def order(wanted: Any) -> tuple[bool, int, int]:
    """Return the place of a row among those that are restored: what others refer to first, what is to go last and the other way round."""
    tables = list(WRITERS)
    place = tables.index(wanted.table) if wanted.table in tables else len(tables)
    return wanted.image is None, -place if wanted.image is None else place, wanted.row_id


def refuse(session: Session, actor: Actor, action: str, organization_id: int | None) -> None:
    """Return when *actor* is an admin of the organisation, or of the installation.

    Raises:
        Forbidden, NotFound: As everywhere.
    """
    if organization_id is None:
        require(session, actor, action)
    else:
        reach(session, actor, action, organization_id, deleted=True)


def refuse_undo(session: Session, actor: Actor) -> NoReturn:
    """Refuse to take back what somebody else did."""
    require(session, actor, "settings.undo", role="member")
    raise Forbidden("Only who made a change takes it back by undo. To others: restore a version from its history.")


# --- tables ---


def _none(*_: Any) -> NoReturn:
    raise Invalid({"table": "has rows that are neither made nor deleted"})


def _values(edit: Edit) -> dict[str, Any]:
    return {name: value for name, value in edit.patch.items() if value is not None}


def _make_settings(session: Session, actor: Actor, edit: Edit) -> object:
    ids = (edit.image.get(name) for name in ("provider_id", "organization_id", "feature_id"))
    return settings.upsert(session, actor, SettingsScope(*ids), _values(edit), version=0)


def _change_settings(session: Session, actor: Actor, edit: Edit) -> None:
    write = settings.update_override if "feature_id" in edit.row else settings.update
    write(session, actor, edit.row["id"], edit.patch, version=edit.version)


def _delete_settings(session: Session, actor: Actor, edit: Edit) -> None:
    delete = settings.delete_override if "feature_id" in edit.row else settings.delete
    delete(session, actor, edit.row["id"], version=edit.version)


def _change_organization(session: Session, actor: Actor, edit: Edit) -> None:
    row, patch, version = edit.row, dict(edit.patch), edit.version
    patch.pop("kind", None)
    was_deleted, is_deleted = edit.image.get("deleted_at") is not None, row.get("deleted_at") is not None
    if is_deleted and was_deleted:
        raise Invalid({"organization": "is deleted, and was then: restore a moment before that"})
    if is_deleted:
        organization_deletion.restore(session, actor, row["id"], slug=patch.pop("slug", None), take_former=True)
        version = None
    changed = {name: value for name, value in patch.items() if value != row.get(name)}
    if changed:
        organizations.update(session, actor, row["id"], changed, version=version, take_former=True)
    if was_deleted:
        organization_deletion.delete(session, actor, row["id"])


def _delete_organization(session: Session, actor: Actor, edit: Edit) -> None:
    if edit.row.get("deleted_at") is None:
        organization_deletion.delete(session, actor, edit.row["id"], version=edit.version)


def _make_name(session: Session, actor: Actor, edit: Edit) -> None:
    _set_name(session, actor, edit.image, there=True)


def _change_name(session: Session, actor: Actor, edit: Edit) -> None:
    row, image = edit.row, edit.image
    if row["organization_id"] != image["organization_id"]:
        held = organization_names.holders(session, [row["name"]])
        raise organization_names.taken(row["name"], held.get(row["name"]), "external_names")
    if row["kind"] != image["kind"]:
        _set_name(session, actor, image, there=True)


def _delete_name(session: Session, actor: Actor, edit: Edit) -> None:
    _set_name(session, actor, edit.row, there=False)


def _set_name(session: Session, actor: Actor, image: Image, *, there: bool) -> None:
    if image["kind"] != "external":
        return  # slugs go with their organisation's row
    number, name = image["organization_id"], image["name"]
    own = organization_names.list_of(session, [number])[number]
    names = [row.name for row in own if row.kind == "external" and row.name != name]
    organization_names.set_external(session, actor, number, [*names, name] if there else names)


def _make_terms(session: Session, actor: Actor, edit: Edit) -> None:
    of = edit.image["organization_id"], edit.image["provider_id"]
    organization_keys.update(session, actor, *of, _values(edit), version=0)


def _change_terms(session: Session, actor: Actor, edit: Edit) -> None:
    changed = {name: value for name, value in edit.patch.items() if value != edit.row.get(name)}
    if changed:
        of = edit.row["organization_id"], edit.row["provider_id"]
        organization_keys.update(session, actor, *of, changed, version=edit.version)


def _delete_terms(session: Session, actor: Actor, edit: Edit) -> None:
    _change_terms(session, actor, edit._replace(patch=OrganizationProviderInput().model_dump()))


def _set_secret(session: Session, actor: Actor, edit: Edit) -> None:
    image = edit.image
    plain, use = image.get("plain_value"), image["use"]
    if plain is None or use not in {"header", "query"}:
        what = providers.words_for(use, image["name"])
        raise Invalid({"value": f"of {what} was stored encrypted, and such a value does not come back: enter it again"})
    of = image["provider_id"], use, image["name"]
    provider_secrets.set_value(session, actor, *of, value=plain, sealed=False, version=edit.version)


def _remove_secret(session: Session, actor: Actor, edit: Edit) -> None:
    row = edit.row
    if row["use"] not in {"header", "query"}:
        raise Invalid({"value": "of a next key is promoted, or forgotten, where it was entered"})
    provider_secrets.remove_value(session, actor, row["provider_id"], row["use"], row["name"], version=edit.version)


def _set_facts(session: Session, actor: Actor, edit: Edit) -> None:
    image = edit.image
    if image["origin"] != "operator":
        raise Invalid({"origin": "is a vendor's list or a catalogue: such facts are read again, not restored"})
    if not image.get("is_active"):
        model_facts.withdraw(session, actor, edit.row["id"], version=edit.version)
        return
    facts = {"why": image["why"], "api": image.get("api"), "version": edit.version}
    model_facts.set_facts(session, actor, image["pattern"], image["facts"], **facts)


def _withdraw(session: Session, actor: Actor, edit: Edit) -> None:
    model_facts.withdraw(session, actor, edit.row["id"], version=edit.version)


_LIMITED: Final = ("owner", "organization_id", "feature_id", "provider_id")


def _make_limit(session: Session, actor: Actor, edit: Edit) -> None:
    of = {name: edit.image.get(name) for name in _LIMITED}
    limits.create(session, actor, of | _values(edit))


_SCOPED: Final = frozenset({"llm_settings", "feature_llm_overrides", "llm_model_facts"})
"""Tables whose rows stand for a scope while they are active."""
WRITERS: Final[Mapping[str, RowWriter]] = {
    writer.table: writer
    for writer in (
        RowWriter(
            "installation",
            installation.FIELDS,
            _none,
            lambda session, actor, edit: installation.update(session, actor, edit.patch, version=edit.version),
            _none,
        ),
        RowWriter(
            "llm_providers",
            providers.FIELDS,
            lambda session, actor, edit: providers.create(session, actor, _values(edit)),
            lambda session, actor, edit: providers.update(
                session, actor, edit.row["id"], edit.patch, version=edit.version
            ),
            lambda session, actor, edit: providers.delete(session, actor, edit.row["id"], version=edit.version),
            key=("name",),
        ),
        RowWriter(
            "llm_provider_secrets",
            ("name", "plain_value"),
            *(_set_secret, _set_secret, _remove_secret),
            key=("provider_id", "use", "name"),
        ),
        RowWriter(
            "llm_model_facts",
            ("api", "pattern", "facts", "why", "is_active"),
            *(_set_facts, _set_facts, _withdraw),
            key=("origin", "api", "pattern"),
        ),
        RowWriter(
            "llm_features",
            features.FIELDS,
            lambda session, actor, edit: features.create(session, actor, _values(edit)),
            lambda session, actor, edit: features.update(
                session, actor, edit.row["id"], edit.patch, version=edit.version
            ),
            lambda session, actor, edit: features.delete(session, actor, edit.row["id"], version=edit.version),
            key=("name",),
        ),
        RowWriter(
            "organizations",
            organizations.FIELDS,
            lambda session, actor, edit: organizations.create_one(session, actor, _values(edit), take_former=True),
            *(_change_organization, _delete_organization),
        ),
        RowWriter("organization_names", ("name", "kind"), *(_make_name, _change_name, _delete_name), key=("name",)),
        RowWriter(
            "organization_providers",
            organization_keys.FIELDS,
            *(_make_terms, _change_terms, _delete_terms),
            key=("organization_id", "provider_id"),
        ),
        RowWriter(
            "llm_settings",
            settings.ALL_FIELDS,
            *(_make_settings, _change_settings, _delete_settings),
            key=("organization_id", "provider_id"),
        ),
        RowWriter(
            "feature_llm_overrides",
            settings.ALL_FIELDS,
            *(_make_settings, _change_settings, _delete_settings),
            key=("organization_id", "feature_id", "provider_id"),
        ),
        RowWriter(
            "llm_limits",
            limits.FIELDS,
            _make_limit,
            lambda session, actor, edit: limits.update(
                session, actor, edit.row["id"], edit.patch, version=edit.version
            ),
            lambda session, actor, edit: limits.delete(session, actor, edit.row["id"], version=edit.version),
            key=_LIMITED,
        ),
        RowWriter(
            "settings_presets",
            settings_presets.FIELDS,
            lambda session, actor, edit: settings_presets.create(session, actor, _values(edit)),
            lambda session, actor, edit: settings_presets.update(
                session, actor, edit.row["id"], edit.patch, version=edit.version
            ),
            lambda session, actor, edit: settings_presets.delete(session, actor, edit.row["id"], version=edit.version),
            key=("name",),
        ),
        RowWriter(
            "org_llm_budgets",
            budgets.FIELDS,
            lambda session, actor, edit: budgets.create(session, actor, _values(edit)),
            lambda session, actor, edit: budgets.update(
                session, actor, edit.row["id"], edit.patch, version=edit.version
            ),
            lambda session, actor, edit: budgets.delete(session, actor, edit.row["id"], version=edit.version),
            key=("name",),
        ),
        RowWriter(
            "llm_rate_limits",
            rate_limits.FIELDS,
            lambda session, actor, edit: rate_limits.create(session, actor, _values(edit)),
            lambda session, actor, edit: rate_limits.update(
                session, actor, edit.row["id"], edit.patch, version=edit.version
            ),
            lambda session, actor, edit: rate_limits.delete(session, actor, edit.row["id"], version=edit.version),
            key=("name",),
        ),
        RowWriter(
            "llm_pii_settings",
            personal_data.CHANGEABLE,
            lambda session, actor, edit: personal_data.create(
                session, actor, {**{name: edit.image.get(name) for name in personal_data.SCOPE}, **_values(edit)}
            ),
            lambda session, actor, edit: personal_data.update(
                session, actor, edit.row["id"], edit.patch, version=edit.version
            ),
            lambda session, actor, edit: personal_data.delete(session, actor, edit.row["id"], version=edit.version),
            key=personal_data.SCOPE,
        ),
    )
}
"""Table -> how its rows are written, each behind those that it refers to."""
_CALLED: Final = """
    SELECT image ->> :name FROM settings_history WHERE table_name = :table AND row_id = :id AND image IS NOT NULL
    ORDER BY generation DESC LIMIT 1
"""
