"""What may stand in a variable of the environment. No error repeats what was typed: it may be a secret in the wrong place.

Standard library only: the resolver imports it through :mod:`core.config`.
"""

import ipaddress
import re
from base64 import b64decode
from typing import Final, NamedTuple
from urllib.parse import unquote, urlsplit

from .errors import BadConfig
from .patterns import later
from .redaction import Secret, remember

MOST_DAYS: Final = 36_500
"""A hundred years: the longest time for which something is kept, where a time is given."""
DATABASE_SCHEMES: Final = ("postgresql", "postgres", "postgresql+psycopg")
_OTHER_SCHEMES: Final = (
    *("mysql", "mariadb", "sqlite", "mssql", "oracle", "mongodb", "redis", "http", "https", "file", "jdbc"),
    *("postgresql+asyncpg", "postgresql+psycopg2", "postgresql+pg8000", "mysql+pymysql", "cockroachdb", "prisma"),
)
"""Named in an error where one of them was written; any other word before :// might be a part of a password."""
_CODES: Final = "@ is %40, / is %2F, : is %3A, ? is %3F, # is %23, % is %25"
_NAME: Final = later(r"[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*")
_NUMBERS: Final = later(r"[0-9.]+|.*:.*")
_BAD_PERCENT: Final = later("%(?![0-9A-Fa-f]{2})|%00")
# As libpq reads it (fe-connect.c, conninfo_uri_parse_options): a user and a password end at the first @ before any /.
_URL: Final = later(r"(?P<user>[^@/]*@)?(?P<hosts>[^/?]*)(?P<path>[^?]*)(?:\?(?P<query>.*))?", re.DOTALL)
_HOST: Final = later(r"(\[[^]]*\]|[^:]*)(:(?P<port>.*))?", re.DOTALL)
_SOCKS: Final = later("socks[45]?[ah]?", re.IGNORECASE)
_BLANK: Final = later(r"[\s\x00-\x1f\x7f]")


def secret(text: str) -> Secret:
    """Return *text* as a secret, which the log does not show from now on."""
    remember(text.strip(), for_good=True)
    return Secret(text)


def no_comment(name: str, value: str | None) -> str | None:
    """Return *value* as it is; an unset one is None.

    Raises:
        BadConfig: If it is a comment of a ``.env`` file: there ``NAME=  # words`` gives the variable the words.
    """
    if value is not None and re.match(r"#(\s|$)", value):
        raise BadConfig(
            f"{name} begins with # and a blank: whoever read the file took a comment for the value. "
            "Put the comment on a line of its own."
        )
    return value


def database_url(raw: str | None) -> Secret | None:
    """Read ``DATABASE_URL`` as libpq does; None if it is not set.

    Repeated ``host=`` of SQLAlchemy become libpq's one list. What else may be wrong the driver finds out, in
    :func:`core.postgres.dsn.arguments`.

    Raises:
        BadConfig: If it is empty, names no PostgreSQL database, or is malformed.
    """
    if raw is None:
        return None
    url = raw.strip()
    _require_url(url)
    match = _URL.fullmatch(url.partition("://")[2])
    if match is None:
        raise BadConfig("DATABASE_URL cannot be read.")  # pragma: no cover - the expression fits any text
    user, hosts, path, query = match["user"] or "", match["hosts"], match["path"], match["query"] or ""
    queries = [(name, value) for name, _, value in (pair.partition("=") for pair in query.split("&") if pair)]
    password = user.removesuffix("@").partition(":")[2]
    for written in (password, *(value for name, value in queries if "password" in name.lower())):
        remember(written, for_good=True)
        remember(unquote(written), for_good=True)
    if "@" in hosts + path:
        raise BadConfig(f"DATABASE_URL has an @ too many: in a user name and a password write {_CODES}.")
    if _BAD_PERCENT.search(url):
        raise BadConfig(f"DATABASE_URL has a % without two hex digits behind it. In a password write {_CODES}.")
    for place, host in enumerate(hosts.split(","), start=1):
        _check_port(host, place)
    return Secret(f"postgresql://{user}{hosts}{path}{_one_host(queries, query)}")


