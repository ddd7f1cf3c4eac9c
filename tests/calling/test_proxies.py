"""The way out through a proxy: who is asked for there, what of it shows, and what each of its answers means."""

import logging
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from sqlmodel import Session

from core import ai, config
from core.actors import COMMAND_LINE, Actor
from core.calling import dial, proxies
from core.calling.clients import clients
from core.calling.proxies import Way
from core.environment import ProxyAddress
from core.errors import BadConfig, CallFailed, Invalid
from core.kinds import KINDS
from core.manage import connection, providers
from core.testing import override
from tests.conftest import run_async
from tests.egress import Egress
from tests.screens import open_page
from tests.vendors import KEY, TEXT, Vendor, make_certificate, unused

PASSWORD = "p@ss/w:rd-of-the-proxy"
NAME = "the proxy of LLM_HTTP_PROXY"


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    """No client of before, and none left."""
    clients.close()
    yield
    clients.close()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """For vendor.example and its kin: nobody else is called so."""
    return make_certificate(tmp_path_factory.mktemp("tls"), ("vendor.example",))


@pytest.fixture
def vendors(certificate: tuple[Path, Path]) -> Iterator[tuple[Vendor, Vendor]]:
    """One that speaks TLS, and one that does not."""
    with Vendor(certificate=certificate) as secure, Vendor() as plain:
        yield secure, plain


@pytest.fixture
def egress(
    vendors: tuple[Vendor, Vendor], monkeypatch: pytest.MonkeyPatch, certificate: tuple[Path, Path]
) -> Iterator[Egress]:
    """The proxy, with a password; it alone knows where vendor.example is."""
    secure, plain = vendors
    hosts = {"vendor.example": secure.port, "plain.example": plain.port}
    with Egress(hosts, user=f"lovelace:{PASSWORD}") as egress:
        out(
            monkeypatch,
            f"http://lovelace:{PASSWORD.replace('@', '%40').replace('/', '%2F').replace(':', '%3A')}@127.0.0.1:{egress.port}",
        )
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
        dial.tls.cache_clear()
        yield egress
    dial.tls.cache_clear()


def out(monkeypatch: pytest.MonkeyPatch, url: str, without: str = "") -> None:
    """Set the way out."""
    monkeypatch.setenv("LLM_HTTP_PROXY", url)
    monkeypatch.setenv("LLM_NO_PROXY", without)
    config.get_config.cache_clear()


def call(way: str, url: str, *, kind: str = "openai_compatible", **values: int) -> str:
    """Call the model at *url*; return the text, or the failure in words."""
    fixed = {"max_retries": 0, "request_timeout_ms": 5000, "retry_backoff_ms": 100}
    with override("x", kind=kind, base_url=url, model="m1", api_key=KEY, **{**fixed, **values}):
        try:
            if way == "sync":
                return ai.complete("Hello", provider="x").text
            return run_async(ai.complete_async("Hello", provider="x")).text
        except (CallFailed, BadConfig) as error:
            found = str(error)
    assert PASSWORD not in found
    assert "lovelace" not in found
    return found


each_way = pytest.mark.parametrize("way", ["sync", "async"])


@each_way
@pytest.mark.parametrize("kind", KINDS)
def test_through_the_proxy(egress: Egress, vendors: tuple[Vendor, Vendor], way: str, kind: str) -> None:
    """Every kind: by a tunnel to https, forwarded to http; the name is not looked up here, the vendor sees no password."""
    path = vendors[0].base_url(kind).removeprefix(vendors[0].url)

    assert call(way, f"https://vendor.example{path}", kind=kind) == TEXT
    assert call(way, f"http://plain.example{path}", kind=kind) == TEXT

    assert [passed.method for passed in egress.passed] == ["CONNECT", "POST"]
    assert egress.passed[0].target == "vendor.example:443"
    assert KEY not in repr(egress.passed[0])
    for vendor in vendors:
        (asked,) = vendor.asked
        assert "proxy-authorization" not in asked.headers
        assert asked.headers["host"] in {"vendor.example", "plain.example"}


@each_way
def test_a_proxy_that_is_reached_by_tls(
    vendors: tuple[Vendor, Vendor], monkeypatch: pytest.MonkeyPatch, certificate: tuple[Path, Path], way: str
) -> None:
    """Its certificate is checked like a vendor's; the tunnel has a TLS of its own inside."""
    hosts = {"vendor.example": vendors[0].port, "plain.example": vendors[1].port}
    with Egress(hosts, certificate=certificate) as egress:
        out(monkeypatch, egress.url)
        dial.tls.cache_clear()
        assert "(tls, 1 attempt): TLS: self-signed certificate" in call(way, "https://vendor.example/v1", max_retries=1)
        assert egress.passed == []
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
        dial.tls.cache_clear()
        clients.close()
        assert call(way, "https://vendor.example/v1") == TEXT
        assert call(way, "http://plain.example/v1") == TEXT
        assert [passed.method for passed in egress.passed] == ["CONNECT", "POST"]
    dial.tls.cache_clear()


