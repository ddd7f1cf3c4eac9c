"""What an identity provider signs, and what has to hold before a word of it is believed: id tokens and logout tokens.

Nothing here asks the network: the keys are handed in, those whose ``kid`` the token names. Each check has its own sentence, which
the audit and the log may have; no sentence repeats what came, but for the names of algorithms.
"""

import hmac
import json
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple

from ..errors import CoreError
from ..extras import from_extra

with from_extra():
    from joserfc import jws
    from joserfc.errors import JoseError
    from joserfc.jwk import ECKey, JWKRegistry, RSAKey

ALGORITHMS: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512")
"""With these a provider may sign: each has a public key. None with a shared secret, and not none."""
SKEW_SECONDS: Final = 60
"""So far the provider's clock and ours may be apart."""
LONGEST: Final = 65_536
"""Characters of a token; one with 500 groups has about 20,000."""
MOST_KEYS: Final = 50
_SMALLEST_RSA: Final = 2048
"""Bits."""
_LOGOUT: Final = "http://schemas.openid.net/event/backchannel-logout"
_LONGEST_NAME: Final = 255
"""Characters of a ``sub`` (OpenID Connect Core 2)."""
_OLDEST_LOGOUT: Final = 600
"""Seconds after its ``iat`` for which a logout token is good at most, whatever its ``exp``: so long its ``jti`` is remembered."""

SigningKey = RSAKey | ECKey
KeysByKid = Callable[[str | None], Iterable[SigningKey]]
"""The ``kid`` of a header, None if it has none -> the provider's keys that may have signed it."""


class TokenRefused(CoreError):
    """A token that is not believed; its words say which check it failed."""

    code = "TOKEN_REFUSED"


class LogoutToken(NamedTuple):
    """Whom a provider has signed out: one of both is said at least."""

    subject: str | None
    sid: str | None
    """The provider's own session."""
    jti: str
    """The token's number: it counts once."""
    expires: float
    """Until when it would be taken again, seconds since 1970: so long its number is remembered."""


def public_keys(document: Any) -> list[SigningKey]:
    """Return the keys of a JWKS document that may sign: public ones of RSA or elliptic curves; others are passed over."""
    found = document.get("keys") if isinstance(document, Mapping) else None
    keys = (_public_key(entry) for entry in (found[:MOST_KEYS] if isinstance(found, list) else ()))
    return [key for key in keys if key is not None]


def _public_key(entry: Any) -> SigningKey | None:
    if not isinstance(entry, Mapping) or entry.get("use", "sig") != "sig" or entry.get("kty") not in {"RSA", "EC"}:
        return None  # a shared secret in a public document is known to everybody
    try:
        key = JWKRegistry.import_key({name: value for name, value in entry.items() if name != "key_ops"})
    except (JoseError, ValueError, TypeError, KeyError):
        return None
    if isinstance(key, RSAKey) and key.raw_value.key_size < _SMALLEST_RSA:
        return None
    return key if isinstance(key, RSAKey | ECKey) else None


def id_claims(
    token: str, keys: KeysByKid, *, issuer: str, client_id: str, nonce: str, now: float | None = None
) -> dict[str, Any]:
    """Return the claims of an id token that was made for this app, for this sign-in, now.

    Args:
        token: As the provider's token endpoint answered it.
        keys: See :data:`KeysByKid`.
        issuer: Of whom it has to be.
        client_id: For whom.
        nonce: What this sign-in has sent.
        now: Seconds since 1970; default: this machine's clock.

    Raises:
        TokenRefused: With the check that it fails.
    """
    claims = _signed(token, keys)
    _check_parties(claims, issuer, client_id)
    _check_times(claims, time.time() if now is None else now)
    _subject(claims)
    sent = claims.get("nonce")
    if not isinstance(sent, str) or not hmac.compare_digest(sent.encode(), nonce.encode()):
        raise TokenRefused("The token is of another sign-in (nonce).")
    return claims


