"""Each public write about organisations and features, for the tests of what the audit records."""

from collections.abc import Callable

from sqlalchemy import text
from sqlmodel import Session, select

from core.access import users
from core.actors import Actor
from core.govern import alerts
from core.manage import (
    budgets,
    features,
    installation,
    limits,
    organization_deletion,
    organization_keys,
    organization_members,
    organization_names,
    organizations,
    personal_data,
    providers,
    rate_limits,
    settings,
    settings_presets,
)
from core.manage.scopes import SettingsScope
from core.store.table import id_of
from core.store.tables import LlmProvider, User
from tests.conftest import PASSWORD

MODULES = (
    alerts,
    budgets,
    features,
    installation,
    limits,
    organization_deletion,
    organization_keys,
    organization_members,
    organization_names,
    organizations,
    personal_data,
    rate_limits,
    settings_presets,
)
READS = {
    "alerts.get_alert",
    "alerts.search_alerts",
    "budgets.get",
    "budgets.get_by_name",
    "budgets.ledger",
    "budgets.list_all",
    "budgets.periods",
    "personal_data.get",
    "personal_data.list_all",
    "personal_data.of_scope",
    "personal_data.page_of",
    "rate_limits.get",
    "rate_limits.get_by_name",
    "rate_limits.hours",
    "rate_limits.list_all",
    "features.search",
    "features.unregistered",
    "organization_keys.get",
    "organization_keys.list_of",
    "organization_members.find_user",
    "organization_members.known_as",
    "organization_members.known_by",
    "organization_members.refuse_stale_row",
    "organization_members.list_of",
    "organization_members.of_user",
    "organizations.count",
    "organizations.find_by_name",
    "organizations.get",
    "organizations.get_by_name",
    "organizations.search",
    "installation.get",
    "limits.binding",
    "limits.find",
    "limits.list_of",
    "limits.outcome",
    "limits.preview",
    "settings.find",
    "settings.find_override",
    "settings.get_of",
    "settings.list_of",
    "settings_presets.get",
    "settings_presets.get_by_name",
    "settings_presets.list_all",
    "settings_presets.preview",
}
"""What takes an actor because not everybody may see it."""
SHARED = {"organizations.write", "limits.save"}
"""What the writes of another module are made of, or what is made of writes."""
_KEY = "sk-proj-canary-0123456789abcdefghijklmnopqrstuvwxyz"
Prepare = Callable[[Session, Actor], int]
Work = Callable[[Session, Actor, int], object]


def _nothing(_session: Session, _actor: Actor) -> int:
    return 0


def _organization(session: Session, actor: Actor) -> int:
    providers.create(
        session, actor, {"name": "gateway", "display_name": "G", "kind": "openai", "available_models": ["m"]}
    )
    users.add(session, actor, "grace", PASSWORD, "member")
    return id_of(organizations.create_one(session, actor, {"slug": "acme", "name": "Acme"}))


def _deleted(session: Session, actor: Actor) -> int:
    return id_of(organization_deletion.delete(session, actor, _organization(session, actor)))


def _with_member(session: Session, actor: Actor) -> int:
    number = _organization(session, actor)
    organization_members.set_member(session, actor, number, _user(session), "analyst")
    return number


def _with_key(session: Session, actor: Actor) -> int:
    number = _organization(session, actor)
    organization_keys.set_api_key(session, actor, number, _provider(session), _KEY)
    return number


def _with_unbound_key(session: Session, actor: Actor) -> int:
    number = _with_key(session, actor)
    session.execute(text("UPDATE organization_providers SET api_key_key_id = NULL, api_key_binding = NULL"))
    session.expire_all()
    return number


def _feature(session: Session, actor: Actor) -> int:
    return id_of(features.create(session, actor, {"name": "summarise", "display_name": "Summaries"}))


def _preset(session: Session, actor: Actor) -> int:
    return id_of(settings_presets.create(session, actor, {"name": "terse", "fields": {"max_tokens": 80}}))


def _budget(session: Session, actor: Actor, organization: int | None = None) -> int:
    of = {"organization_id": organization or _organization(session, actor), "amount": 100, "period": "month"}
    return id_of(budgets.create(session, actor, {"name": "Acme", **of}).row)


def _rate_limit(session: Session, actor: Actor, organization: int | None = None) -> int:
    of = {"organization_id": organization or _organization(session, actor), "requests_per_minute": 60}
    return id_of(rate_limits.create(session, actor, {"name": "Acme", **of}).row)


