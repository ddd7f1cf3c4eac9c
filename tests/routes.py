"""The routes of REST for tests: what each is sent, and the addresses of what is there and of what is not."""

import re
from collections.abc import Mapping
from typing import Any

from api.app import make
from tests.rest import KEY, NEW

Route = tuple[str, str]
ROUTES: list[Route] = sorted((method, route.path_format) for route in make().routes for method in route.methods)  # type: ignore[attr-defined]  # of ours
"""Method and path, from the app itself: none can be forgotten."""

BODIES: dict[tuple[str, str], dict[str, Any]] = {
    ("POST", "/llm/providers"): {**NEW, "name": "another"},
    ("PUT", "/llm/providers/{id}"): {"description": "new", "version": 2},
    ("POST", "/llm/providers/{id}/api-key"): {"apiKey": KEY},
    ("POST", "/llm/providers/{id}/test"): {},
    ("POST", "/llm/providers/{id}/headers"): {"name": "X-New", "value": "new"},
    ("POST", "/llm/providers/{id}/query"): {"name": "new", "value": "new", "sealed": False},
    ("POST", "/llm/providers/{id}/next-key"): {"apiKey": f"{KEY}-3"},
    ("POST", "/llm/settings/global"): {"providerId": None, "temperature": 0.5},
    ("PUT", "/llm/settings/{id}"): {"temperature": 0.5, "version": 1},
    ("POST", "/llm/settings/organization/{orgId}"): {"providerId": None, "temperature": 0.5},
    ("POST", "/llm/settings/feature/{featureId}"): {"providerId": None, "temperature": 0.5},
    ("PUT", "/llm/overrides/{id}"): {"temperature": 0.5, "version": 1},
    ("POST", "/llm/organizations"): {"slug": "gamma", "name": "Gamma"},
    ("PUT", "/llm/organizations/{id}"): {"name": "Gamma", "version": 1},
    ("PUT", "/llm/organizations/{id}/names"): {"externalNames": ["crm-1"], "was": ["crm acme"]},
    ("POST", "/llm/organizations/{id}/members"): {"username": "mel", "role": "admin"},
    ("PUT", "/llm/organizations/{id}/providers/{providerId}"): {"isAllowed": True, "version": 1},
    ("POST", "/llm/organizations/{id}/providers/{providerId}/api-key"): {"apiKey": f"{KEY}-own"},
    ("POST", "/llm/webhooks"): {"name": "another", "url": "https://hooks.example.com/x"},
    ("PUT", "/llm/webhooks/{id}"): {"name": "ops two", "version": 1},
    ("POST", "/llm/webhooks/{id}/secret"): {"atOnce": True},
    ("POST", "/llm/features"): {"name": "rank", "displayName": "Rank"},
    ("PUT", "/llm/features/{id}"): {"displayName": "Other", "version": 1},
    ("POST", "/llm/limits"): {"limits": {"maxTokens": {"max": 4000}}},
    ("POST", "/llm/limits/preview"): {"limits": {"maxTokens": {"max": 4000}}},
    ("PUT", "/llm/limits/{id}"): {"note": "new", "version": 1},
    ("POST", "/llm/presets"): {"name": "terse", "fields": {"maxTokens": 80}},
    ("PUT", "/llm/presets/{id}"): {"description": "Other", "version": 1},
    ("POST", "/llm/presets/{id}/apply"): {"providerId": None},
    ("POST", "/llm/budgets"): {"name": "Nightly", "amount": "5", "period": "day"},
    ("PUT", "/llm/budgets/{id}"): {"amount": "7.5", "version": 1},
    ("POST", "/llm/budgets/{id}/top-ups"): {"amount": 2.5, "reason": "a rush"},
    ("PUT", "/llm/spend/bills"): {"provider": "acme", "month": "2026-10", "amount": "12.5"},
    ("POST", "/llm/spend/closings"): {"month": "2026-09"},
    ("POST", "/llm/pii-settings"): {"prompts": "mask"},
    ("PUT", "/llm/pii-settings/{id}"): {"logs": "mask", "version": 1},
    ("POST", "/llm/rate-limits"): {"name": "Nightly", "requestsPerMinute": 60},
    ("PUT", "/llm/rate-limits/{id}"): {"maxConcurrent": 5, "version": 1},
    ("POST", "/llm/budgets/{id}/corrections"): {"amount": "-0.5", "reason": "a credit"},
    ("POST", "/llm/logs/erasures"): {"userId": "42"},
    ("POST", "/llm/organizations/{id}/erasures"): {"userId": "42"},
    ("PUT", "/llm/installation"): {"organizations": "open", "version": 1},
    ("PUT", "/llm/document"): {"version": 1, "defaults": {"temperature": 0.5}},
    ("POST", "/llm/history/restore"): {"table": "installation", "row": 1, "generation": 1},
    ("POST", "/llm/model-facts"): {"pattern": "o3", "facts": {"context": 5}, "why": "tried"},
}
NAMED: dict[str, dict[str, str]] = {
    "/llm/providers/{id}/headers": {"name": "X"},
    "/llm/providers/{id}/query": {"name": "X"},
    "/llm/models/{api}": {"model": "openai/gpt-4o"},
    "/llm/document": {"dryRun": "true"},
    "/llm/spend/bills": {"provider": "acme", "month": "2026-10"},
    "/llm/spend/closings": {"month": "2026-10"},
    "/llm/history/difference": {"from": "1", "to": "1"},
}
"""What a query has to name: in a DELETE or a PUT, and of a model."""


def address(path: str, of: Mapping[str, object]) -> str:
    """Fill a route's path: ``id`` is of what the path begins with (``organizations``, ``overrides``, …)."""
    kind = path.split("/")[2] if path.count("/") > 1 else ""
    return "/api" + re.sub(r"\{(\w+)\}", lambda name: str(of[kind if name[1] == "id" else name[1]]), path)


def is_about_organisations(path: str, method: str = "GET") -> bool:
    """Whether a route reads or changes what may be an organisation's; features and what holds for all are the installation's."""
    ours = ("/llm/organizations", "/llm/overrides", "/llm/settings", "/llm/limits", "/llm/alerts")
    read = ("/llm/budgets",) if method == "GET" else ()  # only read by its people
    return path.startswith(ours + read) and "/feature/" not in path and "/global" not in path
