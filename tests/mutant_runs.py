"""Run tests on one change after another, a fraction of a second each; the other half of tests/mutants.py.

What makes it quick: one PostgreSQL and one template for all; everything is imported and every test collected once, and
each change is tried in a fork of that, which puts the changed code into the functions it has; only tests that reached the
changed line when all were well: the module's own first, the quickest first, until one fails. A change of what runs when a
module is imported needs a process that has not imported it: a second or two. What tests reach in processes of their own
counts too.

Questions come as lines of JSON, and are answered so:
``{"do": "begin", "tests": […], "modules": {module: its own test file}, "others": seconds at most that
tests of other files may take for one change}``: run these tests, and remember which lines each reaches.
``{"do": "try", "module": …, "line": …, "source": …}``: do the tests notice, if the module is this?
"""

import ast
import contextlib
import gc
import importlib
import inspect
import json
import math
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import coverage
import pytest

TREE = Path(__file__).parent.parent
OURS = {"core", "web", "ui", "api", "pages", "tests", "migrations", "conftest", "streamlit_app", "asgi", "__main__"}
PATIENCE = 20
"""Seconds beyond five times what a test took, until a change that hangs is noticed by that."""
AT_IMPORT = ""
"""The context of lines that run when tests are collected."""

SERVER = """
import sys
from pathlib import Path
import psycopg
from core.postgres import embedded
folder = Path(sys.argv[1])
url = embedded.start(folder)
with psycopg.connect(url, autocommit=True) as connection:
    connection.execute("ALTER SYSTEM SET fsync = off")
    connection.execute("ALTER SYSTEM SET full_page_writes = off")
    connection.execute("SELECT pg_reload_conf()")
print(url, flush=True)
sys.stdin.read()
embedded.stop(folder)
"""


class Watch:
    """Notes of each test: how long it took, whether it passed, and what it reaches, in other processes too."""

    def __init__(self, cover: coverage.Coverage) -> None:
        self.cover = cover
        self.seconds: dict[str, float] = {}
        self.failed: set[str] = set()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[Any]:
        self.cover.switch_context(item.nodeid)
        self.cover.config.context = item.nodeid  # of a process that starts with it (coverage's .pth file)
        os.environ["COVERAGE_PROCESS_CONFIG"] = self.cover.config.serialize()
        begun = time.monotonic()
        try:
            return (yield)
        finally:
            self.seconds[item.nodeid] = time.monotonic() - begun
            self.cover.switch_context(AT_IMPORT)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if not report.passed:
            self.failed.add(report.nodeid)


class Only:
    """Of what was collected, the named tests, in the order of the names."""

    def __init__(self, names: list[str]) -> None:
        self.places = {name: place for place, name in enumerate(names)}
        self.noticed = ""

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = sorted((i for i in items if i.nodeid in self.places), key=lambda i: self.places[i.nodeid])

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.noticed = report.nodeid


class Ready:
    """In place of running what was collected: try change after change on it, each in a fork."""

    def __init__(self, question: int, answer: int) -> None:
        self.questions = os.fdopen(question)
        self.answers = os.fdopen(answer, "w")

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        assert threading.active_count() == 1, threading.enumerate()  # it is forked from
        items = {item.nodeid: item for item in session.items}
        gc.collect()
        functions = [one for one in gc.get_objects() if isinstance(one, types.FunctionType)]
        gc.freeze()
        self.answers.write("ready\n")
        self.answers.flush()
        for asked in map(json.loads, self.questions):
            path = TREE / asked["module"]
            ours = [one for one in functions if one.__code__.co_filename == str(path)]
            changed = replaced(path, asked["source"], asked["before"])
            tests = [(items[name], 5 * seconds + PATIENCE) for name, seconds in asked["names"] if name in items]
            answer: Any = "import"
            if changed is not None and tests:
                answer = forked(lambda: self._tried(tests, ours, changed), sum(most for _, most in tests))  # noqa: B023 - at once
            self.answers.write(json.dumps(answer) + "\n")
            self.answers.flush()
        return True

    @staticmethod
    def _tried(
        tests: list[tuple[pytest.Item, float]], ours: list[types.FunctionType], changed: dict[Any, types.CodeType]
    ) -> Any:
        for function in ours:
            function.__code__ = changed.get(name_of(function.__code__), function.__code__)
        noticed = Only([])
        session = tests[0][0].session
        session.config.pluginmanager.register(noticed)
        later: list[pytest.Item | None] = [test for test, _ in tests[1:]]
        for (test, most), following in zip(tests, [*later, None], strict=True):
            signal.alarm(math.ceil(most))  # a test that hangs ends the process
            session.config.hook.pytest_runtest_protocol(item=test, nextitem=following)
            if noticed.noticed:
                session._setupstate.teardown_exact(None)
                break
        return {"code": int(bool(noticed.noticed)), "noticed": noticed.noticed}


