"""LiteLLM's deployments: which provider each is of, what of it is a setting, and what a name of its own becomes."""

import json
from typing import Any

import pytest

from core.errors import Invalid
from core.govern.importers import litellm
from core.govern.importers.losses import Imported

KEY = "sk-canary-litellm-0123456789abcdef"


def read(*deployments: dict[str, Any], variables: dict[str, str] | None = None, **sections: Any) -> Imported:
    """Import deployments, each by its litellm_params, all under the name of their model."""
    listed = [
        {
            "model_name": params.pop("alias", None) or str(params.get("model", "")).partition("/")[2],
            "litellm_params": params,
        }
        for params in map(dict, deployments)
    ]

    return litellm.read(json.dumps({"model_list": listed, **sections}), variables)


@pytest.mark.parametrize(
    ("params", "kind", "url", "variable"),
    [
        ({"model": "openai/gpt-5"}, "openai", None, "OPENAI_API_KEY"),
        ({"model": "gpt-5"}, "openai", None, "OPENAI_API_KEY"),
        ({"model": "claude-sonnet-5"}, "anthropic", None, "ANTHROPIC_API_KEY"),
        ({"model": "gemini/g-4", "api_key": "os.environ/G"}, "google", None, "G"),
        ({"model": "groq/llama", "api_key": "${GROQ}"}, "openai_compatible", "https://api.groq.com/openai/v1", "GROQ"),
        ({"model": "openai/x", "api_base": "https://gw.example/v1", "api_key": "os.environ/K"}, "openai_compatible", "https://gw.example/v1", "K"),
        ({"model": "openai/x", "api_base": "https://gw.example/v1/chat/completions", "api_key": KEY}, "openai_compatible", "https://gw.example/v1", "GW_EXAMPLE_API_KEY"),
        ({"model": "openai/x", "api_base": "http://vllm:8000/v1", "api_key": "EMPTY"}, "openai_compatible", "http://vllm:8000/v1", None),
        ({"model": "hosted_vllm/x", "api_base": "http://vllm:8000/v1"}, "openai_compatible", "http://vllm:8000/v1", None),
        ({"model": "anthropic/c", "api_base": "https://gw.example/anthropic", "api_key": "os.environ/K"}, "anthropic", "https://gw.example/anthropic", "K"),
        ({"model": "azure/d", "api_base": "https://r.openai.azure.com/", "api_version": "2024-10-21"}, "azure_openai", "https://r.openai.azure.com/", "AZURE_API_KEY"),
        ({"model": "azure/d", "api_base": "https://r.openai.azure.com/openai/v1"}, "openai_compatible", "https://r.openai.azure.com/openai/v1", "AZURE_API_KEY"),
        ({"model": "azure/d", "api_base": "os.environ/BASE"}, "azure_openai", "https://given.openai.azure.com", "AZURE_API_KEY"),
        ({"model": "ollama_chat/llama3"}, "openai_compatible", "http://localhost:11434/v1", None),
        ({"model": "x", "custom_llm_provider": "openai", "api_base": "https://gw.example/v1", "api_key": "os.environ/K"}, "openai_compatible", "https://gw.example/v1", "K"),
    ],
    ids=lambda value: value["model"] if isinstance(value, dict) else None,
)  # fmt: skip
def test_prefix_address_and_key_are_one_provider(
    params: dict[str, Any], kind: str, url: str | None, variable: str | None
) -> None:
    """Each way to write a deployment that can be called here."""
    found = read(params, variables={"BASE": "https://given.openai.azure.com", "K": "never taken"})

    (entry,) = found.document["providers"].values()
    assert (entry["kind"], entry.get("api_base_url")) == (kind, url)
    assert entry.get("api_key") == (None if variable is None else {"env": variable})
    assert entry.get("needs_key", True) is (variable is not None)
    assert "never taken" not in str(found)
    assert KEY not in str(found)


