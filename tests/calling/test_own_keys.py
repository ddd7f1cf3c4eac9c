"""Own keys of two organisations, and what their calls carry: found nowhere but in their own sealed rows, in no form."""

import base64
import logging
import pickle
import re
import time
import traceback
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from api import effective
from core import ai, redaction, resolve
from core.actors import COMMAND_LINE
from core.errors import CallFailed, KeyNotReadable
from core.manage import organization_keys, provider_secrets, providers
from core.resolving import snapshot_file
from core.store import db
from tests.calls import configure, logged, settle
from tests.canaries import forms
from tests.processes import core
from tests.rest import Tenant, serving, signed_in, tenant, token, token_of
from tests.routes import ROUTES, address, is_about_organisations
from tests.vendors import Status, Vendor

pytest_plugins = ["tests.calls"]

KINDS = ("openai", "anthropic")
OWN = {(slug, kind): f"sk-proj-{slug}-{kind}-canary-0123456789abcdef" for slug in ("acme", "beta") for kind in KINDS}
SEALED = {kind: f"gw-{kind}-canary-fedcba9876543210" for kind in KINDS}
CANARIES = [*OWN.values(), *SEALED.values()]


FORMS = {form: secret for secret in CANARIES for form in forms(secret)}


def hits(texts: Iterable[str]) -> list[str]:
    """What stands around each canary, in whatever form."""
    return [text[max(0, text.find(form) - 60) :][:160] for text in texts for form in FORMS if form in text]


@pytest.fixture
def two(store: str) -> list[Tenant]:  # noqa: ARG001 - the database that they are made in
    """acme and beta, with a key of their own for each of two providers, whose calls carry a sealed header."""
    with db.transaction() as session:
        of = {kind: providers.get_by_name(session, kind).id or 0 for kind in KINDS}
        for kind, number in of.items():
            provider_secrets.set_value(
                session, COMMAND_LINE, number, "header", "X-Gate", value=SEALED[kind], sealed=True
            )
        made = [tenant(session, slug, of["openai"], OWN[slug, "openai"]) for slug in ("acme", "beta")]
        for slug, each in zip(("acme", "beta"), made, strict=True):
            organization_keys.set_api_key(
                session, COMMAND_LINE, each.organization, of["anthropic"], OWN[slug, "anthropic"]
            )
    configure(log_level="full")
    return made


def stored() -> dict[str, str]:
    """Every table, its rows whole."""
    with db.transaction() as session:
        run = session.connection().exec_driver_sql
        names = [name for (name,) in run("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")]
        return {name: "\n".join(row for (row,) in run(f'SELECT t::text FROM "{name}" t')) for name in names}


def told(error: BaseException) -> str:
    """All that an error says."""
    return f"{error!r} {error.__dict__} {''.join(traceback.format_exception(error))}"


