"""Who acts. Every write takes an actor, and its rights are read from the database again each time."""

from dataclasses import dataclass

from sqlmodel import Session

from core.db import set_actor
from core.errors import Forbidden
from core.tables import User


@dataclass(frozen=True, slots=True)
class Actor:
    """A user who has signed in, or the command line.

    Attributes:
        name: What the change history shows.
        user_id: None for the command line: whoever can run it holds the database's password anyway.
        auth_epoch: The user's epoch at sign-in; a password change, a role change or disabling ends it.
    """

    name: str
    user_id: int | None = None
    auth_epoch: int = 0


COMMAND_LINE = Actor("command line")


def require(session: Session, actor: Actor, role: str = "admin") -> None:
    """Return when *actor* may act as *role* now, and note the actor for the change history.

    The user's row stays share-locked until the transaction ends, so that no right is withdrawn halfway.

    Raises:
        Forbidden: If the user is gone, disabled, signed in before the last change of rights, or has too low a role.
    """
    if actor.user_id is not None:
        user = session.get(User, actor.user_id, with_for_update={"read": True}, populate_existing=True)
        if user is None or not user.is_active or user.auth_epoch != actor.auth_epoch:
            raise Forbidden("Your sign-in has ended. Sign in again.")
        if role == "admin" and user.role != "admin":
            raise Forbidden
    set_actor(session, actor.name)
