"""What a page shows of a text: as it is, and in a cell of a table so that it fits."""

import pytest

from ui.feedback import plain_cell


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("x" * 50, ["x" * 24, "x" * 24, "xx"]),
        (
            "https://github.com/OpenHands/OpenHands/issues/1",
            ["https://github.com/", "OpenHands/", "OpenHands/", "issues/", "1"],
        ),
        ("openai/gpt", ["openai/gpt"]),
    ],
    ids=["word", "URL", "model"],
)
def test_cell_breaks_where_it_may(text: str, parts: list[str]) -> None:
    """A word that is too long may break after 24 characters, a URL after its slashes first."""
    shown = plain_cell(text).replace("\\", "").replace("\u2060", "")
    assert shown.split("\u200b") == parts
