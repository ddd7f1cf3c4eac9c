"""The connection test: what each stage finds out, what is never dialled, and where a key never goes."""

import re
import socket
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlmodel import Session

from core import config
from core.actors import COMMAND_LINE, Actor
from core.errors import Forbidden, Invalid
from core.kinds import KINDS
from core.manage import connection, connection_stages, providers
from core.manage import settings as rows
from core.manage.connection import STAGES, Report, prepare, run
from core.store import db
from tests.processes import core
from tests.vendors import FAULTS, KEY, Status, Vendor, make_certificate, unused

OTHER = KEY.replace("right", "wrong")
LISTING = [kind.name for kind in KINDS.values() if kind.lists_models]
"""The others: tests/calling/test_azure.py."""


@pytest.fixture
def vendor(monkeypatch: pytest.MonkeyPatch) -> Iterator[Vendor]:
    """A vendor on this machine, to which providers of every kind may point."""
    monkeypatch.setenv("LLM_PRIVATE_HOSTS", "127.0.0.1")
    config.get_config.cache_clear()
    with Vendor() as vendor:
        yield vendor


def add(session: Session, url: str, kind: str = "openai", *, key: str | None = KEY, model: str | None = "m1") -> int:
    """Store a provider; return its id."""
    made = {"name": "acme", "display_name": "Acme", "kind": kind, "api_base_url": url, "default_model": model}
    models = {"available_models": ["m1", "gone"]}
    data = {**made, **models, **({"api_key": key} if key else {})}
    return providers.create(session, COMMAND_LINE, data).id or 0


def states(report: Report) -> str:
    """The stages in order, a letter each: verified, refused, not checked."""
    assert [stage.name for stage in report.stages] == list(STAGES)
    return "".join({"verified": "v", "refused": "R", "not_checked": "-"}[stage.state] for stage in report.stages)


def words(report: Report, name: str) -> str:
    return next(stage.words for stage in report.stages if stage.name == name)


@pytest.mark.parametrize("kind", LISTING)
def test_all_is_well(session: Session, vendor: Vendor, kind: str) -> None:
    """Every stage verified but TLS, which there is none of; the effective parameters were sent; two requests in all."""
    provider_id = add(session, vendor.base_url(kind), kind)
    rows.upsert_global(session, COMMAND_LINE, provider_id, {"max_tokens": 33, "omitted_parameters": ["temperature"]})

    report = run(prepare(session, COMMAND_LINE, provider_id))

    assert (states(report), report.state) == ("vvv-vvv", "verified")
    assert "unencrypted" in words(report, "tls")
    assert "Hello from the model" in words(report, "call")
    assert (report.models, report.new, report.gone) == (("m1", "m2", "m3"), ("m2", "m3"), ("gone",))
    listed, called = vendor.asked
    assert (listed.method, called.method) == ("GET", "POST")
    assert "33" in str(called.body)
    assert "temperature" not in str(called.body)
    assert words(report, "name") == "an address: there is nothing to look up"
    taken = [stage.latency_ms for stage in report.stages if stage.name in {"name", "connected", "call"}]
    assert all(ms is not None and 0 <= ms <= 1000 * connection.LONGEST for ms in taken)


@pytest.mark.parametrize("kind", LISTING)
def test_server_that_needs_no_key(session: Session, vendor: Vendor, kind: str) -> None:
    """It goes on to the list and the call without a key, typed or stored; the audit says that none was needed."""
    vendor.keys[:] = ["not-needed"]
    provider_id = add(session, vendor.base_url(kind), kind, key=None)
    draft = {"needs_key": False}
    typed = run(prepare(session, COMMAND_LINE, provider_id, {**draft, "api_key": OTHER}))
    providers.update(session, COMMAND_LINE, provider_id, draft)
    report = run(prepare(session, COMMAND_LINE, provider_id))

    assert (states(report), report.state) == (states(typed), typed.state) == ("vvv-vvv", "verified")
    assert words(report, "key") == "none is needed: 3 models are listed"
    assert "the key" not in words(report, "tls")
    assert not any(OTHER in str(asked) for asked in vendor.asked)
    recorded = session.scalars(text("SELECT changes->'key'->>'after' FROM audit_events WHERE action = 'provider.test'"))
    assert set(recorded) == {"none needed"}