@pytest.mark.parametrize(
    ("params", "word"),
    [
        ({"model": "bedrock/anthropic.claude"}, "AWS"),
        ({"model": "vertex_ai/gemini"}, "service account"),
        ({"model": "cohere/command"}, "not known here"),
        ({"model": "text-completion-openai/instruct"}, "old completions"),
        ({"model": "openai/*"}, "all models"),
        ({"model": "openai/text-embedding-3-small"}, "no model for chat"),
        ({"model": "openai/gpt-image-2"}, "no model for chat"),
        ({"model": "azure/d"}, "has no api_base"),
        ({"model": "openai/x", "api_base": "os.environ/NOT_GIVEN"}, "not known here"),
        ({"model": "openai/x", "api_base": f"https://user:{KEY}@gw.example/v1"}, "no address that can be used"),
        ({"model": ["x"]}, "no text"),
    ],
)
def test_what_cannot_be_called_here_is_lost(params: dict[str, Any], word: str) -> None:
    """Each with its place and why; no provider is made."""
    found = read({**params, "alias": "name"})

    assert "providers" not in found.document
    assert any(word in loss.why and loss.where.startswith("model_list[0]") for loss in found.losses)
    assert KEY not in str(found)


def test_two_keys_at_one_address_are_two_providers() -> None:
    """Also where both stand there in plain text: each has a variable of its own, and one key twice has one."""
    other = f"{KEY}-other"
    at = {"api_base": "https://gw.example/v1"}
    found = read(
        {"model": "openai/a", "api_key": KEY, **at},
        {"model": "openai/b", "api_key": other, **at},
        {"model": "openai/c", "api_key": KEY, **at},
    )

    entries = found.document["providers"]
    assert {name: (entry["available_models"], entry["api_key"]["env"]) for name, entry in entries.items()} == {
        "gw-example": (["a", "c"], "GW_EXAMPLE_API_KEY"),
        "gw-example-2": (["b"], "GW_EXAMPLE_2_API_KEY"),
    }


def test_parameters_and_names_of_ones_own() -> None:
    """What all deployments of a provider say is its setting; a name of one's own is a feature, at each provider it leads to."""
    found = read(
        {"model": "openai/gpt-5", "alias": "smart", "temperature": 0.2, "timeout": 90, "seed": 7, "rpm": 5},
        {"model": "openai/gpt-5-mini", "temperature": 0.2, "max_tokens": "500"},
        {"model": "anthropic/claude-5", "alias": "smart", "max_tokens": 0},
        {"model": "openai/gpt-4", "alias": "smart", "temperature": 0.2},
        litellm_settings={"num_retries": 2, "request_timeout": 600, "drop_params": True},
        router_settings={"num_retries": 4, "model_group_alias": {"clever": "smart", "other": "nobody"}},
    )

    assert found.document["defaults"] == {
        "max_retries": 4,
        "request_timeout_ms": 600_000,
        "unfit_parameters": "leave_out",
    }
    assert found.document["providers"]["openai"]["settings"] == {"temperature": 0.2}
    smart = {
        "openai": {
            "settings": {"preferred_model": "gpt-5", "request_timeout_ms": 90_000, "extra_parameters": {"seed": 7}}
        },
        "anthropic": {"settings": {"preferred_model": "claude-5"}},
    }
    features = found.document["features"]
    assert {name: feature["providers"] for name, feature in features.items()} == {
        "smart": smart,
        "clever": smart,
        "gpt-5-mini": {"openai": {"settings": {"preferred_model": "gpt-5-mini", "max_tokens": 500}}},
    }
    where = {loss.where for loss in found.losses if loss.kind == "lost"}
    assert where == {
        "model_list[0].litellm_params.rpm",
        "model_list[2]",
        "model_list[2].litellm_params.max_tokens",
        "model_list[3]",
        "router_settings.model_group_alias.other",
    }


