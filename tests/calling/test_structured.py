"""The schema of a class as strict vendors take it: every object at every depth is closed and has all its properties."""

from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Any, Literal

import pytest
from pydantic import BaseModel, Field

from core.calling.structured import schema_of


class Colour(StrEnum):
    """A choice."""

    RED = "red"


class Leaf(BaseModel):
    """An object within others."""

    properties: str = "a property of that name"
    default: int = 3
    colour: Colour | None = None


class Tree(BaseModel):
    """One that has itself in it, and objects in lists, choices and pairs."""

    required: list[Leaf] = Field(default_factory=list)
    either: Leaf | Literal["none"] = "none"
    pair: tuple[Leaf, int] | None = None
    below: "Tree | None" = None


class Inline:
    """A class that writes its schema itself, an object within another one."""

    @classmethod
    def model_json_schema(cls) -> dict[str, Any]:
        """As pydantic's do."""
        within = {"type": "object", "title": "Within", "properties": {"b": {"type": "integer", "default": 1}}}
        return {"type": "object", "title": "Inline", "properties": {"a": {"type": "array", "items": within}}}


def objects(schema: Any) -> Iterator[Mapping[str, Any]]:
    """Each schema of an object, at any depth."""
    if isinstance(schema, list):
        for one in schema:
            yield from objects(one)
    elif isinstance(schema, Mapping):
        if schema.get("type") == "object":
            yield schema
        for name, below in schema.items():
            yield from objects(list(below.values()) if name in {"properties", "$defs"} else below)


@pytest.mark.parametrize(("cls", "names"), [(Leaf, {"Leaf"}), (Tree, {"Tree", "Leaf"}), (Inline, {"Inline", "Within"})])
def test_every_object_is_closed_and_whole(cls: type[Any], names: set[str]) -> None:
    """Whatever has a default has none there, also a property that is called so stays."""
    found = list(objects(schema_of(cls)))

    assert {each["title"] for each in found} == names
    for each in found:
        assert each["additionalProperties"] is False
        assert each["required"] == list(each["properties"])
        assert not any("default" in below for below in each["properties"].values())


def test_names_of_properties_are_no_words_of_the_schema() -> None:
    """Also where a property is called as one of them."""
    leaf = schema_of(Leaf)

    assert leaf["required"] == ["properties", "default", "colour"]
    assert leaf["properties"]["colour"]["anyOf"][1] == {"type": "null"}
