"""What pages show of a scope is what services get; members see their own organisation, and of others the same as of none."""

import json
import random
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from sqlalchemy import event, text
from sqlmodel import Session

from core.actors import COMMAND_LINE, Actor
from core.crypto import get_ring
from core.errors import CoreError, Forbidden, NotFound
from core.manage import features, organization_keys, organization_members, organizations, providers, settings
from core.manage.hierarchy import AskedFor, InForce, in_force, of_all_providers
from core.manage.organization_members import INSTALLATION
from core.manage.scopes import SettingsScope
from core.resolving import reading
from core.resolving.effective import EffectiveSettings
from core.store import db
from core.store.table import id_of
from core.store.tables import User
from tests.conftest import make_user

ROUNDS = 4
OWN_KEY = "sk-own-0123456789abcdefghij"


@pytest.fixture
def ids(session: Session) -> dict[str, int]:
    """Three providers of which one is not active, a template, two organisations, two features of which one is not active."""
    return _made(session)


def _made(session: Session) -> dict[str, int]:
    found = {}
    for name in ("openai", "local", "off"):
        made = {"name": name, "display_name": name, "kind": "openai", "available_models": ["m1", "m2"]}
        more = {"default_model": "m1", "api_key": "sk-all-0123456789abcdefghij", "is_active": name != "off"}
        found[name] = id_of(providers.create(session, COMMAND_LINE, {**made, **more}))
    tier = organizations.create_one(session, COMMAND_LINE, {"slug": "tier", "name": "T", "kind": "template"})
    found["tier"] = id_of(tier)
    for slug, template in (("acme", tier.id), ("beta", None)):
        row = organizations.create_one(session, COMMAND_LINE, {"slug": slug, "name": slug, "template_id": template})
        found[slug] = id_of(row)
    for name in ("summarise", "asleep"):
        entry = {"name": name, "display_name": name, "is_active": name != "asleep"}
        found[name] = id_of(features.create(session, COMMAND_LINE, entry))
    return found


def _shuffle(session: Session, ids: dict[str, int], number: int) -> None:
    """Store something else everywhere; the template is not active in the second round, and acme in the third."""
    dice = random.Random(number)
    for _ in range(8):
        provider = dice.choice([None, "openai", "local"])
        owner, feature = dice.choice([None, "tier", "acme", "beta"]), dice.choice([None, "summarise", "asleep"])
        patch: dict[str, Any] = {
            "temperature": dice.choice([None, 0.0, 0.5, 1.5]),
            "max_tokens": dice.choice([None, 9]),
        }
        patch["omitted_parameters"] = dice.choice([None, ["top_p"], ["temperature", "max_tokens"]])
        patch["custom_settings"] = dice.choice([None, {"a": 1}, {"a": None, "b": "ü\t"}])
        if provider is None:
            patch["default_provider_id"] = dice.choice([None, ids["openai"], ids["local"]])
        elif owner is None:
            patch["preferred_model"] = dice.choice([None, "m2"])
        scope = SettingsScope(*(ids.get(name or "") for name in (provider, owner, feature)))
        settings.upsert(session, COMMAND_LINE, scope, patch)
    for owner in ("tier", "acme", "beta"):
        terms: dict[str, Any] = {
            "is_allowed": dice.choice([None, True, True, False]),
            "requires_own_key": dice.random() < 0.3,
        }
        terms["allowed_models"] = dice.choice([None, None, ["m1"], []])
        organization_keys.update(session, COMMAND_LINE, ids[owner], ids[dice.choice(["openai", "local"])], terms)
    if dice.random() < 0.5:
        organization_keys.set_api_key(session, COMMAND_LINE, ids["acme"], ids["openai"], OWN_KEY)
    organizations.update(session, COMMAND_LINE, ids["tier"], {"is_active": number != 1})
    organizations.update(
        session, COMMAND_LINE, ids["acme"], {"is_active": number != 2, "shares_keys": dice.random() < 0.7}
    )


def _facts(answer: EffectiveSettings) -> dict[str, Any]:
    names = ("display_name", "base_url", "organization_id", "key_owner", "key_problem", "cure")
    facts = answer.as_dict() | {name: getattr(answer, name) for name in names}
    facts["explain"] = [item.as_dict() for item in answer.explain()]
    return {name: value for name, value in json.loads(json.dumps(facts)).items() if name != "generation"}


