"""Models that another host serves: whose they are, by their names. Standard library only."""

from dataclasses import replace
from typing import Final

from ..patterns import later
from .facts import ModelFacts

RESELLERS: Final = frozenset({"azure", "bedrock", "vertex"})
"""APIs of hosts that serve the vendors' own models."""
_VENDORS: Final = later(
    r"(?<![a-z0-9])(?:(?P<openai>gpt-(?!oss)|chatgpt|o\d(?![a-z]))|(?P<anthropic>claude)|(?P<google>gemini|gemma)|(?P<xai>grok)"
    r"|(?P<mistral>mistral|magistral|ministral|codestral|devstral|pixtral)|(?P<deepseek>deepseek)|(?P<moonshot>kimi))"
)


def of_the_vendor(facts: ModelFacts) -> ModelFacts:
    """Return the facts under the vendor's name, where a host serves the vendor's own models: Azure, Bedrock, Vertex AI."""
    if facts.api not in RESELLERS:
        return facts
    found = _VENDORS.search(facts.name)
    vendor = facts.vendor or (found.lastgroup if found else None)
    if vendor is None:
        return facts
    return replace(facts, api=vendor, name=facts.name[found.start() :] if found else facts.name)
