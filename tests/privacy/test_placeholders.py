"""Placeholders: what stands for what, and the way back."""

import base64
import copy
import json
import pickle
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.privacy.placeholders import DEEPEST, Placeholders, Restoring, Unsearchable
from core.privacy.spans import PersonalSpan

ANNA, BOB = "anna@example.com", "bob@example.org"


def test_numbers_by_first_appearance() -> None:
    masked = Placeholders().mask(
        [
            {"role": "system", "content": f"You write for {ANNA}."},
            {
                "role": "user",
                "content": [{"type": "text", "text": f"{BOB} to ANNA@Example.com, DE12 5001 0517 0648 4898 90"}],
            },
            {"role": "user", "content": "and DE12500105170648489890", "n": 3, "ok": None},
        ]
    )
    assert masked == [
        {"role": "system", "content": "You write for <EMAIL_1>."},
        {"role": "user", "content": [{"type": "text", "text": "<EMAIL_2> to <EMAIL_1>, <IBAN_1>"}]},
        {"role": "user", "content": "and <IBAN_1>", "n": 3, "ok": None},
    ]


def test_a_conversation_that_goes_on_keeps_its_numbers() -> None:
    first = [{"role": "user", "content": f"I am {ANNA}"}]
    longer = [*first, {"role": "assistant", "content": "Hello"}, {"role": "user", "content": f"write to {BOB}"}]
    assert Placeholders().mask(longer)[0] == Placeholders().mask(first)[0]


def test_a_placeholder_that_is_there_already_is_never_given_out() -> None:
    placeholders = Placeholders()
    masked = placeholders.mask([f"{ANNA} and {BOB}", "<EMAIL_2> <EMAIL_1>"])
    assert masked == ["<EMAIL_3> and <EMAIL_4>", "<EMAIL_2> <EMAIL_1>"]
    assert placeholders.restore("<EMAIL_1> <EMAIL_3>") == f"<EMAIL_1> {ANNA}"


def test_what_is_masked_is_left_as_it_was() -> None:
    messages = [{"role": "user", "content": [f"{ANNA}"], "t": (ANNA,), "s": {ANNA}}]
    before = copy.deepcopy(messages)
    masked = Placeholders().mask(messages)
    assert messages == before
    assert masked == [{"role": "user", "content": ["<EMAIL_1>"], "t": ("<EMAIL_1>",), "s": {"<EMAIL_1>"}}]


def test_restored_in_json() -> None:
    placeholders = Placeholders(lambda text: [PersonalSpan(0, len(text), "CODE_NAME")])
    assert placeholders.mask('say "x\\y"') == "<CODE_NAME_1>"
    restored = placeholders.restore('{"a": "<CODE_NAME_1>"}', in_json=True)
    assert json.loads(restored) == {"a": 'say "x\\y"'}


def test_files_are_not_read() -> None:
    image = "data:image/png;base64," + "iVBORw0KGgoAAAANSUhEUg" * 100
    assert Placeholders(lambda _: pytest.fail("it is read")).mask({"url": image}) == {"url": image}


ANSWER = "Dear <EMAIL_2>, <EMAIL_1>< <EMAIL_3> <EMAIL_12> <<EMAIL_1>> a<b <IBAN_1>"


def test_a_stream_is_restored_wherever_it_is_cut() -> None:
    placeholders = Placeholders()
    placeholders.mask([f"{ANNA} {BOB} DE12 5001 0517 0648 4898 90"])
    whole = placeholders.restore(ANSWER)
    assert whole.count(ANNA) == 2
    for first in range(len(ANSWER) + 1):
        for second in range(first, len(ANSWER) + 1):
            restoring = Restoring(placeholders)
            parts = [restoring.feed(part) for part in (ANSWER[:first], ANSWER[first:second], ANSWER[second:])]
            assert "".join((*parts, restoring.end())) == whole, (first, second)


