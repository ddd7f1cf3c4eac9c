"""What people call a row of the history: also one that is gone, and one of what is gone."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from sqlalchemy import text
from sqlmodel import Session

KINDS: Final[Mapping[str, str]] = {
    "llm_providers": "provider",
    "llm_provider_secrets": "provider secret",
    "llm_settings": "settings",
    "feature_llm_overrides": "feature settings",
    "llm_model_facts": "facts of models",
    "llm_features": "feature",
    "llm_limits": "limit",
    "organizations": "organisation",
    "organization_names": "name of an organisation",
    "organization_providers": "provider of an organisation",
    "settings_presets": "preset",
    "org_llm_budgets": "budget",
    "llm_rate_limits": "rate limit",
    "llm_pii_settings": "personal data",
    "installation": "installation",
}
"""Table -> what a row of it is, for people."""
_NAMED: Final = {
    "organization_id": ("organizations", "slug"),
    "feature_id": ("llm_features", "name"),
    "provider_id": ("llm_providers", "name"),
}
"""Column -> table and column that name what it refers to, in the order of a scope's words."""
_OWN: Final = {
    "llm_providers": "name",
    "llm_features": "name",
    "organizations": "slug",
    "llm_model_facts": "pattern",
    "settings_presets": "name",
    "org_llm_budgets": "name",
    "llm_rate_limits": "name",
}
_REFERS: Final = {
    **_NAMED,
    "default_provider_id": ("llm_providers", "name"),
    "template_id": ("organizations", "slug"),
}
"""Field -> table and column that name what its value refers to."""
_HERE: Final = "SELECT id, {0} FROM {1} WHERE id = ANY(:ids)"
_GONE: Final = """
    SELECT DISTINCT ON (row_id) row_id, image ->> :name FROM settings_history
    WHERE table_name = :table AND row_id = ANY(:ids) AND image IS NOT NULL ORDER BY row_id, generation DESC
"""


class Names:
    """The names of what some rows are about: read at once, of what is there and of what is gone.

    Args:
        session: The transaction.
        rows: Table, id and image of each.
    """

    def __init__(self, session: Session, rows: Iterable[tuple[str, int, Mapping[str, Any] | None]]) -> None:
        wanted: dict[str, set[int]] = {}
        for _, _, image in rows:
            for column, (table, _) in _NAMED.items():
                if isinstance(number := (image or {}).get(column), int):
                    wanted.setdefault(table, set()).add(number)
        self._names = _read(session, wanted)

    def of(self, table: str, image: Mapping[str, Any] | None) -> str:
        """Return what people call a row of *table*: ``acme · summarise · openai``."""
        image = image or {}
        if (own := _OWN.get(table)) and image.get(own):
            return str(image[own])
        words = [
            self._names.get((of, number), f"{of} {number}")
            for column, (of, _) in _NAMED.items()
            if isinstance(number := image.get(column), int)
        ]
        if (
            table in {"llm_settings", "feature_llm_overrides", "llm_limits", "llm_pii_settings"}
            and image.get("provider_id") is None
        ):
            words.append("all providers")
        if table in {"llm_provider_secrets", "organization_names"}:
            words.append(" ".join(filter(None, (image.get("use"), image.get("name")))))
        return " · ".join(words) or KINDS.get(table, table)


def named(session: Session, changes: Iterable[Mapping[str, tuple[Any, Any]]]) -> dict[tuple[str, int], str]:
    """Return field and id -> the name of what it refers to, or did when it was there, for fields that hold an id.

    Args:
        session: The transaction.
        changes: Field -> (before, after), of some rows.
    """
    asked = [
        (field, number)
        for fields in changes
        for field in fields.keys() & _REFERS.keys()
        for number in fields[field]
        if isinstance(number, int)
    ]
    wanted: dict[str, set[int]] = {}
    for field, number in asked:
        wanted.setdefault(_REFERS[field][0], set()).add(number)
    names = _read(session, wanted)
    return {
        (field, number): names[_REFERS[field][0], number]
        for field, number in asked
        if (_REFERS[field][0], number) in names
    }


def _read(session: Session, wanted: Mapping[str, set[int]]) -> dict[tuple[str, int], str]:
    """Return table and id -> name."""
    names: dict[tuple[str, int], str] = {}
    for table, name in dict(_NAMED.values()).items():
        ids = wanted.get(table, set())
        if ids:
            found = {row[0]: row[1] for row in session.execute(text(_HERE.format(name, table)), {"ids": sorted(ids)})}
            if missing := sorted(ids - found.keys()):
                values = {"ids": missing, "table": table, "name": name}
                found |= {row[0]: row[1] for row in session.execute(text(_GONE), values)}
            names |= {(table, number): word for number, word in found.items()}
    return names
