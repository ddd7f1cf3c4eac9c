"""The catalogue from the claims: which models are in it, and what of each."""

import json
import tomllib
from collections.abc import Callable, Container, Iterable, Mapping
from datetime import date
from pathlib import Path
from typing import Any

import claims
from claims import Claim
from vote import Verdict, by_model, decide, same

from core.models.facts import Known
from core.models.names import Index, plainer, unrevised
from core.models.vendored import Catalogue

HERE = Path(__file__).parent
HOSTS = {
    "azure": ("context", "max_input", "max_output", "retires", "successor", "prices"),
    "vertex": ("context", "max_output", "retires", "successor"),
    "bedrock": ("context", "max_output", "reasoning", "retires", "successor", "prices"),
    "openrouter": ("context", "prices"),
}
"""What is kept of a host that serves others' models: the rules are the vendors'."""

FIELDS = (
    "context",
    "max_input",
    "max_output",
    "reasoning",
    "efforts",
    "default_effort",
    "sampling",
    "temperature_max",
    "retires",
    "retired_effect",
    "successor",
    "prices",
)
"""In the order of the file."""

_ENDS = ("retires", "retired_effect", "successor")
"""What each snapshot has of its own."""
_MOVING = ("mistral", "cohere")
"""Vendors whose name without a day is that of the newest model, whatever it is: ``mistral-large`` is no longer that of 2024."""

Verdicts = dict[tuple[str, str], dict[str, Verdict]]


def collect(folder: Path) -> list[Claim]:
    """Return all claims of the packages in *folder*."""
    found = [
        *claims.litellm(folder),
        *claims.genai_prices(),
        *claims.rates(folder),
        *claims.langchain(folder),
        *claims.model_prices(folder),
        *claims.modelparams(folder),
    ]
    chat: dict[str, set[str]] = {}
    for claim in found:
        if claim.source != "genai-prices" and claim.field != "price":
            chat.setdefault(claim.api, set()).add(claim.model)
    found += claims.pydantic_ai({api: sorted(names) for api, names in chat.items()})
    return [claim for claim in map(_at_bedrock, filter(None, map(fit, found))) if claim is not None]


def fit(claim: Claim) -> Claim | None:
    """Return the claim as it is of use; None where it is not."""
    if claims.NO_CHAT.search(claim.model.lower()) and claim.field not in claims.OF_ANY:
        return None
    if claim.api == "openai" and claim.field == "efforts":  # max is of the Responses API: Chat Completions refuse it
        return claim._replace(value=tuple(level for level in claim.value if level != "max"))
    return claim


def _at_bedrock(claim: Claim) -> Claim | None:
    """Return the claim under the name without region and revision; what is said of one region is dropped."""
    if claim.api != "bedrock" or claim.field == "alias":
        return claim if claim.api != "bedrock" else None
    name = claim.model.lower().removeprefix("regional.")
    if claims_region(name):
        return None
    return claim._replace(model=name if claims.NO_CHAT.search(name) else unrevised(name))


def claims_region(name: str) -> bool:
    """Tell whether a Bedrock name is of one region: its price is not everybody's."""
    return name.partition(".")[0] in {"us", "eu", "apac", "au", "jp", "ca", "sa", "in", "us-gov"}


def verdicts(found: Iterable[Claim], overrides: Mapping[str, Any]) -> Verdicts:
    """Return what is taken of each field of each model."""
    result: Verdicts = {}
    found = list(found)
    for place, fields in by_model(found).items():
        taken = {name: verdict for name in fields if name != "alias" and (verdict := decide(name, fields[name]))}
        if place[0] in HOSTS:
            taken.pop("price", None)  # of one region, and without tiers
        _prices(taken, overrides["as_of"])
        result[place] = taken
    for (api, name), taken in list(result.items()):
        if api == "bedrock" and name.startswith("global."):  # the price is another one, the model is not
            result[api, name] = result.get((api, name.removeprefix("global.")), {}) | taken
    _override(result, overrides)
    _snapshots(result, {(claim.api, claim.model) for claim in found if claim.field == "alias"})
    _collected(result, overrides.get("collected", ()))
    for (api, _), taken in result.items():
        _consistent(api, taken, overrides)
    return {place: taken for place, taken in result.items() if taken}


