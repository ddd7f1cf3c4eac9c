"""What the wheel's second name needs as files: types for each module, and a file for each name that is imported from core."""

import shutil
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

# Python does not let `import core.x` wait for a `core` that another thread is importing: it looks for the file at once, and
# core's finder is not there yet. `import core` does wait, and what is then in sys.modules is what the importer gets.
_WAITING = """import sys
from importlib import import_module

import core  # noqa: F401 - from here on the finder of core is there

sys.modules[__name__] = import_module("llm_settings.{name}")
"""


class Stubs(BuildHookInterface):
    """Type checkers read files, and so does an import that comes before the finder is there."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Write the stubs, and have them packed."""
        if version != "standard":  # an editable install has the checkout's own core
            return
        self._folder = Path(tempfile.mkdtemp())
        source = Path(self.root) / "core"
        for module in source.rglob("*.py"):
            path = module.relative_to(source)
            if path.name == "__main__.py":
                continue
            names = [part for part in path.with_suffix("").parts if part != "__init__"]
            stub = self._folder / path.with_suffix(".pyi")
            stub.parent.mkdir(parents=True, exist_ok=True)
            stub.write_text(f"from {'.'.join(['llm_settings', *names])} import *\n", encoding="utf-8")
            build_data["force_include"][str(stub)] = f"core/{stub.relative_to(self._folder).as_posix()}"
            if len(names) == 1:
                early = self._folder / f"{names[0]}.py"
                early.write_text(_WAITING.format(name=names[0]), encoding="utf-8")
                build_data["force_include"][str(early)] = f"core/{early.name}"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:  # noqa: ARG002 - hatch's signature
        """Remove what was written."""
        if version == "standard":
            shutil.rmtree(self._folder)
