"""Lost updates: a write names the version it was based on, and a stale one is told both values."""

from collections.abc import Mapping
from typing import Any

from ..errors import Conflict
from .budget_tables import LlmBudget
from .notification_tables import NotificationTarget
from .organization_tables import (
    FeatureLlmOverride,
    Installation,
    LlmFeature,
    LlmLimits,
    Organization,
    OrganizationProvider,
)
from .personal_data_tables import LlmPiiSettings
from .preset_tables import SettingsPreset
from .rate_tables import LlmRateLimit
from .tables import LlmModelFacts, LlmProvider, LlmProviderSecret, LlmSettings

Stamped = (
    LlmProvider
    | LlmSettings
    | LlmProviderSecret
    | LlmModelFacts
    | Organization
    | OrganizationProvider
    | LlmFeature
    | FeatureLlmOverride
    | LlmLimits
    | Installation
    | NotificationTarget
    | SettingsPreset
    | LlmBudget
    | LlmRateLimit
    | LlmPiiSettings
)
"""A row whose version a trigger raises."""


def refuse_stale(
    kind: str,
    row: Stamped,
    version: int | None,
    patch: Mapping[str, Any],
) -> None:
    """Return when *row* (locked) still has *version*, or when None asks to write whatever is there.

    Raises:
        Conflict: With every field that was changed since, or that *patch* would change: what is stored, and what
            *patch* has.
    """
    if version is None or row.version == version:
        return
    since = {name for name, change in row.field_changes.items() if change.get("version", 0) > version}
    shown = {name for name, field in type(row).model_fields.items() if field.repr}  # the sealed key is none of them
    stored = row.model_dump(include={*patch, *since} & shown)
    changes = {name: (value, patch.get(name, value)) for name, value in stored.items()}
    raise Conflict(
        kind,
        version=row.version,
        changed_by=row.updated_by,
        changed_at=row.updated_at.isoformat(),
        changes={name: pair for name, pair in changes.items() if name in since or pair[0] != pair[1]},
    )