def write_database_url(raw: str | None) -> Secret | None:
    """Read ``LLM_WRITE_DATABASE_URL`` as :func:`database_url` does; None if it is empty, or not set.

    Raises:
        BadConfig: As there, with this name.
    """
    try:
        return database_url(raw) if raw and raw.strip() else None
    except BadConfig as error:
        raise BadConfig(str(error).replace("DATABASE_URL", "LLM_WRITE_DATABASE_URL")) from None


def _require_url(url: str) -> None:
    if not url:
        raise BadConfig(
            "DATABASE_URL is set, and empty. Name the PostgreSQL database, as postgresql://user:password@host:5432/name; "
            "unset it for the embedded store."
        )
    if url[0] in "\"'":
        raise BadConfig("DATABASE_URL begins with a quote: whoever set it kept the quotes. Take them away.")
    scheme, colon, _ = url.partition("://")
    if not colon or scheme not in DATABASE_SCHEMES:
        known = f" begins with {scheme}://;" if colon and scheme in _OTHER_SCHEMES else " names none:"
        raise BadConfig(
            f"DATABASE_URL{known} PostgreSQL is the only database: postgresql://user:password@host:5432/name"
        )
    if _BLANK.search(url):
        raise BadConfig("DATABASE_URL has a blank or a line break inside; in a password write a blank as %20.")


def _check_port(host: str, place: int) -> None:
    match = _HOST.fullmatch(host)
    port = match["port"] if match else "none"
    if port and not (port.isascii() and port.isdecimal() and 0 < int(port[:9]) < 2**16):
        raise BadConfig(
            f"DATABASE_URL: the port of host {place} is no number from 1 to 65535. If that is a part of the password, "
            f"write in it {_CODES}. An IPv6 address stands in brackets: [::1]:5432."
        )


def _one_host(queries: list[tuple[str, str]], query: str) -> str:
    hosts = [value for name, value in queries if name == "host"]
    if len(hosts) < 2:  # noqa: PLR2004 - one host is libpq's own way
        return f"?{query}" if query else ""
    pairs = [host.rpartition(":")[::2] if re.search(r":\d+$", host) else (host, "") for host in hosts]
    rest = [f"{name}={value}" for name, value in queries if name not in {"host", "port"}]
    ports = ",".join(port or "5432" for _, port in pairs)
    return "?" + "&".join([f"host={','.join(host for host, _ in pairs)}", f"port={ports}", *rest])


def storage_url(raw: str | None) -> Secret:
    """Read ``LLM_RATE_LIMIT_STORAGE_URL``; unset or empty is ``memory://``. Its scheme is checked where it is used.

    Raises:
        BadConfig: If it is malformed.
    """
    url = (raw or "").strip() or "memory://"
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - reading it is what checks it
        written = parts.password or ""
    except ValueError:  # which names a part of the URL: nothing is raised from it
        parts = None
    if parts is None:
        raise BadConfig("LLM_RATE_LIMIT_STORAGE_URL cannot be read: its port or host is malformed.")
    for text in (written, *re.findall(r"[?&]password=([^&#]*)", url)):
        remember(text, for_good=True)
        remember(unquote(text), for_good=True)
    return Secret(url)


class ProxyAddress(NamedTuple):
    """A proxy, as its URL names it."""

    scheme: str
    host: str
    port: int
    user: Secret | None
    """As it is written into a header: name, colon, password."""


def proxy_url(raw: str | None) -> Secret | None:
    """Return ``LLM_HTTP_PROXY`` as it is, its password known to the log's filter; unset or empty is None."""
    url = (raw or "").strip()
    if not url:
        return None
    _, _, rest = url.partition("://")
    user, at, _ = rest.rpartition("@")
    if at:
        password = user.partition(":")[2] or user
        for text in (password, unquote(password)):
            remember(text, for_good=True)
    return Secret(url)


