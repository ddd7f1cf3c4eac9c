"""The commands of history, and explain --at."""

import json

import psycopg
from typer.testing import CliRunner

from core.commands.app import app


def test_history_by_commands(committed: str) -> None:
    """What was changed is listed, compared, shown and put back; what was in force then is explained; the oldest part is purged."""

    def run(*words: str) -> tuple[int, str]:
        done = CliRunner().invoke(app, words)
        return done.exit_code, done.output

    with psycopg.connect(committed, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO llm_providers (name, display_name, kind, available_models) VALUES ('openai', 'O', 'openai', '[\"m\"]')"
        )
        generations = []
        for statement in (
            "INSERT INTO llm_settings (id, max_tokens) VALUES (7, 100)",
            "UPDATE llm_settings SET max_tokens = 9000",
        ):
            connection.execute(statement.encode())
            row = connection.execute("SELECT generation FROM settings_generation").fetchone()
            assert row is not None
            generations.append(str(row[0]))
    first, last = generations
    code, out = run("history", "list", "--field", "max_tokens")
    assert code == 0
    assert "max_tokens: 100 -> 9000" in out
    assert "llm_settings 7 (all providers)" in out
    code, out = run("history", "diff", first, last)
    assert code == 2
    assert "max_tokens: 100 -> 9000" in out
    assert run("history", "diff", last, last) == (0, "Nothing differs.\n")
    assert '"max_tokens": 100' in run("history", "show", "llm_settings", "7", "--generation", first)[1]
    code, out = run("explain", "openai", "--at", first, "--json")
    assert code == 0
    assert {each["name"]: each["value"] for each in json.loads(out)["settings"]}["max_tokens"] == 100
    assert run("history", "restore", first, "--table", "llm_settings", "--row", "7", "--dry-run")[0] == 0
    code, out = run("history", "restore", first, "--table", "llm_settings", "--row", "7")
    assert code == 0
    assert "changed: llm_settings 7" in out
    with psycopg.connect(committed) as connection:
        assert connection.execute("SELECT max_tokens FROM llm_settings").fetchone() == (100,)
    assert "Nothing to do" in run("history", "purge", "--older-than", "30")[1]
