"""What a vendor charges, read from the CSV file that its console exports: sums by month. Nothing is stored here.

Columns are found by their names, below whatever stands before the header; see docs/decisions/vendor-bills.md for whose they are.
What cannot be read for sure is refused by its line: half a bill is worse than none.
"""

import csv
import io
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from typing import Final, NamedTuple

from ..errors import Invalid

DATES: Final = (
    *(
        "start_time_iso",
        "usage_date_utc",
        "usage start date",
        "chargeperiodstart",
        "usagedate",
        "usage_date",
        "start_time",
    ),
    *("date", "day"),
)
"""Columns of days: OpenAI, Anthropic, Google Cloud, FOCUS, Azure; the first that is there."""
AMOUNTS: Final = (
    *("amount_value", "cost_usd", "unrounded subtotal ($)", "subtotal ($)", "unrounded cost ($)", "cost ($)"),
    *(
        "billedcost",
        "costusd",
        "costinusd",
        "costinbillingcurrency",
        "pretaxcost",
        "total_cost_usd",
        "amount_usd",
        "cost",
        "amount",
    ),
)
"""Columns of what was charged: exact ones before rounded ones, after discounts before those without."""
CURRENCIES: Final = (
    *("amount_currency", "billingcurrency", "billingcurrencycode", "billing_currency", "currency", "currency code"),
)
MOST_BYTES: Final = 100_000_000
_PREAMBLE: Final = 60
"""Lines in which the header is looked for."""
_TOTAL: Final = re.compile(r"(?:(?:grand|filtered|sub|invoice|overall)[ -]?)?totals?:?", re.IGNORECASE)
_NUMBER: Final = re.compile(r"[+-]?[\d.,]*\d[\d.,]*(?:[eE][+-]?\d{1,2})?")
_FOREIGN: Final = re.compile(r"[€£¥₹₩₽]|\b(?:AUD|BRL|CAD|CHF|CNY|DKK|EUR|GBP|INR|JPY|KRW|MXN|NOK|PLN|SEK|SGD)\b")
_SLASHED: Final = re.compile(r"(\d{1,2})([/.])(\d{1,2})\2(\d{4})")
_ISO: Final = re.compile(r"(\d{4})-?(\d{2})-?(\d{2})(?!\d)")
_SECONDS: Final = re.compile(r"\d{10}(?:\d{3})?(?:\.\d+)?")


class BilledMonth(NamedTuple):
    """What a file has of one month."""

    month: date
    """Its first day."""
    amount: Decimal
    """US dollars."""
    lines: int
    first: date | None
    last: date | None
    """The first and the last day that something was charged for; None: the file has no days."""


class BillFile(NamedTuple):
    """What was read of a file."""

    months: list[BilledMonth]
    date_column: str | None
    amount_column: str
    left_out: int
    """Lines with an amount that are totals of others, or have no day."""


class _Line(NamedTuple):
    number: int
    day: str
    amount: str


def read(
    content: bytes,
    *,
    date_column: str = "",
    amount_column: str = "",
    decimal: str = "",
    month: date | None = None,
) -> BillFile:
    """Read a vendor's CSV file.

    Args:
        content: UTF-8 or UTF-16, with commas, semicolons or tabs.
        date_column: Whose cells are days; empty: the first known one (:data:`DATES`).
        amount_column: Whose cells are US dollars; empty: the first known one (:data:`AMOUNTS`).
        decimal: ``.`` or ``,``; empty: as the numbers show.
        month: Its first day: this month alone; in a file without days all lines are of it.

    Raises:
        Invalid: By the line, the column, and what to do.
    """
    if len(content) > MOST_BYTES:
        raise Invalid({"file": f"has more than {MOST_BYTES:,} bytes: export a month at a time"})
    text = _decoded(content)
    at, header, rows = _table(text, date_column.strip().lower(), amount_column.strip().lower())
    named = [cell.strip().lower() for cell in header]
    days = _index(named, date_column, DATES, "date_column")
    amounts = _index(named, amount_column, AMOUNTS, "amount_column")
    currencies = _index(named, "", CURRENCIES, "")
    if amounts is None:
        raise Invalid({"amount_column": f"must be named: none of the columns is known. There are {_listed(header)}"})
    if (foreign := _FOREIGN.search(header[amounts])) is not None:
        raise _not_dollars(f"column {header[amounts].strip()[:60]}", foreign[0])
    if days is None and month is None:
        raise Invalid(
            {"date_column": f"must be named, or the month, as no column is known. There are {_listed(header)}"}
        )
    if currencies is None:
        _preamble_currency(text, at)
    charged = [(number, row) for number, row in rows if _cell(row, amounts)]
    kept = [(number, row) for number, row in charged if not _is_left_out(row, days)]
    for number, row in kept:
        currency = _cell(row, currencies).upper()
        if currency not in {"", "USD", "$", "US$", "US DOLLAR"}:
            raise _not_dollars(f"line {number}", currency[:20])
    lines = [_Line(number, _cell(row, days), _cell(row, amounts)) for number, row in kept]
    if not lines:
        raise Invalid({"file": f"has no line with an amount and a day. Its columns are {_listed(header)}"})
    found = list(_months(lines, decimal, has_days=days is not None, only=month))
    if not found and month is not None:
        raise Invalid({"month": f"is none of the file's: nothing in it is of {month:%Y-%m}"})
    return BillFile(
        found, None if days is None else header[days].strip(), header[amounts].strip(), len(charged) - len(kept)
    )