@each_way
def test_a_line_is_used_again(egress: Egress, way: str) -> None:
    """One tunnel serves several calls."""
    if way == "sync":
        assert [call(way, "https://vendor.example/v1") for _ in range(3)] == [TEXT] * 3
    else:

        async def three() -> list[str]:
            return [(await ai.complete_async("Hello", provider="x")).text for _ in range(3)]

        with override("x", base_url="https://vendor.example/v1", model="m1", api_key=KEY):
            assert run_async(three()) == [TEXT] * 3

    assert len(egress.passed) == 1


@each_way
def test_the_password_is_nowhere(egress: Egress, admin: Actor, caplog: pytest.LogCaptureFixture, way: str) -> None:
    """Not in the log, even at its most talkative, nor on Health: neither as it is, nor as it is sent."""
    caplog.set_level(logging.DEBUG)
    call(way, "https://vendor.example/v1")
    call(way, "http://plain.example/v1")
    clients.close()  # a line of before leads to the vendor
    egress.fault = "password"
    call(way, "http://plain.example/v1")
    page = open_page("health", admin)
    shown = f"{caplog.text} {page.main}"

    assert [passed.method for passed in egress.passed] == ["CONNECT", "POST", "POST"]
    sent = egress.passed[0].headers["proxy-authorization"].removeprefix("Basic ")
    for secret in (PASSWORD, quote(PASSWORD, safe=""), sent):
        assert secret not in shown
    assert len(shown) > 1000


FAULTS = {
    "password": (r"\(connection, 1 attempt\).*wants a user name and a password, or others than its URL has \(407", 1),
    "forbidden": (r"\(connection, 1 attempt\).*does not let this host be reached \(403 Forbidden\)", 1),
    "busy": (r"\(connection, 2 attempts\).*answers 503 Service Unavailable", 2),
    "html": (r"\(connection, 2 attempts\).*answers 502 Bad Gateway", 2),
    "html_200": (r"\(connection, 2 attempts\).*passes no TLS on: .+", 2),
    "silent": (r"\(timeout, 2 attempts\)", 2),
}


@pytest.mark.long
@each_way
@pytest.mark.parametrize("fault", FAULTS)
def test_a_proxy_that_does_not_pass_on(egress: Egress, way: str, fault: str) -> None:
    """Its answer is told as the proxy's, not as the vendor's; what it refuses is not tried again."""
    egress.fault = fault  # type: ignore[assignment]  # one of them
    words, attempts = FAULTS[fault]
    with override(
        "x", base_url="https://vendor.example/v1", api_key=KEY
    ):  # the SDK is there: its import is no part of the time
        ai.prepare("x")
    found = call(
        way, "https://vendor.example/v1", max_retries=1, request_timeout_ms=1000 if fault == "silent" else 5000
    )

    with pytest.raises(AssertionError, match=words):
        raise AssertionError(found)
    assert NAME in found or fault == "silent"
    assert len(egress.passed) == attempts


@each_way
def test_a_plain_request_that_wants_a_password(egress: Egress, way: str) -> None:
    """407 is never a vendor's answer."""
    egress.fault = "password"

    assert f"{NAME} wants a user name and a password" in call(way, "http://plain.example/v1", max_retries=2)
    assert len(egress.passed) == 1


