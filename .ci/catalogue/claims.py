"""What each package says of each model. Files are read; only pydantic-ai's profiles and genai-prices' data are imported."""

import ast
import gzip
import json
import re
from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
"""From the least to the most."""


class Claim(NamedTuple):
    """One package says one thing of one model at one API."""

    api: str
    model: str
    field: str
    value: Any
    source: str
    url: str = ""
    """Where the package has it from, if it says so."""


def efforts(values: Any) -> tuple[str, ...]:
    """Return the levels among *values*, in their order; a list that is none, or has others, is no claim."""
    found = tuple(level for level in EFFORTS if level in (values or ()))
    return found if len(found) == len(values or ()) else ()


NO_CHAT = re.compile(
    r"embed|tts|image|audio|realtime|transcribe|whisper|moderation|lyria|-live|live-|veo|imagen|container|orpheus|ocr"
    r"|(?<!safe)guard|vision-ocr|robotics|nano-banana|rerank|voxtral-mini"
)
"""Names of models that answer with no text, or to no text: only their prices and their ends are of interest."""
OF_ANY = frozenset({"prices", "price", "alias", "retires", "successor"})
"""What is taken of them."""


def reasoning_by(levels: tuple[str, ...], default: str | None) -> str | None:
    """Return how a model reasons whose efforts are *levels*; a default alone says nothing of whether it can be turned off."""
    if not levels or default is None:
        return None
    if "none" not in levels:
        return "always"
    return "optional" if default == "none" else "default"


# --- litellm -----------------------------------------------------------------------------------------------------------

_LITELLM_APIS = {
    "openai": "openai",
    "text-completion-openai": "openai",
    "anthropic": "anthropic",
    "gemini": "google",
    "xai": "xai",
    "mistral": "mistral",
    "codestral": "mistral",
    "deepseek": "deepseek",
    "cohere": "cohere",
    "cohere_chat": "cohere",
    "moonshot": "moonshot",
    "groq": "groq",
    "azure": "azure",
    "azure_ai": "azure",
    "bedrock": "bedrock",
    "bedrock_converse": "bedrock",
    "bedrock_mantle": "bedrock",
}
_ENDS = frozenset({"retires", "successor"})
_OF_TUNED = frozenset({"retires", "price"})
"""What a fine-tuned model has of its own; the rest is its base's."""
_TIER = re.compile(r"_above_(\d+)k_tokens$")
_LITELLM_PRICES = {
    "input_cost_per_token": "input",
    "output_cost_per_token": "output",
    "cache_read_input_token_cost": "cache_read",
    "cache_creation_input_token_cost": "cache_write",
}


def _litellm_place(key: str, row: Mapping[str, Any]) -> tuple[str, str] | None:
    provider = str(row.get("litellm_provider"))
    api = "vertex" if provider.startswith("vertex_ai") else _LITELLM_APIS.get(provider)
    if api is None:
        return None
    whole = api in {"vertex", "azure", "bedrock"} or (api != "groq" and not _is_text(row))  # 1024-x-1024/dall-e-2
    name = key.rpartition("/")[2] if whole else key.partition("/")[2] or key
    if (api == "azure" and key.count("/") > 1) or (api == "bedrock" and key.count("/") > 1):
        return None  # of one region, or at a price that was reserved
    return api, name if api == "groq" else name.removeprefix("models/")


def _is_text(row: Mapping[str, Any]) -> bool:
    return row.get("mode") in {"chat", "responses", "completion"}


def litellm(folder: Path) -> Iterator[Claim]:
    """Litellm's table of prices and context windows: the most models, and nearly all of the retirement dates."""
    path = folder / "litellm" / "model_prices_and_context_window_backup.json"
    for key, row in json.loads(path.read_text(encoding="utf-8")).items():
        place = _litellm_place(key, row)
        if place is None:
            continue
        api, name = place
        wanted = _OF_TUNED if name.startswith("ft:") else None if _is_text(row) else _ENDS
        for field, value, url in _litellm_row(api, row):
            if value not in (None, 0, "", ()) and (wanted is None or field in wanted):
                yield Claim(api, name, field, value, "litellm", url)


