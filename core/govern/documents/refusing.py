"""What a document is refused for, in words: each path at fault, and the rule with its line."""

from collections.abc import Iterator
from types import UnionType
from typing import Annotated, Any, Final, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from ...redaction import scrub
from ...store.schemas import Problems
from . import parsing

MOST_PROBLEMS: Final = 50
"""So many are named at once."""


def path_of(*steps: str) -> str:
    """Return the path of what stands below *steps*, as errors and changes name it."""
    return ".".join(step_of(step) for step in steps)


def explained(model: type[BaseModel], error: ValidationError, data: Any) -> Iterator[tuple[str, str]]:
    """Yield what *error* says of *data*, which is no *model*: each path at fault, and the rule with its line; never a value."""
    found = error.errors(include_url=False, include_input=False)
    for item in found[:MOST_PROBLEMS]:
        cause = item.get("ctx", {}).get("error")
        if isinstance(cause, Problems):
            for field, rule in cause.fields.items():
                path = (*item["loc"], *(field.split(".")))
                yield _written(path), _with_line(rule, data, path)
        else:
            yield _written(item["loc"]), _with_line(_rule(model, item, cause), data, item["loc"])
    if len(found) > MOST_PROBLEMS:
        yield "", f"and {len(found) - MOST_PROBLEMS} more"


def _rule(model: type[BaseModel], item: Any, cause: Any) -> str:
    if item["type"] == "missing":
        return "is needed"
    if item["type"] == "extra_forbidden":
        return "is not a field here"
    if isinstance(cause, ValueError):
        return str(cause)
    description = _description(model, item["loc"])
    if description:
        return f"must be {description}"
    if item["type"] in {"model_type", "dict_type", "model_attributes_type"}:
        return "must be a mapping"
    return f"must be {str(item['msg']).removeprefix('Input should be ').removeprefix('a valid ')}"


def _description(model: type[BaseModel], path: tuple[str | int, ...]) -> str:
    """Return what the field at *path* must be, by its model; of a list's entry what the list must be."""
    kind: Any = model
    found = ""
    for step in path:
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            field = kind.model_fields.get(str(step))
            if field is None:
                return ""
            found, kind = field.description or "", _inner(field.annotation)
        elif get_origin(kind) is dict:
            found, kind = "", _inner(get_args(kind)[1])
        elif get_origin(kind) is list and isinstance(_inner(get_args(kind)[0]), type):
            kind = _inner(get_args(kind)[0])
        else:
            break
    return found


def _inner(annotation: Any) -> Any:
    """Return a type without what stands around it: None, and what is said of it."""
    while True:
        if get_origin(annotation) is Annotated:
            annotation = get_args(annotation)[0]
        elif get_origin(annotation) in {Union, UnionType}:
            annotation = next(each for each in get_args(annotation) if each is not type(None))
        else:
            return annotation


def _written(path: tuple[str | int, ...]) -> str:
    return ".".join(str(step) if isinstance(step, int) else step_of(step) for step in path) or parsing.DOCUMENT


def step_of(name: str) -> str:
    """Return a name as a path shows it: what looks like a secret is none of it, nor what is too long."""
    return scrub(name)[:100]


def _with_line(rule: str, data: Any, path: tuple[str | int, ...]) -> str:
    line = parsing.line_of(data, path)
    return rule if line is None else f"{rule} (line {line})"
