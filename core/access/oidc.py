"""An OpenID Connect provider as this app speaks to it: what it says of itself, its keys, the exchange of a code.

- One sign-in may ask it four times, within one deadline; an answer has a largest size; no redirect is followed. It is dialled as
  vendors are (:mod:`core.calling.dial`), by the operator's proxy where there is one.
- What it says of itself must name the very issuer that is configured, and addresses on https: on http only where the issuer
  is one of this machine's own.
- Its keys are kept for ten minutes and no longer, so that a key that was withdrawn is not believed until we restart. A ``kid`` that
  is not among them has them fetched anew, twice a minute at most, whoever sends how many.
"""

import json
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple
from urllib.parse import quote, urlencode, urlsplit

from ..calling.attempt import Attempt, current
from ..config import get_config
from ..errors import CoreError
from ..extras import from_extra
from ..redaction import Secret, remember
from .oidc_tokens import SigningKey, TokenRefused, public_keys
from .sso_config import OidcConfig, is_loopback, oidc_config

with from_extra("sso"):
    import httpx2

    from ..calling import dial

SECONDS: Final = 10.0
"""For all that one sign-in asks the provider."""
LARGEST: Final = 1024 * 1024
"""Bytes of one answer."""
LIFETIME_SECONDS: Final = 600
"""So long what the provider says of itself, and its keys, are used."""
BETWEEN_SECONDS: Final = 30
"""Between two looks at its keys for a ``kid`` that is not among them."""
PAUSE_SECONDS: Final = 3
"""So long after a failure nobody asks again: who waited for it hears the same."""
_OK: Final = 200
_DISCOVERY: Final = "/.well-known/openid-configuration"
_NEEDED: Final = ("authorization_endpoint", "token_endpoint", "jwks_uri")
_WANTED: Final = ("userinfo_endpoint", "end_session_endpoint")
_LONGEST_ADDRESS: Final = 2000
_ANSWERED: Final = "The identity provider answers otherwise than it should"


class ProviderAway(CoreError):
    """The identity provider cannot be reached, is too slow, or does not answer as one."""

    code = "IDENTITY_PROVIDER_AWAY"


class Endpoints(NamedTuple):
    """Where a provider is asked what."""

    authorization: str
    token: str
    jwks: str
    userinfo: str | None
    end_session: str | None
    names_itself: bool
    """Whether it promises ``iss`` in each answer to the browser (RFC 9207)."""


class GrantedTokens(NamedTuple):
    """What a provider gives for a code."""

    id_token: Secret
    access_token: Secret | None


class _Kept:
    """A document of the provider's, with how old it is: fetched by one thread at a time."""

    def __init__(self, fetch: Callable[[], Any], clock: Callable[[], float]) -> None:
        self._fetch, self._clock = fetch, clock
        self._lock = threading.Lock()
        self._value: Any = None
        self._at = self._tried = float("-inf")
        self._fault = ""

    def get(self) -> Any:
        """Return the document; one that is too old is fetched anew.

        Raises:
            ProviderAway: If it cannot be fetched, or could not be a moment ago: who waited meanwhile does not wait again.
        """
        with self._lock:
            if self._clock() - self._at < LIFETIME_SECONDS:
                return self._value
            if self._clock() - self._tried < PAUSE_SECONDS:
                raise ProviderAway(self._fault)
            return self._fetched()

    def get_newer(self) -> Any:
        """Return the document, fetched anew if nobody tried that for :data:`BETWEEN_SECONDS`; raises ProviderAway."""
        with self._lock:
            return self._value if self._clock() - self._tried < BETWEEN_SECONDS else self._fetched()

    def _fetched(self) -> Any:
        try:
            self._value = self._fetch()
            self._at = self._clock()
        except ProviderAway as error:
            self._fault = str(error)
            raise
        finally:
            self._tried = self._clock()
        return self._value


