"""Mutation testing: each decision of a module is changed, one at a time, and its tests have to notice.

``make mutants ARGS=core/resolving`` (``.ci/nightly`` runs it over four wings) copies the tree, changes
conditions, bounds, orders and flags by cosmic-ray, and runs the module's tests on each change. A survivor is printed, and is
a failure unless ``tests/survivors.txt`` has it, with the reason why no test has to tell the two apart.

What stays out: words (messages, names) and types. Runs in ``.venv-mutants``; the tests in ``.venv``.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from cosmic_ray.work_db import WorkDB, use_db
from cosmic_ray.work_item import WorkerOutcome, WorkResult

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
    "In_NotIn",
    "NotIn_In",
    "Lt_GtE",
    "Gt_LtE",
]
DECISIONS = re.compile(
    rf"core/(ReplaceComparisonOperator_({'|'.join(COMPARISONS)})|ReplaceAndWithOr|ReplaceOrWithAnd|AddNot|NumberReplacer"
    r"|ReplaceTrueWithFalse|ReplaceFalseWithTrue|ReplaceBreakWithContinue|ReplaceContinueWithBreak|ZeroIterationForLoop"
    r"|ReplaceUnaryOperator_Delete_Not|ReplaceBinaryOperator_(Add_Sub|Sub_Add|Mul_Div|Div_Mul))$"
)
MORE_TESTS = {
    "core/resolving/effective.py": ["tests/resolving/test_snapshot.py"],
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
    "core/calling/lookup.py": ["tests/calling/test_call.py", "tests/calling/test_dial.py"],
    "core/calling/pricing.py": ["tests/test_ai.py"],
    "core/calling/request.py": ["tests/calling/test_sent.py", "tests/calling/test_whole_calls.py"],
    "core/calling/structured.py": ["tests/calling/test_messages.py"],
}
"""Tests of a module besides its own file, tests/<wing>/test_<module>.py."""
TIMEOUT = 120
"""Seconds of one run; a change that makes the tests hang is noticed by that."""


class Mutant(NamedTuple):
    """One change, as people find it again: by the text of its line, as numbers move."""

    file: str
    line: str
    operator: str

    def __str__(self) -> str:
        return f"{self.file} | {self.operator} | {self.line}"


def tests_of(module: str) -> list[str]:
    """Return the tests that have to notice a change of *module*."""
    path = Path(module)
    own = Path("tests", *path.parts[1:-1], f"test_{path.stem}.py")
    found = [str(own)] if (ROOT / own).exists() else []
    return found + MORE_TESTS.get(module, [])


def survivors(module: str, most: int) -> Iterator[Mutant]:
    """Yield each change of *module* that its tests do not notice; of more than *most* changes an even sample is tried."""
    tests = tests_of(module)
    if not tests:
        sys.exit(f"No test of {module}: tests/mutants.py looks for its own file, or for a row in MORE_TESTS.")
    with tempfile.TemporaryDirectory(prefix="mutants") as folder:
        tree, session = Path(folder, "tree"), Path(folder, "session.sqlite")
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
        for name in filter(None, listed.split("\0")):
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, tree / name)
        command = (
            f"{ROOT / '.venv' / 'bin' / 'python'} -m pytest -n 0 -x -q -m 'not browser and not kill' {' '.join(tests)}"
        )
        config = Path(folder, "config.toml")
        config.write_text(
            f'[cosmic-ray]\nmodule-path = "{module}"\ntimeout = {TIMEOUT}\nexcluded-modules = []\n'
            f'test-command = "{command}"\n[cosmic-ray.distributor]\nname = "local"\n',
            encoding="utf-8",
        )
        environment = {**os.environ, "PYTHONPATH": str(tree)}

        def run(*arguments: str) -> str:
            script = [sys.executable, "-m", "cosmic_ray.cli", *arguments]
            return subprocess.run(script, cwd=tree, env=environment, capture_output=True, text=True, check=True).stdout

        run("baseline", str(config))
        run("init", str(config), str(session))
        _keep_decisions(session, most)
        run("exec", str(config), str(session))
        source = (ROOT / module).read_text(encoding="utf-8").splitlines()
        for row in run("dump", str(session)).splitlines():
            item, result = json.loads(row)
            if result and result["test_outcome"] == "survived":
                (change,) = item["mutations"]
                line = source[change["start_pos"][0] - 1].strip()
                yield Mutant(module, line, change["operator_name"].removeprefix("core/"))


def _keep_decisions(session: Path, most: int) -> None:
    with use_db(str(session), WorkDB.Mode.open) as work:
        pending = list(work.pending_work_items)
        wanted = [one for one in pending if all(DECISIONS.match(m.operator_name) for m in one.mutations)]
        step = max(1, -(-len(wanted) // most))
        kept = {one.job_id for one in wanted[::step]}
        for one in pending:
            if one.job_id not in kept:
                work.set_result(one.job_id, WorkResult(worker_outcome=WorkerOutcome.SKIPPED, output="no decision"))


def excused() -> dict[str, str]:
    """Return the survivors that are known, each with its reason."""
    lines = REASONS.read_text(encoding="utf-8").splitlines()
    rows = [line.split(" # ", 1) for line in lines if line and not line.startswith("#")]
    return {row[0].strip(): row[1].strip() for row in rows}


def main() -> int:
    """Try the modules that the command line names; return 1 if a survivor has no reason."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("modules", nargs="+", help="files or folders of core")
    parser.add_argument("--most", type=int, default=10_000, help="changes of one module at most")
    given = parser.parse_args()
    modules = [
        str(path.relative_to(ROOT))
        for name in given.modules
        for path in sorted((ROOT / name).rglob("*.py") if (ROOT / name).is_dir() else [ROOT / name])
        if path.name != "__init__.py"
    ]
    known, unknown = excused(), 0
    for module in modules:
        sys.stdout.write(f"{module}\n")
        for mutant in survivors(module, given.most):
            reason = known.get(str(mutant))
            unknown += reason is None
            sys.stdout.write(f"{'known' if reason else 'SURVIVED'}: {mutant}\n")
        sys.stdout.flush()
    return 1 if unknown else 0


if __name__ == "__main__":
    sys.exit(main())
