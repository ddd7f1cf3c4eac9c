"""What of a provider's tokens is believed: one row for each forged or odd one, and one for each that is right."""

import hmac
import json
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from joserfc.jwk import RSAKey

from core.access.oidc_tokens import (
    ALGORITHMS,
    LONGEST,
    TokenRefused,
    id_claims,
    logout_claims,
    public_keys,
)
from tests.identity import CLIENT, LOGOUT, SECRET, elliptic, new_key, sign

NOW = 1_800_000_000.0
ISSUER, NONCE = "https://login.example/realms/corp", "the nonce of this sign-in"
RIGHT, FOREIGN, CURVE = new_key("right"), new_key("right"), elliptic("curve")
WEAK = RSAKey.generate_key(2048, {"kid": "weak"})
BOUND = RSAKey.import_key(RIGHT.as_dict(private=True, kid="bound"))
KEYS = public_keys(
    {
        "keys": [
            *(key.as_dict(private=False) for key in (RIGHT, CURVE)),
            WEAK.as_dict(private=False, use="enc"),
            BOUND.as_dict(private=False, alg="RS256"),
        ]
    }
)
CLAIMS = {"iss": ISSUER, "aud": CLIENT, "sub": "u1", "nonce": NONCE, "iat": NOW, "exp": NOW + 300}
LOGOUTS = {"iss": ISSUER, "aud": CLIENT, "sub": "u1", "iat": NOW, "exp": NOW + 120, "jti": "j1", "events": {LOGOUT: {}}}
Made = Callable[[], str]


def _keys(kid: str | None) -> Iterable[Any]:
    return [key for key in KEYS if kid is None or key.kid == kid]


def _id(change: dict[str, Any] | None = None, key: Any = RIGHT, head: dict[str, Any] | None = None) -> Made:
    claims = {name: value for name, value in (CLAIMS | (change or {})).items() if value is not None}
    return lambda: sign(claims, key, head)


def _logout(change: dict[str, Any], head: dict[str, Any] | None = None) -> Made:
    return lambda: sign({name: value for name, value in (LOGOUTS | change).items() if value is not None}, RIGHT, head)


def _unsigned(algorithm: str) -> Made:
    parts = ({"alg": algorithm, "kid": "right"}, CLAIMS)
    return lambda: ".".join([*(urlsafe_b64encode(json.dumps(p).encode()).decode().rstrip("=") for p in parts), ""])


def _by_secret(secret: bytes) -> Made:
    def made() -> str:  # by hand: the library refuses to sign so
        parts = ({"alg": "HS256", "kid": "right"}, CLAIMS)
        signed = b".".join(urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in parts)
        return b".".join([signed, urlsafe_b64encode(hmac.digest(secret, signed, "sha256")).rstrip(b"=")]).decode()

    return made


def _other_words() -> str:
    head, _, signature = _id()().split(".")
    return ".".join([head, _id({"sub": "u2"})().split(".")[1], signature])