def test_server_that_wants_a_key_after_all(session: Session, vendor: Vendor) -> None:
    """401 without a key: the cure is to switch the need of one on."""
    provider_id = add(session, vendor.base_url("openai"), key=None)
    report = run(prepare(session, COMMAND_LINE, provider_id, {"needs_key": False}))

    assert states(report) == "vvv-R--"
    assert "This server wants a key: switch on that the provider needs one" in words(report, "key")


@pytest.mark.parametrize("kind", LISTING)
def test_wrong_key(session: Session, vendor: Vendor, kind: str) -> None:
    """CHECKS 34: refused in the vendor's own words, without the key in them; nothing more is asked."""
    report = run(prepare(session, COMMAND_LINE, add(session, vendor.base_url(kind), kind, key=OTHER)))

    assert (states(report), report.state) == ("vvv-R--", "refused")
    assert "401: Incorrect API key provided" in words(report, "key")
    assert OTHER not in str(report)
    assert OTHER[10:30] not in str(report)
    assert len(vendor.asked) == 1


@pytest.mark.parametrize("kind", LISTING)
def test_model_that_is_not_there(session: Session, vendor: Vendor, kind: str) -> None:
    """Not in the list is a doubt, 404 of the call is a refusal."""
    report = run(prepare(session, COMMAND_LINE, add(session, vendor.base_url(kind), kind, model="gone")))

    assert (states(report), report.state) == ("vvv-vRR", "refused")
    assert "gone does not exist" in words(report, "model")


def test_alias_that_is_in_no_list(session: Session, vendor: Vendor) -> None:
    """A model that answers is there, whatever the list says."""
    provider_id = add(session, vendor.base_url("openai"), model="gone")
    vendor.fail(Status(200, {}, {"object": "list", "data": []}))
    vendor.models.append("gone")

    report = run(prepare(session, COMMAND_LINE, provider_id))

    assert (states(report), report.state) == ("vvv-vvv", "verified")


@pytest.mark.parametrize("kind", KINDS)
def test_server_without_a_list(session: Session, vendor: Vendor, kind: str) -> None:
    """The call decides."""
    vendor.lists = False
    report = run(prepare(session, COMMAND_LINE, add(session, vendor.base_url(kind), kind)))

    assert (states(report), report.state, report.models) == ("vvv-vvv", "verified", None)
    vendor.keys.clear()
    again = run(prepare(session, COMMAND_LINE, providers.get_by_name(session, "acme").id))
    assert again.state == "refused"


CALLS: dict[Any, tuple[str, str]] = {
    400: ("vvv-vvR", "refused"),
    403: ("vvv-RvR", "refused"),
    422: ("vvv-vvR", "refused"),
    429: ("vvv-vv-", "not_checked"),
    500: ("vvv-vv-", "not_checked"),
    529: ("vvv-vv-", "not_checked"),
    "reset": ("vvv-vv-", "not_checked"),
    "half": ("vvv-vv-", "not_checked"),
    "html": ("vvv-vvR", "refused"),
    "cut_json": ("vvv-vvR", "refused"),
    "other_json": ("vvv-vvR", "refused"),
    "huge": ("vvv-vvR", "refused"),
    "huge_announced": ("vvv-vvR", "refused"),
    "gzip": ("vvv-vvR", "refused"),
    "redirect": ("vvv-vvR", "refused"),
}
"""Fault of the call -> stages and state: what is refused is the settings' fault, what is not checked may pass by itself."""


@pytest.mark.parametrize("kind", ["openai", "anthropic", "google"])
def test_faults_of_the_call(session: Session, vendor: Vendor, kind: str) -> None:
    """CHECKS 49: nothing is followed, everything is cut off, and each is told for what it is. The list has been served."""
    provider_id = add(session, vendor.base_url(kind), kind)
    for fault, expected in CALLS.items():
        listed = Status(200, {}, _list(kind))
        vendor.fail(listed, fault)
        began = time.monotonic()

        report = run(prepare(session, COMMAND_LINE, provider_id))

        vendor.serve()
        assert (states(report), report.state) == expected, fault
        assert words(report, "call")
        assert time.monotonic() - began < connection.LONGEST + 2
    assert not [asked for asked in vendor.asked if asked.path == "/elsewhere"]


