"""What becomes of keys in the environment: each goes where it belonged, or nowhere."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from sqlmodel import Session

from core import env_file
from core.actors import COMMAND_LINE, Actor
from core.kinds import KINDS, KindFacts, origin_of
from core.manage import env_import, env_reading, provider_secrets, providers, seed
from core.manage.seed import Outcome
from core.store import db
from tests.processes import core
from tests.store.test_api_keys import REAL

OPENAI = "sk-proj-canary-0123456789abcdefghijklmnopqrstuvwxyz"
GATEWAY = "sk-litellm-team-a-canary-0123456789abcdefghijklmnop"
ANTHROPIC = "sk-ant-api03-" + "Ab3_-" * 19 + "AA"
VENDORS = {"openai", "anthropic", "google"}


def _import(session: Session, admin: Actor, **env: str) -> dict[str, Outcome]:
    return {outcome.name: outcome for outcome in env_import.import_env(session, admin, env)}


def _sent_to(session: Session) -> dict[str, str]:
    """Where each stored key goes: key -> origin, of active providers."""
    session.expire_all()
    rows = [row for row in providers.list_all(session) if row.api_key_encrypted and row.is_active]
    return {providers.open_api_key(session, row.id or 0): origin_of(row.kind, row.api_base_url) for row in rows}


@pytest.mark.parametrize(
    "beside",
    [
        {"OPENAI_BASE_URL": "http://litellm.corp.example:4000/v1"},
        {"OPENAI_API_BASE": "https://openrouter.ai/api/v1"},
        {"OPENAI_API_BASE_URL": "https://gateway.example/v1"},
        {"OPENAI_API_BASE_URLS": "https://a.example/v1"},
        {"OPENAI_PROXY_URL": "https://gateway.example/v1"},
        {"OPENAI_REVERSE_PROXY": "https://gateway.example/v1"},
        {"OPENAI_API_HOST": "https://gateway.example/v1"},
        {"OPENAI_API_TYPE": "azure"},
        {"OPENAI_API_TYPE": "azure_ad", "OPENAI_API_BASE": "https://x.openai.azure.com/"},
        {"OPENAI_BASE_URL": "litellm:4000"},
        {"OPENAI_BASE_URL": "${LITELLM_URL}"},
        {"OPENAI_BASE_URL": "https://[half"},
        {"OPENAI_BASE_URL": "https://a.example/v1", "OPENAI_API_BASE": "https://b.example/v1", "OPENAI_MODEL": "m"},
    ],
)
@pytest.mark.parametrize("seeded", [True, False])
def test_a_gateways_key_never_goes_to_the_vendor(
    session: Session, admin: Actor, beside: dict[str, str], *, seeded: bool
) -> None:
    """With the address of somebody else beside it, OpenAI's provider gets neither the key nor is it active."""
    if seeded:
        seed.seed(session, admin)
    found = _import(session, admin, OPENAI_API_KEY=GATEWAY, **beside)

    assert found["OPENAI_API_KEY"].action == "left alone"
    assert GATEWAY not in repr(found)
    assert _sent_to(session) == {}
    assert not [row.name for row in providers.list_all(session) if row.is_active]


