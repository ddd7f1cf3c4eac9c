"""`import-env`, run as people run it."""

from pathlib import Path

from core.manage import providers
from core.store import db
from tests.processes import core

OPENAI = "sk-proj-canary-0123456789abcdefghijklmnopqrstuvwxyz"
GEMINI = "AIzaCanary0123456789abcdefghijklmnopqrs"


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
