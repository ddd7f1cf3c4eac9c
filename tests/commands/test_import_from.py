"""`import PRODUCT FILE`, run as people run it: the document on stdout, each loss on stderr."""

from pathlib import Path

from core.govern.documents import schema
from tests.govern.importers.samples import FOLDER
from tests.processes import core

KEY = "sk-canary-import-0123456789abcdef"


def test_import_writes_a_document_and_names_losses(tmp_path: Path) -> None:
    """The document goes to stdout or a file, losses to stderr with path and line, a key in plain text nowhere; no store is asked."""
    file = tmp_path / "config.yaml"
    text = (FOLDER / "litellm-media.yaml").read_text(encoding="utf-8")
    file.write_text(text.replace("os.environ/GROK_API_KEY", KEY))
    (tmp_path / "gateway.env").write_text(f"LOCAL_API_BASE=http://models.internal:8080/v1\nLOCAL_API_KEY={KEY}x\n")
    nowhere = {"DATABASE_URL": "postgresql://nobody@localhost:1/none"}

    plain = core("import", "litellm", str(file), **nowhere)
    kept = core(
        "import",
        "litellm",
        "-",
        "-o",
        str(tmp_path / "out.yaml"),
        "--env",
        str(tmp_path / "gateway.env"),
        stdin=text,
        **nowhere,
    )

    assert plain.returncode == kept.returncode == 0, plain.stderr + kept.stderr
    document = schema.read(plain.stdout)
    assert document.providers is not None
    assert document.providers["xai"].api_key is not None
    assert document.providers["xai"].api_key.env == "XAI_API_KEY"
    assert "lost: line 25, model_list[5]: is no model for chat" in plain.stderr
    assert "to do: line 49, model_list[9].litellm_params.api_key: is a key in plain text" in plain.stderr
    assert "put it into the variable XAI_API_KEY" in plain.stderr
    assert "Taken over: 2 providers" in plain.stderr
    assert not kept.stdout
    assert "Taken over: 3 providers" in kept.stderr
    written = (tmp_path / "out.yaml").read_text()
    assert "http://models.internal:8080/v1" in written
    assert "api_key: {env: LOCAL_API_KEY}" in written
    for shown in (plain.stdout, plain.stderr, kept.stderr, written):
        assert KEY not in shown


def test_what_cannot_be_read_is_one_sentence(tmp_path: Path) -> None:
    """A broken file, none at all, no text, or another product's: exit 1, the line and the rule; an unknown product exit 2."""
    broken = tmp_path / "broken.yaml"
    broken.write_text(f"model_list:\n- model_name: x\n  api_key: {KEY}\n  a: [1\n")
    picture = tmp_path / "picture.yaml"
    picture.write_bytes(b"\x89PNG\r\n\x1a\n\xff\xfe\xff")

    cases = {
        ("litellm", str(broken)): (1, "Error: the file: is no YAML at line 5"),
        ("litellm", str(tmp_path / "none.yaml")): (1, "none.yaml cannot be read: No such file or directory."),
        ("litellm", str(picture)): (1, "Error: the file: is not in UTF-8"),
        ("librechat", str(FOLDER / "otari-pilot.yml")): (1, "Error: the file: is no configuration of LibreChat"),
        ("langchain", str(broken)): (2, "langchain"),
    }

    for arguments, (status, words) in cases.items():
        done = core("import", *arguments)
        assert (done.returncode, done.stdout) == (status, "")
        assert words in done.stderr
        assert KEY not in done.stderr