def name_of(code: types.CodeType) -> tuple[str, int]:
    """Return what a function is known by, in two versions of a module."""
    return code.co_qualname, code.co_firstlineno


def codes(code: types.CodeType) -> Iterator[types.CodeType]:
    """Yield *code* and all that is defined in it."""
    yield code
    for one in code.co_consts:
        if isinstance(one, types.CodeType):
            yield from codes(one)


def replaced(path: Path, source: str, before: str) -> dict[tuple[str, int], types.CodeType] | None:
    """Return the functions of *source*; None if the change is in what runs as the module is imported."""
    new = list(codes(compile(source, str(path), "exec", dont_inherit=True)))
    old = list(codes(compile(before, str(path), "exec", dont_inherit=True)))
    if [name_of(one) for one in new] != [name_of(one) for one in old]:
        return None
    for one, other in zip(old, new, strict=True):
        at_import = not one.co_flags & inspect.CO_NEWLOCALS or not one.co_flags & inspect.CO_OPTIMIZED
        if at_import and shallow(one) != shallow(other):
            return None
    names = [name_of(one) for one in new]
    if len(set(names)) < len(names):  # two lambdas of a line
        twice = {name for name in names if names.count(name) > 1}
        if any(shallow(a) != shallow(b) for a, b in zip(old, new, strict=True) if name_of(a) in twice):
            return None
    return {name_of(one): one for one in new}


def shallow(code: types.CodeType) -> tuple[Any, ...]:
    """Return what *code* does, without what is defined in it."""
    consts = tuple((type(one), repr(one)) for one in code.co_consts if not isinstance(one, types.CodeType))
    return code.co_code, consts, code.co_names


def pytest_in_child(tests: list[str], plugin: object) -> int:
    """Run *tests* in this process; return pytest's exit code."""
    options = ["-n", "0", "-q", "-m", "quick or long", "--hypothesis-seed=0", "-p", "no:randomly"]
    return int(pytest.main([*options, *(["-x"] if isinstance(plugin, Only) else []), *tests], plugins=[plugin]))


def forked(work: Callable[[], Any], patience: float) -> Any:
    """Return what *work* returns in a fork, or None if it ended otherwise, or not in time."""
    with tempfile.TemporaryFile("w+") as answer, tempfile.TemporaryFile("w+") as output:
        child = os.fork()
        if child == 0:
            os.setpgid(0, 0)
            code = 1
            try:
                os.dup2(output.fileno(), 1)
                os.dup2(output.fileno(), 2)
                result = work()
                answer.write(json.dumps(result))
                answer.flush()
                code = 0
            finally:
                os._exit(code)
        deadline = time.monotonic() + patience
        while os.waitpid(child, os.WNOHANG) == (0, 0):
            if time.monotonic() > deadline:
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
                break
            time.sleep(0.01)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)
        answer.seek(0)
        written = answer.read()
        if not written:
            output.seek(0)
            sys.stderr.write(output.read()[-2000:] if "-v" in sys.argv else "")
        return json.loads(written) if written else None


