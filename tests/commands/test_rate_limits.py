"""The commands ``rate-limits …``."""

from pathlib import Path

from tests.processes import core


def test_a_rate_limit_by_commands(database: str, tmp_path: Path) -> None:
    """Made, shown, changed and taken away; what is wrong is said by its field, and exit 1."""
    env = {"DATABASE_URL": database, "LLM_DATA_DIR": str(tmp_path)}
    made = core("rate-limits", "create", "Chat", "--requests-per-minute", "6000", "--model", "gpt-5.1", **env)
    assert (made.returncode, made.stdout.strip()) == (0, "Made Chat: 6,000 requests a minute, gpt-5.1")
    refused = core("rate-limits", "create", "b", **env)
    assert refused.returncode == 1
    assert "max_concurrent" in refused.stderr
    changed = core(
        *("rate-limits", "update", "Chat", "--requests-per-minute", "0", "--max-concurrent", "8", "--inactive"), **env
    )
    assert changed.stdout.strip() == "Chat: 8 at once, gpt-5.1, switched off"
    shown = core("rate-limits", "show", "Chat", **env).stdout
    assert "a call waits 2,000 ms at most" in shown
    assert core("rate-limits", "list", **env).stdout.count("Chat") == 1
    assert core("rate-limits", "delete", "Chat", **env).stdout.strip() == "Deleted Chat."
    assert core("rate-limits", "show", "Chat", **env).returncode == 1
