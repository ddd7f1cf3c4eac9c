"""Phone numbers, by Google's tables (phonenumberslite, of the extra ``pii``): international ones, and those of some countries."""

import re
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Any, Final

from ..patterns import later
from .spans import LETTERS, PersonalSpan, Searched
from .windows import before, behind, in_windows, near, words

_CANDIDATE: Final = later(
    rf"[+(0-9](?<![{LETTERS}@#].)(?:(?<=\+) ?\d|(?<!\+)(?<!\d[ .:/()-].)(?<!\d,.)(?:(?<=\()\d|(?<!\()))(?:[ ()./-]{{0,3}}\d){{6,14}}"
    rf"(?:(?=x\d)|(?![{LETTERS}@]))(?![ .:()-]\d|,\d{{3}}(?!\d))"
)
LOCAL: Final = 9
"""Digits below which a number says too little by itself."""
_CALLED: Final = words(
    r"(?:my|your|his|her|our|their)(?: \w+)? number|når|phone|mobile|cell|call|dial|ring|text |sms|whatsapp|signal|fax|hotline|reach|contact|desk(?![a-z])|direct line",
    r"voicemail|telefon|fon(?![a-z])|mobil|handy|ruf|anruf|erreich|durchwahl|t[ée]l(?:no|nr|s)?(?![a-z])|t[ée]l[ée](?:ph|f)|portable|appel|joind|gsm",
    r"tel[ée]f|m[óo]vil|llam|celular|cel(?![a-z])|ligue|ligar|contato|contacto|telem|cellul|chiam|recapito",
    r"selfoon|handphone|hp(?=[.:]? ?$)|telefoon|bel(?![a-z])|bellen|bereik|mobiel|tlf|ring|puh|soita|sími|kom[óo]rk|zadzwo|dzwo|kontakt|тел|моб",
    r"звон|дзвон|сотов|τηλ|κιν|電話|携帯|电话|手机|電|手機|联系|전화|휴대|연락|फ़ोन|फोन|मोबाइल|कॉल|هاتف|جوال|اتصل|تلفن|טלפון|נייד",
    r"โทร|เบอร์|điện thoại|sđt|gọi",
)
_NOT: Final = words(
    r"order|invoice|ticket|case(?![a-z])|tracking|ref|id(?![a-z])|sku|serial|isbn|issn|ean(?![a-z])|upc|gtin|batch|lot(?![a-z])",
    r"part(?:s|no|nr)?(?![a-z])|meeting|webinar|conference|po(?= ?(?:#|n[or]\.?|number)?:? ?(?:\d|$))|bestell|rechnung|auftrag|vorgang|kunden|artikel|sendung|commande|facture|pedido|factura|ordine",
    r"fattura|bestelling|zamówien|faktur|заказ|счет|注文|订单|주문|account|konto|kto|compte|cuenta|vat|ust|steuer",
    r"siren|siret|nif(?![a-z])|nipc|cnpj|nip(?![a-z])|regon|iban|port(?![a-z])|timestamp|epoch|version|commit|pid|uid|hash",
)
_BESIDE: Final = 16
"""Characters before a number in which a word that says it is another's weighs more than one for calling behind it."""


def phones(plain: Searched, countries: Sequence[str]) -> Iterator[PersonalSpan]:
    """Find phone numbers: those with ``+`` everywhere, and those of *countries* as people write them there.

    A national number counts if it is written in the groups that the country writes, or if a word for calling stands beside it.

    Raises:
        ImportError: Without the extra ``pii``.
    """
    if not plain.windows or (not countries and "+" not in plain.text):
        return
    text = _OTHER.sub(lambda found: "\0" * len(found[0]), plain.text)
    for found in in_windows(_CANDIDATE, plain, text):
        if found[0].startswith("+") or (found[0].startswith("00") and countries):
            yield from _international(plain, found)
        elif countries:
            yield from _national(plain, found, countries)


_OTHER: Final = later(
    r"(?=[0-9])(?<![0-9.])(?:(?:19|20)\d\d([-./ ])(?:0?[1-9]|1[0-2])\1\d{1,2}|\d{1,2}([./-])\d{1,2}\2(?:19|20)?\d\d|\d{1,3}(?:\.\d{1,3}){3}"
    r"|[0-2]?\d:[0-5]\d(?::[0-5]\d)?|\d{1,3}\.\d{5,}|\d{1,2}\.\d{1,2}\.-\d{1,2}\.\d{1,2})(?!\d|[.-]\d)"
)
"""Dates, times, IP addresses, fractions: no phone number begins in one."""


def _international(plain: Searched, found: re.Match[str]) -> Iterator[PersonalSpan]:
    lib, written = _lib(), found[0]
    dialled = written if written.startswith("+") else "+" + written.lstrip("0")
    if not written.startswith("+") and not near(plain, found, _CALLED) and " " not in written:
        return
    cut = dialled
    while True:  # what stands behind may be another number
        number = _parsed(cut, None)
        if number is not None and (
            lib.is_valid_number(number) or (lib.is_possible_number(number) and len(cut) > LOCAL)
        ):
            end = found.end() - (len(dialled) - len(cut))
            yield plain.span(found.start(), _extended(plain.text, end), "PHONE")
            return
        shorter = re.sub(r"[ ()./-]+\d+$", "", cut)
        if shorter == cut:
            return
        cut = shorter


