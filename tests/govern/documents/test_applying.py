"""What export writes, apply finds unchanged; one apply is one transaction, and a second one has nothing left to do."""

from typing import Any

import pytest
from sqlalchemy import text
from sqlmodel import Session, func, select

from core.actors import COMMAND_LINE, Actor
from core.errors import Conflict, Forbidden, Invalid
from core.govern.documents import applying, planning, schema, wording, writing
from core.manage import organization_keys, organization_members, providers, settings
from core.store import db
from core.store.organization_tables import OrganizationProvider
from core.store.records import AuditEvent
from core.store.table import id_of
from core.store.tables import LlmProvider
from tests import stores
from tests.conftest import make_user


def events(session: Session) -> int:
    """Number of events on record."""
    return session.exec(select(func.count()).select_from(AuditEvent)).one()


def applied(session: Session, text: str, **how: Any) -> planning.ChangePlan:
    """Apply a document as the command line does."""
    return applying.put(session, COMMAND_LINE, schema.read(text), **how)


def test_nothing_of_what_export_writes_changes(session: Session) -> None:
    """Of a store with something of everything, with prune too, whole and of one organisation: nothing is written."""
    stores.fill(session, rows=1)
    before = events(session)
    for organization in (None, "acme-2"):
        document = writing.write(session, COMMAND_LINE, organization)
        found = applied(session, document, organization=organization, prune=True)
        assert wording.diff(found) == "Nothing to change."
        assert writing.write(session, COMMAND_LINE, organization) == document
    assert events(session) == before
    assert not session.dirty


def stored_provider(session: Session) -> LlmProvider:
    """The provider openai."""
    return providers.get_by_name(session, "openai")


def own_row(session: Session) -> OrganizationProvider:
    """What an organisation may of it."""
    return session.exec(select(OrganizationProvider)).one()


KEY = "sk-canary-document-0123456789abcdefgh"
SMALL = """
version: 1
defaults: {temperature: 0.3, default_provider: openai}
providers:
  openai:
    display_name: OpenAI
    kind: openai
    available_models: [gpt-6, gpt-6-mini]
    default_model: gpt-6
    api_key: {env: OPENAI_API_KEY}
    headers: {X-Team: research, X-Sealed: {file: /run/secrets/header}}
    query: {api-version: "2024-10-21"}
    settings: {max_tokens: {omit: true}, top_p: {omit: true, value: 0.5}, preferred_model: gpt-6-mini}
features:
  classify:
    display_name: Classify
    settings: {temperature: 0}
    providers: {openai: {settings: {stop: [END]}}}
model_facts:
  - {pattern: house-*, facts: {context: 1000}, why: measured}
organizations:
  acme:
    name: Acme
    template: gold
    external_names: [crm 17]
    settings: {temperature: 0.9}
    providers: {openai: {allowed_models: [gpt-6-mini], api_key: {env: ACME_KEY}, settings: {max_tokens: 500}}}
    features: {classify: {settings: {temperature: 0.1}, providers: {openai: {settings: {max_retries: 0}}}}}
  gold: {name: Gold, kind: template}
limits:
  - {limits: {temperature: {max: 1.5}, default_provider: {in: [openai]}}, note: contract}
  - {owner: organization, organization: acme, feature: classify, provider: openai, limits: {max_retries: {lock: true}}}
"""
SECRETS = {
    "providers.openai.api_key": KEY,
    "providers.openai.headers.X-Sealed": f"{KEY}-header",
    "organizations.acme.providers.openai.api_key": f"{KEY}-acme",
}


def test_what_is_applied_is_what_export_writes(session: Session) -> None:
    """Applied to an empty store, exported and applied again: nothing changes. Keys and all; none of them stands anywhere."""
    found = applied(session, SMALL, secrets=SECRETS)
    assert all(change.what == "create" for change in found.changes)
    document = writing.write(session, COMMAND_LINE)
    assert not applied(session, document, prune=True).changes
    assert not applied(session, SMALL, secrets=SECRETS, prune=True).changes
    stored = providers.get_by_name(session, "openai")
    assert providers.open_api_key(session, id_of(stored)) == KEY
    assert settings.effective(session, "openai").omitted == ("max_tokens", "top_p")
    seen = repr([event.model_dump() for event in session.exec(select(AuditEvent))]) + document + wording.diff(found)
    assert KEY not in seen
    assert "apply:command line" in seen


