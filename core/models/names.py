"""Which row of the catalogue a model's name means: vendors and hosts write one model in many ways.

A name is tried as it is, then ever plainer: without the prefix of a vendor or a region, without variant, snapshot and
revision. What is still unknown is taken for its family: the known model of the same shape with the next lower version,
hence for a new model the newest.
Pure functions and dicts: a known name costs a look-up, an unknown one a handful.
"""

import re
from bisect import bisect, insort
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from ..patterns import later
from .apis import APIS
from .vendored import Rows

MOST: Final = 300
"""Characters; a longer name is no model's."""


class Found(NamedTuple):
    """Where the row is."""

    api: str
    name: str
    assumed: bool
    """Whether it is another model, of the same family: the one before it that is known, else the one after it; or the same model
    of another day, where both names have their day."""
    is_other_snapshot: bool = False
    """Whether the name has a day, or is a preview's, which the row is not of: they are one model, and end on days of their own. So
    does ``-latest``, where the row has a day: it is the newest one's, which nobody here may have heard of."""
    is_tuned: bool = False
    """Whether the name is a fine-tuned model's, and the row that of its base: the price is another one."""


VENDOR_PREFIXES: Final[Mapping[str, str]] = {
    "openai": "openai",
    "anthropic": "anthropic",
    "google": "google",
    "gemini": "google",
    "x-ai": "xai",
    "xai": "xai",
    "mistralai": "mistral",
    "mistral": "mistral",
    "deepseek": "deepseek",
    "deepseek-ai": "deepseek",
    "cohere": "cohere",
    "moonshotai": "moonshot",
    "moonshot": "moonshot",
}
"""What stands before a ``/`` or a ``.`` in a host's name for a vendor's model -> the vendor's API."""

_VARIANT: Final = later(r":(?:free|nitro|floor|online|thinking|beta|extended|exacto|latest)$")
_TUNED: Final = "ft:"
_FINE_TUNED: Final = later(r"^(ft:[^:]+)(?::.*)?$")
_REGION: Final = later(r"^(?:us|eu|apac|global|au|jp|ca|sa|in|us-gov|regional)\.(?=[a-z0-9-]+\.)")
_REVISION: Final = later(r"-v\d+(?::\d+)?(?::\d+k)?$|:\d+$")
_SNAPSHOT: Final = later(
    r"-(?:20\d\d-\d\d-\d\d|20\d{6}|2[3-9](?:0[1-9]|1[0-2])|(?:0[1-9]|1[0-2])(?:[0-2]\d|3[01])|(?:0[1-9]|1[0-2])-20\d\d"
    r"|\d\d-\d\d|latest|00\d)(?:-preview)?$"
)
"""A date in one of the vendors' ways, a number of a version, or ``latest``."""
_OF_A_DAY: Final = later(r"\d\d-?\d\d|preview|exp|beta")
_NUMBERED: Final = later(r"\d\d-?\d\d|00\d")
_PREVIEW: Final = later(r"-(?:preview|exp|experimental|beta)$")
_OLD_CLAUDE: Final = later(r"^claude-(\d+(?:[.-]\d+)?)-(opus|sonnet|haiku)(?=$|[-@])")
_DASHED: Final = later(r"^((?:gpt|grok|gemini)-\d+)-(\d+)(?=$|-[a-z])")
_GENERATION: Final = later(r"[a-z][a-z-]*\d+(?:[.-]\d{1,2}(?!\d))*(?![\w.])")
_NUMBERS: Final = later(r"\d+(?:[.-]\d+)*")


def plainer(name: str) -> Iterator[str]:
    """Yield *name*, lower-case, in ever plainer forms, the first one as it is."""
    name = name.strip().lower()
    yield name
    for step in _STEPS:
        short = step(name)
        if short != name:
            name = short
            yield name


