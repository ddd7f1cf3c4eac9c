"""Set-up: what a lock says is what is installed, whatever was released since, and however often it was interrupted."""

import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import tomllib
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.conftest import ROOT

NEEDED = ("--no-deps", "--require-hashes", "--only-binary")
OLD = "$(BIN)/pip install -q --disable-pip-version-check --require-hashes -r requirements.lock"
BUILT = "requirements-mutants.lock"
"""A tool that `make mutants` alone needs has no wheel of one package."""
SCRIPTS = ("Makefile", ".ci/install.py", ".ci/lock", ".ci/run", ".ci/again", ".ci/nightly", ".ci/catalogue/make")
UV = Path(sys.executable).with_name("uv")


def pins(text: str) -> dict[str, str]:
    """Each line of a lock by the name that it pins: version, marker and hashes."""
    lines = text.replace("\\\n", " ").splitlines()
    return {canonicalize_name(line.partition("==")[0]): " ".join(line.split()) for line in lines if line.strip()}


def disagreeing(first: str, second: str) -> list[str]:
    """Names of which *second* says something else than *first*, or nothing."""
    other = pins(second)
    return [name for name, line in pins(first).items() if other.get(name) != line]


def resolving(script: str) -> list[str]:
    """Lines of *script* that install a lock, and leave something to be resolved, built or trusted."""
    lines = [line for line in script.replace("\\\n", " ").splitlines() if re.search(r"\binstall\b.*-r\b", line)]
    return [
        line
        for line in lines
        if not all(flag in line or "*PINNED" in line for flag in (NEEDED[:2] if BUILT in line else NEEDED))
    ]


