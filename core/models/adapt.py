"""What of the settings is sent to a model, by which name, and what is not and why: the one decision, for all who send or show.

Pure: it reads no setting and no clock. It never raises, whatever the values are, and what is not known is sent as it is.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from datetime import date
from typing import Any, Final, Literal, NamedTuple

from ..kinds import KindFacts, facts_of
from ..parameters import PARAMETERS, SENDABLE
from ..wording import plain_number
from . import rules
from .facts import ModelFacts
from .knowledge import Knowledge, vendored
from .verdict import FactSource, Verdict

What = Literal["renamed", "left_out", "clamped", "added"]
Unfit = Literal["leave_out", "send"]
Standing = Literal["known", "assumed", "unknown"]
"""Of a model: it is in the catalogue, it takes after one that is, or nothing is known of it."""

_NONE: Final[Mapping[str, Any]] = {}
KIND_OF: Final = {"openai": "openai", "anthropic": "anthropic", "google": "google", "azure": "azure_openai"}
"""The protocol of an API, where nobody says which."""


class Adjustment(NamedTuple):
    """How one parameter is sent otherwise than the settings have it."""

    parameter: str
    """By our name."""
    what: What
    to: float | str | list[str] | None
    """The name that it is sent by, or the value; None: it is not sent."""
    why: str
    """A clause for people."""
    source: FactSource
    as_of: date
    """The day on which the source was true."""
    asked_for: bool = True
    """Whether somebody has chosen the value: of a built-in default nobody needs to be warned."""

    @property
    def is_against_a_choice(self) -> bool:
        """Whether somebody chose a value that is not sent, or not as it is; another name for it is none."""
        return self.asked_for and self.what in {"left_out", "clamped"}

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON can hold it."""
        return {**self._asdict(), "as_of": self.as_of.isoformat()}


class Adapted(NamedTuple):
    """What is sent."""

    sent: dict[str, Any]
    """By the API's names."""
    adjustments: tuple[Adjustment, ...]
    """In the order of the parameters."""


def adapt(
    api: str,
    model: ModelFacts | str | None,
    values: Mapping[str, Any],
    explicit: Collection[str],
    omitted: Collection[str] = (),
    *,
    custom: Mapping[str, Any] = _NONE,
    kind: str | None = None,
    beside: Mapping[str, Any] = _NONE,
    unfit: Unfit = "leave_out",
    knowledge: Knowledge | None = None,
    host: str = "",
) -> Adapted:
    """Return what of *values* is sent to *model* by *api*, and what became of the rest.

    A built-in default that does not fit is left out; so is a value that somebody chose, or it is brought into the range.
    Of two that exclude each other the chosen one stays, else the temperature. What an API cannot do without is sent even
    where it is omitted.

    Args:
        api: A key of :data:`core.models.apis.APIS`.
        model: What is known of the model, or its name, to be looked up; None: there is none.
        values: Our parameters -> value; None is not sent.
        explicit: Those that somebody has chosen; the others have their built-in defaults.
        omitted: Those that somebody does not want sent.
        custom: Custom settings. Programs may send them: one that forbids a parameter counts, one that would allow it does not.
        kind: Of the provider: whose names are used. Default: the API's own.
        beside: What the request has besides, by the vendor's names: it counts both ways.
        unfit: ``send``: what somebody has chosen is sent also where it does not fit, as they know better. Built-in defaults
            are left out as ever: nobody asked for them.
        knowledge: What is known of models. Default: the catalogue of this version.
        host: Of the provider's base URL: an admin may say something of a model at one host.
    """
    kind = kind or KIND_OF.get(api, "openai_compatible")
    if isinstance(model, ModelFacts):
        steps = _steps(rules.verdicts(api, kind, model))
    else:
        steps = _steps_of(api, kind, model, knowledge, host)
    return _decide(steps, values, _Case(explicit, omitted, custom, beside, unfit))


def standing(api: str, model: str | None, knowledge: Knowledge | None = None, host: str = "") -> Standing:
    """Return whether *model* is known at *api*."""
    found = (knowledge or vendored()).facts(api, model, host) if model else None
    if found is None:
        return "unknown"
    return "assumed" if found.assumed_from else "known"


class _Check(NamedTuple):
    """A verdict that may keep a value from being sent, ready to be asked."""

    verdict: Verdict
    path: tuple[str, ...]
    """Of the parameter that lifts it; empty: nothing does."""
    value: Any
    is_above: bool
    notes: tuple[Adjustment, Adjustment]
    """Left out: of a built-in default, of a value that somebody chose."""

    def is_met_by(self, found: Any) -> bool:
        """Return whether the parameter has the value that lifts the verdict."""
        if self.is_above:
            return _is_number(found) and bool(found > self.value)
        return bool(found == self.value)

    def holds(self, beside: Mapping[str, Any], kept: Mapping[str, Any], custom: Mapping[str, Any]) -> bool:
        """Return whether it holds, as the request has *beside* and *kept*, and may have *custom*."""
        if not self.path:
            return True
        found = _at(beside, self.path)
        if found is None and len(self.path) == 1:
            found = kept.get(self.path[0])
        if found is not None:
            return not self.is_met_by(found)
        perhaps = _at(custom, self.path)
        return self.verdict.by_default or (perhaps is not None and not self.is_met_by(perhaps))