def _list(kind: str) -> Any:
    return {"models": [{"name": "models/m1"}]} if kind == "google" else {"data": [{"id": "m1"}], "has_more": False}


@pytest.mark.kill  # each takes its ten seconds
@pytest.mark.parametrize("fault", sorted({"silent", "drip_head", "drip_body"} & set(FAULTS)))
def test_slow_vendor(session: Session, vendor: Vendor, fault: str) -> None:
    """CHECKS 49: a vendor that never ends is given up in ten seconds for all stages together."""
    vendor.fail(fault, fault, fault)
    began = time.monotonic()

    report = run(prepare(session, COMMAND_LINE, add(session, vendor.base_url("openai"))))

    assert time.monotonic() - began < connection.LONGEST + 3
    assert report.state == "not_checked"


@pytest.mark.parametrize("fault", [403, 404, 405, 429, 500, "reset", "other_json"])
def test_faults_of_the_list(session: Session, vendor: Vendor, fault: Any) -> None:
    """A list that is not to be had says nothing about the key: the call does."""
    vendor.fail(fault)

    report = run(prepare(session, COMMAND_LINE, add(session, vendor.base_url("openai"))))

    assert (states(report), report.state) == ("vvv-vvv", "verified")


def test_list_that_redirects(session: Session, vendor: Vendor) -> None:
    """A redirect is a base URL that is wrong: refused, and not followed."""
    vendor.fail("redirect")

    report = run(prepare(session, COMMAND_LINE, add(session, vendor.base_url("openai"))))

    assert states(report) == "vvv-R--"
    assert "redirect" in words(report, "key")
    assert len(vendor.asked) == 1


@pytest.mark.kill  # it waits for a time limit
def test_list_without_an_end(session: Session, vendor: Vendor) -> None:
    """A list that always has another page is given up."""
    more = {"data": [{"id": "m1", "type": "model"}], "has_more": True, "last_id": "m1"}
    vendor.fail(*[Status(200, {}, more)] * 50_000)
    began = time.monotonic()

    report = run(prepare(session, COMMAND_LINE, add(session, vendor.base_url("anthropic"), "anthropic")))

    vendor.serve()
    assert time.monotonic() - began < connection.LONGEST + 3
    assert report.state != "verified"


def test_tls(session: Session, vendor: Vendor, tmp_path: Path) -> None:
    """CHECKS 49: a certificate that does not hold is refused before any key is sent."""
    with Vendor(certificate=make_certificate(tmp_path)) as secured:
        report = run(prepare(session, COMMAND_LINE, add(session, secured.base_url("openai"))))

    assert (states(report), secured.asked) == ("vvvR---", [])
    assert "certificate" in words(report, "tls")
    assert vendor.asked == []


def test_nobody_listens(session: Session, vendor: Vendor) -> None:
    """A refused connection."""
    with unused() as port:
        report = run(prepare(session, COMMAND_LINE, add(session, f"http://127.0.0.1:{port}/v1")))

    assert states(report) == "vvR----"
    assert "refused" in words(report, "connected")
    assert vendor.asked == []


def test_no_key_and_no_model(session: Session, vendor: Vendor) -> None:
    """What is missing is said; the way there is tested all the same."""
    provider_id = add(session, vendor.base_url("openai"), key=None, model=None)

    without_key = run(prepare(session, COMMAND_LINE, provider_id))
    without_model = run(prepare(session, COMMAND_LINE, provider_id, {"api_key": KEY}))

    assert (states(without_key), words(without_key, "key")) == ("vvv----", "no API key is stored")
    assert (states(without_model), words(without_model, "model")) == ("vvv-v--", "no model is chosen")
    assert without_model.state == "not_checked"


def test_key_that_cannot_be_opened(session: Session, vendor: Vendor) -> None:
    """It is said why; nothing is sent in its place."""
    provider_id = add(session, vendor.base_url("openai"))
    session.execute(text("UPDATE llm_providers SET api_key_encrypted = 'broken'"))
    session.expire_all()

    report = run(prepare(session, COMMAND_LINE, provider_id))

    assert states(report) == "vvv----"
    assert "Enter the API key again" in words(report, "key")
    assert vendor.asked == []


# What was typed and not saved