class IdentityProvider:
    """The provider that is configured; thread-safe.

    Args:
        config: Who it is, and as whom this app speaks to it.
        clock: Seconds that only grow.
    """

    def __init__(self, config: OidcConfig, clock: Callable[[], float] = time.monotonic) -> None:
        self.config = config
        self._client = dial.client(largest=LARGEST)
        self._itself = _Kept(self._discover, clock)
        self._keys = _Kept(self._fetch_keys, clock)

    def endpoints(self) -> Endpoints:
        """Return where it is asked what; raises ProviderAway."""
        found: Endpoints = self._itself.get()
        return found

    def keys(self, kid: str | None) -> list[SigningKey]:
        """Return its keys by that name; without one all. See :data:`core.access.oidc_tokens.KeysByKid`. Raises ProviderAway."""
        found = self._keys.get()
        if kid is not None and not any(key.kid == kid for key in found):
            found = self._keys.get_newer()
        return [key for key in found if kid is None or key.kid == kid]

    def authorization_address(self, *, redirect: str, state: str, nonce: str, challenge: str) -> str:
        """Return where the browser goes to sign in there.

        Args:
            redirect: Where it comes back.
            state: What it brings back.
            nonce: What the id token has to carry.
            challenge: The S256 challenge of PKCE (RFC 7636).

        Raises:
            ProviderAway: If it cannot be found out where that is.
        """
        address = self.endpoints().authorization
        asked = {
            "response_type": "code",
            "client_id": self.config.client_id,
            "redirect_uri": redirect,
            "scope": self.config.scopes,
            "state": state,
            "nonce": nonce,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        return f"{address}{'&' if '?' in address else '?'}{urlencode(asked)}"

    def end_session_address(self, *, back_to: str) -> str | None:
        """Return where the browser goes to sign out there too; None if it knows no such place, or cannot be asked now."""
        try:
            address = self.endpoints().end_session
        except ProviderAway:
            return None
        if address is None:
            return None
        asked = {"client_id": self.config.client_id, "post_logout_redirect_uri": back_to}
        return f"{address}{'&' if '?' in address else '?'}{urlencode(asked)}"

    def exchange_code(self, code: str, *, redirect: str, verifier: str) -> GrantedTokens:
        """Return the tokens for a code; the provider takes one once.

        Raises:
            ProviderAway: If it cannot be asked.
            TokenRefused: If it takes the code not, or gives no id token.
        """
        asked = {"grant_type": "authorization_code", "code": code, "redirect_uri": redirect, "code_verifier": verifier}
        headers = {}
        if self.config.client_secret is None:
            asked["client_id"] = self.config.client_id
        else:  # RFC 6749, 2.3.1: both are encoded as in a form before they are put together
            pair = ":".join(
                quote(part, safe="") for part in (self.config.client_id, self.config.client_secret.reveal())
            )
            headers["Authorization"] = f"Basic {b64encode(pair.encode()).decode()}"
        found = self._ask("POST", self.endpoints().token, data=asked, headers=headers, refusal=_REFUSED_CODE)
        id_token, access = found.get("id_token"), found.get("access_token")
        if not isinstance(id_token, str):
            raise TokenRefused("The identity provider gave no id token. Does LLM_OIDC_SCOPES have openid?")
        remember(id_token)
        if not isinstance(access, str):
            return GrantedTokens(Secret(id_token), None)
        remember(access)
        return GrantedTokens(Secret(id_token), Secret(access))

    def userinfo(self, access: Secret, subject: str) -> Mapping[str, Any]:
        """Return what it says of the user besides the id token; nothing if it has no such place.

        Raises:
            ProviderAway: If it cannot be asked.
            TokenRefused: If it speaks of somebody else.
        """
        address = self.endpoints().userinfo
        if address is None:
            return {}
        found = self._ask("GET", address, headers={"Authorization": f"Bearer {access.reveal()}"})
        if found.get("sub") != subject:
            raise TokenRefused("The identity provider's userinfo speaks of somebody else (sub).")
        return found

    def _discover(self) -> Endpoints:
        issuer = self.config.issuer
        found = self._ask("GET", f"{issuer.rstrip('/')}{_DISCOVERY}")
        named = found.get("issuer")
        if named != issuer:
            shown = repr(named[:200]) if isinstance(named, str) else "nothing"
            raise ProviderAway(
                f"{_ANSWERED}: it calls itself {shown}. LLM_OIDC_ISSUER must be that, to the letter and the last slash."
            )
        places = {name: _address(found.get(name), issuer) for name in (*_NEEDED, *_WANTED)}
        for name in _NEEDED:
            if places[name] is None:
                raise ProviderAway(f"{_ANSWERED}: its {name} is missing, or not on https.")
        return Endpoints(
            authorization=str(places["authorization_endpoint"]),
            token=str(places["token_endpoint"]),
            jwks=str(places["jwks_uri"]),
            userinfo=places["userinfo_endpoint"],
            end_session=places["end_session_endpoint"],
            names_itself=found.get("authorization_response_iss_parameter_supported") is True,
        )

    def _fetch_keys(self) -> list[SigningKey]:
        found = public_keys(self._ask("GET", self.endpoints().jwks))
        if not found:
            raise ProviderAway(f"{_ANSWERED}: it has no keys that can be used.")
        return found

    def _ask(
        self,
        method: str,
        address: str,
        *,
        refusal: str | None = None,
        headers: Mapping[str, str] | None = None,
        **body: Any,
    ) -> dict[str, Any]:
        """Ask it, and return the object that it answers.

        With *refusal* a status of 4xx is one of what was sent: TokenRefused, with the provider's own word for it.
        """
        try:
            with _bounded():
                response = self._client.request(
                    method, address, headers={"Accept": "application/json", **(headers or {})}, timeout=SECONDS, **body
                )
        except httpx2.TimeoutException:
            raise ProviderAway("The identity provider does not answer in time.") from None
        except dial.Unacceptable as error:
            raise ProviderAway(f"{_ANSWERED}: {error}.") from None
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError):
            raise ProviderAway("The identity provider cannot be reached.") from None
        found = _json_object(response.content)
        if refusal is not None and 400 <= response.status_code < 500:  # noqa: PLR2004 - HTTP's own
            word = (found or {}).get("error")
            known = word if isinstance(word, str) and word in _OAUTH_ERRORS else f"status {response.status_code}"
            raise TokenRefused(f"{refusal} ({known}).")
        if response.status_code != _OK or found is None:
            what = "no JSON" if response.status_code == _OK else f"status {response.status_code}"
            raise ProviderAway(f"{_ANSWERED}: {what}.")
        return found


