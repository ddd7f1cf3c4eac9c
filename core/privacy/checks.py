"""Check digits of national numbers that python-stdnum has not, each by its country's rule. A number in, whether it can be one out."""

import re


def _digits(text: str) -> list[int]:
    return [int(letter) for letter in text if letter.isdigit()]


def _packed(text: str) -> str:
    return re.sub(r"[^0-9A-Za-z]", "", text).upper()


def _is_day(digits: str) -> bool:
    """Return whether *digits* are a day and a month, without regard to February."""
    return 1 <= int(digits[:2]) <= 31 and 1 <= int(digits[2:4]) <= 12  # noqa: PLR2004 - of any calendar


def versicherung(number: str) -> bool:
    """Germany, pension insurance: VKVV § 4."""
    packed = _packed(number)
    letter = f"{ord(packed[8]) - 64:02}"
    digits = [int(each) for each in packed[:8] + letter + packed[9:11]]
    weights = (2, 1, 2, 5, 7, 1, 2, 1, 2, 1, 2, 1)
    total = sum(sum(divmod(digit * weight, 10)) for digit, weight in zip(digits, weights, strict=True))
    return total % 10 == int(packed[11])


def ausweis(number: str) -> bool:
    """Germany, identity card and passport: ICAO 9303's weights 7, 3, 1; nine characters have no check digit."""
    packed = _packed(number)
    if sum(letter.isdigit() for letter in packed) < 2:  # noqa: PLR2004 - else it is a word
        return False
    if len(packed) == 9:  # noqa: PLR2004 - without the check digit
        return True
    total = sum(int(letter, 36) * (7, 3, 1)[place % 3] for place, letter in enumerate(packed[:9]))
    return total % 10 == int(packed[9])


def krankenkasse(number: str) -> bool:
    """Germany, health insurance: SGB V § 290."""
    packed = _packed(number)
    digits = [int(each) for each in f"{ord(packed[0]) - 64:02}{packed[1:9]}"]
    total = sum(sum(divmod(digit * (1 + place % 2), 10)) for place, digit in enumerate(digits))
    return total % 10 == int(packed[9])


def henkilotunnus(number: str) -> bool:
    """Finland, with the separators of 2023: modulo 31."""
    packed = number.upper()
    rest = int(packed[:6] + packed[7:10]) % 31
    return _is_day(packed[:4]) and "0123456789ABCDEFHJKLMNPRSTUVWXY"[rest] == packed[10]


def south_africa(number: str) -> bool:
    """South Africa, also of residents and refugees: a date, and Luhn's check digit."""
    packed = _packed(number)
    return _is_day(packed[4:6] + packed[2:4]) and packed[10] in "012" and luhn(packed)


def luhn(number: str) -> bool:
    """Return whether the last digit is Luhn's (ISO/IEC 7812): Saudi Arabia's and the Emirates' identity cards."""
    return (
        sum(sum(divmod(digit * (1 + place % 2), 10)) for place, digit in enumerate(reversed(_digits(number)))) % 10 == 0
    )


def egypt(number: str) -> bool:
    """Egypt, national number: a date and a governorate; its check digit's rule is not published."""
    return _is_day(number[5:7] + number[3:5]) and 1 <= int(number[7:9]) <= 88  # noqa: PLR2004 - abroad is 88


def medicare(number: str) -> bool:
    """Australia, Medicare card."""
    digits = _digits(number)
    return sum(a * b for a, b in zip(digits, (1, 3, 7, 9, 1, 3, 7, 9), strict=False)) % 10 == digits[8]


def seguridad(number: str) -> bool:
    """Spain, number of social security: modulo 97."""
    packed = _packed(number)
    province, serial, check = packed[:2], packed[2:10], int(packed[10:])
    shortened = int(province + serial[1:]) if serial[0] == "0" else int(province + serial)
    return shortened % 97 == check


def insurance(number: str) -> bool:
    """United Kingdom, National Insurance: no check digit; prefixes that are never given out."""
    return _packed(number)[:2] not in {"BG", "GB", "KN", "NK", "NT", "TN", "ZZ"}


def hong_kong(number: str) -> bool:
    """Hong Kong, identity card: modulo 11."""
    packed = _packed(number).rjust(9)
    values = [36 if letter == " " else int(letter, 36) for letter in packed[:8]]
    total = sum(value * weight for value, weight in zip(values, range(9, 1, -1), strict=True))
    return (total + int(packed[8], 36)) % 11 == 0


