"""Whether a change needs a reason, and which never do: what is recorded asks here, so that no door is forgotten."""

from typing import Final

from sqlalchemy import text
from sqlmodel import Session

from ..actors import UNATTENDED, Actor
from ..errors import Invalid

COMMENT: Final = "comment"
"""Among the changes: why it was done, as who did it wrote."""
MAX_COMMENT: Final = 500
"""Characters."""
CURE: Final = (
    "is needed: this installation asks why for each change. Say it in one line: on the page in the field Reason, over REST in the "
    "header Change-Comment, on the command line with --comment"
)
WITHOUT: Final = {
    "denied": "nothing was changed",
    "session.*": "signing in and out changes no setting",
    "second_factor.*": "one's own second factor is one's own",
    "user.change_password": "one's own password is one's own",
    "provider.test": "nothing is changed by a test",
    "webhook.test": "nothing is changed by a test",
    "webhook.resend": "sent once more, and no setting is another",
    "model_facts.set": "says why in a field of its own",
    "budget.top_up": "says why in a field of its own",
    "budget.correct": "says why in a field of its own",
    "model_facts.observe": "kept from a vendor's own answer, not decided by anybody",
    "token.purge": "tokens that ended long ago go by themselves",
    "audit.purge": "what is old goes by the time that was decided",
    "logs.purge": "what is old goes by the time that was decided",
    "history.purge": "what is old goes by the time that was decided",
    "keys.*": "the same values, sealed with another key",
    "schema.*": "belongs to an upgrade; an old schema knows no reasons",
    "store.move": "the same rows at another place",
}
"""Action, or group of them -> why it needs no reason."""
_REQUIRED = text("SELECT to_jsonb(installation) -> 'require_reason' FROM installation")


def needs_none(action: str) -> bool:
    """Tell whether *action* is done without a reason, whatever is decided."""
    return action in WITHOUT or f"{action.partition('.')[0]}.*" in WITHOUT


def is_required(session: Session) -> bool:
    """Tell whether the installation wants a reason with each change."""
    return session.scalar(_REQUIRED) is True


def require_reason(session: Session, actor: Actor, action: str) -> None:
    """Return when *action* may be done without a reason.

    What nobody attends, as the first start and the periodic work, has nobody who could give one.

    Raises:
        Invalid: If the installation wants one.
    """
    unattended = actor.user_id is None and actor.token_id is None and actor.name in UNATTENDED
    if not unattended and not needs_none(action) and is_required(session):
        raise Invalid({COMMENT: CURE})
