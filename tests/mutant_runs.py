"""Run a module's tests on one change after another, a second each; the other half of tests/mutants.py.

What makes it quick: one PostgreSQL and one template for all; every library is imported once, and each change is tried in
a fork; only the tests that reached the changed line when all were well, the quickest first, until one fails. What they
reach in a process of their own does not count.

Questions come as lines of JSON, and are answered so:
``{"do": "begin", "tests": […], "modules": […]}``: run these tests, and remember which lines of the modules each reaches.
``{"do": "try", "module": …, "line": …, "source": …}``: do the tests notice, if the module is this?
"""

import ast
import contextlib
import importlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import coverage
import pytest

TREE = Path(__file__).parent.parent
OURS = {"core", "web", "ui", "api", "pages", "tests", "migrations", "conftest", "streamlit_app", "asgi", "__main__"}
PATIENCE = 20
"""Seconds beyond five times what its tests took, until a change that hangs is noticed by that."""

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
    """Notes of each test: how long it took, and whether it passed."""

    def __init__(self, cover: coverage.Coverage | None) -> None:
        self.cover = cover
        self.seconds: dict[str, float] = {}
        self.failed: set[str] = set()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[Any]:
        if self.cover:
            self.cover.switch_context(item.nodeid)
        begun = time.monotonic()
        try:
            return (yield)
        finally:
            self.seconds[item.nodeid] = time.monotonic() - begun
            if self.cover:
                self.cover.switch_context("")

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


def pytest_in_child(tests: list[str], plugin: object) -> int:
    """Run *tests* in this process; return pytest's exit code."""
    options = ["-n", "0", "-q", "-m", "quick", "--hypothesis-seed=0", "-p", "no:randomly"]
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
    """The tests of some modules, and the lines that each reaches."""

    def __init__(self, tests: list[str], modules: list[str]) -> None:
        self.tests = tests
        begun = time.monotonic()
        seen = forked(lambda: self._watched(tests, modules), 3600)
        if seen is None:
            sys.exit("The tests ended before they were done.")
        self.whole = time.monotonic() - begun
        preload(seen["imported"])
        self.left_out = seen["failed"]
        """They fail without any change."""
        self.seconds: dict[str, float] = {k: v for k, v in seen["seconds"].items() if k not in self.left_out}
        self.lines: dict[str, dict[int, list[str]]] = {
            module: {int(n): [c for c in names if not c or c in self.seconds] for n, names in lines.items()}
            for module, lines in seen["lines"].items()
        }

    @staticmethod
    def _watched(tests: list[str], modules: list[str]) -> Any:
        cover = coverage.Coverage(data_file=None, include=[str(TREE / m) for m in modules], config_file=False)
        cover.start()
        watch = Watch(cover)
        pytest_in_child(tests, watch)
        cover.stop()
        data = cover.get_data()
        return {
            "seconds": watch.seconds,
            "failed": sorted(watch.failed),
            "lines": {m: data.contexts_by_lineno(str(TREE / m)) for m in modules},
            "imported": sorted(n for n, m in sys.modules.items() if n.split(".")[0] not in OURS and m),
        }

    def reaching(self, module: str, line: int) -> list[str]:
        """Return the tests that reach *line* of *module*, the quickest first; all that reach the module if it is no function's."""
        lines = self.lines[module]
        names = {name for number in statement(TREE / module, line) for name in lines.get(number, [])}
        if "" in names:  # when it is imported
            names |= {name for reached in lines.values() for name in reached}
        return sorted(names - {""}, key=self.seconds.__getitem__)

    def try_change(self, module: str, line: int, source: str) -> dict[str, Any]:
        """Return whether a test notices that *module* is *source*, and why."""
        names = self.reaching(module, line)
        if not names:
            return {"noticed": False, "why": "no test reaches it"}
        path = TREE / module
        before = path.read_bytes()
        for compiled in path.parent.glob(f"__pycache__/{path.stem}.*.pyc"):
            compiled.unlink()
        path.write_text(source, encoding="utf-8")
        took = sum(self.seconds[name] for name in names)
        try:
            answer = forked(lambda: self._tried(names), 5 * took + PATIENCE)
        finally:
            path.write_bytes(before)
        if answer is None:
            return {"noticed": True, "why": "it ended, or hung"}
        return {"noticed": answer["code"] != 0, "why": answer["noticed"] or f"{len(names)} tests, {took:.1f} s"}

    @staticmethod
    def _tried(names: list[str]) -> Any:
        sys.dont_write_bytecode = True
        only = Only(names)
        files = list(dict.fromkeys(name.split("::")[0] for name in names))
        return {"code": pytest_in_child(files, only), "noticed": only.noticed}


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
    """Import what the tests had imported of others, so that forks find it there; no thread may begin by it."""
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
                    baseline = Baseline(**question)
                    answer: dict[str, Any] = {
                        "tests": len(baseline.seconds),
                        "seconds": baseline.whole,
                        "left_out": len(baseline.left_out),
                    }
                else:
                    assert baseline
                    answer = baseline.try_change(question["module"], question["line"], question["source"])
                answers.write(json.dumps(answer) + "\n")
                answers.flush()
        finally:
            server.stdin.close()
            server.wait(60)


if __name__ == "__main__":
    main()