def latvia(number: str) -> bool:
    """Latvia, personas kods: the new ones (32…) have no check."""
    digits = _digits(number)
    if digits[:2] == [3, 2]:
        return True
    total = sum(a * b for a, b in zip(digits, (1, 6, 3, 7, 9, 10, 5, 8, 4, 2), strict=False))
    return (1101 - total) % 11 == digits[10]


def dowod(number: str) -> bool:
    """Poland, identity card: weights 7, 3, 1, as in ICAO 9303, the check digit first."""
    packed = _packed(number)
    weights = (7, 3, 1, 9, 7, 3, 1, 7, 3)
    return sum(int(letter, 36) * weight for letter, weight in zip(packed, weights, strict=True)) % 10 == 0


def jmbg(number: str) -> bool:
    """Serbia, Slovenia and their neighbours: modulo 11."""
    digits = _digits(number)
    total = sum(a * b for a, b in zip(digits, (7, 6, 5, 4, 3, 2, 7, 6, 5, 4, 3, 2), strict=False))
    return (-total % 11) % 10 == digits[12] and _is_day(number[:4])


def snils(number: str) -> bool:
    """Russia, pension insurance."""
    digits = _digits(number)
    total = sum(digit * (9 - place) for place, digit in enumerate(digits[:9]))
    return total % 101 % 100 == digits[9] * 10 + digits[10]


def inn(number: str) -> bool:
    """Russia, number of a person who pays taxes: twelve digits, the last two of which check."""
    digits = _digits(number)
    weights = (3, 7, 2, 4, 10, 3, 5, 9, 4, 6, 8)
    first = sum(a * b for a, b in zip(digits, weights[1:], strict=False)) % 11 % 10
    second = sum(a * b for a, b in zip(digits, weights, strict=False)) % 11 % 10
    return digits[10:] == [first, second]


def singapore(number: str) -> bool:
    """Singapore, NRIC and FIN."""
    packed = _packed(number)
    total = sum(int(a) * b for a, b in zip(packed[1:8], (2, 7, 6, 5, 4, 3, 2), strict=True))
    first = packed[0]
    if first == "M":
        return "XWUTRQPNJLK"[10 - (total + 3) % 11] == packed[8] or "KLJNPQRTUWX"[(total + 3) % 11] == packed[8]
    total += 4 * (first in "TG")
    return ("JZIHGFEDCBA" if first in "ST" else "XWUTRQPNMLK")[total % 11] == packed[8]


def taiwan(number: str) -> bool:
    """Taiwan, identity card."""
    packed = _packed(number)
    letter = "ABCDEFGHJKLMNPQRSTUVXYWZIO".index(packed[0]) + 10
    total = letter // 10 + letter % 10 * 9
    total += sum(int(a) * b for a, b in zip(packed[1:9], range(8, 0, -1), strict=True)) + int(packed[9])
    return total % 10 == 0


def taj(number: str) -> bool:
    """Hungary, social insurance (TAJ): weights 3 and 7."""
    digits = _digits(number)
    return sum(digit * (3, 7)[place % 2] for place, digit in enumerate(digits[:8])) % 10 == digits[8]


def adoazonosito(number: str) -> bool:
    """Hungary, tax number of a person: modulo 11."""
    digits = _digits(number)
    return sum(digit * (place + 1) for place, digit in enumerate(digits[:9])) % 11 == digits[9]


def iran(number: str) -> bool:
    """Iran, national code: modulo 11."""
    digits = _digits(number)
    rest = sum(digit * (10 - place) for place, digit in enumerate(digits[:9])) % 11
    return digits[9] == (rest if rest < 2 else 11 - rest) and len(set(digits)) > 1  # noqa: PLR2004 - of the rule


def kazakhstan(number: str) -> bool:
    """Kazakhstan, IIN: a date, the century and sex, modulo 11 with other weights where that gives ten."""
    digits = _digits(number)
    rest = sum(a * b for a, b in zip(digits, range(1, 12), strict=False)) % 11
    if rest == 10:  # noqa: PLR2004 - of the rule
        rest = sum(a * b for a, b in zip(digits, (3, 4, 5, 6, 7, 8, 9, 10, 11, 1, 2), strict=False)) % 11
    return rest == digits[11] and _is_day(number[4:6] + number[2:4]) and number[6] in "123456"


def nhi(number: str) -> bool:
    """New Zealand, National Health Index: modulo 11; the form of 2022, which ends in letters, is told by a word."""
    packed = _packed(number)
    values = ["ABCDEFGHJKLMNPQRSTUVWXYZ".index(each) + 1 if each.isalpha() else int(each) for each in packed]
    rest = sum(value * (7 - place) for place, value in enumerate(values[:6])) % 11
    return rest != 0 and values[6] == (11 - rest) % 10
