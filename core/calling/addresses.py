"""Which hosts a base URL may name: nothing of a cloud's inside, and nothing private unless that is allowed.

A write calls :func:`check_host`, which looks nothing up. Who dials calls :func:`check_addresses`, dials what that
returned and nothing else, and may hand the peer's address to :func:`check_address` once more. Standard library only.
"""

import re
import socket
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any, Final, Literal, NamedTuple
from urllib.parse import unquote

from ..errors import Invalid
from ..kinds import KINDS, facts_of

Address = IPv4Address | IPv6Address
Reach = Literal["public", "private", "never"]
NameLookup = Callable[..., Iterable[tuple[Any, ...]]]


class HostNotFound(Invalid):
    """A host that has no address."""

    def __init__(self, fields: Mapping[str, str] | None = None) -> None:
        words = "names a host that is not found: check its spelling, and this machine's DNS"
        super().__init__(fields or {"api_base_url": words})


class AddressVerdict(NamedTuple):
    """What an address or a name leads to."""

    reach: Reach
    """``private`` may be allowed; ``never`` may not."""
    reason: str
    """In words, after "points to"."""


_HERE, _RESERVED, _SAMPLE = "this machine", "a reserved network", "a network for documentation"
_METADATA = "the metadata service of a cloud, which hands out credentials"
# The first row that fits decides, hence "never" stands first. The ranges are those of the IANA IPv4 and IPv6
# Special-Purpose Address Registries (RFC 6890, RFC 8190) and of the RFCs named.
_RANGES: Final[tuple[tuple[Reach, str, str], ...]] = (
    ("never", "a link-local address", "169.254.0.0/16 fe80::/10"),  # RFC 3927, RFC 4291 §2.5.6: most clouds' metadata
    # https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-dynamic-data-retrieval.html; EKS Pod Identity
    ("never", _METADATA, "fd00:ec2::254 fd00:ec2::23"),
    ("never", _METADATA, "fd20:ce::254"),  # https://docs.cloud.google.com/compute/docs/metadata/querying-metadata
    ("never", _METADATA, "100.100.100.200"),  # https://alibabacloud.com/help/en/ecs/user-guide/view-instance-metadata
    # https://learn.microsoft.com/azure/virtual-network/what-is-ip-address-168-63-129-16
    ("never", _METADATA, "168.63.129.16"),
    # https://docs.oracle.com/en/cloud/cloud-at-customer/occ-get-started/retrieve-predefined-instance-metadata.html
    ("never", _METADATA, "192.0.0.192"),
    ("never", _METADATA, "fd00:42::42"),  # Scaleway: scaleway-sdk-go, api/instance/v1/instance_metadata_sdk.go
    ("never", _METADATA, "fd00:a9fe:a9fe::1"),  # https://techdocs.akamai.com/cloud-computing/docs/metadata-service-api
    ("never", "no host: write 127.0.0.1 or [::1]", "0.0.0.0/8 ::/128"),  # RFC 1122 §3.2.1.3, RFC 4291 §2.5.2
    ("never", "a multicast or broadcast address", "224.0.0.0/4 ff00::/8 255.255.255.255"),  # RFC 5771, RFC 4291 §2.7
    ("private", _HERE, "127.0.0.0/8 ::1/128"),  # RFC 1122 §3.2.1.3, RFC 4291 §2.5.3
    ("private", "a private network", "10.0.0.0/8 172.16.0.0/12 192.168.0.0/16 fc00::/7"),  # RFC 1918, RFC 4193
    ("private", "a provider's shared network", "100.64.0.0/10"),  # RFC 6598
    ("private", "a network for benchmarks", "198.18.0.0/15 2001:2::/48"),  # RFC 2544, RFC 5180
    ("private", _SAMPLE, "192.0.2.0/24 198.51.100.0/24 203.0.113.0/24"),  # RFC 5737
    ("private", _SAMPLE, "2001:db8::/32 3fff::/20"),  # RFC 3849, RFC 9637
    ("private", _RESERVED, "192.0.0.0/24 192.88.99.0/24 240.0.0.0/4"),  # RFC 6890, RFC 7526, RFC 1112 §4
    ("private", _RESERVED, "2001::/23 2002::/16"),  # RFC 2928, with Teredo in it; RFC 7526 (6to4: no vendor is there)
    # IPv4-mapped and NAT64 say nothing by themselves: the address within decides. With DNS64 all vendors are reached so.
    # 2000::/3 is the only global unicast that IANA has given out.
    ("public", "a public address", "0.0.0.0/0 2000::/3 ::ffff:0:0/96 64:ff9b::/96"),
    ("private", _RESERVED, "::/0"),
)
_VERDICTS: Final = tuple(
    (ip_network(n), AddressVerdict(reach, why)) for reach, why, row in _RANGES for n in row.split()
)

