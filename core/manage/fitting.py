"""How many providers take what all of them are given: for who sets a value for all."""

from typing import NamedTuple

from ..parameters import SENDABLE
from ..resolving.words import becomes
from .settings import Stored


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
