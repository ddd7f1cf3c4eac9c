"""What one catalogue says otherwise than another: rows that came, went, and fields that changed."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from .vendored import Rows


class FactChange(NamedTuple):
    """One thing that differs."""

    api: str
    model: str
    field: str | None
    """None: the whole row came, or went."""
    before: Any
    """None: there was none."""
    after: Any
    """None: there is none now."""


def changes(old: Rows, new: Rows) -> Iterator[FactChange]:
    """Yield what *new* says otherwise than *old*, by API, model and field."""
    for api in sorted(old.keys() | new.keys()):
        before, after = old.get(api, {}), new.get(api, {})
        for model in sorted(before.keys() | after.keys()):
            was, now = before.get(model), after.get(model)
            if was is None or now is None:
                yield FactChange(api, model, None, was, now)
                continue
            for field in sorted(was.keys() | now.keys()):
                if was.get(field) != now.get(field):
                    yield FactChange(api, model, field, was.get(field), now.get(field))
