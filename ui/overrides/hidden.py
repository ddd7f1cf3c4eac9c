"""What overrides a value where it is set: said beside it, and once it is saved."""

from collections.abc import Iterable, Mapping
from typing import Final

from sqlmodel import Session

from core.access import authority
from core.actors import Actor
from core.manage import overriding
from core.manage.overriding import Hidden
from core.manage.scopes import SettingsScope
from core.wording import counted
from ui.widgets import isolated

_NAMED: Final = 3
"""So many features are named."""


def find(
    session: Session, actor: Actor, scope: SettingsScope, fields: Iterable[str], *, is_template: bool
) -> dict[str, str]:
    """Return for each field that is overridden where it is set for *scope*, by what, in words: ``2 features: a, b``.

    Args:
        session: The transaction.
        actor: Who; of others' organisations nothing is said.
        scope: Whose values.
        fields: That say something there.
        is_template: Whether the scope is a template's, which organisations override.
    """
    seen = authority.visible(session, actor, "settings.read")
    found = overriding.above(session, seen, scope, fields)
    named = {
        name: overriding.features_above(session, seen, scope, name, most=_NAMED)
        for name, hidden in found.items()
        if hidden.features and scope.feature_id is None
    }
    return {name: words(hidden, scope, named, name, is_template=is_template) for name, hidden in found.items()}


def words(hidden: Hidden, scope: SettingsScope, named: Mapping[str, list[str]], name: str, *, is_template: bool) -> str:
    """Return what overrides a field, in words."""
    by = []
    if hidden.organizations and (scope.organization_id is None or is_template):
        by.append(counted(hidden.organizations, "organisation"))
    if hidden.features and scope.feature_id is None:
        more = hidden.features - len(named.get(name, ()))
        listed = ", ".join([*map(isolated, named.get(name, ())), *([f"{more:,} more"] if more > 0 else [])])
        by.append(f"{counted(hidden.features, 'feature')}: {listed}")
    return " and ".join(by) or counted(hidden.rows, "more exact row")