def proxy_address(url: Secret) -> ProxyAddress:
    """Read the URL of a proxy.

    Raises:
        BadConfig: If it is none of http or https, or malformed. The error repeats nothing of it.
    """
    text, sample = url.reveal(), "http://user:password@proxy.example:3128"
    scheme, _, rest = text.partition("://")
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if scheme.lower() not in {"http", "https"} or not rest:
        known = f" begins with {found[0]}://, which is not supported" if (found := _SOCKS.fullmatch(scheme)) else ""
        raise BadConfig(f"LLM_HTTP_PROXY{known or ' is no URL of a proxy'}. It takes http:// or https://, as {sample}.")
    if not host or port == 0 or _BLANK.search(text) or not host.isascii():
        raise BadConfig(f"LLM_HTTP_PROXY cannot be read: its host or port is malformed. In a password write {_CODES}.")
    if parts.path not in {"", "/"} or parts.query or parts.fragment:
        raise BadConfig(f"LLM_HTTP_PROXY has something behind its host: a proxy has no path. It takes {sample}.")
    user = None
    if parts.username is not None or parts.password is not None:
        named = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}"
        if not named.isascii():
            raise BadConfig("LLM_HTTP_PROXY: user name and password must be ASCII.")
        user = Secret(named)
    return ProxyAddress(scheme.lower(), host, port or {"http": 80, "https": 443}[scheme.lower()], user)


def public_url(raw: str) -> str:
    """Return where people reach the app, without a slash behind; empty if that is not said.

    Raises:
        BadConfig: If ``LLM_PUBLIC_URL`` is no http or https URL, or has a user, a query or a fragment. It repeats nothing of it.
    """
    if not raw:
        return ""
    try:
        parts = urlsplit(raw)
        host, port = parts.hostname, parts.port
    except ValueError:
        parts, host, port = urlsplit(""), None, None
    if parts.scheme not in {"http", "https"} or not host or port == 0 or _UNFIT.search(raw) or not raw.isascii():
        raise BadConfig(
            "LLM_PUBLIC_URL is no URL that people open. It takes https:// or http://, as https://llm.corp.example."
        )
    if "@" in parts.netloc or "?" in raw or "#" in raw:
        raise BadConfig(
            "LLM_PUBLIC_URL must have no user name, no password and nothing behind a ? or #: every message shows it."
        )
    return raw.rstrip("/")


_UNFIT: Final = later(r"[\s\x00-\x1f\x7f<>|\"\\\\^`{}]")
"""What stands in no URL, or would end a link of Slack."""


def address_of_file(raw: str | None) -> Secret | None:
    """Return the URL of a file as it is, what stands behind its ``?`` known to the log's filter; unset or empty is None."""
    url = (raw or "").strip()
    if query := url.partition("?")[2]:
        remember(query, for_good=True)
    return Secret(url) if url else None


def check_file_address(name: str, url: Secret) -> None:
    """Refuse what is no URL of a file that can be got without a password.

    Raises:
        BadConfig: Repeats nothing of it.
    """
    text = url.reveal()
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError:
        parts, host = urlsplit(""), None
    if parts.scheme not in {"http", "https"} or not host or _BLANK.search(text) or not text.isascii() or parts.fragment:
        raise BadConfig(
            f"{name} is no URL of a file. It takes https:// or http://, as https://host.example/catalogue.json."
        )
    if "@" in parts.netloc:
        raise BadConfig(f"{name} has a user name or a password: nobody is signed in there. Leave them out.")


def digest(name: str, raw: str) -> bytes | None:
    """Return a SHA-256 that was written in hex; None if there is none. Raises BadConfig."""
    text = raw.strip()
    if not text:
        return None
    if not re.fullmatch("[0-9A-Fa-f]{64}", text):
        raise BadConfig(f"{name} must be 64 hex digits, as `sha256sum` prints them.")
    return bytes.fromhex(text)


def public_key(name: str, raw: str) -> bytes | None:
    """Return the 32 bytes of an Ed25519 public key (RFC 8032) in base64; None if there is none. Raises BadConfig."""
    text = raw.strip()
    if not text:
        return None
    try:
        key = b64decode(text, validate=True)
    except ValueError:
        key = b""
    if len(key) != _KEY_BYTES:
        raise BadConfig(f"{name} must be an Ed25519 public key: its 32 bytes in base64, 44 characters.")
    return key


_KEY_BYTES: Final = 32