def test_credentials_variables_and_headers() -> None:
    """Named credentials and variables of the file are looked up; headers come over plain, by variable, or out of plain text."""
    headers = {"X-Team": "research", "X-Trace": "os.environ/TRACE", "X-Token": KEY, "Host": "a", "X-User": "{{user}}"}
    found = read(
        {"model": "azure/d", "litellm_credential_name": "west", "api_base": "os.environ/AZURE_BASE", "extra_headers": headers},
        credential_list=[{"credential_name": "west", "credential_values": {"api_key": "os.environ/WEST", "api_version": "2024-10-21"}}],
        environment_variables={"AZURE_BASE": "https://west.openai.azure.com", "SECRET": KEY},
    )  # fmt: skip

    assert found.document["providers"]["azure-west"] == {
        "display_name": "Azure OpenAI, west",
        "kind": "azure_openai",
        "available_models": ["d"],
        "default_model": "d",
        "api_base_url": "https://west.openai.azure.com",
        "api_key": {"env": "WEST"},
        "headers": {"X-Team": "research", "X-Trace": {"env": "TRACE"}, "X-Token": {"env": "AZURE_WEST_X_TOKEN"}},
        "query": {"api-version": "2024-10-21"},
    }
    assert KEY not in str(found)


PARAMS = "{model: openai/gpt-5, api_key: os.environ/K}"
ONE = "1 provider, 1 model; nothing lost"


@pytest.mark.parametrize(
    ("text", "outcome"),
    [
        ("# nothing yet\n", "the file: is empty"),  # github.com/BerriAI/litellm/pull/12189
        ("model_list:\nlitellm_settings:\n", "nothing; nothing lost"),
        (  # github.com/BerriAI/litellm/issues/2322: a mapping without its hyphen
            f"model_list:\n  model_name: a\n  litellm-params: {{model: azure/x, api_key: {KEY}}}\n",
            "lost: line 1, model_list: is no list. Instead: begin each of its entries with a hyphen",
        ),
        (  # github.com/BerriAI/litellm/pull/2402: = in place of a colon
            "litellm_settings:\n  drop_params = true\nmodel_list: []\n",
            "lost: line 1, litellm_settings: is no mapping of names to values. Instead: write each as NAME: VALUE on a line of its own",
        ),
        (  # github.com/Intelligent-Internet/ii-researcher/issues/5: the shell's line pasted with the file
            f"cat <<EOF > config.yaml\nmodel_list:\n- model_name: a\n  litellm_params: {{api_key: {KEY}}}\nEOF\n",
            "the file: is no YAML at line 2: mapping values are not allowed",
        ),
        (  # github.com/mostlygeek/llama-swap/issues/917: a merge of a list of aliases
            f"model_list:\n- {{model_name: gpt-5, litellm_params: &p {PARAMS}}}\n- {{model_name: b, litellm_params: {{<<: [*p], model: xai/b}}}}\n",
            "2 providers, 2 models",
        ),
        (  # github.com/BerriAI/litellm/pull/6276: a variable where no text stands
            f"model_list: [{{model_name: gpt-5, litellm_params: {PARAMS}}}]\nlitellm_settings: {{drop_params: os.environ/D}}\n",
            "lost: line 2, litellm_settings.drop_params: is neither true nor false",
        ),
        # github.com/trailofbits/buttercup/pull/328: blanks that were no part of it
        (
            "model_list:\n- {model_name: 'gpt-5 ', litellm_params: {model: ' openai/gpt-5', api_key: ' os.environ/K '}}\n",
            ONE,
        ),
        (f"\ufeffmodel_list:\r\n- model_name: gpt-5\r\n  litellm_params: {PARAMS}\r\n", ONE),
    ],
)
def test_what_people_wrote_wrong(text: str, outcome: str) -> None:
    """Files that LiteLLM's users reported, where they tell of it: read as meant, or named with line and cure; no key is repeated."""
    try:
        found = litellm.read(text, None)
        said = "\n".join([found.summary, *map(str, found.losses)])
    except Invalid as error:
        said = str(error)
    assert outcome in said
    assert KEY not in said
