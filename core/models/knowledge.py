"""All that is known of models, the strongest word first: an admin, the vendor's own list, an imported catalogue, ours, the rules.

One object for each state of the database; what was asked is kept in it. Nothing here raises over what it reads.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from typing import Any, Final, NamedTuple

from ..once import Once
from . import rules
from .facts import CatalogueHealth, Known, ModelFacts, known
from .overlay import MOST_PROBLEMS, ORIGINS, FactRow, Overlay
from .vendored import Catalogue
from .verdict import AS_OF, FactSource, Verdict

Verdicts = Mapping[str, tuple[Verdict, ...]]
_MOST_KEPT: Final = 4096
_DECIDES: Final = ("reasoning", "efforts", "default_effort", "sampling", "temperature_max", "max_output")
"""Facts that the rules turn into verdicts."""
_KEEPS: Final = frozenset({"rename", "require"})
"""What the API's protocol says, and an admin who says nothing of it does not take back."""


class Level(NamedTuple):
    """What is known with one more source counted."""

    basis: FactSource
    """The source."""
    as_of: date
    facts: ModelFacts | None


class Knowledge:
    """What is known of models: the catalogue, or a newer one that was imported, and above it the rows of the database.

    Args:
        overlay: Those rows.
    """

    def __init__(self, overlay: Overlay | None = None) -> None:
        self.overlay = overlay or Overlay()
        self._newer = _newer(self.overlay)
        self.kept: dict[Any, Any] = {}
        """What :mod:`.adapt` makes of it; bounded there."""
        self.priced: dict[Any, Any] = {}
        """What :mod:`core.calling.pricing` found in it: price rows with their days, of which the moment of a call chooses."""
        self._levels: dict[tuple[str, str, str], tuple[Level, ...]] = {}

    @property
    def catalogue(self) -> Known:
        """The newest one: ours, or with the imported rows in it."""
        return self._newer or known()

    @property
    def is_empty(self) -> bool:
        """Whether nothing is known but the catalogue."""
        return not (self.overlay.exact or self.overlay.patterns)

    @property
    def problems(self) -> tuple[str, ...]:
        """What of all this cannot be read, in sentences; empty if all is well. Of the catalogue's rows :meth:`health` says more."""
        return (*self.catalogue.catalogue.problems, *self.overlay.problems)[:MOST_PROBLEMS]

    def health(self) -> CatalogueHealth:
        """Return what is wrong with which row; reads all of them the first time, which takes some 30 ms."""
        found = self.catalogue.health()
        problems = (*found.problems, *self.overlay.problems)[:MOST_PROBLEMS]
        return replace(found, ok=not problems, problems=problems)

    def facts(self, api: str, model: str, host: str = "") -> ModelFacts | None:
        """Return what is known of *model* at *api*, or None; *host* is that of the provider's base URL. Never raises."""
        return self.levels(api, model, host)[-1].facts

    def rows(self, api: str, model: str, host: str = "") -> list[FactRow]:
        """Return the database's rows that count for *model*, the weakest first: those of the model behind it before its own."""
        if self.is_empty or not isinstance(model, str):
            return []
        found = self.overlay.find(api, model, host)
        behind = next((row.acts_as for row in reversed(found) if row.acts_as), None)
        return found if behind is None else [*self.overlay.find(api, behind, host), *found]

    def levels(self, api: str, model: str, host: str = "") -> tuple[Level, ...]:
        """Return what is known of *model*, the catalogue alone first, then with each stronger source."""
        if self.is_empty or not isinstance(model, str):
            return (_level(self.catalogue.facts(api, model)),)
        key = (api, model, host)
        found = self._levels.get(key)
        if found is None:
            if len(self._levels) >= _MOST_KEPT:
                self._levels = {}
            found = self._levels[key] = tuple(self._climb(api, model, host))
        return found

    def _climb(self, api: str, model: str, host: str) -> list[Level]:
        rows = self.rows(api, model, host)
        behind = next((row.acts_as for row in reversed(rows) if row.acts_as), None)
        is_custom = next((True for row in rows if row.is_custom), False)
        facts = None if is_custom else self.catalogue.facts(api, behind or model)
        levels = [_level(facts)]
        for origin in ("observed", "operator"):
            own = [row for row in rows if row.origin == origin]
            fields: dict[str, Any] = {}
            for row in own:
                fields |= row.fields
            if fields:
                as_of = max(row.as_of for row in own)
                base = facts or ModelFacts(name=behind or model, api=api, as_of=as_of)
                facts = replace(base, **fields)
            if own:
                levels.append(Level(ORIGINS[origin], max(row.as_of for row in own), facts))
        return levels

    def verdicts(self, api: str, kind: str | None, model: str | None, host: str = "") -> Verdicts:
        """Return what *api* does with each parameter that there is something to say of, each with the source that decides it.

        What an admin says of a parameter replaces what is derived, but for the API's name of it and that it is required.
        """
        if model is None:
            return rules.verdicts(api, kind, None)
        levels = self.levels(api, model, host)
        is_unknown = levels[0].facts is None
        by_level = [rules.verdicts(api, kind, None if is_unknown and _is_mute(at.facts) else at.facts) for at in levels]
        found = {
            name: tuple(_traced(verdict, name, levels, by_level) for verdict in verdicts)
            for name, verdicts in by_level[-1].items()
        }
        for row in self.rows(api, model, host):
            for name, own in row.verdicts.items():
                found[name] = (*own, *_of_the_protocol(own, found.get(name, ())))
        return found