# Where an IPv6 address has an IPv4 address in it: prefix -> the places of its four bytes.
_LAST = (12, 13, 14, 15)
_WRAPPERS: Final = (
    (IPv6Network("::ffff:0:0/96"), (_LAST,)),  # IPv4-mapped, RFC 4291 §2.5.5.2
    (IPv6Network("::ffff:0:0:0/96"), (_LAST,)),  # IPv4-translated, RFC 2765 §2.1
    (IPv6Network("::/96"), (_LAST,)),  # IPv4-compatible, RFC 4291 §2.5.5.1
    (IPv6Network("64:ff9b::/96"), (_LAST,)),  # NAT64, RFC 6052 §2.1
    # NAT64 of one's own, RFC 8215: the prefix may have any length of RFC 6052 §2.2
    (IPv6Network("64:ff9b:1::/48"), (_LAST, (6, 7, 9, 10), (7, 9, 10, 11), (9, 10, 11, 12))),
    (IPv6Network("2002::/16"), ((2, 3, 4, 5),)),  # 6to4, RFC 3056 §2
    (IPv6Network("2001::/32"), ((4, 5, 6, 7),)),  # the server of Teredo, RFC 4380 §4
)
_ISATAP: Final = (b"\x00\x00\x5e\xfe", b"\x02\x00\x5e\xfe")  # RFC 5214 §6.1, under any prefix

# Google: https://docs.cloud.google.com/compute/docs/metadata/overview. AWS: instance-data, in its own DNS. IBM:
# https://cloud.ibm.com/apidocs/vpc-metadata. Tencent: https://www.tencentcloud.com/document/product/213/4934
_METADATA_NAMES: Final = re.compile(
    r"(metadata|instance-data)(\..+\.internal|\.internal|\.goog)?|metadata\.google|metadata\.tencentyun\.com"
    r"|api\.metadata\.cloud\.ibm\.com|metadata\.(platformequinix\.com|packet\.net)"
)
# RFC 6761 §6.3 (localhost), RFC 6762 (local, and the rest in appendix G), RFC 8375, ICANN resolution 2024.07.29.06
_PRIVATE_NAMES: Final = re.compile(r".+\.(localdomain|local|internal|home\.arpa|intranet|private|corp|home|lan)")
_NUMBER: Final = re.compile("0x[0-9a-f]*|[0-9]+")
_NAME: Final = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*")


def classify(address: Address | str) -> AddressVerdict:
    """Return what *address* leads to; as text it is what a socket gives, perhaps with a zone (``fe80::1%eth0``).

    An IPv6 address that wraps an IPv4 address is what the worse of the two is.
    """
    try:
        ip = _ip(address)
    except ValueError:
        return AddressVerdict("never", "something that is no address")
    verdicts = [next(verdict for network, verdict in _VERDICTS if one in network) for one in (ip, *_inside(ip))]
    return max(verdicts, key=lambda verdict: ("public", "private", "never").index(verdict.reach))


def by_name(host: str) -> AddressVerdict:
    """Return what *host*, a name or an address, leads to as far as that can be seen without a look-up."""
    try:
        read = read_host(host)
    except ValueError:
        return AddressVerdict("never", "something that is no host")
    return _known(read) if isinstance(read, str) else classify(read)


def read_host(host: str) -> Address | str:
    """Return the host of a URL as a C resolver reads it: an address in any notation, or a name in lower case.

    The notations of IPv4 are those of ``inet_aton`` (POSIX ``inet_addr``): 1 to 4 numbers, decimal, octal or hex, the
    last of which fills the rest. As in WHATWG URL §3.5, what ends in a number must be an address.

    Raises:
        ValueError: If it is neither.
    """
    text = unicodedata.normalize("NFKC", unquote(unicodedata.normalize("NFKC", host)))
    text = text.replace("\u3002", ".").strip().lower()
    text = text[1:-1] if text[:1] + text[-1:] == "[]" else text.removesuffix(".")
    if ":" in text:
        return _ip(text)
    parts = text.split(".")
    if _NUMBER.fullmatch(parts[-1]):
        return _inet_aton(parts)
    if not _NAME.fullmatch(text):
        raise ValueError("neither a name nor an address")
    return text


def check_host(host: str, kind: str, private_hosts: Sequence[str]) -> None:
    """Refuse the host of a base URL that may not be saved. Looks nothing up: a name is judged as a name.

    Args:
        host: As ``urlsplit(url).hostname`` gives it.
        kind: The provider's kind; empty: it is the host of something else, as of a webhook.
        private_hosts: What the operator allows: names, addresses, networks, or ``*``; see ``Config.private_hosts``.

    Raises:
        Invalid: With the rule and the cure, for ``api_base_url``.
    """
    read = _read(host)
    if isinstance(read, str):
        _judge(_known(read), kind, listed=_listed(private_hosts, read, None))
    else:
        check_address(read, host, kind, private_hosts)


