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


def test_an_admin_says_sees_and_takes_back(committed: str) -> None:
    """A fact by the command line: refused without sense, shown with its why, hidden value and verdicts, and dropped again."""
    url = {"DATABASE_URL": committed}
    wrong = core("models", "set", "o3", '{"temperature": {"maybe": true}}', "--why", "x", **url)
    assert wrong.returncode == 1
    assert "temperature.maybe" in wrong.stderr
    made = core("models", "set", "o3", '{"temperature": {"ok": true}, "context": 5}', "--why", "tried it", **url)
    assert made.returncode == 0, made.stderr
    assert 'o3 everywhere: {"context": 5, "temperature": {"ok": true}} (command line, ' in made.stdout
    assert "Note: No model of a provider matches it yet." in made.stdout

    told = core("models", "facts", "o3", "--api", "openai", **url).stdout
    assert "context: 5 (operator, " in told
    assert "tried it; hides 200000 (catalogue))" in told
    assert "temperature: ok (operator, " in told
    assert core("models", "facts", **url).stdout.startswith("o3 everywhere")
    assert core("models", "drop", "O3", **url).stdout == "Nothing is said of o3 any more.\n"
    assert core("models", "drop", "o3", **url).returncode == 1
    assert core("models", "facts", **url).stdout.startswith("Nothing is said of any model")
