"""Evaluates what deploy/alerts.yml says, on scrapes: the part of PromQL that stands there, by its documentation.

Selectors with ``=`` and ``=~``, ``increase`` of the scrapes that are given, ``time()``, arithmetic and comparisons of vectors and
numbers, ``ignoring``. https://prometheus.io/docs/prometheus/latest/querying/operators/
"""

import itertools
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from prometheus_client.parser import text_string_to_metric_families

Labels = frozenset[tuple[str, str]]
Vector = dict[Labels, float]
"""Labels, the name among them as ``__name__`` -> value."""

_TOKENS: Final = re.compile(
    r"\s*(?:(?P<number>\d+(?:\.\d+)?(?:e[+-]?\d+)?)(?![\w.])|(?P<name>[A-Za-z_]\w*)|(?P<text>\"[^\"]*\")|(?P<range>\[\d+[smhd]\])"
    r"|(?P<sign>=~|==|!=|>=|<=|[-+*/><=(){},]))"
)
_COMPARE: Final[Mapping[str, Callable[[float, float], bool]]] = {
    ">": operator.gt,
    "<": operator.lt,
    ">=": operator.ge,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
}


class Scrape(NamedTuple):
    """What one scrape brought."""

    at: float
    """Seconds since 1970."""
    samples: Vector


def scraped(text: str | None, at: float, job: str = "llm-settings") -> Scrape:
    """Read a scrape as Prometheus does, with the labels that it adds and ``up``; None: the scrape failed."""
    added = {("job", job), ("instance", "app:8501")}
    samples = {frozenset({("__name__", "up"), *added}): float(text is not None)}
    for family in text_string_to_metric_families(text or ""):
        for sample in family.samples:
            samples[frozenset({("__name__", sample.name), *sample.labels.items(), *added})] = sample.value
    return Scrape(at, samples)


def metrics_in(expression: str) -> set[str]:
    """The names of metrics in an expression, of whatever functions it has."""
    return set(re.findall(r"\b(?:up\b|(?:llm_settings|process)_\w+)", expression))


def evaluate(expression: str, scrapes: Sequence[Scrape]) -> Vector:
    """Return for what an alert with this expression would fire after these scrapes; an error for what is not known here."""
    found = _Reader(expression, scrapes).whole()
    assert isinstance(found, dict), f"{expression} is a number"
    return found


class _Reader:
    def __init__(self, expression: str, scrapes: Sequence[Scrape]) -> None:
        self._scrapes = scrapes
        self._tokens: list[tuple[str, str]] = []
        at = 0
        while at < len(expression.rstrip()):
            match = _TOKENS.match(expression, at)
            assert match is not None, f"not understood: {expression[at:]}"
            self._tokens.append((str(match.lastgroup), match[str(match.lastgroup)]))
            at = match.end()

    def whole(self) -> Any:
        found = self._binary(0)
        assert not self._tokens, f"not understood: {self._tokens}"
        return found

    def _next(self, *signs: str) -> str | None:
        if self._tokens and self._tokens[0][1] in signs and self._tokens[0][0] != "text":
            return self._tokens.pop(0)[1]
        return None

    def _take(self, kind: str) -> str:
        found, word = self._tokens.pop(0)
        assert found == kind, f"{word} where a {kind} should be"
        return word

    def _binary(self, level: int) -> Any:
        levels = (tuple(_COMPARE), ("+", "-"), ("*", "/"))
        if level == len(levels):
            return self._single()
        left = self._binary(level + 1)
        while sign := self._next(*levels[level]):
            ignored = self._names() if self._next("ignoring") else set()
            left = _applied(sign, left, self._binary(level + 1), ignored)
        return left

    def _names(self) -> set[str]:
        assert self._next("(")
        names = {self._take("name")}
        while self._next(","):
            names.add(self._take("name"))
        assert self._next(")")
        return names

    def _single(self) -> Any:
        if self._next("("):
            found = self._binary(0)
            assert self._next(")")
            return found
        if self._tokens[0][0] == "number":
            return float(self._take("number"))
        if self._next("time"):
            assert self._next("(")
            assert self._next(")")
            return self._scrapes[-1].at
        if self._next("increase"):
            assert self._next("(")
            wanted = self._matchers(self._take("name"))
            self._take("range")
            assert self._next(")")
            return self._increase(wanted)
        return _chosen(self._scrapes[-1].samples, self._matchers(self._take("name")))

    def _matchers(self, name: str) -> dict[str, str]:
        wanted = {"__name__": re.escape(name)}
        if self._next("{"):
            while not self._next("}"):
                label = self._take("name")
                sign = self._next("=", "=~")
                text = self._take("text").strip('"')
                wanted[label] = re.escape(text) if sign == "=" else text
                self._next(",")
        return wanted

    def _increase(self, wanted: Mapping[str, str]) -> Vector:
        """A series needs two samples; a counter that went back began anew."""
        found: Vector = {}
        for labels in _chosen(self._scrapes[-1].samples, wanted):
            values = [scrape.samples[labels] for scrape in self._scrapes if labels in scrape.samples]
            if len(values) > 1:
                steps = itertools.pairwise(values)
                found[_unnamed(labels)] = sum(new - old if new >= old else new for old, new in steps)
        return found


def _chosen(samples: Vector, wanted: Mapping[str, str]) -> Vector:
    return {
        labels: value
        for labels, value in samples.items()
        if all(re.fullmatch(pattern, dict(labels).get(label, "")) for label, pattern in wanted.items())
    }


def _unnamed(labels: Labels, but: set[str] = frozenset()) -> Labels:  # type: ignore[assignment]  # nothing
    return frozenset((name, value) for name, value in labels if name != "__name__" and name not in but)


def _applied(sign: str, left: Any, right: Any, ignored: set[str]) -> Any:
    if sign in _COMPARE:
        assert isinstance(left, dict), "two numbers are not compared in an alert"
        assert isinstance(right, float), "a vector is compared with a number"
        return {labels: value for labels, value in left.items() if _COMPARE[sign](value, right)}
    if isinstance(left, float) and isinstance(right, float):
        return _calculated(sign, left, right)
    if isinstance(right, float):
        return {_unnamed(labels): _calculated(sign, value, right) for labels, value in left.items()}
    if isinstance(left, float):
        return {_unnamed(labels): _calculated(sign, left, value) for labels, value in right.items()}
    matching = {_unnamed(labels, ignored): value for labels, value in right.items()}
    pairs = {_unnamed(labels, ignored): value for labels, value in left.items()}
    return {labels: _calculated(sign, value, matching[labels]) for labels, value in pairs.items() if labels in matching}


def _calculated(sign: str, left: float, right: float) -> float:
    if sign == "/":
        return left / right if right else float("nan") if left == 0 else float("inf")
    return {"+": operator.add, "-": operator.sub, "*": operator.mul}[sign](left, right)
