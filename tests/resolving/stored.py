"""Tables of organisations and features as a snapshot keeps them, made without a database: rows as column -> value."""

import json
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from core.crypto import KeyRing
from core.resolving.columns import FEATURES, INSTALLATION, OVERRIDES, PROVIDERS, SETTINGS, Columns
from core.resolving.organizations import TABLES, Organizations
from core.resolving.snapshot import Snapshot
from core.resolving.tenant import place_of_own_key
from tests.conftest import ENCRYPTION_KEY

RING = KeyRing(ENCRYPTION_KEY)
OWN = "sk-own-0123456789abcdef"
ORIGIN = "https://api.openai.com:443"


def line(columns: Columns, row: Mapping[str, Any], null: bytes = rb"\N") -> bytes:
    """Return a row as COPY sends it; of values without a backslash, a tab or a line feed."""
    return b"\t".join(_text(row.get(name), null) for name in columns)


def _text(value: Any, null: bytes) -> bytes:
    if value is None:
        return null
    if isinstance(value, bool):
        return b"t" if value else b"f"
    return (json.dumps(value) if isinstance(value, dict | list) else str(value)).encode()


def provider(row_id: int, name: str, **more: Any) -> dict[str, Any]:
    """Return a provider that needs no key, unless *more* says otherwise."""
    row = {
        "id": row_id,
        "name": name,
        "display_name": name.upper(),
        "kind": "openai",
        "default_model": "m1",
        "version": 1,
    }
    return {**row, "is_active": True, "needs_key": False, **more}


def organization(row_id: int, slug: str, **more: Any) -> dict[str, Any]:
    """Return an organisation."""
    return {"id": row_id, "slug": slug, "kind": "organization", "shares_keys": True, "is_active": True, **more}


def settings(row_id: int, **more: Any) -> dict[str, Any]:
    """Return a settings row, or with ``feature_id`` one of a feature."""
    return {"id": row_id, "version": 1, **more}


def own_key(row_id: int, organization_id: int, provider_id: int, **more: Any) -> dict[str, Any]:
    """Return what an organisation has of a provider: a key of its own."""
    blob, key_id, binding = RING.seal(OWN, place_of_own_key(row_id, organization_id, provider_id, ORIGIN))
    sealed = {"api_key_encrypted": blob, "api_key_key_id": key_id, "api_key_binding": binding}
    return terms(row_id, organization_id, provider_id, **sealed | more)


def terms(row_id: int, organization_id: int, provider_id: int, **more: Any) -> dict[str, Any]:
    """Return what an organisation has of a provider."""
    row = {"id": row_id, "organization_id": organization_id, "provider_id": provider_id, "requires_own_key": False}
    return {**row, "own_models": [], **more}


class Stored(NamedTuple):
    """All rows."""

    providers: list[dict[str, Any]]
    organizations: list[dict[str, Any]]
    names: dict[str, int]
    """Name -> organisation."""
    features: list[dict[str, Any]]
    settings: list[dict[str, Any]]
    """With ``feature_id`` they are of features."""
    terms: list[dict[str, Any]]
    is_open: bool = False

    def packed(self, organization_id: int) -> bytes | None:
        """Return an organisation's lines; None: there is none."""
        mine = [row for row in self.organizations if row["id"] == organization_id]
        rows: dict[bytes, Iterable[Mapping[str, Any]]] = {
            b"O": mine,
            b"N": [{"name": name} for name, one in self.names.items() if one == organization_id],
            b"K": [row for row in self.terms if row["organization_id"] == organization_id],
            b"S": [
                row
                for row in self.settings
                if row.get("organization_id") == organization_id and "feature_id" not in row
            ],
            b"F": [
                row for row in self.settings if row.get("organization_id") == organization_id and "feature_id" in row
            ],
        }
        found = [
            kind + b"\t" + line(TABLES[kind].columns, row, b"") + b"\n"
            for kind, several in rows.items()
            for row in several
            if row.get("is_live", True)
        ]
        return b"".join(found) if mine else None

    def changes(self) -> dict[str, dict[int, bytes]]:
        """Return table -> row id -> line, of all but organisations."""
        nobodys = [row for row in self.settings if row.get("organization_id") is None and row.get("is_live", True)]
        return {
            "llm_providers": {row["id"]: line(PROVIDERS, row) for row in self.providers},
            "llm_settings": {row["id"]: line(SETTINGS, row) for row in nobodys if "feature_id" not in row},
            "llm_features": {row["id"]: line(FEATURES, row) for row in self.features},
            "feature_llm_overrides": {row["id"]: line(OVERRIDES, row) for row in nobodys if "feature_id" in row},
            "installation": {1: line(INSTALLATION, {"id": 1, "organizations": "open" if self.is_open else "closed"})},
        }

    def snapshot(self, generation: int = 7) -> Snapshot:
        """Return the snapshot of it."""
        tables = self.changes()
        packed = {row["id"]: lines for row in self.organizations if (lines := self.packed(row["id"])) is not None}
        return Snapshot(
            generation,
            "here",
            tables["llm_providers"],
            tables["llm_settings"],
            features=tables["llm_features"],
            overrides=tables["feature_llm_overrides"],
            installation=tables["installation"],
            organizations=Organizations(packed),
        )


ACME, BETA, PLAN = 1, 2, 3
STORE = Stored(
    providers=[provider(1, "openai"), provider(2, "mistral", is_active=False), provider(3, "local")],
    organizations=[
        organization(ACME, "acme", template_id=PLAN),
        organization(BETA, "beta"),
        organization(PLAN, "plan-s", kind="template"),
    ],
    names={"acme": ACME, "crm-42": ACME, "old-acme": ACME, "beta": BETA, "plan-s": PLAN},
    features=[{"id": 1, "name": "summarise", "is_active": True}, {"id": 2, "name": "asleep", "is_active": False}],
    settings=[
        settings(1, max_tokens=100, default_provider_id=1),
        settings(2, provider_id=1, max_tokens=101),
        settings(3, organization_id=PLAN, max_tokens=102, temperature=0.1),
        settings(4, organization_id=ACME, max_tokens=103, default_provider_id=2),
        settings(5, organization_id=ACME, provider_id=1, max_tokens=104),
        settings(6, organization_id=ACME, provider_id=3, max_tokens=999),
        settings(7, feature_id=1, max_tokens=105),
        settings(8, feature_id=1, provider_id=1, max_tokens=106),
        settings(9, feature_id=1, organization_id=PLAN, max_tokens=107, default_provider_id=3),
        settings(10, feature_id=1, organization_id=ACME, max_tokens=108),
        settings(11, feature_id=1, organization_id=ACME, provider_id=1, max_tokens=109),
        settings(12, feature_id=2, organization_id=ACME, max_tokens=999),
        settings(13, feature_id=1, provider_id=3, max_tokens=999),
    ],
    terms=[],
)
