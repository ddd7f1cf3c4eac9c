"""YAML -> plain values, each with its line.

The parser's events are composed here, so that nothing is built before it is known to be small: aliases that explode, deep
nesting, recursive aliases and doubled keys are refused with their line. Tags make no objects: what is no null, true or
false and no plain number is text as it stands there (a date, ``!ENV X``).
"""

import re
from typing import Any, Final

from ...errors import BadConfig
from .limits import DEEPEST, LONGEST, Budget, refused

_TAG: Final = "tag:yaml.org,2002:"
_SAID: Final = re.compile(r"'[^']*'|\"[^\"]*\"|<[^>]*>")
"""What of a parser's message may repeat the file."""
_TRUE: Final = frozenset({"true", "yes", "on"})
_LONG_NUMBER: Final = 40


class _Node:
    """A value before it is made."""

    __slots__ = ("children", "is_list", "line", "tag", "text")

    def __init__(self, line: int, *, text: str = "", tag: str = "", is_list: bool | None = None) -> None:
        self.line = line
        self.text = text
        self.tag = tag
        self.is_list = is_list  # None: a scalar
        self.children: list[_Node] = []  # of a mapping: a key, its value, a key, its value


def read(text: str) -> tuple[Any, dict[str, int]]:
    """Return the values of *text*, and for each path the line it stands on.

    Raises:
        Invalid: With the line and the rule.
        BadConfig: If PyYAML is not installed.
    """
    try:
        import yaml  # noqa: PLC0415 - of the extra `cli`; services read no YAML
    except ModuleNotFoundError:
        raise BadConfig("Reading YAML needs an extra: pip install 'llm-settings[cli]'") from None
    if len(text) > LONGEST:
        raise refused(f"is longer than {LONGEST:,} characters: that is no configuration")
    try:
        root = _Composer(yaml).compose(text.lstrip("\ufeff"))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        rule = _SAID.sub("something", error.problem or "cannot be understood")
        raise refused(f"is not YAML: {rule}", mark.line + 1 if mark else None) from None
    except (yaml.YAMLError, UnicodeError):
        raise refused("is not YAML: it has characters that YAML does not allow") from None
    lines: dict[str, int] = {}
    return (None if root is None else _build(root, "", lines, Budget(), 1)), lines


class _Composer:
    """Events -> nodes; iterative, so that depth costs no stack. An alias is the same node once more."""

    def __init__(self, yaml: Any) -> None:
        self._yaml = yaml
        self._resolver = yaml.resolver.Resolver()
        self._known: dict[str, _Node] = {}
        self._open: list[tuple[_Node, str | None]] = []

    def compose(self, text: str) -> _Node | None:
        yaml = self._yaml
        root: _Node | None = None
        documents, budget = 0, Budget()
        for event in yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
            line = event.start_mark.line + 1
            budget.spend(line)
            documents += isinstance(event, yaml.DocumentStartEvent)
            if documents > 1:
                raise refused("begins a second document (---): import one at a time", line)
            node = self._complete(event, line)
            if node is not None and self._open:
                self._open[-1][0].children.append(node)
            elif node is not None:
                root = node
        return root

    def _complete(self, event: Any, line: int) -> _Node | None:
        """Return the node that *event* completes; None while none is."""
        yaml = self._yaml
        if isinstance(event, yaml.AliasEvent):
            if (known := self._known.get(event.anchor)) is None:
                rule = "has an alias (*) without an anchor (&) before it, or inside itself. A mask of asterisks needs quotes"
                raise refused(rule, line)
            return known
        if isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
            if len(self._open) >= DEEPEST:
                raise refused(f"is more than {DEEPEST} levels deep", line)
            self._open.append((_Node(line, is_list=isinstance(event, yaml.SequenceStartEvent)), event.anchor))
            return None
        if isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
            node, anchor = self._open.pop()
        elif isinstance(event, yaml.ScalarEvent):
            tag = event.tag
            if tag is None or tag == "!":
                tag = self._resolver.resolve(yaml.ScalarNode, event.value, event.implicit)
            node, anchor = _Node(line, text=event.value, tag=str(tag).removeprefix(_TAG)), event.anchor
        else:
            return None
        if anchor:
            self._known[anchor] = node
        return node


def _build(node: _Node, path: str, lines: dict[str, int], budget: Budget, depth: int) -> Any:
    budget.spend(node.line)
    if depth > DEEPEST:
        raise refused(f"is more than {DEEPEST} levels deep, counting what its aliases repeat", node.line)
    lines.setdefault(path, node.line)
    if node.is_list is None:
        return _scalar(node)
    if node.is_list:
        return [
            _build(child, f"{path}[{number}]", lines, budget, depth + 1) for number, child in enumerate(node.children)
        ]
    found: dict[str, Any] = {}
    merges: list[_Node] = []
    for key, value in zip(node.children[::2], node.children[1::2], strict=True):
        if key.is_list is not None:
            raise refused("has a list or a mapping as a key", key.line)
        if key.tag == "merge":
            merges += value.children if value.is_list else [value]
            continue
        if key.text in found:
            raise refused("has a key twice in one mapping: only one of the values can be meant", key.line)
        below = f"{path}.{key.text}" if path else key.text
        lines.setdefault(below, key.line)
        found[key.text] = _build(value, below, lines, budget, depth + 1)
    for each in merges:  # of several the first one counts, and what stands here itself before all
        if each.is_list is not False:
            raise refused("merges (<<) what is no mapping", each.line)
        for name, brought in _build(each, path, lines, budget, depth + 1).items():
            found.setdefault(name, brought)
    return found


def _scalar(node: _Node) -> Any:
    text = node.text
    if node.tag == "null":
        return None
    if node.tag == "bool":
        return text.lower() in _TRUE
    if node.tag in {"int", "float"} and len(text) <= _LONG_NUMBER:
        plain = text.replace("_", "")
        try:
            return int(plain) if node.tag == "int" else float(plain)
        except ValueError:  # octal, hexadecimal, 1:30, .inf: no setting is written so
            return text
    return text
