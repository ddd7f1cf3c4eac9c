"""Numbers in sentences to people."""


def counted(number: int, noun: str) -> str:
    """Return ``1 model``, ``2 models`` or ``1,200 models``: for nouns that take an s."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