def _prices(taken: dict[str, Verdict], day: date) -> None:
    """Hold the dated prices against those that other packages have for today; take the latter where there are no others."""
    dated, today = taken.get("prices"), taken.pop("price", None)
    if today is None:
        return
    if dated is None:
        taken["prices"] = Verdict([today.value], today.sources, today.urls, today.disputed)
        return
    begun = [row for row in dated.value if row.get("since", "") <= day.isoformat()]
    current = [row for row in begun if "hours" in row] + [row for row in begun if "hours" not in row][-1:]
    said = dict.fromkeys(today.sources, today.value) | today.disputed
    agreeing = tuple(source for source, value in said.items() if any(same(value, row) for row in current))
    dated.sources += agreeing
    dated.disputed = {source: value for source, value in said.items() if source not in agreeing}


def _snapshots(result: Verdicts, aliased: Container[tuple[str, str]]) -> None:
    """Fill what is not said of a snapshot with what is said of the model; they are one, but for their ends and prices.

    Of what has ended the packages have dropped all else: such a row is what its name would mean if it had none, and its end.
    The price of the *aliased* is found by :func:`rows`.
    """
    for (api, name), taken in result.items():
        *_, plain = plainer(name)
        base = result.get((api, plain))
        if base is None or base is taken:
            continue
        if "retires" in taken and not taken.keys() - {*_ENDS, "prices"}:
            if api in _MOVING:
                continue
            kept = {*_ENDS, *taken, *(("prices",) if (api, name) in aliased else ())}
            taken.update({field: verdict for field, verdict in base.items() if field not in kept})
        elif "max_output" in taken and all(
            same(base[field].value, taken[field].value)
            for field in ("max_output", "reasoning")
            if field in base and field in taken
        ):
            for field in ("context", "reasoning", "efforts", "default_effort", "sampling", "temperature_max"):
                if field in base and field not in taken:
                    taken[field] = base[field]
                elif field in taken and field not in base:
                    base[field] = taken[field]


def _override(result: Verdicts, overrides: Mapping[str, Any]) -> None:
    for fact in overrides.get("facts", ()):
        why = _reason(fact)
        for name in fact["models"]:
            taken = result.setdefault((fact["api"], name), {})
            for field in FIELDS:
                if field not in fact:
                    continue
                value = fact[field]
                value = value.isoformat() if isinstance(value, date) else value
                value = tuple(value) if field == "efforts" and value != "unknown" else value
                before = taken.pop(field, None)
                if value != "unknown":
                    taken[field] = _against(Verdict(value, ("overrides",), (why,)), before)
    for group in overrides.get("ends", ()):
        why = _reason(group)
        for name, day in group["models"].items():
            taken = result.setdefault((group["api"], name), {})
            read = group.get("as_of", overrides["as_of"])
            taken["retires"] = _end(day, why, taken.get("retires"), is_final=day <= read or read >= overrides["as_of"])


def _collected(result: Verdicts, rows: Iterable[Mapping[str, Any]]) -> None:
    """Fill what no package says with what public collections have alike: most of it of models that the packages have dropped.

    A name that is known in a plainer form gets no row of its own here, which would hide what is known of it.
    """
    for row in rows:
        api, name = row["api"], row["model"]
        name = name if api != "bedrock" or claims.NO_CHAT.search(name) else unrevised(name)
        if not result.get((api, name)) and any(result.get((api, form)) for form in plainer(name)):
            continue
        taken = result.setdefault((api, name), {})
        said = {field: row[field] for field in ("context", "max_output") if field in row}
        if "price" in row:
            said["prices"] = [row["price"]]
        for field, value in said.items():
            taken.setdefault(field, Verdict(value, ("collections",), tuple(row["sources"])))


def _reason(entry: Mapping[str, Any]) -> str:
    why = str(entry["why"])
    if "http" not in why or not any(char.isdigit() for char in why.rpartition(", ")[2]):
        raise ValueError(f"No URL and day in the reason of {entry}")
    return why


def _end(day: date, why: str, packaged: Verdict | None, *, is_final: bool) -> Verdict:
    """Return which of two last days counts: the one of the vendor's page, or that of the packages.

    A day that was over when the page was read is a fact, whatever a package says. A day that was ahead is an announcement,
    which vendors move: Azure put nearly all of its own off within two months. There the packages count, which are newer than
    the copy of the page. Whichever does not count is recorded.
    """
    said = Verdict(day.isoformat(), ("overrides",), (why,))
    if packaged is None or is_final or same(packaged.value, said.value):
        return _against(said, packaged)
    packaged.disputed["overrides"] = said.value
    packaged.urls += said.urls
    return packaged