def test_own_keys_are_nowhere_else(
    store: str,
    two: list[Tenant],
    vendor: Vendor,
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """CHECKS 34: calls, errors that repeat them, REST for all, tables, files, logs, commands, a fault: 0 hits; acme sees nothing of beta's."""
    caplog.set_level(logging.DEBUG)
    seen: dict[str, str] = {}
    vendor.keys[:] = [OWN[slug, kind] for slug, kind in OWN if slug == "acme"]
    for slug, kind in OWN:  # beta's are refused, in words that have the key
        try:
            ai.complete("Hi", provider=kind, organization=slug)
        except CallFailed as error:
            seen[f"refused {slug} {kind}"] = told(error)
        settings = resolve.resolve(kind, slug)
        seen[f"settings {slug} {kind}"] = (
            f"{settings!r} {settings.as_dict()} {settings.explain()} {settings.carried()!r}"
        )
        for thing in (settings, settings.carried()):
            try:
                copied = pickle.dumps(thing).decode("latin-1")
            except TypeError as error:
                copied = told(error)
            seen[f"pickle {slug} {kind} {type(thing).__name__}"] = copied
    vendor.fail(*[Status(400, {}, {"error": {"message": f"bad {' '.join(CANARIES)}", "type": "x"}})] * 3)
    with pytest.raises(CallFailed) as failed:
        ai.complete("Hi", provider="openai", organization="acme")
    seen["a vendor that repeats all"] = told(failed.value)
    sent = {
        (asked.headers.get("authorization", "")[7:] or asked.headers.get("x-api-key"), asked.headers["x-gate"])
        for asked in vendor.asked
    }
    assert sent == {(OWN[slug, kind], SEALED[kind]) for slug, kind in OWN}

    snapshot = resolve.resolver._snapshot
    assert snapshot is not None
    snapshot_file.write(tmp_path / "snapshot", snapshot, time.time())
    seen["the snapshot file"] = (tmp_path / "snapshot").read_bytes().decode("latin-1")
    seen["the request log"] = str(logged(store))
    for words in ("explain openai --organization acme", "organizations list", "keys check"):
        done = core(*words.split(), DATABASE_URL=store)
        seen[words] = done.stdout + done.stderr
    seen["all logs"] = redaction.scrub(caplog.text)
    caplog.set_level(logging.INFO)
    rest = _by_rest(two, monkeypatch)
    seen |= rest
    seen["our log"] = "\n".join(
        f"{record.getMessage()} {record.exc_text}"
        for record in caplog.records
        if record.name.split(".")[0] in {"core", "api", "web", "ui"}
    )
    texts = {**seen, **stored()}

    assert hits([base64.b64encode(f"x{OWN['acme', 'openai']}y".encode()).decode()])
    assert {where: found for where, text in texts.items() if (found := hits([text]))} == {}
    assert len(seen["explain openai --organization acme"]) > 100
    of_beta = "".join(text for where, text in rest.items() if "beta" in where)
    fingerprints = set(re.findall(r'"apiKeyFingerprint":"(#\w+)"', of_beta))
    assert fingerprints
    assert not [
        where for where, text in rest.items() if "acme's" in where and any(each in text for each in fingerprints)
    ]


def _by_rest(two: list[Tenant], monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What everybody reads over REST of both, and what is answered when a table is not as it should be."""
    acme, beta = two
    answers: dict[str, str] = {}
    people = {
        "an admin": token("admin"),
        "an analyst": token("analyst"),
        "acme's admin": signed_in("acme-member"),
        "acme's token": token_of(acme.organization, "admin"),
        "beta's token": token_of(beta.organization, "admin"),
    }
    monkeypatch.setattr(effective, "resolver", resolve.resolver)
    monkeypatch.setattr(effective, "_picture", None)
    reads = [path for method, path in ROUTES if method == "GET" and is_about_organisations(path)]
    with serving(monkeypatch) as client:
        for who, headers in people.items():
            for name, of in {"acme": acme, "beta": beta}.items():
                asked = ("/llm/settings?explain=true&", "/llm/document?", "/llm/history?")
                for path in (*reads, *(f"{each}organization={name}" for each in asked)):
                    got = client.get(address(path, _numbers(of)), headers=headers)
                    answers[f"{who} reads {path} of {name}"] = f"{got.text} {got.headers}"
        for path in ("/llm/providers", "/llm/providers/1/headers", "/llm/features", "/metrics", "/health/ready"):
            answers[path] = client.get(f"/api{path}", headers=people["an admin"]).text
        with db.transaction() as session:
            session.connection().exec_driver_sql("ALTER TABLE organization_providers RENAME COLUMN own_models TO other")
        url = f"/api/llm/organizations/{acme.organization}/providers/1/api-key"
        got = client.post(url, json={"apiKey": OWN["acme", "openai"]}, headers=people["an admin"])
        assert got.status_code >= 500
        answers["a fault"] = got.text
        with db.transaction() as session:
            session.connection().exec_driver_sql("ALTER TABLE organization_providers RENAME COLUMN other TO own_models")
    return answers


def _numbers(of: Tenant) -> dict[str, object]:
    numbers: dict[str, object] = {"organizations": of.organization, "orgId": of.organization, "userId": of.member}
    numbers |= {"alerts": 1, "budgets": 1}
    return numbers | {"settings": of.settings, "featureId": of.feature, "providerId": 1, "limits": of.limits}


@pytest.mark.usefixtures("two")
def test_what_a_provider_carries_goes_with_own_keys_to_its_host_alone(vendor: Vendor) -> None:
    """A gateway's token is sent beside an organisation's key; once the provider has another host, neither is opened, nothing is sent."""
    vendor.keys[:] = OWN.values()
    ai.complete("Hi", provider="openai", organization="acme")
    assert vendor.asked[-1].headers["x-gate"] == SEALED["openai"]
    asked = len(vendor.asked)
    with db.transaction() as session:
        session.connection().exec_driver_sql(
            "UPDATE llm_providers SET api_base_url = replace(api_base_url, '127.0.0.1', 'localhost') WHERE name = 'openai'"
        )
    settle()
    settings: Any = resolve.resolve("openai", "acme")

    assert (settings.status, settings.key_owner, settings.carried().headers) == ("key_unreadable", "organization", ())
    with pytest.raises(KeyNotReadable):
        ai.complete("Hi", provider="openai", organization="acme")
    assert len(vendor.asked) == asked
