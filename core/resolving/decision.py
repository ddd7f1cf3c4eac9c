"""What is sent with the settings in force, and what a program or one call adds to them. Pure functions.

:mod:`core.models.adapt` decides; here its question is put together, in the same way for all who send or show.
"""

from collections.abc import Collection, Mapping
from typing import Any, Final, NamedTuple, get_args

from ..kinds import KINDS, Sdk, facts_of
from ..models.adapt import Adapted, Unfit, adapt, names, place
from ..models.apis import api_of, host_of
from ..models.knowledge import Knowledge
from ..parameters import SENDABLE

_NONE: Final[Mapping[str, Any]] = {}


def _camel(name: str) -> str:
    head, *tail = name.split("_")
    return head + "".join(part[:1].upper() + part[1:] for part in tail)


SPELLINGS: Final[Mapping[str, str]] = {
    spelling: ours
    for kind in KINDS.values()
    for ours, theirs in kind.names.items()
    for name in (ours, theirs or ours)
    for spelling in (name, _camel(name))
}
"""What some vendor calls it, also in camel case -> our parameter: two of one parameter are never sent."""


class Basis(NamedTuple):
    """What the settings say."""

    kind: str | None
    base_url: str | None
    model: str | None
    values: Mapping[str, Any]
    """Every sendable parameter -> its value."""
    explicit: Collection[str]
    """Those that are no built-in default."""
    omitted: Collection[str]
    custom: Mapping[str, Any]
    knowledge: Knowledge | None = None
    """What is known of models; None: the catalogue of this version."""
    extra: Mapping[str, Any] = _NONE
    """Extra parameters, by the vendor's names; None is not sent."""
    unfit: Unfit = "leave_out"
    """``send``: what somebody chose is sent also where the model does not take it."""


def decide(
    basis: Basis,
    given: Mapping[str, Any] = _NONE,
    options: Mapping[str, Any] = _NONE,
    without: Collection[str] = (),
) -> Adapted:
    """Return what is sent, by the API's names, and what became of the rest.

    Args:
        basis: What the settings say.
        given: Our parameters -> a value that counts more than the settings'.
        options: More, by the vendor's names or ours: sent as it is, in place of our parameter of that name and of an extra
            parameter; None is not sent.
        without: Our parameters that are not sent.
    """
    api, host = api_of(basis.kind, basis.base_url), host_of(basis.kind, basis.base_url)
    options = {**basis.extra, **options} if basis.extra else options
    if not (given or options or without):
        return adapt(
            api,
            basis.model,
            basis.values,
            basis.explicit,
            basis.omitted,
            custom=basis.custom,
            kind=basis.kind,
            unfit=basis.unfit,
            knowledge=basis.knowledge,
            host=host,
        )
    gone = {*without, *(SPELLINGS[name] for name in options if name in SPELLINGS)}
    values = {name: value for name, value in {**basis.values, **given}.items() if name not in gone}
    there = {name: value for name, value in options.items() if value is not None}
    beside = {**there, **{SPELLINGS[name]: value for name, value in there.items() if name in SPELLINGS}}
    extra = there.get("extra_body")
    found = adapt(
        api,
        basis.model,
        values,
        {*basis.explicit, *given},
        {name for name in basis.omitted if name not in given},
        custom=basis.custom,
        kind=basis.kind,
        beside={**extra, **beside} if isinstance(extra, Mapping) else beside,
        unfit=basis.unfit,
        knowledge=basis.knowledge,
        host=host,
    )
    theirs = names(api, basis.kind, basis.model, basis.knowledge, host)
    for name, value in there.items():
        place(found.sent, theirs.get(name, name), value)
    return found


def called_otherwise(basis: Basis) -> frozenset[str]:
    """Return by which names our parameters are sent that the kind's SDK has no argument for: an admin has given them."""
    sdk = facts_of(basis.kind).sdk
    if sdk is None:
        return frozenset()
    api, host = api_of(basis.kind, basis.base_url), host_of(basis.kind, basis.base_url)
    sent = names(api, basis.kind, basis.model, basis.knowledge, host).values()
    return frozenset(map(_head, sent)) - _ARGUMENTS[sdk]


def _head(name: str) -> str:
    return name.partition(".")[0]


_ARGUMENTS: Final[Mapping[str, frozenset[str]]] = {
    sdk: frozenset(_head(name) for kind in KINDS.values() if kind.sdk == sdk for name in kind.names.values() if name)
    for sdk in get_args(Sdk)
}
"""SDK -> its arguments for our parameters."""


def values_of(settings: Any) -> dict[str, Any]:
    """Return every sendable parameter of *settings*, an object with an attribute for each."""
    return {name: getattr(settings, name) for name in SENDABLE}
