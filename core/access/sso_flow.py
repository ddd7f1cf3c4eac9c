"""One sign-in at the identity provider, from the link to what comes back. Nothing of it is stored before it comes back.

The browser's cookie is all there is: a random secret with the moment of the start in it. State, nonce and PKCE's verifier follow from it,
each by its own label, so that none tells another. The nonce, which the provider signs, covers the moment: nobody makes a
sign-in younger than it is.
"""

import hmac
import secrets
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from hashlib import sha256
from typing import Any, Final, NamedTuple

from ..errors import CoreError
from .oidc import IdentityProvider, in_one_go
from .oidc_tokens import SKEW_SECONDS, TokenRefused, id_claims, logout_claims
from .sso_groups import groups_in

LIFETIME_SECONDS: Final = 600
"""From the link until the provider has sent the browser back."""
_RANDOM: Final = 28
_REFUSALS: Final = frozenset(
    {
        *("access_denied", "invalid_request", "unauthorized_client", "unsupported_response_type", "invalid_scope"),
        *("server_error", "temporarily_unavailable", "interaction_required", "login_required", "consent_required"),
        *("account_selection_required",),
    }
)
"""RFC 6749, 4.1.2.1; OpenID Connect Core, 3.1.2.6: what is repeated of a provider's words."""


class SignOnFailed(CoreError):
    """A sign-in that came back otherwise than it went out."""

    code = "SIGN_ON_FAILED"


class Begun(NamedTuple):
    """A sign-in that has begun, as the browser's cookie has it."""

    cookie: str
    at: int

    @property
    def state(self) -> str:
        """What the browser brings back."""
        return self._derived("state")

    @property
    def nonce(self) -> str:
        """What the id token has to carry."""
        return self._derived("nonce")

    @property
    def verifier(self) -> str:
        """What only who began knows (PKCE)."""
        return self._derived("verifier")

    @property
    def challenge(self) -> str:
        """The verifier's SHA-256, which the provider gets beforehand."""
        return _text(sha256(self.verifier.encode()).digest())

    @property
    def ends(self) -> int:
        """Until when it may come back, seconds since 1970."""
        return self.at + LIFETIME_SECONDS

    def _derived(self, label: str) -> str:
        return _text(hmac.digest(self.cookie.encode(), label.encode(), "sha256"))


def begin_sign_on(now: float | None = None) -> Begun:
    """Return a new sign-in."""
    at = int(time.time() if now is None else now)
    return Begun(_text(at.to_bytes(4, "big") + secrets.token_bytes(_RANDOM)), at)


def address_for(provider: IdentityProvider, begun: Begun) -> str:
    """Return where the browser goes to sign in; raises :class:`core.access.oidc.ProviderAway`."""
    return provider.authorization_address(
        redirect=provider.config.redirect, state=begun.state, nonce=begun.nonce, challenge=begun.challenge
    )


def came_back(
    provider: IdentityProvider, cookie: str | None, query: Mapping[str, list[str]], now: float | None = None
) -> Begun:
    """Return the sign-in that a browser comes back from, once what it brings fits; its state was not counted yet.

    Raises:
        SignOnFailed: If it is another browser, too late, of another provider (RFC 9207), or the provider says no.
        ProviderAway: If the provider has to be asked what it is, and cannot be.
    """
    again = "Begin again at the sign-in."
    if cookie is None:
        raise SignOnFailed(f"This sign-in was not begun in this browser, or too long ago. {again}")
    try:
        begun = Begun(cookie, int.from_bytes(urlsafe_b64decode(f"{cookie}=")[:4], "big"))
    except ValueError:
        raise SignOnFailed(f"This sign-in was not begun here. {again}") from None
    if not hmac.compare_digest(_one(query, "state").encode(), begun.state.encode()):
        raise SignOnFailed(f"This sign-in was not begun in this browser. {again}")
    current = time.time() if now is None else now
    if not begun.at - SKEW_SECONDS <= current < begun.ends:
        raise SignOnFailed(f"This sign-in took too long. {again}")
    if ("iss" in query or provider.endpoints().names_itself) and _one(query, "iss") != provider.config.issuer:
        raise SignOnFailed(f"Another identity provider has answered than was asked. {again}")
    if "error" in query:
        said = _one(query, "error")
        word = said if said in _REFUSALS else "an error of its own"
        raise SignOnFailed(f"The identity provider did not sign you in ({word}). {again}")
    return begun


def fetch_claims(
    provider: IdentityProvider, begun: Begun, query: Mapping[str, list[str]]
) -> tuple[dict[str, Any], Mapping[str, Any]]:
    """Return the checked claims of who has signed in, and what userinfo says besides, if the token says no groups.

    All that the provider is asked for it has one deadline.

    Raises:
        ProviderAway: If it cannot be asked.
        TokenRefused: If what it says is not believed.
    """
    config = provider.config
    with in_one_go():
        tokens = provider.exchange_code(_one(query, "code"), redirect=config.redirect, verifier=begun.verifier)
        claims = id_claims(
            tokens.id_token.reveal(),
            provider.keys,
            issuer=config.issuer,
            client_id=config.client_id,
            nonce=begun.nonce,
        )
        info: Mapping[str, Any] = {}
        if groups_in(claims, config.groups_claim) is None and tokens.access_token is not None:
            info = provider.userinfo(tokens.access_token, str(claims["sub"]))
        return claims, info


def signed_out(provider: IdentityProvider, form: Mapping[str, list[str]]) -> Any:
    """Return whom a back-channel logout is about; raises ProviderAway and TokenRefused."""
    with in_one_go():
        token = _one(form, "logout_token")
        if not token:
            raise TokenRefused("There is no logout_token.")
        return logout_claims(token, provider.keys, issuer=provider.config.issuer, client_id=provider.config.client_id)


def _one(query: Mapping[str, list[str]], name: str) -> str:
    """Return a value that came once; empty else."""
    values = query.get(name, [])
    return values[0] if len(values) == 1 else ""


def _text(raw: bytes) -> str:
    return urlsafe_b64encode(raw).decode().rstrip("=")