def _litellm_row(api: str, row: Mapping[str, Any]) -> Iterator[tuple[str, Any, str]]:
    source = str(row.get("source") or "")
    limit = row.get("max_input_tokens")
    yield "max_input" if api in {"openai", "azure"} else "context", limit if isinstance(limit, int) else None, source
    output = row.get("max_output_tokens")
    yield "max_output", output if isinstance(output, int) and output != limit else None, source
    yield "retires", _day(row.get("deprecation_date")), str(row.get("deprecation_source") or source)
    yield (
        "successor",
        str(row.get("successor_model") or "").rpartition("/")[2],
        str(row.get("deprecation_source") or ""),
    )
    levels = efforts(row.get("reasoning_effort_levels"))
    default = row.get("default_reasoning_effort")
    yield "efforts", levels, source
    yield "default_effort", default, source
    yield "reasoning", _litellm_reasoning(api, row, default), source
    if row.get("supports_sampling_params") is False:
        yield "sampling", "ignored" if api in {"google", "vertex"} else "no", source
    price = {
        field: cost
        for name, field in _LITELLM_PRICES.items()
        if (cost := round(float(row.get(name) or 0) * 1e6, 9)) > 0
    }
    yield "price", price or None, source


def _litellm_reasoning(api: str, row: Mapping[str, Any], default: str | None) -> str | None:
    if row.get("thinking_always_on"):
        return "always"
    if row.get("thinking_on_by_default"):
        return "default"
    if row.get("supports_none_reasoning_effort") and default:
        return "optional" if default == "none" else "default"
    if not row.get("supports_reasoning"):
        return (
            "none" if api != "openai" or (row.get("supports_none_reasoning_effort") is None and limited(row)) else None
        )
    return "optional" if api == "anthropic" else None


def limited(row: Mapping[str, Any]) -> bool:
    """Tell whether a row of OpenAI's is of before it had models with more output than 32,768 tokens: they all reason."""
    return int(row.get("max_output_tokens") or 0) <= 32768  # noqa: PLR2004


def _day(text: Any) -> str | None:
    try:
        return date.fromisoformat(text).isoformat()
    except (TypeError, ValueError):
        return None


# --- genai-prices ------------------------------------------------------------------------------------------------------

GENAI_APIS = {
    "openai": "openai",
    "anthropic": "anthropic",
    "google": "google",
    "x-ai": "xai",
    "mistral": "mistral",
    "deepseek": "deepseek",
    "cohere": "cohere",
    "moonshotai": "moonshot",
    "groq": "groq",
    "azure": "azure",
    "aws": "bedrock",
    "openrouter": "openrouter",
}
_GENAI_PRICES = {
    "input_mtok": "input",
    "output_mtok": "output",
    "cache_read_mtok": "cache_read",
    "cache_write_mtok": "cache_write",
    "requests_kcount": "request",
}


def genai_prices() -> Iterator[Claim]:
    """The list prices: each with its day and hours, and what more input makes of it."""
    from genai_prices import data  # noqa: PLC0415 - of the throw-away folder

    for provider in data.providers:
        api = GENAI_APIS.get(provider.id)
        if api is None:
            continue
        url = (provider.pricing_urls or [""])[0]
        for model in provider.models:
            name = model.id
            if model.context_window:
                yield Claim(api, name, "context", model.context_window, "genai-prices", url)
            if rows := _genai_rows(model.prices):
                yield Claim(api, name, "prices", rows, "genai-prices", url)
            for other in sorted(_equal_names(model.match) - {name}):
                yield Claim(api, other, "alias", name, "genai-prices")


def _equal_names(match: Any) -> set[str]:
    """Return the names that a matching rule lists one by one."""
    if hasattr(match, "or_"):
        return {name for part in match.or_ for name in _equal_names(part)}
    return {match.equals} if hasattr(match, "equals") else set()


def _genai_rows(prices: Any) -> list[dict[str, Any]]:
    rows = []
    for conditional in prices if isinstance(prices, list) else [prices]:
        row: dict[str, Any] = {}
        constraint = getattr(conditional, "constraint", None)
        if hasattr(constraint, "start_date"):
            row["since"] = constraint.start_date.isoformat()
        elif constraint is not None:
            row["hours"] = [_minutes(constraint.start_time), _minutes(constraint.end_time)]
        tiers = []
        for key, field in _GENAI_PRICES.items():
            price = getattr(getattr(conditional, "prices", conditional), key)
            if price is None:
                continue
            row[field] = _number(getattr(price, "base", price))
            tiers += [[field, tier.start, _number(tier.price)] for tier in getattr(price, "tiers", ())]
        rows.append(row | ({"tiers": tiers} if tiers else {}))
    if not isinstance(prices, list) and not any(value is not None for value in vars(prices).values()):
        return [{"input": 0, "output": 0}]  # free: it costs nothing there
    return rows if any(row.keys() - {"since", "hours"} for row in rows) else []


