"""The command line, run as people run it."""

import json
import re
import sys
from pathlib import Path

import pytest

from core.access import users
from core.actors import COMMAND_LINE
from core.crypto import KeyRing
from core.manage import providers, settings
from core.store import db, migrate
from tests.conftest import ENCRYPTION_KEY, PASSWORD, ROOT
from tests.processes import core

OPENAI = "sk-proj-canary-0123456789abcdefghijklmnopqrstuvwxyz"
GEMINI = "AIzaCanary0123456789abcdefghijklmnopqrs"


def test_generate_key_makes_a_key_that_is_accepted() -> None:
    """generate-key prints 64 hex digits, another one each time."""
    first, second = core("generate-key").stdout.strip(), core("generate-key").stdout.strip()

    assert re.fullmatch(r"[0-9a-f]{64}", first)
    assert first != second
    assert KeyRing(first).primary_id


def test_migrate_says_what_it_did(committed: str) -> None:
    """`migrate` brings an empty database up; a second run finds nothing to do; other commands name it until then."""
    migrate.downgrade(db.get_engine(), "base")

    refused = core("seed", DATABASE_URL=committed)
    assert refused.returncode == 1
    assert "Run: python -m core migrate" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert core("migrate", DATABASE_URL=committed).stdout.startswith("Migrated: the database t_")
    assert "Nothing to do" in core("migrate", DATABASE_URL=committed).stdout


def test_import_env_moves_the_keys(committed: str, tmp_path: Path) -> None:
    """import-env from a .env file: dry run, import, and again; it reports each variable and never prints a key."""
    file = tmp_path / "service.env"
    file.write_text(
        f"# keys\nexport OPENAI_API_KEY='{OPENAI}'\nGEMINI_API_KEY={GEMINI} # Google's\nANTHROPIC_API_KEY=\n"
    )

    dry, first, second = (
        core("import-env", str(file), *more, DATABASE_URL=committed) for more in (("--dry-run",), (), ())
    )

    assert "nothing was changed" in dry.stdout
    assert "created     OPENAI_API_KEY" in first.stdout
    assert "left alone  ANTHROPIC_API_KEY: is not set" in first.stdout
    assert "can go from" in first.stdout
    assert "OPENAI_API_KEY, GEMINI_API_KEY" in first.stdout
    assert "left alone  OPENAI_API_KEY: provider openai has this key already" in second.stdout
    for done in (dry, first, second):
        assert done.returncode == 0, done.stderr
        assert OPENAI[:20] not in done.stdout + done.stderr
        assert GEMINI[:20] not in done.stdout + done.stderr
    with db.transaction() as session:
        found = {p.name: (p.is_active, providers.open_api_key(session, p.id or 0)) for p in providers.list_all(session)}
    assert found == {"openai": (True, OPENAI), "google": (True, GEMINI)}


def test_keys_check_counts_rows_by_key(committed: str, tmp_path: Path) -> None:
    """`keys check` seals and opens a sample, counts rows per key, and fails when a row cannot be opened."""
    file = tmp_path / "service.env"
    file.write_text(f"OPENAI_API_KEY={OPENAI}\n")
    core("import-env", str(file), DATABASE_URL=committed)
    key_id = KeyRing(ENCRYPTION_KEY).primary_id

    good = core("keys", "check", DATABASE_URL=committed)
    wrong = core("keys", "check", DATABASE_URL=committed, LLM_ENCRYPTION_KEY="fedcba9876543210" * 4)
    broken = core("keys", "check", DATABASE_URL=committed, LLM_ENCRYPTION_KEY="12\n")

    assert good.returncode == 0
    assert f"Sealed with {key_id}: 1 API key, ok" in good.stdout
    assert wrong.returncode == 1
    assert f"Sealed with {key_id}: 1 API key, unknown_key" in wrong.stdout
    assert broken.returncode == 1
    assert "ends with a line break" in broken.stderr
    assert "Traceback" not in broken.stderr