def _personal(session: Session, actor: Actor, organization: int | None = None) -> int:
    of = {"organization_id": organization or _organization(session, actor), "prompts": "mask"}
    return id_of(personal_data.create(session, actor, of).row)


def _alert(session: Session, actor: Actor) -> int:
    budgets.correct(session, actor, _budget(session, actor), "60", "the bill")
    return session.scalars(text("SELECT id FROM llm_alerts")).one()  # type: ignore[no-any-return]  # a number


def _override(session: Session, actor: Actor) -> int:
    scope = SettingsScope(feature_id=_feature(session, actor))
    return id_of(settings.upsert(session, actor, scope, {"temperature": 0.2}))


def _limits(session: Session, actor: Actor) -> int:
    number = _organization(session, actor)
    settings.upsert(session, actor, SettingsScope(organization_id=number), {"max_tokens": 9000})
    wanted = {"organization_id": number, "limits": {"max_tokens": {"max": 4000}}}
    return id_of(limits.create(session, actor, wanted))


def _user(session: Session) -> int:
    return id_of(session.exec(select(User).where(User.username == "grace")).one())


def _provider(session: Session) -> int:
    return id_of(session.exec(select(LlmProvider).where(LlmProvider.name == "gateway")).one())


WRITES: dict[str, tuple[Prepare, Work, str, dict[str, tuple[object, object]]]] = {
    "organizations.create": (
        _nothing,
        lambda s, a, _: organizations.create(s, a, [{"slug": "acme", "name": "Acme"}]),
        "organization.create",
        {"name": (None, "Acme")},
    ),
    "organizations.create_one": (
        _nothing,
        lambda s, a, _: organizations.create_one(s, a, {"slug": "acme", "name": "Acme"}),
        "organization.create",
        {"slug": (None, "acme")},
    ),
    "organizations.update": (
        _organization,
        lambda s, a, n: organizations.update(s, a, n, {"name": "Acme Ltd"}),
        "organization.update",
        {"name": ("Acme", "Acme Ltd")},
    ),
    "organization_names.set_external": (
        _organization,
        lambda s, a, n: organization_names.set_external(s, a, n, ["42"]),
        "organization.set_names",
        {},
    ),
    "organization_deletion.delete": (_organization, organization_deletion.delete, "organization.delete", {}),
    "organization_deletion.restore": (_deleted, organization_deletion.restore, "organization.restore", {}),
    "organization_deletion.purge": (_deleted, organization_deletion.purge, "organization.purge", {}),
    "organization_members.set_member": (
        _organization,
        lambda s, a, n: organization_members.set_member(s, a, n, _user(s), "analyst"),
        "organization.set_member",
        {},
    ),
    "organization_members.remove_member": (
        _with_member,
        lambda s, a, n: organization_members.remove_member(s, a, n, _user(s)),
        "organization.remove_member",
        {},
    ),
    "organization_keys.update": (
        _organization,
        lambda s, a, n: organization_keys.update(s, a, n, _provider(s), {"allowed_models": ["m"]}),
        "organization.update_provider",
        {"allowed_models": (None, ["m"])},
    ),
    "organization_keys.set_api_key": (
        _organization,
        lambda s, a, n: organization_keys.set_api_key(s, a, n, _provider(s), _KEY),
        "organization.set_key",
        {},
    ),
    "organization_keys.remove_api_key": (
        _with_key,
        lambda s, a, n: organization_keys.remove_api_key(s, a, n, _provider(s)),
        "organization.remove_key",
        {},
    ),
    "organization_keys.adopt_api_key": (
        _with_unbound_key,
        lambda s, a, n: organization_keys.adopt_api_key(s, a, n, _provider(s)),
        "organization.adopt_key",
        {},
    ),
    "installation.update": (
        _nothing,
        lambda s, a, _: installation.update(s, a, {"organizations": "open"}),
        "installation.update",
        {"organizations": ("closed", "open")},
    ),
    "features.create": (_nothing, lambda s, a, _: _feature(s, a), "feature.create", {"name": (None, "summarise")}),
    "features.update": (
        _feature,
        lambda s, a, n: features.update(s, a, n, {"display_name": "Short texts"}),
        "feature.update",
        {"display_name": ("Summaries", "Short texts")},
    ),
    "features.delete": (_feature, features.delete, "feature.delete", {}),
    "limits.create": (
        _nothing,
        lambda s, a, _: limits.create(s, a, {"limits": {"top_p": {"lock": True}}, "note": "contract"}),
        "limit.create",
        {"note": (None, "contract")},
    ),
    "limits.update": (
        _limits,
        lambda s, a, n: limits.update(s, a, n, {"note": "contract"}),
        "limit.update",
        {"note": (None, "contract")},
    ),
    "limits.delete": (_limits, limits.delete, "limit.delete", {}),
    "limits.clear": (_limits, limits.clear, "settings.update", {"max_tokens": (9000, None)}),
    "settings_presets.create": (
        _nothing,
        lambda s, a, _: _preset(s, a),
        "preset.create",
        {"fields": (None, {"max_tokens": 80})},
    ),
    "settings_presets.update": (
        _preset,
        lambda s, a, n: settings_presets.update(s, a, n, {"name": "curt"}),
        "preset.update",
        {"name": ("terse", "curt")},
    ),
    "settings_presets.delete": (_preset, settings_presets.delete, "preset.delete", {"name": ("terse", None)}),
    "settings_presets.apply": (
        _preset,
        lambda s, a, n: settings_presets.apply(s, a, settings_presets.get(s, a, n), SettingsScope()),
        "settings.create",
        {"max_tokens": (None, 80), "preset": (None, "terse")},
    ),
    "alerts.acknowledge_alert": (
        _alert,
        alerts.acknowledge_alert,
        "alert.acknowledge",
        {"state": ("open", "acknowledged")},
    ),
    "alerts.resolve_alert": (_alert, alerts.resolve_alert, "alert.resolve", {"state": ("open", "resolved")}),
    "budgets.create": (_organization, _budget, "budget.create", {"amount": (None, "100")}),
    "budgets.update": (
        _budget,
        lambda s, a, n: budgets.update(s, a, n, {"amount": "150.5"}),
        "budget.update",
        {"amount": ("100", "150.5")},
    ),
    "budgets.delete": (_budget, budgets.delete, "budget.delete", {"name": ("Acme", None)}),
    "budgets.top_up": (
        _budget,
        lambda s, a, n: budgets.top_up(s, a, n, "25", "a longer campaign"),
        "budget.top_up",
        {"amount": (None, "25"), "reason": (None, "a longer campaign")},
    ),
    "budgets.correct": (
        _budget,
        lambda s, a, n: budgets.correct(s, a, n, "-0.25", "the vendor's bill"),
        "budget.correct",
        {"amount": (None, "-0.25"), "reason": (None, "the vendor's bill")},
    ),
    "personal_data.create": (_organization, _personal, "personal_data.create", {"prompts": (None, "mask")}),
    "personal_data.save": (
        _organization,
        lambda s, a, n: personal_data.save(s, a, SettingsScope(organization_id=n), {"logs": "off"}),
        "personal_data.create",
        {"logs": (None, "off")},
    ),
    "personal_data.clear": (
        _personal,
        lambda s, a, n: personal_data.clear(s, a, personal_data.scope_of(personal_data.get(s, a, n).row)),
        "personal_data.delete",
        {"prompts": ("mask", None)},
    ),
    "personal_data.update": (
        _personal,
        lambda s, a, n: personal_data.update(s, a, n, {"prompts": "refuse"}),
        "personal_data.update",
        {"prompts": ("mask", "refuse")},
    ),
    "personal_data.delete": (_personal, personal_data.delete, "personal_data.delete", {"prompts": ("mask", None)}),
    "rate_limits.create": (_organization, _rate_limit, "rate_limit.create", {"requests_per_minute": (None, 60)}),
    "rate_limits.update": (
        _rate_limit,
        lambda s, a, n: rate_limits.update(s, a, n, {"requests_per_minute": None, "max_concurrent": 4}),
        "rate_limit.update",
        {"requests_per_minute": (60, None), "max_concurrent": (None, 4)},
    ),
    "rate_limits.delete": (_rate_limit, rate_limits.delete, "rate_limit.delete", {"name": ("Acme", None)}),
    "settings.upsert": (
        _organization,
        lambda s, a, n: settings.upsert(s, a, SettingsScope(organization_id=n), {"temperature": 0}),
        "settings.create",
        {"temperature": (None, 0)},
    ),
    "settings.update_override": (
        _override,
        lambda s, a, n: settings.update_override(s, a, n, {"temperature": 0}),
        "override.update",
        {"temperature": (0.2, 0)},
    ),
    "settings.delete_override": (
        _override,
        settings.delete_override,
        "override.delete",
        {"temperature": (0.2, None)},
    ),
}