@each_way
def test_a_proxy_that_is_down(monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    """It is named, without its URL; it may come back, so it is tried again."""
    with unused() as port:
        out(monkeypatch, f"http://lovelace:{PASSWORD[:4]}@127.0.0.1:{port}")
        for url in ("https://vendor.example/v1", "http://vendor.example/v1"):
            found = call(way, url, max_retries=1)
            assert f"(connection, 2 attempts): {NAME} cannot be reached" in found
            assert str(port) not in found


@each_way
@pytest.mark.parametrize(
    "host", ["169.254.169.254", "metadata.google.internal", "[fe80::1]", "2852039166", "[::ffff:a9fe:a9fe]"]
)
def test_refused_before_the_proxy_is_asked(egress: Egress, way: str, host: str) -> None:
    """The rules hold for the name that is asked for: what is never dialled is not asked for."""
    assert "(unacceptable, 1 attempt): the host leads to" in call(way, f"http://{host}/v1")
    assert egress.passed == []


@each_way
def test_a_certificate_that_nobody_here_knows(egress: Egress, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    """As of a proxy that reads along: the error names the variables that make it known."""
    monkeypatch.delenv("SSL_CERT_FILE")
    dial.tls.cache_clear()
    found = call(way, "https://vendor.example/v1", max_retries=1)

    assert "(tls, 1 attempt): TLS: self-signed certificate" in found
    assert "name its file in SSL_CERT_FILE, or a folder in SSL_CERT_DIR" in found
    assert len(egress.passed) == 1


@each_way
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_this_machine_is_reached_without_it(
    egress: Egress, vendors: tuple[Vendor, Vendor], way: str, host: str
) -> None:
    """Always: the proxy would ask its own machine."""
    assert call(way, f"http://{host}:{vendors[1].port}/v1") == TEXT
    assert egress.passed == []


DIRECTLY = [
    ("corp.example", "corp.example", True),
    ("corp.example", "llm.corp.example", True),
    ("corp.example", "LLM.Corp.Example.", True),
    (".corp.example", "llm.corp.example", True),
    ("*.corp.example", "llm.corp.example", True),
    ("corp.example", "notcorp.example", False),
    ("corp.example", "corp.example.org", False),
    ("10.0.0.0/8", "10.1.2.3", True),
    ("10.0.0.0/8", "11.1.2.3", False),
    ("10.1.2.3/8", "10.200.0.1", True),
    ("10.1.2.3", "10.1.2.3", True),
    ("fd00::/8", "fd00::1", True),
    ("fd00::1", "fd00::1", True),
    ("fd00::443", "fd00::443", True),
    ("fd00::443", "fd00::", False),
    ("10.0.0.0/8", "corp.example", False),
    ("corp.example", "10.1.2.3", False),
    ("[fd00::1]:443", "fd00::1", True),
    ("[fd00::1]:80", "fd00::1", False),
    ("vllm:443", "vllm", True),
    ("vllm:8000", "vllm", False),
    ("*", "api.openai.com", True),
    ("", "api.openai.com", False),
]


@pytest.mark.parametrize(("entry", "host", "directly"), DIRECTLY)
def test_entries_of_no_proxy(entry: str, host: str, directly: bool) -> None:
    """Names with all below them, addresses, networks, each perhaps with a port; in any case."""
    way = Way(ProxyAddress("http", "proxy.example", 3128, None), (entry,) if entry else ())

    assert way.leads_to(host, 443) == (not directly)


@pytest.mark.parametrize(
    ("host", "proxied"),
    [
        ("localhost", False),
        ("LOCALHOST.", False),
        ("app.localhost", False),
        ("notlocalhost", True),
        ("localhost.example", True),
        ("127.8.9.1", False),
        ("0x7f.1", False),
        ("[::1]", False),
        ("10.1.2.3", True),
        ("fd00::1", True),
        ("vendor.example", True),
        ("1.2.3.4.5", True),
    ],
)
def test_who_is_asked_for_at_the_proxy(host: str, *, proxied: bool) -> None:
    """Everybody but this machine, in whatever form; what is no host at all is the proxy's to refuse."""
    way = Way(ProxyAddress("http", "proxy.example", 3128, None), ())

    assert way.leads_to(host, 443) is proxied
    assert bool(way.refusal(host)) == (host == "1.2.3.4.5")


@pytest.mark.parametrize(
    ("answer", "words", "again"),
    [
        (
            "407 Proxy Authentication Required",
            "wants a user name and a password, or others than its URL has (407 Proxy Authentication Required)",
            False,
        ),
        ("403 Forbidden", "does not let this host be reached (403 Forbidden)", False),
        ("400", "does not let this host be reached (400)", False),
        ("499 Odd", "does not let this host be reached (499 Odd)", False),
        ("503 Service Unavailable", "answers 503 Service Unavailable", True),
        ("502", "answers 502", True),
        (f"500 {'x' * 200}", f"answers 500 {'x' * 80}", True),
    ],
)
def test_what_an_answer_of_the_proxy_means(answer: str, words: str, *, again: bool) -> None:
    """In words about the proxy, and not too many; what it refuses it refuses again."""
    found = proxies.words_of(answer)

    assert found == f"{NAME} {words}"
    assert proxies.passes(proxies.Refused(found)) is again


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("proxy.example:3128", "is no URL of a proxy"),
        (f"socks5://u:{PASSWORD}@proxy.example", "socks5://, which is not supported"),
        ("ftp://proxy.example", "is no URL"),
        (f"http://u:{PASSWORD}@:3128", "something behind its host|malformed"),
        ("http://proxy.example:port", "malformed"),
        ("http://proxy.example:0", "malformed"),
        (f"http://proxy.example/{PASSWORD}", "has no path"),
        ("http://proxy.example/?x=1", "has no path"),
        ("http://u:p\u00e4ss@proxy.example", "must be ASCII"),
    ],
)
def test_a_proxy_that_cannot_be_read(monkeypatch: pytest.MonkeyPatch, url: str, words: str) -> None:
    """A call says so at once, and so does the start of the app; nothing of the URL is repeated."""
    out(monkeypatch, url)
    found = call("sync", "https://vendor.example/v1")
    with pytest.raises(BadConfig, match=words) as told:
        config.check_at_start(config.get_config())

    assert str(told.value) == found
    assert "LLM_HTTP_PROXY" in found
    assert "proxy.example/" not in found
    assert PASSWORD not in found + repr(config.get_config())


