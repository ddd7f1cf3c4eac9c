"""What is found by the standard library alone: e-mail addresses, payment cards, IBANs, public IP addresses."""

import ipaddress
from collections.abc import Iterator
from typing import Final

from ..patterns import later
from .spans import LETTERS, PersonalSpan, Searched
from .windows import BEFORE, in_windows, near, words

_MARKS: Final = "\u0300-\u036f"
_HOST: Final = rf"(?:[\w{_MARKS}-]{{1,63}}\.){{1,8}}(?:xn--[a-z0-9-]{{2,59}}|[A-Za-z]{{2,24}}|[^\W\d_A-Za-z]{{2,24}})"
_LOCAL: Final = later(
    rf"(?:(?<![{LETTERS}.+%@/-])[{LETTERS}][{LETTERS}{_MARKS}.+%'*^~$-]{{0,63}}|(?<![\w.+%@/-])(?:(?![{LETTERS}])\w){{1,64}})\Z"
)
_LONGEST_LOCAL: Final = 64
_QUOTED: Final = later(r'(?<![\w\\])"[^"\r\n@]{1,62}"\Z')
_OF_A_URL: Final = later(
    r"(?i)(?<![\w.+%-])(?:[\w.+-]|%2b){1,64}%40[a-z0-9-]{1,63}(?:\.[a-z0-9-]{1,63}){0,7}\.[a-z]{2,24}(?![\w-])"
)
_BEHIND_IT: Final = later(rf"@({_HOST})(?![{LETTERS}-])(?!\.[{LETTERS}])")
_BRACKETED: Final = later(r"(?i)[\[({] ?(?:at|ät|arroba|chez|@) ?[\])}]")
_SPELT: Final = later(  # as people write it for machines not to find it
    rf"(?i)(?<![\w.+%@/])([\w.+-]{{1,64}}) ?{_BRACKETED.pattern[4:]} ?"
    r"(?:[\w-]{1,63}(?:\.| ?[\[({] ?(?:dot|punkt|punto|point|ponto|\.) ?[\])}] ?)){1,8}[a-z]{2,24}(?!\w)"
)
_SAYINGS: Final = (
    *(("at", "dot"), ("at|ät", "punkt"), ("arroba", "punto|ponto|punt"), ("arobase", "point"), ("chiocciola", "punto")),
    *(("apenstaartje", "punt"), ("małpa", "kropka"), ("собака", "точка")),
)
"""How people call the signs @ and . of an address, by language."""
_TOLD: Final = tuple(
    (
        [f" {each} " for each in dot.split("|")],
        later(
            r"(?i)(?<![\w.+%@/-])(?!(?:me|us|it|find|look|site|website|page|online|here|shop|visit|is|are)\b)[\w.+-]{1,64}"
            rf"(?: (?:{dot}) [\w+-]{{1,64}}){{0,4}} (?:{at}) (?!(?:the|a|this|that|each|every|one)\b)[\w-]{{1,63}}"
            rf"(?: (?:{dot}) [\w-]{{1,63}}){{0,4}} (?:{dot}) (?:com|net|org|info|edu|gov|[a-z]{{2}})(?![\w-])"
        ),
    )
    for at, dot in _SAYINGS
)
_OF_A_MESSAGE: Final = later(r"(?i)(?:message-id|in-reply-to|references|content-id)[\s\"':<]{1,6}$")
"""Ends with a header whose value looks like an address and is a message's."""
_OF_PROGRAMS: Final = frozenset({"git", "hg", "svn", "gitea"})
_FILES: Final = "png|jpg|jpeg|gif|svg|webp|avif|css|js|mjs|tsx|jsx|html|json|yaml|yml"
_NO_HOST: Final = later(rf"(?i)\d+\.(?:\d+|x)\.|.*\.(?:{_FILES})$")
"""The version of a package, the name of a file."""


def emails(plain: Searched) -> Iterator[PersonalSpan]:
    """Find e-mail addresses (RFC 5321's, RFC 6531's letters of all scripts), also as URLs have them, and spelt with "(at)"."""
    text = plain.text
    yield from _addresses_with_a_sign(plain)
    if "%40" in text:
        for found in _OF_A_URL.finditer(text):
            yield plain.span(found.start(), found.end(), "EMAIL")
    if _BRACKETED.search(text):
        for found in _SPELT.finditer(text):
            yield plain.span(found.start(), found.end(), "EMAIL")
    folded = plain.folded
    for dots, told in _TOLD:
        if any(dot in folded for dot in dots):
            for found in told.finditer(text):
                yield plain.span(found.start(), found.end(), "EMAIL")


