"""What is looked for in texts, and the one function that looks."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.util import find_spec
from typing import Final, NamedTuple

from . import forms, national, phones
from .secrets import secrets
from .spans import NEED_EXTRA, TYPES, PersonalSpan, PersonalType, Searched, plain, settled


class Looking(NamedTuple):
    """What is looked for."""

    kinds: frozenset[PersonalType] = frozenset(TYPES)
    countries: tuple[str, ...] = ()
    """Whose national numbers, and whose phone numbers without a country's prefix (ISO 3166)."""
    allow: frozenset[str] = frozenset()
    """What is no personal data here, whatever its form; by :func:`same`."""


EVERYTHING: Final = Looking()
_BY_FORM: Final[Mapping[PersonalType, Callable[[Searched], Iterable[PersonalSpan]]]] = {
    "SECRET": secrets,
    "EMAIL": forms.emails,
    "IBAN": forms.ibans,
    "CARD": forms.cards,
    "IP": forms.addresses,
}


def find(text: str, looking: Looking = EVERYTHING) -> list[PersonalSpan]:
    """Return the personal data in *text*, by place, nothing twice; in time linear in its length.

    Phones and national numbers are found where the extra ``pii`` is installed: :func:`not_looked_for` says whether.
    """
    searched = plain(text)
    found: list[PersonalSpan] = []
    for kind, by_form in _BY_FORM.items():
        if kind in looking.kinds:
            found.extend(by_form(searched))
    if has_extra():
        if "ID" in looking.kinds and looking.countries:
            found.extend(national.numbers(searched, looking.countries))
        if "PHONE" in looking.kinds:
            found.extend(phones.phones(searched, looking.countries))
    if looking.allow:
        found = [span for span in found if same(text[span.start : span.end]) not in looking.allow]
    return settled(found)


def same(value: str) -> str:
    """Return *value* as it is compared with others: case, separators and width apart."""
    return "".join(letter for letter in plain(value).text.casefold() if letter.isalnum() or letter in "@+")


def has_extra() -> bool:
    """Return whether phones and national numbers can be looked for here; imports nothing."""
    global _has_extra  # noqa: PLW0603 - what is installed stays so
    if _has_extra is None:
        _has_extra = all(find_spec(package) is not None for package in ("stdnum", "phonenumbers"))
    return _has_extra


_has_extra: bool | None = None


def not_looked_for(looking: Looking) -> Sequence[PersonalType]:
    """Return what *looking* names and is not looked for here, as the extra ``pii`` is not installed."""
    return [] if has_extra() else sorted(NEED_EXTRA & looking.kinds)
