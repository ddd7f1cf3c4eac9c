"""What becomes of values where they are sent: for who sets them for one provider, or for all."""

from typing import Any, Final, NamedTuple

from sqlmodel import Session

from ..models.apis import api_of, host_of
from ..parameters import SENDABLE
from ..resolving.effective import EffectiveSettings
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
    alike: dict[Any, dict[str, str | None]] = {}
    for provider, row in stored.providers.items():
        has_own = row["id"] in stored.layers
        # What is sent depends on the API, the host and the model: of 500 providers few differ in that
        api, host = (each(row["kind"], row["api_base_url"]) for each in (api_of, host_of))
        same = row["id"] if has_own else (row["kind"], api, host, row["default_model"])
        if same not in alike:
            alike[same] = _inherited(stored.effective(provider), has_own=has_own)
        for name, otherwise in alike[same].items():
            if otherwise is None:
                takes[name] += 1
            else:
                others[name].append((row["display_name"], otherwise))
    return {
        name: Fit(takes[name], takes[name] + len(others[name]), tuple(others[name]))
        for name in SENDABLE
        if takes[name] or others[name]
    }


def _inherited(settings: EffectiveSettings, *, has_own: bool) -> dict[str, str | None]:
    """Return each parameter that has a value which is not the provider's own -> what becomes of it; None: it is sent so."""
    changed = {each.parameter: becomes(each) for each in settings.adjustments if each.what != "renamed"}
    inherited = (name for name in SENDABLE if not has_own or settings.source(name).layer != "provider")
    return {
        name: changed.get(name)
        for name in inherited
        if name not in settings.omitted and getattr(settings, name) is not None
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