_REFUSED_CODE: Final = "The identity provider does not take the code"
_OAUTH_ERRORS: Final = frozenset(
    {
        *("invalid_request", "invalid_client", "invalid_grant", "unauthorized_client"),
        *("unsupported_grant_type", "invalid_scope", "invalid_target"),
    }
)
"""RFC 6749, 5.2; RFC 8707: what is repeated of its words."""


_now: IdentityProvider | None = None


def identity_provider() -> IdentityProvider | None:
    """Return the provider of this process, the same for as long as the configuration is; None if there is none. Raises BadConfig."""
    global _now  # noqa: PLW0603 - one of the process, with what it keeps of the provider's
    config = oidc_config(get_config())
    if config is None:
        return None
    if _now is None or _now.config != config:
        _now = IdentityProvider(config)
    return _now


def in_one_go() -> Any:
    """Return a context in which all that the provider is asked has to be answered within :data:`SECONDS` together."""
    return Attempt(SECONDS).in_force()


def _bounded() -> Any:
    return (current() or Attempt(SECONDS)).in_force()


def _json_object(body: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _address(value: object, issuer: str) -> str | None:
    """Return an address that the provider names, if it may be asked there; None else."""
    if not isinstance(value, str) or len(value) > _LONGEST_ADDRESS or not value.isascii() or not value.isprintable():
        return None
    try:
        parts = urlsplit(value)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return None
    if not host or "@" in parts.netloc or parts.fragment or " " in value:
        return None
    if parts.scheme == "https":
        return value
    return value if parts.scheme == "http" and is_loopback(issuer) and is_loopback(value) else None
