"""Which of several claims is taken: the majority's, where packages that copy one another have one vote between them."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from claims import Claim

ORIGIN = {"langchain": "models.dev", "rates": "models.dev", "model-prices": "models.dev"}
"""Where a package has its facts from, if it collects none itself."""

TRUST: Mapping[str, tuple[str, ...]] = {
    "context": ("genai-prices", "langchain", "rates", "litellm"),
    "max_input": ("litellm", "langchain"),
    "max_output": ("pydantic-ai", "litellm", "langchain", "rates"),
    "reasoning": ("pydantic-ai", "litellm", "langchain", "rates", "modelparams"),
    "efforts": ("pydantic-ai", "langchain", "litellm", "rates", "modelparams"),
    "default_effort": ("pydantic-ai", "litellm", "langchain", "rates", "modelparams"),
    "sampling": ("pydantic-ai", "litellm", "langchain", "modelparams"),
    "temperature_max": ("modelparams",),
    "retires": ("litellm", "modelparams"),
    "successor": ("litellm", "modelparams"),
    "prices": ("genai-prices",),
    "price": ("model-prices", "litellm", "rates"),
}
"""Who is believed where votes are equal, the first one most."""

SUPPORTS_ONLY = {
    ("modelparams", "retires"),  # it gave gpt-6-astra, of September 2026, the last day of gpt-4
    ("modelparams", "successor"),
    ("modelparams", "reasoning"),
    ("modelparams", "efforts"),
    ("modelparams", "default_effort"),
}
"""Claims that back another's, and are none where they stand alone."""

ROUNDING = 0.05
"""1,000,000 for 1,048,576 is no dispute."""


@dataclass
class Verdict:
    """What is taken of one field of one model."""

    value: Any
    sources: tuple[str, ...]
    urls: tuple[str, ...] = ()
    disputed: dict[str, Any] = field(default_factory=dict)
    """Source -> what it says instead."""


def same(one: Any, other: Any) -> bool:
    """Tell whether two values are one, but for rounding."""
    if isinstance(one, dict) and isinstance(other, dict):
        common = one.keys() & other.keys() & {"input", "output"}
        return bool(common) and all(same(one[key], other[key]) for key in common)
    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in (one, other))
    if numbers:
        return abs(one - other) <= ROUNDING * max(abs(one), abs(other))
    return bool(one == other)


def decide(name: str, claims: Iterable[Claim]) -> Verdict | None:
    """Return the value of the field *name* that most origins say; None if nobody may say it alone."""
    trust = TRUST[name]
    ordered = sorted(claims, key=lambda claim: (trust.index(claim.source), str(claim.value)))
    groups: list[list[Claim]] = []
    for claim in ordered:
        group = next((group for group in groups if same(group[0].value, claim.value)), None)
        if group is None:
            groups.append([claim])
        else:
            group.append(claim)
    allowed = [g for g in groups if any((claim.source, name) not in SUPPORTS_ONLY for claim in g)]
    if not allowed:
        return None
    spoken = _one_vote_each(ordered)
    best = min(
        allowed,
        key=lambda group: (-len({ORIGIN.get(c.source, c.source) for c in group if c in spoken}), groups.index(group)),
    )
    disputed = {claim.source: claim.value for group in groups if group is not best for claim in group}
    sources = tuple(dict.fromkeys(claim.source for claim in best))
    urls = tuple(dict.fromkeys(claim.url for claim in best if claim.url))
    return Verdict(_exact(name, best), sources, urls, disputed)


def _exact(name: str, group: list[Claim]) -> Any:
    """Return the value of a group; of token counts that differ by rounding the one that is not round."""
    if name not in {"context", "max_input", "max_output"}:
        return group[0].value
    return min((claim.value for claim in group), key=lambda value: len(str(value)) - len(str(value).rstrip("0")))


def _one_vote_each(ordered: list[Claim]) -> list[Claim]:
    """Return the claims that count: of each origin those of its most trusted package."""
    speaker: dict[str, str] = {}
    for claim in ordered:
        speaker.setdefault(ORIGIN.get(claim.source, claim.source), claim.source)
    return [claim for claim in ordered if speaker[ORIGIN.get(claim.source, claim.source)] == claim.source]


def by_model(claims: Iterable[Claim]) -> dict[tuple[str, str], dict[str, list[Claim]]]:
    """Return the claims, by model and field."""
    found: dict[tuple[str, str], dict[str, list[Claim]]] = defaultdict(lambda: defaultdict(list))
    for claim in claims:
        found[claim.api, claim.model][claim.field].append(claim)
    return found