@pytest.mark.long
def test_pages_show_what_services_get(committed: str) -> None:
    """In random states, for each provider and none, organisation and none, feature and none: the answer of a snapshot."""
    with db.transaction() as session:
        ids = _made(session)
    statuses = set()
    with psycopg.connect(committed, autocommit=True) as connection:
        for number in range(ROUNDS):
            with db.transaction() as session:
                _shuffle(session, ids, number)
            snapshot = reading.load(connection)
            with db.transaction() as session:
                for provider in (None, "openai", "local", "off"):
                    for organization in (None, "acme", "beta"):
                        for feature in (None, "summarise", "asleep"):
                            found = in_force(session, COMMAND_LINE, AskedFor(provider, organization, feature))
                            expected = snapshot.answer(provider, get_ring(), organization=organization, feature=feature)
                            assert _facts(found.settings) == _facts(expected), (number, provider, organization, feature)
                            statuses.add(expected.status)
                for organization in (None, "acme", "beta"):
                    for feature in (None, "summarise"):
                        asked = AskedFor(None, organization, feature)
                        _, everywhere = of_all_providers(session, COMMAND_LINE, asked)
                        assert [each.settings.provider for each in everywhere] == ["local", "off", "openai"]
                        for each in everywhere:
                            one = in_force(session, COMMAND_LINE, asked._replace(provider=each.settings.provider))
                            assert _facts(each.settings) == _facts(one.settings), (number, asked)

    assert {"ok", "disabled", "not_allowed", "no_key", "no_model", "organization_disabled"} <= statuses


def _member(session: Session, name: str, organization_id: int, role: str) -> Actor:
    made = make_user(name, "member")
    organization_members.set_member(session, COMMAND_LINE, organization_id, made.own_id(), role)
    user = session.get(User, made.own_id(), populate_existing=True)
    assert user is not None
    return Actor(name, user.id, user.auth_epoch)


def _ask(session: Session, actor: Actor, *names: str | None) -> InForce:
    return in_force(session, actor, AskedFor(*names))


def test_members_see_theirs(session: Session, admin: Actor, analyst: Actor, ids: dict[str, int]) -> None:
    """An organisation's members see what is in force there, and who of them set it; of all else it was the installation."""
    one, two = (_member(session, name, ids["acme"], role) for name, role in (("olga", "admin"), ("otto", "analyst")))
    settings.upsert(session, admin, SettingsScope(ids["openai"]), {"temperature": 0.2})
    settings.upsert(session, admin, SettingsScope(None, ids["tier"]), {"top_p": 0.3})
    settings.upsert(session, one, SettingsScope(None, ids["acme"]), {"max_tokens": 7})
    session.flush()

    for actor in (one, two):
        found = _ask(session, actor, "openai", "acme", "summarise")
        by = {name: found.settings.source(name).changed_by for name in ("temperature", "top_p", "max_tokens")}
        assert by == {"temperature": INSTALLATION, "top_p": INSTALLATION, "max_tokens": "olga"}
        assert {each.layer.name: each.changed_by for each in found.rows} == {
            "organization": "olga",
            "template": INSTALLATION,
            "provider": INSTALLATION,
        }
        assert found.may_edit == ({"organization"} if actor is one else set())
        assert not found.sees_cures
        assert '"ada"' not in json.dumps([item.as_dict() for item in found.settings.explain()])
        with pytest.raises(Forbidden):
            _ask(session, actor, "openai")
    assert _ask(session, admin, "openai", "acme").settings.source("top_p").changed_by == "ada"
    for actor, number in ((admin, 3), (analyst, 0)):
        found = _ask(session, actor, "openai", "acme")
        assert (len(found.may_edit), found.sees_cures) == (number, number > 0)


def test_own_key_is_its_admins_business(session: Session, ids: dict[str, int]) -> None:
    """Why an own key cannot be opened is for the organisation's admins; why the installation's cannot, is not."""
    one = _member(session, "olga", ids["acme"], "admin")
    organization_keys.set_api_key(session, one, ids["acme"], ids["openai"], OWN_KEY)
    session.execute(text("UPDATE organization_providers SET api_key_binding = 'x'"))
    session.expire_all()
    own, shared = _ask(session, one, "openai", "acme"), _ask(session, one, "local", "acme")

    assert (own.settings.status, own.settings.key_owner, own.sees_cures) == ("key_unreadable", "organization", True)
    assert (shared.settings.status, shared.sees_cures) == ("ok", False)