@pytest.mark.parametrize(
    ("variable", "key", "beside", "origin", "kind"),
    [
        ("OPENAI_API_KEY", GATEWAY, {"OPENAI_BASE_URL": "http://litellm:4000/v1", "OPENAI_MODEL": "gpt-x"},
         "http://litellm:4000", "openai_compatible"),
        ("OPENAI_API_KEY", "EMPTY", {"OPENAI_API_BASE": "http://vllm:8000/v1", "OPENAI_MODEL": "qwen"},
         "http://vllm:8000", "openai_compatible"),
        ("OPENAI_API_KEY", GATEWAY, {"OPENAI_API_BASE": "https://openrouter.ai/api/v1", "OPENAI_MODELS": "a/b,c/d"},
         "https://openrouter.ai:443", "openai_compatible"),
        ("ANTHROPIC_API_KEY", ANTHROPIC, {"ANTHROPIC_BASE_URL": "https://gateway.example/anthropic"},
         "https://gateway.example:443", "anthropic"),
        ("GEMINI_API_KEY", "AQ." + "Ab3_" * 12, {"GOOGLE_GEMINI_BASE_URL": "https://gemini.corp.example"},
         "https://gemini.corp.example:443", "google"),
        ("GROQ_API_KEY", "gsk_0123456789abcdefghij", {"GROQ_MODEL": "llama"},
         "https://api.groq.com:443", "openai_compatible"),
        ("LITELLM_API_KEY", "sk-1234", {"LITELLM_BASE_URL": "http://litellm:4000", "LITELLM_MODEL": "gpt-x"},
         "http://litellm:4000", "openai_compatible"),
    ],
)  # fmt: skip
def test_a_key_travels_with_its_address(
    session: Session, admin: Actor, variable: str, key: str, beside: dict[str, str], origin: str, kind: str
) -> None:
    """Where a model is known too, a provider of that address is made, has the key and is active; twice changes nothing."""
    first = _import(session, admin, **{variable: key}, **beside)
    again = _import(session, admin, **{variable: key}, **beside)

    assert first[variable].action == "created"
    assert again[variable].why.endswith("has this key already")
    assert _sent_to(session) == {key: origin}
    (row,) = providers.list_all(session)
    assert (row.kind, row.is_active, row.default_model) == (kind, True, row.available_models[0])
    assert row.name not in VENDORS


def test_a_provider_of_that_address_gets_the_key(session: Session, admin: Actor) -> None:
    """Added on the page before, without a key: the import needs no model then."""
    fields = {"name": "team", "display_name": "Team", "kind": "openai_compatible", "available_models": ["m"]}
    providers.create(session, admin, {**fields, "api_base_url": "http://litellm:4000/v1", "is_active": False})

    found = _import(session, admin, OPENAI_API_KEY=GATEWAY, OPENAI_BASE_URL="http://litellm:4000/v1/")

    assert found["OPENAI_API_KEY"].action == "updated"
    assert _sent_to(session) == {GATEWAY: "http://litellm:4000"}


def test_the_vendors_own_address_is_no_other(session: Session, admin: Actor) -> None:
    """A base URL that is the vendor's own, or a commented one, changes nothing."""
    found = _import(
        session, admin, OPENAI_API_KEY=OPENAI, OPENAI_BASE_URL="https://api.openai.com/v1/",
        ANTHROPIC_API_KEY=ANTHROPIC, ANTHROPIC_BASE_URL="# none",
    )  # fmt: skip

    assert (found["OPENAI_API_KEY"].action, found["ANTHROPIC_API_KEY"].action) == ("created", "created")
    assert _sent_to(session) == {OPENAI: "https://api.openai.com:443", ANTHROPIC: "https://api.anthropic.com:443"}


def test_a_vendors_key_never_goes_to_a_stored_gateway(session: Session, admin: Actor) -> None:
    """A provider openai that calls a gateway does not get the key that stands without an address."""
    fields = {"name": "openai", "display_name": "O", "kind": "openai", "available_models": ["m"]}
    providers.create(session, admin, {**fields, "api_base_url": "https://gateway.example/v1", "is_active": False})

    found = _import(session, admin, OPENAI_API_KEY=OPENAI)

    assert "another host" in found["OPENAI_API_KEY"].why
    assert _sent_to(session) == {}


@pytest.mark.parametrize(
    "value",
    [
        "user_provided", "your_openai_api_key_here", "sk-" + "x" * 48, "<your-key>", "sk-...", "CHANGE_ME_PLEASE",
        "# get it from the portal", "${OPENAI_API_KEY}", "os.environ/KEY", "op://vault/item/key", "dummy", "EMPTY",
        f"Bearer {OPENAI}", f'"{OPENAI}', f"{OPENAI},{OPENAI}", "https://api.openai.com/v1", "sk-proj...****", "short",
    ],
)  # fmt: skip
@pytest.mark.parametrize("variable", ["OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GEMINI_API_KEY"])
def test_what_is_no_key_activates_nothing(session: Session, admin: Actor, variable: str, value: str) -> None:
    """Placeholders, comments, references and pasted words are left alone, with the reason; no provider is made or active."""
    seed.seed(session, admin)
    found = _import(session, admin, **{variable: value})

    assert found[variable].action == "left alone"
    assert found[variable].why != "is not set"
    assert OPENAI not in repr(found)
    assert _sent_to(session) == {}
    assert not any(row.is_active or row.api_key_encrypted for row in providers.list_all(session))