PUBLIC = RIGHT.raw_value.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
FORGED: dict[str, tuple[Made, str]] = {
    "none": (_unsigned("none"), r"\(alg\)"),
    "None": (_unsigned("None"), r"\(alg\)"),
    "no signature": (_unsigned("RS256"), "none of the provider's keys"),
    "HS256 with the client's secret": (_by_secret(SECRET.encode()), r"\(alg\)"),
    "HS256 with the public key": (_by_secret(PUBLIC), r"\(alg\)"),
    "another key under the same kid": (_id(key=FOREIGN), "none of the provider's keys"),
    "a kid that is not there": (_id(head={"kid": "other"}), "none of the provider's keys"),
    "a key that is for encryption": (_id(key=WEAK), "none of the provider's keys"),
    "another algorithm than its key is for": (_id(key=BOUND, head={"alg": "PS256"}), "none of the provider's keys"),
    "an algorithm of another sort of key": (_id(key=RIGHT, head={"kid": "curve"}), "none of the provider's keys"),
    "another's words under the signature": (_other_words, "none of the provider's keys"),
    "conditions": (_id(head={"crit": ["b64"], "b64": True}), r"\(crit\)|can be read"),
    "an access token": (_id(head={"typ": "at+jwt"}), r"\(typ\)"),
    "another issuer": (_id({"iss": "https://login.example/realms/other"}), r"\(iss\)"),
    "the issuer with a slash": (_id({"iss": f"{ISSUER}/"}), r"\(iss\)"),
    "another audience": (_id({"aud": "other"}), r"\(aud\)"),
    "an audience that begins alike": (_id({"aud": f"{CLIENT}-2"}), r"\(aud\)"),
    "several audiences without azp": (_id({"aud": [CLIENT, "other"]}), r"several programs.*\(azp\)"),
    "another azp": (_id({"azp": "other"}), r"another program \(azp\)"),
    "another nonce": (_id({"nonce": "another"}), r"\(nonce\)"),
    "no nonce": (_id({"nonce": None}), r"\(nonce\)"),
    "ended two minutes ago": (_id({"iat": NOW - 420, "exp": NOW - 120}), r"\(exp\).*clocks"),
    "ended a minute ago": (_id({"exp": NOW - 60}), r"\(exp\)"),
    "holds in two minutes": (_id({"nbf": NOW + 120}), r"\(nbf\)"),
    "made in two minutes": (_id({"iat": NOW + 120}), r"\(iat\)"),
    "no exp": (_id({"exp": None}), r"\(iat, exp\)"),
    "no iat": (_id({"iat": None}), r"\(iat, exp\)"),
    "a text for a time": (_id({"exp": "9999999999"}), r"a time that is none \(exp\)"),
    "no sub": (_id({"sub": None}), r"\(sub\)"),
    "a number for sub": (_id({"sub": 7}), r"\(sub\)"),
    "a sub too long": (_id({"sub": "x" * 256}), r"\(sub\)"),
    "a list for claims": (lambda: sign(b"[1]", RIGHT), "can be read"),
    "no token": (lambda: "hello", "can be read"),
    "too long": (lambda: "a" * (LONGEST + 1), "too long"),
}
FORGED_LOGOUTS: dict[str, tuple[Made, str]] = {
    "an id token": (_id(), r"\(events\)"),
    "with a nonce": (_logout({"nonce": NONCE}), r"\(nonce\)"),
    "without events": (_logout({"events": None}), r"\(events\)"),
    "with another event": (_logout({"events": {"x": {}}}), r"\(events\)"),
    "without jti": (_logout({"jti": None}), r"\(jti\)"),
    "of nobody": (_logout({"sub": None}), r"\(sub\)"),
    "of another provider": (_logout({"iss": "https://other.example"}), r"\(iss\)"),
    "for another program": (_logout({"aud": "other"}), r"\(aud\)"),
    "ended": (_logout({"iat": NOW - 200, "exp": NOW - 61}), r"\(exp\)"),
    "good for a year": (_logout({"iat": NOW - 700, "exp": NOW + 31_536_000}), "too old"),
    "an odd sid": (_logout({"sid": 4}), r"\(sid\)"),
}
GOOD: dict[str, Made] = {
    "as usual": _id(),
    "55 seconds late": _id({"iat": NOW - 355, "exp": NOW - 55}),
    "55 seconds early": _id({"iat": NOW + 55, "nbf": NOW + 55}),
    "a list with us alone": _id({"aud": [CLIENT]}),
    "for several, made for us": _id({"aud": [CLIENT, "other"], "azp": CLIENT}),
    "without kid": _id(head={"kid": None}),
    "an elliptic curve": _id(key=CURVE, head={"alg": "ES256"}),
    "PS512": _id(head={"alg": "PS512"}),
    "500 groups": _id({"groups": [f"group-{n:06}" for n in range(500)]}),
    "further words in its head": _id(head={"x5t": "abc", "typ": "JWT"}),
}


@pytest.mark.parametrize(("made", "why"), FORGED.values(), ids=FORGED)
def test_forged_or_odd_token_is_refused(made: Made, why: str) -> None:
    """Each is refused, with the check that it fails, and without a word of its own."""
    with pytest.raises(TokenRefused, match=why) as caught:
        id_claims(made(), _keys, issuer=ISSUER, client_id=CLIENT, nonce=NONCE, now=NOW)
    assert "u1" not in str(caught.value)
    assert "other" not in str(caught.value).replace("another", "")


@pytest.mark.parametrize("made", GOOD.values(), ids=GOOD)
def test_right_token_is_believed(made: Made) -> None:
    """What providers really send passes, with clocks 55 seconds apart."""
    assert id_claims(made(), _keys, issuer=ISSUER, client_id=CLIENT, nonce=NONCE, now=NOW)["sub"] == "u1"


@pytest.mark.parametrize(("made", "why"), FORGED_LOGOUTS.values(), ids=FORGED_LOGOUTS)
def test_forged_logout_token_is_refused(made: Made, why: str) -> None:
    """Nobody is signed out by a token that was made for something else."""
    with pytest.raises(TokenRefused, match=why):
        logout_claims(made(), _keys, issuer=ISSUER, client_id=CLIENT, now=NOW)


def test_logout_token_names_a_session_or_a_person() -> None:
    """By sid, by sub, or by both; its number is kept for as long as it could come again."""
    read = {"issuer": ISSUER, "client_id": CLIENT, "now": NOW}
    both = logout_claims(_logout({"sid": "s1"}, {"typ": "logout+jwt"})(), _keys, **read)
    alone = logout_claims(_logout({"sid": "s1", "sub": None})(), _keys, **read)

    assert (both.subject, both.sid, both.jti, both.expires) == ("u1", "s1", "j1", NOW + 180)
    assert (alone.subject, alone.sid) == (None, "s1")


@pytest.mark.filterwarnings("ignore:Key size should be")
def test_keys_that_nobody_can_sign_with_for_all_are_the_public_ones() -> None:
    """Of a published document shared secrets, short keys and nonsense are passed over; algorithms have public keys."""
    short = RSAKey.generate_key(1024, {"kid": "short"}).as_dict(private=False)
    shared = {"kty": "oct", "k": "c2VjcmV0", "kid": "shared"}

    assert public_keys({"keys": [shared, short, 5, {"kty": "RSA"}, {"kty": "new"}]}) == []
    assert public_keys([]) == public_keys({"keys": None}) == []
    assert not {name for name in ALGORITHMS if name.startswith(("HS", "none"))}