class _Step(NamedTuple):
    """One parameter, and what is to be looked at for it. Each pair of notes is as that of a check."""

    name: str
    theirs: str
    renamed: tuple[Adjustment, Adjustment] | None
    required: Verdict | None
    absent: tuple[Adjustment, Adjustment] | None
    checks: tuple[_Check, ...]
    """Refusals, ranges and the like."""
    exclusive: tuple[_Check, ...]


class _Case(NamedTuple):
    """What is asked of :func:`adapt` besides the values."""

    explicit: Collection[str]
    omitted: Collection[str]
    custom: Mapping[str, Any]
    beside: Mapping[str, Any]
    unfit: Unfit


def _decide(steps: tuple[_Step, ...], values: Mapping[str, Any], case: _Case) -> Adapted:
    kept: dict[str, Any] = {}
    notes: dict[str, Adjustment] = {}
    for step in steps:
        value = values.get(step.name)
        if value is None or (step.required is None and step.name in case.omitted):
            continue
        value, note = _one(step, list(value) if isinstance(value, tuple) else value, kept, case)
        if value is not None:
            kept[step.name] = value
        if note is not None:
            notes[step.name] = note
    for step in steps:
        if step.exclusive:
            _exclude(step, kept, notes, case)
    sent: dict[str, Any] = {}
    for step in steps:
        if step.name in kept:
            place(sent, step.theirs, kept[step.name])
    return Adapted(sent, _ordered(notes))


def place(sent: dict[str, Any], name: str, value: Any) -> None:
    """Put *value* into *sent* by the API's *name*: ``a.b`` is an entry of the object ``a``. Two objects of one name are joined."""
    head, dot, rest = name.partition(".")
    there = sent.get(head)
    if dot:
        sent[head] = {**(there if isinstance(there, Mapping) else {}), rest: value}
    elif isinstance(there, Mapping) and isinstance(value, Mapping):
        sent[head] = {**there, **value}
    else:
        sent[head] = value


def _one(step: _Step, value: Any, kept: Mapping[str, Any], case: _Case) -> tuple[Any, Adjustment | None]:
    """Return what of *value* is sent, None for nothing of it, and what was changed. *kept* is sent already."""
    asked_for = step.name in case.explicit
    if step.absent is not None:
        return None, step.absent[asked_for]
    note = None
    if step.required is not None and step.name in case.omitted:
        note = _note(step.name, "added", value, step.required.why, step.required, asked_for=asked_for)
    elif step.renamed is not None:
        note = step.renamed[asked_for]
    for check in () if asked_for and case.unfit == "send" else step.checks:
        verdict = check.verdict
        if not check.holds(case.beside, kept, case.custom) or _takes(verdict, value, case.beside):
            continue
        brought = _brought_in(verdict, value, case.beside)
        if brought in (None, []) or not (asked_for or step.required is not None):
            return None, check.notes[asked_for]
        value = brought
        note = _note(step.name, "clamped", value, verdict.why, verdict, asked_for=asked_for)
    return value, note  # of a value that is changed the change is what people want to know, not its other name


def _takes(verdict: Verdict, value: Any, beside: Mapping[str, Any]) -> bool:
    """Return whether *value* is one that a verdict in force lets through; of what is no number the vendor judges."""
    if verdict.does == "above":
        other = _at(beside, verdict.values)
        return not (_is_number(other) and _is_number(value)) or value > other
    if verdict.does == "visible":
        return not isinstance(value, list) or all(isinstance(one, str) and one.strip() for one in value)
    if verdict.does == "range":
        size = len(value) if isinstance(value, list) else value
        return not _is_number(size) or verdict.low <= size <= verdict.high
    return verdict.does == "only" and value in verdict.values


def _brought_in(verdict: Verdict, value: Any, beside: Mapping[str, Any]) -> Any:
    """Return what of *value* the verdict lets through; None for nothing."""
    if verdict.does == "above":
        return value + _at(beside, verdict.values)  # the other number is a part of it: what is left is what was chosen
    if verdict.does == "visible":
        return [one for one in value if isinstance(one, str) and one.strip()]
    if verdict.does != "range":
        return None
    if isinstance(value, list):
        return value[: int(verdict.high)]
    return verdict.low if value < verdict.low else verdict.high


