"""What the database says of models, beside the catalogue: rows by an admin, from vendors' lists, of an imported catalogue.

Reading them raises nothing, whatever raw SQL has put there: what cannot be read is left out, and said. Pure; standard library only.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from fnmatch import translate
from typing import Any, Final, Literal, NamedTuple

from ..parameters import SENDABLE
from ..patterns import later
from .facts import FIELDS, WRONG, as_text
from .vendored import Rows
from .verdict import Does, FactSource, Verdict

TABLE: Final = "llm_model_facts"
Origin = Literal["operator", "observed", "imported"]
ORIGINS: Final[Mapping[Origin, FactSource]] = {"operator": "operator", "observed": "vendor", "imported": "catalogue"}
"""Where a row comes from -> what people read; the strongest first."""
MOST_ROWS: Final = 20_000
"""So many rows are read: an imported catalogue has some 2,000, all vendors' lists together about as many."""
MOST_OPERATOR_ROWS: Final = 1_000
MOST_WILDCARDS: Final = 8
MOST_PATTERN: Final = 300
"""Characters."""
MOST_PROBLEMS: Final = 10
RESERVED: Final = frozenset(
    {"model", "messages", "contents", "input", "stream", "config", "system", "tools", "extra_body", "extra_headers"}
    | {"extra_query", "timeout"}
)
"""What a request has besides our parameters: none of these is called so."""

_NAME: Final = later(r"[A-Za-z_][A-Za-z0-9_.]{0,63}")
_CONDITION: Final = later(r"[A-Za-z_][A-Za-z0-9_.]{0,63}(=[\x21-\x7e]{1,64}|>-?\d{1,9}(\.\d{1,9})?)")
_NO_DAY: Final = date.min


class FactRow(NamedTuple):
    """A row of ``llm_model_facts``, as far as it can be read."""

    id: int
    api: str | None
    """A key of :data:`core.models.apis.APIS`, perhaps with ``@`` and a host behind it; None: wherever it is called."""
    pattern: str
    """A model's name in small letters; ``*`` and ``?`` stand for characters."""
    origin: Origin
    as_of: date
    fields: Mapping[str, Any]
    """Of :class:`~.facts.ModelFacts`."""
    verdicts: Mapping[str, tuple[Verdict, ...]]
    """Our parameter -> what the API does with it."""
    acts_as: str | None = None
    """The model that is behind this name."""
    is_custom: bool = False
    """Whether it is a model of one's own: nothing is taken from the catalogue."""


@dataclass(frozen=True, slots=True)
class Overlay:
    """The rows, ready to be asked."""

    exact: Mapping[str, tuple[FactRow, ...]] = field(default_factory=dict)
    """Name -> rows."""
    patterns: tuple[tuple[Callable[[str], Any], FactRow], ...] = ()
    """With wildcards; each with what tells whether it matches."""
    imported: Rows = field(default_factory=dict)
    imported_as_of: date = _NO_DAY
    problems: tuple[str, ...] = ()
    """What could not be read, and why: sentences, the first ten."""

    def find(self, api: str, model: str, host: str = "") -> list[FactRow]:
        """Return the rows of *model* at *api*, the weakest first.

        What an admin says is stronger than a vendor's list; of the same origin the one that names the model in full, then
        the one with more characters that are no wildcards, the one that names the host, the API, and then the newer one.
        """
        name, places = model.strip().lower(), {None, api, f"{api}@{host}"}
        found = [row for row in self.exact.get(name, ()) if row.api in places]
        found += [row for matches, row in self.patterns if row.api in places and matches(name)]
        return sorted(found, key=strength)


def strength(row: FactRow) -> tuple[bool, bool, int, int, int]:
    """Return by what rows of one model are sorted, the weakest first."""
    literal = len(row.pattern) - row.pattern.count("*") - row.pattern.count("?")
    place = 0 if row.api is None else 2 if "@" in row.api else 1
    return row.origin == "operator", not has_wildcards(row.pattern), literal, place, row.id


