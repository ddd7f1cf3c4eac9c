"""What is missing is named by the extra that brings it, and the table of extras is pyproject's."""

import functools
import tomllib
from importlib.metadata import packages_distributions

import pytest
from packaging.requirements import Requirement

from core.errors import MissingExtra
from core.extras import EXTRAS, from_extra, require
from tests.conftest import ROOT

packages = functools.cache(packages_distributions)
"""Package -> its distributions; a look at all that is installed."""


def _extras() -> dict[str, set[str]]:
    """Extra -> the distributions that it names itself."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        declared = tomllib.load(file)["project"]["optional-dependencies"]
    return {
        extra: {name for text in texts if (name := Requirement(text).name) != "llm-settings"}
        for extra, texts in declared.items()
    }


@pytest.mark.parametrize("package", EXTRAS)
def test_each_package_is_of_its_extra(package: str) -> None:
    """The extra that is named for a package declares its distribution; `ai` stands for what its three parts share."""
    extra, extras = EXTRAS[package], _extras()
    own = extras[extra] or extras["ai-openai"] & extras["ai-anthropic"] & extras["ai-google"]
    own |= {"httpcore2"} if "httpx2" in own else set()  # comes with it

    assert own.intersection(name.lower() for name in packages()[package])


def test_all_extras_of_core_are_in_the_table() -> None:
    """Each extra but `app`, whose packages core does not import, and `embedded`, which is not imported, has its rows."""
    assert set(_extras()) - set(EXTRAS.values()) == {"embedded"}


@pytest.mark.parametrize("extra", sorted(set(EXTRAS.values())))
def test_what_is_installed_is_not_missing(extra: str) -> None:
    """Here all extras are installed."""
    require(extra)


def test_another_missing_package_stays_its_own_error() -> None:
    """Only what an extra brings is named by an extra: a package that we do not know is not ours to explain."""
    with pytest.raises(ModuleNotFoundError, match="nobodys_package"), from_extra():
        import nobodys_package  # type: ignore[import-not-found]  # noqa: F401, PLC0415 - there is none


def test_it_is_an_import_error_too() -> None:
    """`except ImportError`, as programs write it for what is optional, catches it."""
    with pytest.raises(ImportError, match=r"typer is missing: pip install 'llm-settings\[cli\]'"):
        raise MissingExtra("typer", "cli")
