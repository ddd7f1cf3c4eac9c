"""Files of other products become documents that apply; what does not come over is named, and no key is in anything."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from sqlmodel import Session

from core.actors import COMMAND_LINE
from core.commands.import_from import ProductName
from core.errors import Invalid
from core.govern.documents import applying, emitting, schema, wording
from core.govern.importers.losses import Imported
from core.govern.importers.products import PRODUCTS
from core.manage import providers
from core.store.table import id_of
from tests.govern.importers import samples

CANARY = "sk-canary-importers-0123456789abcdefgh"


def written(found: Imported) -> str:
    """All that is shown of a file."""
    return "\n".join([emitting.written(found.document, ("version",)), *map(str, found.losses), found.summary])


def test_the_command_line_has_every_product() -> None:
    """Each product has a name there, and each is among the samples."""
    assert {each.value for each in ProductName} == PRODUCTS.keys() == set(samples.FILES.values())


@pytest.mark.parametrize("name", samples.FILES)
def test_a_file_applies_to_an_empty_store(session: Session, name: str) -> None:
    """With its variables set, the document of each file applies; applied again it changes nothing; a key is where it belongs."""
    found = samples.imported(name)
    document = schema.read(emitting.written(found.document, ("version",)))
    assert document == schema.of(found.document)
    keys = {path: f"madeup-{part.env}-0123456789" for path, part in document.secrets()}

    applying.put(session, COMMAND_LINE, document, secrets=keys)
    session.flush()

    again = applying.put(session, COMMAND_LINE, document, secrets=keys)
    assert wording.diff(again) == "Nothing to change."
    for path, key in keys.items():
        _, provider, field = path.split(".", 2)
        if field == "api_key":
            row = providers.get_by_name(session, provider)
            assert providers.open_api_key(session, id_of(row)) == key
            assert row.is_active or not found.document["providers"][provider].get("is_active", True)


def test_where_nobody_resolves_references_each_is_to_be_entered(session: Session) -> None:
    """Of every file what a page gets is applied without one of its keys; each is listed, and nothing else is otherwise."""
    for name in samples.FILES:
        found = samples.imported(name)
        references = {path for path, part in schema.of(found.document).secrets() if part.reference}
        by_hand = schema.of(found.without_references())
        assert not [path for path, part in by_hand.secrets() if part.reference], name
        plan = applying.put(session, COMMAND_LINE, by_hand, dry_run=True)
        assert {path.lower() for path in plan.to_enter} == {path.lower() for path in references}, name
        assert by_hand.model_copy(update={"providers": None}) == schema.of(found.document).model_copy(
            update={"providers": None}
        )


def test_no_key_of_a_file_is_shown() -> None:
    """Of all files, which have keys in plain text: neither a document nor a loss has one."""
    assert len(samples.secrets()) > 8
    for name in samples.FILES:
        assert not [secret for secret in samples.secrets() if secret in written(samples.imported(name))], name


def mappings(value: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Each mapping of a tree with its path."""
    if isinstance(value, dict):
        yield path, value
        for key, below in value.items():
            yield from mappings(below, f"{path}.{key}" if path else key)
    elif isinstance(value, list):
        for number, below in enumerate(value):
            yield from mappings(below, f"{path}[{number}]")


@pytest.mark.parametrize("name", [name for name in samples.FILES if not name.endswith(".env")])
def test_nothing_is_passed_over_in_silence(name: str) -> None:
    """An entry that nobody knows, put into any mapping of any file, is named by its path, or by that of what was lost with it."""
    tree = yaml.safe_load((samples.FOLDER / name).read_text(encoding="utf-8"))
    silent = []
    for path, mapping in list(mappings(tree)):
        mapping["zz_unknown"] = {"zz": CANARY}
        found = samples.imported(name, json.dumps(tree, default=str))
        del mapping["zz_unknown"]
        place = f"{path}.zz_unknown" if path else "zz_unknown"
        told = [loss.where for loss in found.losses]
        sent = json.dumps(found.document)
        if not any(place == at or place.startswith((f"{at}.", f"{at}[")) for at in told) and "zz_unknown" not in sent:
            silent.append(place)
        assert CANARY not in "\n".join(map(str, found.losses))
    assert not silent


WORDS: dict[str, tuple[str, ...]] = {
    "litellm": (
        "model_list", "litellm_params", "model_info", "model", "model_name", "api_base", "api_key", "api_version", "mode",
        "litellm_settings", "router_settings", "num_retries", "request_timeout", "extra_headers", "extra_body", "temperature",
        "model_group_alias", "environment_variables", "credential_list", "litellm_credential_name", "stop", "drop_params",
    ),
    "librechat": (
        "endpoints", "custom", "azureOpenAI", "groups", "name", "apiKey", "baseURL", "models", "default", "fetch", "headers",
        "addParams", "dropParams", "modelSpecs", "list", "preset", "endpoint", "model", "temperature", "instanceName", "version",
        "openAI", "provider", "deploymentName", "group", "stop", "serverless",
    ),
    "otari": (
        "providers", "openai", "provider_type", "api_key", "api_base", "models", "client_args", "custom_headers", "timeout",
        "aliases", "pricing", "max_retries", "anthropic",
    ),
    "open-webui": (
        "openai", "ollama", "api_base_urls", "api_keys", "api_configs", "base_urls", "enable", "model_ids", "0", "1", "ui",
        "default_models", "azure", "api_version", "headers", "auth_type", "OPENAI_API_KEYS", "openai.api_base_urls", "key", "config",
    ),
    "langfuse": (
        "data", "adapter", "provider", "baseURL", "secretKey", "displaySecretKey", "customModels", "extraHeaders", "config",
        "extraHeaderKeys", "withDefaultModels",
    ),
}  # fmt: skip
TEXTS = (
    "openai/gpt-5", "azure/x", "gemini/g", "*", "os.environ/A_KEY", "${B_KEY}", "https://a.example/v1", "http://[::1",
    "https://user:pw@a.example", "https://a.example/openai/deployments/d/chat/completions?api-version=2024-10-21", "openai", "azure",
    "2024-10-21", "", "0.5", "user_provided", "x" * 3000, "\u200b", "a\nb", CANARY, "instance:model",
)  # fmt: skip


