"""The table of kinds of rows in a document, in the order in which they are written; they are removed in the opposite one.

A new section is a room with a :class:`~.rows.RowKind`, its field in :class:`~.schema.Document`, and its line here. A test fails
when a table whose changes services hear of is neither here nor in :data:`ELSEWHERE`.
"""

from collections.abc import Mapping
from typing import Final

from .feature_rows import FEATURES, MODEL_FACTS
from .installation_rows import INSTALLATION
from .limit_rows import LIMITS
from .organization_rows import ORGANIZATIONS, TERMS
from .personal_rows import PERSONAL_DATA
from .preset_rows import PRESETS
from .provider_rows import CARRIED, PROVIDERS
from .rows import RowKind
from .scoped_rows import BUDGETS, RATE_LIMITS
from .settings_rows import SETTINGS

KINDS: Final[tuple[RowKind, ...]] = (
    INSTALLATION,
    PROVIDERS,
    CARRIED,
    FEATURES,
    ORGANIZATIONS,
    TERMS,
    LIMITS,
    SETTINGS,
    MODEL_FACTS,
    PRESETS,
    BUDGETS,
    RATE_LIMITS,
    PERSONAL_DATA,
)
ELSEWHERE: Final[Mapping[str, str]] = {}
"""Table with the trigger that counts changes -> why a document does not have it."""
