"""Sending one e-mail, within one deadline, by the server of ``LLM_SMTP_URL``: RFC 5321, STARTTLS (RFC 3207) or TLS (RFC 8314).

Its certificate is checked as any vendor's. Its address is the operator's choice: only what is never dialled, as a cloud's metadata
service, is refused. ``LLM_HTTP_PROXY`` is not asked: proxies pass no e-mail on.
"""

import base64
import smtplib
import socket
import ssl
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP, SMTPUTF8
from typing import Any, Final, NamedTuple

from ..errors import BadConfig
from ..extras import from_extra
from ..mail_address import Sender, SmtpServer, address_fault, ascii_domain, wire_address
from ..redaction import on_one_line
from . import addresses
from .lookup import addresses_of
from .webhook import LOOK_UP, Sent

SECONDS: Final = 20.0
"""For all of it: the look-up of the host, connecting, each line. Servers that greet late, or look into what they take, are given time."""
OF_SEVERAL: Final = 3.0
"""Seconds at most for an address of a host that has more."""
GOODBYE: Final = 1.0
"""Seconds that a server has to say goodbye: what it took, it has taken."""
_LONGEST_LINE: Final = 8_192
_LONGEST_ANSWER: Final = 65_536
_SHOWN: Final = 200
_NAMED: Final = 3
"""Recipients that an error names."""
_DONE: Final = range(200, 300)
_LATER: Final = range(400, 500)
_NEVER: Final = range(500, 600)
_GO_ON: Final = 334
_SUBJECT: Final = 200


class Mail(NamedTuple):
    """What is sent."""

    id: str
    """The same at each try: by it programs of e-mail know a repetition. Letters, digits and _."""
    subject: str
    text: str
    at: int
    """Seconds since 1970."""


class _Refused(Exception):
    """The server does not go on, or is none."""

    def __init__(self, words: str, status: int | None = None) -> None:
        super().__init__(words)
        self.status = status


def send(server: SmtpServer, sender: Sender, mail: Mail, to: Sequence[str], *, all_of: Sequence[str] = ()) -> Sent:
    """Send one e-mail, once; nothing is raised for what the server or the network does.

    What it refuses for now (4xx) another try may change. What it says of the sender, a recipient or the message with 5xx is for good;
    said of the sign-in, it is the configuration's fault, and another try may be after that was mended.

    Args:
        server: Who takes it.
        sender: Whom it comes from.
        mail: What.
        to: Addresses that it has yet to reach.
        all_of: Addresses that it shows as its recipients; empty: *to*.

    Raises:
        MissingExtra: If the libraries for calls are not installed.
    """
    until = time.monotonic() + SECONDS
    known = [address for address in to if not address_fault(address)]  # raw SQL may have written another one
    if not known:
        return Sent(ok=False, status=None, error="None of its recipients is an address", final=True)
    line: _Line | None = None
    try:
        line = _connect(server, until)
        _greet(line, server, ascii_domain(sender.address.rpartition("@")[2]))
        return _hand_over(line, sender, mail, known, all_of or known)
    except (_Refused, smtplib.SMTPException, BadConfig, OSError, ValueError) as error:
        return _failed(error, server, line)
    finally:
        if line is not None:
            line.leave()


def _failed(error: Exception, server: SmtpServer, line: "_Line | None") -> Sent:
    """Return what an error means: the configuration's or the network's fault, which may be over with another try."""
    if isinstance(error, smtplib.SMTPResponseException):
        return Sent(ok=False, status=_status(error.smtp_code), error=_answered(error.smtp_code, error.smtp_error))
    status = error.status if isinstance(error, _Refused) else None
    if isinstance(error, _Refused):
        words = str(error)
    elif isinstance(error, TimeoutError):
        words = f"The mail server did not answer in time. {_hint(server, line)}"
    elif isinstance(error, ssl.SSLCertVerificationError):
        words = f"The mail server's certificate is not trusted: {error.verify_message}"
    elif isinstance(error, ssl.SSLError) and server.security == "tls":
        words = "The mail server speaks no TLS on this port. smtps:// is for TLS from the first byte, as on port 465; for 587 write smtp://"
    else:
        words = f"The mail server hung up, or cannot be reached: {str(error) or type(error).__name__}"
    return Sent(ok=False, status=status, error=_words(words))


