"""Mutation testing: each decision of a module is changed, one at a time, and its tests have to notice.

``make mutants ARGS=core/resolving`` (``.ci/nightly`` runs it over four wings) copies the tree and changes conditions,
bounds, orders and flags by cosmic-ray's operators. ``tests/mutant_runs.py`` runs, for each change, the module's tests that
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
    "core/resolving/effective.py": ["tests/resolving/test_snapshot.py", "tests/resolving/test_words.py"],
    "core/access/authority.py": ["tests/access", "tests/audit"],
    "core/access/sessions.py": ["tests/web/test_middleware.py"],
    "core/access/sign_in.py": ["tests/ui/test_guard.py"],
    **{
        key: ["tests/calling/test_answers.py", "tests/calling/test_messages.py"]
        for key in (
            "core/calling/answers.py",
            "core/calling/vendors.py",
            *(f"core/calling/adapters/{n}.py" for n in ("openai", "anthropic", "google")),
        )
    },
    "core/calling/attempt.py": ["tests/calling/test_streams.py"],
    "core/calling/clients.py": ["tests/calling/test_call.py"],
    "core/calling/log_rows.py": ["tests/calling/test_log_writer.py", "tests/calling/test_log_refusals.py"],
    "core/calling/lookup.py": ["tests/calling/test_call.py", "tests/calling/test_dial.py"],
    "core/calling/pricing.py": ["tests/test_ai.py"],
    "core/calling/request.py": ["tests/calling/test_sent.py", "tests/calling/test_whole_calls.py"],
    "core/calling/structured.py": ["tests/calling/test_messages.py"],
}
"""Tests of a module besides its own file, tests/<wing>/test_<module>.py."""
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
        return f"{self.file} | {self.operator} | {self.line}"


def tests_of(module: str) -> list[str]:
    """Return the tests that have to notice a change of *module*: of these, those that reach the line are run."""
    path = Path(module)
    own = Path("tests", *path.parts[1:-1], f"test_{path.stem}.py")
    found = [str(own)] if (ROOT / own).exists() else []
    return found + MORE_TESTS.get(module, [])


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


def main() -> int:
    """Try the modules that the command line names; return 1 if a survivor has no reason."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("modules", nargs="+", help="files or folders of core")
    parser.add_argument(
        "--most", type=int, default=10_000, help=f"changes of one module at most: a sample (seed {SEED})"
    )
    given = parser.parse_args()
    modules = [
        str(path.relative_to(ROOT))
        for name in given.modules
        for path in sorted((ROOT / name).rglob("*.py") if (ROOT / name).is_dir() else [ROOT / name])
        if path.name != "__init__.py"
    ]
    known, unknown = excused(), 0
    with tempfile.TemporaryDirectory(prefix="mutants") as folder:
        runs = Runs(Path(folder, "tree"))
        for module in modules:
            if not (tests := tests_of(module)):
                sys.exit(f"No test of {module}: tests/mutants.py looks for its own file, or for a row in MORE_TESTS.")
            begun = runs.ask(do="begin", tests=tests, modules=[module])
            changes = list(mutants_of(module, runs.tree))  # not what was edited meanwhile
            whole = len(changes)
            if whole > given.most:
                changes = random.Random(SEED).sample(changes, given.most)
            sys.stdout.write(
                f"{module}: {begun['tests']} tests in {begun['seconds']:.0f} s, left out {begun['left_out']}\n"
            )
            survived = 0
            for one in changes:
                answer = runs.ask(do="try", module=module, line=one.number, source=one.source)
                if answer["noticed"]:
                    continue
                survived += 1
                reason = known.get(str(one))
                unknown += reason is None
                sys.stdout.write(f"{'known' if reason else 'SURVIVED'}: {one}  [{one.number}; {answer['why']}]\n")
                sys.stdout.flush()
            sys.stdout.write(f"{module}: {len(changes)} of {whole} changes tried, {survived} survived\n")
            sys.stdout.flush()
        runs.close()
    return 1 if unknown else 0


if __name__ == "__main__":
    sys.exit(main())