@pytest.fixture
def statements() -> Iterator[list[str]]:
    """What is asked of the database."""
    found: list[str] = []

    def note(_conn: Any, _cursor: Any, statement: str, *_: Any) -> None:
        found.append(statement)

    event.listen(db.get_engine(), "before_cursor_execute", note)
    yield found
    event.remove(db.get_engine(), "before_cursor_execute", note)


@pytest.mark.parametrize("name", ["beta", "tier", "BETA", "", "x" * 300, "a\x00b", "crm-7"])
def test_another_organisation_answers_as_a_missing_one(
    session: Session, ids: dict[str, int], statements: list[str], name: str
) -> None:
    """To a member: the same error but for the name, after the same statements; to an admin a template is none either."""
    organizations_of_beta = ids["beta"]
    session.execute(
        text("INSERT INTO organization_names VALUES ('crm-7', :id, 'external')"), {"id": organizations_of_beta}
    )
    one = _member(session, "olga", ids["acme"], "admin")

    def refused(asked: str) -> tuple[str, list[str]]:
        statements.clear()
        with pytest.raises(NotFound) as caught:
            _ask(session, one, "openai", asked)
        return str(caught.value).replace(repr(asked[:200]), "NAME"), [
            each for each in statements if "SAVEPOINT" not in each
        ]

    if name in {"beta", "tier", "crm-7"}:
        assert refused(name) == refused("nowhere")
    else:
        assert refused(name)[0] == refused("nowhere")[0]


@pytest.mark.parametrize(
    "asked", [("nope",), ("openai", None, "nope"), ("openai", "nope"), ("openai", "tier"), ("openai", None, "\x00")]
)
def test_what_is_not_there(session: Session, ids: dict[str, int], admin: Actor, asked: tuple[str | None, ...]) -> None:
    """An unknown provider, feature or organisation, and a template, which nobody resolves, is named as not found."""
    assert ids
    with pytest.raises(NotFound, match="There is no"):
        _ask(session, admin, *asked)


def test_deleted_member_and_stranger(session: Session, ids: dict[str, int]) -> None:
    """Who is no member any more, and who never was, sees nothing: no statement of theirs is answered with a row."""
    one = _member(session, "olga", ids["acme"], "analyst")
    assert _ask(session, one, "openai", "acme").organization is not None
    organization_members.remove_member(session, COMMAND_LINE, ids["acme"], one.own_id())
    for actor in (one, make_user("sam", "member")):
        with pytest.raises(CoreError) as caught:
            _ask(session, actor, "openai", "acme")
        assert isinstance(caught.value, NotFound | Forbidden)


def test_possible_layers(session: Session, ids: dict[str, int], admin: Actor) -> None:
    """All that a scope can have, the strongest first: by what it names, with a template, and without a provider."""
    assert ids
    assert _ask(session, admin, "openai").possible() == ["provider", "all_providers"]
    assert _ask(session, admin, None, "beta", "summarise").possible() == [
        "organization+feature",
        "feature",
        "organization",
        "all_providers",
    ]
    full = _ask(session, admin, "openai", "acme", "summarise").possible()
    assert full == [
        "organization+feature+provider",
        "organization+feature",
        "template+feature+provider",
        "template+feature",
        "feature+provider",
        "feature",
        "organization+provider",
        "organization",
        "template+provider",
        "template",
        "provider",
        "all_providers",
    ]


def test_default_provider(session: Session, ids: dict[str, int], admin: Actor) -> None:
    """Who chose it is named; one that the organisation may not use is passed over, and none is left: no provider."""
    settings.upsert(session, admin, SettingsScope(), {"default_provider_id": ids["local"]})
    settings.upsert(session, admin, SettingsScope(None, ids["acme"]), {"default_provider_id": ids["openai"]})
    found = _ask(session, admin, None, "acme")
    assert (found.settings.provider, found.settings.default_by and found.settings.default_by.layer) == (
        "openai",
        "organization",
    )
    organization_keys.update(session, admin, ids["acme"], ids["openai"], {"is_allowed": False})
    found = _ask(session, admin, None, "acme")
    assert (found.settings.provider, found.settings.default_by and found.settings.default_by.layer) == (
        "local",
        "all_providers",
    )
    organization_keys.update(session, admin, ids["acme"], ids["local"], {"is_allowed": False})
    found = _ask(session, admin, None, "acme")
    assert (found.settings.status, found.settings.default_by, found.settings.organization) == (
        "no_provider",
        None,
        "acme",
    )
