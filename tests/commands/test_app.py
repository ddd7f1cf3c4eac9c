"""The command line as a whole: its names, and that each command is documented and in a module of its group."""

import importlib
import os
import pkgutil
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from typer.main import get_command

from core import commands
from core.commands.app import app
from tests.conftest import ROOT
from tests.processes import Forked, core, environment

COMMANDS = {
    "migrate": "schema",
    "check-migrations": "schema",
    "test": "providers",
    "seed": "import_env",
    "import-env": "import_env",
    "import": "import_from",
    "generate-key": "keys",
    "grant-app": "grants",
    "grant-reader": "grants",
    "grant-backup": "grants",
    "move": "move",
    "explain": "explain",
    "export": "documents",
    "apply": "documents",
    **{f"keys {name}": "keys" for name in ("status", "rotate", "check", "adopt", "fingerprint")},
    "providers needs-key": "providers",
    **{f"providers headers {name}": "providers" for name in ("list", "set", "remove")},
    **{f"providers query {name}": "providers" for name in ("list", "set", "remove")},
    **{f"providers keys {name}": "providers" for name in ("list", "add", "test", "promote", "retire")},
    **{
        f"users {name}": "users"
        for name in (
            "add",
            "passwd",
            "disable",
            "role",
            "break-glass",
            "link",
            "sign-out",
            "list",
            "review",
            "second-factor-reset",
        )
    },
    **{f"audit {name}": "audit" for name in ("head", "verify", "purge", "export")},
    **{f"catalogue {name}": "catalogue" for name in ("status", "export", "diff", "import")},
    **{f"models {name}": "models" for name in ("retiring", "facts", "set", "drop")},
    **{f"features {name}": "features" for name in ("add", "list", "delete")},
    **{f"webhooks {name}": "webhooks" for name in ("add", "list", "test", "remove")},
    **{
        f"organizations {name}": "organizations"
        for name in ("add", "list", "rename", "disable", "enable", "delete", "restore", "purge", "import", "keep")
    },
    **{f"organizations keys {name}": "organizations" for name in ("set", "remove")},
    **{f"organizations members {name}": "organizations" for name in ("set", "remove", "list")},
    **{f"history {name}": "history" for name in ("list", "show", "diff", "restore", "purge")},
    **{f"presets {name}": "presets" for name in ("list", "apply")},
    **{f"alerts {name}": "alerts" for name in ("list", "acknowledge", "resolve")},
    **{f"budgets {name}": "budgets" for name in ("list", "show", "create", "remove", "top-up", "correct")},
    **{f"rate-limits {name}": "rate_limits" for name in ("list", "show", "create", "update", "delete")},
    **{f"installation {name}": "installation" for name in ("show", "set")},
    **{f"limits {name}": "limits" for name in ("list", "set", "remove", "clear")},
    "jobs list": "jobs",
    "jobs run": "jobs",
    **{f"logs {name}": "logs" for name in ("purge", "find", "erase")},
    **{f"pii {name}": "pii" for name in ("list", "show", "set", "clear", "try")},
    "spend export": "spend",
    **{f"spend {name}": "spend" for name in ("reprice", "close", "reopen")},
    **{f"spend bill {name}": "spend" for name in ("list", "set", "remove", "import")},
    **{f"tokens {name}": "tokens" for name in ("create", "revoke", "list")},
}
"""Command -> the module of core.commands that has it."""


def _commands(command: object, name: str = "") -> Iterator[tuple[str, str]]:
    """Each command's name, and the module of its function."""
    found = getattr(command, "commands", None)
    if found is None:
        yield name.strip(), getattr(command, "callback").__module__.rpartition(".")[2]  # noqa: B009 - of click
        return
    for each, below in found.items():
        yield from _commands(below, f"{name} {each}")


def test_each_command_is_in_the_module_of_its_group() -> None:
    """The names that people type are these, each in its room; every room has some."""
    rooms = {module.name for module in pkgutil.iter_modules(commands.__path__)}

    assert dict(_commands(get_command(app))) == COMMANDS
    assert rooms == {*COMMANDS.values(), "app", "opening", "typed"}


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_is_documented(name: str) -> None:
    """The documentation has every command by its whole name."""
    pages = "".join(page.read_text(encoding="utf-8") for page in (ROOT / "docs").glob("*.md"))

    assert re.search(rf"(python -m core|llm-settings|`) ?{name}\b", pages)


