"""What may be said of who is told: a part of :mod:`~.schemas`, the only validator."""

import re
from collections.abc import Mapping
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from ..mail_address import address_fault
from .notification_tables import MOST_RECIPIENTS, MOST_URL
from .schemas import Input, OneLine
from .values import host_of

EVENTS: Final = (
    "settings.changed",
    "budget.threshold",
    "budget.unpriced",
    "budget.presumed",
    "budget.forecast",
    "spend.spike",
    "key.age",
)
"""The types of events that one may hear of."""


def _distinct(events: list[str]) -> list[str]:
    return [event for event in EVENTS if event in events]


def _url(value: str) -> str:
    """Refuse what is no address of a receiver. A path and a query may have a token in them: no error repeats either."""
    host_of(value, "https://hooks.example.com/llm-settings")
    if urlsplit(value).fragment or value.endswith("#"):
        raise ValueError("must have no # in it: what follows is never sent")
    return value


_SLACK: Final = re.compile(r"hooks\.slack(-gov)?\.com")


def _slack_url(value: str) -> str:
    """Refuse what is no incoming webhook; of Slack's own hosts also the URLs of workflows, which take other messages."""
    _url(value)
    parts = urlsplit(value)
    if _SLACK.fullmatch((parts.hostname or "").rstrip(".")) and not parts.path.startswith("/services/"):
        raise ValueError("must be that of an incoming webhook, as https://hooks.slack.com/services/T…/B…/…")
    if parts.path.strip("/") == "":
        raise ValueError("must have the path that is its secret: copy it whole")
    return value


def _addresses(values: list[str]) -> list[str]:
    """Refuse what is no address of e-mail, and one that stands twice. Errors name it by its place."""
    for place, value in enumerate(values, start=1):
        if fault := address_fault(value):
            raise ValueError(f"address {place} {fault}")
    if len({value.casefold() for value in values}) < len(values):
        raise ValueError("must name each address once")
    return values


_Url = Annotated[
    str,
    OneLine,
    Field(max_length=MOST_URL, description=f"an https URL of at most {MOST_URL:,} characters"),
]


class TargetInput(Input):
    """What all kinds have: a name, and what it is told of."""

    name: Annotated[str, OneLine, Field(min_length=1, max_length=100, description="1 to 100 characters")]
    events: Annotated[
        list[Literal[EVENTS]],  # type: ignore[valid-type]  # the names are data, listed once
        Field(min_length=1, description=f"a list of some of {', '.join(EVENTS)}"),
        AfterValidator(_distinct),
    ] = Field(default_factory=lambda: list(EVENTS))
    is_active: Annotated[bool, Field(description="true or false")] = True


class WebhookInput(TargetInput):
    """A program of one's own, which gets signed messages."""

    url: Annotated[_Url, AfterValidator(_url)]


class SlackInput(TargetInput):
    """A channel of Slack, or of what takes Slack's messages. The whole URL is its secret."""

    url: Annotated[_Url, AfterValidator(_slack_url)]


class EmailInput(TargetInput):
    """People, by e-mail."""

    recipients: Annotated[
        list[Annotated[str, OneLine]],
        Field(min_length=1, max_length=MOST_RECIPIENTS, description=f"a list of 1 to {MOST_RECIPIENTS} addresses"),
        AfterValidator(_addresses),
    ]


INPUTS: Final[Mapping[str, type[TargetInput]]] = {"webhook": WebhookInput, "slack": SlackInput, "email": EmailInput}
"""Kind -> what is said of one."""
