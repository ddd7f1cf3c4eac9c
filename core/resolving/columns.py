"""What is read of each table: columns, and how the text of each is read. Data only."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from ..parameters import PARAMETERS
from .merge import read_json

Columns = Mapping[str, Callable[[str], Any]]
"""Column -> how its text is read, in the order of the line."""


def is_true(text: str) -> bool:
    """Read a boolean."""
    return text == "t"


_READ: Final[Mapping[Any, Callable[[str], Any]]] = {bool: is_true, list: read_json}
_PARAMETERS: Final[Columns] = {
    "version": int,
    "field_changes": read_json,
    "preferred_model": str,
    "omitted_parameters": read_json,
    "custom_settings": read_json,
    "extra_parameters": read_json,
    **{p.name: _READ.get(p.value_type, p.value_type) for p in PARAMETERS.values()},
    "default_provider_id": int,
}
"""What is read of a settings row, whatever its scope."""
PROVIDERS: Final[Columns] = {
    "id": int,
    "name": str,
    "display_name": str,
    "kind": str,
    "api_base_url": str,
    "default_model": str,
    "is_active": is_true,
    "version": int,
    "field_changes": lambda text: {"default_model": read_json(text)},
    "needs_key": is_true,
    "api_key_encrypted": str,
    "api_key_key_id": str,
    "api_key_binding": str,
}
"""What is read of ``llm_providers``; what is sealed comes last. Of ``field_changes`` it is who chose the default model."""
SETTINGS: Final[Columns] = {"id": int, "provider_id": int, **_PARAMETERS}
"""What is read of ``llm_settings``."""
OVERRIDES: Final[Columns] = {"id": int, "feature_id": int, "provider_id": int, **_PARAMETERS}
"""What is read of ``feature_llm_overrides``."""
SECRETS: Final[Columns] = {
    "id": int,
    "provider_id": int,
    "use": str,
    "name": str,
    "plain_value": str,
    "value_encrypted": str,
    "value_key_id": str,
    "value_binding": str,
}
"""What is read of ``llm_provider_secrets``, but for next keys; what is sealed comes last."""
FACTS: Final[Columns] = {"id": int, "api": str, "pattern": str, "origin": str, "as_of": str, "facts": read_json}
"""What is read of ``llm_model_facts``, of active rows."""
FEATURES: Final[Columns] = {"id": int, "name": str, "is_active": is_true}
"""What is read of ``llm_features``."""
LIMITS: Final[Columns] = {
    "id": int,
    "feature_id": int,
    "provider_id": int,
    "owner": str,
    "version": int,
    "field_changes": read_json,
    "note": str,
    "limits": read_json,
}
"""What is read of ``llm_limits``."""
BUDGETS: Final[Columns] = {
    "id": int,
    "organization_id": int,
    "feature_id": int,
    "provider_id": int,
    "name": str,
    "mode": str,
    "unpriced": str,
    "when_away": str,
}
"""What is read of ``org_llm_budgets``, of active rows."""
RATE_LIMITS: Final[Columns] = {
    "id": int,
    "organization_id": int,
    "feature_id": int,
    "provider_id": int,
    "name": str,
    "model": str,
    "requests_per_minute": int,
    "tokens_per_minute": int,
    "max_concurrent": int,
    "burst_seconds": float,
    "when_full": str,
    "max_wait_ms": int,
}
"""What is read of ``llm_rate_limits``, of active rows."""
PERSONAL_DATA: Final[Columns] = {
    "id": int,
    "feature_id": int,
    "provider_id": int,
    "version": int,
    "field_changes": read_json,
    "logs": str,
    "prompts": str,
    "answers": str,
    "restore": is_true,
    "types": read_json,
    "countries": read_json,
    "engine": str,
    "patterns": read_json,
    "allow": read_json,
    "on_failure": str,
}
"""What is read of ``llm_pii_settings``, of active rows."""
INSTALLATION: Final[Columns] = {"id": int, "organizations": str}
"""What is read of ``installation``."""
ORGANIZATION: Final[Columns] = {
    "id": int,
    "slug": str,
    "kind": str,
    "template_id": int,
    "shares_keys": is_true,
    "is_active": is_true,
}
"""What is read of ``organizations``."""
TERMS: Final[Columns] = {
    "id": int,
    "provider_id": int,
    "is_allowed": is_true,
    "requires_own_key": is_true,
    "allowed_models": read_json,
    "own_models": read_json,
    "api_key_encrypted": str,
    "api_key_key_id": str,
    "api_key_binding": str,
}
"""What is read of ``organization_providers``; what is sealed comes last."""
ACTIVE: Final = "is_active AND organization_id IS NULL"
FACTS_CONDITION: Final = "is_active"
BUDGETS_CONDITION: Final = "is_active"
RATE_LIMITS_CONDITION: Final = "is_active"
CONDITIONS: Final = ("is_active", "organization_id")
"""The columns in ``ACTIVE``."""
SEALED: Final = 3
"""So many columns of a provider are sealed, of a header, and of an organisation's key; they come last. In a line without them one
stands instead: ``t`` if there was a key, or a sealed value."""