def test_typed_key(session: Session, vendor: Vendor) -> None:
    """A key that was typed is tested in place of the stored one, which stays."""
    provider_id = add(session, vendor.base_url("openai"), key=OTHER)

    report = run(prepare(session, COMMAND_LINE, provider_id, {"api_key": KEY}))

    assert report.state == "verified"
    assert providers.open_api_key(session, provider_id) == OTHER


def test_new_provider(session: Session, vendor: Vendor) -> None:
    """What is not stored at all can be tested, with what is going to be omitted; nothing is stored."""
    made = {"name": "new", "display_name": "New", "kind": "openai", "api_base_url": vendor.base_url("openai")}
    draft = {**made, "available_models": ["m2"], "default_model": "m2", "api_key": KEY}

    report = run(prepare(session, COMMAND_LINE, None, draft, omitted=["temperature", "top_p"]))

    assert report.state == "verified"
    assert not {"temperature", "top_p"} & set(vendor.asked[-1].body)
    assert providers.count(session) == 0


@pytest.mark.parametrize("change", [{"api_base_url": True}, {"kind": "anthropic", "api_base_url": None}])
def test_stored_key_goes_nowhere_else(session: Session, vendor: Vendor, change: dict[str, Any]) -> None:
    """CHECKS 41: another host, typed and not saved, takes the key typed as well; it sees no request at all."""
    provider_id = add(session, vendor.base_url("openai"))
    with Vendor() as elsewhere:
        if change.get("api_base_url"):
            change = {"api_base_url": elsewhere.base_url("openai")}

        with pytest.raises(Invalid, match="type the API key"):
            prepare(session, COMMAND_LINE, provider_id, change)

        assert (elsewhere.asked, elsewhere.lines, vendor.lines) == ([], 0, 0)


@pytest.mark.parametrize("path", ["/ids", "/v1/echo", "/V1", "/v1/.", ""])
def test_stored_key_goes_to_no_other_path(session: Session, vendor: Vendor, path: str) -> None:
    """Another path of the same host may repeat what it is sent: it takes the key typed as well, as another host does."""
    provider_id = add(session, vendor.base_url("openai"))
    draft = {"api_base_url": vendor.url + path}

    with pytest.raises(Invalid, match="type the API key"):
        prepare(session, COMMAND_LINE, provider_id, draft)

    assert (vendor.asked, vendor.lines) == ([], 0)
    if path != "/v1/.":  # which is no base URL at all
        prepare(session, COMMAND_LINE, provider_id, {**draft, "api_key": KEY})
    prepare(session, COMMAND_LINE, provider_id, {"api_base_url": vendor.base_url("openai") + "/"})


PLAIN = "4f9Jq2LxT7" * 8 + "zyxw"
"""A key of 84 characters without a telling form, as newer Azure keys are."""
ECHOES = {
    "an id": lambda text: Status(200, {}, {"object": "list", "data": [{"id": text, "object": "model"}]}),
    "a successor": lambda text: Status(
        200, {}, {"object": "list", "data": [{"id": "m", "object": "model", "deprecation_replacement_model": text}]}
    ),
    "an error": lambda text: Status(400, {}, {"error": {"message": text, "type": "invalid_request_error"}}),
}
PADDINGS = ["", "x" * 30, " " * 1_908, "y" * 1_980, "z" * 70_000, "Bearer 0123456789abcdefghij0123456789 " * 2_000]


@pytest.mark.parametrize("how", ECHOES)
@pytest.mark.parametrize("padding", PADDINGS, ids=[str(len(each)) for each in PADDINGS])
def test_echo_of_the_key(session: Session, vendor: Vendor, how: str, padding: str) -> None:
    """CHECKS 34: a vendor that repeats the key, wherever in its words it stands: not 8 characters in a row come back."""
    vendor.keys.append(PLAIN)
    provider_id = add(session, vendor.base_url("openai"), key=PLAIN)
    for _ in range(3):  # an SDK may ask again
        vendor.fail(ECHOES[how](f"{padding}{PLAIN} and more"))

    report = run(prepare(session, COMMAND_LINE, provider_id))

    told = repr(report)
    assert [PLAIN[at : at + 8] for at in range(len(PLAIN) - 7) if PLAIN[at : at + 8] in told] == []


