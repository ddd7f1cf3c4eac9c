"""Presets: each fills a form with what its vendor is really called by; nothing of it is stored."""

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import openai
import pytest
from sqlmodel import Session

from core import ai, config, presets
from core.actors import COMMAND_LINE, Actor
from core.calling import dial
from core.calling.clients import clients
from core.errors import Invalid
from core.manage import connection, provider_keys, providers
from core.presets import PRESETS, Preset, open_part, preset_at
from core.resolve import Resolver, resolve
from core.store import api_keys, db
from core.testing import override
from tests.conftest import ROOT
from tests.egress import Egress
from tests.vendors import TEXT, Vendor, make_certificate

each_preset = pytest.mark.parametrize("preset", PRESETS.values(), ids=PRESETS)
FILLED = {"REGION": "eu-central-1", "NAME": "acme"}
KEYS = {
    "openrouter": "sk-or-v1-" + "0123456789abcdef" * 4,
    "mistral": "Ab3d5Fg7" * 4,
    "xai": "xai-" + "Ab3d5Fg7" * 10,
    "deepseek": "sk-" + "0123456789abcdef" * 2,
    "groq": "gsk_" + "Ab3d5Fg7Hj9L1" * 4,
    "together": "Ab3d5Fg7" * 8,
    "bedrock": "ABSK" + "Ab3d5Fg7" * 15,
    "azure_v1": "0123456789abcdef" * 2,
}
"""Keys of the form that each vendor gives out."""


def address(preset: Preset) -> str:
    """The address with its open parts filled in."""
    return re.sub("[A-Z]{4,}", lambda found: FILLED[found[0]], preset.address)


def made(name: str, preset: Preset, url: str) -> dict[str, object]:
    """A provider as the form makes it."""
    fixed = {"name": name, "display_name": preset.label, "kind": preset.kind, "api_base_url": url}
    key = {"api_key": KEYS[preset.name]} if preset.needs_key else {"needs_key": False}
    return {**fixed, "available_models": ["m1"], "default_model": "m1", **key}


@each_preset
def test_a_row_holds_together(preset: Preset) -> None:
    """It has an address with a scheme, its source, and open parts that somebody knows; hosts are told apart."""
    url = urlsplit(preset.address)
    assert url.scheme == ("https" if preset.needs_key else "http")
    assert preset.source.startswith("https://")
    assert set(preset.open_parts) <= set(FILLED)
    assert preset_at(address(preset)) == (preset if preset.needs_key else None)
    assert preset.name in KEYS or not preset.needs_key
    assert open_part(address(preset)) == ""


@each_preset
def test_docs_have_a_row(preset: Preset) -> None:
    """docs/providers.md has the preset with its address."""
    rows = [
        line for line in (ROOT / "docs/providers.md").read_text().splitlines() if line.startswith(f"| {preset.label} |")
    ]
    assert len(rows) == 1
    assert f"`{preset.name}`" in rows[0]
    assert preset.address in rows[0]


@each_preset
def test_an_address_that_is_not_filled_in(session: Session, admin: Actor, preset: Preset) -> None:
    """What is left open is named, and refused; a filled-in address is stored as it is."""
    for part in preset.open_parts:
        with pytest.raises(Invalid, match=f"still has {part} in it"):
            providers.create(session, admin, made("a", preset, preset.address))
    assert providers.create(session, admin, made("b", preset, address(preset))).api_base_url == address(preset)


@pytest.mark.parametrize("preset", [preset for preset in PRESETS.values() if preset.key_format], ids=lambda p: p.name)
def test_keys_go_by_the_host(preset: Preset) -> None:
    """A key of the vendor's form is taken without a word, another is questioned in its name; elsewhere nothing is known."""
    assert preset.key_format is not None
    key, url = KEYS[preset.name], address(preset)
    wrong = f"zz{key}" if preset.key_format.prefixes else key[:12]

    assert api_keys.look(preset.kind, key, url) == api_keys.KeyVerdict()
    found = api_keys.look(preset.kind, wrong, url)
    assert found.warning.startswith(f"{preset.label} keys usually")
    assert not found.refused
    assert api_keys.look(preset.kind, wrong, "https://host.example/v1") == api_keys.KeyVerdict()
    assert provider_keys.validate_api_key_format(preset.kind, wrong, url) == found.warning
    assert "placeholder" in api_keys.look(preset.kind, "your_api_key_here", url).warning