@pytest.mark.parametrize(
    "entry",
    [
        *("http://corp.example", "a b", "corp.*", "a;b", "user@corp.example", "10.0.0.0/99", "*:443", "*.:443", ":443"),
        *("corp.example:0", "corp.example:65536", "[]", "[]:443", "*.*", "**"),
    ],
)
def test_an_entry_that_fits_no_host(monkeypatch: pytest.MonkeyPatch, entry: str) -> None:
    """The start of the app refuses it, by its place in the list."""
    out(monkeypatch, "", f"corp.example,{entry}")
    with pytest.raises(BadConfig, match="LLM_NO_PROXY: entry 2 ") as told:
        config.check_at_start(config.get_config())

    assert "a port from 1 to 65535, " in str(told.value)
    assert "listed for all its ports" not in str(told.value)  # the rule of other lists


def test_what_fits_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each entry of the table above that is there."""
    out(monkeypatch, "", ",".join(entry for entry, _, _ in DIRECTLY))

    config.check_at_start(config.get_config())


# The connection test goes the same way


def stages(session: Session, url: str, kind: str = "openai") -> dict[str, connection.Stage]:
    made = {"name": "acme", "display_name": "Acme", "kind": kind, "api_base_url": url, "default_model": "m1"}
    row = providers.create(session, COMMAND_LINE, {**made, "available_models": ["m1"], "api_key": KEY})
    report = connection.run(connection.prepare(session, COMMAND_LINE, row.id))
    assert PASSWORD not in repr(report)
    return {stage.name: stage for stage in report.stages}


@pytest.mark.parametrize("kind", KINDS)
def test_the_connection_test(session: Session, egress: Egress, vendors: tuple[Vendor, Vendor], kind: str) -> None:
    """All is verified but the name, which the proxy looks up."""
    path = vendors[0].base_url(kind).removeprefix(vendors[0].url)
    found = stages(session, f"https://vendor.example{path}", kind)

    assert (found.pop("name").state, found["connected"].words) == ("not_checked", f"through {NAME}")
    assert {stage.state for stage in found.values()} == {"verified"}
    assert set(egress.targets()) == {"vendor.example:443"}


@pytest.mark.parametrize(
    ("fault", "words"), [("password", "407"), ("forbidden", "403"), ("html_200", "passes no TLS on")]
)
def test_the_connection_test_of_a_proxy_that_refuses(session: Session, egress: Egress, fault: str, words: str) -> None:
    """The stage of the connection is refused, in words about the proxy; of the key nothing is claimed."""
    egress.fault = fault  # type: ignore[assignment]  # one of them
    found = stages(session, "https://vendor.example/v1")

    assert (found["connected"].state, found["key"].state, found["call"].state) == (
        "refused",
        "not_checked",
        "not_checked",
    )
    assert NAME in found["connected"].words
    assert words in found["connected"].words


def test_the_connection_test_of_an_unknown_certificate(
    session: Session, egress: Egress, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TLS is refused, with the variables that help."""
    monkeypatch.delenv("SSL_CERT_FILE")
    dial.tls.cache_clear()
    found = stages(session, "https://vendor.example/v1")

    assert (found["connected"].state, found["tls"].state) == ("verified", "refused")
    assert "SSL_CERT_FILE" in found["tls"].words
    assert egress.targets()


def test_the_connection_test_asks_for_no_refused_name(session: Session, egress: Egress) -> None:
    """A name that SQL has put there is refused before the proxy is asked."""
    row = providers.create(
        session,
        COMMAND_LINE,
        {
            "name": "acme",
            "display_name": "A",
            "kind": "openai",
            "api_base_url": "https://vendor.example/v1",
            "available_models": ["m1"],
            "api_key": KEY,
        },
    )
    target = connection.prepare(session, COMMAND_LINE, row.id)
    for url in ("http://169.254.169.254/v1", "http://llm.internal/v1"):
        report = connection.run(target.__class__(**{**_fields(target), "base_url": url}))
        assert next(stage.state for stage in report.stages if stage.name == "address") == "refused"
    assert egress.passed == []
    with pytest.raises(Invalid):
        providers.update(session, COMMAND_LINE, row.id or 0, {"api_base_url": "http://169.254.169.254/v1"})


def _fields(target: connection.Tested) -> dict[str, object]:
    return {name: getattr(target, name) for name in target.__dataclass_fields__}