@pytest.mark.parametrize(
    ("env", "variable", "words"),
    [
        ({"MISTRAL_API_KEY": "x" * 32}, "MISTRAL_API_KEY", "MISTRAL_MODEL"),
        ({"OPENAI_API_KEYS": "a;b", "OPENAI_API_BASE_URLS": "https://a/v1;https://b/v1"}, "OPENAI_API_KEYS", "a list of keys"),
        ({"AZURE_OPENAI_API_KEY": "0" * 32}, "AZURE_OPENAI_API_KEY", "AZURE_OPENAI_ENDPOINT"),
        ({"STRIPE_API_KEY": "sk_live_x"}, "STRIPE_API_KEY", "no vendor that is known here"),
        ({"LITELLM_API_KEY": "sk-1234"}, "LITELLM_API_KEY", "LITELLM_BASE_URL"),
        ({"XAI_API_KEY": ""}, "XAI_API_KEY", "is not set"),
        ({"GOOGLE_GENERATIVE_AI_API_KEY": ""}, "GOOGLE_GENERATIVE_AI_API_KEY", "is not set"),
    ],
)  # fmt: skip
def test_every_key_is_told_of(session: Session, admin: Actor, env: dict[str, str], variable: str, words: str) -> None:
    """Each variable that is named as an API key's is named in the answer, with what became of it."""
    found = _import(session, admin, **env)

    assert found[variable].action == "left alone"
    assert words in found[variable].why


@pytest.mark.parametrize("gateway", ["", "https://gateway.example/x"])
@pytest.mark.parametrize(
    ("kind", "variable"), [(kind, variable) for kind in KINDS.values() for variable in kind.key_variables]
)
def test_a_key_of_a_kind_that_is_not_seeded(
    session: Session, admin: Actor, monkeypatch: pytest.MonkeyPatch, kind: KindFacts, variable: str, gateway: str
) -> None:
    """Its variables alone say where it goes: a provider of that kind is made, at the kind's address or the one beside it."""
    monkeypatch.setattr(env_reading, "KEY_VARIABLES", {})
    monkeypatch.setattr(env_reading, "ALSO_KNOWN", {})
    prefix = variable.removesuffix("_API_KEY")
    env = {variable: REAL[kind.name], f"{prefix}_MODEL": "m", **({f"{prefix}_BASE_URL": gateway} if gateway else {})}
    first, again = _import(session, admin, **env), _import(session, admin, **env)

    if not gateway and kind.base_url is None:
        assert "says where the key is sent" in first[variable].why
        return
    assert (first[variable].action, again[variable].action) == ("created", "left alone")
    (row,) = providers.list_all(session)
    expected = "openai_compatible" if gateway and kind.name == "openai" else kind.name
    assert (row.kind, row.api_base_url, row.default_model) == (expected, gateway or None, "m")
    assert _sent_to(session) == {REAL[kind.name]: origin_of(kind.name, gateway)}


@pytest.mark.parametrize("url", [kind.base_url for kind in KINDS.values() if kind.base_url and kind.sdk != "openai"])
def test_openais_protocol_at_another_vendor(session: Session, admin: Actor, url: str) -> None:
    """Google and others speak it at their own address as well: the provider is OpenAI-compatible."""
    found = _import(session, admin, OPENAI_API_KEY=GATEWAY, OPENAI_BASE_URL=f"{url}/openai", OPENAI_MODEL="m")

    assert found["OPENAI_API_KEY"].action == "created"
    assert [row.kind for row in providers.list_all(session)] == ["openai_compatible"]


