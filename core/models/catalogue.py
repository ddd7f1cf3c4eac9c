"""The providers that ``python -m core seed`` stores, and which of their models. Data and a pure function; standard library only.

What is known of these models is in the catalogue (:mod:`core.models.facts`), and ``tests/models/test_known_facts.py`` holds the
list to it: each has two sources, and none that retires within 90 days.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final

from ..kinds import Kind
from ..parameters import SENDABLE
from ..wording import listed


@dataclass(frozen=True, slots=True)
class SeededProvider:
    """A provider that ``python -m core seed`` stores."""

    name: str
    display_name: str
    description: str
    kind: Kind
    models: tuple[str, ...]
    """Their names, the newest first."""
    default_model: str

    def fields(self) -> dict[str, Any]:
        """Return it by the names of :class:`core.store.schemas.ProviderInput`: inactive, as it has no key yet."""
        return {
            "name": self.name,
            "display_name": self.display_name,
            "description": self.description,
            "kind": self.kind,
            "available_models": list(self.models),
            "default_model": self.default_model,
            "is_active": False,
        }


SEEDED: Final[tuple[SeededProvider, ...]] = (
    SeededProvider(
        name="openai",
        display_name="OpenAI",
        description="GPT models, through OpenAI's own API.",
        kind="openai",
        models=(
            "gpt-6.1-terra",
            "gpt-6.1-sol",
            "gpt-6-luna",
            "gpt-6-astra",
            "gpt-5.6-sol",
            "gpt-5.6-terra",
            "gpt-5.6-luna",
            "gpt-5.5",
            "gpt-5.4",
            "gpt-5.4-mini",
        ),
        default_model="gpt-6.1-terra",
    ),
    SeededProvider(
        name="anthropic",
        display_name="Anthropic",
        description="Claude models, through Anthropic's own API.",
        kind="anthropic",
        models=(
            "claude-sonnet-5-5",
            "claude-opus-5-5",
            "claude-haiku-5-5",
            "claude-fable-5-1",
            "claude-opus-5",
            "claude-sonnet-5",
            "claude-opus-4-8",
        ),
        default_model="claude-sonnet-5-5",
    ),
    SeededProvider(
        name="google",
        display_name="Google",
        description="Gemini models, through the Gemini API.",
        kind="google",
        models=(
            "gemini-3.8-flash",
            "gemini-4-argon",
            "gemini-3.5-flash-lite",
            "gemini-3.1-flash-lite",
        ),
        default_model="gemini-3.8-flash",
    ),
)


def model_change_warning(old: str | None, new: str | None, omitted: Collection[str]) -> str | None:
    """Say what is not sent when the model changes from *old* to *new*: it may have been set for the old one only."""
    names = _ordered(omitted)
    if not names or new is None or new == old:
        return None
    when = f"while the model was {old}" if old else "before a model was chosen"
    return f"{listed(names)} {_be(names)} not sent; that was set {when}. Check that it still fits {new}."


def _ordered(names: Collection[str]) -> list[str]:
    return [name for name in SENDABLE if name in names]


def _be(names: list[str]) -> str:
    return "is" if len(names) == 1 else "are"