def _minutes(time: Any) -> int:
    if time.tzinfo is not None and time.utcoffset():
        raise ValueError(f"{time} is not of UTC")
    if time.second:
        raise ValueError(f"{time} has seconds")
    return int(time.hour) * 60 + int(time.minute)


def _number(price: Any) -> int | float:
    number = float(price)
    return int(number) if number.is_integer() else number


# --- pydantic-ai -------------------------------------------------------------------------------------------------------


def pydantic_ai(names: Mapping[str, list[str]]) -> Iterator[Claim]:
    """The rules of reasoning and sampling that its authors tried on the vendors' APIs, for the *names* of each API."""
    from pydantic_ai.profiles.anthropic import anthropic_model_profile  # noqa: PLC0415 - of the throw-away folder
    from pydantic_ai.profiles.google import google_model_profile  # noqa: PLC0415
    from pydantic_ai.profiles.grok import grok_model_profile  # noqa: PLC0415
    from pydantic_ai.profiles.groq import groq_model_profile  # noqa: PLC0415
    from pydantic_ai.profiles.openai import openai_model_profile  # noqa: PLC0415

    profiles = {
        "openai": openai_model_profile,
        "anthropic": anthropic_model_profile,
        "google": google_model_profile,
        "xai": grok_model_profile,
        "groq": groq_model_profile,
    }
    for api, profile_of in profiles.items():
        for name in names.get(api, ()):
            profile: Mapping[str, Any] = profile_of(name) or {}
            silent = not profile.get("supports_thinking") and not _NOT_REASONING.match(name)
            for field, value in _profile(api, profile):
                if value and not (silent and field in {"reasoning", "sampling"}) and "mythos-preview" not in name:
                    yield Claim(api, name, field, value, "pydantic-ai", f"pydantic_ai/profiles/{profile_of.__name__}")


_NOT_REASONING = re.compile(
    r"gpt-3\.5|gpt-4|chatgpt-4o|gpt-5-chat|claude-(?:2|3-5|3-opus|3-haiku|3-sonnet|instant)|gemini-[12]\.[05]|gemma"
)
"""What pydantic-ai's tables leave at "does not reason" on purpose; so they say of whatever they do not know, too."""