class _Line(smtplib.SMTP):
    """smtplib's client, whose waits end at one moment, all together: its own begin anew with each byte."""

    def __init__(self, host: str, name: str, until: float) -> None:
        super().__init__(local_hostname=name, timeout=SECONDS)
        self._host = host  # whose certificate it has to be
        self.until = until
        self.greeted = False
        self._unread = b""

    def take(self, line: socket.socket) -> None:
        """Use a connection."""
        self.sock = line

    def _wait(self) -> socket.socket:
        left = self.until - time.monotonic()
        if self.sock is None:
            raise smtplib.SMTPServerDisconnected("the connection is closed")
        if left <= 0:
            raise TimeoutError
        self.sock.settimeout(left)
        return self.sock

    def getreply(self) -> tuple[int, bytes]:
        """Return the next answer; ``-1`` for what is none."""
        found: list[bytes] = []
        while True:
            line = self._read_line()
            found.append(line[4:].strip())
            code = int(line[:3]) if line[:3].isdigit() else -1
            if code < 0 or line[3:4] != b"-" or sum(map(len, found)) > _LONGEST_ANSWER:
                return code, b"\n".join(found)

    def _read_line(self) -> bytes:
        while b"\n" not in self._unread:
            if len(self._unread) > _LONGEST_LINE:
                raise _Refused("The mail server answers in lines that are too long for SMTP")
            more = self._wait().recv(4_096)
            if not more:
                raise smtplib.SMTPServerDisconnected("it closed the connection")
            self._unread += more
        line, _, self._unread = self._unread.partition(b"\n")
        return line

    def send(self, s: Any) -> None:
        """Send text or bytes."""
        self._wait().sendall(s if isinstance(s, bytes) else s.encode(self.command_encoding))

    def encrypt(self) -> None:
        """Go on with TLS. What came before it in the clear counts for nothing, read or not."""
        self._wait()
        self.starttls(context=_tls())
        if self._unread:
            raise _Refused("Something was said in the clear behind STARTTLS, which no mail server does")

    def leave(self) -> None:
        """Say goodbye, if there is somebody to hear it, and close."""
        self.until = min(self.until, time.monotonic() + GOODBYE)
        try:
            if self.sock is not None and self.greeted:
                self.docmd("QUIT")
        except (OSError, smtplib.SMTPException, ValueError, _Refused):
            pass
        finally:
            self.close()


def _connect(server: SmtpServer, until: float) -> _Line:
    """Return a line to the server; with TLS, if that comes first."""
    try:
        found = addresses_of(server.host, server.port).result(min(LOOK_UP, until - time.monotonic()))
    except TimeoutError:
        raise _Refused("The look-up of the mail server's name took too long") from None
    except (OSError, UnicodeError):
        raise _Refused("The mail server's name is not found") from None
    line = _Line(server.host, "", until)
    tried: OSError = OSError("it has no address")
    for place, address in enumerate(found):
        verdict = addresses.classify(address)
        if verdict.reach == "never":
            raise _Refused(f"The mail server's name leads to {verdict.reason}")
        left = until - time.monotonic()
        share = left if place == len(found) - 1 else min(OF_SEVERAL, left)
        try:
            connected = socket.create_connection((address, server.port), max(share, 0.001))
        except OSError as error:
            tried = error
            continue
        if server.security == "tls":
            connected.settimeout(max(until - time.monotonic(), 0.001))
            try:
                connected = _tls().wrap_socket(connected, server_hostname=server.host)
            except BaseException:
                connected.close()
                raise
        line.take(connected)
        return line
    if isinstance(tried, TimeoutError):
        raise tried
    raise _Refused(f"The mail server cannot be reached: {tried.strerror or tried}")


def _greet(line: _Line, server: SmtpServer, name: str) -> None:
    """Begin, encrypt, and sign in. We give the sender's domain for our name: this machine's own is often none that servers take."""
    line.local_hostname = name
    _need(*line.getreply())
    line.greeted = True
    line.ehlo_or_helo_if_needed()
    if server.security == "starttls":
        if not line.has_extn("starttls"):
            raise _Refused(
                "The mail server offers no STARTTLS here. smtps:// is for a server that speaks TLS from the first byte; smtp://…?tls=none "
                "sends in the clear"
            )
        line.encrypt()
        line.ehlo_or_helo_if_needed()
    if server.password is not None:
        _sign_in(line, server.user, server.password.reveal())


def _sign_in(line: _Line, user: str, password: str) -> None:
    """Sign in by PLAIN or LOGIN, in UTF-8: smtplib's own takes ASCII alone."""
    ways = line.esmtp_features.get("auth", "").upper().split()
    if "PLAIN" in ways or not {"LOGIN"} & set(ways):
        code, said = line.docmd("AUTH", "PLAIN " + _base64(f"\0{user}\0{password}"))
    else:
        code, said = line.docmd("AUTH", "LOGIN")
        for each in (user, password):
            if code == _GO_ON:
                code, said = line.docmd(_base64(each))
    if code not in _DONE:
        raise _Refused(f"The mail server refuses the sign-in of LLM_SMTP_URL: {_answered(code, said)}", _status(code))


