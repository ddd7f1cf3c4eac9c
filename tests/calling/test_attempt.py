"""How long a wait of an attempt may take, and what is kept of its answer; nothing here waits."""

import contextlib
import time

import pytest

from core.calling import attempt
from core.calling.attempt import HEAD, Attempt

NEVER = float("inf")


def about(seconds: float) -> object:
    """So many seconds from now, less what the test takes."""
    return pytest.approx(seconds, abs=1.5) if seconds != NEVER else NEVER


@pytest.mark.parametrize(
    ("whole", "silence", "left"),
    [(None, None, NEVER), (100, None, 100), (-5, None, -5), (None, 50, 50), (100, 50, 50), (20, 50, 20), (-5, 50, -5)],
)
def test_the_shorter_of_the_whole_and_the_silence(whole: float | None, silence: float | None, left: float) -> None:
    """A wait ends with the whole, and in a stream after the silence; going on begins both anew."""
    one = Attempt(whole, silence)
    assert one.left() == about(left)

    one.go_on(10)
    assert one.left() == about(min(10, silence or NEVER))
    one.go_on(None)
    assert one.left() == about(silence or NEVER)


@pytest.mark.parametrize(
    ("part", "whole", "left"),
    [(b"a line\n", None, 50), (b"\n", 1000, 50), (b"\nhalf", 20, 20), (b"no line", None, -1), (b"", None, -1)],
)
def test_a_line_ends_the_silence_and_nothing_else_does(part: bytes, whole: float | None, left: float) -> None:
    """With a line the silence begins anew, within the whole."""
    one = Attempt(whole, silence=50)
    one._ends = time.monotonic() - 1  # as after a long silence
    one.saw(part)

    assert one.left() == about(left)


def test_no_line_prolongs_what_is_no_stream() -> None:
    """The time of a whole answer is for all of it."""
    one = Attempt(20)
    one.saw(b"a\nb\n")

    assert one.left() == about(20)


@pytest.mark.parametrize("sizes", [[HEAD], [HEAD + 1], [HEAD - 1, 2], [1, HEAD, 5], [HEAD - 1], []])
@pytest.mark.parametrize("silence", [None, 5])
def test_the_beginning_is_kept(sizes: list[int], silence: float | None) -> None:
    """So many bytes, however they come; in their order."""
    one = Attempt(None, silence)
    whole = b"".join(bytes([65 + number]) * size for number, size in enumerate(sizes))
    for number, size in enumerate(sizes):
        one.saw(bytes([65 + number]) * size)

    assert one.head == whole[:HEAD]


@pytest.mark.parametrize(
    ("parts", "done"),
    [
        ([b"data: [DONE]\n"], True),
        ([b"data:[DONE]"], True),
        ([b"x\n\n", b"data: [DO", b"NE]"], True),
        ([*(bytes([one]) for one in b"\ndata: [DONE]")], True),
        ([b"data: [DONE]\n", b"data: more than sixteen bytes\n"], True),
        ([b"my data: [DONE]"], False),
        ([b'data: {"text": "data: [DONE]"}\n'], False),
        ([b"data: {}\n"], False),
        ([b"x", b"data: [DONE]"], False),
    ],
)
def test_the_mark_of_the_end(parts: list[bytes], done: bool) -> None:
    """A line of its own, however it is cut; once it has come it has come. What is no stream has none."""
    stream, whole = Attempt(None, silence=5), Attempt(None)
    for part in parts:
        stream.saw(part)
        whole.saw(part)

    assert (stream.done, whole.done) == (done, False)


def test_requests_in_the_block_are_of_the_attempt() -> None:
    """Inside it is the current one, outside it is not, also after an error; blocks may be nested."""
    outer, inner = Attempt(1), Attempt(2)
    with outer.in_force():
        with contextlib.suppress(ZeroDivisionError), inner.in_force():
            assert attempt.current() is inner
            raise ZeroDivisionError
        assert attempt.current() is outer
        assert not outer.left_the_machine

    assert attempt.current() is None