def _addresses_with_a_sign(plain: Searched) -> Iterator[PersonalSpan]:
    text, done = plain.text, 0
    at = text.find("@")
    while at >= 0:
        local_part = _QUOTED if text[at - 1 : at] == '"' else _LOCAL
        found, host = local_part.search(text, max(done, at - _LONGEST_LOCAL), at), _BEHIND_IT.match(text, at)
        done = at + 1
        at = text.find("@", done)
        if found is None or host is None:
            continue
        done = host.end()
        local = found[0].casefold()
        if local in _OF_PROGRAMS or ".." in local or _NO_HOST.match(host[1]) is not None:
            continue
        if _OF_A_MESSAGE.search(text, max(0, found.start() - BEFORE), found.start()) is None:
            yield plain.span(found.start(), done, "EMAIL")


_CARD: Final = later(
    rf"[0-9](?<![{LETTERS}./@#-].)(?<!\d,.)"
    r"(?:\d{11,18}|(?<!\d .)\d{3}(?:([ .-]|  | - )\d{4}\1\d{4}\1\d{1,4}(?:\1\d{3})?|([ -]|  )\d{6}\2\d{4,5})(?! \d))"
    rf"(?![{LETTERS}/@]|[.-]\d|,\d{{3}}(?!\d))"
)
_CARD_WORDS: Final = words(
    "card|visa|master|amex|american express|maestro|discover|diners|jcb|unionpay|credit|debit|cc(?![a-z])|pan(?![a-z])",
    "kart|kredit|carte|cb(?![a-z])|tarjeta|cart[aã]o|carta|kort|карт|クレジット|カード|卡|카드|بطاقة",
)
_MAESTRO: Final = frozenset({5018, 5019, 5020, 5038, 5893, 6304, 6759, 6761, 6762, 6763})
_ISSUERS: Final = (
    (4, 4, {13, 16, 19}),
    (51, 55, {16}),
    (2221, 2720, {16}),
    (2200, 2204, {16}),
    (34, 34, {15}),
    (37, 37, {15}),
    (300, 305, {14, 16, 19}),
    (36, 36, {14, 16, 19}),
    (38, 39, {14, 16, 19}),
    (6011, 6011, {16, 17, 18, 19}),
    (644, 649, {16, 17, 18, 19}),
    (65, 65, {16, 17, 18, 19}),
    (62, 62, {16, 17, 18, 19}),
    (3528, 3589, {16, 17, 18, 19}),
    *((prefix, prefix, {16}) for prefix in (60, 81, 82, *sorted(_MAESTRO))),
)
"""(first, last, lengths) of the numbers that issuers of cards have (ISO/IEC 7812's, as of 2026)."""


def cards(plain: Searched) -> Iterator[PersonalSpan]:
    """Find numbers of payment cards: Luhn's check digit, groups as cards have them, and an issuer's range or a word beside it."""
    for found in in_windows(_CARD, plain):
        digits = "".join(filter(str.isdigit, found[0]))
        if _luhn(digits) and len(set(digits)) > 1 and (_is_of_issuer(digits) or near(plain, found, _CARD_WORDS)):
            yield plain.span(found.start(), found.end(), "CARD")


def _is_of_issuer(digits: str) -> bool:
    return any(
        len(digits) in lengths and first <= int(digits[: len(str(first))]) <= last for first, last, lengths in _ISSUERS
    )


def _luhn(digits: str) -> bool:
    return (sum(map(int, digits[-2::-2].translate(_DOUBLED))) + sum(map(int, digits[::-2]))) % 10 == 0


_DOUBLED: Final = str.maketrans("0123456789", "0246813579")
"""The digits of twice a digit, added: 7 is 14, is 5."""


_IBAN: Final = later(r"[A-Za-z](?<![A-Za-z0-9].)[A-Za-z][0-9]{2}(?=[ -]?[A-Za-z0-9])")
_LENGTHS: Final = (
    "AD24AE23AL28AT20AZ28BA20BE16BG22BH22BI27BR29BY28CH21CR22CY28CZ24DE22DJ27DK18DO28EE20EG29ES24FI18FK18FO18FR27GB22GE22GI23GL18GR27GT28HN28"
    "HR21HU28IE22IL23IQ23IS26IT27JO30KW30KZ20LB28LC32LI21LT20LU20LV21LY25MC27MD24ME22MK19MN20MR27MT31MU30NI28NL18NO15OM23PK24PL28PS29PT25QA29"
    "RO24RS22RU33SA24SC31SD18SE24SI19SK24SM27SO23ST25SV28TL23TN24TR26UA29VA22VG24XK20YE30"
)
_LENGTH_OF: Final = {_LENGTHS[at : at + 2]: int(_LENGTHS[at + 2 : at + 4]) for at in range(0, len(_LENGTHS), 4)}
"""Country -> characters of its IBANs, by SWIFT's registry, release 99."""


