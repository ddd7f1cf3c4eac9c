"""How the Notifications page says how it goes: of a receiver, and of one message."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from core.manage import notifications
from core.manage.notifications import ListedWebhook
from core.store.notification_tables import NotificationDelivery, NotificationTarget
from core.wording import counted
from ui.feedback import plain
from ui.widgets import ago

KINDS: Final[Mapping[str, tuple[str, str]]] = {
    "webhook": ("Webhook", "webhook"),
    "slack": ("Slack", "tag"),
    "email": ("E-mail", "mail"),
}
"""Kind -> its name, and its icon."""
EVENTS_SAID: Final[Mapping[str, str]] = {
    "settings.changed": "Settings changed",
    "budget.threshold": "A budget's threshold",
    "budget.forecast": "A budget's forecast",
    "budget.unpriced": "Calls without a price",
    "budget.presumed": "Presumed spend",
    "spend.spike": "A spike of spend",
    "key.age": "An old API key",
}
"""Type of event -> what people call it."""
LOOK: Final[Mapping[str, str]] = {
    "webhook": "Look at its URL, and at the receiver's log.",
    "slack": "Look at its URL: Slack shows it with the app that has the incoming webhook.",
    "email": "Look at the addresses, at LLM_SMTP_URL, and at the mail server's log.",
}
"""Kind -> what to do where nothing is taken."""
_MOST: Final = 80
_NAMED: Final = 3


def address(row: NotificationTarget) -> str:
    """Return where a receiver is reached."""
    found = row.recipients or []
    if row.url is None:
        more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
        return ", ".join(map(_short, found[:_NAMED])) + more
    return f"{row.url}/…" if row.kind == "slack" else _short(row.url)


def _short(text: str) -> str:
    return text if len(text) <= _MOST else f"{text[:_MOST]}…"


def state(found: ListedWebhook) -> str:
    """Return the badge of a receiver."""
    row = found.row
    if not row.is_active:
        return (
            ":red-badge[:material/error: Switched off]"
            if row.off_reason
            else ":gray-badge[:material/pause_circle: Off]"
        )
    if row.failing_since is not None:
        return ":orange-badge[:material/warning: Failing]"
    return ":green-badge[:material/check_circle: On]"


def facts(found: ListedWebhook) -> str:
    """Return what is said below a receiver: its last message, and what waits."""
    row, last = found.row, found.last
    parts = ["nothing sent yet" if last is None else f"last message {ago(last.last_at)}: {answer(last)}"]
    if found.waiting:
        parts.append(f"{counted(found.waiting, 'message')} waiting, the oldest since {ago(found.oldest)}")
    if row.both_until is not None and row.both_until > datetime.now(UTC):
        parts.append("two secrets sign")
    return " · ".join(parts)


def answer(row: NotificationDelivery) -> str:
    """Return what came of the last try of a message."""
    if row.last_at is None:
        return row.last_error or "not tried yet"
    if row.done_at is not None:
        return f"taken, answered {row.last_status}" + (f"; {row.last_error}" if row.last_error else "")
    return row.last_error or "no answer"


def name_of(row: NotificationDelivery) -> str:
    """Return what a message is about."""
    if row.event == notifications.TEST:
        return "Test"
    if row.generation is not None:
        return f"Generation {row.generation:,}"
    return EVENTS_SAID.get(row.event, row.event)


def message(row: NotificationDelivery) -> str:
    """Return a message as a line of the list."""
    if row.done_at is not None:
        badge = ":green-badge[:material/check_circle: Taken]"
    elif row.failed_at is not None:
        badge = ":red-badge[:material/error: Given up]"
    else:
        badge = ":orange-badge[:material/schedule: Waits]"
    about = name_of(row)
    facts_ = [answer(row), f"tried {counted(row.tries, 'time')}"]
    if row.done_at is None and row.failed_at is None:
        facts_.append(f"next try {until(row.next_at)}")
    return f"**{plain(about)}** {badge}  \n:gray[:small[{plain(' · '.join([ago(row.created_at), *facts_]))}]]"


def until(moment: datetime) -> str:
    """Return when something is due, in words."""
    left = (moment - datetime.now(UTC)).total_seconds()
    for size, unit in ((3_600, "h"), (60, "min")):
        if left >= size:
            return f"in {int(left // size)} {unit}"
    return "now" if left < 1 else f"in {int(left)} s"
