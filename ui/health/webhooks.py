"""The Health page's lines about webhooks: whether messages are taken, and the cure where they are not."""

from collections.abc import Iterable

from core.manage.notifications import ListedWebhook
from core.wording import counted
from ui.health.line import Line
from ui.widgets import ago, exact


def webhook_lines(webhooks: Iterable[ListedWebhook]) -> list[Line]:
    """Return a line for each webhook."""
    return [_line(found) for found in webhooks]


def _line(found: ListedWebhook) -> Line:
    row, last = found.row, found.last
    if not row.is_active and row.off_reason:
        cure = "On the Webhooks page: mend the receiver, send a test, and switch it on; or delete it."
        detail = f"It hears of no change since {exact(row.off_at)}: {row.off_reason}."
        return Line(row.name, "wrong", "Switched off", detail, cure, exact(row.off_at))
    if not row.is_active:
        return Line(row.name, "note", "Off", "Somebody switched it off.")
    waits = f" {counted(found.waiting, 'message')} waiting." if found.waiting else ""
    if row.failing_since is not None:
        why = (last.last_error if last else None) or "no answer"
        detail = f"Nothing was taken since {ago(row.failing_since)}: {why}.{waits}"
        return Line(
            row.name, "soon", "Failing", detail, "Look at its URL, and at the receiver's log.", exact(row.failing_since)
        )
    went = "Nothing was sent yet." if last is None else f"Last message {ago(last.last_at)}."
    return Line(row.name, "ok", "OK", f"{went}{waits}")
