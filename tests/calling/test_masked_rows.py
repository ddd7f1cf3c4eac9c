"""The request log has placeholders in the place of personal data, unless settings say otherwise; never what could not be searched."""

import itertools
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from core import config, crypto
from core.calling.log_rows import COLUMNS, LONGEST, CallToLog, cells_of
from core.calling.masked_rows import NOT_KEPT
from core.calling.pseudonyms import UNKNOWN, logged_as, pseudonym
from core.privacy.engines import GROUP, Installed
from core.resolving.personal_data import UNLESS_SET, OwnPattern
from tests.calling.test_log_writer import CALL, KEY, settings

ANNA, BOB, CARD, IBAN = "anna@example.com", "bob@example.org", "4111 1111 1111 1111", "DE12 5001 0517 0648 4898 90"


def kept(call: CallToLog, **rules: Any) -> dict[str, Any]:
    """The row as the database gets it."""
    in_force = replace(settings(), personal_data=UNLESS_SET._replace(**rules))
    ((cells,), lost) = cells_of([(in_force, call, 0)])
    assert not lost
    return dict(zip(COLUMNS, cells, strict=True))


def test_every_text_has_placeholders_with_one_numbering() -> None:
    call = CALL._replace(
        prompt=[{"role": "user", "content": [{"type": "text", "text": f"Write to {ANNA} and {BOB}."}]}],
        response=f"Dear Bob ({BOB}), {IBAN}",
        parameters={"model": "m1", "metadata": {"for": ANNA}, "max_tokens": 5, "stop": None},
        error=f"no such card: {CARD}",
        tags=("night", BOB),
        user_id=ANNA,
    )
    row = kept(call)
    assert json.loads(row["prompt"]) == [
        {"role": "user", "content": [{"type": "text", "text": "Write to <EMAIL_1> and <EMAIL_2>."}]}
    ]
    assert row["response"] == "Dear Bob (<EMAIL_2>), <IBAN_1>"
    parameters = {"model": "m1", "metadata": {"for": "<EMAIL_1>"}, "max_tokens": 5, "stop": None}
    assert json.loads(row["parameters"]) == parameters
    assert (row["error"], json.loads(row["tags"])) == ("no such card: <CARD_1>", ["night", "<EMAIL_2>"])
    assert json.loads(row["pii"]) == {"EMAIL": 2, "IBAN": 1, "CARD": 1}
    assert call.prompt[0]["content"][0]["text"].startswith("Write to anna@"), "the caller's own is left as it is"


def test_what_settings_say_is_obeyed() -> None:
    call = CALL._replace(prompt=f"{ANNA} {CARD} EMP-123456, tel. 030 901820 www", user_id="4111111111111111")
    plain = "anna@example.com 4111 1111 1111 1111 EMP-123456, tel. 030 901820 www"
    found = {
        "off": kept(call, logs="off"),
        "all": kept(call),
        "types": kept(call, types=("CARD",)),
        "allow": kept(call, allow=("ANNA@example.com",)),
        "countries": kept(call, countries=("DE",)),
        "own": kept(call, patterns=(OwnPattern("STAFF", r"\bEMP-\d{6}\b"),), types=()),
    }
    assert {name: row["prompt"] for name, row in found.items()} == {
        "off": plain,
        "all": "<EMAIL_1> <CARD_1> EMP-123456, tel. 030 901820 www",
        "types": "anna@example.com <CARD_1> EMP-123456, tel. 030 901820 www",
        "allow": "anna@example.com <CARD_1> EMP-123456, tel. 030 901820 www",
        "countries": "<EMAIL_1> <CARD_1> EMP-123456, tel. <PHONE_1> www",
        "own": "anna@example.com 4111 1111 1111 1111 <STAFF_1>, tel. 030 901820 www",
    }
    assert {row["user_id"] for row in found.values()} == {"4111111111111111"}, "a service's own word, unless an address"
    assert (found["off"]["pii"], json.loads(found["own"]["pii"])) == (None, {"STAFF": 1})


