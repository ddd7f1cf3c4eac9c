"""The identity provider as this app asks it: right, down, slow, lying, and back with other keys."""

import time
from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

import pytest

from core.access import oidc
from core.access.oidc import IdentityProvider, ProviderAway
from core.access.oidc_tokens import TokenRefused, id_claims
from core.access.sso_config import OidcConfig, oidc_config
from core.config import Config
from core.errors import BadConfig
from core.redaction import Secret
from tests.identity import CLIENT, SECRET, Identity, new_key

SET = {
    "LLM_OIDC_ISSUER": "https://login.example/realms/corp",
    "LLM_OIDC_CLIENT_ID": CLIENT,
    "LLM_PUBLIC_URL": "https://llm.corp.example/llm",
    "LLM_OIDC_ADMIN_GROUPS": "llm-admins",
}
DISCOVERY = "/.well-known/openid-configuration"


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def served() -> Iterator[Identity]:
    """A provider that answers."""
    with Identity() as provider:
        yield provider


def _config(issuer: str, **more: str) -> OidcConfig:
    found = oidc_config(Config.read({**SET, "LLM_OIDC_ISSUER": issuer, **more}))
    assert found is not None
    return found


def _client(served: Identity, clock: Clock | None = None, **more: str) -> IdentityProvider:
    return IdentityProvider(_config(served.issuer, **more), clock or time.monotonic)


def test_browser_is_sent_with_all_that_protects_the_answer(served: Identity) -> None:
    """Code, PKCE by S256, state, nonce, and our own address to come back to, whatever a Host says."""
    address = _client(served).authorization_address(
        redirect="https://a/sso/callback", state="s", nonce="n", challenge="c"
    )
    asked = {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}

    assert address.startswith(f"{served.issuer}/authorize?")
    assert asked == {
        "response_type": "code",
        "client_id": CLIENT,
        "redirect_uri": "https://a/sso/callback",
        "scope": "openid profile email",
        "state": "s",
        "nonce": "n",
        "code_challenge": "c",
        "code_challenge_method": "S256",
    }


def test_code_is_exchanged_with_the_secret_in_a_header(served: Identity) -> None:
    """The secret, encoded as RFC 6749 says, is in no form and no address; a public client names itself in the form."""
    held = _client(served, LLM_OIDC_CLIENT_SECRET=SECRET)
    tokens = held.exchange_code("c1", redirect="https://a/sso/callback", verifier="v")
    _client(served).exchange_code("c2", redirect="https://a/sso/callback", verifier="v")
    (first, header), (second, none) = served.forms

    assert tokens.access_token == Secret("an access token of this provider")
    assert first == {
        "grant_type": "authorization_code",
        "code": "c1",
        "redirect_uri": "https://a/sso/callback",
        "code_verifier": "v",
    }
    assert header.startswith("Basic ")
    assert (second["client_id"], none) == (CLIENT, "")
    with pytest.raises(TokenRefused, match=r"does not take the code \(invalid_grant\)\.$"):
        held.exchange_code("wrong", redirect="https://a/sso/callback", verifier="v")
    served.answer = {"access_token": "x"}
    with pytest.raises(TokenRefused, match="LLM_OIDC_SCOPES"):
        held.exchange_code("c3", redirect="https://a/sso/callback", verifier="v")


def test_userinfo_of_somebody_else_is_refused(served: Identity) -> None:
    """What userinfo says counts for the person of the id token alone."""
    served.info = {"sub": "u1", "groups": ["a"]}
    client = _client(served)

    assert client.userinfo(Secret("t"), "u1")["groups"] == ["a"]
    with pytest.raises(TokenRefused, match="somebody else"):
        client.userinfo(Secret("t"), "u2")


@pytest.mark.parametrize(
    ("path", "fault", "words"),
    [
        (DISCOVERY, "html", "no JSON"),
        (DISCOVERY, "list", "no JSON"),
        (DISCOVERY, "huge", "larger than 1 MiB"),
        (DISCOVERY, "500", "status 500"),
        (DISCOVERY, "redirect", "status 302"),
        ("/jwks", "html", "no JSON"),
        ("/jwks", "huge", "larger than 1 MiB"),
    ],
)
def test_provider_that_answers_otherwise_is_away_in_one_sentence(
    served: Identity, path: str, fault: str, words: str
) -> None:
    """HTML, 10 MB, a redirect: none is followed or read, and the sentence says what came."""
    served.fault[path] = fault
    with pytest.raises(ProviderAway, match=words):
        _client(served).keys(None)
    assert not any("elsewhere" in asked for asked in served.asked)


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"issuer": "https://other.example"}, "'https://other.example'.*LLM_OIDC_ISSUER"),
        ({"issuer": None}, "calls itself nothing"),
        ({"token_endpoint": "http://elsewhere.example/token"}, "token_endpoint"),
        ({"jwks_uri": "file:///etc/passwd"}, "jwks_uri"),
        ({"authorization_endpoint": "javascript:alert(1)"}, "authorization_endpoint"),
        ({"authorization_endpoint": None}, "authorization_endpoint"),
        ({"jwks_uri": "https://user:pass@login.example/"}, "jwks_uri"),
    ],
)
def test_lie_about_itself_is_not_believed(served: Identity, said: dict[str, object], words: str) -> None:
    """Another issuer, and addresses without https or with another scheme, end the sign-in before anything is sent there."""
    served.said = said
    with pytest.raises(ProviderAway, match=words):
        _client(served).endpoints()


