"""Numbers and lists in sentences to people."""

from collections.abc import Sequence


def counted(number: int, noun: str) -> str:
    """Return ``1 model``, ``2 models`` or ``1,200 models``: for nouns that take an s."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def plain_number(value: float) -> str:
    """Return ``2``, ``0.7`` or ``1000000``: a whole number as it is, a float to 6 digits, neither with an exponent."""
    if isinstance(value, int):
        return str(value)
    from decimal import Decimal  # noqa: PLC0415 - keeps the import of the resolver lean

    return f"{Decimal(f'{value:.6g}'):f}"


def listed(names: Sequence[str]) -> str:
    """Return ``a``, ``a and b``, or ``a, b and c``; empty without any."""
    return " and ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))