def _decoded(content: bytes) -> str:
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return content.decode("utf-16", "replace")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("cp1252", "replace")


def _table(text: str, *wanted: str) -> tuple[int, list[str], Iterator[tuple[int, list[str]]]]:
    """Return the number of the header's line, its cells, and the lines below it with their numbers."""
    known = {*DATES, *AMOUNTS}
    best: tuple[int, int, list[str], str] | None = None
    for at, line in enumerate(io.StringIO(text)):
        if at >= _PREAMBLE:
            break
        for delimiter in ",;\t":
            cells = next(csv.reader([line], delimiter=delimiter), [])
            names = {cell.strip().lower() for cell in cells}
            asked = [name for name in wanted if name]
            fits = len(names.intersection(asked)) * 100 if asked else len(names & known)
            if fits and (best is None or fits > best[0]):
                best = (fits, at, cells, delimiter)
    if best is None:
        first = text.lstrip().partition("\n")[0].strip()
        raise Invalid({"file": f"has no header that is known: name its columns. It begins with: {first[:200]}"})
    _, at, cells, delimiter = best
    below = io.StringIO(text)
    for _ in range(at + 1):
        below.readline()

    def rows() -> Iterator[tuple[int, list[str]]]:
        reader = csv.reader(below, delimiter=delimiter)
        try:
            for row in reader:
                yield at + 1 + reader.line_num, row
        except csv.Error as error:
            raise Invalid({"file": f"is no CSV from line {at + 1 + reader.line_num} on: {error}"}) from None

    return at, cells, rows()


def _index(named: Sequence[str], asked: str, known: Iterable[str], field: str) -> int | None:
    if asked:
        if asked.strip().lower() not in named:
            raise Invalid({field: f"is not there. There are {_listed(named)}"})
        return named.index(asked.strip().lower())
    return next((named.index(name) for name in known if name in named), None)


def _cell(row: Sequence[str], index: int | None) -> str:
    return "" if index is None or index >= len(row) else row[index].strip()


def _is_left_out(row: Sequence[str], days: int | None) -> bool:
    """Return whether a line is a total of others, or has no day where the others have one."""
    return any(_TOTAL.fullmatch(each.strip()) for each in row) or (days is not None and not _cell(row, days))


def _listed(names: Iterable[str]) -> str:
    return ", ".join(name.strip()[:40] for name in names if name.strip())[:400]


def _not_dollars(where: str, currency: str) -> Invalid:
    return Invalid(
        {
            "file": f"has, in {where}, {currency}: only US dollars can be compared. Export it in US dollars, or set the amount by hand"
        }
    )


def _preamble_currency(text: str, at: int) -> None:
    """Refuse a file that says above its header that it is in another currency."""
    for number, line in enumerate(io.StringIO(text)):
        if number >= at:
            return
        found = re.match(r"\W*currency\W+([A-Za-z]{3})\b", line, re.IGNORECASE)
        if found is not None and found[1].upper() != "USD":
            raise _not_dollars(f"line {number + 1}", found[1])