@pytest.mark.parametrize("how", ECHOES)
def test_no_control_character_comes_through(session: Session, vendor: Vendor, how: str) -> None:
    """What a vendor says cannot lead a terminal, begin a line of log, or turn a text round: report and command alike."""
    provider_id = add(session, vendor.base_url("openai"))
    nasty = "\x1b]0;owned\x07\x9b31m\r\n2026-01-01 forged\u202egnp.exe\x00"
    for _ in range(3):
        vendor.fail(ECHOES[how](nasty))

    report = run(prepare(session, COMMAND_LINE, provider_id))

    shown = [*(stage.words for stage in report.stages), *(report.models or ())]
    assert any("forged" in text for text in shown) or how == "a successor"  # which is shown nowhere in a report
    assert "forged" not in repr(report.facts)
    assert [c for text in shown for c in text if not c.isprintable() and c != "\ufffd"] == []


def test_moved_behind_our_back(session: Session, vendor: Vendor) -> None:
    """A base URL that SQL has changed: the key's binding does not hold, and it is not sent."""
    provider_id = add(session, vendor.base_url("openai"))
    with Vendor() as elsewhere:
        url = elsewhere.base_url("openai")
        session.execute(text("UPDATE llm_providers SET api_base_url = :url"), {"url": url})
        session.expire_all()

        report = run(prepare(session, COMMAND_LINE, provider_id))

        assert elsewhere.asked == []
    assert states(report) == "vvv----"


# Addresses: names and addresses that must be refused are never dialled


def answers(*found: str) -> Callable[..., list[Any]]:
    """A resolver that knows one answer, and counts."""

    def look_up(*_: Any, **__: Any) -> list[Any]:
        look_up.times += 1  # type: ignore[attr-defined]
        if not found:
            raise socket.gaierror
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 0)) for address in found]

    look_up.times = 0  # type: ignore[attr-defined]
    return look_up


@pytest.mark.parametrize(
    ("found", "expected", "said"),
    [
        (["169.254.169.254"], "vR-----", "metadata|link-local"),
        (["fd00:ec2::254"], "vR-----", "metadata"),
        (["100.100.100.200"], "vR-----", "metadata"),
        (["10.1.2.3"], "vR-----", "private"),
        (["192.168.0.1", "127.0.0.1"], "vR-----", "private"),
        (["127.0.0.1", "169.254.169.254"], "vR-----", "link-local"),
        (["::ffff:169.254.169.254"], "vR-----", "link-local"),
        ([], "R------", "leads to no address"),
    ],
    ids=str,
)
def test_refused_addresses(session: Session, vendor: Vendor, found: list[str], expected: str, said: str) -> None:
    """CHECKS 46 to 48: a name is judged by every address it has; one refused answer refuses all. Nothing is dialled."""
    provider_id = add(session, f"http://model.example:{vendor.port}/v1")

    report = run(prepare(session, COMMAND_LINE, provider_id), answers(*found))

    assert states(report) == expected

    assert re.search(said, words(report, "address") + words(report, "name"))
    assert (vendor.lines, vendor.asked) == (0, [])


def test_looked_up_once(session: Session, vendor: Vendor) -> None:
    """CHECKS 48: the name is looked up once; the stage, the list and the call dial what was found then, and only that."""
    look_up = answers("127.0.0.1")
    provider_id = add(session, f"http://model.example:{vendor.port}/v1", "openai_compatible")

    report = run(prepare(session, COMMAND_LINE, provider_id), look_up)

    assert report.state == "verified"
    assert look_up.times == 1  # type: ignore[attr-defined]
    assert vendor.asked[0].headers["host"] == f"model.example:{vendor.port}"


def test_name_that_takes_too_long(session: Session, vendor: Vendor, monkeypatch: pytest.MonkeyPatch) -> None:
    """A look-up that hangs is given up."""
    monkeypatch.setattr(connection_stages, "LONGEST", 0.5)
    provider_id = add(session, f"http://model.example:{vendor.port}/v1")

    report = run(prepare(session, COMMAND_LINE, provider_id), lambda *_, **__: time.sleep(2) or [])

    assert states(report) == "R------"


def test_metadata_though_private_is_allowed(session: Session, vendor: Vendor, monkeypatch: pytest.MonkeyPatch) -> None:
    """CHECKS 47: whatever the operator allows."""
    monkeypatch.setenv("LLM_PRIVATE_HOSTS", "*")
    config.get_config.cache_clear()
    provider_id = add(session, "http://model.example/v1", "openai_compatible")

    report = run(prepare(session, COMMAND_LINE, provider_id), answers("169.254.169.254"))

    assert states(report) == "vR-----"
    assert vendor.lines == 0


