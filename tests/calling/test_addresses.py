"""Which hosts a base URL may name: every notation of an address, names, mixed answers, and the key that stays behind.

Nothing here resolves or dials: the resolver is a fake, and the real one fails the test.
"""

import socket
from collections.abc import Callable
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text
from sqlmodel import Session

from core import config
from core.actors import Actor
from core.calling import addresses
from core.calling.addresses import check_address, check_addresses, check_host, classify, read_host
from core.errors import Invalid
from core.kinds import KINDS, facts_of
from core.manage import env_import, provider_keys, providers, seed
from core.store.tables import LlmProvider

CANARY = "sk-canary-0123456789abcdef"
EVERYTHING = ("*", "0.0.0.0/0", "::/0")
OWN = "openai_compatible"
PUBLIC = "93.184.215.14"


@pytest.fixture(autouse=True)
def _no_resolver(monkeypatch: pytest.MonkeyPatch) -> None:
    """The real resolver fails the test."""

    def real(*_: object, **__: object) -> None:
        pytest.fail("something was looked up")

    for name in ("getaddrinfo", "gethostbyname", "gethostbyname_ex", "create_connection"):
        monkeypatch.setattr(socket, name, real)


class Resolver:
    """Answers as getaddrinfo does, one list of addresses a call, and counts."""

    def __init__(self, *rounds: list[str]) -> None:
        self.rounds = list(rounds)
        self.asked: list[str] = []

    def __call__(self, host: str, *_: object, **__: object) -> list[tuple[Any, ...]]:
        self.asked.append(host)
        family = {4: socket.AF_INET, 6: socket.AF_INET6}
        answers = self.rounds.pop(0)
        return [(family[6 if ":" in a else 4], socket.SOCK_STREAM, 6, "", (a, 0)) for a in answers]


def _rule(check: Callable[[], object]) -> str:
    """The rule that refuses, or nothing."""
    try:
        check()
    except Invalid as error:
        fields = error.fields
    else:
        return ""
    assert list(fields) == ["api_base_url"]
    return fields["api_base_url"]


