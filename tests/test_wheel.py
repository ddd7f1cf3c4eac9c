"""The wheel: what a service installs, in environments that have what an extra declares and nothing else."""

import json
import re
import shutil
import subprocess
import sys
import venv
import zipfile
from collections.abc import Callable, Iterable
from importlib.metadata import Distribution, distribution
from pathlib import Path

import psycopg
import pytest
from packaging.requirements import Requirement

from core.actors import COMMAND_LINE
from core.manage import providers
from core.store.db import transaction
from tests.conftest import ROOT
from tests.processes import environment

pytestmark = pytest.mark.program
SOURCES = ("alias", "core", "migrations", "pyproject.toml", "README.md", "LICENSE")
PROVIDER = {
    "name": "acme",
    "display_name": "Acme",
    "kind": "openai",
    "available_models": ["m"],
    "default_model": "m",
    "api_key": "sk-test-0123456789abcdef",
}
NAMES = ("core", "llm_settings")


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


def _needed(owner: Distribution, extras: Iterable[str]) -> list[Requirement]:
    """What *owner* requires, and its *extras*, on this machine."""
    found = [Requirement(text) for text in owner.requires or []]
    return [
        each
        for each in found
        if each.marker is None or any(each.marker.evaluate({"extra": extra}) for extra in ("", *extras))
    ]


def _closure(owner: Distribution, extras: Iterable[str], found: dict[str, Distribution]) -> dict[str, Distribution]:
    """The distributions that *owner* needs, theirs included, as installed here."""
    for requirement in _needed(owner, extras):
        if requirement.name == owner.metadata["Name"]:  # an extra that is made of others
            _closure(owner, requirement.extras, found)
        elif requirement.name not in found or requirement.extras:
            found[requirement.name] = installed = distribution(requirement.name)
            _closure(installed, requirement.extras, found)
    return found