def _lock(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def test_no_line_of_ours_resolves() -> None:
    """What installs a lock never asks an index which versions there are."""
    scripts = [ROOT / name for name in SCRIPTS if (ROOT / name).is_file()]
    installer = (ROOT / ".ci/install.py").read_text(encoding="utf-8")

    assert {path.name: found for path in scripts if (found := resolving(path.read_text(encoding="utf-8")))} == {}
    assert f"PINNED = {(*NEEDED, ':all:')!r}".replace("'", '"') in installer
    assert installer.count("*PINNED") == 2
    assert resolving(OLD) == [OLD]  # the line that failed on the day google-auth had a release


def test_locks_name_no_address() -> None:
    """Who installs decides from where: a company's mirror works by its own configuration."""
    assert [
        name for name in map(str, ROOT.glob("*.lock")) if re.search(r"://|--index|^-", _lock(name), re.MULTILINE)
    ] == []


def test_the_second_lock_is_the_first_and_tools() -> None:
    """What is tested is what runs, pin by pin; what runs has no tool."""
    app, everything = _lock("requirements-app.lock"), _lock("requirements.lock")

    assert disagreeing(app, everything) == []
    assert {"pytest", "mypy", "ruff", "playwright"} & set(pins(app)) == set()
    assert {"pytest", "mypy", "ruff", "playwright"} <= set(pins(everything))
    assert disagreeing(app.replace("streamlit==", "streamlit==0."), everything)[-3:] == ["streamlit"]


def test_the_app_lock_has_all_that_the_app_declares() -> None:
    """A requirement in pyproject.toml that the lock lacks, or has too old, is met here and not at the first start."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras, locked = project["optional-dependencies"], pins(_lock("requirements-app.lock"))
    wanted, seen, lacking = [*map(Requirement, project["dependencies"]), Requirement("llm-settings[app]")], set(), []
    while wanted:
        requirement = wanted.pop()
        if requirement.name == project["name"]:
            wanted += [Requirement(text) for extra in requirement.extras for text in extras[extra]]
        elif str(requirement) not in seen:
            seen.add(str(requirement))
            pin = re.match(r"\S+==(\S+)", locked.get(canonicalize_name(requirement.name), ""))
            if not pin or Version(pin[1]) not in requirement.specifier:
                lacking.append(str(requirement))

    assert len(seen) > 15
    assert lacking == []


def _wheel(folder: Path, name: str, version: str, *requirements: str, tag: str = "py3-none-any") -> str:
    """Make a wheel in *folder*; return its line in a lock."""
    info = f"{name}-{version}.dist-info"
    needs = "".join(f"Requires-Dist: {text}\n" for text in requirements)
    files = {
        f"{name}.py": f"version = {version!r}\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}",
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: {tag}\n",
    }
    record = "".join(f"{file},,\n" for file in (*files, f"{info}/RECORD"))
    path = folder / f"{name}-{version}-{tag}.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for file, text in {**files, f"{info}/RECORD": record}.items():
            archive.writestr(file, text)
    return f"{name}=={version} \\\n    --hash=sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}\n"


class Checkout:
    """A folder with the script that installs, two locks, and an index in which a newer release lies."""

    def __init__(self, folder: Path, installer: str) -> None:
        self.folder, self.shelf = folder / "a checkout", folder / "shelf"
        self.source = str(self.shelf)
        (self.folder / ".ci").mkdir(parents=True)
        self.shelf.mkdir()
        shutil.copy(ROOT / ".ci/install.py", self.folder / ".ci")
        app = _wheel(self.shelf, "pages", "1.0", "engine[fast]>=1") + _wheel(self.shelf, "engine", "1.0")
        _wheel(self.shelf, "engine", "2.999", "turbo")
        self.write("app.lock", app)
        self.write("all.lock", app + _wheel(self.shelf, "tool", "1.0"))
        self._path = os.environ["PATH"].split(os.pathsep)
        self._path = [entry for entry in self._path if not (Path(entry) / "uv").exists()]
        if installer == "uv":
            (folder / "bin").mkdir()
            (folder / "bin/uv").symlink_to(UV)
            self._path.insert(0, str(folder / "bin"))

    def give(self, bare: Path) -> None:
        """Let it have an environment that was made just now, in place of any other: making one takes most of a set-up."""
        shutil.rmtree(self.folder / ".venv", ignore_errors=True)
        shutil.copytree(bare, self.folder / ".venv", symlinks=True)

    def write(self, lock: str, text: str) -> None:
        (self.folder / lock).write_text(text, encoding="utf-8")

    def begin(self, lock: str) -> "subprocess.Popen[str]":
        """Begin the set-up; no index is reached but the shelf."""
        outside = ("PIP_", "UV_", "PYTHON", "VIRTUAL_ENV")
        env = {name: value for name, value in os.environ.items() if not name.startswith(outside)}
        env |= {"PATH": os.pathsep.join(self._path), "PIP_CONFIG_FILE": os.devnull, "HOME": str(self.folder.parent)}
        env |= {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": self.source, "UV_NO_INDEX": "1", "UV_FIND_LINKS": self.source}
        env |= {"UV_NO_CONFIG": "1", "PIP_NO_CACHE_DIR": "1"}
        command = [sys.executable, ".ci/install.py", ".venv", lock]
        pipe = subprocess.PIPE
        return subprocess.Popen(command, cwd=self.folder, env=env, stdout=pipe, stderr=subprocess.STDOUT, text=True)

    def run(self, lock: str) -> tuple[int, str]:
        """Set up; return the exit code and what was printed."""
        child = self.begin(lock)
        printed, _ = child.communicate(timeout=120)
        return child.returncode, printed

    def installed(self) -> dict[str, str]:
        """Our made-up packages in the environment, by name."""
        found = self.folder.glob(".venv/lib/python*/site-packages/*.dist-info")
        pairs = [folder.name.removesuffix(".dist-info").split("-") for folder in found]
        return {name: version for name, version in pairs if name in {"pages", "engine", "turbo", "tool"}}

    def copies(self) -> set[str]:
        """Locks that the environment says it has wholly."""
        return {copy.name for copy in self.folder.glob(".venv/[!.]*.lock")}


@pytest.fixture
def checkout(request: pytest.FixtureRequest, tmp_path: Path) -> Checkout:
    """A checkout, in a folder with a blank in its name, on a machine without uv, or with it."""
    return Checkout(tmp_path, getattr(request, "param", "pip"))


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with pip alone."""
    made = tmp_path_factory.mktemp("bare") / "venv"
    subprocess.run([sys.executable, "-m", "venv", made], check=True)
    return made


with_and_without_uv = pytest.mark.parametrize("checkout", ["pip", "uv"], indirect=True)


@pytest.mark.kill
@with_and_without_uv
def test_a_newer_release_does_not_matter_and_the_second_lock_is_added(checkout: Checkout, bare: Path) -> None:
    """The pins are installed, not what is newest; tools come into the same environment; the second time is at once."""
    checkout.give(bare)
    code, printed = checkout.run("app.lock")
    assert code == 0, printed
    assert "Installing 2 packages of app.lock into .venv" in printed
    assert checkout.installed() == {"pages": "1.0", "engine": "1.0"}
    made = (checkout.folder / ".venv/pyvenv.cfg").stat().st_mtime_ns

    assert checkout.run("all.lock")[0] == 0
    assert checkout.installed() == {"pages": "1.0", "engine": "1.0", "tool": "1.0"}
    assert checkout.run("app.lock") == checkout.run("all.lock") == (0, "")
    assert (checkout.folder / ".venv/pyvenv.cfg").stat().st_mtime_ns == made


@pytest.mark.kill
@with_and_without_uv
def test_what_does_not_fit_is_not_called_installed(checkout: Checkout, bare: Path) -> None:
    """A pin that lacks what it needs, and a file that is not the one that was locked, end the set-up with the reason."""
    checkout.give(bare)
    app = (checkout.folder / "app.lock").read_text(encoding="utf-8")
    checkout.write("app.lock", "".join(app.partition("engine")[:1]))
    code, printed = checkout.run("app.lock")
    assert code == 1
    assert re.search(r"pages.* requires.* `?engine", printed)
    assert checkout.copies() == set()

    checkout.give(bare)
    checkout.write("app.lock", app)
    _wheel(checkout.shelf, "engine", "1.0", "something-else")
    code, printed = checkout.run("app.lock")
    assert code == 1
    assert "hash" in printed.lower()
    assert checkout.copies() == set()
    assert "engine" not in checkout.installed()


@pytest.mark.kill
def test_another_lock_makes_another_environment(checkout: Checkout, bare: Path) -> None:
    """Nothing stays that the lock has no longer, and an environment that lost its Python is made again."""
    checkout.give(bare)
    assert checkout.run("all.lock")[0] == 0
    checkout.write("app.lock", _wheel(checkout.shelf, "engine", "1.1"))
    checkout.write("all.lock", (checkout.folder / "app.lock").read_text(encoding="utf-8"))
    assert checkout.run("app.lock")[0] == 0
    assert checkout.installed() == {"engine": "1.1"}

    for python in checkout.folder.glob(".venv/bin/python*"):
        python.unlink()
        python.symlink_to("/nonexistent/python")
    assert checkout.run("app.lock")[0] == 0
    assert checkout.installed() == {"engine": "1.1"}


def _page(shelf: Path) -> bytes:
    links = "".join(f"<a href='/{path.name}'>{path.name}</a>" for path in shelf.glob("*.whl"))
    return f"<!DOCTYPE html><html><body>{links}</body></html>".encode()


@contextmanager
def _slow_index(shelf: Path) -> Iterator[tuple[str, threading.Event, threading.Event]]:
    """Serve *shelf*; the wheel of engine only after the second event. The first: it was asked for."""
    asked, go = threading.Event(), threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            name = self.path.strip("/").partition("#")[0]
            if name.startswith("engine"):
                asked.set()
                go.wait(60)
            body = _page(shelf) if not name else (shelf / name).read_bytes()
            self.send_response(200)
            self.send_header("Content-Type", "application/octet-stream" if name else "text/html")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            with suppress(OSError):  # whoever asked was interrupted
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as served:
        thread = threading.Thread(target=served.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{served.server_port}/", asked, go
        finally:
            go.set()
            served.shutdown()
            thread.join()


@pytest.mark.kill
@pytest.mark.parametrize(
    ("checkout", "order"),
    [("pip", signal.SIGINT), ("uv", signal.SIGINT), ("pip", signal.SIGKILL)],
    ids=["pip-ctrl-c", "uv-ctrl-c", "pip-kill"],
    indirect=["checkout"],
)
def test_interrupted_set_up_is_done_again(checkout: Checkout, bare: Path, order: signal.Signals) -> None:
    """Ctrl-C in the middle, or a kill: one sentence, no copy of the lock; the same command then sets up wholly."""
    checkout.give(bare)
    with _slow_index(checkout.shelf) as (checkout.source, asked, go):
        child = checkout.begin("app.lock")
        assert asked.wait(60)
        child.send_signal(order)
        printed, _ = child.communicate(timeout=60) if order == signal.SIGINT else ("", child.wait())
        assert child.returncode == (1 if order == signal.SIGINT else -9)
        assert ("Stopped. The same command sets up anew." in printed) == (order == signal.SIGINT)
        assert "Traceback" not in printed
        assert checkout.copies() == set()

        go.set()
        assert checkout.run("app.lock")[0] == 0
    assert checkout.installed() == {"pages": "1.0", "engine": "1.0"}


@pytest.mark.kill
def test_half_made_environment_is_made_again(checkout: Checkout) -> None:
    """One without pip, as after Ctrl-C while it was made, and one with a package half unpacked, are made anew."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", checkout.folder / ".venv"], check=True)
    assert checkout.run("app.lock")[0] == 0

    (checkout.folder / ".venv/app.lock").unlink()
    engine = next(checkout.folder.glob(".venv/lib/python*/site-packages/engine.py"))
    engine.unlink()
    assert checkout.run("app.lock")[0] == 0
    assert engine.is_file()


@pytest.mark.kill
def test_two_at_once_wait_for_each_other(checkout: Checkout) -> None:
    """`make run` and `make test`, begun in two terminals at the same moment, share one environment."""
    children = [checkout.begin("app.lock"), checkout.begin("all.lock")]
    ended = [(child.communicate(timeout=120)[0], child.returncode) for child in children]

    assert [code for _, code in ended] == [0, 0], ended
    assert checkout.installed() == {"pages": "1.0", "engine": "1.0", "tool": "1.0"}


def test_an_old_python_is_told_from_a_new_one(tmp_path: Path) -> None:
    """Too old a Python gets one sentence with the cure, before anything else of the script is read by it."""
    script = (ROOT / ".ci/install.py").read_text(encoding="utf-8")
    old = tmp_path / "install.py"
    old.write_text(script.replace("import sys\n", "import sys\nsys.version_info = (3, 10, 13)\n", 1), encoding="utf-8")
    done = subprocess.run([sys.executable, old], capture_output=True, text=True, check=False)

    assert done.returncode == 1
    assert done.stderr.strip() == (
        "Python 3.11 or newer is needed, this is 3.10.13. Name another: make run PYTHON=python3.12"
    )


@pytest.mark.parametrize("name", ["Makefile", "docs/deployment.md"])
def test_a_failed_start_ends_the_process(name: str) -> None:
    """Wherever we say how the app is started, uvicorn is told to end when the start fails."""
    text = (ROOT / name).read_text(encoding="utf-8").replace("\\\n", " ")
    starts = [line for line in text.splitlines() if re.search(r"uvicorn asgi:app .*--", line)]

    assert starts
    assert [line for line in starts if "--lifespan on" not in line] == []


@pytest.mark.kill
def test_lock_refuses_a_pin_that_has_no_wheel_somewhere(tmp_path: Path) -> None:
    """A pin without a wheel for one platform is named with it, and no lock changes; with one, all locks are written."""
    (tmp_path / ".ci").mkdir()
    (tmp_path / "shelf").mkdir()
    shutil.copy(ROOT / ".ci/lock", tmp_path / ".ci")
    (tmp_path / "pyproject.toml").write_text(
        "[project]\nname = 'x'\nversion = '1'\n[project.optional-dependencies]\napp = ['engine']\n"
        "[dependency-groups]\ndev = ['tool']\n",
        encoding="utf-8",
    )
    locks = [path.name for path in ROOT.glob("requirements*.lock")]
    for name in (*locks, *(path.name for path in ROOT.glob("requirements-*.in"))):
        (tmp_path / name).write_text("", encoding="utf-8")
    _wheel(tmp_path / "shelf", "tool", "1.0")
    for tag in ("manylinux_2_17_x86_64", "manylinux_2_17_aarch64", "win_amd64"):
        _wheel(tmp_path / "shelf", "engine", "1.0", tag=f"cp311-abi3-{tag}")

    def lock() -> "subprocess.CompletedProcess[str]":
        ours = {"UV": str(UV), "UV_NO_INDEX": "1", "UV_FIND_LINKS": str(tmp_path / "shelf"), "UV_NO_CONFIG": "1"}
        clean = {name: value for name, value in os.environ.items() if not name.startswith("UV_")}
        return subprocess.run(
            [".ci/lock"], cwd=tmp_path, env={**clean, **ours}, capture_output=True, text=True, timeout=120, check=False
        )

    refused = lock()
    assert refused.returncode == 1
    assert "engine" in refused.stderr
    assert [line for line in refused.stdout.splitlines() if "No wheel" in line] == [
        f"No wheel: aarch64-apple-darwin, Python 3.{minor}" for minor in (11, 12, 13, 14)
    ]
    assert {(tmp_path / name).read_text(encoding="utf-8") for name in locks} == {""}

    _wheel(tmp_path / "shelf", "engine", "1.0", tag="cp311-abi3-macosx_11_0_arm64")
    done = lock()
    assert done.returncode == 0, done.stderr
    written = {name: set(pins((tmp_path / name).read_text(encoding="utf-8"))) for name in locks}
    assert written["requirements-app.lock"] == {"engine"}
    assert written["requirements.lock"] == {"engine", "tool"}