def _is_mute(facts: ModelFacts | None) -> bool:
    """Return whether nothing in *facts* is for the rules: a price alone makes no model known to them."""
    return facts is None or not any(getattr(facts, name) for name in _DECIDES)


def _of_the_protocol(own: tuple[Verdict, ...], derived: tuple[Verdict, ...]) -> list[Verdict]:
    does = {verdict.does for verdict in own}
    return [verdict for verdict in derived if verdict.does in _KEEPS - does]


def _traced(
    verdict: Verdict, name: str, levels: tuple[Level, ...], by_level: list[dict[str, tuple[Verdict, ...]]]
) -> Verdict:
    """Return *verdict* with the weakest source from which on it holds: that one decides it."""
    at, found = len(levels) - 1, verdict
    for below in range(len(levels) - 2, -1, -1):
        same = next((one for one in by_level[below].get(name, ()) if _is_same(one, verdict)), None)
        if same is None:
            break
        at, found = below, same
    if at == 0 or found.basis == "API rule":
        return found
    return found.from_source(levels[at].basis, levels[at].as_of)


def _is_same(one: Verdict, other: Verdict) -> bool:
    return one.from_source(other.basis, other.as_of) == other


def _level(facts: ModelFacts | None) -> Level:
    if facts is None:
        return Level("API rule", AS_OF, None)
    return Level("family" if facts.assumed_from else "catalogue", facts.as_of, facts)


def _newer(overlay: Overlay) -> Known | None:
    """Return our catalogue with the imported rows in place of its own; None where there are none, or ours is as new."""
    if not overlay.imported:
        return None
    ours = known()
    if overlay.imported_as_of <= ours.catalogue.as_of:
        return None
    rows = dict(ours.catalogue.rows)
    for api, imported in overlay.imported.items():
        kept = rows.get(api, {})
        rows[api] = {**{name: _own_price(kept, row) for name, row in kept.items()}, **imported}
    return Known(Catalogue(rows, overlay.imported_as_of, ours.catalogue.versions, ours.catalogue.problems))


def _own_price(rows: Mapping[str, Mapping[str, Any]], row: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return *row* with the price that stands in another row of its file: an imported row may take that one's place."""
    prices = rows.get(row.get("priced_as", ""), {}).get("prices")
    return row if prices is None else {**{key: row[key] for key in row if key != "priced_as"}, "prices": prices}


@Once
def vendored() -> Knowledge:
    """Return what is known without a database: the catalogue of this version."""
    return Knowledge()
