"""What is known of a model at an API: limits, prices, reasoning, retirement. Read from the vendored catalogue.

Standard library only, and nothing here raises over a file that is broken: what cannot be read is unknown, and
:func:`catalogue_health` says why. Every fact is advice: a model that is not known works as well.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Literal

from ..once import Once
from .apis import APIS
from .names import MOST, Found, Index
from .vendored import PROVENANCE, Catalogue, read

if TYPE_CHECKING:
    from decimal import Decimal

Reasoning = Literal["none", "optional", "default", "always"]
"""Whether it reasons before it answers: never, when asked to, unless told not to, or always."""
Sampling = Literal["yes", "no", "ignored"]
"""What becomes of temperature and top_p in a request that says nothing of reasoning: they are used, the request is refused,
or they have no effect. A model that reasons by default, and refuses or ignores them then, takes them with reasoning off."""
RetiredEffect = Literal["refused", "rerouted"]
"""What a call gets after the retirement: an error, or the answer of another model."""

_NONE: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Price:
    """List prices in US dollars a million tokens; None is unknown, never zero."""

    since: date | None = None
    """The first day (UTC) of these prices; None: from the beginning."""
    hours: tuple[int, int] | None = None
    """Minutes of the day (UTC) from and to which they hold; the end may come before the beginning, past midnight."""
    input: "Decimal | None" = None
    output: "Decimal | None" = None
    cache_read: "Decimal | None" = None
    cache_write: "Decimal | None" = None
    request: "Decimal | None" = None
    """US dollars a thousand requests, beside the tokens."""
    tiers: "tuple[tuple[str, int, Decimal], ...]" = ()
    """(field, input tokens, price): with more input tokens than that, all tokens of the field cost this; ascending."""


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What is known of one model at one API; None or empty is unknown."""

    name: str
    """As the catalogue has it."""
    api: str
    """Whose row it is, a key of :data:`core.models.apis.APIS`: a host's own, or the vendor's."""
    context: int | None = None
    """Tokens that fit in all: input and output."""
    max_input: int | None = None
    """Tokens."""
    max_output: int | None = None
    """Tokens."""
    reasoning: Reasoning | None = None
    efforts: tuple[str, ...] = ()
    """What ``reasoning_effort`` may be, from the least to the most."""
    default_effort: str | None = None
    sampling: Sampling | None = None
    temperature_max: float | None = None
    retires: date | None = None
    """The day on which its API takes it away."""
    retired_effect: RetiredEffect | None = None
    successor: str | None = None
    prices: tuple[Price, ...] = ()
    """The last one whose day and hours hold counts."""
    sources: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: _NONE)
    """Field -> who says so; from the provenance file, hence empty until :func:`with_sources` fills it."""
    assumed_from: str | None = None
    """The model that these facts are borrowed from, as this one is not known; None: it is known itself."""
    as_of: date = date.min
    """When the catalogue was made."""
    rules_from: str | None = None
    """Of a model that is known itself, but for how it reasons and samples: the model that this is borrowed from."""
    vendor: str | None = None
    """Whose rules for parameters hold, where that is not :attr:`api`: of a host that passes them on to the vendor's model."""


@dataclass(frozen=True, slots=True)
class CatalogueHealth:
    """Whether the catalogue could be read."""

    ok: bool
    as_of: date
    models: int
    """Rows that are readable."""
    problems: tuple[str, ...]
    """Sentences; empty if all is well. The first ten."""