def check_no_proxy(found: tuple[str, ...]) -> None:
    """Refuse an entry of ``LLM_NO_PROXY`` that would fit no host.

    Raises:
        BadConfig: Names the entry by its place, and the rule.
    """
    for place, text in enumerate(found, start=1):
        bare, port = _without_port(text)
        bare = bare if _is_network(bare) else bare.removeprefix("*").removeprefix(".")
        if text == "*" or (port and bare and (_is_network(bare) or _is_host(bare))):
            continue
        fault = _fault(bare or text) if port else "has a port that is none"
        raise BadConfig(
            f"LLM_NO_PROXY: entry {place} {fault}. It takes host names (with all names below them), addresses and "
            "networks, each perhaps with a port from 1 to 65535, with commas between, as corp.example,10.0.0.0/8,vllm:8000; "
            "* alone is all."
        )


def _without_port(text: str) -> tuple[str, bool]:
    """Return an entry without its port, and whether that is one; without any, it is."""
    found = re.fullmatch(r"([^:]+|\[[^]]*\]):(\d{1,5})", text, re.ASCII)
    return (text, True) if found is None else (found[1], 0 < int(found[2]) <= _LAST_PORT)


_LAST_PORT: Final = 65535


def entries(raw: str | None) -> tuple[str, ...]:
    """Return the parts of a comma list, in lower case, without blanks around and a dot behind; empty ones are left out."""
    return tuple(part.strip().lower().rstrip(".") for part in (raw or "").split(",") if part.strip())


def networks(name: str, raw: str | None) -> tuple[str, ...]:
    """Return the entries of a comma list of addresses and networks; raises BadConfig."""
    found = entries(raw)
    for place, text in enumerate(found, start=1):
        if not _is_network(text):
            takes = "addresses and networks, with commas between, as 10.0.0.5,192.168.0.0/24"
            raise BadConfig(f"{name}: entry {place} {_fault(text)}. It takes {takes}.")
    return found


def days(name: str, raw: str) -> int | None:
    """Return a number of days, for which something is kept; None if none is given. Raises BadConfig."""
    text = raw.strip()
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(MOST_DAYS)) and 1 <= int(text) <= MOST_DAYS):
        raise BadConfig(f"{name} must be a whole number of days from 1 to {MOST_DAYS}; unset, nothing is deleted.")
    return int(text)


def number(name: str, raw: str, most: int) -> int:
    """Return a whole number from 1 to *most*. Raises BadConfig."""
    text = raw.strip()
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(most)) and 1 <= int(text) <= most):
        raise BadConfig(f"{name} must be a whole number from 1 to {most}.")
    return int(text)


def check_hosts(name: str, found: tuple[str, ...], *, as_networks: bool, everything: bool) -> None:
    """Refuse an entry that would fit no host.

    Args:
        name: The variable.
        found: Its entries.
        as_networks: Networks fit too.
        everything: ``*`` is every host.

    Raises:
        BadConfig: Names the entry by its place, and the rule.
    """
    for place, text in enumerate(found, start=1):
        if (everything and text == "*") or (as_networks and _is_network(text)) or _is_host(text):
            continue
        takes = "host names, addresses and networks" if as_networks else "host names and addresses"
        sample = "llm.corp.example,10.0.0.0/8" if as_networks else "llm.corp.example"
        all_of_them = "; * alone is all" if everything else ""
        raise BadConfig(
            f"{name}: entry {place} {_fault(text)}. It takes {takes}, with commas between, as {sample}{all_of_them}."
        )


def _is_network(text: str) -> bool:
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        return False
    return True


def _is_host(text: str) -> bool:
    inner = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    if _NUMBERS.fullmatch(inner):
        return "/" not in inner and _is_network(inner)
    return inner == text and _NAME.fullmatch(text) is not None


def _fault(text: str) -> str:
    """Return what is wrong with an entry, without a word of it."""
    return next((fault for pattern, fault in _FAULTS if re.search(pattern, text)), "is neither a name nor an address")


_FAULTS: Final = (
    ("://", "is a URL: leave out what stands before the host, and behind it"),
    (r"\*", "has a wildcard: name each host"),
    (";", "has a semicolon: write commas"),
    ("@", "has an @: a host has no user name"),
    (r"\s", "has a blank inside"),
    ("^[\"']", "has quotes around it"),
    (r"^\.", "begins with a dot: name each host"),
    (r"^([^:/]+|\[[^]]*\]):\d*$", "has a port: a host is listed for all its ports"),
    ("/", "has a / and is no network"),
    (r"[^\x00-\x7f]", "is not in ASCII: write the name as DNS has it, xn--…"),
)