def test_who_it_was_for_is_told_by_a_fingerprint(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of whatever has an address in it; the same whatever its case, another by another key, and none without a key."""
    given = (ANNA, " ANNA@Example.com", f"tenant-7/{ANNA}", "42", "Anna", BOB, "\uff41nna@example.com")
    first = [kept(CALL._replace(user_id=one))["user_id"] for one in given]
    assert first[0] == first[1] == first[6]
    assert (first[3], first[4], len(set(first))) == ("42", "Anna", 5)
    assert re.fullmatch("<EMAIL:[0-9a-f]{20}>", first[0])
    assert "example" not in "".join(first).casefold()
    assert kept(CALL._replace(user_id=ANNA, prompt=None), logs="off")["user_id"] == ANNA
    assert logged_as(ANNA) == [ANNA, first[0]]
    assert logged_as("42") == ["42"]
    monkeypatch.setenv("LLM_ENCRYPTION_KEYS_EXTRA", os.environ["LLM_ENCRYPTION_KEY"])
    monkeypatch.setenv("LLM_ENCRYPTION_KEY", "fedcba9876543210" * 4)
    config.get_config.cache_clear()
    crypto.get_ring.cache_clear()
    second = kept(CALL._replace(user_id=ANNA))["user_id"]
    assert logged_as("Anna@example.com") == ["Anna@example.com", second, first[0]]
    assert second != first[0]
    for name in ("LLM_ENCRYPTION_KEY", "LLM_ENCRYPTION_KEYS_EXTRA"):
        monkeypatch.delenv(name)
    config.get_config.cache_clear()
    crypto.get_ring.cache_clear()
    assert (kept(CALL._replace(user_id=ANNA))["user_id"], logged_as(ANNA)) == (UNKNOWN, [ANNA])


def test_secrets_go_first() -> None:
    assert kept(CALL._replace(prompt=f"my key is {KEY}"))["prompt"] == "my key is sk-proj-****"


def test_what_tools_are_called_with_is_read_as_json() -> None:
    """Escapes are no part of what they stand in, and what results is JSON still."""
    arguments = json.dumps({"text": f"Hi,\n{ANNA}\n", "to": "j\u00fcrgen@b\u00fccher.example"})
    row = kept(CALL._replace(response=json.dumps([{"name": "send", "arguments": arguments}])))
    (call,) = json.loads(row["response"])
    assert json.loads(call["arguments"]) == {"text": "Hi,\n<EMAIL_1>\n", "to": "<EMAIL_2>"}
    row = kept(CALL._replace(response=arguments))
    assert json.loads(row["response"]) == {"text": "Hi,\n<EMAIL_1>\n", "to": "<EMAIL_2>"}


@pytest.mark.parametrize("shift", [*range(-18, 3, 4), -1, 0, -600])
def test_a_value_that_is_cut_in_two_is_left_out(shift: int) -> None:
    """Whatever stands at the end of what is kept: a whole placeholder, or nothing of it."""
    text = "word " * (LONGEST // 5) + "-" * (LONGEST % 5)
    text = text[: LONGEST + shift - 1] + " " + ANNA + " and more" * 300
    for call in (CALL._replace(prompt=text), CALL._replace(prompt=[{"content": "x", "role": text}])):
        row = kept(call)
        assert not re.search(r" a(?!nd?|$)|anna", row["prompt"].partition("… (cut")[0])
        whole = len(text) if isinstance(call.prompt, str) else len(json.dumps(call.prompt))
        assert row["prompt"].endswith(f"… (cut: {whole} characters in all)")


def test_words_of_an_error_that_were_cut_have_no_half_value() -> None:
    words = "x " * 240 + "mail anna@exa"
    assert (
        "anna"
        not in kept(CALL._replace(status="error", error=(words + "mple.com")[: len(words)].ljust(500, "x")))["error"]
    )
    assert kept(CALL._replace(status="error", error="no: mail anna@exa…, sorry"))["error"] == "no: mail …, sorry"


def engine(find: Any) -> str:
    """The name of an engine that is installed for a test."""
    name = f"engine {next(_numbers)}"
    Installed._known[name] = Installed(lambda: find)
    return name


_numbers = itertools.count()
BROKEN: Mapping[str, Any] = {
    "raises": lambda _: 1 / 0,
    "overlaps": lambda _: [(0, 4, "NAME"), (3, 6, "NAME")],
    "outside": lambda text: [(0, len(text) + 1, "NAME")],
    "backwards": lambda _: [(4, 2, "NAME")],
    "no spans": lambda _: [(0, 2)],
    "no kind": lambda _: [(0, 2, "a name")],
    "nothing": lambda _: None,
}


@pytest.mark.parametrize("how", [*BROKEN, "missing", "unsearched"])
def test_what_could_not_be_searched_is_not_kept(how: str) -> None:
    call = CALL._replace(prompt=f"to {ANNA}", response=BOB, error=ANNA, user_id=ANNA, is_unsearched=how == "unsearched")
    rules = {"logs": "off"} if how == "unsearched" else {"engine": engine(BROKEN[how]) if how in BROKEN else "no such"}
    row = kept(call, **rules)
    assert {row[name] for name in ("prompt", "response", "error")} == {NOT_KEPT}
    assert row["user_id"] == pseudonym(ANNA), "their calls are found all the same"
    assert (json.loads(row["parameters"]), json.loads(row["tags"])) == ({"not kept": "masking failed"}, [NOT_KEPT])
    assert "example" not in str(row)
    assert (row["model"], row["cost"], row["status"]) == (CALL.model, CALL.cost, CALL.status)


def test_an_engine_that_hangs_is_not_waited_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.privacy.engines.ANSWERS_WITHIN", 0.05)
    monkeypatch.setattr("core.privacy.engines.LOADED_WITHIN", 0.05)
    name = engine(lambda _: time.sleep(1))
    rows = [kept(CALL._replace(prompt=f"{number} to {ANNA}"), engine=name) for number in range(6)]
    assert {row["prompt"] for row in rows} == {NOT_KEPT}
    assert Installed.of(name)._stuck == 4


def test_what_an_engine_finds_counts_beside_ours() -> None:
    def find(text: str) -> list[tuple[int, int, str]]:
        return [(at, at + 4, "PERSON") for at in [text.lower().find("anna")] if at >= 0]

    row = kept(CALL._replace(prompt=f"Dear Bob, {ANNA}", response="Anna went home"), engine=engine(find))
    assert (row["prompt"], row["response"]) == ("Dear Bob, <EMAIL_1>", "<PERSON_1> went home")


def test_an_engine_is_an_entry_point(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "shouting.py").write_text(
        "def find(text):\n    return [(0, len(text), 'SHOUT')] if text.isupper() else []\n"
    )
    about = tmp_path / "shouting-1.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: shouting\nVersion: 1\n")
    (about / "entry_points.txt").write_text(f"[{GROUP}]\nshouting = shouting:find\n")
    monkeypatch.syspath_prepend(tmp_path)
    row = kept(CALL._replace(prompt="HELP ME", response="yes, sir"), engine="shouting")
    assert (row["prompt"], row["response"]) == ("<SHOUT_1>", "yes, sir")


def test_without_the_extra_the_rest_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.privacy.looking._has_extra", False)
    row = kept(CALL._replace(prompt=f"{ANNA} or +49 30 901820"), countries=("DE",))
    assert row["prompt"] == "<EMAIL_1> or +49 30 901820"


def test_nothing_is_imported_for_it_before_the_first_row() -> None:
    code = "import core.ai, core.logs, sys; print([name for name in sys.modules if 'privacy' in name or 'phonenumbers' in name])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_a_huge_prompt_holds_the_writer_up_for_a_moment() -> None:
    began = time.monotonic()
    kept(CALL._replace(prompt=[{"content": "030 901820, +49 171 2345678 and anna@example.com; " * 200_000}]))
    assert time.monotonic() - began < 3 * 2