@pytest.fixture(scope="module")
def install(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Make a fresh environment with the wheel, its dependencies and those of the extras; return its Python."""
    made: dict[tuple[str, ...], Path] = {}

    def make(*extras: str) -> Path:
        if extras not in made:
            folder = tmp_path_factory.mktemp("service")
            venv.create(folder, symlinks=True)
            site = next((folder / "lib").glob("python*")) / "site-packages"
            with zipfile.ZipFile(wheel) as archive:
                archive.extractall(site)
            metadata = Distribution.at(next(site.glob("llm_settings-*.dist-info")))
            for installed in _closure(metadata, extras, {}).values():
                for file in installed.files or []:
                    target = site / (top := file.parts[0])
                    if top not in {"..", "__pycache__"} and not target.exists():
                        target.symlink_to(Path(str(installed.locate_file(top))))
            made[extras] = folder / "bin" / "python"
        return made[extras]

    return make


@pytest.fixture(scope="module")
def service(install: Callable[..., Path]) -> Path:
    """Python of a service that has the base install alone."""
    return install()


def _python(python: Path, *arguments: str, cwd: Path | None = None, **env: str) -> subprocess.CompletedProcess[str]:
    clean = environment(**env) | {"PYTHONPATH": ""}
    return subprocess.run(
        [python, *arguments],
        env=clean,
        cwd=cwd or python.parent,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def _prints(python: Path, code: str, *arguments: str, **env: str) -> str:
    """What a program of a few lines prints; it must end well."""
    done = _python(python, "-c", code, *arguments, **env)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_wheel_carries_the_checkouts_core_and_another_name_of_it(wheel: Path) -> None:
    """llm_settings is core, file by file, with the migrations inside; core is an alias and stubs. No page, no test."""
    with zipfile.ZipFile(wheel) as archive:
        packed = {name: archive.read(name) for name in archive.namelist()}
    files = {path.relative_to(ROOT / "core").as_posix() for path in (ROOT / "core").rglob("*.py")}
    top = {re.sub(r"-[\d.]+(?=dist-info)", ".", name.split("/")[0]) for name in packed}

    assert {name: packed[f"llm_settings/{name}"] for name in files} == {
        name: (ROOT / "core" / name).read_bytes() for name in files
    }
    assert {"llm_settings/py.typed", "llm_settings/migrations/env.py", "llm_settings/migrations/script.py.mako"} <= (
        set(packed)
    )
    assert {name for name in packed if name.startswith("core/")} == {
        *("core/__init__.py", "core/__main__.py", "core/py.typed"),
        *(
            f"core/{name.removesuffix('/__init__.py').removesuffix('.py')}.py"
            for name in files
            if re.fullmatch(r"\w+(/__init__)?\.py", name) and not name.startswith("__")
        ),
        *(f"core/{name}i" for name in files if name != "__main__.py"),
    }
    assert top == {"core", "llm_settings", "llm_settings.dist-info"}


def test_a_wheel_of_a_source_distribution_is_the_same(wheel: Path, tmp_path: Path) -> None:
    """What builds the wheel is in the source distribution: the alias, and the hook that writes the stubs."""
    from hatchling.builders.sdist import SdistBuilder  # noqa: PLC0415 - slow to import
    from hatchling.builders.wheel import WheelBuilder  # noqa: PLC0415 - as above

    source = next(SdistBuilder(str(ROOT)).build(directory=str(tmp_path)))
    shutil.unpack_archive(source, tmp_path, filter="data")
    built = next(WheelBuilder(source.removesuffix(".tar.gz")).build(directory=str(tmp_path)))

    with zipfile.ZipFile(wheel) as one, zipfile.ZipFile(built) as other:
        assert sorted(one.namelist()) == sorted(other.namelist())


def test_a_service_installs_a_driver_and_cryptography(service: Path) -> None:
    """The base install declares two packages; neither pydantic, nor an ORM, nor a web framework comes with it."""
    site = next((service.parent.parent / "lib").glob("python*")) / "site-packages"
    owner = Distribution.at(next(site.glob("llm_settings-*.dist-info")))
    absent = ["alembic", "pydantic", "sqlalchemy", "sqlmodel", "streamlit", "typer", "openai", "httpx2"]
    code = "import sys, importlib.util as u; print([n for n in sys.argv[1:] if u.find_spec(n)])"

    assert {each.name for each in _needed(owner, ())} == {"cryptography", "psycopg"}
    assert _prints(service, code, *absent) == "[]"


def test_the_base_install_resolves_and_logs(service: Path, committed: str) -> None:
    """With the driver and cryptography alone: settings, the opened key, what explains them, and a row in the request log."""
    with transaction() as session:
        providers.create(session, COMMAND_LINE, PROVIDER)
    code = """if True:
        import sys
        from datetime import datetime, UTC
        from llm_settings import logs
        from llm_settings.calling.log_rows import CallToLog
        from llm_settings.calling.log_writer import put
        from llm_settings.resolve import resolve, resolver
        resolver.start().wait(60)
        settings = resolve("acme")
        put(settings, CallToLog(datetime.now(UTC), None, "m", "error", 1, 5, None, {}, None, None, None, "down"))
        print(settings.status, settings.api_key(), len(settings.explain()) > 10, logs.flush())
        print("sqlmodel" in sys.modules, "core" in sys.modules)"""

    assert _prints(service, code, DATABASE_URL=committed).split("\n") == [
        f"ok {PROVIDER['api_key']} True True",
        "False False",
    ]
    with psycopg.connect(committed) as connection:
        assert connection.execute("SELECT provider, model, status FROM llm_logs").fetchall() == [("acme", "m", "error")]


@pytest.mark.parametrize("name", NAMES)
def test_importing_it_is_lean_under_both_names(service: Path, name: str) -> None:
    """`resolve` and `testing` load the standard library alone, whatever name they are imported by."""
    code = (
        "import sys, importlib; before = set(sys.modules);"
        "[importlib.import_module(f'{sys.argv[1]}.{x}') for x in ('resolve', 'testing', 'ai', 'logs')];"
        "print(sorted({n.partition('.')[0] for n in set(sys.modules) - before} - set(sys.stdlib_module_names)))"
    )

    assert _prints(service, code, name) == str(["core", "llm_settings"] if name == "core" else ["llm_settings"])


EVERY_MODULE = """if True:
    import importlib, json, pkgutil, sys
    import llm_settings
    from llm_settings.errors import MissingExtra
    found = {}
    for module in pkgutil.walk_packages(llm_settings.__path__, "llm_settings.", onerror=lambda name: None):
        if module.name.startswith("llm_settings.migrations") or module.name.endswith("__main__"):
            continue
        try:
            importlib.import_module(module.name)
        except MissingExtra as missing:
            found[module.name.removeprefix("llm_settings.")] = missing.extra
    print(json.dumps(found))"""


@pytest.mark.parametrize(
    ("extras", "wanting"),
    [
        ((), {"store", "cli", "ai"}),
        (("store",), {"cli", "app", "ai", "sso"}),
        (("cli",), {"app", "ai", "sso"}),
        (("ai-openai",), {"store", "cli"}),
        (("ai-anthropic", "cli"), {"app", "sso"}),
        (("ai-google", "embedded"), {"store", "cli"}),
    ],
)
def test_every_module_imports_or_names_its_extra(
    install: Callable[..., Path], extras: tuple[str, ...], wanting: set[str]
) -> None:
    """With any extra, each module either works or says which extra it is that is missing; none ends in another error."""
    found = json.loads(_prints(install(*extras), EVERY_MODULE))

    assert set(found.values()) == wanting
    assert {"resolve", "testing", "ai", "logs", "calling.log_writer", "models.catalogue"}.isdisjoint(found)


@pytest.mark.parametrize(
    ("kind", "extra"), [("openai", "ai-openai"), ("anthropic", "ai-anthropic"), ("google", "ai-google")]
)
def test_a_call_names_the_extra_of_its_kind(service: Path, committed: str, kind: str, extra: str) -> None:
    """`complete` without the SDK says which extra brings it, by the provider's kind."""
    with transaction() as session:
        providers.create(session, COMMAND_LINE, PROVIDER | {"kind": kind})
    code = """if True:
        from core.ai import complete
        from core.errors import MissingExtra
        from core.resolve import resolver
        resolver.start().wait(60)
        try:
            complete("Hello", provider="acme")
        except ImportError as error:
            print(isinstance(error, MissingExtra), error)"""
    told = _prints(service, code, DATABASE_URL=committed)

    assert re.fullmatch(rf"True The package \w+ is missing: pip install 'llm-settings\[{extra}\]'", told)


def test_migrating_without_the_extra_names_it(service: Path) -> None:
    """`from core.store import migrate` in the base install says what to add."""
    done = _python(service, "-c", "from core.store import migrate")

    assert done.stderr.endswith("MissingExtra: The package alembic is missing: pip install 'llm-settings[store]'\n")


@pytest.mark.parametrize(("extra", "name"), [("store", "llm_settings"), ("cli", "core")])
def test_store_migrates_and_resolves(install: Callable[..., Path], committed: str, extra: str, name: str) -> None:
    """With either extra an empty database is migrated, and resolved from."""
    code = (
        f"import os, {name}; from {name}.store import db, migrate; from {name}.resolve import resolve, resolver;"
        "engine = db.make_engine(os.environ['DATABASE_URL']); migrate.downgrade(engine, 'base');"
        "print(migrate.upgrade(engine), migrate.differences(engine)); resolver.start().wait(60);"
        f"print(resolve('x').status, 'site-packages' in {name}.__file__)"
    )

    assert _prints(install(extra), code, DATABASE_URL=committed) == "True []\nunknown_provider True"


@pytest.mark.parametrize("name", NAMES)
def test_the_command_line_answers_to_both_names(install: Callable[..., Path], committed: str, name: str) -> None:
    """`python -m core migrate` and `python -m llm_settings migrate` do the same; the script is llm_settings'."""
    python = install("cli")
    done = _python(python, "-m", name, "migrate", DATABASE_URL=committed)
    scripts = next((python.parent.parent / "lib").glob("python*/site-packages/llm_settings-*/entry_points.txt"))

    assert done.stdout.startswith("Nothing to do: the schema is as asked"), done.stderr
    assert "llm-settings = llm_settings.__main__:main" in scripts.read_text(encoding="utf-8")


@pytest.mark.parametrize("extra", ["store", "cli"])
def test_a_denial_is_on_record_without_rate_limits(install: Callable[..., Path], committed: str, extra: str) -> None:
    """What counts requests is the app's; a program without it refuses, and puts on record, all the same."""
    code = """if True:
        from llm_settings.actors import Actor
        from llm_settings.errors import Forbidden
        from llm_settings.manage import providers
        from llm_settings.store.db import transaction
        try:
            with transaction() as session:
                providers.create(session, Actor("nobody", token_id=0), {})
        except Forbidden as error:
            print(error)"""

    assert _prints(install(extra), code, DATABASE_URL=committed).startswith("This API token is revoked")
    with psycopg.connect(committed) as connection:
        found = connection.execute("SELECT actor FROM audit_events WHERE action = 'denied'").fetchall()
    assert found == [("nobody",)]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("extras", [(), ("store",)])
def test_the_command_line_names_its_extra(install: Callable[..., Path], extras: tuple[str, ...], name: str) -> None:
    """`python -m core` without the extra says which one to add."""
    done = _python(install(*extras), "-m", name, "--help")

    assert done.returncode == 1
    assert done.stderr.strip() == "The command line needs an extra: pip install 'llm-settings[cli]'"


def test_what_is_known_of_models_comes_along(service: Path) -> None:
    """The catalogue's two files are in the wheel, and a service reads them without an extra."""
    code = (
        "from llm_settings.models.facts import catalogue_health, facts, with_sources; f = facts('openai', 'gpt-5.4');"
        "print(catalogue_health().ok, f.reasoning, bool(f.prices), bool(with_sources(f).sources))"
    )

    assert _prints(service, code) == "True optional True True"


ONE_OBJECT = {
    "core first": "from core.resolve import resolve as a; from llm_settings.resolve import resolve as b; print(a is b)",
    "core last": "from llm_settings.resolve import resolve as a; from core.resolve import resolve as b; print(a is b)",
    "a module of a package": "from core import errors as a; from llm_settings import errors as b; print(a is b)",
    "a dotted import": "import core.resolving.effective, llm_settings.resolving.effective as b;"
    "print(core.resolving.effective is b)",
    "the resolver": "import core.resolve as a, llm_settings.resolve as b; print(a.resolver is b.resolver)",
    "an error of one, caught as the other's": "import core.errors as a, llm_settings.errors as b\n"
    "try: raise a.KeyMissing('x', 'no_key', '')\nexcept b.ApiKeyUnavailable: print(True)",
    "an override": "from core.testing import override; from llm_settings.resolve import resolve\n"
    "with override('x', model='m'): print(resolve('x').model == 'm')",
    "its spec is its own again": "import core.errors as a; print(a.__spec__.name == a.__name__ == 'llm_settings.errors')",
    "reloaded": "import importlib, core.errors as a; print(importlib.reload(a) is a)",
    "a forked child": "import os, core.resolve as a\nif not os.fork():\n import llm_settings.resolve as b, core.errors as c,"
    " llm_settings.errors as d\n os._exit(a is b and c is d)\nprint(os.wait()[1] == 256)",
    "a pickle": "import pickle, core.errors as a, llm_settings.errors as b\n"
    "e = pickle.loads(pickle.dumps(a.KeyMissing('x', 'no_key', 'cure')))\n"
    "print(type(e) is b.KeyMissing and e.provider == 'x' and 'cure' in str(e))",
    "a checkout's pickle": "import pickle; from llm_settings import errors\n"
    "e = pickle.loads(pickle.dumps(errors.NotFound('x', 1), 0).replace(b'llm_settings.errors', b'core.errors'))\n"
    "print(type(e) is errors.NotFound)",
    "threads that import at once": "import threading, importlib, sys\n"
    "names = [f'{p}.{m}' for m in ('resolve', 'ai', 'testing') for p in ('core', 'llm_settings')] * 4\n"
    "crew = [threading.Thread(target=importlib.import_module, args=(n,)) for n in names]\n"
    "[t.start() for t in crew]; [t.join() for t in crew]\n"
    "print(all(sys.modules[f'core.{m}'] is sys.modules[f'llm_settings.{m}'] for m in ('resolve', 'ai', 'testing')))",
    "a thread that imports while another is about to": "import threading, time, sys\nfrom importlib import import_module\n"
    "class Slow:\n    def find_spec(self, name, *_):\n        if name == 'llm_settings': time.sleep(0.5)\n"
    "sys.meta_path.insert(0, Slow()); first = threading.Thread(target=import_module, args=('core',)); first.start()\n"
    "while 'core' not in sys.modules: time.sleep(0.001)\n"
    "a = import_module('core.resolving.effective'); b = import_module('core.errors'); first.join()\n"
    "import llm_settings.resolving.effective as c, llm_settings.errors as d; print(a is c and b is d)",
    "what is not there": "import importlib.util as u\ntry: import core.migrate\n"
    "except ModuleNotFoundError as e: print(str(e) == \"No module named 'core.migrate'\" and not u.find_spec('core.x'))",
    "what is there, unloaded": "import sys, importlib.util as u; print(bool(u.find_spec('core.resolve')) and"
    " 'llm_settings.resolve' not in sys.modules)",
    "every module": "import pkgutil, importlib, llm_settings\n"
    "names = [m.name[13:] for m in pkgutil.walk_packages(llm_settings.__path__, 'llm_settings.') if 'migrations' not in m.name"
    " and m.name[13:] not in ('__main__', 'access.ratelimit', 'access.oidc', 'access.oidc_tokens', 'access.sso_flow', 'access.sso_users', 'calling.dial', 'calling.proxies')]\n"
    "print(len(names) > 40 and all(importlib.import_module('core.' + n) is importlib.import_module('llm_settings.' + n)"
    " for n in names))",
}


@pytest.mark.parametrize("code", ONE_OBJECT.values(), ids=ONE_OBJECT)
def test_both_names_are_one_object(install: Callable[..., Path], code: str) -> None:
    """One resolver, one set of error classes, one of each module, in any order of imports and in a forked child."""
    assert _prints(install("cli"), code) == "True"


def test_a_programs_own_core_is_not_in_the_way(service: Path, tmp_path: Path, committed: str) -> None:
    """A program that has its own `core` imports `llm_settings.resolve`, and its `core` stays its own."""
    with transaction() as session:
        providers.create(session, COMMAND_LINE, PROVIDER)
    own = tmp_path / "core"
    own.mkdir()
    (own / "__init__.py").write_text("OURS = True\n", encoding="utf-8")
    (own / "resolve.py").write_text("OURS = True\n", encoding="utf-8")
    (tmp_path / "program.py").write_text(
        "import core.resolve\nfrom llm_settings.resolve import resolve, resolver\n"
        "from llm_settings.testing import override\nresolver.start().wait(60)\n"
        "print(core.OURS, core.resolve.OURS, core.__file__, resolve('acme').api_key())\n"
        "with override('acme', model='other'):\n    print(resolve('acme').model)\n",
        encoding="utf-8",
    )
    done = _python(service, "program.py", cwd=tmp_path, DATABASE_URL=committed)

    assert done.stdout.split() == [*("True", "True", str(own / "__init__.py"), PROVIDER["api_key"]), "other"], (
        done.stderr
    )


PROGRAM = """
import {name}.ai
from {name} import errors
from {name}.resolve import EffectiveSettings, resolve
from {name}.testing import override

settings: EffectiveSettings = resolve("acme")
reveal_type(settings.max_tokens)
reveal_type(settings.request_options())
reveal_type({name}.ai.complete("Hello", provider="acme").text)
reveal_type(errors.KeyMissing("a", "no_key", "b").provider)
with override("acme", model="m") as given:
    reveal_type(given.model)
resolve(1)
settings.nothing
"""


def test_it_is_typed_under_both_names(service: Path, tmp_path: Path) -> None:
    """mypy --strict knows the types by either name, and finds what is wrong."""
    for name in NAMES:
        (tmp_path / f"by_{name}.py").write_text(PROGRAM.format(name=name), encoding="utf-8")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--cache-dir", tmp_path / "cache"),
            *("--config-file=", "--python-executable", service, *(f"by_{name}.py" for name in NAMES)),
        ],
        cwd=tmp_path,
        env=environment() | {"PYTHONPATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    expected = [
        'note: Revealed type is "int"',
        'note: Revealed type is "dict[str, Any]"',
        'note: Revealed type is "str"',
        'note: Revealed type is "str"',
        'note: Revealed type is "str | None"',
        'error: Argument 1 to "resolve" has incompatible type "int"; expected "str | None"  [arg-type]',
        'error: "EffectiveSettings" has no attribute "nothing"  [attr-defined]',
    ]
    for name in NAMES:
        told = [line.partition(": ")[2] for line in done.stdout.splitlines() if line.startswith(f"by_{name}.py:")]
        assert [line.replace("builtins.", "") for line in told] == expected, done.stdout + done.stderr
    assert len(done.stdout.splitlines()) == len(NAMES) * len(expected)


def test_a_store_that_needs_an_extra_is_told_by_its_name(service: Path, tmp_path: Path) -> None:
    """Without `[embedded]`, an existing cluster's settings are out of reach, and the cure names the extra."""
    cluster = tmp_path / "postgres" / "data"
    cluster.mkdir(parents=True)
    (cluster / "PG_VERSION").write_text("18\n", encoding="ascii")
    code = "from core.resolve import resolve, resolver; resolver.start().wait(60); s = resolve('x'); print(s.status, s.cure)"
    told = _prints(service, code, LLM_DATA_DIR=str(tmp_path))

    assert told.startswith("store_unavailable ")
    assert "pip install 'llm-settings[embedded]'" in told
    assert "check DATABASE_URL" not in told