def test_slow_and_silent_providers_end_in_time(served: Identity, monkeypatch: pytest.MonkeyPatch) -> None:
    """A byte each tenth of a second ends with the deadline, one for all; nobody waits again for what has just failed."""
    monkeypatch.setattr(oidc, "SECONDS", 0.5)
    served.fault[DISCOVERY] = "drip"
    client, began = _client(served), time.monotonic()
    with oidc.in_one_go():
        for _ in range(3):
            with pytest.raises(ProviderAway, match="in time"):
                client.keys(None)

    assert time.monotonic() - began < 1.5
    assert served.asked == [DISCOVERY]


def test_provider_that_is_down_is_told_and_comes_back() -> None:
    """Nobody listens: one sentence. Three seconds later it is asked again."""
    clock, served = Clock(), Identity()
    client = _client(served, clock)
    served._server.server_close()
    with pytest.raises(ProviderAway, match="cannot be reached"):
        client.endpoints()
    assert client.end_session_address(back_to="https://a/") is None


def test_keys_are_fetched_once_in_ten_minutes_and_once_for_any_number_of_unknown_ones(served: Identity) -> None:
    """50 tokens with made-up kids fetch nothing; other keys after a restart do, once; a withdrawn one is believed no longer."""
    clock = Clock()
    client = _client(served, clock)
    was = served.token(nonce="n")

    def looks() -> int:
        return served.asked.count("/jwks")

    def believed(token: str) -> bool:
        try:
            id_claims(token, client.keys, issuer=served.issuer, client_id=CLIENT, nonce="n")
        except TokenRefused:
            return False
        return True

    assert believed(was)
    assert not any(client.keys(f"made-up-{n}") for n in range(50))
    assert looks() == 1

    served.keys = [new_key("second")]
    clock.now += oidc.BETWEEN_SECONDS - 1
    assert not believed(served.token(nonce="n"))
    clock.now += 1
    assert believed(served.token(nonce="n"))
    assert not any(client.keys(f"made-up-{n}") for n in range(50))
    assert looks() == 2
    assert not believed(was)

    served.keys = [new_key("third")]
    clock.now += oidc.LIFETIME_SECONDS - 1
    assert client.keys("second")
    assert looks() == 2
    clock.now += 1
    assert not client.keys("second")
    assert looks() == 3


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"LLM_OIDC_ISSUER": "http://login.example"}, "LLM_OIDC_ISSUER must begin with https"),
        ({"LLM_OIDC_ISSUER": "login.example"}, "LLM_OIDC_ISSUER is no URL"),
        ({"LLM_OIDC_CLIENT_ID": ""}, "LLM_OIDC_CLIENT_ID is missing"),
        ({"LLM_PUBLIC_URL": ""}, "LLM_PUBLIC_URL is missing"),
        ({"LLM_PUBLIC_URL": "http://llm.corp.example"}, "LLM_PUBLIC_URL must begin with https"),
        ({"LLM_OIDC_ADMIN_GROUPS": ""}, "No group may sign in"),
        ({"LLM_OIDC_SCOPES": "profile"}, "LLM_OIDC_SCOPES must have openid"),
        ({"LLM_OIDC_GROUPS_CLAIM": "a..b"}, "LLM_OIDC_GROUPS_CLAIM"),
        ({"LLM_OIDC_ONLY": "yes"}, "LLM_OIDC_ONLY must be 1"),
        ({"LLM_OIDC_ISSUER": "", "LLM_OIDC_ONLY": "1"}, "nobody could sign in"),
        ({"LLM_OIDC_ORGANIZATION_GROUPS": "a=emea:admin, b=emea"}, "entry 2 is not GROUP=ORGANISATION:ROLE"),
        ({"LLM_OIDC_ORGANIZATION_GROUPS": "a=emea:owner"}, "entry 1"),
    ],
)
def test_configuration_that_cannot_work_is_refused_at_the_start(change: dict[str, str], words: str) -> None:
    """Each names its variable, the rule and the cure."""
    with pytest.raises(BadConfig, match=words):
        oidc_config(Config.read(SET | change))


def test_names_of_groups_may_have_commas_and_signs(served: Identity) -> None:
    """A ; anywhere is what separates; the last = is the mapping's; several groups of one organisation: the stronger role."""
    mapped = "CN=LLM,OU=Apps=emea:analyst; CN=LLM,OU=Apps=emea:admin;b=apac:analyst"
    found = _config(served.issuer, LLM_OIDC_ORGANIZATION_GROUPS=mapped, LLM_OIDC_ANALYST_GROUPS="a, b")

    assert found.organization_groups == {"CN=LLM,OU=Apps": {"emea": "admin"}, "b": {"apac": "analyst"}}
    assert found.analyst_groups == {"a", "b"}
    assert _config(served.issuer, LLM_OIDC_GROUPS_CLAIM="https://x.y/roles").groups_claim == ("https://x.y/roles",)
    assert _config(served.issuer, LLM_OIDC_GROUPS_CLAIM="realm_access.roles").groups_claim == ("realm_access", "roles")
    assert oidc_config(Config.read({})) is None