def _hand_over(line: _Line, sender: Sender, mail: Mail, to: Sequence[str], all_of: Sequence[str]) -> Sent:
    speaks_utf8 = line.has_extn("smtputf8")
    needs = [address for address in to if not wire_address(address).isascii()]
    refused = (
        {} if speaks_utf8 else dict.fromkeys(needs, (553, "the server takes no address with such letters (SMTPUTF8)"))
    )
    wanted = [address for address in to if address not in refused]
    utf8 = bool(needs) and speaks_utf8
    later: dict[str, tuple[int, str]] = {}
    if wanted:
        code, said = line.mail(sender.address, ["SMTPUTF8", "BODY=8BITMIME"] if utf8 else [])
        if code not in _DONE:
            return _of_all(code, said)
        for address in wanted:
            code, said = line.rcpt(wire_address(address))
            if code in _NEVER:
                refused[address] = (code, _text(said))
            elif code not in _DONE:
                later[address] = (code, _text(said))
    taken = [address for address in wanted if address not in refused and address not in later]
    if taken:
        shown = [each for each in all_of if not address_fault(each) and (utf8 or wire_address(each).isascii())]
        code, said = line.data(written(sender, mail, shown, utf8=utf8))
        if code not in _DONE:
            return _of_all(code, said)
    words = _not_for(refused | later)
    status = next(iter((later or refused).values()), (250, ""))[0] if refused or later else 250
    if later:
        return Sent(ok=False, status=status, error=words, some=bool(taken), left=tuple(later))
    if not taken:
        return Sent(ok=False, status=status, error=words, final=True)
    return Sent(ok=True, status=250, error=words)


def written(sender: Sender, mail: Mail, to: Sequence[str], *, utf8: bool = False) -> bytes:
    """Return an e-mail as it goes over the wire. Whatever stands in a subject or a name is one line of its header, and no more."""
    message = EmailMessage(policy=SMTPUTF8 if utf8 else SMTP)
    message["From"] = Address(on_one_line(sender.name, _SUBJECT), addr_spec=sender.address)
    parts = [wire_address(each).rpartition("@") for each in to]
    message["To"] = [Address(username=local, domain=domain) for local, _, domain in parts]
    message["Subject"] = on_one_line(mail.subject, _SUBJECT) or "LLM Settings"
    message["Date"] = datetime.fromtimestamp(mail.at, UTC)
    message["Message-ID"] = f"<{mail.id}@{sender.address.rpartition('@')[2]}>"
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: no out-of-office note comes back
    message.set_content(mail.text, charset="utf-8", cte="quoted-printable")
    return message.as_bytes()


def _of_all(code: int, said: bytes) -> Sent:
    """Return what an answer means that is about the whole message."""
    return Sent(ok=False, status=_status(code), error=_answered(code, said), final=code in _NEVER)


def _need(code: int, said: bytes) -> None:
    if code not in _DONE:
        raise _Refused(
            _answered(code, said) if code > 0 else "What answers at this port is no mail server", _status(code)
        )


def _answered(code: int, said: bytes | str) -> str:
    text = _text(said)
    return _words(
        f"The mail server answered {code} {text}" if code > 0 else "The mail server answered with what is no SMTP"
    )


def _not_for(why: dict[str, tuple[int, str]]) -> str:
    shown = [f"{address} ({code} {said})" for address, (code, said) in list(why.items())[:_NAMED]]
    more = f" and {len(why) - _NAMED} more" if len(why) > _NAMED else ""
    return on_one_line(f"Not taken for {'; '.join(shown)}{more}", 2 * _SHOWN) if why else ""


def _text(said: bytes | str) -> str:
    return on_one_line(said.decode("utf-8", "replace") if isinstance(said, bytes) else said, _SHOWN)


def _words(text: str) -> str:
    return on_one_line(text, 2 * _SHOWN).rstrip(". ")


def _status(code: int) -> int | None:
    return code if code > 0 else None


def _hint(server: SmtpServer, line: _Line | None) -> str:
    if line is not None and not line.greeted and server.security != "tls":
        return "If it expects TLS from the first byte, as port 465 does, write smtps://"
    return f"It had {SECONDS:.0f} seconds"


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _tls() -> ssl.SSLContext:
    with from_extra():
        from . import dial  # noqa: PLC0415 - of an extra
    return dial.tls()
