"""A sample of code shows what it is given, letter for letter."""

import json
import re
from html import unescape

from hypothesis import given
from hypothesis import strategies as st

from ui.samples import colored

_PARTS = st.sampled_from(
    ['"', "\\", "<script>", "&amp;", "from", "import ", "-1.5e3", "true", ": ", "'", "\n", "é", "null"]
)


@given(st.lists(_PARTS | st.text(max_size=5), max_size=12).map("".join))
def test_every_text_is_shown_as_it_is(text: str) -> None:
    """Whatever has a colour: without its tags it is the text, and the only tags are the colours'."""
    html = colored(text)
    tags = re.findall(r"<[^>]*>", html)
    assert unescape(re.sub(r"<[^>]*>", "", html)) == text
    assert all(re.fullmatch(r'</span>|<span class="[a-z]+">', tag) for tag in tags)


def test_names_strings_and_numbers_of_json_differ() -> None:
    """Each has a class of its own, also where a text holds a quotation mark."""
    html = colored(json.dumps({"stop": ['a "b"'], "top_p": -0.5, "stream": True}))
    found = [(kind, unescape(text)) for kind, text in re.findall(r'<span class="([a-z]+)">(.*?)</span>', html)]
    assert found == [
        ("property", '"stop"'),
        ("string", '"a \\"b\\""'),
        ("property", '"top_p"'),
        ("number", "-0.5"),
        ("property", '"stream"'),
        ("boolean", "true"),
    ]
