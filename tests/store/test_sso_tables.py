"""Who signs in at an identity provider, in the store: what raw SQL may not write, and what the version before finds."""

import bcrypt
import psycopg
import pytest
from sqlalchemy import text

from core.store import db, migrate

ADD = (
    "INSERT INTO users (username, role, password_hash, sso_issuer, sso_subject, break_glass) VALUES ({}, 'analyst', {})"
)


@pytest.mark.parametrize(
    ("name", "values", "constraint"),
    [
        ("nobody", "NULL, NULL, NULL, false", "users_signs_in_check"),
        ("half", "'*', 'https://a', NULL, false", "users_signs_in_check"),
        ("other-half", "NULL, NULL, 's1', false", "users_signs_in_check"),
        ("empty", "NULL, 'https://a', '', false", "users_sso_subject_check"),
        ("way-back", "NULL, 'https://a', 's2', true", "users_break_glass_check"),
        ("twice", "NULL, 'https://a', 'taken', false", "users_sso_key"),
    ],
)
def test_user_signs_in_one_way_at_least_and_is_one_person(
    name: str, values: str, constraint: str, database: str
) -> None:
    """Without password, issuer or subject nobody is stored; one person of a provider's is one user; others are two."""
    with psycopg.connect(database) as connection:
        connection.execute(ADD.format("'first'", "NULL, 'https://a', 'taken', false").encode())
        connection.execute(ADD.format("'elsewhere'", "NULL, 'https://b', 'taken', false").encode())
        with pytest.raises(psycopg.IntegrityError, match=constraint):
            connection.execute(ADD.format(f"'{name}'", values).encode())
        connection.rollback()


def test_version_before_keeps_such_users_and_lets_them_in_by_no_password(database: str) -> None:
    """A step down: the row stays, with a hash of its own that nothing fits, the sign-in ends; a step up again is whole."""
    engine = db.make_engine(database)
    with engine.begin() as connection:
        connection.execute(text(ADD.format("'eve'", "NULL, 'https://a', 's', false")))
        connection.execute(text(ADD.format("'ada'", "'*', 'https://a', 'linked', true")))
        connection.execute(
            text(
                "INSERT INTO auth_sessions (user_id, auth_epoch, sid_hash, expires_at, sso_sid)"
                " SELECT id, 1, username, now() + interval '1 hour', 'x' FROM users WHERE username IN ('eve', 'ada')"
            )
        )
        connection.execute(text("INSERT INTO sso_used (digest, expires_at) VALUES ('d', now())"))

    migrate.downgrade(engine, "0041")

    with engine.connect() as connection:
        hashes = dict(connection.execute(text("SELECT username, password_hash FROM users")).all())
        live = set(
            connection.scalars(
                text("SELECT sid_hash FROM auth_sessions WHERE revoked_at IS NULL AND user_id IS NOT NULL")
            )
        )
    assert hashes["ada"] == "*"
    assert not any(bcrypt.checkpw(guess, hashes["eve"].encode()) for guess in (b"", b"*", b"eve"))
    assert "ada" in live
    assert "eve" not in live
    assert migrate.upgrade(engine)
    assert migrate.differences(engine) == []
