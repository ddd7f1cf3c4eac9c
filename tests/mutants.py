"""Mutation testing: each decision of a module is changed, one at a time, and its tests have to notice.

``make mutants ARGS=core/resolving`` (``.ci/nightly`` runs it over four wings) copies the tree and changes conditions,
bounds, orders and flags by cosmic-ray's operators. ``tests/mutant_runs.py`` runs, for each change, the tests of the wing that
reach the changed line. A survivor is printed, and is a failure unless ``tests/survivors.txt`` has it, with the reason why
no test has to tell the two apart.

What stays out: words (messages, names), types, decorators, and the value of a named constant, which tests use by its
name. Runs in ``.venv-mutants``; the tests in ``.venv``.
"""

import argparse
import ast
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, cast

import cosmic_ray.plugins
import parso
from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.operators.operator import Operator

ROOT = Path(__file__).parent.parent
REASONS = ROOT / "tests" / "survivors.txt"
COMPARISONS = [
    "Lt_LtE",
    "LtE_Lt",
    "Gt_GtE",
    "GtE_Gt",
    "Eq_NotEq",
    "NotEq_Eq",
    "Is_IsNot",
    "IsNot_Is",
    "Lt_GtE",
    "Gt_LtE",
]
DECISIONS = re.compile(
    rf"core/(ReplaceComparisonOperator_({'|'.join(COMPARISONS)})|ReplaceAndWithOr|ReplaceOrWithAnd|AddNot|NumberReplacer"
    r"|ReplaceTrueWithFalse|ReplaceFalseWithTrue|ReplaceBreakWithContinue|ReplaceContinueWithBreak|ZeroIterationForLoop"
    r"|ReplaceUnaryOperator_Delete_Not|ReplaceBinaryOperator_(Add_Sub|Sub_Add|Mul_Div|Div_Mul))$"
)
MORE_TESTS = {
    "core/access": ["tests/audit", "tests/web/test_middleware.py", "tests/ui/test_guard.py"],
    "core/calling": ["tests/test_ai.py", "tests/test_kinds.py"],
    "core/manage": ["tests/test_crypto.py", "tests/test_presets.py"],
    "core/resolving": ["tests/test_resolve.py", "tests/test_parameters.py", "tests/test_presets.py"],
    "web": ["tests/api/test_api.py"],
}
"""Tests of a wing besides its own folder."""
SEED = 14
"""Of a sample: the same changes are tried again."""


class SwapMinMax(Operator):
    """A limit lets through what it should hold, and holds what it should let through."""

    other = {"min": "max", "max": "min"}  # noqa: RUF012  # as cosmic-ray's own are written

    def mutation_positions(self, node: Any) -> Iterator[tuple[Any, Any]]:
        called = node.type == "name" and node.value in self.other and node.get_next_sibling() is not None
        if called and node.get_next_sibling().type == "trailer":
            yield node.start_pos, node.end_pos

    def mutate(self, node: Any, index: int) -> Any:
        del index
        node.value = self.other[node.value]
        return node

    @classmethod
    def examples(cls) -> tuple[()]:
        return ()


class SwapIn(Operator):
    """``in`` becomes ``not in``, and back."""

    def mutation_positions(self, node: Any) -> Iterator[tuple[Any, Any]]:
        if node.type == "comparison":
            for one in node.children[1::2]:
                if one.get_code().split() in (["in"], ["not", "in"]):
                    yield one.start_pos, one.end_pos

    def mutate(self, node: Any, index: int) -> Any:
        places = [n for n in range(1, len(node.children), 2) if node.children[n].get_code().split()[-1] == "in"]
        place = places[index]
        swapped = " not in" if node.children[place].get_code().split() == ["in"] else " in"
        node.children[place] = parso.parse(swapped)
        return node

    @classmethod
    def examples(cls) -> tuple[()]:
        return ()


