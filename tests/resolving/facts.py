"""A provider and layers as the merge takes them, for tests that need no database."""

from typing import Any

from core.crypto import Box, KeyRing, Place
from core.errors import KeyUnreadable
from core.resolving.layers import Layer
from core.resolving.merge import ProviderFacts
from tests.conftest import ENCRYPTION_KEY

CANARY = "sk-canary-0123456789abcdef"
RING = KeyRing(ENCRYPTION_KEY)
ADA = {"by": "ada", "at": "2026-01-02T03:04:05+00:00", "version": 3}


def box() -> Box:
    place = Place("llm_providers", 7, "api_key", "https://api.openai.com:443")
    return RING.box(*RING.seal(CANARY, place), place)


def unreadable() -> Box:
    raise KeyUnreadable("damaged", "The stored key is damaged. Enter the API key again.")


def provider(**more: Any) -> ProviderFacts:
    facts = {
        "id": 7,
        "name": "openai",
        "display_name": "OpenAI",
        "kind": "openai",
        "base_url": None,
        "default_model": "m1",
        "is_active": True,
        "version": 5,
        "changes": {"default_model": ADA},
        "open_box": box,
    }
    return ProviderFacts(**{**facts, **more})


def everyone_layer(**values: Any) -> Layer:
    return Layer("all_providers", 1, 9, values, {})


def own_layer(**values: Any) -> Layer:
    return Layer("provider", 2, 4, values, {})
