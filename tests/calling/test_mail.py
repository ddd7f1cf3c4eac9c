"""One e-mail: to a real server, encrypted and signed in as the URL says, in its time, whatever the server does; headers stay headers."""

import email
import email.policy
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from urllib.parse import quote

import pytest

from core.calling import dial, mail
from core.calling.mail import Mail
from core.calling.webhook import Sent
from core.mail_address import Sender, SmtpServer, address_fault, smtp_server, smtp_url
from core.redaction import Secret
from tests.receivers import DRIP, HANG, RESET, MailServer
from tests.vendors import make_certificate

FROM = Sender("LLM Settings", "llm@corp.example")
MAIL = Mail("msg_0123", "Budget spent", "Grüße\n.\n.dot\nFrom here\n", 1_790_000_000)
PASSWORD = "pass ✓ wörd-1"
Answers = Mapping[str, str | Callable[[str], str]]


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1."""
    return make_certificate(tmp_path_factory.mktemp("mail"))


@pytest.fixture
def trusted(certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Path, Path]]:
    """The same, which this process trusts."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    dial.tls.cache_clear()
    yield certificate
    dial.tls.cache_clear()


def at(server: MailServer, security: str = "none", user: str = "", password: str = "") -> SmtpServer:
    return SmtpServer(security, "127.0.0.1", server.port, user, Secret(password) if password else None)


def send(server: SmtpServer, *to: str, message: Mail = MAIL) -> Sent:
    return mail.send(server, FROM, message, to or ("ops@corp.example",))


def test_message_as_it_comes() -> None:
    """Text, subject and addresses arrive as they were; a program knows a repetition, and that no person wrote it."""
    with MailServer() as server:
        assert send(at(server), "ops@corp.example", "käthe@bücher.example".replace("ä", "ae")) == Sent(
            ok=True, status=250, error=""
        )
        assert send(at(server)).ok
    letter, again = server.got
    read = email.message_from_bytes(letter.raw, policy=email.policy.default)
    assert (letter.sender, letter.to) == ("llm@corp.example", ["ops@corp.example", "kaethe@xn--bcher-kva.example"])
    assert read.get_content().splitlines() == MAIL.text.splitlines()
    assert (read["from"], read["subject"]) == ("LLM Settings <llm@corp.example>", "Budget spent")
    assert read["auto-submitted"] == "auto-generated"
    assert read["message-id"] == email.message_from_bytes(again.raw)["message-id"] == "<msg_0123@corp.example>"
    assert letter.name == "corp.example"  # not this machine's name, which servers refuse as localhost
    assert letter.raw.isascii()
    assert "QUIT" in server.heard


@pytest.mark.parametrize("offers", [("AUTH PLAIN LOGIN",), ("AUTH LOGIN",), ("AUTH GSSAPI PLAIN",)])
@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_encrypted_and_signed_in(trusted: tuple[Path, Path], security: str, offers: tuple[str, ...]) -> None:
    """By STARTTLS or from the first byte, with a password of any letters; nothing of it goes before that."""
    with MailServer(certificate=trusted, first=security == "tls", offers=offers) as server:
        assert send(at(server, security, "llm@corp.example", PASSWORD)).ok
    (letter,) = server.got
    assert (letter.signed_in, letter.encrypted) == (f"llm@corp.example\0{PASSWORD}", True)