PRIVATE = [
    "127.0.0.1",
    "127.1",
    "127.0.1",
    "127.0.0.1.",
    "127.255.255.254",
    "2130706433",
    "0x7f.1",
    "0X7F.1",
    "0x7f000001",
    "0177.0.0.1",
    "017700000001",
    "%31%32%37.0.0.1",
    "\uff11\uff12\uff17.0.0.1",
    "127\u30020\uff0e0\uff611",
    "::1",
    "[::1]",
    "0:0:0:0:0:0:0:1",
    "::ffff:127.0.0.1",
    "::FFFF:7F00:1",
    "::ffff:0:127.0.0.1",
    "::127.0.0.1",
    "10.0.0.1",
    "10.255.255.255",
    "012.0.0.1",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.0.1",
    "192.168.257",
    "100.64.0.1",
    "100.127.255.255",
    "198.18.0.1",
    "192.0.2.1",
    "203.0.113.9",
    "192.0.0.8",
    "240.0.0.1",
    "fc00::1",
    "fdab:cdef::1",
    "fec0::1",
    "2001:db8::1",
    "3fff::1",
    "100::1",
    "4000::1",
    "2002:7f00:1::",
    "2002:0a00:1::5",
    "2002:808:808::1",
    "64:ff9b::127.0.0.1",
    "64:ff9b::a00:1",
    "64:ff9b:1::192.168.0.1",
    "64:ff9b:1::8.8.8.8",
    "2001:0:5db8:d70e:8000:63bf:80ff:fffe",
    "2606:4700::5efe:10.0.0.1",
    "2606:4700::200:5efe:10.0.0.1",
    "localhost",
    "localhost.",
    "LocalHost",
    "a.localhost",
    "localhost.localdomain",
    "ip6-localhost",
    "ollama",
    "gpu.local",
    "gpu.corp.internal",
    "nas.home.arpa",
    "host.docker.internal",
    "vllm.ml.svc.cluster.local",
]
NEVER = [
    "169.254.169.254",
    "169.254.170.2",
    "169.254.42.42",
    "169.254.169.254.",
    "2852039166",
    "0xa9fea9fe",
    "0251.0376.0251.0376",
    "0xa9.254.0xa9fe",
    "::ffff:169.254.169.254",
    "::ffff:a9fe:a9fe",
    "::169.254.169.254",
    "::ffff:0:a9fe:a9fe",
    "64:ff9b::169.254.169.254",
    "64:ff9b:1::a9fe:a9fe",
    "64:ff9b:1:a9fe:a9:fe00::",
    "64:ff9b:1:a9:fe:a9fe::",
    "64:ff9b:1:0:a9:fea9:fe00:0",
    "64:ff9b:1:c000:0:c000::",
    "64:ff9b:1:a9fe:1:0::",
    "2002:a9fe:a9fe::1",
    "2001:0:a9fe:a9fe::",
    "2001:0:5db8:d70e:0:0:5601:5601",
    "2606:4700::5efe:169.254.169.254",
    "fe80::1",
    "fe80::1%eth0",
    "fe80::1%25eth0",
    "febf::1",
    "fd00:ec2::254",
    "FD00:0EC2:0::0254",
    "fd00:ec2::23",
    "fd20:ce::254",
    "fd00:42::42",
    "fd00:a9fe:a9fe::1",
    "100.100.100.200",
    "0x64.0x64.0x64.0xc8",
    "::ffff:100.100.100.200",
    "168.63.129.16",
    "2002:a83f:8110::",
    "192.0.0.192",
    "0.0.0.0",
    "0",
    "0x0",
    "0.1.2.3",
    "::",
    "::2",
    "::ffff:0.0.0.0",
    "224.0.0.1",
    "239.255.255.250",
    "ff02::1",
    "255.255.255.255",
    "metadata",
    "metadata.google.internal",
    "METADATA.google.internal.",
    "metadata.c.project.internal",
    "metadata.goog",
    "instance-data",
    "instance-data.ec2.internal",
    "metadata.tencentyun.com",
    "api.metadata.cloud.ibm.com",
]
OPEN = [
    "api.openai.com",
    "API.OpenAI.com.",
    "host.example:443".partition(":")[0],
    "notlocalhost.example",
    "localhost.example",
    "metadata.example",
    "internal.example",
    "10.0.0.1.example",
    "1.1.1.1",
    "8.8.8.8",
    "172.15.255.255",
    "172.32.0.1",
    "100.63.255.255",
    "100.128.0.1",
    "169.253.255.255",
    "198.20.0.1",
    "223.255.255.255",
    "134744072",
    "2606:4700::1111",
    "::ffff:8.8.8.8",
    "64:ff9b::8.8.8.8",
]
NO_HOST = [
    "",
    ".",
    "a..b",
    "256.0.0.1",
    "1.2.3.4.5",
    "1.2.3.4.0",
    "1.256.0.1",
    "127.0.0.256",
    "127.65536.1",
    "4294967296",
    "08.0.0.1",
    "1.2.3.0x",
    "foo.1",
    "0x7g.1",
    "9" * 5000,
    "[::1",
    ":",
    "::1::",
    "12345::",
    "::ffff:999.0.0.1",
    "ho st",
    "h%00st",
    "user@host",
    "host#@evil",
    "host\\@evil",
    "host/path",
    "h\u00f6st.example",
    "10.0.0.1,8.8.8.8",
]


@pytest.mark.parametrize("host", PRIVATE)
def test_private_is_for_self_hosted_kinds(host: str) -> None:
    """CHECKS 46: a private address, in whatever notation, is refused for a vendor's kind, with the cure, and not else."""
    for kind in KINDS:
        for check in (check_host, lambda *a: check_addresses(*a, Resolver(["10.1.2.3"]))):
            rule = _rule(lambda c=check, k=kind: c(host, k, ()))  # type: ignore[misc]  # bound at once
            if facts_of(kind).self_hosted:
                assert not rule
            else:
                assert "OpenAI-compatible" in rule
                assert "LLM_PRIVATE_HOSTS" in rule
                assert host not in rule


