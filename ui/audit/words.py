"""How the Audit page says what happened: words for actions, and labels for fields."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from core.audit.reasons import COMMENT
from core.audit.record import ORGANIZATION, REQUEST_ID
from core.govern import audit_log
from core.resolving.words import label_of

_NAMED: Final = 3
"""So many fields are named in a line; of more it says how many."""

WORDS: Final = {
    "provider.create": ("added provider", "add_circle"),
    "provider.update": ("changed provider", "edit"),
    "provider.delete": ("deleted provider", "delete"),
    "provider.set_key": ("set the API key of", "key"),
    "provider.remove_key": ("removed the API key of", "key_off"),
    "provider.adopt_key": ("adopted the API key of", "link"),
    "provider.add_key": ("added a next API key to", "key"),
    "provider.promote_key": ("put the next API key in force at", "swap_horiz"),
    "provider.retire_key": ("retired the second API key of", "key_off"),
    "provider.set_header": ("set a header of", "data_object"),
    "provider.remove_header": ("removed a header of", "data_object"),
    "provider.set_query": ("set a query parameter of", "data_object"),
    "provider.remove_query": ("removed a query parameter of", "data_object"),
    "provider.test": ("tested the connection of", "network_check"),
    "settings.create": ("added defaults of", "tune"),
    "settings.update": ("changed defaults of", "tune"),
    "settings.delete": ("reset defaults of", "restart_alt"),
    "override.create": ("added settings of the feature", "tune"),
    "override.update": ("changed settings of the feature", "tune"),
    "override.delete": ("reset settings of the feature", "restart_alt"),
    "organization.create": ("added organisation", "domain_add"),
    "organization.update": ("changed organisation", "domain"),
    "organization.delete": ("deleted organisation", "domain_disabled"),
    "organization.restore": ("restored organisation", "restore_from_trash"),
    "organization.purge": ("took away for good the organisation", "delete_forever"),
    "organization.set_names": ("changed the names of organisation", "badge"),
    "organization.set_member": ("gave somebody a role in organisation", "group_add"),
    "organization.remove_member": ("took somebody out of organisation", "group_remove"),
    "organization.update_provider": ("changed what may be used by organisation", "rule"),
    "organization.set_key": ("set an own API key of organisation", "key"),
    "organization.remove_key": ("removed an own API key of organisation", "key_off"),
    "organization.adopt_key": ("adopted an own API key of organisation", "link"),
    "document.apply": ("applied a document to", "description"),
    "history.purge": ("took away the history before", "auto_delete"),
    "limit.create": ("set limits for", "lock"),
    "limit.delete": ("lifted limits of", "lock_open"),
    "limit.update": ("changed limits of", "lock"),
    "settings.restore": ("brought back", "settings_backup_restore"),
    "installation.update": ("changed what is decided for the", "home_storage"),
    "feature.create": ("added feature", "extension"),
    "feature.update": ("changed feature", "extension"),
    "feature.delete": ("deleted feature", "delete"),
    "preset.create": ("made the preset", "bookmark_add"),
    "preset.update": ("changed the preset", "bookmark"),
    "preset.delete": ("deleted the preset", "bookmark_remove"),
    "budget.create": ("made the budget", "savings"),
    "budget.update": ("changed the budget", "savings"),
    "budget.delete": ("deleted the budget", "delete"),
    "budget.top_up": ("topped up the budget", "add_card"),
    "budget.correct": ("corrected what is spent of the budget", "price_change"),
    "model_facts.set": ("said something of the model", "fact_check"),
    "model_facts.withdraw": ("took back what was said of the model", "remove_done"),
    "model_facts.dismiss": ("dismissed what a refusal says of the model", "cancel"),
    "model_facts.observe": ("kept what the vendor says of its models, the", "visibility"),
    "catalogue.import": ("imported a", "library_add"),
    "user.add": ("added user", "person_add"),
    "user.set_password": ("set a password for", "password"),
    "user.change_password": ("changed the password of", "password"),
    "user.set_role": ("changed the role of", "badge"),
    "user.set_active": ("", "person_off"),
    "session.sign_in": ("signed in", "login"),
    "session.sign_in_failed": ("gave a wrong password for", "no_accounts"),
    "session.sign_in_throttled": ("had to wait to sign in as", "timer"),
    "session.sign_out": ("signed out", "logout"),
    "session.end": ("ended a sign-in of", "logout"),
    "session.end_all": ("ended every sign-in of", "logout"),
    "token.create": ("made the API token", "vpn_key"),
    "token.revoke": ("revoked the API token", "key_off"),
    "token.purge": ("deleted API tokens that ended long ago:", "delete_sweep"),
    "webhook.create": ("added the receiver", "notifications"),
    "webhook.update": ("changed the receiver", "notifications"),
    "webhook.delete": ("deleted the receiver", "delete"),
    "webhook.exchange_secret": ("gave another secret to the receiver", "key"),
    "webhook.test": ("sent a test to the receiver", "send"),
    "webhook.resend": ("sent a message again to the receiver", "replay"),
    "webhook.switch_off": ("switched off the receiver", "error"),
    "keys.rotate": ("moved to another encryption key:", "sync_lock"),
    "keys.fingerprint": ("wrote fingerprints of API keys:", "fingerprint"),
    "keys.old_key_lost": ("gave up a lost encryption key:", "sync_problem"),
    "audit.purge": ("purged", "auto_delete"),
    "logs.purge": ("purged the request log:", "auto_delete"),
    "schema.migrate": ("migrated the schema to", "database"),
    "schema.migrate_down": ("took the schema back to", "database"),
    "store.move": ("moved the store here, at", "move_up"),
    audit_log.DENIED: ("was not allowed to", "block"),
}
"""Action -> what somebody did, and a name of Material Symbols."""
REFUSED: Final = {
    "page.view": "open a page",
    "models.view": "look at models",
    "usage.view": "look at usage",
    "audit.view": "look at the audit",
    "audit.purge": "purge the audit",
    "logs.purge": "purge the request log",
    "session.list": "list sign-ins",
    "session.end": "end a sign-in",
    "session.end_all": "end all sign-ins of somebody",
    "provider.create": "add a provider",
    "provider.update": "change a provider",
    "provider.delete": "delete a provider",
    "provider.set_key": "set an API key",
    "provider.remove_key": "remove an API key",
    "provider.adopt_key": "adopt an API key",
    "provider.add_key": "add a next API key",
    "provider.promote_key": "put a next API key in force",
    "provider.retire_key": "retire a second API key",
    "provider.set_header": "set a header of a provider",
    "provider.remove_header": "remove a header of a provider",
    "provider.set_query": "set a query parameter of a provider",
    "provider.remove_query": "remove a query parameter of a provider",
    "provider.test": "test a connection",
    "settings.update": "change defaults",
    "settings.delete": "reset defaults",
    "webhook.list": "look at who is told",
    "webhook.create": "add a receiver",
    "webhook.update": "change a receiver",
    "webhook.delete": "delete a receiver",
    "webhook.exchange_secret": "give a webhook another secret",
    "webhook.test": "send a test to a receiver",
    "webhook.resend": "send a message again",
    "organization.create": "add an organisation",
    "organization.update": "change an organisation",
    "organization.delete": "delete an organisation",
    "organization.restore": "restore an organisation",
    "organization.purge": "take an organisation away for good",
    "organization.list": "list organisations",
    "organization.read": "look at an organisation",
    "organization.read_provider": "look at what an organisation may use",
    "organization.members": "look at who belongs to an organisation",
    "organization.audit": "look at the audit of an organisation",
    "organization.set_names": "change the names of an organisation",
    "organization.set_member": "give somebody a role in an organisation",
    "organization.remove_member": "take somebody out of an organisation",
    "organization.update_provider": "change what an organisation may use",
    "organization.set_key": "set an organisation's own API key",
    "organization.remove_key": "remove an organisation's own API key",
    "organization.adopt_key": "adopt an organisation's own API key",
    "installation.read": "look at what is decided for the installation",
    "installation.update": "change what is decided for the installation",
    "preset.list": "look at presets",
    "preset.create": "make a preset",
    "preset.update": "change a preset",
    "preset.delete": "delete a preset",
    "budget.list": "look at budgets",
    "spend.view": "look at what calls cost",
    "budget.create": "make a budget",
    "budget.update": "change a budget",
    "budget.delete": "delete a budget",
    "budget.top_up": "top up a budget",
    "budget.correct": "correct what is spent of a budget",
    "feature.create": "add a feature",
    "feature.update": "change a feature",
    "feature.delete": "delete a feature",
    "feature.list": "list features",
    "settings.read": "look at settings",
    "model_facts.set": "say something of a model",
    "model_facts.withdraw": "take back what was said of a model",
    "model_facts.observe": "keep what a vendor says of its models",
    "catalogue.import": "import a catalogue",
    "user.add": "add a user",
    "user.set_password": "set a password",
    "user.change_password": "change their password",
    "user.set_role": "change a role",
    "user.set_active": "enable or disable a user",
    "token.create": "make an API token",
    "token.revoke": "revoke an API token",
    "token.purge": "delete API tokens",
    "history.purge": "take away the history",
    "history.read": "look at the history",
    "limit.list": "list limits",
    "settings.undo": "take back a change",
    "document.read": "read the document",
    "document.apply": "apply a document",
    "keys.rotate": "rotate encryption keys",
    "keys.fingerprint": "write fingerprints of API keys",
}
"""Action -> what somebody was not allowed to do."""
_FIELDS: Final = {
    "is_active": "Active",
    "display_name": "Display name",
    "name": "Name",
    "kind": "Kind",
    "description": "Description",
    "api_base_url": "Base URL",
    "available_models": "Models",
    "default_model": "Default model",
    "preferred_model": "Preferred model",
    "omitted_parameters": "Not sent",
    "needs_key": "Needs a key",
    "api_key": "API key",
    "slug": "Slug",
    "template_id": "Template",
    "shares_keys": "Shares the installation's keys",
    "require_reason": "Each change needs a reason",
    "preset": "Preset",
    "amount": "Amount in US dollars",
    "period": "Period",
    "time_zone": "Time zone",
    "week_starts": "First day of the week",
    "first_month": "First month of the year",
    "mode": "Mode",
    "unpriced": "Calls without a price",
    "when_away": "While the database is away",
    "is_allowed": "Allowed",
    "requires_own_key": "Requires its own key",
    "allowed_models": "Allowed models",
    "own_models": "Own models",
    "default_provider_id": "Default provider",
    "external_names": "External ids",
    "role": "Role",
    "sign_ins": "Sign-ins",
    "expires_at": "Ends",
    "extra_parameters": "Extra request parameters",
    "custom_settings": "Custom settings",
    "organizations": "Unknown organisations",
    "carried": "Headers and query parameters",
    "settings": "Defaults",
    "reason": "Reason",
    "create": "Rows added",
    "update": "Rows changed",
    "delete": "Rows removed",
    COMMENT: "Reason",
    "why": "Why",
    "facts": "Facts",
    "pattern": "Models",
    "api": "API",
    REQUEST_ID: "Request",
}
_ONLY: Final = {
    ("provider.update", "is_active", True): "activated provider",
    ("provider.update", "is_active", False): "deactivated provider",
    ("provider.update", "api_key", True): "set the API key of",
    ("provider.update", "api_key", False): "removed the API key of",
    ("user.set_active", "is_active", True): "enabled",
    ("user.set_active", "is_active", False): "disabled",
    ("user.set_role", "role", True): "changed the role of",
}
"""What a change of one field alone is called: action, field, and whether it has a value after."""


def words_of(action: str, changes: Mapping[str, Mapping[str, Any]]) -> tuple[str, str]:
    """Return what was done, and which fields it changed, unless the first says so."""
    named = [name for name in changes if name not in {COMMENT, REQUEST_ID, ORGANIZATION}]
    words = WORDS.get(action, (action, ""))[0]
    if len(named) == 1:
        after = changes[named[0]].get("after")
        if only := _ONLY.get((action, named[0], bool(after))):
            return only, "" if action != "user.set_role" else f"now {after}"
    if not named or action.endswith((".create", ".delete", ".add", "_key")):
        return words, ""
    return words, _listed(named)


def refused(action: str) -> str:
    """Return what somebody wanted to do who was refused *action*; one that has no words has its own name."""
    return REFUSED.get(action, action)


def icon_of(action: str) -> str:
    """Return the icon of an action."""
    return WORDS.get(action, ("", "history"))[1]


def field_label(name: str) -> str:
    """Return what people call a field of an event; one that has no label has its own name."""
    return _FIELDS.get(name) or label_of(name)


def _listed(names: Iterable[str]) -> str:
    labels = [field_label(name) for name in names]
    return ", ".join(labels) if len(labels) <= _NAMED else f"{len(labels)} fields"