def test_a_row_is_as_the_document_says_it(session: Session) -> None:
    """What a line is taken away of inherits; rows that are not named stay, unless prune says otherwise, and keys stay always."""
    applied(session, SMALL, secrets=SECRETS)
    less = """
    version: 1
    providers:
      openai:
        display_name: OpenAI
        kind: openai
        available_models: [gpt-6]
        settings: {temperature: 1}
    organizations:
      acme: {name: Acme}
    """
    found = applied(session, less)
    assert wording.diff(found).splitlines() == [
        "~ providers.openai",
        '    available_models: - "gpt-6-mini"',
        '    default_model: "gpt-6" -> nothing',
        "~ organizations.acme",
        '    external_names: - "crm 17"',
        '    template: "gold" -> nothing',
        "~ providers.openai.settings",
        '    max_tokens: {"omit": true} -> nothing',
        '    preferred_model: "gpt-6-mini" -> nothing',
        "    temperature: nothing -> 1.0",
        '    top_p: {"omit": true, "value": 0.5} -> nothing',
        "3 to change.",
    ]
    assert "X-Sealed" in writing.write(session, COMMAND_LINE)
    pruned = applied(session, less, prune=True)
    assert [change.path for change in pruned.changes] == [
        "organizations.acme.settings",
        "organizations.acme.providers.openai.settings",
        "organizations.acme.features.classify.settings",
        "organizations.acme.features.classify.providers.openai.settings",
        "organizations.acme.providers.openai",
        "organizations.gold",
        "providers.openai.headers.x-sealed",
        "providers.openai.headers.x-team",
        "providers.openai.query.api-version",
    ]
    left = writing.write(session, COMMAND_LINE)
    assert "classify" in left  # a section that is not named is left alone
    assert left.count("fingerprint") == 2


def test_a_dry_run_keeps_nothing_and_refuses_what_would_be_refused(session: Session) -> None:
    """It is tried and taken back: no row, no event; what a write would refuse is refused, by its path."""
    before, empty = events(session), writing.write(session, COMMAND_LINE)
    found = applied(session, SMALL, secrets={}, missing=True, dry_run=True)
    assert len(found.changes) > 5
    assert set(found.unread) == set(SECRETS)
    assert events(session) == before
    assert writing.write(session, COMMAND_LINE) == empty
    wrong = SMALL.replace("preferred_model: gpt-6-mini", "preferred_model: gpt-9")
    with pytest.raises(Invalid) as refused:
        applied(session, wrong, secrets=SECRETS, dry_run=True)
    assert list(refused.value.fields) == ["providers.openai.settings.preferred_model"]
    assert events(session) == before


def test_what_somebody_changed_since_the_last_apply_is_in_dispute(session: Session, admin: Actor) -> None:
    """A field that differs and was changed by hand after the last apply is a conflict, unless it is taken; before the first nothing is."""
    document = "version: 1\ndefaults: {temperature: 0.3, max_tokens: 100}\n"
    settings.upsert_global(session, admin, None, {"temperature": 0.1})
    assert not applied(session, document).disputed
    settings.upsert_global(session, admin, None, {"temperature": 0.7})
    changed = document.replace("100", "200")
    with pytest.raises(Conflict) as conflict:
        applied(session, changed)
    assert conflict.value.changed_by == "ada"
    assert conflict.value.changes == {"defaults.temperature": ("0.7", "0.3")}
    tried = applied(session, changed, dry_run=True)
    assert "! changed by ada at " in wording.diff(tried)
    assert "2 fields" not in wording.summary(tried)
    applied(session, changed.replace("0.3", "0.7"))  # taken over into the document
    assert len(applied(session, changed, take=True).changes) == 1
    row = settings.get_global(session, None)
    assert row is not None
    assert (row.temperature, row.max_tokens, row.updated_by) == (0.3, 200, "apply:command line")


def test_secrets_come_by_reference_from_the_command_line_alone(session: Session) -> None:
    """Where nobody resolves references each is refused by its path; one that says it is set is nothing, or to be entered."""
    with pytest.raises(Invalid, match="only the command line resolves") as refused:
        applied(session, SMALL)
    assert set(refused.value.fields) == set(SECRETS)
    applied(session, SMALL, secrets=SECRETS)
    document = writing.write(session, COMMAND_LINE)
    providers.remove_api_key(session, COMMAND_LINE, id_of(providers.get_by_name(session, "openai")))
    found = applied(session, document)
    assert found.changes == ()
    assert found.to_enter == ("providers.openai.api_key",)
    assert applied(session, SMALL, secrets=SECRETS, take=True).changes[0].path == "providers.openai"
    assert writing.write(session, COMMAND_LINE) == document
    gone = SMALL.replace("api_key: {env: ACME_KEY}", "api_key: {set: false}")
    applied(session, gone, secrets={path: key for path, key in SECRETS.items() if "acme" not in path})
    assert "requires_own_key" not in writing.write(session, COMMAND_LINE)
    assert organization_keys.key_state(stored_provider(session), own_row(session)).state == "none"