@pytest.mark.parametrize(
    ("does", "sent", "words"),
    [
        ({"greet": "554 go away"}, (554, False), "The mail server answered 554 go away"),
        ({"greet": "HTTP/1.1 400 Bad Request"}, (None, False), "What answers at this port is no mail server"),
        ({"greet": HANG}, (None, False), "If it expects TLS from the first byte, as port 465 does, write smtps://"),
        ({"greet": DRIP}, (None, False), "did not answer in time"),
        ({"EHLO": RESET}, (None, False), "hung up"),
        ({"EHLO": HANG}, (None, False), "did not answer in time"),
        ({"MAIL": "451 4.3.0 try later"}, (451, False), "The mail server answered 451 4.3.0 try later"),
        ({"MAIL": "550 5.7.1 not you"}, (550, True), "The mail server answered 550 5.7.1 not you"),
        ({"RCPT": "450 4.2.1 busy"}, (450, False), "Not taken for ops@corp.example (450 4.2.1 busy)"),
        ({"RCPT": "550 5.1.1 nobody"}, (550, True), "Not taken for ops@corp.example (550 5.1.1 nobody)"),
        ({"DATA": "421 4.3.2 closing"}, (421, False), "The mail server answered 421"),
        ({".": "452 4.3.1 full"}, (452, False), "The mail server answered 452 4.3.1 full"),
        ({".": "554 5.7.1 spam"}, (554, True), "The mail server answered 554 5.7.1 spam"),
        ({".": RESET}, (None, False), "hung up"),
        ({"DATA": RESET}, (None, False), "hung up"),
        ({"RCPT": DRIP}, (None, False), "did not answer in time"),
        ({"MAIL": "garbage"}, (None, False), "answered with what is no SMTP"),
        ({"MAIL": "550 \x1b[31mred\x1b[0m"}, (550, True), "The mail server answered 550 \ufffd[31mred"),
    ],
)
def test_what_an_answer_means(
    monkeypatch: pytest.MonkeyPatch, does: Answers, sent: tuple[int | None, bool], words: str
) -> None:
    """4xx and silence another try may change; 5xx of the message is for good, in the server's words, without control characters."""
    monkeypatch.setattr(mail, "SECONDS", 0.7)
    began = time.monotonic()
    with MailServer(does) as server:
        found = send(at(server))

    assert not found.ok
    assert (found.status, found.final) == sent
    assert words in found.error
    assert "\x1b" not in found.error
    assert time.monotonic() - began < 3 * 1.7


def test_silent_goodbye_is_not_waited_for() -> None:
    """What the server took, it has taken."""
    with MailServer({"QUIT": HANG}) as server:
        began = time.monotonic()
        assert send(at(server)).ok
    assert time.monotonic() - began < 3 * mail.GOODBYE


def test_some_of_them_refused() -> None:
    """Who took it has it once; who is refused for now is left for another try, alone; who is refused for good is named."""
    says = {"a@corp.example": "250 ok", "b@corp.example": "451 4.7.1 greylisted", "c@corp.example": "550 5.1.1 nobody"}
    with MailServer({"RCPT": says.__getitem__}) as server:
        first = send(at(server), *says)
        says["b@corp.example"] = "250 ok"
        then = mail.send(at(server), FROM, MAIL, first.left, all_of=tuple(says))
    assert (first.ok, first.some, first.final, first.left) == (False, True, False, ("b@corp.example",))
    assert "b@corp.example (451 4.7.1 greylisted)" in first.error
    assert "c@corp.example (550 5.1.1 nobody)" in first.error
    assert then == Sent(ok=True, status=250, error="")
    assert [letter.to for letter in server.got] == [["a@corp.example"], ["b@corp.example"]]
    with MailServer({"RCPT": lambda address: "550 no" if address[0] == "b" else "250 ok"}) as server:
        found = send(at(server), "a@corp.example", "b@corp.example")
    assert found == Sent(ok=True, status=250, error="Not taken for b@corp.example (550 no)")


def test_no_text_is_a_header_or_a_command() -> None:
    """A line break in a subject, a name or an address makes no header and no command; raw SQL may have written any of them."""
    evil = "Budget\r\nBcc: eve@evil.example\r\n\r\nbody\u2028\x00é"
    sender = Sender("LLM\r\nBcc: eve@evil.example", "llm@corp.example")
    to = ("ops@corp.example", "x@corp.example>\r\nRCPT TO:<eve@evil.example", "y@corp.example\nDATA")
    with MailServer() as server:
        assert mail.send(at(server), sender, MAIL._replace(subject=evil), to, all_of=to).ok
    (letter,) = server.got
    read = email.message_from_bytes(letter.raw, policy=email.policy.default)
    assert (letter.to, read["bcc"]) == (["ops@corp.example"], None)
    assert str(read["to"]) == "ops@corp.example"
    assert "eve@evil.example" in read["subject"]
    assert [each.split(" ")[0] for each in server.heard] == ["ehlo", "mail", "rcpt", "data", "QUIT"]