@pytest.mark.parametrize("host", NEVER)
def test_metadata_is_for_nobody(host: str) -> None:
    """CHECKS 46, 47: metadata, link-local and no-host addresses are refused for every kind, whatever is allowed."""
    for kind in KINDS:
        rule = _rule(lambda k=kind: check_host(host, k, (*EVERYTHING, host, "metadata")))  # type: ignore[misc]
        assert "Nothing allows this" in rule
        fake = Resolver()
        assert _rule(lambda k=kind, f=fake: check_addresses(host, k, EVERYTHING, f)) == rule  # type: ignore[misc]
        assert not fake.asked


@pytest.mark.parametrize("host", OPEN)
def test_public_is_for_all(host: str) -> None:
    """CHECKS 46: what only looks like something inside is let through."""
    for kind in KINDS:
        check_host(host, kind, ())


@pytest.mark.parametrize("host", NO_HOST, ids=lambda host: repr(host)[:30])
def test_what_is_no_host_is_refused(host: str) -> None:
    """CHECKS 46: what is neither a name nor an address is refused: nobody knows how the next program reads it."""
    for kind in KINDS:
        rule = _rule(lambda k=kind: check_host(host, k, EVERYTHING))  # type: ignore[misc]
        assert rule.startswith("must name a host")


@pytest.mark.parametrize(
    ("hosts", "reach"), [(PRIVATE, "private"), (NEVER, "never"), (OPEN, "public"), (NO_HOST, "never")]
)
def test_what_a_name_leads_to(hosts: list[str], reach: str) -> None:
    """Who cannot refuse by raising (a proxy's way out) is told the same; no host leads anywhere."""
    assert {host: addresses.by_name(host).reach for host in hosts} == dict.fromkeys(hosts, reach)


@pytest.mark.parametrize(
    ("listed", "host", "allowed"),
    [
        ("*", "10.0.0.5", True),
        ("*", "anything.internal", True),
        ("10.0.0.0/8", "10.0.0.5", True),
        ("10.0.0.0/8", "10.5", True),
        ("10.0.0.0/8", "::ffff:10.0.0.5", True),
        ("10.0.0.7/8", "10.0.0.5", True),
        ("10.0.0.0/8", "192.168.0.1", False),
        ("10.0.0.5", "10.0.0.5", True),
        ("10.0.0.5", "10.0.0.6", False),
        ("127.1", "127.0.0.1", True),
        ("fd00::/8", "fd12::1", True),
        ("fd00::/8", "10.0.0.5", False),
        ("[fd12::1]", "fd12::1", True),
        ("GPU.Corp", "gpu.corp.", True),
        ("gpu.corp", "gpu.corp", True),
        ("gpu.corp", "other.corp", False),
        ("gpu.corp", "a.gpu.corp", False),
        ("corp", "gpu.corp", False),
        ("localhost", "localhost", True),
        ("localhost", "127.0.0.1", False),
        ("10.0.0.0/99", "10.0.0.5", False),
        ("10.0.0.*", "10.0.0.5", False),
        ("", "10.0.0.5", False),
    ],
)
def test_operator_allows(listed: str, host: str, allowed: bool) -> None:
    """LLM_PRIVATE_HOSTS has names, addresses, networks or a star; a typing error in it allows nothing."""
    assert (not _rule(lambda: check_host(host, "openai", (listed,)))) is allowed


@pytest.mark.parametrize("kind", KINDS)
def test_answers_are_pinned(kind: str) -> None:
    """CHECKS 48: a name is resolved once, and what was checked is what is handed out to be dialled."""
    fake = Resolver([PUBLIC, "2606:4700::1111", PUBLIC], ["127.0.0.1"])

    assert check_addresses("rebind.example", kind, (), fake) == (PUBLIC, "2606:4700::1111")
    assert fake.asked == ["rebind.example"]


@pytest.mark.parametrize("answers", [["10.0.0.5"], [PUBLIC, "10.0.0.5"], ["::ffff:10.0.0.5", PUBLIC], ["::1"]])
def test_name_that_leads_inside(answers: list[str]) -> None:
    """CHECKS 46, 48: one private answer among public ones refuses the name, unless kind or operator allow it."""
    fake = Resolver(answers)
    assert "private address" in _rule(lambda: check_addresses("a.example", "openai", (), fake))
    assert fake.asked == ["a.example"]

    assert check_addresses("a.example", OWN, (), Resolver(answers)) == tuple(str(ip_address(a)) for a in answers)
    for allowed in ("a.example", "*"):
        assert check_addresses("A.example.", "openai", (allowed,), Resolver(answers))
    assert _rule(lambda: check_addresses("a.example", "openai", ("b.example",), Resolver(answers)))


