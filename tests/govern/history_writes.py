"""Random writes of every kind that settings know, through core and by raw SQL, for the tests of history."""

from collections.abc import Callable
from random import Random
from typing import Any

from sqlalchemy import text
from sqlmodel import Session, select

from core.actors import Actor
from core.errors import CoreError
from core.manage import (
    features,
    installation,
    limits,
    model_facts,
    organization_deletion,
    organization_keys,
    organization_names,
    organizations,
    provider_secrets,
    providers,
    settings,
    settings_presets,
)
from core.manage.scopes import SettingsScope
from core.store import db
from core.store.organization_tables import FeatureLlmOverride, LlmFeature, LlmLimits, Organization
from core.store.preset_tables import SettingsPreset
from core.store.tables import LlmModelFacts, LlmProvider, LlmProviderSecret, LlmSettings

KEY = "sk-proj-canary-0123456789abcdefghijklmnopqrstuvwxyz"
MODELS = ["m", "n", "o"]


def _one(session: Session, random: Random, model: Any, *conditions: Any) -> Any:
    rows = list(session.exec(select(model).where(*conditions).order_by(model.id)))
    return random.choice(rows) if rows else None


def _id(session: Session, random: Random, model: Any) -> int | None:
    row = _one(session, random, model)
    return None if row is None else row.id


def values(random: Random) -> dict[str, Any]:
    """Return some values of a settings row."""
    return {
        name: value
        for name, value in {
            "temperature": random.choice([None, 0, 0.1, 1 / 3]),
            "max_tokens": random.choice([None, 100, 9000]),
            "omitted_parameters": random.choice([None, ["top_p"], ["temperature", "top_p"]]),
            "custom_settings": random.choice([None, {"a": None, "b": {"c": [1]}}, {"a": 1}]),
            "stop": random.choice([None, ["a"], ["tab\t", '"\\']]),
            "log_level": random.choice([None, "minimal"]),
        }.items()
        if random.random() < 0.6
    }


def _scope(session: Session, random: Random) -> SettingsScope:
    ids = [random.choice([None, _id(session, random, model)]) for model in (LlmProvider, Organization, LlmFeature)]
    return SettingsScope(*ids)


def _settings(session: Session, actor: Actor, random: Random) -> None:
    settings.upsert(session, actor, _scope(session, random), values(random))


def _delete_settings(session: Session, actor: Actor, random: Random) -> None:
    if random.random() < 0.5:
        row = _one(session, random, LlmSettings)
        settings.delete(session, actor, row.id if row else 1)
    else:
        row = _one(session, random, FeatureLlmOverride)
        settings.delete_override(session, actor, row.id if row else 1)


def _deactivate_settings(session: Session, actor: Actor, random: Random) -> None:
    row = _one(session, random, LlmSettings)
    settings.update(session, actor, row.id if row else 1, {"is_active": random.random() < 0.5})


def _provider(session: Session, actor: Actor, random: Random) -> None:
    name = f"p{random.randrange(4)}"
    given = {"name": name, "display_name": name, "kind": "openai", "available_models": MODELS, "default_model": "m"}
    key = {"api_key": KEY} if random.random() < 0.5 else {}
    row = _one(session, random, LlmProvider, LlmProvider.name == name)
    if row is None:
        providers.create(session, actor, given | key)
    else:
        changed = {"display_name": f"{name} {random.randrange(9)}", "default_model": random.choice(["m", "n"])}
        providers.update(session, actor, row.id, {**changed, "is_active": random.random() < 0.8, **key})


def _provider_key(session: Session, actor: Actor, random: Random) -> None:
    number = _id(session, random, LlmProvider) or 1
    if random.random() < 0.5:
        providers.remove_api_key(session, actor, number)
    else:
        providers.set_api_key(session, actor, number, KEY)


def _delete_provider(session: Session, actor: Actor, random: Random) -> None:
    providers.delete(session, actor, _id(session, random, LlmProvider) or 1)


def _secret(session: Session, actor: Actor, random: Random) -> None:
    number = _id(session, random, LlmProvider) or 1
    sealed = random.random() < 0.5
    value = f"{KEY}-{random.randrange(9)}" if sealed else f"plain{random.randrange(9)}"
    provider_secrets.set_value(
        session, actor, number, "header", f"X-H{random.randrange(2)}", value=value, sealed=sealed
    )


def _remove_secret(session: Session, actor: Actor, random: Random) -> None:
    row = _one(session, random, LlmProviderSecret)
    provider_secrets.remove_value(session, actor, row.provider_id if row else 1, "header", row.name if row else "X")


def _feature(session: Session, actor: Actor, random: Random) -> None:
    name = f"f{random.randrange(3)}"
    row = _one(session, random, LlmFeature, LlmFeature.name == name)
    if row is None:
        features.create(session, actor, {"name": name, "display_name": name})
    elif random.random() < 0.2:
        features.delete(session, actor, row.id)
    else:
        features.update(
            session, actor, row.id, {"is_active": random.random() < 0.7, "description": str(random.random())}
        )


