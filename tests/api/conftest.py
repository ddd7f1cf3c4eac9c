"""REST with two organisations."""

from collections.abc import Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient

from core import config
from core.access import ratelimit
from core.actors import COMMAND_LINE
from core.manage import providers
from core.store import db
from core.store.table import id_of
from tests.rest import KEYS, Tenant, serving, tenant, token


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    """The API without limits; nobody is signed in. Where limits or a database that is away matter, a module has its own."""
    for name in ("GENERAL", "SENSITIVE", "PROVISIONING"):
        monkeypatch.setenv(f"LLM_RATE_LIMIT_{name}", "100000 per minute")
    config.get_config.cache_clear()
    ratelimit.get_limiter.cache_clear()
    with serving(monkeypatch) as client:
        yield client


@pytest.fixture
def root(client: TestClient) -> TestClient:
    """The API, with an admin's token."""
    client.headers.update(token("admin"))
    return client


@pytest.fixture
def provider_id() -> int:
    """A provider with a key of the installation's."""
    made: dict[str, Any] = {"name": "openai", "display_name": "P", "kind": "openai", "available_models": ["m1", "m2"]}
    made["api_key"] = "sk-proj-installation-0123456789abcd"
    with db.transaction() as session:
        return id_of(providers.create(session, COMMAND_LINE, made))


@pytest.fixture
def two(provider_id: int) -> list[Tenant]:
    """acme and beta, each with all that an organisation can have."""
    with db.transaction() as session:
        return [tenant(session, slug, provider_id, key) for slug, key in KEYS.items()]
