"""A model is known by every name that vendors and hosts give it."""

import re
import subprocess
import sys
from datetime import date

import pytest

from core.models.adapt import adapt
from core.models.facts import Known, facts, known
from core.models.names import MOST, Found, Index, family, plainer
from core.models.vendored import Catalogue

ROWS: dict[str, dict[str, dict[str, object]]] = {
    "openai": {
        "gpt-3.5-turbo": {"reasoning": "none"},
        "gpt-4o": {"reasoning": "none"},
        "gpt-4o-2024-05-13": {"reasoning": "none"},
        "gpt-5": {"reasoning": "always"},
        "gpt-5.4": {"reasoning": "optional"},
        "gpt-5.4-mini": {"reasoning": "optional"},
        "gpt-6.1-terra": {"reasoning": "default"},
        "chat-latest": {"reasoning": "always"},
        "o1": {"reasoning": "always"},
        "o1-preview": {"reasoning": "always"},
        "o3": {"reasoning": "always"},
        "ft:gpt-4o-2024-05-13": {"reasoning": "none"},
    },
    "anthropic": {
        "claude-3-5-sonnet-20241022": {"sampling": "yes"},
        "claude-opus-4-5-20251101": {"sampling": "yes"},
        "claude-sonnet-4-5": {"sampling": "yes"},
        "claude-opus-5-5": {"sampling": "no"},
    },
    "google": {
        "gemini-2.5-flash": {"reasoning": "default"},
        "gemini-2.0-flash": {"reasoning": "none"},
        "gemini-3.8-flash": {"reasoning": "default"},
        "gemini-4-argon": {"reasoning": "default"},
    },
    "xai": {"grok-4.20-0309-reasoning": {"reasoning": "always"}, "grok-4.6": {"reasoning": "always"}},
    "mistral": {"mistral-large-2411": {"reasoning": "none"}, "mistral-large-2512": {"reasoning": "none"}},
    "moonshot": {"kimi-k3": {"reasoning": "default"}},
    "deepseek": {"deepseek-v4-pro": {"reasoning": "default"}},
    "bedrock": {
        "anthropic.claude-opus-4-5-20251101": {"retires": "2027-01-08"},
        "amazon.nova-pro": {"context": 300000},
    },
    "groq": {"openai/gpt-oss-120b": {"reasoning": "always"}, "llama-3.3-70b-versatile": {"reasoning": "none"}},
    "openrouter": {"openai/gpt-5.4": {"context": 1050000}},
    "azure": {"gpt-4o": {"retires": "2027-04-01"}, "mistral-large-2402": {"max_output": 8191}},
    "vertex": {"gemini-1.5-pro-001": {"retires": "2025-05-24"}},
}
INDEX = Index(ROWS)