def _exclude(step: _Step, kept: dict[str, Any], notes: dict[str, Adjustment], case: _Case) -> None:
    """Leave out one of each two that exclude each other; what a call's options name is sent as it is."""
    for check in step.exclusive:
        one, other = step.name, check.verdict.to
        if not check.holds(case.beside, kept, case.custom):
            continue
        if one in case.beside or other in case.beside:
            loser = other if one in case.beside else one
        elif one in kept and other in kept:
            loser = _loser(one, other, case.explicit)
        else:
            continue
        if case.unfit == "send" and loser in case.explicit:
            continue
        if kept.pop(loser, None) is not None:
            asked_for, why = loser in case.explicit, f"{check.verdict.why}; {other if loser == one else one} is sent"
            notes[loser] = _note(loser, "left_out", None, why, check.verdict, asked_for=asked_for)


def _loser(one: str, other: str, explicit: Collection[str]) -> str:
    """Return which of two that exclude each other goes: the one that nobody chose, else *one*."""
    return other if one in explicit and other not in explicit else one


def _ordered(notes: dict[str, Adjustment]) -> tuple[Adjustment, ...]:
    return tuple(notes[name] for name in SENDABLE if name in notes) if notes else ()


def _note(
    name: str, what: What, to: float | str | list[str] | None, why: str, verdict: Verdict, *, asked_for: bool
) -> Adjustment:
    return Adjustment(name, what, to, why, verdict.basis, verdict.as_of, asked_for)


def _at(found: Any, path: Iterable[Any]) -> Any:
    for name in path:
        if not isinstance(found, Mapping):
            return None
        found = found.get(name)
    return found


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


_MOST_KEPT: Final = 4096


def _steps_of(api: str, kind: str, model: str | None, knowledge: Knowledge | None, host: str) -> tuple[_Step, ...]:
    """Return the steps of a model, which are kept: what is known of it does not change but with the whole knowledge."""
    knowledge = knowledge or vendored()
    row, key = facts_of(kind), (api, kind, model, host)
    found: tuple[KindFacts, tuple[_Step, ...]] | None = knowledge.kept.get(key)
    if found is not None and found[0] is row:
        return found[1]
    if len(knowledge.kept) >= _MOST_KEPT:
        knowledge.kept.clear()
    steps = _steps(knowledge.verdicts(api, kind, model or None, host))
    knowledge.kept[key] = row, steps
    return steps


def _steps(verdicts: Mapping[str, tuple[Verdict, ...]]) -> tuple[_Step, ...]:
    """Return one step for each parameter; effort and temperature first: conditions on them are asked after them."""
    return tuple(_step(name, verdicts.get(name, ())) for name in _ORDER)


def _step(name: str, verdicts: tuple[Verdict, ...]) -> _Step:
    by = {one.does: one for one in verdicts}
    renamed, is_ok = by.get("rename"), "ok" in by
    gone = next((one for one in verdicts if one.is_absent), None)
    return _Step(
        name,
        theirs=renamed.to if renamed else name,
        renamed=None if renamed is None else _both(name, "renamed", renamed.to, renamed),
        required=by.get("require"),
        absent=None if gone is None else _both(name, "left_out", None, gone),
        checks=()
        if is_ok
        else tuple(_check(name, one) for one in verdicts if one.does in _CHECKED and not one.is_absent),
        exclusive=() if is_ok else tuple(_check(name, one) for one in verdicts if one.does == "exclusive"),
    )


_ORDER: Final = ("reasoning_effort", *(name for name in SENDABLE if name != "reasoning_effort"))
_CHECKED: Final = ("refuse", "ignore", "only", "visible", "above", "range")


def _both(name: str, what: What, to: str | None, verdict: Verdict) -> tuple[Adjustment, Adjustment]:
    default, chosen = (_note(name, what, to, verdict.why, verdict, asked_for=asked_for) for asked_for in (False, True))
    return default, chosen


def _check(name: str, verdict: Verdict) -> _Check:
    if verdict.does == "range":
        verdict = replace(verdict, why=_ranged(verdict, is_list=PARAMETERS[name].value_type is list))
    notes = _both(name, "left_out", None, verdict)
    if not verdict.unless:
        return _Check(verdict, (), None, is_above=False, notes=notes)
    path, above, limit = verdict.unless.partition(">")
    if above:
        return _Check(verdict, (path,), float(limit), is_above=True, notes=notes)
    path, _, value = verdict.unless.partition("=")
    return _Check(verdict, tuple(path.split(".")), value, is_above=False, notes=notes)


def _ranged(verdict: Verdict, *, is_list: bool) -> str:
    if is_list:
        return f"it takes at most {plain_number(verdict.high)}"
    among = f"it takes {plain_number(verdict.low)} to {plain_number(verdict.high)}"
    return f"{among}: {verdict.why}" if verdict.why else among


def names(
    api: str, kind: str | None, model: str | None, knowledge: Knowledge | None = None, host: str = ""
) -> dict[str, str]:
    """Return by which name each of our parameters is sent."""
    steps = _steps_of(api, kind or KIND_OF.get(api, "openai_compatible"), model, knowledge, host)
    return {step.name: step.theirs for step in steps}