class NegateFilter(Operator):
    """A comprehension keeps what it should leave out."""

    def mutation_positions(self, node: Any) -> Iterator[tuple[Any, Any]]:
        if node.type == "comp_if":
            yield node.children[1].start_pos, node.children[1].end_pos

    def mutate(self, node: Any, index: int) -> Any:
        del index
        node.children[1] = parso.parse(f" (not ({node.children[1].get_code()}))")
        return node

    @classmethod
    def examples(cls) -> tuple[()]:
        return ()


OURS = {one.__name__: one for one in (SwapMinMax, SwapIn, NegateFilter)}


class Mutant(NamedTuple):
    """One change, as people find it again: by the text of its line, as numbers move."""

    file: str
    line: str
    operator: str
    number: int
    source: str

    def __str__(self) -> str:
        return f"{self.file} | {self.line} -> {self.source.splitlines()[self.number - 1].strip()}"


def wing_of(module: str) -> str:
    """Return the folder of *module*: core/<wing>, or another package; of a module that stands alone, itself."""
    return "/".join(Path(module).parts[: 2 if module.startswith("core/") else 1])


def tests_of(wing: str) -> list[str]:
    """Return the tests that have to notice a change of *wing*: of these, those that reach the line are run."""
    own = own_test(wing) if wing.endswith(".py") else str(Path("tests", Path(wing).name))
    return ([own] if (ROOT / own).exists() else []) + MORE_TESTS.get(wing, [])


def own_test(module: str) -> str:
    """Return the file of tests that mirrors *module*, whether there is one or not."""
    path = Path(module.removeprefix("core/"))
    return str(Path("tests", path.parent, f"test_{path.stem}.py"))


def operators() -> dict[str, Operator]:
    """Return each operator that changes a decision, by name."""
    names = [name for name in cosmic_ray.plugins.operator_names() if DECISIONS.match(name)]
    theirs = {name.removeprefix("core/"): cosmic_ray.plugins.get_operator(name)() for name in names}
    return {**theirs, **{name: one() for name, one in OURS.items()}}


def left_out(source: str) -> tuple[set[int], set[int]]:
    """Return the lines of decorators, annotations and type checks; and those of the values of named constants."""
    words: set[int] = set()
    constants: set[int] = set()
    for node in ast.walk(ast.parse(source)):
        parts: list[ast.AST] = []
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            parts += node.decorator_list
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            parts.append(node)
        for part in parts:
            words |= set(range(part.lineno, (part.end_lineno or 0) + 1))  # type: ignore[attr-defined]
        if isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            if all(isinstance(t, ast.Name) and t.id.isupper() for t in targets):
                constants |= set(range(node.lineno, (node.end_lineno or 0) + 1))
    return words, constants


def mutants_of(module: str, tree: Path = ROOT) -> Iterator[Mutant]:
    """Yield each change of a decision of *module*, as it stands in *tree*."""
    source = (tree / module).read_text(encoding="utf-8")
    lines = source.splitlines()
    words, constants = left_out(source)
    nodes = list(ast_nodes(get_ast(source)))
    for name, operator in operators().items():
        positions = [(start, node) for node in nodes for start, _ in operator.mutation_positions(node)]
        for occurrence, ((number, _), node) in enumerate(positions):
            if number in words or (name == "NumberReplacer" and number in constants):
                continue
            if "Binary" in name and node.parent.type not in {"arith_expr", "term"}:  # the * of a signature
                continue
            changed = cast("str", mutate_code(source, operator, occurrence))
            try:
                ast.parse(changed)
            except SyntaxError:  # as of `if not name := value`
                continue
            yield Mutant(module, lines[number - 1].strip(), name, number, changed)


