"""A name says one thing: no two modules of core call different types alike."""

import ast
from collections import defaultdict
from pathlib import Path

from tests.conftest import ROOT

ALIKE = {"Talk"}
"""What adapters of one protocol each have of their own."""


def types(path: Path) -> set[str]:
    """Classes and aliases of a module, by the form of their names."""
    names = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        match node:
            case ast.ClassDef(name=name):
                names.add(name)
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                names.add(name)
    return {name for name in names if name[0].isupper() and (len(name) == 1 or not name.isupper())}


def test_a_type_has_a_name_of_its_own() -> None:
    """Who reads `State` or `Row` knows which; a type variable is one letter, and anybody's."""
    where = defaultdict(list)
    for path in sorted((ROOT / "core").rglob("*.py")):
        for name in types(path):
            where[name].append(str(path.relative_to(ROOT)))

    assert len(where) > 200
    assert {
        name: paths for name, paths in where.items() if len(paths) > 1 and len(name) > 1 and name not in ALIKE
    } == {}
