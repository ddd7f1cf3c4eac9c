"""How a local user gets a second factor, and how it goes: by its owner with password and code, or by an admin."""

import io
from typing import Final, NamedTuple

from sqlalchemy import func
from sqlmodel import Session, col, select

from ..access import second_factor, sessions, users
from ..access.authority import require
from ..actors import Actor
from ..audit.record import Target, record
from ..crypto import get_ring
from ..errors import Invalid
from ..extras import from_extra
from ..redaction import Secret
from ..store.sealed import second_factor_place
from ..store.table import id_of
from ..store.tables import SecondFactor, User
from . import keys

ISSUER: Final = "LLM Settings"


class Enrolment(NamedTuple):
    """A second factor that is not confirmed yet."""

    seed: Secret
    """In Base32, as people type it into an app."""
    qr_code: str
    """An SVG that an app scans; it has the seed in it."""

    def __repr__(self) -> str:
        return "<enrolment>"


def begin_enrolment(session: Session, actor: Actor) -> Enrolment:
    """Make a seed for the actor, in place of one that was not confirmed; it counts from :func:`confirm` on.

    Raises:
        Forbidden: If the sign-in has ended.
        Invalid: If they have a second factor already, or no password here.
        Sealed: If this process may seal nothing.
    """
    with from_extra():  # the commands of users work without it
        import pyotp  # noqa: PLC0415 - as above
        import segno  # noqa: PLC0415 - as above

    require(session, actor, "second_factor.enrol", role="member")
    user = users.get(session, actor.own_id())
    if user.password_hash is None:
        raise Invalid({"code": "is not asked for here: you sign in at your identity provider"})
    if second_factor.is_on(session, id_of(user)):
        raise Invalid({"code": "is asked for already: remove that second factor first"})
    keys.require_known(session, get_ring())
    second_factor.drop(session, user)
    seed = pyotp.random_base32()
    row = SecondFactor(user_id=id_of(user), last_step=0)
    session.add(row)
    session.flush()
    row.seed_encrypted, row.seed_key_id, row.seed_binding = get_ring().seal(seed, second_factor_place(row))
    session.flush()
    address = pyotp.TOTP(seed).provisioning_uri(name=user.username, issuer_name=ISSUER)
    svg = io.BytesIO()
    segno.make(address, error="m").save(svg, kind="svg", xmldecl=False, scale=5, border=4, light="#fff", dark="#000")
    return Enrolment(Secret(seed), svg.getvalue().decode())


def confirm_enrolment(session: Session, actor: Actor, code: str) -> list[str]:
    """Have the second factor count, as the actor's app shows the right code; ends their other sign-ins.

    Returns:
        The recovery codes, to be shown once.

    Raises:
        Forbidden: If the sign-in has ended.
        Invalid: If the code is wrong.
    """
    require(session, actor, "second_factor.enrol", role="member")
    user = users.get(session, actor.own_id())
    row = session.exec(
        select(SecondFactor)
        .where(SecondFactor.user_id == user.id, col(SecondFactor.confirmed_at).is_(None))
        .with_for_update()
    ).one_or_none()
    if row is None:
        raise Invalid({"code": "belongs to nothing any more: begin again"})
    step = second_factor.step_of(session, row, code)
    if step is None:
        raise Invalid(
            {
                "code": "is wrong: type the one that your app shows now. If none is taken, the clock of your device may be off"
            }
        )
    row.last_step, row.confirmed_at = step, session.scalar(select(func.clock_timestamp()))
    session.flush()
    record(session, actor, "second_factor.enrol", Target("user", user.id, user.username))
    if actor.session_id is not None:  # whoever else has come in by the password alone is out
        sessions.end_all(session, actor, id_of(user), but=actor.session_id)
    return second_factor.made_codes(session, user)


def remove(session: Session, actor: Actor, password: str, code: str) -> None:
    """Take the actor's own second factor away. The guess has been counted before, as at the sign-in.

    Raises:
        Forbidden: If the sign-in has ended.
        Invalid: If the password or the code is wrong, or there is no second factor; it does not say which of the two.
    """
    require(session, actor, "second_factor.remove", role="member")
    user = users.get(session, actor.own_id())
    if not users.password_fits(user, password) or not second_factor.fits(session, user, code):
        raise Invalid({"code": "or the password is wrong, or the code was used already"})
    second_factor.drop(session, user)
    record(session, actor, "second_factor.remove", Target("user", user.id, user.username))


def reset(session: Session, actor: Actor, user_id: int) -> User:
    """Take somebody's second factor away, who has lost it; ends their sign-ins.

    Raises:
        Forbidden, NotFound: To all but admins.
        Invalid: If they have none.
    """
    require(session, actor, "user.reset_second_factor")
    user = users.get(session, user_id)
    if not second_factor.drop(session, user):
        raise Invalid({"second_factor": f"is not there: {user.username} has none"})
    record(session, actor, "user.reset_second_factor", Target("user", user.id, user.username))
    sessions.end_all(session, actor, user_id)
    return user
