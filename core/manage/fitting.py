"""What becomes of values where they are sent: for who sets them for one provider, or for all."""

from typing import Final, NamedTuple

from sqlmodel import Session

from ..parameters import SENDABLE
from ..resolving.words import becomes, warnings_of
from ..store.tables import LlmSettings
from .settings import Stored, load

_NAMED: Final = 3
"""So many providers are named."""


class Fit(NamedTuple):
    """Of one parameter: how many providers that inherit its value take it as it is."""

    takes: int
    of: int
    """How many have no value of their own, and are not told to leave it out."""
    others: tuple[tuple[str, str], ...]
    """Those that do not: display name, and what becomes of the value there."""


def fits(stored: Stored) -> dict[str, Fit]:
    """Return parameter -> how many providers take what they inherit of it; another name is no change.

    A parameter without a value, or with an own one at every provider, is not among them.
    """
    takes: dict[str, int] = dict.fromkeys(SENDABLE, 0)
    others: dict[str, list[tuple[str, str]]] = {name: [] for name in SENDABLE}
    for provider in stored.providers:
        settings = stored.effective(provider)
        changed = {each.parameter: each for each in settings.adjustments if each.what != "renamed"}
        for name in SENDABLE:
            own = settings.source(name).layer == "provider"
            if own or name in settings.omitted or getattr(settings, name) is None:
                continue
            if name in changed:
                others[name].append((settings.display_name, becomes(changed[name])))
            else:
                takes[name] += 1
    return {
        name: Fit(takes[name], takes[name] + len(others[name]), tuple(others[name]))
        for name in SENDABLE
        if takes[name] or others[name]
    }


def warnings(session: Session, row: LlmSettings) -> list[str]:
    """Return what of a stored settings row does not reach the model as it is set, in sentences; empty if all does.

    Of the row of all providers: which of its values how many providers do not take, and what becomes of them at the first.
    """
    stored = load(session)
    if row.provider_id is not None:
        name = next(name for name, columns in stored.providers.items() if columns["id"] == row.provider_id)
        return warnings_of(stored.effective(name))
    found = []
    for name, fit in fits(stored).items():
        if fit.others and getattr(row, name) is not None:
            more = len(fit.others) - _NAMED
            others = "; ".join(f"{who}: {what}" for who, what in fit.others[:_NAMED])
            found.append(f"{name}: {fit.takes} of {fit.of} providers take it. {others}{f'; {more} more' * (more > 0)}.")
    return found