def trees(product: str) -> st.SearchStrategy[Any]:
    """JSON-like trees that have a product's own words wherever they can."""
    keys = st.sampled_from(WORDS[product]) | st.text(max_size=6)
    leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(TEXTS) | st.text(max_size=8)
    below = st.recursive(
        leaves, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=5), max_leaves=25
    )
    return st.dictionaries(st.sampled_from(WORDS[product]), below, max_size=5) | below


@pytest.mark.parametrize("product", WORDS)
@hypothesis_settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_any_tree_is_read_or_refused(product: str, data: st.DataObject) -> None:
    """Whatever stands where: Invalid, or a document that our rules accept; and what a key is shows nowhere."""
    tree = data.draw(trees(product))
    try:
        found = PRODUCTS[product].read(json.dumps(tree), {"A_KEY": "https://b.example/v1"})
    except Invalid as error:
        found = Imported({"version": 1, "refused": str(error)}, ())
    else:
        schema.of(found.document)
    for loss in found.losses:
        assert str(loss).isprintable()
    if f'"{CANARY}": ' not in json.dumps(tree) and "model" not in json.dumps(tree).lower():
        assert CANARY not in written(found)


@hypothesis_settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.text(max_size=200)
    | st.lists(st.sampled_from(["OPENAI_API_KEY", "OPENAI_BASE_URL", "=", "\n", CANARY, "'", "#"])).map("".join)
)
def test_any_text_is_read_as_variables(text: str) -> None:
    """Of a .env file nothing but Invalid is raised, and no value of a key shows."""
    try:
        found = PRODUCTS["env"].read(text, None)
    except Invalid:
        return
    schema.of(found.document)
    assert CANARY not in written(found) or f"{CANARY}=" in text


EXPLODES = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{name}: &{name} [{','.join([f'*{before}'] * 9)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
HOSTILE = {
    "ten megabytes": ("x: " + "y" * 10_000_000, "MB"),
    "anchors that explode": (EXPLODES, "aliases"),
    "a loop": ("model_list: &a [*a]", "line 1"),
    "a mask without quotes": ("x: 1\napi_key: *****\n", "line 2"),
    "deep": ("[" * 100_000, "deep"),
    "deep JSON": ('{"a":' * 5_000 + "1" + "}" * 5_000, "deep"),
    "a key twice": ("model_list: []\nx: 1\nmodel_list: []\n", "line 3"),
    "a key twice in JSON": ('{"openai": 1, "openai": 2}', "twice"),
    "cut off": ("model_list:\n- a: [1\n", "line 3"),
    "a tab": ("model_list:\n\t- a\n", "line 2"),
    "two documents": ("a: 1\n---\nb: 1\n", "line 2"),
    "a NUL": ("a: \0", "NUL"),
    "half a character": ("a: \ud800", "half"),
    "empty": (" \n", "empty"),
    "a list": ("- 1", "no "),
    "a word": ("hello", "no "),
    "another file": ("services:\n  db: {image: postgres}\n", "no "),
}


@pytest.mark.parametrize("product", [name for name in PRODUCTS if name != "env"])
@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_file_is_refused(product: str, what: str) -> None:
    """What is no configuration is refused with its line, where it has one, and the rule; and nothing of the file."""
    text, word = HOSTILE[what]

    with pytest.raises(Invalid) as refused:
        PRODUCTS[product].read(text.replace("hello", CANARY), None)

    assert word in str(refused.value)
    assert CANARY not in str(refused.value)


def test_tags_and_old_words_are_read_as_there() -> None:
    """`!ENV X`, dates and versions without quotes are text, `yes` and `on` are true, and anchors are what they stand for."""
    text = """
shared: &shared {api_key: os.environ/AZURE_KEY, api_base: https://r.openai.azure.com, api_version: 2024-10-21}
model_list:
  - model_name: one
    litellm_params: {<<: *shared, model: azure/one, drop_params: yes}
  - model_name: two
    litellm_params: {<<: *shared, model: azure/two, api_key: !ENV ANOTHER, drop_params: on}
"""
    found = PRODUCTS["litellm"].read(text, None)

    one, two = found.document["providers"].values()
    assert one["query"] == two["query"] == {"api-version": "2024-10-21"}
    assert one["api_key"] == {"env": "AZURE_KEY"}
    assert one["settings"] == two["settings"] == {"unfit_parameters": "leave_out"}
    assert [loss.where for loss in found.losses if loss.kind == "to do"] == ["model_list[1].litellm_params.api_key"]