def _months(lines: list[_Line], decimal: str, *, has_days: bool, only: date | None) -> Iterator[BilledMonth]:
    mark = decimal or _decimal_mark(lines)
    month_first = _month_first(lines) if has_days else True
    sums: dict[date, list[tuple[date | None, Decimal]]] = defaultdict(list)
    for line in lines:
        day = _day(line, month_first=month_first) if has_days else None
        month = only if day is None else day.replace(day=1)
        if month is not None and (only is None or month == only):
            sums[month].append((day, _amount(line, mark)))
    for month, charged in sorted(sums.items()):
        spans = [day for day, amount in charged if day is not None and amount]
        total = sum((amount for _, amount in charged), Decimal(0))
        yield BilledMonth(month, total, len(charged), min(spans, default=None), max(spans, default=None))


def _bare(cell: str) -> tuple[str, bool]:
    """Return a number without currency, spaces and brackets, and whether these said that it is below 0."""
    text = re.sub(r"[\s\u00a0\u202f'\u2019]|USD|US\$|\$", "", cell).replace("\u2212", "-")
    return (text[1:-1], True) if text.startswith("(") and text.endswith(")") else (text, False)


def _decimal_mark(lines: Iterable[_Line]) -> str:
    """Return what the numbers show to be their decimal mark.

    Raises:
        Invalid: If they show both, or neither, as 1,234 alone does.
    """
    marks: dict[str, _Line] = {}
    unclear: _Line | None = None
    for line in lines:
        number = re.split("[eE]", _bare(line.amount)[0])[0].lstrip("+-")
        separators = [each for each in number if each in ".,"]
        if not separators:
            continue
        whole, mark, fraction = number.rpartition(separators[-1])
        if len(set(separators)) == 2:  # noqa: PLR2004 - both
            marks.setdefault(mark, line)
        elif len(separators) > 1:
            marks.setdefault("." if mark == "," else ",", line)
        elif len(fraction) != 3 or whole in {"", "0"} or len(whole) > 3:  # noqa: PLR2004 - a thousand has three digits
            marks.setdefault(mark, line)
        else:
            unclear = unclear or line
    if len(marks) > 1:
        one, other = marks.values()
        raise Invalid(
            {
                "decimal": f"must be said, . or ,: line {one.number} has {one.amount[:40]}, line {other.number} {other.amount[:40]}"
            }
        )
    if not marks and unclear is not None:
        raise Invalid(
            {"decimal": f"must be said, . or ,: {unclear.amount[:40]} in line {unclear.number} may be read both ways"}
        )
    return next(iter(marks), ".")


def _amount(line: _Line, mark: str) -> Decimal:
    text, is_below = _bare(line.amount)
    problem = {"file": f"has, in line {line.number}, an amount that is no number: {line.amount[:60]}"}
    if not _NUMBER.fullmatch(text):
        raise Invalid(problem)
    plain = text.replace("." if mark == "," else ",", "").replace(mark, ".")
    try:
        found = Decimal(plain)
    except InvalidOperation:
        raise Invalid(problem) from None
    if abs(found) > Decimal(1_000_000_000):
        raise Invalid(problem)
    return -found if is_below else found


def _month_first(lines: Iterable[_Line]) -> bool:
    """Return whether days as 10/31/2026 begin with the month.

    Raises:
        Invalid: If that cannot be told.
    """
    slashed = [found for line in lines if (found := _SLASHED.match(line.day)) is not None and found[2] == "/"]
    if not slashed:
        return True
    day_first = any(int(found[1]) > 12 for found in slashed)  # noqa: PLR2004 - months
    month_first = any(int(found[3]) > 12 for found in slashed)  # noqa: PLR2004 - months
    if day_first == month_first:
        raise Invalid(
            {
                "date_column": f"has days that may be read both ways, as {slashed[0][0]}. Write them as 2026-10-31, or name the month and leave the column out"
            }
        )
    return month_first


def _day(line: _Line, *, month_first: bool) -> date:
    try:
        if (found := _ISO.match(line.day)) is not None and not _SECONDS.fullmatch(line.day):
            return date(int(found[1]), int(found[2]), int(found[3]))
        if _SECONDS.fullmatch(line.day):
            seconds = float(line.day)
            return datetime.fromtimestamp(seconds / 1000 if seconds > 1e11 else seconds, UTC).date()  # noqa: PLR2004 - milliseconds
        if (found := _SLASHED.match(line.day)) is not None:
            one, other = int(found[1]), int(found[3])
            is_month_first = month_first and found[2] == "/"
            return date(int(found[4]), one if is_month_first else other, other if is_month_first else one)
    except (ValueError, OverflowError, OSError):
        pass
    raise Invalid({"file": f"has, in line {line.number}, a day that cannot be read: {line.day[:60]}"})