def check_address(address: Address | str, host: str, kind: str, private_hosts: Sequence[str]) -> None:
    """Refuse an address that *host* resolved to, or that a socket is connected to; raises Invalid."""
    verdict = classify(address)
    _judge(verdict, kind, listed=verdict.reach == "private" and _listed(private_hosts, _read(host), _ip(address)))


def check_addresses(
    host: str, kind: str, private_hosts: Sequence[str], resolver: NameLookup = socket.getaddrinfo
) -> tuple[str, ...]:
    """Resolve *host* once and return the addresses to dial; the caller dials these and resolves nothing again.

    One refused answer refuses all: a name that leads in and out is an attempt to get in.

    Raises:
        HostNotFound: If there is no answer; an Invalid.
        Invalid: If the host, or any answer, is refused.
    """
    check_host(host, kind, private_hosts)
    read = _read(host)
    if not isinstance(read, str):
        return (str(read),)
    try:
        name = f"{read}." if host.endswith(".") else read  # with the dot it is no part of a search list
        answers = [str(answer[4][0]) for answer in resolver(name, None, type=socket.SOCK_STREAM)]
    except (OSError, UnicodeError):
        answers = []
    if not answers:
        raise HostNotFound
    for answer in answers:
        check_address(answer, host, kind, private_hosts)
    return tuple(dict.fromkeys(str(_ip(answer)) for answer in answers))


def _judge(verdict: AddressVerdict, kind: str, *, listed: bool) -> None:
    if verdict.reach == "never":
        other = "name the host of the model" if kind else "name another host"
        raise Invalid({"api_base_url": f"points to {verdict.reason}. Nothing allows this: {other}"})
    if verdict.reach == "private" and not facts_of(kind).self_hosted and not listed:
        kinds = " or ".join(known.label for known in KINDS.values() if known.self_hosted)
        cure = f"allowed for the kind {kinds}, or " if kind else "allowed "
        cure += "when the operator lists it in LLM_PRIVATE_HOSTS"
        raise Invalid({"api_base_url": f"points to a private address ({verdict.reason}); {cure}"})


def _known(name: str) -> AddressVerdict:
    if _METADATA_NAMES.fullmatch(name):
        return AddressVerdict("never", _METADATA)
    if name == "localhost" or name.endswith(".localhost"):
        return AddressVerdict("private", _HERE)
    if "." not in name or _PRIVATE_NAMES.fullmatch(name):  # no top-level domain has an address: ICANN SAC053
        return AddressVerdict("private", "a name of the local network")
    return AddressVerdict("public", "a name")


def _listed(private_hosts: Sequence[str], host: Address | str, address: Address | None) -> bool:
    return any(entry.strip() == "*" or _fits(entry.strip(), host, address) for entry in private_hosts)


def _fits(entry: str, host: Address | str, address: Address | None) -> bool:
    with suppress(ValueError):
        network = ip_network(entry, strict=False)
        return address is not None and (getattr(address, "ipv4_mapped", None) or address) in network
    with suppress(ValueError):
        return read_host(entry) in {host, address}
    return False  # a typing error allows nothing


def _read(host: str) -> Address | str:
    try:
        return read_host(host)
    except ValueError:
        raise Invalid({"api_base_url": "must name a host, as https://host.example/v1"}) from None


def _ip(address: Address | str) -> Address:
    return ip_address(str(address).partition("%")[0])


def _inet_aton(parts: list[str]) -> IPv4Address:
    if len(parts) > 4 or not all(map(_NUMBER.fullmatch, parts)):  # noqa: PLR2004 - an IPv4 address has four bytes
        raise ValueError("no IPv4 address")
    *heads, tail = [int(p, 16) if p[:2] == "0x" else int(p, 8 if p[0] == "0" else 10) for p in parts]
    if any(head > 255 for head in heads) or tail >> 8 * (4 - len(heads)):  # noqa: PLR2004 - a byte
        raise ValueError("no IPv4 address")
    return IPv4Address(sum(head << 8 * (3 - i) for i, head in enumerate(heads)) + tail)


def _inside(ip: Address) -> list[IPv4Address]:
    if isinstance(ip, IPv4Address) or int(ip) <= 1:  # :: and ::1 are no IPv4-compatible addresses
        return []
    raw = ip.packed
    found = [
        bytes(raw[i] for i in one)
        for network, places in _WRAPPERS
        if ip in network
        for one in places
        if one == places[0] or raw[one[0]]  # of other lengths of prefix: zeros there are no address
    ]
    if raw[:4] == b"\x20\x01\x00\x00":  # the client of Teredo, with all bits turned over: RFC 4380 §4
        found.append(bytes(byte ^ 255 for byte in raw[12:]))
    if raw[8:12] in _ISATAP:
        found.append(raw[12:])
    return [IPv4Address(four) for four in found]