def _organization(session: Session, actor: Actor, random: Random) -> None:
    slug = f"o{random.randrange(3)}"
    row = _one(session, random, Organization, Organization.slug == slug)
    if row is None:
        organizations.create_one(session, actor, {"slug": slug, "name": slug, "external_names": [f"crm {slug}"]})
    else:
        template = _one(session, random, Organization, Organization.kind == "template")
        organizations.update(
            session,
            actor,
            row.id,
            {
                "name": f"{slug} {random.randrange(9)}",
                "shares_keys": random.random() < 0.5,
                "is_active": random.random() < 0.8,
                "template_id": template.id if template and random.random() < 0.5 else None,
            },
        )


def _template(session: Session, actor: Actor, _random: Random) -> None:
    organizations.create_one(session, actor, {"slug": "tier", "name": "Tier", "kind": "template"})


def _names(session: Session, actor: Actor, random: Random) -> None:
    number = _id(session, random, Organization) or 1
    if random.random() < 0.3:
        organizations.update(session, actor, number, {"slug": f"renamed{random.randrange(3)}"})
    else:
        organization_names.set_external(session, actor, number, [f"crm {random.randrange(5)}"], take_former=True)


def _delete_organization(session: Session, actor: Actor, random: Random) -> None:
    row = _one(session, random, Organization)
    if row is not None and row.deleted_at is not None:
        if random.random() < 0.5:
            organization_deletion.restore(session, actor, row.id)
        else:
            organization_deletion.purge(session, actor, row.id)
    else:
        organization_deletion.delete(session, actor, row.id if row else 1)


def _terms(session: Session, actor: Actor, random: Random) -> None:
    organization, provider = _id(session, random, Organization) or 1, _id(session, random, LlmProvider) or 1
    if random.random() < 0.4:
        organization_keys.set_api_key(session, actor, organization, provider, KEY)
    else:
        given = {"is_allowed": random.choice([None, True, False]), "allowed_models": random.choice([None, [], ["m"]])}
        organization_keys.update(session, actor, organization, provider, given)


def _installation(session: Session, actor: Actor, random: Random) -> None:
    installation.update(session, actor, {"organizations": random.choice(["open", "closed"])})


def _facts(session: Session, actor: Actor, random: Random) -> None:
    row = _one(session, random, LlmModelFacts)
    if row is not None and random.random() < 0.4:
        model_facts.withdraw(session, actor, row.id)
    else:
        model_facts.set_facts(session, actor, "m", {"context": random.randrange(1000, 9000)}, why="tried")


def _limit(session: Session, actor: Actor, random: Random) -> None:
    row = _one(session, random, LlmLimits)
    if row is not None and random.random() < 0.4:
        limits.delete(session, actor, row.id)
        return
    organization = random.choice([None, _id(session, random, Organization)])
    data = {"owner": "installation", "organization_id": organization, "note": "contract"}
    limits.save(session, actor, {**data, "limits": {"max_tokens": {"max": random.choice([50, 5000])}}})


def _preset(session: Session, actor: Actor, random: Random) -> None:
    row = _one(session, random, SettingsPreset, SettingsPreset.name.in_(["a", "b"]))  # type: ignore[attr-defined]  # a column
    fields = {"max_tokens": random.choice([10, 20]), "omitted_parameters": ["top_p"]}
    if row is None:
        settings_presets.create(session, actor, {"name": random.choice("ab"), "fields": fields})
    elif random.random() < 0.3:
        settings_presets.delete(session, actor, row.id)
    else:
        settings_presets.update(session, actor, row.id, {"fields": fields, "description": str(random.random())})


def _raw(session: Session, actor: Actor, random: Random) -> None:
    """Write by SQL, several rows at once, one of them made and deleted."""
    db.set_actor(session, actor.name)
    session.execute(
        text("UPDATE llm_settings SET top_p = :value WHERE id % 2 = 0"), {"value": random.choice([0.25, 0.75])}
    )
    session.execute(text("INSERT INTO llm_settings (id, top_p, is_active) VALUES (100000, 1, false)"))
    session.execute(text("DELETE FROM llm_settings WHERE id = 100000"))


def move(session: Session, random: Random) -> None:
    """Let a row go from one organisation to another, or to nobody."""
    session.execute(text(_MOVED), {"organization": random.choice([None, *session.exec(select(Organization.id))])})


_MOVED = """
    INSERT INTO llm_settings (id, organization_id, top_p, is_active) VALUES (100001, :organization, 1, false)
    ON CONFLICT (id) DO UPDATE SET organization_id = excluded.organization_id
"""
WRITES: tuple[Callable[[Session, Actor, Random], None], ...] = (
    *(_settings, _settings, _settings, _settings, _delete_settings, _deactivate_settings),
    *(_provider, _provider, _provider, _provider_key, _delete_provider, _secret, _remove_secret),
    *(_feature, _feature, _organization, _organization, _organization, _template, _names, _delete_organization),
    *(_terms, _terms, _installation, _facts, _limit, _limit, _preset, _preset, _raw),
)


def write(session: Session, actor: Actor, random: Random) -> None:
    """Make one to three random writes; one that is refused is left out."""
    for _ in range(random.choice([1, 1, 1, 2, 3])):
        nested = session.begin_nested()
        try:
            random.choice(WRITES)(session, actor, random)
            nested.commit()
        except CoreError:
            nested.rollback()