def ibans(plain: Searched) -> Iterator[PersonalSpan]:
    """Find IBANs (ISO 13616): as long as the country has them, with the right check digits; spaces, dashes and dots may stand between."""
    text = plain.text
    for found in in_windows(_IBAN, plain):
        wanted, taken, at = _LENGTH_OF.get(found[0][:2].upper(), 0), "", found.start()
        while len(taken) < wanted and at < len(text):
            letter = text[at]
            if letter.isascii() and letter.isalnum():
                taken += letter
            elif letter not in " -." or not text[at - 1].isalnum():
                break
            at += 1
        is_whole = wanted and len(taken) == wanted and not (text[at : at + 1].isascii() and text[at : at + 1].isalnum())
        if is_whole and int("".join(str(int(letter, 36)) for letter in taken[4:] + taken[:4])) % 97 == 1:
            yield plain.span(found.start(), at, "IBAN")


_IPV4: Final = later(rf"[0-9](?<![{LETTERS}.-].)(?:(?<=//.)|(?<!/.))\d{{0,2}}(?:\.\d{{1,3}}){{3}}(?![{LETTERS}-]|\.\d)")
_IPV6: Final = later(
    rf"[23](?<![{LETTERS}:.].)[0-9a-fA-F]{{3}}:(?:[0-9a-fA-F]{{1,4}}:){{0,6}}(?::?[0-9a-fA-F]{{1,4}}|:)(?::[0-9a-fA-F]{{1,4}}){{0,6}}"
    rf"(?:\.\d{{1,3}}){{0,3}}(?![{LETTERS}:]|\.\w)"
)
"""Of 2000::/3, which are all that are given out; its end may be written as IPv4."""
_MAPPED: Final = later(r"(?<![\w:])::[fF]{4}:(?:0:)?$")
"""Ends with what makes an IPv6 address of an IPv4 one."""
_BITS: Final = later(r"/(\d{1,3})(?!\d)")
_GLOBAL: Final = ipaddress.IPv6Network("2000::/3")
_DOCUMENTED: Final = ("192.0.2.", "198.51.100.", "203.0.113.")
_NO_ADDRESS: Final = later(
    r"(?i)(?:\bv|versi\w*|\bver\.?|верси\w*|版本?|バージョン|버전|release|build|firmware|\brev\.?|revision|sections?|chapter|clause|figure|fig\.?|table|step|abbildung|tabelle|§+|kapitel|"
    r"abschnitt|\bziffer|\bnr\.?|\boid|article|\bart\.?|chapitre|cap[ií]tulo|(?:up|down)grad\w*(?: [\w.]+){0,4} (?:from|to)|[a-z]/)[\s:=\"'(]*$"
)
"""Ends with what says that a version or a section follows."""


def addresses(plain: Searched) -> Iterator[PersonalSpan]:
    """Find public IP addresses; those that stand in documents for public ones (RFC 5737, RFC 3849) count as such."""
    text = plain.text
    for found in in_windows(_IPV4, plain):
        try:
            four = ipaddress.IPv4Address(found[0])  # refuses leading zeros, as figures have them
        except ValueError:
            continue
        is_one = (four.is_global and not four.is_multicast) or found[0].startswith(_DOCUMENTED)
        is_public = is_one and not found[0].endswith(".0.0")  # that is a version, or a network
        if is_public and not _is_network(four, text, found.end()):
            mapped = _MAPPED.search(text, max(0, found.start() - BEFORE), found.start())
            start = found.start() if mapped is None else mapped.start()
            if _NO_ADDRESS.search(text, max(0, start - BEFORE), start) is None:
                yield plain.span(start, found.end(), "IP")
    if text.count(":") > 1:
        for found in in_windows(_IPV6, plain):
            try:
                six = ipaddress.IPv6Address(found[0])
            except ValueError:
                continue
            if six in _GLOBAL and not _is_network(six, text, found.end()):
                yield plain.span(found.start(), found.end(), "IP")


def _is_network(address: ipaddress.IPv4Address | ipaddress.IPv6Address, text: str, end: int) -> bool:
    """Return whether *address* is the first of a network whose length stands behind it: it is nobody's."""
    bits = _BITS.match(text, end)
    if bits is None or int(bits[1]) >= address.max_prefixlen:
        return False
    return not int(address) & ((1 << (address.max_prefixlen - int(bits[1]))) - 1)