class Baseline:
    """Some tests, and the lines that each reaches."""

    def __init__(self, tests: list[str], modules: dict[str, str], others: float) -> None:
        self.modules, self.others = modules, others
        begun = time.monotonic()
        seen = forked(lambda: self._watched(tests, list(modules)), 3600)
        if seen is None:
            sys.exit("The tests ended before they were done.")
        self.whole = time.monotonic() - begun
        preload(seen["imported"])
        self.left_out: list[str] = seen["failed"]
        """They fail without any change."""
        self._trusted: set[str] = set()
        """They noticed something, and pass alone without any change."""
        self.seconds: dict[str, float] = {k: v for k, v in seen["seconds"].items() if k not in self.left_out}
        self.lines: dict[str, dict[int, list[str]]] = {
            module: {int(n): names for n, names in lines.items()} for module, lines in seen["lines"].items()
        }
        asked, question = os.pipe()
        answered, answer = os.pipe()
        self._child = os.fork()
        if self._child == 0:
            os.close(question)
            os.close(answered)
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            os._exit(pytest_in_child(tests, Ready(asked, answer)))
        os.close(asked)
        os.close(answer)
        self._questions, self._answers = os.fdopen(question, "w"), os.fdopen(answered)
        if not self._answers.readline():  # until then it imports: no module is changed meanwhile
            sys.exit("The tests cannot be collected.")

    def close(self) -> None:
        """End the process that has everything imported."""
        self._questions.close()
        self._answers.close()
        os.waitpid(self._child, 0)

    @staticmethod
    def _watched(tests: list[str], modules: list[str]) -> Any:
        with tempfile.TemporaryDirectory() as folder:
            cover = coverage.Coverage(
                data_file=f"{folder}/data",
                data_suffix=True,
                include=[str(TREE / m) for m in modules],
                config_file=False,
            )
            cover.config.parallel = cover.config.sigterm = True
            cover.start()
            watch = Watch(cover)
            pytest_in_child(tests, watch)
            cover.stop()
            cover.save()
            data = coverage.Coverage(data_file=f"{folder}/data", config_file=False)
            data.combine([folder], keep=True)
            lines = {m: data.get_data().contexts_by_lineno(str(TREE / m)) for m in modules}
        return {
            "seconds": watch.seconds,
            "failed": sorted(watch.failed),
            "lines": lines,
            "imported": [n for n, m in sys.modules.items() if n.split(".")[0] not in OURS and m],
        }

    def reaching(self, module: str, line: int) -> list[str]:
        """Return the tests that reach *line* of *module*, its own first, the quickest first; if it is no function's, all of the module."""
        names = self._contexts(module, line)
        if AT_IMPORT in names:
            names |= {name for reached in self.lines[module].values() for name in reached}
        own = self.modules[module]
        return sorted(names & self.seconds.keys(), key=lambda n: (n.split("::")[0] != own, self.seconds[n]))

    def _contexts(self, module: str, line: int) -> set[str]:
        lines = self.lines[module]
        return {name for number in statement(TREE / module, line) for name in lines.get(number, [])}

    def try_change(self, module: str, line: int, source: str) -> dict[str, Any]:
        """Return whether a test notices that *module* is *source*, and why."""
        names = self.reaching(module, line)
        own = [name for name in names if name.split("::")[0] == self.modules[module]]
        took = sum(self.seconds[name] for name in own)
        enough, end = took + self.others, len(own)
        for name in names[len(own) :]:
            if took + self.seconds[name] > enough and end:
                break
            took, end = took + self.seconds[name], end + 1
        left, names = len(names) - end, names[:end]
        if not names:
            return {"noticed": False, "why": "no quick test reaches it", "left_out": self.left_out}
        # what a function has made while modules were imported is not made anew by putting other code into it
        at_import = AT_IMPORT in self._contexts(module, line)
        answer = self._ask(module, source, names, at_import=at_import)
        if answer is None:
            return {"noticed": True, "why": "it ended, or hung", "left_out": self.left_out}
        if (by := answer["noticed"]) and by not in self._trusted:
            whole = self._ask(module, (TREE / module).read_text(encoding="utf-8"), [by], at_import=at_import)
            if whole is None or whole["code"]:  # it fails alone, or in a fork
                self.left_out.append(by)
                del self.seconds[by]
                return self.try_change(module, line, source)
            self._trusted.add(by)
        others = f", {left} more left out" if left else ""
        why = by or f"{len(names)} tests, {took:.1f} s{others}"
        return {"noticed": answer["code"] != 0, "why": why, "left_out": self.left_out}

    def _ask(self, module: str, source: str, names: list[str], *, at_import: bool) -> Any:
        path = TREE / module
        before = path.read_text(encoding="utf-8")
        seconds = {name: self.seconds[name] for name in names}
        path.write_text(source, encoding="utf-8")  # a process that a test starts reads it
        forget(path)
        try:
            asked = {"module": module, "source": source, "before": before, "names": list(seconds.items())}
            answer: Any = "import"
            if not at_import:
                self._questions.write(json.dumps(asked) + "\n")
                self._questions.flush()
                answer = json.loads(self._answers.readline())
            patience = 5 * sum(seconds.values()) + PATIENCE
            return forked(lambda: self._tried(names), patience) if answer == "import" else answer
        finally:
            path.write_text(before, encoding="utf-8")
            forget(path)

    @staticmethod
    def _tried(names: list[str]) -> Any:
        sys.dont_write_bytecode = True
        only = Only(names)
        files = list(dict.fromkeys(name.split("::")[0] for name in names))
        return {"code": pytest_in_child(files, only), "noticed": only.noticed}


