"""Which extra of the wheel brings a package: a missing one is named by what to install."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from typing import Final

from .errors import MissingExtra

EXTRAS: Final[Mapping[str, str]] = {
    "alembic": "store",
    "pydantic": "store",
    "sqlalchemy": "store",
    "sqlmodel": "store",
    "bcrypt": "cli",
    "dotenv": "cli",
    "yaml": "cli",
    "typer": "cli",
    "zxcvbn": "cli",
    "openai": "ai-openai",
    "anthropic": "ai-anthropic",
    "google": "ai-google",
    "genai_prices": "ai",
    "httpcore2": "ai",
    "httpx2": "ai",
    "phonenumbers": "pii",
    "stdnum": "pii",
    "joserfc": "sso",
    "limits": "app",
    "pyotp": "app",
    "segno": "app",
}
"""The package's import name -> the extra."""


def require(extra: str) -> None:
    """Return when what *extra* itself brings is installed; imports nothing.

    Raises:
        MissingExtra: If a package is missing.
    """
    for package, brought_by in EXTRAS.items():
        if brought_by == extra and find_spec(package) is None:
            raise MissingExtra(package, extra)


@cache
def is_installed(extra: str) -> bool:
    """Return whether what *extra* itself brings is there; imports nothing, and is looked up once."""
    return all(find_spec(package) is not None for package, brought_by in EXTRAS.items() if brought_by == extra)


@contextmanager
def from_extra(extra: str | None = None) -> Iterator[None]:
    """Import inside what an extra brings.

    Args:
        extra: The one to name; default: that of the package which is missing.

    Raises:
        MissingExtra: If it is not installed.
    """
    try:
        yield
    except MissingExtra as missing:
        raise MissingExtra(missing.package, extra or missing.extra) from None
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in EXTRAS:
            raise
        raise MissingExtra(package, extra or EXTRAS[package]) from None
