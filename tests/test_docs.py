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


def test_decisions_are_numbered_and_dated() -> None:
    """Each has a number of its own, without gaps, and a date; the list of them is that of the files."""
    folder, rows = ROOT / "docs" / "decisions", []
    for path in folder.glob("*.md"):
        if path.name != "README.md":
            head = re.match(r"# (\d+)\. (.+)\n\nDecided on (\d{4}-\d\d-\d\d)\.\n", path.read_text(encoding="utf-8"))
            assert head, f"{path.name} begins with '# NUMBER. Title' and 'Decided on YYYY-MM-DD.'"
            rows.append((int(head[1]), f"| {head[1]} | [{head[2]}]({path.name}) | {head[3]} |"))

    assert [number for number, _ in sorted(rows)] == list(range(1, len(rows) + 1))
    listed = (folder / "README.md").read_text(encoding="utf-8")
    assert [line for line in listed.splitlines() if re.match(r"\| \d", line)] == [line for _, line in sorted(rows)]


def test_every_long_form_is_named_and_run_by_night() -> None:
    """What has a short form and a long one: its variable is in CONTRIBUTING's table, `.ci/nightly` sets it, and runs the file that reads it."""
    night = (ROOT / ".ci" / "nightly").read_text(encoding="utf-8")
    table = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    found, words = {}, re.split(r'[\s"]', night)
    for path in (ROOT / "tests").rglob("test_*.py"):
        code = path.read_text(encoding="utf-8")
        for name, short in re.findall(r'environ\.get\("(LLM_TEST_\w+)", "([\d.]+)"\)', code):
            found[str(path.relative_to(ROOT)), name] = float(short)
            row = re.search(rf"\| `{name}` \|[^|]+\| ([\d.,]+) \| ([\d.,]+) \|", table)
            assert row, f"{name} of {path.name} has a row in CONTRIBUTING.md"
            long = row[2].replace(",", "")
            assert (float(row[1].replace(",", "")), f"{name}={long}" in night) == (float(short), True), name
            by_mark, folders = "mark.kill" in code, [str(each.relative_to(ROOT)) for each in (path, path.parent)]
            assert by_mark or any(each in words for each in folders), path.name

    assert len({name for _, name in found}) > 7