FORMS = [
    ("openai", "gpt-5.4", ["openai gpt-5.4"]),
    ("openai", "GPT-5.4", ["openai gpt-5.4"]),
    ("openai", " gpt-5.4 ", ["openai gpt-5.4"]),
    ("openai", "gpt-5.4-2026-03-05", ["openai gpt-5.4"]),
    ("openai", "gpt-5-4", ["openai gpt-5.4"]),
    ("openai", "gpt-5-4-mini", ["openai gpt-5.4-mini"]),
    ("openai", "gpt-5-2025-08-07", ["openai gpt-5"]),
    ("openai", "gpt-4o-2024-05-13", ["openai gpt-4o-2024-05-13"]),
    ("openai", "gpt-4o-2024-08-06", ["openai gpt-4o"]),
    ("openai", "openai/gpt-5.4", ["openai gpt-5.4"]),
    ("openai", "ft:gpt-4o-2024-08-06:acme::abc123", ["openai gpt-4o"]),
    ("openai", "ft:gpt-3.5-turbo:acme:mine:abc123", ["openai gpt-3.5-turbo"]),
    ("openai", "ft:gpt-4o-2024-05-13:acme::abc123", ["openai ft:gpt-4o-2024-05-13"]),
    ("openai", "o1-preview-2024-09-12", ["openai o1-preview"]),
    ("openai", "o1-2024-12-17", ["openai o1"]),
    ("openai", "chat-latest", ["openai chat-latest"]),
    ("anthropic", "claude-opus-4-5", ["anthropic claude-opus-4-5-20251101"]),
    ("anthropic", "claude-opus-4-5-latest", ["anthropic claude-opus-4-5-20251101"]),
    ("anthropic", "claude-sonnet-4-5-20250929", ["anthropic claude-sonnet-4-5"]),
    ("anthropic", "anthropic/claude-opus-5-5", ["anthropic claude-opus-5-5"]),
    ("anthropic", "claude-3-5-sonnet-latest", ["anthropic claude-3-5-sonnet-20241022"]),
    ("google", "models/gemini-2.5-flash", ["google gemini-2.5-flash"]),
    ("google", "gemini-2.0-flash-001", ["google gemini-2.0-flash"]),
    ("google", "gemini-2.5-flash-preview-09-2025", ["google gemini-2.5-flash"]),
    ("google", "gemini-2.5-flash-preview-05-20", ["google gemini-2.5-flash"]),
    ("google", "gemini-4-argon-preview", ["google gemini-4-argon"]),
    ("vertex", "publishers/google/models/gemini-2.5-flash", ["google gemini-2.5-flash"]),
    ("vertex", "claude-opus-4-5@20251101", ["anthropic claude-opus-4-5-20251101"]),
    ("vertex", "claude-opus-5-5@default", ["anthropic claude-opus-5-5"]),
    ("xai", "grok-4.20-reasoning", ["xai grok-4.20-0309-reasoning, assumed"]),
    ("xai", "xai/grok-4.6", ["xai grok-4.6"]),
    ("mistral", "mistral-large-latest", ["mistral mistral-large-2512"]),
    ("bedrock", "anthropic.claude-opus-4-5-20251101-v1:0", None),
    ("bedrock", "us.anthropic.claude-opus-4-5-20251101-v1:0", None),
    (
        "bedrock",
        "arn:aws:bedrock:eu-central-1:123456789012:inference-profile/eu.anthropic.claude-opus-4-5-20251101-v1:0",
        None,
    ),
    ("bedrock", "arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-opus-4-5-20251101-v1:0", None),
    ("bedrock", "us.amazon.nova-pro-v1:0", ["bedrock amazon.nova-pro"]),
    ("bedrock", "apac.amazon.nova-pro-v1:0:300k", ["bedrock amazon.nova-pro"]),
    ("openrouter", "openai/gpt-5.4", ["openrouter openai/gpt-5.4", "openai gpt-5.4"]),
    ("openrouter", "openai/gpt-5.4:nitro", ["openrouter openai/gpt-5.4", "openai gpt-5.4"]),
    ("openrouter", "anthropic/claude-sonnet-4.5", ["anthropic claude-sonnet-4-5"]),
    ("openrouter", "anthropic/claude-4.5-sonnet-20250929:beta", ["anthropic claude-sonnet-4-5"]),
    ("openrouter", "anthropic/claude-3.5-sonnet", ["anthropic claude-3-5-sonnet-20241022"]),
    ("openrouter", "x-ai/grok-4.6:free", ["xai grok-4.6"]),
    ("openrouter", "moonshotai/kimi-k3", ["moonshot kimi-k3"]),
    ("openrouter", "deepseek/deepseek-v4-pro:online", ["deepseek deepseek-v4-pro"]),
    ("compatible", "openrouter/openai/gpt-5.4", ["openai gpt-5.4"]),
    ("compatible", "azure/gpt-5.4", ["openai gpt-5.4"]),
    ("compatible", "bedrock/us.anthropic.claude-sonnet-4-5-20250929-v1:0", ["anthropic claude-sonnet-4-5"]),
    ("azure", "gpt-4o", ["azure gpt-4o", "openai gpt-4o"]),
    ("azure", "gpt-35-turbo", ["openai gpt-3.5-turbo"]),
    ("groq", "openai/gpt-oss-120b", ["groq openai/gpt-oss-120b"]),
    # both have a day: another day's row is another model's
    ("azure", "mistral-large-2411", ["mistral mistral-large-2411"]),
    ("azure", "mistral-large-2407", ["azure mistral-large-2402, assumed"]),
    ("azure", "mistral-large-latest", ["azure mistral-large-2402", "mistral mistral-large-2512"]),
    ("mistral", "mistral-large-2407", ["mistral mistral-large-2512, assumed"]),
    ("anthropic", "claude-3-5-sonnet-20240620", ["anthropic claude-3-5-sonnet-20241022, assumed"]),
    ("openrouter", "anthropic/claude-3.5-sonnet-20240620:beta", ["anthropic claude-3-5-sonnet-20241022, assumed"]),
    ("bedrock", "eu.anthropic.claude-opus-4-5-20250101-v1:0", ["bedrock anthropic.claude-opus-4-5-20251101, assumed"]),
    ("vertex", "gemini-1.5-pro-002", ["vertex gemini-1.5-pro-001, assumed"]),
    ("vertex", "gemini-1.5-pro", ["vertex gemini-1.5-pro-001"]),
    ("openai", "gpt-7-terra", ["openai gpt-6.1-terra, assumed"]),
    ("openai", "gpt-5.2-mini", ["openai gpt-5.4-mini, assumed"]),
    ("openai", "o4", ["openai o3, assumed"]),
    ("anthropic", "claude-opus-6", ["anthropic claude-opus-5-5, assumed"]),
    ("anthropic", "claude-opus-4-8-20270101", ["anthropic claude-opus-4-5-20251101, assumed"]),
    ("openrouter", "google/gemini-4.1-flash", ["google gemini-3.8-flash, assumed"]),
    ("groq", "llama-3.4-70b-versatile", ["groq llama-3.3-70b-versatile, assumed"]),
    ("openai", "my-own-model", []),
    ("openai", "gpt", []),
    ("openai", "", []),
    ("openai", "/", []),
    ("openai", ":", []),
    ("openai", "ft:", []),
    ("compatible", "llama3:8b", []),
    ("nowhere", "gpt-5.4", ["openai gpt-5.4"]),
]


