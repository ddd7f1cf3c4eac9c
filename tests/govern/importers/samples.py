"""Configurations of other products as people have them, with names and hosts changed, and which importer is for each."""

import re
from pathlib import Path

from core import env_file
from core.govern.importers.losses import Imported
from core.govern.importers.products import PRODUCTS

FOLDER = Path(__file__).parent / "files"
FILES = {
    "litellm-tests.yaml": "litellm",
    "litellm-fallbacks.yaml": "litellm",
    "litellm-media.yaml": "litellm",
    "litellm-free.yaml": "litellm",
    "litellm-ollama.yaml": "litellm",
    "librechat-custom.yaml": "librechat",
    "librechat-azure.yaml": "librechat",
    "librechat-specs.yaml": "librechat",
    "open-webui-export.json": "open-webui",
    "open-webui-api.json": "open-webui",
    "langfuse-connections.json": "langfuse",
    "otari-pilot.yml": "otari",
    "chat.env": "env",
    "services.env": "env",
}
VARIABLES = {"librechat-azure.yaml": "librechat-azure.env"}
"""The file that is given beside another one, with its variables."""


def imported(name: str, text: str | None = None) -> Imported:
    """What the importer makes of a file, or of another text in its place."""
    beside = VARIABLES.get(name)
    variables = env_file.read(FOLDER / beside).as_written() if beside else None
    whole = (FOLDER / name).read_text(encoding="utf-8") if text is None else text
    return PRODUCTS[FILES[name]].read(whole, variables)


def secrets() -> set[str]:
    """What in the files is made up to look like a key."""
    found: set[str] = set()
    for name in FILES:
        text = (FOLDER / name).read_text(encoding="utf-8")
        found |= set(
            re.findall(
                r"(?i)\b(?:sk-|AIza|gsk_)[\w-]*made-?up[\w-]*|made-up-azure-key-\w+|0p3n-w3bu!|not-looked-at", text
            )
        )
    return found