class Runs:
    """The process that runs tests on changes, over a copy of the tree."""

    def __init__(self, tree: Path) -> None:
        command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        self.tree = tree
        listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
        for name in filter(None, listed.split("\0")):
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, tree / name)
        environment = {**os.environ, "PYTHONPATH": str(tree)}
        self._process = subprocess.Popen(
            [ROOT / ".venv" / "bin" / "python", tree / "tests" / "mutant_runs.py"],
            cwd=tree,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, **question: object) -> dict[str, Any]:
        """Return the answer to one question; see tests/mutant_runs.py."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin
        assert stdout
        stdin.write(json.dumps(question) + "\n")
        stdin.flush()
        answer = stdout.readline()
        if not answer:
            sys.exit("The runs ended: see above.")
        return cast("dict[str, Any]", json.loads(answer))

    def close(self) -> None:
        """End the process and its server."""
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait(60)


def excused() -> dict[str, str]:
    """Return the survivors that are known, each with its reason."""
    lines = REASONS.read_text(encoding="utf-8").splitlines()
    rows = [line.rsplit(" # ", 1) for line in lines if line and not line.startswith("#")]
    return {row[0].strip(): row[1].strip() for row in rows}


def share(text: str) -> tuple[int, int]:
    """Return *text*, such as 2/7, as two numbers."""
    part, _, parts = text.partition("/")
    return int(part), int(parts)


def main() -> int:
    """Try the modules that the command line names; return 1 if a survivor has no reason."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("modules", nargs="+", help="files or folders")
    parser.add_argument(
        "--most", type=int, default=10_000, help=f"changes of one module at most: a sample (seed {SEED})"
    )
    parser.add_argument(
        "--others", type=float, default=30, help="seconds at most that tests of other files may take for one change"
    )
    parser.add_argument("--part", type=share, default=(1, 1), help="2/7: of the changes, the second of each seven")
    given = parser.parse_args()
    modules = [
        str(path.relative_to(ROOT))
        for name in given.modules
        for path in (sorted((ROOT / name).rglob("*.py")) if (ROOT / name).is_dir() else [ROOT / name])
        if path.name != "__init__.py"
    ]
    wings: dict[str, list[str]] = {}
    for module in modules:
        wings.setdefault(wing_of(module), []).append(module)
    known, unknown = excused(), 0
    with tempfile.TemporaryDirectory(prefix="mutants") as folder:
        runs = Runs(Path(folder, "tree"))
        for wing, rooms in wings.items():
            if not (tests := tests_of(wing)):
                sys.exit(f"No tests of {wing}: tests/mutants.py looks for its folder, or for a row in MORE_TESTS.")
            own = {module: own_test(module) for module in rooms}
            begun = runs.ask(do="begin", tests=tests, modules=own, others=given.others)
            write(
                f"{wing}: {begun['tests']} tests in {begun['seconds']:.0f} s; failing as it is: {begun['left_out'] or 'none'}"
            )
            for module in rooms:
                unknown += try_room(runs, module, known, given.most, given.part)
        runs.close()
    return 1 if unknown else 0


def try_room(runs: Runs, module: str, known: dict[str, str], most: int, part: tuple[int, int]) -> int:
    """Try the changes of *module*, print what survived, and return how many of these have no reason."""
    changes = list(mutants_of(module, runs.tree))  # not what was edited meanwhile
    whole = len(changes)
    possible = {str(one) for one in changes}
    gone = [row for row in known if row.startswith(f"{module} | ") and row not in possible]
    for row in gone:
        write(f"NO SUCH CHANGE: {row}")
    changes = changes[part[0] - 1 :: part[1]]
    if len(changes) > most:
        changes = random.Random(SEED).sample(changes, most)
    begun, survived, unknown = time.monotonic(), 0, len(gone)
    failing: list[str] = []
    for one in changes:
        answer = runs.ask(do="try", module=module, line=one.number, source=one.source)
        failing = answer["left_out"]
        if answer["noticed"]:
            continue
        survived += 1
        reason = known.get(str(one))
        unknown += reason is None
        write(f"{'known' if reason else 'SURVIVED'}: {one}  [{one.number} {one.operator}; {answer['why']}]")
    took = time.monotonic() - begun
    write(f"{module}: {len(changes)} of {whole} changes tried in {took:.0f} s, {survived} survived, {unknown} unknown")
    for test in failing:
        write(f"Not asked, as it fails without any change, in a fork or alone: {test}")
    return unknown


def write(line: str) -> None:
    """Print *line* at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