@pytest.mark.parametrize(("api", "model", "rows"), FORMS)
def test_a_name_is_understood(api: str, model: str, rows: list[str] | None) -> None:
    """The host's own row comes first, then the vendor's; a relative of the model is called one."""
    expected = (
        ["bedrock anthropic.claude-opus-4-5-20251101", "anthropic claude-opus-4-5-20251101"] if rows is None else rows
    )

    assert [f"{f.api} {f.name}{', assumed' * f.assumed}" for f in INDEX.find(api, model)] == expected


def test_a_name_without_end_is_nobodys() -> None:
    assert INDEX.find("openai", "gpt-5.4" + "-mini" * 100) == ()
    assert INDEX.find("openai", "a/" * 140) == ()
    assert len("a/" * 140) < MOST


def test_an_empty_catalogue() -> None:
    assert Index({}).find("openai", "gpt-5.4") == ()


def test_each_form_is_plainer() -> None:
    """The first form is the name itself, and no form comes twice."""
    for _, model, _ in FORMS:
        forms = list(plainer(model))
        assert forms[0] == model.strip().lower()
        assert len(set(forms)) == len(forms)


def test_the_next_lower_version_is_the_nearest_relative() -> None:
    """4.10 comes after 4.9; where there is none before, it is the one after."""
    index = Index({"openai": {f"gpt-4.{n}-x": {"sampling": "yes"} for n in (2, 9, 10)}})

    assert [index.find("openai", f"gpt-{v}-x")[0].name for v in ("4.1", "4.3", "4.11", "5")] == [
        "gpt-4.2-x",
        "gpt-4.2-x",
        "gpt-4.10-x",
        "gpt-4.10-x",
    ]


