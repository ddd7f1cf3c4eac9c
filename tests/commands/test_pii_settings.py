"""The commands ``pii list|show|set|clear``."""

from pathlib import Path

from tests.processes import core


def test_personal_data_of_a_scope_by_commands(database: str, tmp_path: Path) -> None:
    """Said, shown with its layer, inherited again, cleared; what is wrong is said by its field, and exit 1."""
    env = {"DATABASE_URL": database, "LLM_DATA_DIR": str(tmp_path)}
    core("features", "add", "chat", **env)
    made = core("pii", "set", "--logs", "off", "--types", "email, iban", "--no-restore", **env)
    assert (made.returncode, made.stdout.strip()) == (
        0,
        "Saved for all providers. In force within a second or two.",
    )
    refused = core("pii", "set", "--feature", "chat", "--logs", "loud", "--inherit", "prompts", **env)
    assert (refused.returncode, "logs" in refused.stderr, "off or mask" in refused.stderr) == (1, True, True)
    assert (
        core("pii", "set", "--feature", "chat", "--logs", "mask", "--allow", '["info@acme.example"]', **env).returncode
        == 0
    )
    shown = core("pii", "show", "--feature", "chat", **env).stdout.splitlines()
    assert shown[0].split(maxsplit=2) == ["logs", "mask", "feature (chat)"]
    assert [line for line in shown if line.startswith("types")] == ["types       EMAIL, IBAN  all providers"]
    assert core("pii", "list", **env).stdout.splitlines() == [
        "all providers: logs off; restore Off; types EMAIL, IBAN",
        "chat · all providers: logs mask; allow info@acme.example",
    ]
    core("pii", "set", "--inherit", "logs,types", **env)
    assert core("pii", "list", **env).stdout.splitlines()[0] == "all providers: restore Off"
    assert core("pii", "set", "--inherit", "sizes", **env).returncode == 1
    assert core("pii", "clear", **env).returncode == 0
    assert core("pii", "clear", **env).returncode == 1
