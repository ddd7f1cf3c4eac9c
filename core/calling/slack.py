"""Sending one message to Slack, or to what takes its messages: an incoming webhook, whose URL is the secret.

What it answers: https://api.slack.com/changelog/2016-05-17-changes-to-errors-for-incoming-webhooks, and *Handling errors* of
https://api.slack.com/messaging/webhooks. Dialled as any webhook, by :func:`core.calling.webhook.post`.
"""

import json
import re
from collections.abc import Sequence
from typing import Final
from urllib.parse import urlsplit

from ..redaction import remember
from .webhook import BUSY, GONE, Sent, of_status, post

MOST: Final = 3_000
"""Characters of a message: more is cut by Slack, or folded away."""
_TAKEN: Final = b"ok"
_READ: Final = 200
"""Bytes of an answer."""
_WORD: Final = re.compile(r"[a-z_]{1,60}")
_NEW_ONE: Final = "Make a new incoming webhook there, and enter its URL"
_GONE: Final = {
    "no_service": f"the webhook was removed or switched off there. {_NEW_ONE}",
    "no_service_id": f"the webhook was removed there. {_NEW_ONE}",
    "no_active_hooks": f"incoming webhooks are switched off there. {_NEW_ONE}",
    "no_team": f"its workspace is gone. {_NEW_ONE}",
    "team_disabled": f"its workspace is switched off. {_NEW_ONE}",
    "invalid_token": f"the URL is not valid any more. {_NEW_ONE}",
    "channel_not_found": f"its channel is gone. {_NEW_ONE}",
    "channel_is_archived": f"its channel is archived. {_NEW_ONE}",
}
"""Slack's word -> what it means: nothing will be taken at this URL any more."""
_REFUSES: Final = range(400, 500)
_LATER: Final = frozenset({408, 425, 429})
"""HTTP's answers of 4xx that another try may change."""
_AT: Final = re.compile("@(?=channel|here|everyone|all|group)", re.IGNORECASE)


def host_alone(url: str) -> str:
    """Return scheme and host of an incoming webhook's URL: what may be shown of it."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.lower()}"


def keep_secret(url: str) -> None:
    """Have the log's filter know the URL, and its path, which libraries log by itself."""
    remember(url)
    remember(urlsplit(url).path)


def escaped(text: str) -> str:
    """Return text of people as a message takes it: it formats no link, calls no channel and names nobody.

    https://docs.slack.dev/messaging/formatting-message-text#escaping; what is compatible with Slack calls all who are there for
    a plain ``@channel`` as well, hence the blank of no width behind that sign.
    """
    return _AT.sub("@\u200b", text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;"))


def body_of(text: str) -> bytes:
    """Return the message that has *text*, of which what people wrote is :func:`escaped`."""
    return json.dumps({"text": text, "unfurl_links": False, "unfurl_media": False}, ensure_ascii=False).encode()


def send(url: str, body: bytes, *, private_hosts: Sequence[str]) -> Sent:
    """Send one message, once; nothing is raised for what Slack or the network does.

    Args:
        url: The whole one, opened.
        body: See :func:`body_of`.
        private_hosts: What the operator allows, see ``Config.private_hosts``.

    Raises:
        MissingExtra: If the libraries for calls are not installed.
    """
    keep_secret(url)
    answer = post(url, body, {}, private_hosts=private_hosts, read=_READ)
    if isinstance(answer, Sent):
        return answer
    status = answer.status
    word = said.decode() if (said := answer.begins.strip()).isascii() and _WORD.fullmatch(said.decode()) else ""
    if of_status(status).ok:
        if answer.begins.strip() == _TAKEN:
            return Sent(ok=True, status=status, error="")
        what = "It answered as no incoming webhook does: it has to say ok. Look at the URL"
        return Sent(ok=False, status=status, error=what)
    if status not in _REFUSES:
        sent = of_status(status)
        return sent._replace(wait=answer.wait if status in BUSY else 0.0)
    error = f"It answered {status}{f' {word}' if word else ''}"
    if word in _GONE or status == GONE:
        why = f"{error}: {_GONE.get(word, f'it is gone for good. {_NEW_ONE}')}"
        return Sent(ok=False, status=status, error=error, final=True, gone=why)
    wait = answer.wait if status in BUSY else 0.0
    # Without a word of Slack's it was somebody on the way who answered.
    return Sent(ok=False, status=status, error=error, wait=wait, final=bool(word) and status not in _LATER)