def _profile(api: str, profile: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    reasons, always = profile.get("supports_thinking"), profile.get("thinking_always_enabled")
    if reasons and always:
        reasoning = "always"
    elif reasons and profile.get("thinking_enabled_by_default"):
        reasoning = "default"
    elif reasons:
        reasoning = "optional" if api in {"openai", "anthropic"} else None
    else:
        reasoning = None if api in {"xai", "groq"} else "none"  # there it says only whether there is a level to set
    yield "reasoning", reasoning
    if api == "openai":
        yield "sampling", "no" if reasoning in {"always", "default"} else "yes"
        yield "efforts", efforts(profile.get("openai_reasoning_efforts"))
        yield "default_effort", "none" if reasoning == "optional" else None
    if api == "anthropic":
        yield "sampling", "no" if profile.get("anthropic_disallows_sampling_settings") else "yes"
        yield "max_output", profile.get("anthropic_max_output_tokens")
    if api == "xai":
        yield "efforts", efforts(profile.get("grok_reasoning_efforts"))
    if api == "google":
        yield "efforts", efforts([level.lower() for level in profile.get("google_thinking_levels", ())])


# --- models.dev, by three packages -------------------------------------------------------------------------------------

_MODELS_DEV_APIS = {
    "openai": "openai",
    "anthropic": "anthropic",
    "google": "google",
    "xai": "xai",
    "mistral": "mistral",
    "deepseek": "deepseek",
    "cohere": "cohere",
    "moonshotai": "moonshot",
    "groq": "groq",
    "openrouter": "openrouter",
}


def rates(folder: Path) -> Iterator[Claim]:
    """What rates has fused of models.dev and OpenRouter, most of all the levels of effort."""
    content = json.loads(gzip.decompress((folder / "rates" / "ai" / "ledger-ai.json.gz").read_bytes()))
    for row in content["models"]:
        api = _MODELS_DEV_APIS.get(row["provider"])
        if api is None or row["type"] != "chat":
            continue
        reasoning = row.get("reasoning")
        levels = efforts([level["label"] for level in (reasoning or {}).get("levels", ())])
        default = (reasoning or {}).get("default")
        fields = {
            "context": row["context"]["input"],
            "max_output": row["context"]["output"],
            "efforts": levels,
            "default_effort": default,
            "reasoning": "none" if reasoning is None else _rates_reasoning(reasoning, levels, default),
            "price": {
                field: price
                for field in ("input", "output", "cache_read", "cache_write")
                if (price := (row.get("price") or {}).get(f"{field}_mtok"))
            },
        }
        for field, value in fields.items():
            if value:
                yield Claim(api, row["id"], field, value, "rates")


def _rates_reasoning(reasoning: Mapping[str, Any], levels: tuple[str, ...], default: str | None) -> str | None:
    if "none" in levels:
        return reasoning_by(levels, default)
    return "default" if reasoning.get("can_disable_reasoning") and default else None


def langchain(folder: Path) -> Iterator[Claim]:
    """The profiles that LangChain's partner packages made of models.dev at their release."""
    for partner, api in {
        "openai": "openai",
        "anthropic": "anthropic",
        "google_genai": "google",
        "mistralai": "mistral",
        "groq": "groq",
        "xai": "xai",
        "deepseek": "deepseek",
    }.items():
        path = folder / f"langchain_{partner}" / "data" / "_profiles.py"
        for statement in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(statement, ast.AnnAssign) and statement.value is not None:
                for name, row in ast.literal_eval(statement.value).items():
                    yield from _langchain_row(api, name, row)


def _langchain_row(api: str, name: str, row: Mapping[str, Any]) -> Iterator[Claim]:
    if not row.get("text_outputs"):
        return
    levels = efforts(row.get("reasoning_effort_levels"))
    default = row.get("reasoning_effort_default")
    by_level = api in {"openai", "xai"}  # elsewhere another parameter turns it off
    fields = {
        "max_input" if api == "openai" else "context": row.get("max_input_tokens"),
        "max_output": row.get("max_output_tokens"),
        "efforts": levels,
        "default_effort": default,
        "reasoning": "none" if not row.get("reasoning_output") else reasoning_by(levels, default) if by_level else None,
        # at Google it is true of all, also of those that ignore it
        "sampling": {True: "yes", False: "no"}.get(row["temperature"])
        if api != "google" and "temperature" in row
        else None,
    }
    for field, value in fields.items():
        if value:
            yield Claim(api, name, field, value, "langchain")


def model_prices(folder: Path) -> Iterator[Claim]:
    """The prices of today that model-prices has checked against the vendors' pages."""
    content = json.loads((folder / "model_prices" / "snapshot.json").read_text(encoding="utf-8"))
    for provider, models in content["prices"].items():
        api = _MODELS_DEV_APIS.get(provider)
        for name, ways in models.items() if api else ():
            rows = ways.get("standard") or [{}]
            said = rows[-1].get("rates", {})
            price = {
                field: said[field] for field in ("input", "output", "cache_read", "cache_write") if said.get(field)
            }
            if price:
                yield Claim(api, name, "price", price, "model-prices", str(said.get("source", "")))


# --- modelparams -------------------------------------------------------------------------------------------------------

_MODELPARAMS_APIS = {
    "openai": "openai",
    "anthropic": "anthropic",
    "google": "google",
    "xai": "xai",
    "mistral": "mistral",
    "deepseek": "deepseek",
    "cohere": "cohere",
    "moonshot": "moonshot",
    "groq": "groq",
}


def modelparams(folder: Path) -> Iterator[Claim]:
    """The ranges and levels of modelparams. Some of its rows were copied from another model: it decides nothing alone."""
    for row in json.loads((folder / "modelparams" / "_generated" / "catalog.json").read_text(encoding="utf-8")):
        api = _MODELPARAMS_APIS.get(row["provider"])
        if api is None or row["authType"] != "api_key" or row["apiSurface"] == "openai-responses":
            continue
        parameters = {parameter["path"].rpartition(".")[2]: parameter for parameter in row["params"]}
        temperature = parameters.get("temperature")
        effort = next(
            (parameters[name] for name in ("reasoning_effort", "effort", "thinkingLevel") if name in parameters), {}
        )
        levels = efforts(effort.get("values"))
        fields = {
            "sampling": None if api == "google" else "yes" if temperature else "no",
            "temperature_max": ((temperature or {}).get("range") or {}).get("max"),
            "efforts": levels,
            "default_effort": effort.get("default"),
            "reasoning": reasoning_by(levels, effort.get("default")) if api == "openai" else None,
            "retires": _day(row.get("shutdownOn")),
            "successor": str(row.get("replacement") or "").rpartition("/")[2],
        }
        for field, value in fields.items():
            if value:
                yield Claim(api, row["model"], field, value, "modelparams")
