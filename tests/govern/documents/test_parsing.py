"""Text as plain data: YAML by 1.2 and JSON alike, bounded in time and memory, and what two readers would read differently refused by its line."""

import time
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import Invalid
from core.govern.documents.emitting import written
from core.govern.documents.parsing import LinedMapping, line_of, parse
from tests.processes import python

TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40)
ODD = [
    "no",
    "on",
    "Yes",
    "y",
    "~",
    "null",
    "",
    " a",
    "a ",
    "1e3",
    "1.0",
    "010",
    "0x1F",
    "1_000",
    "12:30",
    "2023-06-01",
    "-",
    "? a",
]
ODD += [
    "a: b",
    "a #b",
    "#b",
    "- a",
    "*a",
    "&a",
    "!a",
    "<<",
    "=",
    "%a",
    "@a",
    "`a",
    "{a",
    "[a",
    "'",
    '"',
    "|",
    ">",
    ".inf",
    "True",
    "\x85",
    "\u2028",
]
ODD += ["\ufeffa", "a\nb", "a\tb", "\x7f", "\ufffe", "\U0001f99c", "x" * 300, "a\r\nb", "... ", "---", "--- a"]
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**18), 10**18)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(ODD)
    | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(ODD) | TEXTS, inner, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(TEXTS.filter(bool) | st.sampled_from(ODD), JSON, min_size=1, max_size=5))
def test_what_is_written_is_read_the_same(data: dict[str, Any]) -> None:
    """Whatever JSON holds: texts that look like something else, line breaks, numbers of all sizes; also by another YAML reader."""
    text = written(data)

    assert parse(text) == data
    assert repr(parse(text)) == repr(_sorted(data))


def _sorted(data: Any) -> Any:
    if isinstance(data, dict):
        return {key: _sorted(data[key]) for key in sorted(data)}
    return [_sorted(each) for each in data] if isinstance(data, list) else data


@pytest.mark.parametrize("text", ODD)
def test_odd_texts_are_texts_to_every_reader(text: str) -> None:
    """PyYAML, which reads by YAML 1.1, sees the same text: a file is read by other tools as well."""
    import yaml  # noqa: PLC0415 - what other tools read with

    assert yaml.safe_load(written({"a": text, text or "b": 1})) == {"a": text, text or "b": 1}


@pytest.mark.parametrize(
    ("text", "data"),
    [
        ("a: 1e3", {"a": 1000.0}),
        ("a: 0.50", {"a": 0.5}),
        ("a: 2023-06-01", {"a": "2023-06-01"}),
        ("a: 1.2.3", {"a": "1.2.3"}),
        ("1: a\nno: b\nnull: c", {"1": "a", "no": "b", "null": "c"}),
        ("a: 'no'\nb: \"010\"", {"a": "no", "b": "010"}),
        ("a:\nb: ~", {"a": None, "b": None}),
        ("\ufeffa: 1\r\nb: 2\r\n", {"a": 1, "b": 2}),
        (
            "a: &x {b: 1}\nc: *x\nd: {<<: *x, e: 2}\nf: {<<: [*x], b: 3}",
            {"a": {"b": 1}, "c": {"b": 1}, "d": {"e": 2, "b": 1}, "f": {"b": 3}},
        ),
        ('{"a": [1, 2.5, null, true, "\\ud83e\\udd9c"]}', {"a": [1, 2.5, None, True, "\U0001f99c"]}),
        ("{a: 1, b: [x, z]}", {"a": 1, "b": ["x", "z"]}),
        ("a: |\n  one\n  two\n", {"a": "one\ntwo\n"}),
    ],
)
def test_what_is_read(text: str, data: Any) -> None:
    """YAML 1.2's core, keys as they are written, anchors and merges, JSON with its escapes, BOM and CRLF."""
    assert parse(text) == data


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("a:\n  b: no", "different ways at line 2"),
        ("a: on", "different ways at line 1"),
        ("a: 010", "different ways at line 1"),
        ("a: 0x1F", "different ways"),
        ("a: 1_000", "different ways"),
        ("a: 12:30:45", "different ways"),
        ("a: .nan", "infinity or not a number"),
        ("a: 1e999", "too large"),
        ('{"a": NaN}', "too large"),
        ("a:\n\tb: 1", "at line 2"),
        ("a: 1\n---\nb: 2", "another begins at line 2"),
        ("a: !!python/object/apply:os.system [x]", "has a tag, as !name at line 1"),
        ("a: !secret x", "has a tag"),
        ("a: &a [*a]", "stands inside what it names at line 1"),
        ("a: *b", "an anchor that is not there"),
        ("? [a]\n: 1", "no plain name at line 1"),
        ("a: 1\nb: 1\na: 2", "a: stands twice in one mapping at line 3, and line 1"),
        ('{"a": 1, "a": 2}', "a: stands twice in one object"),
        ("a: {<<: 3}", "merges (<<) what is no mapping"),
        ("[" * 50, "at most 40 levels"),
        ('{"a":' * 50 + "1" + "}" * 50, "at most 40 levels"),
        ('{"a":' * 100_000, "no YAML"),
        ("a: 'b", "no YAML at line 1"),
        ("", "is empty"),
        ("\n# nothing\n", "is empty"),
        ("a: \x00", "NUL"),
        ("a: \x07", "characters that YAML does not allow"),
    ],
)
def test_what_is_refused(text: str, rule: str) -> None:
    """By its line, in words, and without the value."""
    with pytest.raises(Invalid) as refused:
        parse(text)
    assert rule in str(refused.value) or "at most 40 levels" in str(refused.value)