def test_family() -> None:
    assert family("claude-opus-4-5") == family("claude-opus-4.5") == ("claude-opus-#", (4, 5))
    assert family("gpt-4o") == ("gpt-#o", (4,))
    assert family("mistral-large") == ("mistral-large", ())


@pytest.mark.parametrize(
    ("api", "model", "expected"),
    [
        ("openai", "gpt-5.4-2026-03-05", ("gpt-5.4-2026-03-05", "openai", None)),
        ("azure", "gpt-4o-2024-11-20", ("gpt-4o-2024-11-20", "azure", None)),
        ("openrouter", "anthropic/claude-opus-4.5", ("anthropic/claude-opus-4.5", "openrouter", None)),
        ("vertex", "claude-opus-4-5@20251101", ("claude-opus-4-5@20251101", "vertex", None)),
        ("compatible", "gpt-9-terra", ("gpt-6.1-terra", "openai", "gpt-6.1-terra")),
    ],
)
def test_the_vendored_names(api: str, model: str, expected: tuple[str, str, str | None]) -> None:
    """The real catalogue has the hosts' own rows."""
    known = facts(api, model)

    assert known is not None
    assert (known.name, known.api, known.assumed_from) == expected


def test_the_newest_one_is_not_a_day_that_has_ended() -> None:
    """``-latest`` is whatever the vendor has made since: the newest snapshot that is known here lends no end."""
    row = {"max_output": 9, "retires": "2026-05-31", "successor": "x"}
    catalogue = Known(Catalogue({"mistral": {"x-ocr-2505": row, "x-large": row}}))
    newest, dated = catalogue.facts("mistral", "x-ocr-latest"), catalogue.facts("mistral", "x-ocr")
    plain = catalogue.facts("mistral", "x-large-latest")

    assert newest is not None
    assert (newest.max_output, newest.retires, newest.successor) == (9, None, None)
    assert [one and one.retires for one in (dated, plain)] == [date(2026, 5, 31), date(2026, 5, 31)]


def test_a_base_lends_a_fine_tuned_model_no_price() -> None:
    """Its limits and its end are its base's, and a vendor charges more for it; a row of its own has its own price."""
    row = {"max_output": 9, "retires": "2027-01-14", "prices": [{"input": 1, "output": 2}]}
    own = {"max_output": 9, "prices": [{"input": 3, "output": 4}]}
    catalogue = Known(Catalogue({"openai": {"gpt-x": row, "gpt-y": row, "ft:gpt-y": own}}))
    found = catalogue.facts("openai", "ft:gpt-x:acme::1")
    mine = catalogue.facts("openai", "ft:gpt-y:acme::1")

    assert found is not None
    assert (found.max_output, found.retires, found.prices) == (9, date(2027, 1, 14), ())
    assert mine is not None
    assert [row.input for row in mine.prices] == [3]


def test_a_relative_lends_no_price_and_no_end() -> None:
    """Nor does a vendor lend them to a host."""
    for api, model in (("openai", "gpt-5.45"), ("compatible", "gpt-4o"), ("openai", "o9")):
        known = facts(api, model)
        assert known is not None
        assert (known.prices, known.retires, known.retired_effect, known.successor) == ((), None, None, None)
        assert known.context


@pytest.mark.parametrize(
    ("model", "is_lent"),
    [
        ("gpt-4-0314", False),
        ("gpt-4-preview", False),
        ("gpt-4-2024-01-01-preview", False),
        ("openai/gpt-4-0314", False),
        ("openai/gpt-4", True),
        ("gpt-4-latest", True),
        ("gpt-4-001", True),
        ("ft:gpt-4:acme::x", True),
    ],
)
def test_a_snapshot_has_no_end_of_another_one(model: str, is_lent: bool) -> None:
    """Each day's model ends on a day of its own: what is known of the rest is the same."""
    row = {"context": 8, "retires": "2026-10-23", "successor": "x", "prices": [{"input": 30}]}
    found = Known(Catalogue({"openai": {"gpt-4": row}})).facts("openai", model)

    assert found is not None
    assert (found.context, [price.input for price in found.prices]) == (8, [] if model.startswith("ft:") else [30])
    assert (found.retires is not None, found.successor is not None) == (is_lent, is_lent)


