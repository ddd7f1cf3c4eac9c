"""Hold what we would send to each first-party model against what litellm's ``get_optional_params`` would: ``.ci/agreement/make``.

One parameter at a time, so that no pair excludes another. A difference that is not in ``allowed.toml`` fails.
"""

import contextlib
import io
import re
import sys
import tomllib
from collections import Counter
from pathlib import Path
from typing import Any

import litellm
from litellm.utils import get_optional_params

from core.models.adapt import adapt
from core.models.facts import facts, known

HERE = Path(__file__).parent
VALUES: dict[str, Any] = {
    "temperature": 0.5,
    "max_tokens": 100,
    "top_p": 0.5,
    "frequency_penalty": 0.5,
    "presence_penalty": 0.5,
    "reasoning_effort": "low",
    "stop": ["END"],
}
APIS = {"openai": "openai", "anthropic": "anthropic", "google": "gemini", "xai": "xai", "mistral": "mistral"} | {
    "deepseek": "deepseek",
    "groq": "groq",
    "moonshot": "moonshot",
    "cohere": "cohere_chat",
}
"""Our API -> litellm's provider."""
litellm.drop_params = True
litellm.suppress_debug_info = True


def chat_models(provider: str) -> set[str]:
    """Return the chat models that litellm lists for a provider, without its prefix."""
    rows = litellm.model_cost.items()
    return {
        name.removeprefix(f"{provider}/")
        for name, row in rows
        if row.get("litellm_provider") == provider and row.get("mode") == "chat" and not name.startswith("ft:")
    }


def theirs(provider: str, model: str, name: str) -> bool | None:
    """Return whether litellm sends a parameter; None where it raises."""
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            found = get_optional_params(
                model=model, custom_llm_provider=provider, drop_params=True, **{name: VALUES[name]}
            )
    except Exception:  # noqa: BLE001 - whatever it is: it says nothing
        return None
    return any(value for key, value in found.items() if key not in {"extra_body", "max_retries", "stream"} or value)


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")


def main() -> int:
    """Print the table, and what is neither agreed on nor allowed."""
    allowed = tomllib.loads((HERE / "allowed.toml").read_text(encoding="utf-8"))["allow"]
    totals: Counter[tuple[str, str]] = Counter()
    unexplained: list[str] = []
    used: set[int] = set()
    models = 0
    for api, provider in APIS.items():
        names = sorted(chat_models(provider) & known().catalogue.rows[api].keys())
        models += len(names)
        for model in names:
            base = theirs(provider, model, "max_tokens")
            for name, value in VALUES.items():
                said = theirs(provider, model, name)
                if said is None or base is None:
                    totals[name, "not asked"] += 1
                    continue
                ours = bool(adapt(api, model, {name: value}, [name]).sent)
                if ours == said:
                    totals[name, "agreed"] += 1
                    continue
                who = "we send" if ours else "litellm sends"
                if ours and (there := facts(api, model)) is not None and there.reasoning is None:
                    totals[name, "unknown"] += 1  # nobody says how it reasons, and what is not known is sent
                    continue
                why = [
                    number
                    for number, row in enumerate(allowed)
                    if api == row["api"]
                    and name in row["parameters"]
                    and row["who"] == who
                    and re.fullmatch(row["models"], model)
                ]
                used.update(why)
                totals[name, "allowed" if why else "unexplained"] += 1
                if not why:
                    unexplained.append(f"{api} {model} {name}: only {who}")
    _say(
        "| parameter | agreed | otherwise, with a page | not known here, so sent | unexplained |\n|---|---:|---:|---:|---:|"
    )
    for name in VALUES:
        cells = (totals[name, what] for what in ("agreed", "allowed", "unknown", "unexplained"))
        _say(f"| `{name}` | {' | '.join(map(str, cells))} |")
    _say(
        f"\n{models} models; litellm raised for {sum(n for (_, what), n in totals.items() if what == 'not asked')} questions"
    )
    _say("\n".join(unexplained))
    idle = [row for number, row in enumerate(allowed) if number not in used]
    _say("\n".join(f"allowed for nothing: {row}" for row in idle))
    return bool(unexplained or idle)


if __name__ == "__main__":
    sys.exit(main())
