"""`python -m core models retiring` is a list to read, and an exit code for a nightly check."""

from core.actors import COMMAND_LINE
from core.manage import providers
from core.store.db import transaction
from tests.processes import core

GROK = {"kind": "openai_compatible", "api_base_url": "https://api.x.ai/v1", "needs_key": True}


def _add(name: str, model: str, **more: object) -> None:
    with transaction() as session:
        data = {
            "name": name,
            "display_name": name,
            "kind": "openai",
            "available_models": [model],
            "default_model": model,
        }
        providers.create(session, COMMAND_LINE, data | more)


def test_retiring(committed: str) -> None:
    """Nothing to say, then a model that has ended: who uses it, what answers now, what it costs."""
    _add("new", "gpt-6-luna")
    none = core("models", "retiring", "--days", "30", DATABASE_URL=committed)
    assert none.returncode == 0, none.stderr
    assert none.stdout == "No model in use ends within 30 days, as far as the catalogue knows.\n"

    _add("grok", "grok-3", **GROK)
    ended = core("models", "retiring", DATABASE_URL=committed)

    assert ended.returncode == 1
    assert ended.stdout.startswith("grok-3 at xAI: ends 2026-05-15, ")
    assert (
        "days ago; then calls are answered by another model. Used by 1 provider (grok), 1 default, 0 calls"
        in ended.stdout
    )
    assert "Successor: grok-4.3, price 3/15 -> 1.25/2.5." in ended.stdout.replace(".0", "")