def test_proxies_are_not_used(session: Session, vendor: Vendor, monkeypatch: pytest.MonkeyPatch) -> None:
    """CHECKS 50."""
    with Vendor() as proxy:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy"):
            monkeypatch.setenv(name, proxy.url)

        report = run(prepare(session, COMMAND_LINE, add(session, vendor.base_url("openai"))))

        assert (report.state, proxy.lines) == ("verified", 0)


# Rights, record, command line


def test_for_admins(session: Session, vendor: Vendor, analyst: Actor) -> None:
    """An analyst tests nothing."""
    provider_id = add(session, vendor.base_url("openai"))

    with pytest.raises(Forbidden):
        prepare(session, analyst, provider_id)


def test_on_record(session: Session, admin: Actor, vendor: Vendor) -> None:
    """Who, where to, which model, whose key; before anything is dialled, and without the key."""
    provider_id = add(session, vendor.base_url("openai"))
    prepare(session, admin, provider_id)
    prepare(session, admin, provider_id, {"api_key": OTHER, "default_model": "gone"})

    found = session.execute(
        text("SELECT actor, target, changes FROM audit_events WHERE action = 'provider.test' ORDER BY id")
    ).all()

    told = [(row.actor, row.target, {name: pair["after"] for name, pair in row.changes.items()}) for row in found]
    url = vendor.base_url("openai")
    assert told == [
        ("ada", "acme", {"base_url": url, "model": "m1", "key": "stored"}),
        ("ada", "acme", {"base_url": url, "model": "gone", "key": "typed"}),
    ]
    assert OTHER not in str(found)
    assert vendor.lines == 0


@pytest.mark.parametrize(("key", "code"), [(KEY, 0), (OTHER, 1)])
def test_command(committed: str, vendor: Vendor, key: str, code: int) -> None:
    """`test NAME` prints the stages and exits 1 unless it works; the key is in neither."""
    with db.transaction() as session:
        add(session, vendor.base_url("openai"), key=key)

    done = core("test", "acme", DATABASE_URL=committed, LLM_PRIVATE_HOSTS="127.0.0.1")

    assert done.returncode == code, done.stderr
    assert ("acme: verified" if code == 0 else "acme: REFUSED") in done.stdout
    assert "Key accepted" in done.stdout
    assert key not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("kind", "tail", "meant"),
    [
        ("openai_compatible", "", "/v1"),
        ("openai", "", "/v1"),
        ("openai_compatible", "/v1/chat/completions", "/v1"),
        ("anthropic", "/v1", ""),
        ("google", "/v1beta", ""),
    ],
)
def test_a_wrong_path_is_told_as_that(session: Session, vendor: Vendor, kind: str, tail: str, meant: str) -> None:
    """List and call are both 404, without a word of a model: the address is at fault, not the model, and the right one is named."""
    provider_id = add(session, vendor.base_url(kind), kind)
    row = providers.get(session, provider_id)
    target = replace(prepare(session, COMMAND_LINE, row.id), base_url=f"{vendor.url}{tail}")
    vendor.lists = False
    vendor.fail(*[Status(404, {}, "404 page not found")] * 4)

    report = run(target)

    assert words(report, "call").endswith(f"at this address: The base URL is probably {vendor.url}{meant}")
    assert states(report)[5:] == "-R"
    assert "model" not in [stage.name for stage in report.stages if stage.state == "refused"]


def test_a_model_is_blamed_where_the_vendor_names_it(session: Session, vendor: Vendor) -> None:
    """Without a list of models, a 404 with words about the model stays a fault of the model."""
    vendor.lists = False
    report = run(prepare(session, COMMAND_LINE, add(session, vendor.base_url("openai"), model="gone")))

    assert states(report)[5:] == "RR"
    assert "base URL" not in words(report, "call")


def test_lists_are_compared_without_their_prefix(session: Session, vendor: Vendor) -> None:
    """Google lists models/NAME for OpenAI's protocol, and answers to NAME: neither is new or gone."""
    vendor.models[:] = ["models/m1", "models/m9", "m1"]
    provider_id = add(session, vendor.base_url("openai_compatible"), "openai_compatible")

    report = run(prepare(session, COMMAND_LINE, provider_id))

    assert (report.new, report.gone) == (("models/m9",), ("gone",))
    assert "is in the vendor's list" in words(report, "model")