def test_letters_of_all_kinds(monkeypatch: pytest.MonkeyPatch) -> None:
    """A domain of other letters goes as IDNA to anybody; a name before the @ needs a server with SMTPUTF8, and is named where it has none."""
    monkeypatch.setattr(mail, "SECONDS", 5.0)
    with MailServer(offers=("SMTPUTF8", "8BITMIME")) as server:
        assert send(at(server), "käthe@bücher.example").ok
    (letter,) = server.got
    assert letter.to == ["käthe@xn--bcher-kva.example"]
    assert "käthe" in letter.raw.decode()
    with MailServer() as server:
        found = send(at(server), "käthe@bücher.example", "ops@corp.example")
        alone = send(at(server), "käthe@bücher.example")
    assert (found.ok, server.got[0].to) == (True, ["ops@corp.example"])
    assert "käthe@bücher.example (553 the server takes no address with such letters" in found.error
    assert (alone.ok, alone.final) == (False, True)


def test_no_plain_text_by_accident(certificate: tuple[Path, Path], trusted: tuple[Path, Path]) -> None:
    """Without STARTTLS nothing is sent, password least of all; a certificate that nobody trusts ends it; a wrong port is told as one."""
    with MailServer(offers=("AUTH PLAIN",)) as server:
        found = send(at(server, "starttls", "u", PASSWORD))
        wrong = send(at(server, "tls"))
    assert "offers no STARTTLS" in found.error
    assert "for 587 write smtp://" in wrong.error
    assert (found.final, wrong.final, server.got) == (False, False, [])
    assert not [line for line in server.heard if "AUTH" in line or "mail" in line]
    with MailServer({"STARTTLS": "220 go on\r\n250 injected"}, certificate) as server:
        assert not send(at(server, "starttls")).ok
    dial.tls.cache_clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("SSL_CERT_FILE")
        with MailServer(certificate=certificate, first=True) as server:
            assert "certificate is not trusted" in send(at(server, "tls")).error
    assert (server.got, trusted) == ([], certificate)


def test_refused_sign_in_may_be_mended(trusted: tuple[Path, Path]) -> None:
    """It is the configuration's fault and no message's: it is tried again, and nothing repeats the password, not even the server's words."""
    url = smtp_url(f"smtp://u:{quote(PASSWORD)}@mail.example")
    assert url is not None
    assert PASSWORD not in repr(smtp_server(url))
    words = f"535 5.7.8 {PASSWORD} is wrong"
    with MailServer({"AUTH": words}, trusted, offers=("AUTH PLAIN",)) as server:
        found = send(at(server, "starttls", "u", PASSWORD))
    assert (found.ok, found.final, found.status) == (False, False, 535)
    assert "refuses the sign-in of LLM_SMTP_URL" in found.error
    assert PASSWORD not in found.error


@pytest.mark.parametrize(
    "value",
    [
        *("", "ops", "@corp.example", "ops@", "a b@corp.example", "Ops <ops@corp.example>", "a@b.example,c@d.example"),
        *(
            "a@b..example",
            "a..b@corp.example",
            "a@corp_example",
            "a@-b.example",
            "a\r\n@corp.example",
            "a@corp.example\n",
        ),
        *(
            f"{'a' * 65}@corp.example",
            f"a@{'b' * 64}.example",
            f"a@{'b.' * 130}example",
            "a\u202e@x.example",
            '"a b"@x.example',
        ),
    ],
)
def test_what_is_no_address(value: str) -> None:
    """Each is refused, without raising."""
    assert address_fault(value)


@pytest.mark.parametrize(
    "value",
    [
        "ops@corp.example",
        "a.b+c@x.example",
        "root@mailhost",
        "käthe@bücher.example",
        "O'Brien=x@x.example",
        "用户@例え.jp",
    ],
)
def test_what_is_one(value: str) -> None:
    """As people have them."""
    assert address_fault(value) == ""