@pytest.mark.parametrize(
    "url", [None, "", "http://[", "https://api.mistral.ai.evil.example/v1", "https://xapi.mistral.ai/v1", "mistral"]
)
def test_addresses_of_nobody(url: str | None) -> None:
    """A host that only looks like a vendor's is not the vendor's."""
    assert preset_at(url) is None


# Each as a running server at its own address: a proxy of ours is the only one that knows where that is


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    hosts = tuple(urlsplit(address(preset)).hostname or "" for preset in PRESETS.values() if preset.needs_key)
    return make_certificate(tmp_path_factory.mktemp("tls"), hosts)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch, certificate: tuple[Path, Path]) -> Iterator[tuple[Vendor, Vendor, Egress]]:
    """A vendor at all these addresses, one on this machine, and the way to the former."""
    keys = tuple(KEYS.values())
    with Vendor(certificate=certificate, keys=keys) as remote, Vendor(keys=("not-needed",)) as local:
        hosts = {
            urlsplit(address(preset)).hostname or "": remote.port for preset in PRESETS.values() if preset.needs_key
        }
        with Egress(hosts) as egress:
            for name in ("LLM_HTTP_PROXY", "HTTPS_PROXY"):  # of ours, and of the SDK
                monkeypatch.setenv(name, egress.url)
            monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
            config.get_config.cache_clear()
            dial.tls.cache_clear()
            clients.close()
            yield remote, local, egress
    clients.close()
    dial.tls.cache_clear()


LENGTHS = {"azure_v1": "max_completion_tokens"}
"""Preset -> what that API calls the maximum, where it is another name than the kind's."""


@each_preset
def test_what_arrives(session: Session, world: tuple[Vendor, Vendor, Egress], preset: Preset) -> None:
    """core.ai, the SDK with `client_options()`, and the connection test: the same path, key, model and parameters."""
    remote, local, _ = world
    vendor = remote if preset.needs_key else local
    url = address(preset)
    if not preset.needs_key:
        url = url.replace(f":{urlsplit(url).port}", f":{local.port}")
    key = KEYS.get(preset.name, "not-needed")

    with override(
        "x", kind=preset.kind, base_url=url, model="m1", api_key=key, temperature=0.5, max_tokens=7, max_retries=0
    ):
        assert ai.complete("Hello", provider="x").text == TEXT
        settings = resolve("x")
        with openai.OpenAI(**settings.client_options()) as client:
            client.chat.completions.create(
                messages=[{"role": "user", "content": "Hello"}], **settings.request_options()
            )
    row = providers.create(session, COMMAND_LINE, made("tested", preset, url))
    report = connection.run(connection.prepare(session, COMMAND_LINE, row.id))

    assert report.state == "verified"
    path = f"{urlsplit(url).path.rstrip('/')}/chat/completions"
    calls = vendor.calls()
    assert [asked.path for asked in calls] == [path] * 3
    assert {asked.headers["authorization"] for asked in calls} == {f"Bearer {key}"}
    sent = {"model": "m1", "temperature": 0.5, LENGTHS.get(preset.name, "max_tokens"): 7}
    for asked in calls[:2]:
        assert {name: value for name, value in asked.body.items() if name in sent or name.startswith("max_")} == sent


def test_a_later_address_leaves_what_is_stored(committed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A version with another address in its table: stored providers keep theirs, and are called there."""
    preset = PRESETS["groq"]
    with db.transaction() as session:
        stored = providers.create(session, COMMAND_LINE, made("groq", preset, preset.address)).id or 0
    later = dataclasses.replace(preset, address="https://elsewhere.example/v9")
    monkeypatch.setattr(presets, "PRESETS", {**PRESETS, "groq": later})
    with db.transaction() as session:
        assert providers.get(session, stored).api_base_url == preset.address
        providers.update(session, COMMAND_LINE, stored, {"display_name": "Renamed"})
    resolver = Resolver(committed)
    try:
        assert resolver.start().wait(10)
        assert resolver.resolve("groq").client_options()["base_url"] == preset.address
    finally:
        resolver._stop.set()