def test_models_are_exchanged_together_with_what_prefers_them(session: Session) -> None:
    """A model that goes and the settings that preferred it, a provider that ends and the default it was: one document does both."""
    applied(session, SMALL, secrets=SECRETS)
    exchanged = SMALL.replace("gpt-6-mini", "gpt-7").replace("available_models: [gpt-6,", "available_models: [")
    exchanged = exchanged.replace("default_model: gpt-6\n", "default_model: gpt-7\n")
    found = applied(session, exchanged, secrets=SECRETS)
    assert {change.path for change in found.changes} == {
        "providers.openai",
        "providers.openai.settings",
        "organizations.acme.providers.openai",
    }
    assert providers.get_by_name(session, "openai").available_models == ["gpt-7"]
    assert not applied(session, exchanged, secrets=SECRETS).changes


@pytest.mark.parametrize(
    ("document", "path", "rule"),
    [
        ("organizations: {acme: {name: A, providers: {nobody: {}}}}", "organizations.acme.providers.nobody", "neither"),
        ("organizations: {acme: {name: A, features: {x: {settings: {}}}}}", "organizations.acme.features.x", "neither"),
        ("organizations: {acme: {name: A, template: b}}", "organizations.acme.template", "neither"),
        (
            "organizations: {a: {name: A, template: b}, b: {name: B, template: a}}",
            "organizations.a.template",
            "no template",
        ),
        (
            "organizations: {a: {name: A, kind: template, template: b}, b: {name: B, kind: template, template: a}}",
            "organizations.b.template",
            "builds on no other",
        ),
        ("defaults: {default_provider: nobody}", "defaults.default_provider", "neither"),
        (
            "model_facts: [{pattern: a, facts: {context: 1}, why: x}, {pattern: A, facts: {context: 1}, why: x}]",
            "model_facts.a",
            "twice",
        ),
    ],
)
def test_what_it_names_has_to_be_there(session: Session, document: str, path: str, rule: str) -> None:
    """A scope that does not exist, a template that is none, a circle of them: refused by path, before anything is written."""
    with pytest.raises(Invalid) as refused:
        applied(session, f"version: 1\n{document}\n")
    assert rule in refused.value.fields[path]


def test_an_organisations_admin_applies_its_document_alone(session: Session) -> None:
    """Its own rows are written; what the installation decides, another section or another organisation is refused."""
    applied(session, SMALL, secrets=SECRETS)
    session.flush()
    member = make_user("mia", "member")
    acme = session.scalar(text("SELECT id FROM organizations WHERE slug = 'acme'"))
    organization_members.set_member(session, COMMAND_LINE, acme, member.user_id or 0, "admin")
    session.flush()
    epoch = session.scalar(text("SELECT auth_epoch FROM users WHERE username = 'mia'"))
    member = Actor("mia", member.user_id, epoch)
    own = writing.write(session, member, "acme")
    assert "gold" in own
    assert "defaults" not in own
    assert not applying.put(session, member, schema.read(own), organization="acme", prune=True).changes
    changed = own.replace("temperature: 0.9", "temperature: 0.8")
    applying.put(session, member, schema.read(changed), organization="acme")
    with pytest.raises(Forbidden):
        applying.put(session, member, schema.read(changed))
    with pytest.raises(Forbidden):
        applying.put(session, member, schema.read(changed.replace("- gpt-6-mini", "- gpt-6")), organization="acme")
    for other in ("version: 1\ndefaults: {}\n", "version: 1\norganizations: {gold: {name: G}}\n"):
        with pytest.raises(Invalid, match="does not belong"):
            applying.put(session, member, schema.read(other), organization="acme")


def test_one_generation_and_none_without_a_change(committed: str) -> None:
    """An apply is one generation, whatever it writes; the second one, and a dry run, leave it where it is."""
    del committed

    def generation() -> int:
        with db.transaction() as session:
            found: int = session.execute(text("SELECT generation FROM settings_generation")).scalar_one()
            return found

    def put(**how: Any) -> planning.ChangePlan:
        with db.transaction() as session:
            return applied(session, SMALL, secrets=SECRETS, **how)

    began = generation()
    put(dry_run=True)
    assert generation() == began
    assert len(put().changes) > 5
    assert generation() == began + 1
    assert not put().changes
    assert generation() == began + 1
    with pytest.raises(Conflict):
        put(generation=began)
