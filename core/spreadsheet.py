"""CSV that no spreadsheet runs. Standard library only."""

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any


def lines(columns: Iterable[str], rows: Iterable[Iterable[Any]]) -> Iterator[str]:
    """Return the lines of a CSV file: a header, then the rows; all cells harmless and quoted, None empty, the rest JSON."""
    line = io.StringIO()
    writer = csv.writer(line, quoting=csv.QUOTE_ALL, lineterminator="\r\n")
    for cells in chain((columns,), rows):
        line.seek(0)
        line.truncate()
        writer.writerow([harmless(_cell(cell)) for cell in cells])
        yield line.getvalue()


def harmless(cell: str) -> str:
    """Return *cell* so that no spreadsheet runs it as a formula: with an apostrophe before what would begin one.

    As OWASP says (https://owasp.org/www-community/attacks/CSV_Injection): ``= + - @``, tab and line breaks at the
    beginning, also behind spaces and quotes; and behind a separator, which another locale takes for a new cell.
    """
    return _FORMULA.sub("'", cell)


_BEGINS = r"(?=(?:[^\S\t\r\n]|[\"'])*[=+\-@\uff1d\uff0b\uff0d\uff20])"
_FORMULA = re.compile(rf"^{_BEGINS}|^(?=[\t\r\n])|(?<=[,;|\t\r\n]){_BEGINS}")


def _cell(given: Any) -> str:
    if given is None:
        return ""
    return given if isinstance(given, str) else json.dumps(given, ensure_ascii=False, default=str)