def test_only_what_may_be_a_known_placeholder_is_held_back() -> None:
    placeholders = Placeholders()
    placeholders.mask([ANNA])
    restoring = Restoring(placeholders)
    assert restoring.feed("a < b <EM") == "a < b "
    assert restoring.feed("X") == "<EMX"
    assert restoring.feed("<EMAIL_1") == ""
    assert restoring.end() == "<EMAIL_1"


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ('{"card": 4111111111111111}', '{"card": "<CARD_1>"}'),
        ('{"a": "4111111111111111, b", "c":\n[4111111111111111,1]}', '{"a": "<CARD_1>, b", "c":\n["<CARD_1>",1]}'),
        ('{"a": "\\\\n\\"", "b": 4111111111111111}', '{"a": "\\\\n\\"", "b": "<CARD_1>"}'),
        ("[4111111111111111", "[<CARD_1>"),
        ("4111111111111111", "<CARD_1>"),
    ],
)
def test_what_was_json_is_json(text: str, masked: str) -> None:
    """In the place of a number stands a text."""
    assert Placeholders().mask(text) == masked


def test_whole_numbers_are_searched_where_that_is_asked_for() -> None:
    value = {"a": {"input": [4111111111111111, 7, True]}, "seed": 4111111111111111}
    assert Placeholders().mask(value, numbers=("a",)) == {
        "a": {"input": ["<CARD_1>", 7, True]},
        "seed": 4111111111111111,
    }
    assert Placeholders().mask(value) == value


FILE = base64.b64encode(bytes(range(256)) * 8).decode()


@pytest.mark.parametrize(
    ("text", "is_read"),
    [
        (FILE, False),
        (f"data:image/png;base64,{FILE}", False),
        (base64.urlsafe_b64encode(bytes(range(256)) * 8).decode(), False),
        (base64.encodebytes(bytes(range(256)) * 8).decode(), False),
        ("\r\n".join(FILE[at : at + 64] for at in range(0, len(FILE), 64)), False),
        ("4111111111111111\n" * 70, True),
        ("4111-1111-1111-1111\r\n" * 70, True),
        ("Anna\n4111111111111111\n" * 60, True),
        ("4111111111111111-" * 70, True),
        ("Anna_4111111111111111_" * 60, True),
        (f"{FILE[:1200]}\n4111111111111111", True),
    ],
)
def test_a_file_is_told_from_a_column_of_numbers(text: str, *, is_read: bool) -> None:
    read: list[str] = []
    Placeholders(lambda said: read.append(said) or ()).mask(text)  # type: ignore[func-returns-value]  # it returns ()
    assert bool(read) == is_read


def test_nothing_tells_what_it_stands_for() -> None:
    placeholders = Placeholders()
    placeholders.mask([ANNA, "4111 1111 1111 1111"])
    assert repr(placeholders) == "<1 CARD, 1 EMAIL>"
    with pytest.raises(TypeError):
        pickle.dumps(placeholders)
    with pytest.raises(TypeError):
        vars(placeholders)


@pytest.mark.parametrize(
    "spans",
    [
        [(0, 3, "A"), (2, 4, "A")],
        [(-1, 3, "A")],
        [(0, 99, "A")],
        [(3, 3, "A")],
        [(0, 3, "a<b")],
        [(0, 3)],
        [("x", 3, "A")],
        None,
        7,
    ],
)
def test_an_engine_that_finds_what_is_none_fails_closed(spans: Any) -> None:
    with pytest.raises(Unsearchable):
        Placeholders(lambda _: spans).mask(["my secret text"])


def test_an_engine_that_raises_says_nothing_of_the_text() -> None:
    def engine(text: str) -> list[PersonalSpan]:
        raise ValueError(f"cannot parse {text}")

    with pytest.raises(Unsearchable) as caught:
        Placeholders(engine).mask([f"I am {ANNA}"])
    assert str(caught.value) == "ValueError"
    assert (caught.value.__cause__, caught.value.__context__) == (None, None)


def test_too_deep_is_refused() -> None:
    nested = ANNA
    for _ in range(DEEPEST + 2):
        nested = [nested]
    with pytest.raises(Unsearchable):
        Placeholders().mask(nested)


@given(st.lists(st.text(alphabet="<>_EMAIL1234567890ab@. ", max_size=40), max_size=5))
@settings(deadline=None)
def test_what_is_masked_comes_back(texts: list[str]) -> None:
    placeholders = Placeholders()
    assert [placeholders.restore(text) for text in placeholders.mask(texts)] == texts
