"""A service of the version before reads what this version stores: its settings, its key; it says what it cannot do."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from core.actors import COMMAND_LINE
from core.manage import providers
from core.store.db import transaction
from tests.processes import environment
from tests.vendors import KEY
from tests.versions import as_it_was

BEFORE = "068a540"
"""The last commit of this repository that does not know the kind azure_openai."""
CODE = """if True:
    import json, sys
    from core.ai import complete
    from core.errors import CoreError
    from core.resolve import resolve, resolver
    resolver.start().wait(60)
    settings = resolve("azure")
    told = {"version": sys.modules["core"].__file__, "status": settings.status, "key": settings.api_key()}
    told |= {"kind": settings.kind, "base_url": settings.base_url, "model": settings.model}
    told["temperature"] = settings.request_options()["temperature"]
    try:
        complete("Hello", provider="azure")
    except CoreError as error:
        told["refused"] = f"{type(error).__name__}: {error}"
    print(json.dumps(told))"""


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package as it was then, from the repository's history, which a shallow clone does not have."""
    return as_it_was(BEFORE, tmp_path_factory)


def test_a_kind_of_this_version(before: Path, committed: str) -> None:
    """Settings and key are served as ever; a call is refused with the cure, and is no KeyError."""
    url = "https://x.openai.azure.com"
    models = {"available_models": ["m1"], "default_model": "m1", "api_key": KEY}
    with transaction() as session:
        made = {"name": "azure", "display_name": "Azure", "kind": "azure_openai", "api_base_url": url}
        providers.create(session, COMMAND_LINE, made | models)
    env = environment(DATABASE_URL=committed) | {"PYTHONPATH": os.fspath(before)}
    done = subprocess.run(
        [sys.executable, "-c", CODE], env=env, cwd=before, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)

    assert told.pop("version").startswith(os.fspath(before))
    assert told.pop("refused") == (
        "UnknownKind: This version does not know the kind 'azure_openai': upgrade llm-settings in this service."
    )
    expected = {"kind": "azure_openai", "base_url": url, "model": "m1", "temperature": 0.7}
    assert told == {"status": "ok", "key": KEY, **expected}