def test_network_that_is_allowed_covers_its_own_answers_only() -> None:
    """CHECKS 48: with a network allowed, each answer has to be public or in it."""
    net = ("10.0.0.0/8",)
    assert check_addresses("a.example", "openai", net, Resolver(["10.0.0.5", PUBLIC])) == ("10.0.0.5", PUBLIC)
    assert _rule(lambda: check_addresses("a.example", "openai", net, Resolver(["10.0.0.5", "192.168.0.1"])))


@pytest.mark.parametrize(
    "bad", ["169.254.169.254", "fe80::1%2", "fd00:ec2::254", "::ffff:a9fe:a9fe", "0.0.0.0", "junk"]
)
def test_name_that_leads_to_metadata(bad: str) -> None:
    """CHECKS 46, 47, 48: one metadata answer refuses the name for every kind, with everything private allowed."""
    for answers in ([bad], [PUBLIC, bad], [bad, "10.0.0.1"]):
        for kind in KINDS:
            fake = Resolver(answers)
            with pytest.raises(Invalid, match="Nothing allows this"):
                check_addresses("a.example", kind, (*EVERYTHING, "a.example"), fake)
            assert fake.asked == ["a.example"]


def test_address_needs_no_lookup() -> None:
    """CHECKS 48: an address is dialled as it was read, and never given to a resolver that may read it otherwise."""
    fake = Resolver()
    for host, dialled in {"127.1": "127.0.0.1", "0x8.8.8.8": "8.8.8.8", "[::1]": "::1"}.items():
        assert check_addresses(host, OWN, (), fake) == (dialled,)
    assert not fake.asked


def test_name_that_is_not_found() -> None:
    """A name without an answer is refused in words, not by the resolver's error."""

    def fails(*_: object, **__: object) -> list[tuple[Any, ...]]:
        raise socket.gaierror(socket.EAI_NONAME, "secret resolver words")

    def too_long(*_: object, **__: object) -> list[tuple[Any, ...]]:
        raise UnicodeError("label too long")

    for resolver in (fails, too_long, Resolver([])):
        rule = _rule(lambda r=resolver: check_addresses("gone.example", "openai", (), r))  # type: ignore[misc]
        assert rule.startswith("names a host that is not found")
    fake = Resolver([PUBLIC])
    check_addresses("Rooted.example.", "openai", (), fake)
    assert fake.asked == ["rooted.example."]


def test_peer_of_a_socket_can_be_checked() -> None:
    """CHECKS 48: the address really dialled is judged by the same rule, as ``getpeername`` gives it."""
    check_address(PUBLIC, "a.example", "openai", ())
    check_address("::1", "a.example", OWN, ())
    check_address("10.0.0.5", "a.example", "openai", ("a.example",))
    for peer in ("10.0.0.5", "::ffff:10.0.0.5"):
        assert _rule(lambda p=peer: check_address(p, "a.example", "openai", ()))  # type: ignore[misc]
    assert _rule(lambda: check_address("169.254.169.254", "a.example", OWN, EVERYTHING))


def _number(draw: st.DrawFn, value: int) -> str:
    return draw(
        st.sampled_from([f"{value}", f"0x{value:x}", f"0X{value:X}", f"0{value:o}", f"0x00{value:x}", f"000{value:o}"])
    )


@st.composite
def notations(draw: st.DrawFn) -> tuple[IPv4Address, str]:
    """An IPv4 address, and one of the ways in which inet_aton reads it."""
    number = draw(st.integers(0, 2**32 - 1))
    heads = draw(st.integers(0, 3))
    parts = [(number >> 8 * (3 - i)) & 255 for i in range(heads)] + [number & (256 ** (4 - heads) - 1)]
    return IPv4Address(number), ".".join(_number(draw, part) for part in parts)


