"""What becomes of a value where it is set: who hides it, and where it is not sent. Beside the value, and once it is saved."""

from collections.abc import Iterable, Mapping
from typing import Final

from sqlmodel import Session

from core.access import authority
from core.actors import Actor
from core.manage import overriding
from core.manage.overriding import Hidden
from core.manage.scopes import SettingsScope
from core.wording import counted, listed
from ui.widgets import isolated

_NAMED: Final = 3
"""So many features, providers, and fields with a fate of their own, are named."""


def find(
    session: Session, actor: Actor, scope: SettingsScope, fields: Mapping[str, bool], *, is_template: bool = False
) -> dict[str, str]:
    """Return for each field that does not reach everybody where it is set for *scope*, why, in words: ``hidden by 2 features: a, b``.

    Args:
        session: The transaction.
        actor: Who; of others' organisations nothing is said.
        scope: Whose values.
        fields: That say something there -> whether it is a value, and not that nothing is sent.
        is_template: Whether the scope is a template's, which organisations override.
    """
    seen = authority.visible(session, actor, "settings.read")
    above = overriding.above(session, seen, scope, fields)
    named = {
        name: overriding.features_above(session, seen, scope, name, most=_NAMED)
        for name, hidden in above.items()
        if hidden.features and scope.feature_id is None
    }
    found = {
        name: f"hidden by {words(hidden, scope, named.get(name, ()), is_template=is_template)}"
        for name, hidden in above.items()
    }
    for name, held_by in overriding.held_back(
        session, scope, [name for name, has_value in fields.items() if has_value]
    ).items():
        unsent = f"not sent to {_some(held_by, len(held_by))}, where a layer below says so for the provider"
        found[name] = f"{found[name]}; {unsent}" if name in found else unsent
    return found


def words(hidden: Hidden, scope: SettingsScope, named: Iterable[str] = (), *, is_template: bool = False) -> str:
    """Return who hides a value that is set for *scope*, in words; *named* are the first of the features."""
    by = []
    if hidden.organizations and (scope.organization_id is None or is_template):
        by.append(counted(hidden.organizations, "organisation"))
    if hidden.features and scope.feature_id is None:
        features, some = counted(hidden.features, "feature"), _some(named, hidden.features)
        by.append(f"{features}: {some}" if some else features)
    return " and ".join(by) or counted(hidden.rows, "provider")


def sentences(found: Mapping[str, str], labels: Mapping[str, str]) -> str:
    """Return in a sentence or two what becomes of what was saved; empty if all of it reaches everybody.

    Args:
        found: What :func:`find` returns.
        labels: Field -> what people call it.
    """
    alike: dict[str, list[str]] = {}
    for name, why in list(found.items())[:_NAMED]:
        alike.setdefault(why, []).append(labels.get(name, name))
    said = [f"{listed(names)} {'is' if len(names) == 1 else 'are'} {why}." for why, names in alike.items()]
    more = len(found) - _NAMED
    return " ".join(said + [f"{counted(more, 'field')} more {'is' if more == 1 else 'are'} too."] * (more > 0))


def _some(names: Iterable[str], number: int) -> str:
    first = [isolated(name) for name in list(names)[:_NAMED]]
    more = number - len(first)
    return ", ".join([*first, *[f"{more:,} more"] * (bool(first) and more > 0)])