def _no_wrapping(name: str) -> str:
    """Without what Bedrock or OpenRouter puts around it; of a fine-tuned model's name only ``ft:`` and its base is left."""
    if ":" not in name:
        return name
    if name.startswith("arn:"):
        return name.rpartition("/")[2]
    tuned = _FINE_TUNED.match(name)
    return tuned[1] if tuned else _VARIANT.sub("", name)


def _no_tuning(name: str) -> str:
    return name.removeprefix(_TUNED)


def _no_path(name: str) -> str:
    """Without the first part of a path, which is a host's or a vendor's name."""
    if "/" not in name:
        return name
    return name.rpartition("models/")[2] if "models/" in name else name.partition("/")[2]


def _no_region(name: str) -> str:
    return _REGION.sub("", name) if "." in name else name


def unrevised(name: str) -> str:
    """Return a Bedrock name without the revision at its end: ``-v1:0``."""
    return _REVISION.sub("", name) if ":" in name or "-v" in name else name


def _no_vendor(name: str) -> str:
    vendor, dot, rest = name.partition(".")
    return rest if dot and vendor in VENDOR_PREFIXES else name


def _no_at(name: str) -> str:
    """Vertex AI's way to name a snapshot, or the newest one."""
    if "@" not in name:
        return name
    return name.partition("@")[0] if name.endswith(("@default", "@latest")) else name.replace("@", "-")


def _vendor_spelling(name: str) -> str:
    """Return the vendor's own way of writing it: ``claude-opus-4-5`` for ``claude-4.5-opus``; the third ones had it so."""
    if name.startswith("gpt-35"):  # at Azure
        return f"gpt-3.5{name[6:]}"
    if not name.startswith("claude-"):
        return name
    name = name.replace(".", "-")
    old = _OLD_CLAUDE.match(name)
    return f"claude-{old[2]}-{old[1]}{name[old.end() :]}" if old and not old[1].startswith("3") else name


def _no_snapshot(name: str) -> str:
    return _SNAPSHOT.sub("", name) if name[-1:].isdigit() or name.endswith(("-latest", "-preview")) else name


def _no_preview(name: str) -> str:
    return _PREVIEW.sub("", name)


def _dotted(name: str) -> str:
    dashed = _DASHED.match(name)
    return f"{dashed[1]}.{dashed[2]}{name[dashed.end() :]}" if dashed else name


_STEPS: Final = (
    *(
        _no_wrapping,
        _no_tuning,
        _no_path,
        _no_path,
        _no_path,
        unrevised,
        _no_region,
        _no_vendor,
        _no_at,
        _vendor_spelling,
    ),
    *(_no_snapshot, _no_preview, _dotted),
)


def family(name: str) -> tuple[str, tuple[int, ...]]:
    """Return the shape of a plain *name*, its numbers left out, and its version: what two of one family have in common."""
    version = tuple(int(part) for run in _NUMBERS.findall(name) for part in re.split("[.-]", run) if len(part) < 4)  # noqa: PLR2004 - longer numbers are dates
    return _NUMBERS.sub("#", name), version


class _Names(NamedTuple):
    """The names at one API."""

    forms: Mapping[str, str]
    """Each form of a row's name -> the row."""
    families: Mapping[str, list[tuple[tuple[int, ...], str]]]
    """Shape -> version and row, ascending."""
    generations: Mapping[str, list[str]]
    """``gpt-6`` -> the rows of that version, whatever stands behind it."""