@given(notations())
def test_every_notation_is_its_address(case: tuple[IPv4Address, str]) -> None:
    """CHECKS 46: any IPv4 address in any notation is read as the C library reads it, and judged as the dotted one."""
    address, written = case
    assert socket.inet_aton(written) == address.packed
    assert read_host(written) == address
    assert classify(read_host(written + ".")) == classify(str(address))


@given(st.text("0123456789abcdefxX.", max_size=20))
def test_what_the_c_library_reads_we_read(written: str) -> None:
    """CHECKS 46: whatever the C library takes for an address is that address here, or refused; it is never a name."""
    try:
        expected = IPv4Address(socket.inet_aton(written))
    except OSError:
        return
    with suppress(ValueError):
        assert read_host(written) == expected


INSIDE = st.one_of(
    *(
        st.integers(int(IPv4Address(first)), int(IPv4Address(last))).map(IPv4Address)
        for first, last in (
            ("10.0.0.0", "10.255.255.255"),
            ("127.0.0.0", "127.255.255.255"),
            ("172.16.0.0", "172.31.255.255"),
            ("192.168.0.0", "192.168.255.255"),
            ("100.64.0.0", "100.127.255.255"),
            ("169.254.0.0", "169.254.255.255"),
        )
    )
)
WRAPPERS: dict[str, Callable[[int, int], int]] = {
    "mapped": lambda four, _: 0xFFFF << 32 | four,
    "compatible": lambda four, _: four,
    "translated": lambda four, _: 0xFFFF << 48 | four,
    "nat64": lambda four, _: 0x64FF9B << 96 | four,
    "nat64 of one's own": lambda four, _: 0x64FF9B0001 << 80 | four,
    "nat64 of one's own, /48": lambda four, _: 0x64FF9B0001 << 80 | (four >> 16) << 64 | (four & 0xFFFF) << 40,
    "6to4": lambda four, rest: 0x2002 << 112 | four << 80 | rest & (2**80 - 1),
    "teredo server": lambda four, rest: 0x20010000 << 96 | four << 64 | rest & (2**64 - 1),
    "teredo client": lambda four, rest: 0x20010000 << 96 | (rest & (2**64 - 1)) << 32 | four ^ 0xFFFFFFFF,
    "isatap": lambda four, rest: 0x2606 << 112 | (rest & (2**48 - 1)) << 64 | 0x5EFE << 32 | four,
}


@pytest.mark.parametrize("wrapper", WRAPPERS)
@given(four=INSIDE, rest=st.integers(0, 2**80 - 1))
def test_wrapping_hides_nothing(wrapper: str, four: IPv4Address, rest: int) -> None:
    """CHECKS 46: an IPv6 address with an inside IPv4 address in it is refused, and metadata in it for everybody."""
    outer = IPv6Address(WRAPPERS[wrapper](int(four), rest))
    order = ("public", "private", "never")
    assert order.index(classify(outer).reach) >= order.index(classify(four).reach) >= 1
    for written in (str(outer), outer.exploded, f"[{outer}]", f"{outer}%eth0"):
        assert _rule(lambda w=written: check_host(w, "openai", ()))  # type: ignore[misc]


@given(st.ip_addresses())
def test_agrees_with_the_standard_library(address: IPv4Address | IPv6Address) -> None:
    """What Python holds for not global is not public here."""
    if not address.is_global or address.is_multicast:
        mapped = getattr(address, "ipv4_mapped", None)
        assert classify(address).reach != "public" or (mapped and mapped.is_global)


@pytest.mark.long
@given(st.text(max_size=60))
def test_any_text_is_judged(host: str) -> None:
    """Any text is a host or Invalid, with no other error."""
    _rule(lambda: check_host(host, "openai", (host,)))


# ---- in core: what is saved ----


def _data(**more: Any) -> dict[str, Any]:
    return {"name": "p", "display_name": "P", "kind": "openai", "available_models": ["m"], "default_model": "m", **more}


def _allow(monkeypatch: pytest.MonkeyPatch, hosts: str) -> None:
    monkeypatch.setenv("LLM_PRIVATE_HOSTS", hosts)
    config.get_config.cache_clear()