@pytest.mark.parametrize(
    ("model", "reasoning", "sampling", "assumed_from"),
    [
        ("gpt-6-x", "default", "no", "gpt-6-b"),  # of default and always the milder one
        ("gpt-5-x", None, None, None),  # they disagree
        ("gpt-7-x", None, None, None),  # none is known
        ("gpt-6o", None, None, None),  # another line
        ("gpt-6.1-x", None, None, None),  # another version
    ],
)
def test_models_of_one_version_have_their_rules_in_common(
    model: str, reasoning: str | None, sampling: str | None, assumed_from: str | None
) -> None:
    """What all of them say is assumed of another one; where they disagree nothing is."""
    rows: dict[str, dict[str, object]] = {
        "gpt-6-a": {"reasoning": "default", "sampling": "no", "prices": [{"input": 1}]},
        "gpt-6-b": {"reasoning": "always", "sampling": "no", "retires": "2027-01-01"},
        "gpt-5-a": {"reasoning": "none", "sampling": "yes"},
        "gpt-5-b": {"reasoning": "always", "sampling": "no"},
    }
    found = Known(Catalogue({"openai": rows})).facts("openai", model)

    if assumed_from is None:
        assert found is None
    else:
        assert found is not None
        assert (found.reasoning, found.sampling, found.assumed_from) == (reasoning, sampling, assumed_from)
        assert (found.prices, found.retires) == ((), None)


@pytest.mark.parametrize("model", ["gpt-6-cyber", "gpt-6-rosalind", "gpt-5.5-cyber"])
def test_known_limits_and_assumed_rules(model: str) -> None:
    """A model of which packages have the price alone takes what its version does; it is said that this is assumed."""
    found = facts("openai", model)
    assert found is not None
    assert (found.assumed_from, found.name, bool(found.prices)) == (None, model, True)
    assert found.rules_from
    decided = adapt("openai", model, {"temperature": 0.7, "max_tokens": 10**6, "presence_penalty": 0.0}, ())

    assert "temperature" not in decided.sent
    assert "presence_penalty" not in decided.sent
    assert {note.source for note in decided.adjustments if note.parameter == "temperature"} == {"family"}


def test_the_import_is_lean() -> None:
    """The standard library and core alone, and the file is not read by the import."""
    code = (
        "import sys, core.models.facts as f; print({n.partition('.')[0] for n in sys.modules} - sys.stdlib_module_names,"
        " f.known.is_made)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert not any(name in run.stdout for name in ("pydantic", "sqlmodel", "psycopg", "cryptography", "genai"))
    assert run.stdout.endswith(" False\n")


_DAY = re.compile(r"20\d\d-\d\d-\d\d|20\d{6}|(?<=-)2[3-9](?:0[1-9]|1[0-2])$")
_OTHER = {10: "2031-12-30", 8: "20311230", 4: "2912"}


def test_no_name_with_a_day_is_known_as_one_of_another_day() -> None:
    """Of every row with a day in its name, by that name with a day that nobody has."""
    dated = [(api, name) for api, rows in known().catalogue.rows.items() for name in rows if _DAY.search(name)]
    assert len(dated) > 200

    lent = []
    for api, name in dated:
        other = _DAY.sub(lambda day: _OTHER[len(day[0])], name)
        found = facts(api, other)
        if found is not None and not found.assumed_from and _DAY.search(found.name):
            lent.append((api, other, found.name))
    assert lent == []


def test_found_names_its_row() -> None:
    assert INDEX.find("azure", "gpt-4o") == (
        Found("azure", "gpt-4o", assumed=False),
        Found("openai", "gpt-4o", assumed=False),
    )