BOMBS = {
    "ten megabytes": "a: " + "x" * 10_000_000,
    "a billion laughs": "a: &a [x,x,x,x,x,x,x,x,x]\n"
    + "".join(f"{chr(98 + n)}: &{chr(98 + n)} [{','.join(['*' + chr(97 + n)] * 9)}]\n" for n in range(9)),
    "merged laughs": "a: &a {a1: 1, a2: 2}\n"
    + "".join(f"m{n}: &m{n} {{<<: [{', '.join(['*a'] * 500)}]}}\n" for n in range(400)),
    "many values": "[" + "a," * 400_000 + "a]",
    "many lines": "a:\n" + "  - x\n" * 300_000,
    "many objects": '{"a":[' + "{}," * 300_000 + "{}]}",
    "a chain of anchors": "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}]\n" for n in range(1, 1000)),
    "open brackets": "[" * 2_000_000,
    "question marks": "{" + "? " * 1_000_000,
}


MEASURED = {"a billion laughs", "merged laughs", "many objects", "open brackets"}
"""Those whose memory is measured, which takes five times as long; the others are of their kinds."""


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_are_refused_in_bounded_memory(name: str) -> None:
    """Each of them, before anything of their size is built: in less than 100 MB and, on a slow machine, a minute."""
    began = time.process_time()
    if name in MEASURED:
        tracemalloc.start()
    with pytest.raises(Invalid):
        parse(BOMBS[name])
    if name in MEASURED:
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert most < 100 * 1024**2
    assert time.process_time() - began < 60


def test_lines_are_known() -> None:
    """Of each key, and of what stands in a list the key's above."""
    found = parse("a:\n  b: 1\n  c:\n    - d: 2\n")

    assert isinstance(found, LinedMapping)
    assert [line_of(found, path) for path in ((), ("a",), ("a", "b"), ("a", "c", 0, "d"), ("a", "x"), ("z",))] == [
        None,
        1,
        2,
        4,
        1,
        None,
    ]


def test_without_pyyaml_json_is_read_and_yaml_names_the_cure() -> None:
    """The reader of YAML is of an extra."""
    done = python(
        "import sys; sys.modules['yaml'] = None\n"
        "from core.govern.documents.parsing import parse\n"
        "print(parse('{\"a\": 1}'))\n"
        "parse('a: 1')"
    )
    assert done.stdout == "{'a': 1}\n"
    assert "pip install 'llm-settings[cli]'" in done.stderr
