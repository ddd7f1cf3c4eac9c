"""The commands ``budgets …``."""

from pathlib import Path

from tests.processes import core


def test_a_budget_by_commands(database: str, tmp_path: Path) -> None:
    """Made, shown, topped up, corrected and taken away; what is wrong is said by its field, and exit 1."""
    env = {"DATABASE_URL": database, "LLM_DATA_DIR": str(tmp_path)}
    made = core("budgets", "create", "Night", "12.50", "day", "--time-zone", "Asia/Tokyo", **env)
    assert (made.returncode, made.stdout.strip()) == (
        0,
        "Made Night: $0.00 of $12.50 spent, by the day, hard, everything",
    )
    refused = core("budgets", "create", "b", "x", "day", **env)
    assert refused.returncode == 1
    assert "amount" in refused.stderr
    assert core("budgets", "top-up", "Night", "5", **env).returncode == 1  # without a reason
    topped = core("budgets", "top-up", "Night", "5", "--reason", "a rush", **env)
    assert topped.stdout.strip() == "Night: $0.00 of $17.50 spent, by the day, hard, everything"
    core("budgets", "correct", "Night", "--amount=-0.125", "--reason", "a credit", **env)
    shown = core("budgets", "show", "Night", **env).stdout
    for words in ("-$0.125 of $17.50 spent", "Asia/Tokyo", "top up $5.00", "a rush", "correction -$0.125", "a credit"):
        assert words in shown
    assert core("budgets", "list", **env).stdout.count("Night") == 1
    assert core("budgets", "remove", "Night", **env).stdout.strip() == "Deleted Night."
    assert core("budgets", "show", "Night", **env).returncode == 1