def test_help_names_every_command() -> None:
    """`--help` of the program and of its groups list the commands, each with a sentence."""
    top = core("--help").stdout

    assert all(name.split()[0] in top for name in COMMANDS)
    for group in {name.split()[0] for name in COMMANDS if " " in name}:
        text = core(group, "--help").stdout
        assert all(re.search(rf"{name.split()[1]} +[A-Z]", text) for name in COMMANDS if name.startswith(f"{group} "))


def test_every_command_that_writes_takes_a_reason() -> None:
    """Whatever opens a transaction to write has --comment, and nothing else has it; no command that writes opens another one."""
    reads = {
        *("migrate", "check-migrations", "test", "generate-key", "move", "explain", "jobs run", "pii try"),
        *("grant-app", "grant-reader", "grant-backup"),
        *("keys status", "keys check", "audit head", "audit verify", "audit export", "installation show"),
        *("catalogue status", "catalogue export", "catalogue diff", "models retiring", "models facts"),
        *(
            "providers keys test",
            "export",
            "import",
            "history show",
            "history diff",
            "webhooks test",
            "spend export",
            "logs find",
            "budgets show",
            "rate-limits show",
            "pii show",
            "users review",
        ),
    }
    takes = {name for name, options in _options(get_command(app)) if "--comment" in options and "-m" in options}

    assert {*COMMANDS} - takes == reads | {name for name in COMMANDS if name.endswith(" list")}


def _options(command: object, name: str = "") -> Iterator[tuple[str, set[str]]]:
    """Each command's name, and its options."""
    found = getattr(command, "commands", None)
    if found is None:
        yield name.strip(), {option for each in getattr(command, "params") for option in each.opts}  # noqa: B009 - as above
        return
    for each, below in found.items():
        yield from _options(below, f"{name} {each}")


def test_a_group_is_one_module() -> None:
    """A module that has a group calls it `app`, and the group's commands are nowhere else."""
    for name in {name.split()[0] for name in COMMANDS if " " in name}:
        assert isinstance(importlib.import_module(f"core.commands.{name.replace('-', '_')}").app, typer.Typer)


@pytest.mark.parametrize("arguments", [("generate-key",), ("keys", "status")])
@pytest.mark.parametrize("streams", ["1", "2", "12", "closed"])
def test_output_that_cannot_be_written_is_no_traceback(
    committed: str, arguments: tuple[str, ...], streams: str, tmp_path: Path
) -> None:
    """A full disk under stdout, stderr or both, or none of them open: one sentence where there is room for it, and an exit code."""
    kept = {}
    for number in "12":
        path = Path("/dev/full") if number in streams else tmp_path / number
        kept[number] = path.open("w+", encoding="utf-8")
    env = environment(DATABASE_URL=committed)
    if streams in {"12", "closed"}:  # which an interpreter ends with as only its own start makes it
        code = (
            "import os, runpy, sys\n"
            + ("os.close(1); os.close(2); sys.stdout = sys.stderr = None\n" if streams == "closed" else "")
            + f"sys.argv = ['core', *{list(arguments)!r}]\nrunpy.run_module('core', run_name='__main__')"
        )
        command, to = [sys.executable, "-c", code], {"stdout": kept["1"], "stderr": kept["2"]}
        status = subprocess.run(command, env=env, cwd=ROOT, timeout=60, check=False, **to).returncode
    else:
        with Path(os.devnull).open("rb") as nothing:
            files = [nothing.fileno(), kept["1"].fileno(), kept["2"].fileno()]
            status = Forked("core", list(arguments), files, env, ROOT).wait(60)
    for file in kept.values():
        file.close()

    written = "".join(path.read_text() for path in tmp_path.iterdir())
    assert "Traceback" not in written
    assert "OSError" not in written
    if "1" in streams:
        assert status == 1
    if streams == "1":
        assert "No space left on device" in written
