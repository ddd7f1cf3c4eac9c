"""Another name of llm_settings: ``core.x`` is the module ``llm_settings.x`` itself, never a copy.

Only the wheel has this package. In a checkout the files of llm_settings are called core, and stand where that is.
"""

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

import llm_settings

_REAL = llm_settings.__name__


class _Finder:
    """Answers ``import core.x`` with the module ``llm_settings.x``."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, _target: ModuleType | None = None
    ) -> ModuleSpec | None:
        package, _, rest = name.partition(".")
        if package != __name__ or not rest or rest == "__main__":  # runpy needs the code of a file of that name
            return None
        folders = path if "." in rest else llm_settings.__path__
        real = PathFinder.find_spec(f"{_REAL}.{rest}", folders)
        if real is None:
            return None
        found = ModuleSpec(name, self, origin=real.origin)
        found.submodule_search_locations = real.submodule_search_locations
        return found

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = import_module(_REAL + spec.name.removeprefix(__name__))
        spec.loader_state = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        if module.__spec__ is not None:
            module.__spec__ = module.__spec__.loader_state  # importlib has put that of this name there


sys.meta_path.insert(0, _Finder())