def has_wildcards(pattern: str) -> bool:
    """Return whether *pattern* stands for more than one name."""
    return "*" in pattern or "?" in pattern


def matcher(pattern: str) -> Callable[[str], Any]:
    """Return what tells whether a name in small letters matches: in linear time, as ``fnmatch`` writes it since Python 3.9."""
    return re.compile(translate(pattern.replace("[", "[[]"))).match


def read(rows: Iterable[Mapping[str, Any]]) -> Overlay:
    """Return what *rows* say, each as column -> value: ``id``, ``api``, ``pattern``, ``origin``, ``as_of`` and ``facts``. Never raises."""
    problems: list[str] = []
    exact: dict[str, tuple[FactRow, ...]] = {}
    patterns: list[tuple[Callable[[str], Any], FactRow]] = []
    imported: dict[str, dict[str, Mapping[str, Any]]] = {}
    newest, operators, unread = _NO_DAY, 0, 0
    for number, each in enumerate(rows):
        is_operator = each["origin"] == "operator"
        operators += is_operator
        if number >= MOST_ROWS or (is_operator and operators > MOST_OPERATOR_ROWS):
            unread += 1
            continue
        try:
            if each["origin"] == "imported":
                as_of = _day(each["as_of"])
                newest = max(newest, as_of)
                imported.setdefault(as_text(each["api"]), {})[as_text(each["pattern"])] = _object(each["facts"])
                continue
            row = _row(each, problems)
            if has_wildcards(row.pattern):
                patterns.append((matcher(row.pattern), row))
            else:
                exact[row.pattern] = (*exact.get(row.pattern, ()), row)
        except WRONG as error:
            problems.append(f"{_called(each)}: {error!s:.200}")
    if unread:
        most = f"at most {MOST_OPERATOR_ROWS:,} of admins and {MOST_ROWS:,} in all are read"
        problems.insert(0, f"{unread:,} rows of {TABLE} are unread: {most}. Delete what nobody needs.")
    return Overlay(exact, tuple(patterns), imported, newest, tuple(problems[:MOST_PROBLEMS]))


def read_facts(facts: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, tuple[Verdict, ...]], list[str]]:
    """Return what *facts*, the column, say of the model and of each parameter, and what of it cannot be read."""
    fields: dict[str, Any] = {}
    verdicts: dict[str, tuple[Verdict, ...]] = {}
    problems = []
    for key, value in facts.items():
        try:
            if key in SENDABLE:
                verdicts[key] = tuple(_verdicts(key, value))
            elif key not in _OF_THE_ROW:
                fields[key] = FIELDS[key](value)
        except WRONG as error:
            problems.append(
                f"{key:.60} is unread: {'unknown key' if isinstance(error, KeyError) else f'{error!s:.160}'}"
            )
    return fields, verdicts, problems


_OF_THE_ROW: Final = frozenset({"acts_as", "custom"})


def _row(each: Mapping[str, Any], problems: list[str]) -> FactRow:
    pattern, origin, api = each["pattern"], each["origin"], each["api"]
    if not isinstance(pattern, str) or not 0 < len(pattern) <= MOST_PATTERN:
        raise ValueError("its pattern is no name")
    if pattern.count("*") + pattern.count("?") > MOST_WILDCARDS:
        raise ValueError(f"its pattern has more than {MOST_WILDCARDS} wildcards")
    if origin not in ORIGINS or not (api is None or isinstance(api, str)):
        raise ValueError("its origin or API is none")
    facts = _object(each["facts"])
    as_of = _day(each["as_of"])
    fields, verdicts, wrong = read_facts(facts)
    problems += [f"{_called(each)}: {problem}" for problem in wrong]
    basis = ORIGINS[origin]
    return FactRow(
        each["id"],
        api,
        pattern.lower(),
        origin,
        as_of,
        fields,
        {name: tuple(one.from_source(basis, as_of) for one in each) for name, each in verdicts.items()},
        as_text(facts["acts_as"]) if facts.get("acts_as") is not None else None,
        facts.get("custom") is True,
    )


