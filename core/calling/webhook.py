"""Sending one webhook: signed as Standard Webhooks has it, dialled by the rules of :mod:`core.calling.dial`, within one deadline.

The specification is https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md, version 1.0.0.
"""

import base64
import email.utils
import hmac
import re
import secrets
import socket
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from ..errors import BadConfig, Invalid
from ..extras import from_extra
from ..kinds import origin_of
from ..redaction import remember, shortened
from ..version import VERSION
from . import addresses
from .lookup import addresses_of

SECONDS: Final = 10.0
"""For all of it: the look-up of the host, connecting, each byte. A receiver that needs longer takes the message and works later."""
LOOK_UP: Final = 5.0
"""Seconds of them for the look-up of the host."""
SECRET: Final = "whsec_"  # noqa: S105 - how every such secret begins
SECRET_BYTES: Final = 32
"""The specification has 24 to 64."""
_LARGEST: Final = 65_536
"""Bytes of an answer's body that may be announced. Not one is read."""
_SHOWN: Final = 300
LONGEST_WAIT: Final = 3600.0
"""Seconds of ``Retry-After`` that are obeyed; who asks for more is tried then."""
BUSY: Final = frozenset({429, 503})
"""HTTP: too many requests, and unavailable for now; their ``Retry-After`` counts."""
GONE: Final = 410
"""HTTP: what was there will not come back, and whoever asks shall stop."""
_DIGITS: Final = re.compile("[0-9]{1,20}")
_OK: Final = range(200, 300)
_REDIRECTS: Final = range(300, 400)


class Sent(NamedTuple):
    """What became of a try."""

    ok: bool
    status: int | None
    """Of HTTP, of e-mail that of SMTP; None: there was no answer."""
    error: str
    """Why it failed, for people, without the URL or a secret; empty where it did not."""
    wait: float = 0.0
    """Seconds that the receiver asks to be left alone, 0 to :data:`LONGEST_WAIT`."""
    final: bool = False
    """Whether another try would be refused as well."""
    gone: str = ""
    """Why the receiver will take nothing any more, for people; empty if it may."""
    some: bool = False
    """Of e-mail: whether somebody took it, though not all."""
    left: tuple[str, ...] = ()
    """Of e-mail that somebody took: whom another try is for."""


class Posted(NamedTuple):
    """What came back from a POST."""

    status: int
    wait: float
    """Seconds by its ``Retry-After``; see :func:`wait_of`."""
    begins: bytes
    """The first bytes of its body, as many as were asked for."""


def new_secret() -> str:
    """Return a new secret, as it is shown: ``whsec_`` and base64."""
    made = SECRET + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()
    remember(made)
    return made


def new_id() -> str:
    """Return a new ``webhook-id``; it has no full stop, which parts what is signed."""
    return "msg_" + secrets.token_hex(16)


def sign(secret: str, webhook_id: str, timestamp: int, body: bytes) -> str:
    """Return one signature, ``v1,…``, of what is sent.

    Args:
        secret: As it is shown.
        webhook_id: The header of that name.
        timestamp: The header ``webhook-timestamp``: seconds since 1970.
        body: As it is sent, byte by byte.
    """
    key = base64.b64decode(secret.removeprefix(SECRET))
    signed = f"{webhook_id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.digest(key, signed, "sha256")).decode()


def shown(url: str) -> str:
    """Return what logs, the audit and errors have of a webhook's URL: its path and its query may have a token in them."""
    return f"{origin_of('', url) or 'a URL that cannot be read'}/…"