@pytest.mark.parametrize("body", [None, {"object": "list", "data": []}])
def test_no_model_is_gone_for_a_list_that_is_not_there(session: Session, vendor: Vendor, body: Any) -> None:
    """Where the vendor's list was not got, or is empty, nothing is called new or gone."""
    provider_id = add(session, vendor.base_url("openai"))
    vendor.fail(Status(404 if body is None else 200, {}, body))

    report = run(prepare(session, COMMAND_LINE, provider_id))

    assert (report.new, report.gone) == ((), ())
    assert report.models == (None if body is None else ())


def test_a_long_list_and_a_long_answer(session: Session, vendor: Vendor, monkeypatch: pytest.MonkeyPatch) -> None:
    """The list is cut at its bound, and so are the model's words."""
    monkeypatch.setattr(connection_stages, "MOST_MODELS", 2)
    monkeypatch.setattr(connection_stages, "_ANSWER", 5)

    report = run(prepare(session, COMMAND_LINE, add(session, vendor.base_url("openai"))))

    assert report.models == ("m1", "m2")
    assert "Hello" in words(report, "call")
    assert "from" not in words(report, "call")


@pytest.mark.parametrize(("scheme", "port"), [("http", 80), ("https", 443)])
def test_an_address_without_a_port_is_dialled_at_its_schemes(session: Session, scheme: str, port: int) -> None:
    """RFC 9110, 4.2: http is at 80, https at 443."""
    dialled: list[Any] = []
    sys.addaudithook(lambda event, args: dialled.append(args[1]) if event == "socket.connect" else None)
    target = prepare(session, COMMAND_LINE, add(session, f"{scheme}://8.8.8.8/v1"))
    dialled.clear()

    run(replace(target, base_url=f"{scheme}://127.0.0.1/v1", kind="openai_compatible"))

    assert ("127.0.0.1", port) in dialled


def test_a_stage_is_timed_in_milliseconds() -> None:
    """Whole ones."""
    clock = connection_stages._Clock()
    clock._began -= 2

    assert 2_000 <= clock.ms() < 60_000


def test_a_target_shows_no_key(session: Session, vendor: Vendor) -> None:
    """What is to be tested may stand in a log or a traceback: without the key, and without the settings, which have it."""
    target = prepare(session, COMMAND_LINE, add(session, vendor.base_url("openai")))

    assert KEY not in repr(target)
    assert "EffectiveSettings" not in repr(target)
    assert target.key == KEY


@pytest.mark.parametrize(("status", "is_refused"), [(300, True), (399, True), (400, False)])
def test_only_a_redirect_refuses_the_list(session: Session, vendor: Vendor, status: int, *, is_refused: bool) -> None:
    """RFC 9110, 15.4: 3xx says that the base URL is another one; at 400 of a vendor without a list the call decides."""
    vendor.fail(Status(status, {}, {"error": {"message": "no"}}))

    report = run(prepare(session, COMMAND_LINE, add(session, vendor.base_url("openai"))))

    assert states(report) == ("vvv-R--" if is_refused else "vvv-vvv")


def test_a_new_provider_is_tested_before_it_has_a_name(session: Session, vendor: Vendor) -> None:
    """Without names and models the key is tried and the models are listed; what is there is judged as ever."""
    draft = {"kind": "openai_compatible", "api_base_url": vendor.base_url("openai_compatible"), "api_key": KEY}
    empty = {"name": "", "display_name": "", "available_models": [], "default_model": None}

    report = run(prepare(session, COMMAND_LINE, None, {**draft, **empty}))

    assert (states(report), report.state) == ("vvv-v--", "not_checked")
    assert (report.models, report.new, report.gone) == (("m1", "m2", "m3"), ("m1", "m2", "m3"), ())
    assert words(report, "model") == "no model is chosen"
    for field, wrong in {"name": "Not A Name", "available_models": ["m1", "m1"], "default_model": "m1"}.items():
        with pytest.raises(Invalid) as refused:
            prepare(session, COMMAND_LINE, None, {**draft, **empty, field: wrong})
        assert list(refused.value.fields) == [field]