def _against(said: Verdict, before: Verdict | None) -> Verdict:
    """Return *said*, which wins, with the packages that say the same and those that do not."""
    if before is None:
        return said
    if same(before.value, said.value):
        return Verdict(said.value, (*said.sources, *before.sources), said.urls, dict(before.disputed))
    return Verdict(said.value, said.sources, said.urls, before.disputed | dict.fromkeys(before.sources, before.value))


def _consistent(api: str, taken: dict[str, Verdict], overrides: Mapping[str, Any]) -> None:
    """Leave out what follows from another field, and what contradicts one."""
    for name in taken.keys() - HOSTS.get(api, FIELDS):
        del taken[name]
    _limits(taken)
    if _is(taken, "reasoning", "none"):
        taken.pop("efforts", None)
    levels = taken["efforts"].value if "efforts" in taken else ()
    if "default_effort" in taken and taken["default_effort"].value not in levels:
        del taken["default_effort"]
    if not _is(taken, "sampling", "yes") and "sampling" in taken:
        taken.pop("temperature_max", None)
    effect = overrides["apis"].get(api)
    if "retires" not in taken:
        taken.pop("successor", None)
    elif effect and "retired_effect" not in taken:
        taken["retired_effect"] = Verdict(effect["retired_effect"], ("overrides",), (effect["why"],))


def _is(taken: Mapping[str, Verdict], field: str, value: str) -> bool:
    return field in taken and taken[field].value == value


def _limits(taken: dict[str, Verdict]) -> None:
    """What is left for the input is of interest where it is less than the context; a model that reasons needs the rest."""
    if "max_input" in taken:
        if "context" not in taken and _is(taken, "reasoning", "none"):
            taken["context"] = taken["max_input"]
        if "context" in taken:
            whole = taken["context"].value
            most = taken["max_input"]
            most.disputed = {source: value for source, value in most.disputed.items() if value != whole}
            if most.value >= whole:
                del taken["max_input"]
    if "max_output" in taken and "context" in taken and taken["max_output"].value > taken["context"].value:
        del taken["max_output"]


def rows(taken: Verdicts, found: Iterable[Claim]) -> dict[str, dict[str, dict[str, Any]]]:
    """Return the catalogue's rows, in order; other names of a model are added where the rules of names do not find it."""
    result: dict[str, dict[str, dict[str, Any]]] = {}
    for (api, name), fields in sorted(taken.items()):
        row = {field: _plain(fields[field].value) for field in FIELDS if field in fields}
        result.setdefault(api, {})[name] = row
    index = Index(result)
    for claim in sorted(found, key=lambda claim: (claim.api, claim.model)):
        models = result.get(claim.api, {})
        if claim.field != "alias" or "prices" not in models.get(claim.value, {}):
            continue
        prices = models[claim.value]["prices"]
        hit = next(
            (hit for hit in index.find(claim.api, claim.model) if hit.api == claim.api and not hit.assumed), None
        )
        if models[hit.name if hit else claim.value].get("prices") != prices or hit is None:
            row = models.setdefault(claim.model, {})
            if "prices" not in row:
                row["priced_as"] = claim.value
    return {api: dict(sorted(models.items())) for api, models in sorted(result.items())}


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def left_out(
    models: Mapping[str, Mapping[str, Mapping[str, Any]]], vendors: Iterable[str]
) -> dict[str, tuple[int, int]]:
    """Return, field by field, how often a model that is left out would inherit its value rightly, of how many times."""
    names = ("context", "max_output", "reasoning", "efforts", "sampling")
    score = {name: [0, 0] for name in names}
    for api in vendors:
        for name, row in models[api].items():
            if "reasoning" not in row and "sampling" not in row:
                continue
            *_, plain = plainer(name)
            rest = {
                other: its for other, its in models[api].items() if _last(other) != plain and "priced_as" not in its
            }
            hit = Known(Catalogue({api: rest})).facts(api, name)
            if hit is None or not hit.assumed_from:
                continue
            for field in names:
                if field in row and (value := getattr(hit, field)):
                    score[field][0] += same(row[field], _plain(value))
                    score[field][1] += 1
    return {name: (right, total) for name, (right, total) in score.items()}


def _last(name: str) -> str:
    *_, plain = plainer(name)
    return plain


def read_overrides(path: Path) -> Mapping[str, Any]:
    """Return what people have written by hand, and what was collected beside it."""
    collected = json.loads(path.with_name("collected.json").read_text(encoding="utf-8"))["models"]
    return {**tomllib.loads(path.read_text(encoding="utf-8")), "collected": collected}


Lines = Callable[[str], None]