def _called(each: Mapping[str, Any]) -> str:
    return f"{TABLE} row {each['id']} ({each['origin']!s:.20}, {each['pattern']!s:.60})"


def _object(facts: Any) -> Mapping[str, Any]:
    if not isinstance(facts, dict):
        raise TypeError("its facts are no JSON object that can be read")
    return facts


def _day(value: Any) -> date:
    return (
        date.fromisoformat(value)
        if isinstance(value, str)
        else _NO_DAY
        if value is None
        else date(*value.timetuple()[:3])
    )


def _verdicts(name: str, value: Any) -> Iterator[Verdict]:
    """Yield what the API does with the parameter *name*: ``{"range": [0, 1], "unless": "reasoning_effort=none"}``."""
    forms = dict(_object(value))
    unless, by_default = forms.pop("unless", ""), forms.pop("by_default", True)
    if not isinstance(unless, str) or (unless and not _CONDITION.fullmatch(unless)) or not isinstance(by_default, bool):
        raise ValueError("unless is name=value or name>number, and by_default is true or false")
    if not forms:
        raise ValueError("it says nothing")
    for does, content in forms.items():
        if does not in _KINDS:
            raise KeyError(does)
        more = _KINDS[does](name, content)
        yield Verdict(does, _WHY[does], "", unless=unless, by_default=by_default, **more)  # type: ignore[arg-type]  # a key of _KINDS


def _is_true(_: str, content: Any) -> dict[str, Any]:
    if content is not True:
        raise ValueError("it is true, or not there")
    return {}


def _numbers(_: str, content: Any) -> dict[str, Any]:
    if not isinstance(content, list) or not 0 < len(content) <= 20 or not all(map(_is_number, content)):  # noqa: PLR2004 - no vendor takes so many
        raise ValueError("only is a list of numbers, at most 20")
    return {"values": tuple(content)}


def _range(_: str, content: Any) -> dict[str, Any]:
    low, high = _object_list(content)
    if not _is_number(low) or not _is_number(high) or low > high:
        raise ValueError("range is [from, to], two numbers")
    return {"low": low, "high": high}


def _object_list(content: Any) -> list[Any]:
    if not isinstance(content, list):
        raise TypeError("range is [from, to], two numbers")
    return content


def _renamed(name: str, content: Any) -> dict[str, Any]:
    others = {*SENDABLE, *RESERVED} - {name}
    if not isinstance(content, str) or not _NAME.fullmatch(content) or content in others:
        raise ValueError("rename is a name of letters, digits, dots and underscores that nothing else has")
    return {"to": content}


def _other(name: str, content: Any) -> dict[str, Any]:
    if not isinstance(content, str) or content not in SENDABLE or content == name:
        raise ValueError(f"exclusive is another one of {', '.join(SENDABLE)}")
    return {"to": content}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= 10**9


_KINDS: Final[Mapping[str, Callable[[str, Any], dict[str, Any]]]] = {
    "ok": _is_true,
    "refuse": _is_true,
    "ignore": _is_true,
    "require": _is_true,
    "only": _numbers,
    "range": _range,
    "rename": _renamed,
    "exclusive": _other,
}
DOES: Final[tuple[Does, ...]] = ("ok", "refuse", "ignore", "only", "range", "rename", "require", "exclusive")
_WHY: Final[Mapping[str, str]] = {
    "ok": "an admin says that it is taken",
    "refuse": "an admin says that it is refused",
    "ignore": "an admin says that it has no effect",
    "require": "an admin says that it is required",
    "only": "an admin says what it takes",
    "range": "",
    "rename": "an admin says so",
    "exclusive": "an admin says that only one of the two is taken",
}
