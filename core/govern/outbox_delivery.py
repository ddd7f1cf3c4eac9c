"""One try of a message: in the form of its receiver's kind, by what sends that. Nothing of it is noted here."""

import json
from typing import Any, Final, NamedTuple

from ..calling import mail, slack, webhook
from ..calling.mail import Mail
from ..calling.webhook import Sent
from ..config import get_config
from ..errors import BadConfig
from ..mail_address import sender, smtp_server
from . import outbox_words
from .outbox_words import Words

NO_SERVER: Final = "LLM_SMTP_URL is not set: the operator names the server that takes e-mail there"


class Taken(NamedTuple):
    """A message that this process sends now."""

    id: int
    target_id: int
    kind: str
    name: str
    event: str
    webhook_id: str
    payload: dict[str, Any]
    tries: int
    """With this one. It tells who else has taken it meanwhile, too."""
    timestamp: int
    """By the database's clock: receivers refuse what comes from another time."""
    url: str
    all_of: tuple[str, ...]
    """Of e-mail: everybody."""
    to: tuple[str, ...]
    """Of e-mail: whom it has yet to reach."""
    secrets: tuple[str, ...] = ()
    """What signs, of Slack its URL."""
    ready: bool = True
    """False: its secret cannot be opened here, and it was put off."""


def deliver(taken: Taken) -> Sent:
    """Send a message, once, and return what came of it; it takes :data:`core.calling.mail.SECONDS` at most.

    Raises:
        MissingExtra: If the libraries for calls are not installed.
    """
    hosts = get_config().private_hosts
    if taken.kind == "slack":
        words = outbox_words.of(taken.event, taken.payload)
        return slack.send(taken.secrets[0], slack.body_of(in_slack(words)), private_hosts=hosts)
    if taken.kind == "email":
        return _mail(taken)
    body = json.dumps(taken.payload, ensure_ascii=False, separators=(",", ":")).encode()
    return webhook.send(taken.url, taken.secrets, taken.webhook_id, taken.timestamp, body, private_hosts=hosts)


def in_slack(words: Words) -> str:
    """Return words as a message of Slack: the subject in bold, what people wrote without effect, and the link behind them."""
    lines = [f"*{slack.escaped(words.subject)}*", *map(slack.escaped, words.lines)]
    text = "\n".join(lines)
    if len(text) > slack.MOST:
        text = f"{text[: slack.MOST - 1].rpartition(chr(10))[0]}\n…"
    return f"{text}\n<{words.link}|{words.link_text}>" if words.link else text


def in_mail(words: Words) -> str:
    """Return words as the text of an e-mail."""
    link = [f"{words.link_text}: {words.link}"] if words.link else []
    return "\n\n".join([*["\n".join(words.lines)], *link, words.why]) + "\n"


def _mail(taken: Taken) -> Sent:
    config = get_config()
    if config.smtp_url is None:
        return Sent(ok=False, status=None, error=NO_SERVER)
    try:
        server = smtp_server(config.smtp_url)
        found = sender(config.smtp_from, server.user)
    except BadConfig as error:
        return Sent(ok=False, status=None, error=str(error).rstrip("."))
    words = outbox_words.of(taken.event, taken.payload)
    written = Mail(taken.webhook_id, words.subject, in_mail(words), taken.timestamp)
    return mail.send(server, found, written, taken.to, all_of=taken.all_of)
