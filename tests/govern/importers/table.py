"""The table of docs/migrating.md: what the importers make of the sample files. ``python -m tests.govern.importers.table`` writes it anew."""

from collections import Counter
from pathlib import Path

from core.govern.importers.losses import Imported
from core.govern.importers.products import PRODUCTS
from tests.govern.importers import samples

PAGE = Path(__file__).parents[3] / "docs" / "migrating.md"
HEADING = "## Files of other products\n"

INTRODUCTION = (
    "What the importers make of files that people have: found in public repositories, with names, hosts and keys changed, and\n"
    "shortened. Three were written by the products' documentation, as nobody publishes theirs: `open-webui-api.json`,\n"
    "`langfuse-connections.json` and `services.env`. They are the inputs of a test, which applies each to an empty store.\n\n"
)


def _said(found: Imported, kind: str) -> str:
    """The reasons of one kind, the most frequent first, with how many of each."""
    whys = Counter(loss.why.replace("|", "\\|") for loss in found.losses if loss.kind == kind)
    return "; ".join(f"{why} ({number})" if number > 1 else why for why, number in whys.most_common()) or "nothing"


def listing() -> str:
    """The last part of the page."""
    lines = [
        INTRODUCTION,
        "| file | taken over; how much else | lost | said otherwise | to do |\n|---|---|---|---|---|\n",
    ]
    for name, product in samples.FILES.items():
        found = samples.imported(name)
        cells = [f"`{name}` ({PRODUCTS[product].label})", found.summary]
        lines.append(
            f"| {' | '.join(cells + [_said(found, kind) for kind in ('lost', 'said otherwise', 'to do')])} |\n"
        )
    return "".join(lines)


def renewed(page: str) -> str:
    """The page with its last part as it should be."""
    return f"{page.partition(HEADING)[0]}{HEADING}\n{listing()}"


if __name__ == "__main__":
    PAGE.write_text(renewed(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