def forget(path: Path) -> None:
    """Remove what was compiled of a module: two versions of one size and second look the same to Python."""
    for compiled in path.parent.glob(f"__pycache__/{path.stem}.*.pyc"):
        compiled.unlink(missing_ok=True)


def statement(path: Path, line: int) -> range:
    """Return the lines of the innermost statement around *line*: of one with a body, those of its head."""
    found = range(line, line + 1)
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.stmt) and node.lineno <= line <= (node.end_lineno or 0):
            body = getattr(node, "body", None)
            last = max(node.lineno, body[0].lineno - 1) if body else node.end_lineno or line
            if node.lineno <= line <= last:
                found = range(node.lineno, last + 1)
    return found


def preload(names: list[str]) -> None:
    """Import what the tests had imported of others, so that forks find it there; no thread may begin by it.

    In the order in which the tests did: ``_asyncio`` before ``asyncio`` makes two halves that do not know each other, and
    every asynchronous test fails.
    """
    for name in names:
        with contextlib.suppress(Exception):
            importlib.import_module(name)
    assert threading.active_count() == 1, threading.enumerate()


def main() -> None:
    """Answer each line of standard input."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None) as folder:
        server = subprocess.Popen(
            [sys.executable, "-c", SERVER, folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert server.stdin
        assert server.stdout
        os.environ |= {"LLM_TEST_DATABASE_URL": server.stdout.readline().strip(), "LLM_TEST_RUN": "mutants"}
        baseline: Baseline | None = None
        try:
            for question in map(json.loads, sys.stdin):
                if question.pop("do") == "begin":
                    if baseline:
                        baseline.close()
                    baseline = Baseline(**question)
                    answer: dict[str, Any] = {
                        "tests": len(baseline.seconds),
                        "seconds": baseline.whole,
                        "left_out": baseline.left_out,
                    }
                else:
                    assert baseline
                    answer = baseline.try_change(question["module"], question["line"], question["source"])
                answers.write(json.dumps(answer) + "\n")
                answers.flush()
        finally:
            if baseline:
                baseline.close()
            server.stdin.close()
            server.wait(60)


if __name__ == "__main__":
    main()
