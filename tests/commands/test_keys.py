"""The commands about keys, run as people run them."""

import re
from pathlib import Path

from core.crypto import KeyRing
from tests.conftest import ENCRYPTION_KEY
from tests.processes import core

OPENAI = "sk-proj-canary-0123456789abcdefghijklmnopqrstuvwxyz"


def test_generate_key_makes_a_key_that_is_accepted() -> None:
    """generate-key prints 64 hex digits, another one each time."""
    first, second = core("generate-key").stdout.strip(), core("generate-key").stdout.strip()

    assert re.fullmatch(r"[0-9a-f]{64}", first)
    assert first != second
    assert KeyRing(first).primary_id


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