def logout_claims(token: str, keys: KeysByKid, *, issuer: str, client_id: str, now: float | None = None) -> LogoutToken:
    """Return whom a logout token signs out (OpenID Connect Back-Channel Logout 1.0, 2.6); whether it came before, the database knows.

    Raises:
        TokenRefused: With the check that it fails.
    """
    claims = _signed(token, keys)
    _check_parties(claims, issuer, client_id)
    current = time.time() if now is None else now
    issued, expires = _check_times(claims, current)
    events, jti, sid = claims.get("events"), claims.get("jti"), claims.get("sid")
    if not isinstance(events, Mapping) or not isinstance(events.get(_LOGOUT), Mapping):
        raise TokenRefused("The token tells of no sign-out (events).")
    if "nonce" in claims:
        raise TokenRefused("The token is one of a sign-in (nonce).")
    if not isinstance(jti, str) or not _is_name(jti):
        raise TokenRefused("The token has no number (jti).")
    if sid is not None and not _is_name(sid):
        raise TokenRefused("The token names no session of a provider's (sid).")
    subject = _subject(claims) if sid is None or "sub" in claims else None
    if current > issued + _OLDEST_LOGOUT:
        raise TokenRefused("The token is too old (iat). Are both clocks right?")
    return LogoutToken(subject, sid, jti, min(expires, issued + _OLDEST_LOGOUT) + SKEW_SECONDS)


def _signed(token: str, keys: KeysByKid) -> dict[str, Any]:
    """Return what *token* says, once one of the provider's keys fits its signature."""
    if len(token) > LONGEST or not token.isascii():
        raise TokenRefused("The token is too long, or no token.")
    try:
        header = jws.extract_compact(token.encode()).headers()
    except (JoseError, ValueError, TypeError, KeyError, RecursionError):
        raise TokenRefused("The token is none that can be read.") from None
    algorithm, kid = header.get("alg"), header.get("kid")
    if algorithm not in ALGORITHMS:
        raise TokenRefused(f"The token is not signed with one of {', '.join(ALGORITHMS)} (alg).")
    if header.get("typ") not in {None, "JWT", "jwt", "logout+jwt"}:
        raise TokenRefused("The token is of another sort (typ).")
    if "crit" in header:
        raise TokenRefused("The token has conditions that this program does not know (crit).")
    return _claims(_fitting(token, algorithm, keys(None if kid is None else str(kid))))


def _fitting(token: str, algorithm: str, keys: Iterable[SigningKey]) -> bytes:
    for key in keys:
        try:  # which refuses a key of another sort, for another use, or for another algorithm
            found = jws.deserialize_compact(
                token, key, registry=jws.JWSRegistry(None, [algorithm], strict_check_header=False)
            )
        except (JoseError, ValueError, TypeError):
            continue
        return found.payload
    raise TokenRefused("The token is signed with none of the provider's keys.")


def _claims(payload: bytes) -> dict[str, Any]:
    try:
        claims = json.loads(payload)
    except (ValueError, RecursionError):
        claims = None
    if not isinstance(claims, dict):
        raise TokenRefused("The token says nothing that can be read.")
    return claims


def _check_parties(claims: Mapping[str, Any], issuer: str, client_id: str) -> None:
    if claims.get("iss") != issuer:
        raise TokenRefused("The token is of another provider (iss).")
    audience = claims.get("aud")
    audiences = audience if isinstance(audience, list) else [audience]
    if client_id not in audiences:
        raise TokenRefused("The token is for another program (aud).")
    if len(audiences) > 1 and "azp" not in claims:
        raise TokenRefused("The token is for several programs, and does not say for which one it was made (azp).")
    if claims.get("azp", client_id) != client_id:
        raise TokenRefused("The token was made for another program (azp).")


def _check_times(claims: Mapping[str, Any], now: float) -> tuple[float, float]:
    """Return when a token was made and when it ends."""
    expires, issued = _moment(claims, "exp"), _moment(claims, "iat")
    if expires is None or issued is None:
        raise TokenRefused("The token does not say when it was made and when it ends (iat, exp).")
    if now >= expires + SKEW_SECONDS:
        raise TokenRefused("The token has ended (exp). Are both clocks right?")
    if issued > now + SKEW_SECONDS:
        raise TokenRefused("The token is from the future (iat). Are both clocks right?")
    if (begins := _moment(claims, "nbf")) is not None and begins > now + SKEW_SECONDS:
        raise TokenRefused("The token does not hold yet (nbf). Are both clocks right?")
    return issued, expires


def _moment(claims: Mapping[str, Any], name: str) -> float | None:
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 2**40:
        raise TokenRefused(f"The token has a time that is none ({name}).")
    return float(value)


def _subject(claims: Mapping[str, Any]) -> str:
    subject = claims.get("sub")
    if not _is_name(subject):
        raise TokenRefused("The token does not say of whom it is (sub).")
    return str(subject)


def _is_name(value: object) -> bool:
    return isinstance(value, str) and 1 <= len(value) <= _LONGEST_NAME and value.isprintable()
