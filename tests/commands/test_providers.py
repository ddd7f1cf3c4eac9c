"""`python -m core providers`: headers, query parameters and keys that are exchanged, without a secret as an argument."""

from typing import Any

import pytest

from core.actors import COMMAND_LINE
from core.manage import next_keys, provider_secrets, providers
from core.store.db import transaction
from tests.conftest import ENCRYPTION_KEY
from tests.processes import core
from tests.vendors import KEY, Vendor

CANARY = "hdr-canary-0123456789abcdefghij"
NEXT = KEY.replace("right", "later")


def _run(url: str, *arguments: str, stdin: str = "", **env: str) -> str:
    """Run a command that works; nothing that it prints has a secret in it."""
    more = {"DATABASE_URL": url, "LLM_ENCRYPTION_KEY": ENCRYPTION_KEY, "LLM_PRIVATE_HOSTS": "127.0.0.1", **env}
    done = core("providers", *arguments, stdin=stdin, **more)
    told = done.stdout + done.stderr
    assert done.returncode == 0, told
    assert not any(secret in told for secret in (CANARY, KEY, NEXT))
    return told


def _add(**fields: Any) -> int:
    data = {"name": "acme", "display_name": "Acme", "kind": "openai", "available_models": ["m1"], "default_model": "m1"}
    with transaction() as session:
        return providers.create(session, COMMAND_LINE, {**data, **fields}).id or 0


@pytest.mark.long
@pytest.mark.parametrize(("group", "use"), [("headers", "header"), ("query", "query")])
def test_what_calls_carry(committed: str, group: str, use: str) -> None:
    """A secret comes from standard input or from a variable and is sealed; a plain one is an option; all is listed."""
    number = _add(api_key=KEY)
    _run(committed, group, "set", "acme", "subscription-key", stdin=f"{CANARY}\r\n")
    _run(committed, group, "set", "acme", "second", "--from-env", "GATEWAY_KEY", GATEWAY_KEY=CANARY)
    assert "looks like a secret" in _run(committed, group, "set", "acme", "x-token", "--plain", "abc")
    with transaction() as session:
        provider = providers.get(session, number)
        rows = {row.name: row for row in provider_secrets.list_of(session, number)}
        assert {row.use for row in rows.values()} == {use}
        assert provider_secrets.open_value(provider, rows["subscription-key"]) == CANARY
        assert provider_secrets.open_value(provider, rows["second"]) == CANARY
        assert rows["x-token"].plain_value == "abc"
    listed = _run(committed, group, "list", "acme")
    assert [line.split()[:2] for line in listed.splitlines()] == [
        ["second", "sealed"],
        ["subscription-key", "sealed"],
        ["x-token", "plain"],
    ]
    assert "hdr-can...**** #" in listed
    _run(committed, group, "remove", "acme", "second")
    assert "second" not in _run(committed, group, "list", "acme")


@pytest.mark.long
def test_a_key_is_exchanged(committed: str) -> None:
    """Add, test, promote, retire; each says which key is which, by mask and fingerprint."""
    with Vendor(keys=(KEY, NEXT)) as vendor:
        number = _add(kind="openai_compatible", api_base_url=vendor.base_url("openai"), api_key=KEY)
        added = _run(committed, "keys", "add", "acme", stdin=NEXT)
        assert added.startswith("next     sk-proj...**** #")
        assert "verified" in _run(committed, "keys", "test", "acme")
        assert {asked.headers["authorization"] for asked in vendor.asked} == {f"Bearer {NEXT}"}
        fingerprint = added.split()[2]
        assert fingerprint in _run(committed, "keys", "promote", "acme")
        listed = _run(committed, "keys", "list", "acme").splitlines()
        assert listed[0] == f"current  sk-proj...**** {fingerprint}"
        assert listed[1].startswith("former   sk-proj...**** #")
        assert "former" in _run(committed, "keys", "retire", "acme")
    with transaction() as session:
        assert providers.open_api_key(session, number) == NEXT
        assert next_keys.get(session, number) is None


@pytest.mark.long
def test_a_provider_that_needs_no_key(committed: str) -> None:
    """The switch, there and back; a vendor's own address is refused with the rule, and without a traceback."""
    _add(kind="openai_compatible", api_base_url="http://127.0.0.1:11434/v1")
    _run(committed, "needs-key", "acme", "--no")
    assert _run(committed, "keys", "list", "acme") == "current  none needed\n"
    _run(committed, "needs-key", "acme")
    assert _run(committed, "keys", "list", "acme") == "current  none\n"
    with transaction() as session:
        changed = {"kind": "openai", "api_base_url": None}
        providers.update(session, COMMAND_LINE, providers.get_by_name(session, "acme").id or 0, changed)
    done = core("providers", "needs-key", "acme", "--no", DATABASE_URL=committed)
    assert done.returncode == 1
    assert "answers nobody without a key" in done.stderr
    assert "Traceback" not in done.stderr
