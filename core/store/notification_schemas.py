"""What may be said of a webhook: a part of :mod:`~.schemas`, the only validator."""

from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from .notification_tables import MOST_URL
from .schemas import Input, OneLine
from .values import host_of

EVENTS: Final = ("settings.changed",)
"""The types of events that a webhook may hear of."""


def _distinct(events: list[str]) -> list[str]:
    return [event for event in EVENTS if event in events]


def _url(value: str) -> str:
    """Refuse what is no address of a receiver. A path and a query may have a token in them: no error repeats either."""
    host_of(value, "https://hooks.example.com/llm-settings")
    if urlsplit(value).fragment or value.endswith("#"):
        raise ValueError("must have no # in it: what follows is never sent")
    return value


class WebhookInput(Input):
    """A webhook: who is told, and of what."""

    name: Annotated[str, OneLine, Field(min_length=1, max_length=100, description="1 to 100 characters")]
    url: Annotated[
        str,
        OneLine,
        Field(max_length=MOST_URL, description=f"an https URL of at most {MOST_URL:,} characters"),
        AfterValidator(_url),
    ]
    events: Annotated[
        list[Literal[EVENTS]],  # type: ignore[valid-type]  # the names are data, listed once
        Field(min_length=1, description=f"a list of some of {', '.join(EVENTS)}"),
        AfterValidator(_distinct),
    ] = Field(default_factory=lambda: list(EVENTS))
    is_active: Annotated[bool, Field(description="true or false")] = True