def _old(session: Session, admin: Actor, url: str, **more: Any) -> LlmProvider:
    """A provider from before the rule."""
    made = providers.create(session, admin, _data(**more))
    session.execute(text("UPDATE llm_providers SET api_base_url = :url WHERE id = :id"), {"url": url, "id": made.id})
    session.refresh(made)
    return made


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost:8000",
        "http://127.1/v1",
        "https://2130706433",
        "http://[::1]:1",
        "http://ollama:11434",
        "http://LOCALHOST./",
    ],
)
def test_private_base_url_is_saved_for_self_hosted_kinds(
    session: Session, admin: Actor, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CHECKS 46: creating and changing refuse a private base URL beside its field; nothing is looked up."""
    made = providers.create(session, admin, _data())
    for refused in (
        lambda: providers.create(session, admin, _data(name="q", api_base_url=url)),
        lambda: providers.update(session, admin, made.id or 0, {"api_base_url": url}),
        lambda: providers.update(session, admin, made.id or 0, {"api_base_url": url, "api_key": CANARY}),
    ):
        assert "OpenAI-compatible" in _rule(refused)
    session.refresh(made)
    assert made.api_base_url is None

    own = providers.create(session, admin, _data(name="own", kind=OWN, api_base_url=url))
    assert own.api_base_url == url
    assert "OpenAI-compatible" in _rule(lambda: providers.update(session, admin, own.id or 0, {"kind": "openai"}))
    _allow(monkeypatch, "*")
    assert providers.update(session, admin, own.id or 0, {"kind": "openai"}).kind == "openai"


@pytest.mark.parametrize(
    "url",
    ["http://169.254.169.254/v1", "http://[fd00:ec2::254]", "http://metadata.google.internal", "http://0xa9fea9fe"],
)
def test_metadata_base_url_is_never_saved(
    session: Session, admin: Actor, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CHECKS 47: with everything private allowed, no kind can be stored with a metadata address."""
    _allow(monkeypatch, "*,169.254.0.0/16,metadata.google.internal,fd00::/8")
    for kind in KINDS:
        made = _data(kind=kind, api_base_url=url)
        assert "Nothing allows" in _rule(lambda m=made: providers.create(session, admin, m))  # type: ignore[misc]


@pytest.mark.parametrize("url", ["http://169.254.169.254/v1", "http://10.0.0.5", "http://localhost:1"])
def test_old_row_can_be_edited_but_not_kept_on_purpose(session: Session, admin: Actor, url: str) -> None:
    """A row from before the rule can be renamed, deactivated and mended; its URL or kind cannot change to a refused one."""
    old = _old(session, admin, url)
    number = old.id or 0
    providers.update(session, admin, number, {"display_name": "New", "is_active": False})
    providers.update(session, admin, number, {"api_base_url": url})
    for patch in ({"kind": "anthropic"}, {"api_base_url": url + "/v2"}):
        assert _rule(lambda p=patch: providers.update(session, admin, number, p))  # type: ignore[misc]
    assert providers.update(session, admin, number, {"api_base_url": None}).api_base_url is None


def test_seed_and_import_name_no_host(session: Session, admin: Actor) -> None:
    """Seeding sets no base URL; importing one that leads into a cloud is refused, and the key goes nowhere else."""
    seed.seed(session, admin)
    bases = {"OPENAI_BASE_URL": "http://169.254.169.254", "ANTHROPIC_BASE_URL": "http://10.0.0.1"}
    env_import.import_env(session, admin, {**bases, "OPENAI_API_KEY": CANARY})
    refused = env_import.import_env(session, admin, {**bases, "OPENAI_API_KEY": CANARY, "OPENAI_MODEL": "m"})
    assert "Nothing allows this" in refused[0].why
    assert {provider.api_key_encrypted for provider in providers.list_all(session)} == {None}
    assert {provider.api_base_url for provider in providers.list_all(session)} == {None}


# ---- in core: the key stays behind ----

VENDOR = "https://api.openai.com/v1"
EVIL = "https://evil.example/v1"


def _stays(session: Session, admin: Actor, number: int, *patches: dict[str, Any]) -> None:
    """The last patch is refused for want of the key; the others pass; the key opens as before."""
    *before, last = patches
    for patch in before:
        providers.update(session, admin, number, patch)
    for no_key in ({}, {"api_key": ""}, {"api_key": None}, {"api_key": " \n"}):
        with pytest.raises(Invalid, match="type the API key again"):
            providers.update(session, admin, number, {**last, **no_key})
    session.expire_all()
    assert providers.open_api_key(session, number) == CANARY


@pytest.mark.parametrize(
    "patches",
    [
        [{"api_base_url": EVIL}],
        [{"is_active": False}, {"api_base_url": EVIL}],
        [{"is_active": False, "api_base_url": EVIL}],
        [{"api_base_url": VENDOR}, {"api_base_url": EVIL}],
        [{"api_base_url": VENDOR}, {"api_base_url": None}, {"kind": "anthropic"}],
        [
            {"kind": OWN, "api_base_url": VENDOR},
            {"kind": "google", "api_base_url": VENDOR[:-3]},
            {"api_base_url": None},
        ],
        [{"kind": OWN, "api_base_url": VENDOR}, {"kind": "openai", "api_base_url": ""}, {"kind": "anthropic"}],
        [{"api_base_url": "https://API.OPENAI.COM./v1"}, {"api_base_url": "https://api.openai.com.evil.example"}],
        [{"api_base_url": "https://api.openai.com:443"}, {"api_base_url": "https://api.openai.com:444"}],
        [{"api_base_url": "https://api.openai.com"}, {"api_base_url": "http://api.openai.com:443"}],
        [{"api_base_url": VENDOR}, {"display_name": "Same"}, {"name": "other"}, {"api_base_url": EVIL}],
        [{}, {"api_base_url": None}, {"kind": "openai"}, {"api_base_url": EVIL, "kind": OWN}],
        [{"api_base_url": "https://xn--openai-.example"}],
        [{"api_base_url": "https://api_openai.com"}],
    ],
)
def test_key_never_follows(session: Session, admin: Actor, patches: list[dict[str, Any]]) -> None:
    """CHECKS 41: no order of updates takes a stored key to another origin."""
    made = providers.create(session, admin, _data(api_key=CANARY))
    _stays(session, admin, made.id or 0, *patches)


def test_unbound_key_does_not_follow(session: Session, admin: Actor) -> None:
    """CHECKS 41: a key that waits to be adopted stays too: adopting binds it to the host it was written for."""
    made = providers.create(session, admin, _data(api_key=CANARY))
    number = made.id or 0
    session.execute(text("UPDATE llm_providers SET api_key_key_id = NULL, api_key_binding = NULL"))
    session.expire_all()
    for patch in ({"api_base_url": EVIL}, {"kind": "anthropic"}, {"is_active": False, "api_base_url": EVIL}):
        with pytest.raises(Invalid, match="type the API key again"):
            providers.update(session, admin, number, patch)
    providers.adopt_api_key(session, admin, number)
    _stays(session, admin, number, {"api_base_url": EVIL})


@pytest.mark.parametrize("url", ["https://evil.example\\@api.openai.com/v1", "https://evil@api.openai.com/v1"])
def test_url_that_programs_read_differently_opens_nothing(session: Session, admin: Actor, url: str) -> None:
    """CHECKS 46: written by SQL, a URL that some read as another host is no origin: the key is not served."""
    made = _old(session, admin, url, api_key=CANARY)
    assert provider_keys.key_state(made).state == "moved"
    with pytest.raises(Invalid, match="type the API key again"):
        providers.update(session, admin, made.id or 0, {"api_base_url": EVIL})
    with pytest.raises(Invalid, match="no URL that a key can be bound to"):
        providers.set_api_key(session, admin, made.id or 0, CANARY)


def test_nothing_of_the_address_is_told() -> None:
    """A rule names no address that a resolver answered: it would be a map of the network."""
    rule = _rule(lambda: check_addresses("a.example", "openai", (), Resolver(["10.77.88.99"])))
    assert "10.77" not in rule
    assert addresses.classify("10.77.88.99").reason == "a private network"
