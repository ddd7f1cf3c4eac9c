"""Versions before this one, from the repository's history: for tests of what they do beside it."""

import io
import subprocess
import tarfile
from pathlib import Path

import pytest

from tests.conftest import ROOT, require


def as_it_was(commit: str, folders: pytest.TempPathFactory) -> Path:
    """Return a folder with the package ``core`` as it was at *commit*; a shallow clone does not have it, and skips loudly."""
    folder = folders.mktemp("before")
    packed = subprocess.run(["git", "archive", commit, "core"], cwd=ROOT, capture_output=True, check=False).stdout
    require("history", packed)
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        archive.extractall(folder, filter="data")
    return folder
