"""Types under the wheel's second name: for each module ``llm_settings.x`` a stub ``core/x.pyi`` that has the same names."""

import shutil
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class Stubs(BuildHookInterface):
    """Type checkers read files; they do not see what a finder does when the program runs."""

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

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:  # noqa: ARG002 - hatch's signature
        """Remove what was written."""
        if version == "standard":
            shutil.rmtree(self._folder)