def test_users_are_managed(committed: str) -> None:
    """users add, list, role, passwd and disable; the password comes from standard input and is never printed."""
    url = {"DATABASE_URL": committed}
    core("users", "add", "ada", "--role", "admin", stdin=PASSWORD + "\n", **url)
    added = core("users", "add", "Grace", stdin=PASSWORD + "\n", **url)
    short = core("users", "add", "bob", stdin="short\n", **url)
    core("users", "role", "grace", "admin", **url)
    core("users", "passwd", "grace", stdin="another " + PASSWORD, **url)
    core("users", "disable", "ada", **url)
    last = core("users", "disable", "grace", **url)

    assert added.stdout == "Added grace as analyst.\n"
    assert short.returncode == 1
    assert "password: must be 15 to 64 characters" in short.stderr
    assert "last active admin" in last.stderr
    assert re.findall(r"(\w+) +(\w+) +(\w+)", core("users", "list", **url).stdout) == [
        ("ada", "admin", "disabled"),
        ("grace", "admin", "active"),
    ]
    with db.transaction() as session:
        grace = users.find(session, "grace")
        assert grace is not None
        assert grace.auth_epoch == 3


@pytest.mark.parametrize("url", ["mysql://x/y", "postgresql://h:port/x", "sqlite:///x.db"])
def test_database_url_that_is_none_is_refused(url: str) -> None:
    """A DATABASE_URL that names no PostgreSQL database is refused in one sentence."""
    done = core("migrate", DATABASE_URL=url)

    assert done.returncode == 1
    assert done.stderr.startswith("Error: DATABASE_URL")
    assert "Traceback" not in done.stderr


def test_help_names_every_command() -> None:
    """The help lists the commands of the documentation."""
    text = core("--help").stdout

    for command in ("migrate", "seed", "import-env", "generate-key", "keys", "users", "check-migrations"):
        assert command in text
    assert sys.version_info >= (3, 11)


def test_explain(committed: str, tmp_path: Path) -> None:
    """`explain` says what a service here gets, and why: the same as `s.explain()`, as text and as JSON."""
    url = {"DATABASE_URL": committed}
    with db.transaction() as session:
        openai = providers.create(
            session,
            COMMAND_LINE,
            {
                "name": "openai",
                "display_name": "OpenAI",
                "kind": "openai",
                "available_models": ["m"],
                "default_model": "m",
                "api_key": OPENAI,
            },
        )
        settings.upsert_global(session, COMMAND_LINE, None, {"temperature": 0.1})
        settings.upsert_global(
            session, COMMAND_LINE, openai.id, {"temperature": 0.25, "custom_settings": {"a": "\u00fc"}, "top_p": 0.5}
        )
        settings.upsert_global(session, COMMAND_LINE, openai.id, {"omitted_parameters": ["top_p"]})
    told = core("explain", "openai", **url)
    as_json = json.loads(core("explain", "openai", "--json", **url).stdout)
    unknown = core("explain", "opnai", **url)
    away = core("explain", "openai", cwd=tmp_path, LLM_DATA_DIR=str(tmp_path), PYTHONPATH=str(ROOT))
    with db.transaction() as session:
        here = settings.effective(session, "openai")

    assert told.returncode == 0, told.stderr
    assert re.search(r"^openai: ok, generation \d+$", told.stdout, re.MULTILINE)
    assert re.search(
        r"^temperature +0\.25 +sent +this provider, row \d+, version 1, by command line, \d{4}-",
        told.stdout,
        re.MULTILINE,
    )
    assert "hides 0.1: all providers, row" in told.stdout
    assert "hides 0.7: built-in default" in told.stdout
    assert re.search(r"^top_p +0\.5 +not sent", told.stdout, re.MULTILINE)
    assert OPENAI not in told.stdout + str(as_json)
    assert (as_json["status"], as_json["stale"]) == ("ok", False)
    assert as_json["settings"] == [item.as_dict() for item in here.explain()]
    assert {item["name"]: item["sent"] for item in as_json["settings"]}["top_p"] is False
    assert (unknown.returncode, away.returncode) == (1, 1)
    assert "There are:" in unknown.stdout
    assert "openai" in unknown.stdout
    assert "store_unavailable" in away.stdout
    assert "Traceback" not in told.stderr + unknown.stderr + away.stderr
