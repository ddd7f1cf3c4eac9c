"""What the docs point to is there: files, links, wings."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.conftest import ROOT

LINK = re.compile(r"\]\((?!\w+:)([^)#\s]+)?(?:#([^)\s]+))?\)")
PLACE = re.compile(r"`((?:core|ui|web|api|pages|tests|migrations|docs)/[\w./-]*)`")


def pages() -> list[Path]:
    """The Markdown files of the repository."""
    listed = subprocess.run(["git", "ls-files", "*.md"], cwd=ROOT, capture_output=True, text=True, check=True)
    return [ROOT / name for name in listed.stdout.split()]


def anchors(page: Path) -> set[str]:
    """The names that a heading can be linked by, as the usual viewers make them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    """A link to a file, or to a heading in one, finds it."""
    lost = []
    for name, anchor in LINK.findall(page.read_text(encoding="utf-8")):
        target = (page.parent / name) if name else page
        if not target.exists() or (anchor and target.suffix == ".md" and anchor not in anchors(target)):
            lost.append(f"{name}#{anchor}")

    assert lost == []


@pytest.mark.parametrize("name", ["docs/architecture.md", "docs/mechanisms.md", "CONTRIBUTING.md"])
def test_places_exist(name: str) -> None:
    """A file or folder of the code that is named where a maintainer reads is there."""
    places = set(PLACE.findall((ROOT / name).read_text(encoding="utf-8")))

    assert {place for place in places if not re.search("NNNN|NAME", place) and not (ROOT / place).exists()} == set()


def test_every_wing_is_described() -> None:
    """The house's table has every folder of core, and every folder beside it."""
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    wings = [f"core/{path.parent.name}/" for path in (ROOT / "core").glob("*/__init__.py")]

    assert [wing for wing in [*wings, "pages/", "ui/", "web/", "api/"] if f"`{wing}`" not in text] == []