@pytest.mark.long
@given(
    st.dictionaries(
        st.sampled_from(["OPENAI_BASE_URL", "OPENAI_API_BASE", "OPENAI_MODEL", "OPENAI_API_TYPE", "OPENAI_API_HOST", "MISTRAL_API_KEY"]),
        st.one_of(
            st.sampled_from(["https://api.openai.com/v1", "https://gw.example/v1", "azure", "m1,m2", "", "# x", "[", "http://h:x"]),
            st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=20),
        ),
    )
)  # fmt: skip
@hypothesis_settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
def test_no_environment_sends_a_key_astray(session: Session, admin: Actor, beside: dict[str, str]) -> None:
    """Whatever stands beside it: a key is at the vendor only if no address beside it leads elsewhere, and is never told."""
    attempt = session.begin_nested()
    found = _import(session, admin, OPENAI_API_KEY=OPENAI, **beside)
    sent = _sent_to(session)
    bases = [v.strip() for k, v in beside.items() if k in {"OPENAI_BASE_URL", "OPENAI_API_BASE", "OPENAI_API_HOST"}]
    elsewhere = [
        v for v in bases if v and not v.startswith("#") and origin_of("openai", v) != "https://api.openai.com:443"
    ]
    attempt.rollback()

    assert OPENAI not in repr(found)
    if elsewhere or beside.get("OPENAI_API_TYPE", "").strip().lower().startswith("azure"):
        assert sent.get(OPENAI) != "https://api.openai.com:443"
    else:
        assert sent == {OPENAI: "https://api.openai.com:443"}


def test_references_that_lead_nowhere(committed: str, tmp_path: Path) -> None:
    """A key, or an address beside a key, that refers to a variable which is not set is told as that: the key goes nowhere."""
    file = tmp_path / "service.env"
    lines = [f"OPENAI_API_KEY={OPENAI}", "OPENAI_BASE_URL=${NOT_SET_HERE}", "GEMINI_API_KEY=${NOT_SET_EITHER}"]
    file.write_text("\n".join(lines), encoding="utf-8")

    done = core("import-env", str(file), DATABASE_URL=committed)

    assert "left alone  OPENAI_API_KEY: belongs to the address in OPENAI_BASE_URL, which is no URL" in done.stdout
    assert "left alone  GEMINI_API_KEY: api_key: is a reference to a secret" in done.stdout
    with db.transaction() as session:
        assert _sent_to(session) == {}


def test_a_file_of_powershell(committed: str, tmp_path: Path) -> None:
    """import-env reads UTF-16, numbers the lines that are no variable, and says what became of every key."""
    file = tmp_path / "service.env"
    lines = [
        "# keys",
        f"OPENAI_API_KEY={OPENAI}",
        "ANTHROPIC_API_KEY: x",
        f"- GEMINI_API_KEY={OPENAI}",
        "GROQ_API_KEY=",
    ]
    file.write_bytes("\r\n".join(lines).encode("utf-16"))

    done = core("import-env", str(file), DATABASE_URL=committed)

    assert done.returncode == 0, done.stderr
    assert "created     OPENAI_API_KEY: provider openai has its key now and is active" in done.stdout
    assert "left alone  GROQ_API_KEY: is not set" in done.stdout
    assert "Not read, as no NAME=value: line 3, line 4" in done.stdout
    with db.transaction() as session:
        assert _sent_to(session) == {OPENAI: "https://api.openai.com:443"}
        assert env_import.import_env(session, COMMAND_LINE, env_file.read(file).values)[0].action == "left alone"


ENDPOINT = "https://x.openai.azure.com"
AZURE: dict[str, tuple[dict[str, str], tuple[str, str | None, list[str]]]] = {
    "as the SDK reads it": (
        {"AZURE_OPENAI_ENDPOINT": f"{ENDPOINT}/", "AZURE_OPENAI_DEPLOYMENT": "my-gpt", "AZURE_OPENAI_MODEL": "gpt-4o"},
        ("azure_openai", ENDPOINT, ["my-gpt"]),
    ),
    "the whole address": (
        {"AZURE_OPENAI_ENDPOINT": f"{ENDPOINT}/openai/deployments/my-gpt/chat/completions?api-version=2024-10-21"},
        ("azure_openai", ENDPOINT, ["my-gpt"]),
    ),
    "a model alone": (
        {"AZURE_OPENAI_ENDPOINT": ENDPOINT, "AZURE_OPENAI_MODEL": "gpt-4o"},
        ("azure_openai", ENDPOINT, ["gpt-4o"]),
    ),
    "v1": (
        {"AZURE_OPENAI_ENDPOINT": f"{ENDPOINT}/openai/v1/", "AZURE_OPENAI_MODEL": "gpt-4o"},
        ("openai_compatible", f"{ENDPOINT}/openai/v1/", ["gpt-4o"]),
    ),
}


