"""The wheel: what a service installs, in an environment that has its declared dependencies and nothing else."""

import shutil
import subprocess
import sys
import venv
import zipfile
from collections.abc import Iterator
from importlib.metadata import Distribution, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.conftest import ROOT
from tests.processes import environment

SOURCES = ("core", "migrations", "pyproject.toml", "README.md", "LICENSE")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built with the locked build backend: nothing is fetched."""
    copy, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in SOURCES:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, copy / name)
    subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "wheel",
            "--quiet",
            "--no-deps",
            "--no-build-isolation",
            "--no-index",
            "-w",
            out,
            copy,
        ],
        check=True,
    )
    return next(out.glob("*.whl"))


def _closure(requirements: list[str], found: dict[str, Distribution]) -> dict[str, Distribution]:
    """The distributions that *requirements* need, theirs included, as installed here."""
    for text in requirements:
        requirement = Requirement(text)
        extras = requirement.extras or {""}
        if requirement.name in found or not any(
            requirement.marker is None or requirement.marker.evaluate({"extra": extra}) for extra in {"", *extras}
        ):
            continue
        found[requirement.name] = installed = distribution(requirement.name)
        needed = [r for r in installed.requires or [] if "extra ==" not in r or any(f'"{e}"' in r for e in extras if e)]
        _closure([r.partition(";")[0] if "extra ==" in r else r for r in needed], found)
    return found


@pytest.fixture(scope="module")
def service(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Python of a fresh environment with the wheel and its dependencies, without any extra."""
    folder = tmp_path_factory.mktemp("service")
    venv.create(folder, symlinks=True)
    site = next((folder / "lib").glob("python*")) / "site-packages"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    metadata = next(site.glob("llm_settings-*.dist-info"))
    requires = [r for r in Distribution.at(metadata).requires or [] if "extra ==" not in r]
    for installed in _closure(requires, {}).values():
        for file in installed.files or []:
            top = file.parts[0]
            target = site / top
            if top not in {"..", "__pycache__"} and not target.exists():
                target.symlink_to(Path(str(installed.locate_file(top))))
    yield folder / "bin" / "python"
    shutil.rmtree(folder)


def _python(python: Path, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    clean = environment(**env) | {"PYTHONPATH": ""}
    return subprocess.run(
        [python, *arguments], env=clean, cwd=python.parent, capture_output=True, text=True, timeout=60, check=False
    )


def test_wheel_carries_core_typed_and_the_migrations(wheel: Path) -> None:
    """The wheel has core with its marker of types, and the migrations inside it; no page, no test."""
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())

    assert {
        "core/resolve.py",
        "core/py.typed",
        "core/migrations/env.py",
        "core/migrations/versions/0001_tables.py",
    } <= names
    assert {name.split("/")[0] for name in names} == {"core", "llm_settings-0.1.0.dist-info"}


def test_service_installs_no_web_framework(service: Path) -> None:
    """What a service installs has neither Streamlit nor the command line's packages."""
    done = _python(
        service, "-c", "import importlib.util as u; print([n for n in ('streamlit', 'typer') if u.find_spec(n)])"
    )

    assert done.stdout.strip() == "[]"


def test_service_migrates_and_resolves(service: Path, committed: str) -> None:
    """Installed from the wheel alone, core migrates an empty database and resolves from it."""
    script = (
        "import core, os; from core.store import db, migrate; from core.resolve import resolve;"
        "engine = db.make_engine(os.environ['DATABASE_URL']); migrate.downgrade(engine, 'base');"
        "print(migrate.upgrade(engine), resolve('x').status, 'site-packages' in core.__file__)"
    )
    done = _python(service, "-c", script, DATABASE_URL=committed)

    assert done.stdout.strip() == "True unknown_provider True", done.stderr


def test_command_line_names_its_extra(service: Path) -> None:
    """`python -m core` without the extra says which one to add."""
    done = _python(service, "-m", "core", "--help")

    assert done.returncode == 1
    assert done.stderr.strip() == "The command line needs an extra: pip install 'llm-settings[cli]'"