class Known:
    """A catalogue, ready to be asked; what was asked is kept, up to a bound."""

    def __init__(self, catalogue: Catalogue) -> None:
        self.catalogue = catalogue
        self._index = Index(catalogue.rows)
        self._kept: dict[tuple[str, str], ModelFacts | None] = {}
        self._health: CatalogueHealth | None = None

    def facts(self, api: str, model: str) -> ModelFacts | None:
        """Return what is known of *model* at *api*, or None. Never raises."""
        if not isinstance(model, str) or len(model) > MOST:  # SQL, or a program, may have anything
            return None
        key = (api, model)
        try:
            return self._kept[key]
        except KeyError:
            pass
        if len(self._kept) >= _MOST_KEPT:
            self._kept = {}  # another thread may still fill the old one: it is its own dict
        found = self._kept[key] = self._find(api, model)
        return found

    def _find(self, api: str, model: str) -> ModelFacts | None:
        rows = [
            self._completed(row, model, where)
            for where in self._index.find(api, model)
            if (row := _row(self.catalogue.rows[where.api], where, self.catalogue.as_of))
        ]
        if not rows:
            generation = self._generation(api, model, "")
            return ModelFacts(**generation, as_of=self.catalogue.as_of) if _DECIDE & generation.keys() else None
        host = next((row for row in rows if row.api == api and row.assumed_from is None), None)
        rules = next((row for row in rows if row is not host), None)
        if host is None:
            return replace(rows[0], **_OF_THE_HOST)
        return host if rules is None else _beside(host, rules)

    def _completed(self, row: ModelFacts, model: str, where: Found) -> ModelFacts:
        """Return *row* with what its generation has in common, where it is not known how the model reasons and samples."""
        if not APIS[row.api].vendor or (not where.assumed and (row.reasoning or row.sampling or row.efforts)):
            return row
        common = self._generation(row.api, model, row.name)
        source = common.pop("assumed_from", None)
        common = {name: value for name, value in common.items() if name in _OF_A_GENERATION}
        if where.assumed:
            return replace(row, **common)
        if not _DECIDE & common.keys():
            for other in self._index.relatives(row.api, model):
                found = _row(self.catalogue.rows[other.api], other, self.catalogue.as_of)
                if found is not None and found.name != row.name and found.api == row.api:
                    common = {name: value for name in _OF_THE_VENDOR if (value := getattr(found, name))}
                    source = found.name
        missing = {name: value for name, value in common.items() if name in _OF_THE_VENDOR and not getattr(row, name)}
        return replace(row, rules_from=source, **missing) if _DECIDE & missing.keys() else row

    def _generation(self, api: str, model: str, but: str) -> dict[str, Any]:
        """Return the facts in which all known models of the line and version of *model* agree, but for the row *but*."""
        rows = [
            row
            for where in self._index.generation(api, model)
            if where.name != but
            and (not but or where.api == api)
            and (row := _row(self.catalogue.rows[where.api], where, self.catalogue.as_of))
        ]
        if not rows:
            return {}
        found: dict[str, Any] = {}
        for name in _OF_A_GENERATION:
            values = {value for row in rows if (value := getattr(row, name))}
            if values == _REASONING:
                values = {"default"}
            if len(values) == 1:
                found[name] = values.pop()
        return {"name": rows[0].name, "api": rows[0].api, "assumed_from": rows[0].name, **found}

    def health(self) -> CatalogueHealth:
        """Return what is wrong with which row: all are read the first time, which takes some 30 ms."""
        if self._health is None:
            self._health = self._look()
        return self._health

    def _look(self) -> CatalogueHealth:
        problems = list(self.catalogue.problems)
        good = 0
        for api, rows in self.catalogue.rows.items():
            for name, row in rows.items():
                try:
                    _parsed(_priced(rows, row))
                    good += 1
                except WRONG as error:
                    problems.append(f"{api} {name:.100}: {error!s:.200}")
        return CatalogueHealth(not problems, self.catalogue.as_of, good, tuple(problems[:10]))


_MOST_KEPT: Final = 4096
_OF_THE_HOST: Final[Mapping[str, Any]] = {
    "prices": (),
    "retires": None,
    "retired_effect": None,
    "successor": None,
}
"""What one host never borrows from another, nor a model from its family."""
_OF_A_GENERATION: Final = ("context", "max_output", "reasoning", "sampling", "temperature_max")
"""What models of one version have in common more often than one has with the version before: 80 % against 73."""
_REASONING: Final = {"default", "always"}
"""Of both the milder one is assumed: whether reasoning can be turned off."""
_DECIDE: Final = frozenset({"reasoning", "sampling"})
_OF_THE_VENDOR: Final = ("reasoning", "efforts", "default_effort", "sampling", "temperature_max")
"""What the vendor's row knows best."""


_PASSES_ON: Final = frozenset({"azure", "bedrock", "vertex"})
"""Hosts that hand a request's parameters on as they are: the model refuses there what it refuses at its vendor."""


def _beside(host: ModelFacts, rules: ModelFacts) -> ModelFacts:
    """Return the host's row, with the vendor's rules and whatever else the host's leaves open."""
    names = (*_OF_THE_VENDOR, "context", "max_input", "max_output")
    known = {
        name: value
        for name in names
        if (value := getattr(rules, name)) and (name in _OF_THE_VENDOR or not getattr(host, name))
    }
    vendor = rules.api if host.api in _PASSES_ON else None
    return replace(host, vendor=vendor, rules_from=rules.rules_from or rules.assumed_from, **known)


