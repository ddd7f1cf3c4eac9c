"""One reader of .env files: what uvicorn loads, python -m core loads too."""

import os
import string
from pathlib import Path

import pytest
from dotenv import load_dotenv
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from core import env_file
from core.errors import BadConfig
from tests.processes import core, python

NAMES = st.sampled_from(["LLM_A", "LLM_B", "LLM_C", "DATABASE_URL"])
VALUES = st.one_of(
    st.text(st.sampled_from(list(string.ascii_letters + " #'\"\\$={}\t:/@é—")), max_size=20),
    st.sampled_from(["${LLM_A}", "${LLM_B:-x}", '"a \\"b\\" c"', "'a # b'", "x # y", "# y", '"open', "${", "${LLM_A"]),
)
LINES = st.one_of(
    st.builds("{}={}".format, NAMES, VALUES),
    st.builds("export {} = {}".format, NAMES, VALUES),
    st.builds("{}".format, VALUES),
    st.sampled_from(["", "# words", "LLM_A", "setx LLM_A x", "- LLM_A=x", "LLM_A: x"]),
)
FILES = st.tuples(st.lists(LINES, max_size=6), st.sampled_from(["\n", "\r\n", "\r"]), st.sampled_from(["", "\ufeff"]))


def _loaded(load: object, path: Path) -> dict[str, str]:
    """What *load* puts into an environment in which LLM_B stands already."""
    before = dict(os.environ)
    os.environ["LLM_B"] = "outside"
    try:
        load(path)  # type: ignore[operator]
        return {k: v for k, v in os.environ.items() if before.get(k) != v}
    finally:
        os.environ.clear()
        os.environ.update(before)


@pytest.mark.program
@given(FILES)
@hypothesis_settings(max_examples=600, deadline=None, suppress_health_check=list(HealthCheck))
def test_what_uvicorn_loads_is_what_we_load(
    tmp_path_factory: pytest.TempPathFactory, file: tuple[list[str], str, str]
) -> None:
    """For any text of a .env file, `uvicorn --env-file` and we put the same into the environment."""
    lines, end, mark = file
    path = tmp_path_factory.getbasetemp() / f"{os.getpid()}.env"
    path.write_bytes((mark + end.join(lines)).encode())

    assert _loaded(env_file.load, path) == _loaded(lambda found: load_dotenv(dotenv_path=found), path)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_encodings_with_a_mark_are_read(tmp_path: Path, encoding: str, end: str) -> None:
    """UTF-8, and UTF-16 as PowerShell writes it, give the same variables."""
    path = tmp_path / ".env"
    path.write_bytes(f"LLM_A=köln{end}LLM_C='x'{end}".encode(encoding))

    assert env_file.read(path).values == {"LLM_A": "köln", "LLM_C": "x"}


@pytest.mark.parametrize(
    "content", ["LLM_A=köln".encode("latin-1"), "LLM_A=x".encode("utf-16-le"), b"A=\x00", b"\xff\xfeA"]
)
def test_other_encodings_are_told(tmp_path: Path, content: bytes) -> None:
    """What is neither is refused with the cure."""
    path = tmp_path / ".env"
    path.write_bytes(content)

    with pytest.raises(BadConfig, match="save it as UTF-8"):
        env_file.read(path)


def test_lines_that_are_no_variable_are_numbered() -> None:
    """An unclosed quote and a line of YAML are told by their number."""
    found = env_file.parse("LLM_A=x\nLLM_B: y\nLLM_C='open\nLLM_D=${LLM_A}\n")

    assert found.unread == (2, 3)
    assert found.values == {"LLM_A": "x", "LLM_D": "x"}
    assert found.raw["LLM_D"] == "${LLM_A}"


def test_forms_that_other_readers_differ_in() -> None:
    """metronix-memory#458 (a comment after nothing), docker/compose#9938 (# and quotes), docker/cli#3328 (blanks), nuget#2 (a colon)."""
    text = 'A=      # only for cloud\nB=val#bla\nC="val #space"#bla\nD=foo bar baz\n- E:monkey\n'
    found = env_file.parse(text)

    assert found.values == {"A": "", "B": "val#bla", "C": "val #space", "D": "foo bar baz"}
    assert found.unread == (5,)


def test_what_is_pasted_reads_nothing_of_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who pastes a text is no operator: ${NAME} stays as it stands, or the encryption key would be sent to a vendor."""
    monkeypatch.setenv("LLM_ENCRYPTION_KEY", "0123456789abcdef" * 4)

    found = env_file.pasted("OPENAI_API_KEY=${LLM_ENCRYPTION_KEY}\nB=1\nB=2\nbare\nbare\n")

    assert found.as_written() == {"OPENAI_API_KEY": "${LLM_ENCRYPTION_KEY}", "B": "2"}
    assert found.twice == ("B",)
    for text, why in {"A=" + "x" * 1024 * 1024: "larger than 1 MB", "A=\0": "save it as UTF-8"}.items():
        with pytest.raises(BadConfig, match=why):
            env_file.pasted(text)
    assert env_file.pasted("A=\ud800").values == {"A": "?"}


def test_a_folder_and_a_large_file_are_told(tmp_path: Path) -> None:
    """Neither is read as a .env file."""
    (tmp_path / "large").write_bytes(b"A" * (1024 * 1024 + 1))

    with pytest.raises(BadConfig, match="Is a directory"):
        env_file.read(tmp_path)
    with pytest.raises(BadConfig, match="larger than 1 MB"):
        env_file.read(tmp_path / "large")


def test_a_command_says_what_is_wrong_with_the_file(tmp_path: Path) -> None:
    """A .env file in another encoding ends every command in one sentence, without a traceback."""
    (tmp_path / ".env").write_bytes("LLM_A=köln".encode("latin-1"))

    done = core("generate-key", cwd=tmp_path)

    assert done.returncode == 1
    assert done.stderr == "Error: .env is not in UTF-8, nor in UTF-16 with a mark: save it as UTF-8.\n"


def test_without_python_dotenv_only_a_file_is_a_problem(tmp_path: Path) -> None:
    """A service needs no python-dotenv; who has a .env file to read is told how to install it."""
    (tmp_path / ".env").write_text("LLM_A=x")
    code = (
        "import sys; sys.modules['dotenv'] = sys.modules['dotenv.main'] = None\n"
        "from pathlib import Path; from core import env_file; env_file.load(Path('no.env'))\n"
        "try: env_file.load(Path(sys.argv[1]))\n"
        "except Exception as error: print(error)\n"
    )

    assert "llm-settings[cli]" in python(code, str(tmp_path / ".env")).stdout
