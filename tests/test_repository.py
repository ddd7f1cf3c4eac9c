"""What is committed: no secret, no machine's own path or registry, and every dependency by its hash (CHECKS 80)."""

import re
import subprocess
from pathlib import Path

import pytest
from detect_secrets.core.plugins.util import get_mapping_from_secret_type_to_class

from tests.conftest import ROOT

GUESSING = {
    "Base64HighEntropyString",
    "HexHighEntropyString",
    "KeywordDetector",
    "IPPublicDetector",
    "BasicAuthDetector",
}
"""Detectors that take any long word, any ``password=`` and any ``user:pass@`` of an example for a secret."""
EXAMPLES = {
    ("tests/web/test_middleware.py", "JSON Web Token"),
    ("tests/test_redaction.py", "GitHub Token"),
    ("tests/test_redaction.py", "JSON Web Token"),
    ("tests/web/test_websocket.py", "JSON Web Token"),
}
"""Made-up ones, which these tests are about."""
PLANTED = (
    "AKIA" + "QYLPMN5HFIQR7XYZ",
    "-----BEGIN RSA " + "PRIVATE KEY-----",
    "ghp_" + "wWPw5k4aXcaT4fNP0UcnZwJUVFk6LO0pINUx",
)
LOCKS = [f"requirements{name}.lock" for name in ("-app", "-bench", "-catalogue", "-frameworks", "-mutants", "")]
OURS_ALONE = re.compile(r"/work/|/root/|/home/\w+/|/check/|pypi\.org/simple|(?<!emit-)index-url|find-links|file:///opt")


def committed() -> list[str]:
    """The files of the repository."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    return [name for name in listed.stdout.split("\0") if name]


def secrets(folder: Path, names: list[str]) -> set[tuple[str, str]]:
    """Where detect-secrets finds a token or key by its form, and of which kind: no comment excuses one."""
    detectors = [kind() for kind in get_mapping_from_secret_type_to_class().values() if kind.__name__ not in GUESSING]
    texts = {name: (folder / name).read_bytes().decode("utf-8", "replace") for name in names}
    return {
        (name, detector.secret_type)
        for name, text in texts.items()
        for detector in detectors
        if any(detector.analyze_string(text))
    }


@pytest.mark.long
def test_no_secret_is_committed() -> None:
    """Nothing in the repository has the form of a real token or private key, but for the tests' own examples."""
    names = [name for name in committed() if not name.endswith(".lock")]

    assert len(names) > 150
    assert secrets(ROOT, names) == EXAMPLES


@pytest.mark.parametrize("secret", PLANTED)
def test_a_secret_would_be_found(tmp_path: Path, secret: str) -> None:
    """What the test above rests on."""
    (tmp_path / "settings.py").write_text(f"KEY = '{secret}'\n", encoding="utf-8")

    assert len(secrets(tmp_path, ["settings.py"])) == 1


def test_no_machine_is_named() -> None:
    """No registry and no path of the machine where a file was made; of lock files there are these."""
    names = committed()
    texts = {
        name: (ROOT / name).read_bytes().decode("utf-8", "replace")
        for name in names
        if name != "tests/test_repository.py"
    }

    assert {name: found[0] for name, text in texts.items() if (found := OURS_ALONE.search(text))} == {}
    assert [name for name in names if name.endswith(".lock")] == LOCKS


@pytest.mark.parametrize("name", LOCKS)
def test_every_dependency_has_its_hash(name: str) -> None:
    """One version each, and at least one hash; pip then refuses what has another."""
    lines = (ROOT / name).read_text(encoding="utf-8").replace("\\\n", " ").splitlines()

    assert len(lines) > 20
    assert [
        line for line in lines if not re.match(r"[\w.-]+(\[[\w,-]+\])?==\S+ .*--hash=sha256:[0-9a-f]{64}", line)
    ] == []
