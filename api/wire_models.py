"""What goes over the wire of models: what is known of one, which of those in use end, what admins say. OpenAPI's too."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Literal

from pydantic import Field

from api.envelopes import Wire, picked
from core.govern.lifecycle import Retiring
from core.manage.model_facts import Explanation, Fact
from core.models.facts import Price
from core.models.verdict import Verdict
from core.store.tables import LlmModelFacts

Basis = Literal["operator", "vendor", "catalogue", "API rule", "family"]


class Hidden(Wire):
    """What a weaker source says otherwise."""

    source: Basis
    value: Any


class KnownFact(Wire):
    """One fact of a model, and who says so."""

    name: str = Field(description="as in the facts that an admin sets: max_output, retires, …")
    value: Any
    source: Basis = Field(description="operator: an admin, here; family: assumed from another model of it")
    as_of: date = Field(description="the day on which the source was true")
    row_id: int | None = Field(description="of what an admin, the vendor's list or an import says; null: the catalogue")
    pattern: str | None
    why: str | None
    hides: list[Hidden]


class KnownParameter(Wire):
    """What an API does with one parameter of the settings; of one parameter there may be several."""

    parameter: str = Field(description="by the name of the settings' request, as max_tokens")
    does: Literal["ok", "refuse", "ignore", "only", "visible", "above", "range", "rename", "require", "exclusive"]
    values: list[float | str] = Field(
        description="of only: what it takes; of above: where the number stands that it has to exceed"
    )
    low: float | None = Field(description="of range")
    high: float | None
    to: str | None = Field(description="of rename: the API's name; of exclusive: what it does not go with")
    unless: str | None = Field(description="when it does not hold, as reasoning_effort=none")
    by_default: bool = Field(description="whether it holds while the parameter in unless is not set")
    why: str
    source: Basis
    as_of: date
    url: str | None = Field(description="of the page or the report that says so")


class KnownModel(Wire):
    """What is known of a model at an API."""

    api: str
    model: str
    model_is: Literal["known", "assumed", "unknown"] = Field(
        description="unknown works as well: then every parameter that is not listed is sent as it is set"
    )
    assumed_from: str | None = Field(description="the model of the family that the facts are borrowed from")
    acts_as: str | None = Field(description="the model behind the name, as an admin says")
    is_custom: bool = Field(description="an admin says that it is a model of one's own: no catalogue counts")
    facts: list[KnownFact]
    parameters: list[KnownParameter] = Field(description="what is not in it is sent as it is set")


class ListPrice(Wire):
    """US dollars a million tokens."""

    input: float | None
    output: float | None


class RetiringModel(Wire):
    """A model in use that ends, or has ended."""

    model: str
    api: str
    retires: date
    days_left: int = Field(description="negative: it is over")
    tier: Literal["legacy", "announced", "soon", "retired", "overdue"] = Field(
        description="overdue: it has ended, and still is what programs get by default or call"
    )
    rerouted: bool = Field(description="calls are then answered by another model; else they are refused")
    successor: str | None
    providers: list[str] = Field(description="names of those that offer it")
    chosen_by: list[str] = Field(description="names of the providers whose default it is, or whose settings prefer it")
    calls: int = Field(description="logged in the last 30 days")
    price: ListPrice | None
    successor_price: ListPrice | None


class SaidOfModel(Wire):
    """What an admin says of the models whose names match a pattern."""

    id: int
    pattern: str
    api: str | None = Field(description="perhaps with @ and a host; null: wherever the model is called")
    facts: dict[str, Any]
    why: str | None
    as_of: datetime
    is_active: bool = Field(description="false: it was taken back")
    version: int
    updated_by: str | None
    updated_at: datetime
    warnings: list[str] | None = Field(default=None, description="after a change: what is odd about it")


def known(found: Explanation) -> dict[str, Any]:
    """Return what is known of a model as it goes over the wire."""
    facts = found.facts
    return {
        "api": found.api,
        "model": found.model,
        "modelIs": "unknown" if facts is None else "assumed" if facts.assumed_from else "known",
        "assumedFrom": None if facts is None else facts.assumed_from,
        "actsAs": found.acts_as,
        "isCustom": found.is_custom,
        "facts": [_fact(fact) for fact in found.sourced],
        "parameters": [_parameter(name, one) for name, verdicts in found.verdicts.items() for one in verdicts],
    }


def retiring(line: Retiring) -> dict[str, Any]:
    """Return a line of the lifecycle board as it goes over the wire."""
    return picked(
        line,
        RetiringModel,
        api=line.api_name,
        retires=line.retires.isoformat(),
        days_left=line.days,
        providers=list(line.providers),
        chosen_by=list(line.chosen_by),
        price=_price(line.price),
        successor_price=_price(line.successor_price),
    )


def model_fact(row: LlmModelFacts, warnings: list[str] | None = None) -> dict[str, Any]:
    """Return what an admin says as it goes over the wire."""
    facts = row.facts if isinstance(row.facts, Mapping) else {}
    found = picked(row, SaidOfModel, facts=dict(facts), warnings=warnings)
    return {name: value for name, value in found.items() if name != "warnings" or value is not None}


def _fact(fact: Fact) -> dict[str, Any]:
    hides = [{"source": basis, "value": _json(value)} for basis, value in fact.hides]
    return picked(fact, KnownFact, value=_json(fact.value), as_of=fact.as_of.isoformat(), hides=hides)


def _parameter(name: str, one: Verdict) -> dict[str, Any]:
    is_range = one.does == "range"
    return picked(
        one,
        KnownParameter,
        parameter=name,
        values=list(one.values),
        low=one.low if is_range else None,
        high=one.high if is_range else None,
        to=one.to or None,
        unless=one.unless or None,
        url=one.url if one.url.startswith("https://") else None,
        source=one.basis,
        as_of=one.as_of.isoformat(),
    )


def _price(price: Price | None) -> dict[str, Any] | None:
    return None if price is None else {"input": _json(price.input), "output": _json(price.output)}


def _json(value: Any) -> Any:
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, date):
        return value.isoformat()
    if is_dataclass(value) and not isinstance(value, type):
        return {each.name: _json(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, tuple | list):
        return [_json(each) for each in value]
    return value
