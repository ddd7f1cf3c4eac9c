"""The vendor of the tests answers as the vendors do: the SDKs' own types take every answer, strictly."""

import json
from typing import Any

import anthropic.types
import openai.types.chat
import pytest
from google.genai import types as google
from pydantic import BaseModel, TypeAdapter

from tests.vendors import _PROTOCOLS, Asked

BODY = {"model": "m1", "messages": [], "stream": False}
ASKED = Asked(0, "POST", "/v1beta/models/m1:generateContent", {"x-goog-api-key": "k", "authorization": "k"}, BODY)
ANSWERS: dict[str, Any] = {
    "openai": openai.types.chat.ChatCompletion,
    "anthropic": anthropic.types.Message,
    "google": google.GenerateContentResponse,
}
EVENTS: dict[str, Any] = {
    "openai": openai.types.chat.ChatCompletionChunk,
    "anthropic": anthropic.types.RawMessageStreamEvent,
    "google": google.GenerateContentResponse,
}
MODELS: dict[str, Any] = {"openai": openai.types.Model, "anthropic": anthropic.types.ModelInfo, "google": google.Model}


def take(kind: Any, data: Any) -> Any:
    """Validate *data*, strictly: JSON in, no conversions, and nothing that the type does not know."""
    return TypeAdapter(kind).validate_json(json.dumps(data), strict=True)


def unknown(found: BaseModel) -> list[str]:
    """Fields that the SDK's type does not know, at any depth."""
    extra = list(found.model_extra or ())
    for name in type(found).model_fields:
        value = getattr(found, name)
        for one in value if isinstance(value, list) else [value]:
            extra += unknown(one) if isinstance(one, BaseModel) else []
    return extra


@pytest.mark.parametrize("kind", ANSWERS)
def test_answers(kind: str) -> None:
    """A whole answer has what the type needs, and nothing that it does not know."""
    found = take(ANSWERS[kind], _PROTOCOLS[kind].answer(ASKED))

    assert unknown(found) == []


@pytest.mark.parametrize("kind", EVENTS)
def test_events(kind: str) -> None:
    """So does each event of a stream."""
    events = _PROTOCOLS[kind].events(ASKED)
    bodies = [line.removeprefix("data: ") for event in events for line in event.splitlines() if line[:5] == "data:"]

    found = [take(EVENTS[kind], json.loads(body)) for body in bodies if body != "[DONE]"]

    assert len(found) >= 4
    assert [unknown(event) for event in found] == [[]] * len(found)


@pytest.mark.parametrize("kind", MODELS)
def test_models(kind: str) -> None:
    """And each model of the list."""
    listed = _PROTOCOLS[kind].models(["m1", "m2"])

    found = [take(MODELS[kind], model) for model in listed.get("data") or listed["models"]]

    assert [unknown(model) for model in found] == [[], []]


def test_the_types_are_strict() -> None:
    """What these tests rest on: a missing field and a wrong type are refused."""
    assert issubclass(openai.types.chat.ChatCompletion, BaseModel)
    good = _PROTOCOLS["openai"].answer(ASKED)
    for bad in ({**good, "created": "1"}, {name: value for name, value in good.items() if name != "choices"}):
        with pytest.raises(ValueError, match="validation error"):
            take(openai.types.chat.ChatCompletion, bad)
