"""The snippets of docs/calls.md and docs/from-litellm.md run as they stand."""

import re

import pytest

from tests.calls import logged
from tests.conftest import ROOT
from tests.processes import program, python
from tests.vendors import TEXT, Vendor

pytest_plugins = ["tests.calls"]


def snippets(name: str) -> list[tuple[str, str]]:
    """The heading and the text of each of our snippets in a page; LiteLLM's are marked ``py``."""
    found, heading = [], ""
    for title, snippet in re.findall(
        r"^## (.*?)$|^```python\n(.*?)^```",
        (ROOT / "docs" / name).read_text(encoding="utf-8"),
        re.MULTILINE | re.DOTALL,
    ):
        heading = title or heading
        if snippet:
            found.append((heading, snippet))
    return found


ALL = [
    (f"{name}, {heading}", snippet) for name in ("calls.md", "from-litellm.md") for heading, snippet in snippets(name)
]
CALL = re.compile(r"\b(?:complete|stream|embed)(?:_async)?\(")


@pytest.mark.kill  # each is a process that calls
@pytest.mark.parametrize("snippet", [snippet for _, snippet in ALL], ids=[heading for heading, _ in ALL])
def test_snippet(store: str, vendor: Vendor, snippet: str) -> None:
    """It runs without a word on stderr; each call in it is answered, and is a row of the log."""
    vendor.models += re.findall(r'model="([^"]+)"', snippet)

    ended = (python if snippet == ALL[0][1] else program)(snippet, DATABASE_URL=store, LLM_PRIVATE_HOSTS="127.0.0.1")

    assert (ended.returncode, ended.stderr) == (0, "")
    calls = 0 if "override(" in snippet else len(CALL.findall(snippet))
    assert len(vendor.calls()) == calls
    assert len(logged(store)) == calls + snippet.count("logs.record(")
    assert ended.stdout.count(TEXT) == snippet.count(".text)") + snippet.count("print(text")


def test_a_snippet_for_each_capability() -> None:
    """What the test above rests on: each capability has a heading with a snippet, and LiteLLM's stand beside ours."""
    headings = {heading for heading, _ in snippets("calls.md")}
    assert headings >= {
        *("Install", "Call", "One call otherwise", "Tools", "Images, files, cache control", "An object as the answer"),
        *("Embeddings", "When a provider is down", "Connections", "The log", "In unit tests"),
    }
    page = (ROOT / "docs" / "from-litellm.md").read_text(encoding="utf-8")
    sections = page.split("\n## ")[1:-1]  # the last one is what there is not
    assert {(part.count("```py\n"), part.count("```python\n")) for part in sections} == {(1, 1)}
    assert len(snippets("from-litellm.md")) == len(sections)