def _count(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < _MOST_TOKENS:
        raise ValueError(f"{value!r:.40} is no number of tokens")
    return value


def as_text(value: Any) -> str:
    """Return *value*, a name of a catalogue; raises ValueError if it is none."""
    if not isinstance(value, str) or not 0 < len(value) <= MOST:
        raise ValueError(f"{value!r:.40} is no name")
    return value


def _one_of(*choices: str) -> Callable[[Any], str]:
    def check(value: Any) -> str:
        if not isinstance(value, str) or value not in choices:
            raise ValueError(f"{value!r:.40} is none of {', '.join(choices)}")
        return value

    return check


def _texts(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise TypeError(f"{value!r:.40} is no list")
    return tuple(map(as_text, value))


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 100:  # noqa: PLR2004 - no vendor's goes beyond 2
        raise ValueError(f"{value!r:.40} is no temperature")
    return float(value)


def _money(value: Any) -> "Decimal":
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < _MOST_DOLLARS:
        raise ValueError(f"{value!r:.40} is no price")
    from decimal import Decimal  # noqa: PLC0415 - keeps the import of the resolver lean

    return Decimal(repr(value))


def _hours(value: Any) -> tuple[int, int]:
    begin, end = value
    if any(isinstance(part, bool) or not isinstance(part, int) or not 0 <= part < _DAY for part in (begin, end)):
        raise ValueError(f"{value!r:.40} are no minutes of a day")
    return begin, end


def _tiers(value: Any) -> "tuple[tuple[str, int, Decimal], ...]":
    checked = _one_of("input", "output", "cache_read", "cache_write")
    return tuple((checked(name), _count(start), _money(price)) for name, start, price in value)


def _prices(value: Any) -> tuple[Price, ...]:
    if not isinstance(value, list):
        raise TypeError(f"{value!r:.40} is no list")
    return tuple(Price(**{key: _PRICE[key](part) for key, part in price.items()}) for price in value)


_MOST_TOKENS: Final = 10**9
_MOST_DOLLARS: Final = 10**6
_DAY: Final = 24 * 60
_PRICE: Final[Mapping[str, Callable[[Any], Any]]] = {
    "since": date.fromisoformat,
    "hours": _hours,
    "input": _money,
    "output": _money,
    "cache_read": _money,
    "cache_write": _money,
    "request": _money,
    "tiers": _tiers,
}
FIELDS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "context": _count,
    "max_input": _count,
    "max_output": _count,
    "reasoning": _one_of("none", "optional", "default", "always"),
    "efforts": _texts,
    "default_effort": as_text,
    "sampling": _one_of("yes", "no", "ignored"),
    "temperature_max": _number,
    "retires": date.fromisoformat,
    "retired_effect": _one_of("refused", "rerouted"),
    "successor": as_text,
    "prices": _prices,
}
WRONG: Final = (ValueError, TypeError, KeyError, AttributeError, OverflowError)


def _parsed(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of *row*; raises what :data:`WRONG` lists, as over a key that only a newer version knows."""
    if unknown := row.keys() - FIELDS.keys():
        raise KeyError(f"unknown key {min(unknown):.40}")
    return {key: FIELDS[key](value) for key, value in row.items()}


def _priced(rows: Mapping[str, Mapping[str, Any]], row: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return *row* with its prices, where they are written in the row of another model."""
    if "priced_as" not in row:
        return row
    return {key: row[key] for key in row if key != "priced_as"} | {"prices": rows[row["priced_as"]]["prices"]}


def _row(rows: Mapping[str, Mapping[str, Any]], where: Found, as_of: date) -> ModelFacts | None:
    try:
        fields = _parsed(_priced(rows, rows[where.name]))
    except WRONG:
        return None
    if where.assumed or where.is_other_snapshot:
        kept = () if where.assumed else ("prices",)
        fields = {key: value for key, value in fields.items() if key in kept or key not in _OF_THE_HOST}
    if where.is_tuned:
        fields.pop("prices", None)
    return ModelFacts(
        name=where.name, api=where.api, as_of=as_of, assumed_from=where.name if where.assumed else None, **fields
    )


@Once
def known() -> Known:
    """Return the vendored catalogue, read on first use."""
    return Known(read())


def facts(api: str, model: str) -> ModelFacts | None:
    """Return what is known of *model* at *api* (:func:`core.models.apis.api_of`), or None. Never raises.

    Names are understood in the forms of :mod:`core.models.names`. A host that only serves others' models has the vendor's
    rules; prices and retirement are never another host's.
    """
    return known().facts(api, model)


def catalogue_health() -> CatalogueHealth:
    """Return whether the vendored catalogue is readable, row by row; takes a few milliseconds. Never raises."""
    return known().health()


@Once
def _provenance() -> Mapping[str, Mapping[str, Mapping[str, Any]]]:
    return read(PROVENANCE).rows


def with_sources(known_facts: ModelFacts) -> ModelFacts:
    """Return the facts with who says so: packages, URLs, ``overrides`` for what is written by hand.

    The file is read on first use, some milliseconds. Never raises: an unreadable file leaves the sources empty.
    """
    row = _provenance().get(known_facts.api, {}).get(known_facts.name, {})
    sources = {
        name: tuple(map(str, value))
        for name, value in row.items()
        if isinstance(value, list) and hasattr(known_facts, name)
    }
    return replace(known_facts, sources=MappingProxyType(sources))