def check(url: str, private_hosts: Sequence[str]) -> None:
    """Refuse a URL that may not be saved; its form is right. Looks nothing up.

    Raises:
        Invalid: For ``url``, with the rule and the cure.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    try:
        addresses.check_host(host, "", private_hosts)
    except Invalid as error:
        raise _of_url(error) from None
    if parts.scheme == "http" and addresses.by_name(host).reach == "public":
        raise Invalid({"url": "must begin with https://: http is for hosts of a private network alone"})


def send(
    url: str,
    keys: Sequence[str],
    webhook_id: str,
    timestamp: int,
    body: bytes,
    *,
    private_hosts: Sequence[str],
) -> Sent:
    """Send one message, once; nothing is raised for what a receiver or the network does.

    Args:
        url: Of the receiver.
        keys: The secrets that it is signed with, one or two.
        webhook_id: The same at each try.
        timestamp: Of this try.
        body: JSON.
        private_hosts: What the operator allows, see ``Config.private_hosts``.

    Raises:
        MissingExtra: If the libraries for calls are not installed.
    """
    headers = {
        "webhook-id": webhook_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(sign(key, webhook_id, timestamp, body) for key in keys),
    }
    answer = post(url, body, headers, private_hosts=private_hosts)
    if isinstance(answer, Sent):
        return answer
    sent = of_status(answer.status)
    if answer.status == GONE:
        return sent._replace(gone=f"{sent.error}: it is gone for good")
    return sent._replace(wait=answer.wait) if answer.status in BUSY else sent


def post(
    url: str, body: bytes, headers: Mapping[str, str], *, private_hosts: Sequence[str], read: int = 0
) -> Posted | Sent:
    """Post JSON once, within :data:`SECONDS`; nothing is raised for what a receiver or the network does.

    Args:
        url: Where. No error repeats its path or query.
        body: JSON.
        headers: Beside those of all such messages.
        private_hosts: What the operator allows, see ``Config.private_hosts``.
        read: So many bytes of the answer's body are read at most; 0: none.

    Returns:
        The answer; where there was none, what that means.

    Raises:
        MissingExtra: If the libraries for calls are not installed.
    """
    with from_extra():
        import httpx2  # noqa: PLC0415 - of an extra

        from . import dial  # noqa: PLC0415 - as above

    headers = {"content-type": "application/json", "user-agent": f"llm-settings/{VERSION}", **headers}
    try:
        pinned = _pinned(url, private_hosts)
        with (
            dial.client(pinned=pinned, largest=_LARGEST) as http,
            http.stream("POST", url, content=body, headers=headers, timeout=SECONDS) as answer,
        ):
            begins = _beginning(answer.iter_raw(read), read) if read else b""
            return Posted(answer.status_code, wait_of(answer.headers.get("retry-after", "")), begins)
    except dial.Unacceptable as error:  # what stands in an answer is not read: its status counts
        if error.status is not None:
            return Posted(error.status, 0.0, b"")
        return Sent(ok=False, status=None, error=_words(error, url))
    except Invalid as error:
        return Sent(ok=False, status=None, error=_words(f"The URL {next(iter(error.fields.values()))}", url))
    except (httpx2.HTTPError, httpx2.InvalidURL, BadConfig, OSError) as error:
        words = str(error) or f"No answer ({type(error).__name__})"
        return Sent(ok=False, status=None, error=_words(words, url))


def _beginning(parts: Iterable[bytes], most: int) -> bytes:
    found = b""
    for part in parts:
        found += part
        if len(found) >= most:
            break
    return found[:most]


def wait_of(text: str) -> float:
    """Return the seconds that a ``Retry-After`` asks for, by RFC 9110 §10.2.3 digits or a date; 0 for what is past or is neither."""
    text = text.strip()
    if _DIGITS.fullmatch(text):
        return min(float(text), LONGEST_WAIT)
    try:
        at = email.utils.parsedate_to_datetime(text)
    except (TypeError, ValueError, OverflowError):
        return 0.0
    wait = (at if at.tzinfo else at.replace(tzinfo=UTC)) - datetime.now(UTC)
    return max(0.0, min(wait.total_seconds(), LONGEST_WAIT))


def of_status(status: int) -> Sent:
    """Return what an HTTP status means by itself."""
    if status in _OK:
        return Sent(ok=True, status=status, error="")
    if status in _REDIRECTS:
        return Sent(ok=False, status=status, error="It leads elsewhere, which is not followed: name the last address")
    return Sent(ok=False, status=status, error=f"The receiver answered {status}")


def _pinned(url: str, private_hosts: Sequence[str]) -> Any:
    """Return which addresses are dialled; None: those that a proxy finds. Raises Invalid, for ``url``."""
    from .proxies import way_out  # noqa: PLC0415 - of an extra

    check(url, private_hosts)
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or {"https": 443, "http": 80}[parts.scheme]
    way = way_out()
    if way is not None and way.leads_to(host, port):
        return None
    try:
        found = addresses.check_addresses(host, "", private_hosts, _look_up)
    except Invalid as error:
        raise _of_url(error) from None
    if parts.scheme == "http" and any(addresses.classify(address).reach == "public" for address in found):
        raise Invalid({"url": "leads out of the private network, where http is not used: name it with https://"})
    return lambda _host: found


def _look_up(host: str, *_: Any, **__: Any) -> list[tuple[Any, ...]]:
    """Look up as :func:`socket.getaddrinfo` does, for so long at most: a name server that hangs holds up nobody."""
    answers = addresses_of(host, 0).result(LOOK_UP)
    return [(None, socket.SOCK_STREAM, 0, "", (address, 0)) for address in answers]


def _of_url(error: Invalid) -> Invalid:
    return Invalid({"url": error.fields.get("api_base_url", str(error))})


def _words(error: object, url: str) -> str:
    """Return what is said of an error: one line, without the URL, whose path and query may have a token in them."""
    parts = urlsplit(url)
    text = " ".join(str(error).split())
    for part in (url, parts.path, parts.query):
        if len(part) > 1:
            text = text.replace(part, "…")
    return shortened(text, _SHOWN)
