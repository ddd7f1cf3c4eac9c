"""Addresses of e-mail, and what the environment says of the server that sends it. Standard library only."""

import re
from typing import Final, NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

from .errors import BadConfig
from .redaction import Secret, remember

PORTS: Final = {"starttls": 587, "tls": 465, "none": 25}
"""How a connection is encrypted -> the port where none is named: RFC 8314 §3.3 and 3.2, and plain relay."""
_SAMPLE: Final = "smtp://user:password@mail.example:587 (STARTTLS), or smtps:// (TLS from the first byte, port 465)"
_CODES: Final = "@ is %40, / is %2F, : is %3A, ? is %3F, # is %23, % is %25"
_BLANK: Final = re.compile(r"[\s\x00-\x1f\x7f]")
# RFC 5321 §4.1.2 Dot-string, with the letters of RFC 6531; quoted local parts are not taken.
_LOCAL: Final = re.compile(
    r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\u00a1-\U0010ffff-]+(\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~\u00a1-\U0010ffff-]+)*"
)
_DOMAIN: Final = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*", re.IGNORECASE)
_LONGEST_LOCAL: Final = 64
_LONGEST: Final = 254
"""Octets of an address: RFC 5321 §4.5.3.1, with erratum 1690 of RFC 3696."""


class SmtpServer(NamedTuple):
    """The server that takes e-mail from here, as its URL names it."""

    security: str
    """A key of :data:`PORTS`."""
    host: str
    port: int
    user: str
    password: Secret | None
    """None: nobody signs in."""


class Sender(NamedTuple):
    """Who e-mail comes from."""

    name: str
    address: str


def address_fault(value: str) -> str:
    """Return what is wrong with an address, as words behind its name; empty if nothing is."""
    if "<" in value or "," in value or ";" in value:
        return "must be an address alone, as ops@example.com, without a name"
    local, at, domain = value.rpartition("@")
    if not at or not _LOCAL.fullmatch(local) or not value.isprintable():
        return "is no address, as ops@example.com"
    if len(local.encode()) > _LONGEST_LOCAL or len(value.encode()) > _LONGEST:
        return f"must have at most {_LONGEST_LOCAL} bytes before its @, and {_LONGEST} in all"
    return "" if ascii_domain(domain) else "has a domain that is none, as example.com is one"


def ascii_domain(domain: str) -> str:
    """Return a domain as the wire has it, IDNA for one of other letters; empty if it is none."""
    try:
        found = domain.encode("idna").decode()
    except UnicodeError:
        return ""
    return found.lower() if _DOMAIN.fullmatch(found) and len(found) <= _LONGEST else ""


def wire_address(value: str) -> str:
    """Return an address that is one, with its domain in ASCII."""
    local, _, domain = value.rpartition("@")
    return f"{local}@{ascii_domain(domain)}"


def smtp_url(raw: str | None) -> Secret | None:
    """Return ``LLM_SMTP_URL`` as it is, its password known to the log's filter; unset or empty is None."""
    url = (raw or "").strip()
    if not url:
        return None
    user, at, _ = url.partition("://")[2].rpartition("@")
    if at:
        password = user.partition(":")[2] or user
        for text in (password, unquote(password)):
            remember(text, for_good=True)
    return Secret(url)


def smtp_server(url: Secret) -> SmtpServer:
    """Read ``LLM_SMTP_URL``.

    Raises:
        BadConfig: With the rule and the cure. It repeats nothing of it.
    """
    text = url.reveal()
    scheme, _, rest = text.partition("://")
    if scheme not in {"smtp", "smtps"} or not rest:
        raise BadConfig(f"LLM_SMTP_URL is no URL of a mail server. It takes {_SAMPLE}.")
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
        options = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
    except ValueError:
        host, port, options = None, None, []
    if not host or port == 0 or _BLANK.search(text) or not host.isascii():
        raise BadConfig(f"LLM_SMTP_URL cannot be read: its host or port is malformed. In a password write {_CODES}.")
    if (
        parts.path not in {"", "/"}
        or parts.fragment
        or options not in ([], [("tls", "none")])
        or (options and scheme == "smtps")
    ):
        raise BadConfig(
            f"LLM_SMTP_URL has something behind its host that is not known. It takes {_SAMPLE}; smtp://host:25?tls=none sends in the "
            f"clear. In a password write {_CODES}."
        )
    security = "none" if options else {"smtp": "starttls", "smtps": "tls"}[scheme]
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    if "\x00" in user + password or bool(user) != bool(password):
        raise BadConfig("LLM_SMTP_URL must have a user name and a password, or neither.")
    if password and security == "none":
        raise BadConfig("LLM_SMTP_URL: with tls=none the password would go in the clear. Leave out one of the two.")
    return SmtpServer(security, host, port or PORTS[security], user, Secret(password) if password else None)


def sender(raw: str, user: str) -> Sender:
    """Read ``LLM_SMTP_FROM``: an address, or ``Name <address>``; empty: *user* of the server, if that is an address.

    Raises:
        BadConfig: If it is none, or there is none. It repeats nothing of it.
    """
    from email.utils import parseaddr  # noqa: PLC0415 - keeps the import of the resolver lean

    text = raw.strip() or user
    name, address = parseaddr(text)
    bare = f"<{address}>" if name else address
    if (
        not address
        or not text.endswith(bare)
        or address_fault(address)
        or not address.isascii()
        or _BLANK.sub(" ", name) != name
    ):
        what = "is no address" if raw.strip() else "is not set, and the user name of LLM_SMTP_URL is no address"
        raise BadConfig(f"LLM_SMTP_FROM {what}. It takes llm@example.com, or LLM Settings <llm@example.com>, in ASCII.")
    return Sender(name or "LLM Settings", address)