@pytest.mark.parametrize("form", AZURE)
def test_azures_variables(session: Session, admin: Actor, form: str) -> None:
    """Endpoint and deployment stand beside the key: the provider has both, whichever form they come in."""
    env, expected = AZURE[form]
    found = _import(session, admin, AZURE_OPENAI_API_KEY="0123456789abcdef" * 2, **env)

    assert found["AZURE_OPENAI_API_KEY"].action == "created", found
    (row,) = providers.list_all(session)
    assert (row.kind, row.api_base_url, row.available_models) == expected


@pytest.mark.parametrize(
    ("env", "version"),
    [
        ({"OPENAI_API_VERSION": "2025-01-01-preview"}, "2025-01-01-preview"),
        ({"AZURE_OPENAI_API_VERSION": "2024-06-01", "OPENAI_API_VERSION": "2023-05-15"}, "2024-06-01"),
        (
            {"AZURE_OPENAI_ENDPOINT": f"{ENDPOINT}/openai/deployments/d/chat/completions?api-version=2024-02-01"},
            "2024-02-01",
        ),
        ({"OPENAI_API_VERSION": "latest"}, None),
        ({}, None),
    ],
)
def test_azures_version_becomes_a_query_parameter(
    session: Session, admin: Actor, env: dict[str, str], version: str | None
) -> None:
    """What the variables or the address name is stored and said; what is none is left out."""
    fixed = {
        "AZURE_OPENAI_API_KEY": "0123456789abcdef" * 2,
        "AZURE_OPENAI_ENDPOINT": ENDPOINT,
        "AZURE_OPENAI_DEPLOYMENT": "d",
    }
    found = _import(session, admin, **{**fixed, **env})["AZURE_OPENAI_API_KEY"]

    assert found.action == "created"
    assert ("api-version" in found.why) == (version is not None)
    (row,) = providers.list_all(session)
    stored = provider_secrets.list_of(session, row.id or 0)
    assert [(each.use, each.name, each.plain_value) for each in stored] == (
        [("query", "api-version", version)] if version else []
    )


@pytest.mark.parametrize("region", ["AWS_REGION", "AWS_DEFAULT_REGION"])
def test_bedrocks_key_goes_to_its_region(session: Session, admin: Actor, region: str) -> None:
    """The address has the region that stands beside the key; without one the key is left alone."""
    key = "ABSK" + "Ab3d5Fg7" * 15
    alone = _import(session, admin, AWS_BEARER_TOKEN_BEDROCK=key, BEDROCK_MODEL="openai.gpt-oss-120b-1:0")
    assert "AWS_REGION, which is a part of the address, is not set" in alone["AWS_BEARER_TOKEN_BEDROCK"].why

    env = {"AWS_BEARER_TOKEN_BEDROCK": key, "BEDROCK_MODEL": "openai.gpt-oss-120b-1:0", region: "eu-central-1"}
    assert _import(session, admin, **env)["AWS_BEARER_TOKEN_BEDROCK"].action == "created"
    (row,) = providers.list_all(session)
    assert row.api_base_url == "https://bedrock-runtime.eu-central-1.amazonaws.com/openai/v1"
    assert (row.kind, row.default_model) == ("openai_compatible", "openai.gpt-oss-120b-1:0")


@pytest.mark.parametrize("prefix", env_reading.KEYLESS)
def test_a_server_that_needs_no_key(session: Session, admin: Actor, prefix: str) -> None:
    """Address and model without a key make a provider that needs none; with a key, or without a model, nothing is assumed."""
    where = {f"{prefix}_BASE_URL": "http://127.0.0.1:11434/v1"}
    assert _import(session, admin, **where).keys() == set(env_reading.KEY_VARIABLES)
    env = {**where, f"{prefix}_MODEL": "llama3.2", f"{prefix}_API_KEY": ""}
    outcome = _import(session, admin, **env)[f"{prefix}_BASE_URL"]

    assert (outcome.action, outcome.why) == ("created", "provider 127-0-0-1, which needs no key, is active")
    made = providers.get_by_name(session, "127-0-0-1")
    assert (made.needs_key, made.is_active, made.available_models, made.api_key_encrypted) == (
        False,
        True,
        ["llama3.2"],
        None,
    )
    assert _import(session, admin, **env)[f"{prefix}_BASE_URL"].action == "left alone"
    assert f"{prefix}_BASE_URL" not in _import(session, admin, **{**env, f"{prefix}_API_KEY": "a-key-of-the-server"})
