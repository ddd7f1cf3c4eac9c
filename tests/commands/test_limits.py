"""`python -m core limits`: set with a preview, listed in words, cleared, lifted; `explain` says what a limit changes and who set it."""

from sqlmodel import Session

from core.actors import COMMAND_LINE
from core.manage import organizations, providers, settings
from core.manage.scopes import SettingsScope
from core.store.table import id_of
from tests.processes import core


def test_limits_by_command(committed: str, session: Session) -> None:
    """A whole life: a dry run writes nothing, names stand for default providers, and a wrong rule is one sentence and exit 1."""
    made = {"name": "openai", "display_name": "P", "kind": "openai", "available_models": ["m"], "default_model": "m"}
    providers.create(session, COMMAND_LINE, made | {"needs_key": True})
    acme = id_of(organizations.create_one(session, COMMAND_LINE, {"slug": "acme", "name": "Acme"}))
    settings.upsert(session, COMMAND_LINE, SettingsScope(organization_id=acme), {"max_tokens": 8000})
    session.commit()
    rules = '{"max_tokens": {"max": 4000}, "default_provider": {"in": ["openai"]}}'
    to_acme = ("--organization", "acme", "--note", "contract")

    def run(*words: str) -> str:
        done = core(*words, DATABASE_URL=committed)
        return done.stdout + done.stderr

    assert run("limits", "set", rules, *to_acme, "--dry-run") == (
        "Out of force: 1 row of 1 organisation.\n  acme · all providers: max_tokens\n"
    )
    assert run("limits", "list") == ""
    assert "acme · all providers, of the installation. It holds everywhere." in run("limits", "set", rules, *to_acme)
    listed = run("limits", "list", "--organization", "acme")
    assert "max_tokens: at most 4,000" in listed
    assert "default_provider: openai" in listed
    assert "“contract”" in listed
    explained = run("explain", "openai", "--organization", "acme")
    assert "wanted 8,000: at most 4,000: limit of command line, " in explained
    assert "max_tokens: has no rule in" in run("limits", "set", '{"max_tokens": {"in": [1]}}', *to_acme)
    assert run("limits", "clear", listed.split()[0]) == "Cleared 1 row.\n"
    assert run("limits", "remove", listed.split()[0]).startswith("Lifted limits ")
    assert run("limits", "list") == ""
