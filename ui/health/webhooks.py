"""The Health page's lines about who is told: whether messages are taken, and the cure where they are not."""

from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from typing import Final

from core.config import get_config
from core.environment import public_url
from core.mail_address import smtp_server
from core.manage.notifications import ListedWebhook
from core.wording import counted
from ui.health.line import Line
from ui.webhooks.words import LOOK
from ui.widgets import ago, exact


def webhook_lines(webhooks: Iterable[ListedWebhook]) -> list[Line]:
    """Return a line for each receiver, and what they need of the operator where somebody is told in words."""
    listed = list(webhooks)
    kinds = {found.row.kind for found in listed}
    return [*map(_line, listed), *_of_operator(kinds)]


def _of_operator(kinds: AbstractSet[str]) -> list[Line]:
    config = get_config()
    lines = []
    if "email" in kinds:
        if config.smtp_url is None:
            cure = "The operator names the server that takes e-mail in LLM_SMTP_URL, and restarts the app."
            lines.append(Line("Mail server", "wrong", "Not set", "Nothing is sent by e-mail: it waits.", cure))
        else:
            server = smtp_server(config.smtp_url)
            detail = f"E-mail goes to {server.host}, port {server.port}, {_SECURITY[server.security]}."
            lines.append(Line("Mail server", "ok", "Set", detail))
    if kinds & {"email", "slack"}:
        base = public_url(config.public_url)
        detail = (
            f"Messages lead to {base}."
            if base
            else "Messages lead nowhere: LLM_PUBLIC_URL does not say where people reach the app."
        )
        lines.append(Line("Links in messages", "ok" if base else "note", "Set" if base else "None", detail))
    return lines


_SECURITY: Final = {"starttls": "encrypted by STARTTLS", "tls": "encrypted by TLS", "none": "in the clear"}


def _line(found: ListedWebhook) -> Line:
    row, last = found.row, found.last
    if not row.is_active and row.off_reason:
        cure = "On the Notifications page: mend the receiver, send a test, and switch it on; or delete it."
        detail = f"It hears of no change since {exact(row.off_at)}: {row.off_reason}."
        return Line(row.name, "wrong", "Switched off", detail, cure, exact(row.off_at))
    if not row.is_active:
        return Line(row.name, "note", "Off", "Somebody switched it off.")
    waits = f" {counted(found.waiting, 'message')} waiting." if found.waiting else ""
    if row.failing_since is not None:
        why = (last.last_error if last else None) or "no answer"
        detail = f"Nothing was taken since {ago(row.failing_since)}: {why}.{waits}"
        return Line(row.name, "soon", "Failing", detail, LOOK[row.kind], exact(row.failing_since))
    went = "Nothing was sent yet." if last is None else f"Last message {ago(last.last_at)}."
    return Line(row.name, "ok", "OK", f"{went}{waits}")
