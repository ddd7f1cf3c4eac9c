"""The access review: who and what may come in, with which rights, and when each last did. A line for each, as CSV."""

from collections.abc import Iterator
from datetime import datetime
from typing import Final, NamedTuple

from sqlalchemy import text
from sqlmodel import Session

from .. import spreadsheet
from ..actors import Actor
from .authority import require

ACTION: Final = "access.review"


class Access(NamedTuple):
    """One user, or one API token."""

    kind: str
    """``user`` or ``token``."""
    name: str
    role: str
    organizations: str
    """By slug, with the role there: ``emea (admin), apac (analyst)``."""
    state: str
    """``active`` or ``disabled``; of a token ``active``, ``expired`` or ``revoked``."""
    signs_in_by: str
    """``password``, ``identity provider``, or both; of a token ``token``."""
    second_factor: str
    """Ours; what an identity provider asks for is not known here."""
    break_glass: bool | None
    """Whether the password signs in where those of others are refused; None of a token."""
    last_used: datetime | None
    """The last sign-in, or the last request with the token; None: never, as far back as the audit goes."""
    created: datetime
    created_by: str | None
    """Of a token."""
    ends: datetime | None
    """When a token ends, or was revoked."""


_USERS: Final = text("""
    SELECT 'user' AS kind, u.username AS name, u.role, coalesce(m.names, '') AS organizations,
        CASE WHEN u.is_active THEN 'active' ELSE 'disabled' END AS state,
        concat_ws(', ', CASE WHEN u.password_hash IS NOT NULL THEN 'password' END,
            CASE WHEN u.sso_subject IS NOT NULL THEN 'identity provider' END) AS signs_in_by,
        CASE WHEN EXISTS (SELECT 1 FROM second_factors f WHERE f.user_id = u.id AND f.confirmed_at IS NOT NULL)
            THEN 'app' ELSE 'none' END AS second_factor, u.break_glass, greatest(e.at, s.at) AS last_used,
        u.created_at AS created, NULL AS created_by, NULL::timestamptz AS ends
    FROM users u
    LEFT JOIN (
        SELECT m.user_id, string_agg(format('%s (%s)', o.slug, m.role), ', ' ORDER BY o.slug) AS names
        FROM organization_members m JOIN organizations o ON o.id = m.organization_id AND o.deleted_at IS NULL GROUP BY 1
    ) m ON m.user_id = u.id
    LEFT JOIN (
        SELECT actor_id, max(at) AS at FROM audit_events WHERE action = 'session.sign_in' GROUP BY 1
    ) e ON e.actor_id = u.id
    LEFT JOIN (SELECT user_id, max(created_at) AS at FROM auth_sessions GROUP BY 1) s ON s.user_id = u.id
    ORDER BY u.username
""")
_TOKENS: Final = text("""
    SELECT 'token' AS kind, t.name, t.role, coalesce(format('%s (%s)', o.slug, t.organization_role), '') AS organizations,
        CASE WHEN t.revoked_at IS NOT NULL THEN 'revoked' WHEN t.expires_at <= clock_timestamp() THEN 'expired'
            ELSE 'active' END AS state,
        'token' AS signs_in_by, '' AS second_factor, NULL::boolean AS break_glass, t.last_used_at AS last_used,
        t.created_at AS created, t.created_by, coalesce(t.revoked_at, t.expires_at) AS ends
    FROM api_tokens t LEFT JOIN organizations o ON o.id = t.organization_id
    ORDER BY t.revoked_at IS NOT NULL, lower(t.name), t.id DESC
""")


def review(session: Session, actor: Actor) -> list[Access]:
    """Return everybody who may come in, by name, disabled ones too; then the API tokens, revoked ones last.

    Raises:
        Forbidden: To all but admins.
    """
    require(session, actor, ACTION)
    return [Access(*row) for query in (_USERS, _TOKENS) for row in session.execute(query)]


def as_csv(found: list[Access]) -> Iterator[str]:
    """Return the lines of a CSV file; no spreadsheet runs what is in it. Times are ISO 8601."""
    return spreadsheet.lines(Access._fields, map(_cells, found))


def _cells(line: Access) -> list[object]:
    shown: list[object] = []
    for cell in line:
        if isinstance(cell, datetime):
            shown.append(cell.isoformat(timespec="seconds"))
        elif isinstance(cell, bool):
            shown.append("yes" if cell else "no")
        else:
            shown.append(cell)
    return shown