class Index:
    """The rows of a catalogue, by every form of their names; an API's are sorted when it is first asked for."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        self._names: dict[str, _Names] = {}
        self._vendors = tuple(api for api in rows if api in APIS and APIS[api].vendor)

    def find(self, api: str, model: str) -> tuple[Found, ...]:
        """Return the row of *model* at *api* itself, and its vendor's; none, one or both of them. Never raises."""
        if len(model) > MOST:
            return ()
        forms = list(plainer(model))
        here = self._known(api, forms)
        if here is not None and api in self._vendors and not here.assumed:
            return (here,)
        there = self._at_a_vendor(api, forms)
        if here is not None and here.assumed and there is not None and not there.assumed:
            here = None
        found = tuple(filter(None, (here, there)))
        return found[:1] if found and found[0].assumed else found or self._relatives(api, forms[-1])

    def generation(self, api: str, model: str) -> tuple[Found, ...]:
        """Return the rows of the same line and version as *model*, at *api* or at a vendor: of gpt-6-luna those of gpt-6."""
        *_, plain = plainer(model)
        begins = _GENERATION.match(plain)
        if begins is None or len(model) > MOST:
            return ()
        for place in (api, *self._vendors):
            if rows := self._at(place).generations.get(begins[0]):
                return tuple(Found(place, name, assumed=True) for name in rows)
        return ()

    def relatives(self, api: str, model: str) -> tuple[Found, ...]:
        """Return the relative of the next lower version, at *api* or at a vendor; none or one."""
        *_, plain = plainer(model)
        return self._relatives(api, plain)

    def _known(self, api: str, forms: list[str]) -> Found | None:
        known = self._at(api).forms
        for place, form in enumerate(forms):
            if form in known:
                ends = [one[len(form) :] for one in forms[:place] if one.startswith(form)]
                dated = any(map(_OF_A_DAY.search, ends)) or (
                    forms[0].endswith("-latest") and bool(_OF_A_DAY.search(known[form][len(form) :]))
                )
                tuned = forms[0].startswith(_TUNED) and not known[form].startswith(_TUNED)
                return Found(
                    api, known[form], _differ(ends, form, known[form]), is_other_snapshot=dated, is_tuned=tuned
                )
        return None

    def _at_a_vendor(self, api: str, forms: list[str]) -> Found | None:
        """Return the first vendor's row, but for *api*; one that is of another day only where no vendor has a better one."""
        other = None
        for vendor in self._vendors:
            if vendor != api and (found := self._known(vendor, forms)):
                if not found.assumed:
                    return found
                other = other or found
        return other

    def _relatives(self, api: str, plain: str) -> tuple[Found, ...]:
        """Return the relative of the next lower version, at *api* or at a vendor."""
        shape, version = family(plain)
        if shape == plain:
            return ()
        for place in (api, *self._vendors):
            if known := self._at(place).families.get(shape):
                position = bisect(known, (version, _AFTER_ALL)) - 1
                return (Found(place, known[max(position, 0)][1], assumed=True),)
        return ()

    def _at(self, api: str) -> _Names:
        names = self._names.get(api)
        if names is None:
            names = self._names[api] = _sorted(self._rows.get(api, {}))  # two threads may do it: the same twice
        return names


def _differ(ends: list[str], form: str, row: str) -> bool:
    """Tell whether a name that ends on *ends* behind *form* is of another day, or number, than the *row* of the same form."""
    mine = next((number for end in ends if (number := _number(end))), "")
    if not mine:
        return False
    theirs = next((n for one in plainer(row) if one.startswith(form) and (n := _number(one[len(form) :]))), "")
    return bool(theirs) and not mine.endswith(theirs) and not theirs.endswith(mine)


def _number(end: str) -> str:
    found = _NUMBERED.search(end)
    return "".join(filter(str.isdigit, end[found.start() :])) if found else ""


def _sorted(models: Mapping[str, Mapping[str, Any]]) -> _Names:
    exact = {name.lower(): name for name in models}
    families: dict[str, list[tuple[tuple[int, ...], str]]] = {}
    generations: dict[str, list[str]] = {}
    for name in sorted(sorted(models, reverse=True), key=len):  # the newest snapshot, where only those are known
        for form in (forms := list(plainer(name))):
            exact.setdefault(form, name)
        row = models[name]
        if "reasoning" in row or "sampling" in row:
            shape, version = family(forms[-1])
            if shape != forms[-1]:
                insort(families.setdefault(shape, []), (version, name))
            if begins := _GENERATION.match(forms[-1]):
                generations.setdefault(begins[0], []).append(name)
    return _Names(exact, families, generations)


_AFTER_ALL: Final = "\U0010ffff"