def _national(plain: Searched, found: re.Match[str], countries: Sequence[str]) -> Iterator[PersonalSpan]:
    lib, written = _lib(), found[0]
    digits = "".join(filter(str.isdigit, written))
    if digits in _ROW or digits in _ROW[::-1]:
        return
    possible = [(country, shape) for country, shape in _shapes(tuple(countries)) if shape is None or shape(digits)]
    is_called = _is_called(plain, found) if possible else None
    if is_called is None:
        return
    groups = [len(group) for group in re.findall(r"\d+", written)]
    if not is_called and sum(groups) < LOCAL and len(groups) < 4:  # noqa: PLR2004 - as 22 33 44 55
        return
    if not is_called and " " not in written and plain.text[found.start() - 1 : found.start()] in _IN_CODE:
        return
    if (
        len(groups) == 1
        and not is_called
        and not (_TRUNK.fullmatch(digits) or (_CHINA.fullmatch(digits) and "CN" in countries))
    ):
        return
    for country, shape in possible:
        if (is_called and shape is not None) or _is_number(lib, written, country, groups, is_called=is_called):
            start = found.start() + (written.startswith("(") and ")" not in written)  # that one is the sentence's
            yield plain.span(start, _extended(plain.text, found.end()), "PHONE")
            return


def _is_number(lib: Any, written: str, country: str, groups: list[int], *, is_called: bool) -> bool:
    """Return whether a number is one of *country*, and is written as one there where no word says that it is for calling."""
    number = _parsed(written, country)
    if number is None or not lib.is_valid_number_for_region(number, country):
        return False
    return is_called or _is_written(lib, number, written, groups) or (len(groups) == 1 and _is_mobile(lib, number))


def _is_called(plain: Searched, found: re.Match[str]) -> bool | None:
    """Return whether a word says that a number is for calling; None: one says that it is another."""
    if before(plain, found, _CALLED):
        return True
    if before(plain, found, _NOT, _BESIDE):
        return None
    return behind(plain, found, _CALLED) or (None if near(plain, found, _NOT) else False)


def _extended(text: str, end: int) -> int:
    """Return where a number ends whose extension may stand behind it."""
    extension = _EXTENSION.match(text, end)
    return end if extension is None else extension.end()


_EXTENSION: Final = later(r"(?i) ?(?:,? ?ext(?:ension|\.)? ?|x ?|#|,? ?dw\.? ?|,? ?app?\.? ?|доб\.? ?)\d{1,6}(?![\w])")


@lru_cache(maxsize=64)
def _shapes(countries: tuple[str, ...]) -> list[tuple[str, Callable[[str], object] | None]]:
    """Return what tells of digits whether they may be a number of each country, those first; None: only the tables tell."""
    found = sorted(((country, _shape(country)) for country in countries), key=lambda one: one[1] is None)
    return [(country, None if shape is None else shape.fullmatch) for country, shape in found]


def _shape(country: str) -> re.Pattern[str] | None:
    """Return what the digits of a country's numbers look like: cheaper to ask than the tables; None: it is not so simple."""
    found = _lib().PhoneMetadata.metadata_for_region(country, None)
    if (
        found is None
        or found.national_prefix_transform_rule
        or not str(found.national_prefix_for_parsing or "0").isdigit()
    ):
        return None
    kinds = dict.fromkeys(getattr(getattr(found, name), "national_number_pattern", None) for name in _KINDS)
    numbers = "|".join(kind for kind in kinds if kind)
    return re.compile(rf"(?:{found.national_prefix_for_parsing or ''})?(?:{numbers or '$^'})")


_KINDS: Final = (
    "fixed_line mobile toll_free premium_rate shared_cost voip personal_number pager uan voicemail".split()  # noqa: SIM905 - read as one
)
"""Of numbers, as Google's tables have them: one that is of none is not valid."""


_IN_CODE: Final = frozenset("=/")
"""Before a number: it is a value, or a part of a path, and no word says that it is for calling."""
_ROW: Final = "012345678901234567890"
_TRUNK: Final = later(r"0\d{9,10}")
_CHINA: Final = later(r"1[3-9]\d{9}")


def _is_mobile(lib: Any, number: Any) -> bool:
    return lib.number_type(number) in {lib.PhoneNumberType.MOBILE, lib.PhoneNumberType.FIXED_LINE_OR_MOBILE}


def _is_written(lib: Any, number: Any, written: str, groups: list[int]) -> bool:
    """Return whether a number has the groups that its country writes, its trunk prefix there, apart, or left out."""
    if len(groups) > 1 and groups[0] == 1 and written.lstrip("(").startswith("0"):
        groups = [groups[1] + 1, *groups[2:]]
    if groups[0] == 1 and number.country_code == 1 and len(groups) > 1 and written.lstrip("(").startswith("1"):
        groups = groups[1:]  # 1-415-555-2671
    usual = [len(group) for group in re.findall(r"\d+", lib.format_number(number, lib.PhoneNumberFormat.NATIONAL))]
    if groups in (usual, [usual[0] - 1, *usual[1:]]):
        return len(groups) > 1
    # a trunk prefix sets it apart from other numbers, whatever its groups
    return written.lstrip("(").startswith("0") and 2 <= len(groups) <= 6 and groups[0] >= 2  # noqa: PLR2004 - an area, its number


def _parsed(written: str, country: str | None) -> Any:
    lib = _lib()
    try:
        return lib.parse(written, country)
    except lib.NumberParseException:
        return None


def _lib() -> Any:
    import phonenumbers  # noqa: PLC0415 - half a second, on the first text that has digits enough

    return phonenumbers
