"""Who acts. Every write takes an actor; :mod:`core.access.authority` reads its rights from the database each time."""

from dataclasses import dataclass

from .errors import Forbidden


@dataclass(frozen=True, slots=True)
class Actor:
    """A user who has signed in, an API token, or the command line.

    Attributes:
        name: What the change history and the audit show; of a token ``token:`` and its name.
        user_id: None for a token, and for the command line: whoever can run it holds the database's password anyway.
        auth_epoch: The user's epoch at sign-in; a password change, a role change or disabling ends it.
        session_id: The row of ``auth_sessions`` that the sign-in made; None where there is no sign-in.
        token_id: The row of ``api_tokens``; None for everybody else.
        address: Where the request came from, for the audit.
    """

    name: str
    user_id: int | None = None
    auth_epoch: int = 0
    session_id: int | None = None
    address: str | None = None
    token_id: int | None = None

    def own_id(self) -> int:
        """Return the user's id.

        Raises:
            Forbidden: If this is no user who has signed in, but a token or the command line.
        """
        if self.user_id is None:
            raise Forbidden("Only a user who has signed in can do this")
        return self.user_id


COMMAND_LINE = Actor("command line")
APPLIER = "apply:"
"""What stands before the name of who applies a document, wherever a change is put down to it."""
FIRST_START = Actor("first start")
"""Makes what a new store begins with."""
PERIODIC = Actor("periodic work")
"""The jobs that run by themselves."""
WEBHOOKS = Actor("webhooks")
"""Sends notifications, and switches off what never answers."""
SINGLE_SIGN_ON = Actor("single sign-on")
"""Does what the identity provider says of users: makes them, gives them their role, ends their sign-ins."""
UNATTENDED = frozenset({FIRST_START.name, PERIODIC.name, WEBHOOKS.name, SINGLE_SIGN_ON.name})
"""Behind these there is nobody who could be asked for a reason."""
