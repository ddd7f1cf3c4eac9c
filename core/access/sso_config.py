"""What the environment says of single sign-on: the identity provider, and which of its groups may what here."""

import re
from collections.abc import Mapping
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from ..config import Config, get_config
from ..environment import public_url
from ..errors import BadConfig
from ..redaction import Secret
from ..store.organization_tables import MEMBER_ROLES
from ..store.tables import User

CALLBACK: Final = "/sso/callback"
"""Behind LLM_PUBLIC_URL: where the provider sends the browser back to."""
_SLUG: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_SCOPE: Final = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")  # RFC 6749, 3.3
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})


class OidcConfig(NamedTuple):
    """An identity provider, and what its groups may here."""

    issuer: str
    client_id: str
    client_secret: Secret | None
    """None: a public client, which PKCE alone protects."""
    scopes: str
    name: str
    """What the sign-in page calls it."""
    public_url: str
    """Where people reach the app, without a slash behind."""
    groups_claim: tuple[str, ...]
    """The way to the groups inside the claims."""
    admin_groups: frozenset[str]
    analyst_groups: frozenset[str]
    organization_groups: Mapping[str, Mapping[str, str]]
    """Group -> slug of an organisation -> role there."""
    only: bool
    """Whether local users are refused, but those of the way back."""

    @property
    def redirect(self) -> str:
        """Where the provider sends the browser back to: never what a request's Host says."""
        return f"{self.public_url}{CALLBACK}"


def oidc_config(config: Config) -> OidcConfig | None:
    """Return what the environment says of single sign-on; None if LLM_OIDC_ISSUER is not set.

    Raises:
        BadConfig: Names the variable, the rule and the cure; repeats no value.
    """
    if not config.oidc_issuer:
        if config.oidc_only:
            raise BadConfig(
                "LLM_OIDC_ONLY is set, and LLM_OIDC_ISSUER is not: nobody could sign in. Set both, or neither."
            )
        return None
    _check_address("LLM_OIDC_ISSUER", config.oidc_issuer)
    if not config.oidc_client_id:
        raise BadConfig(
            "LLM_OIDC_CLIENT_ID is missing: the identity provider gave it when LLM Settings was registered."
        )
    base = public_url(config.public_url)
    if not base:
        raise BadConfig(
            "LLM_PUBLIC_URL is missing: the identity provider sends people back there, as https://llm.corp.example."
        )
    _check_address("LLM_PUBLIC_URL", base)
    found = OidcConfig(
        issuer=config.oidc_issuer,
        client_id=config.oidc_client_id,
        client_secret=config.oidc_client_secret,
        scopes=_scopes(config.oidc_scopes),
        name=_name(config.oidc_name),
        public_url=base,
        groups_claim=_path(config.oidc_groups_claim),
        admin_groups=frozenset(_parts(config.oidc_admin_groups)),
        analyst_groups=frozenset(_parts(config.oidc_analyst_groups)),
        organization_groups=_organizations(config.oidc_organization_groups),
        only=_is_set("LLM_OIDC_ONLY", config.oidc_only),
    )
    if not (found.admin_groups or found.analyst_groups or found.organization_groups):
        raise BadConfig(
            "No group may sign in: set LLM_OIDC_ADMIN_GROUPS, LLM_OIDC_ANALYST_GROUPS or LLM_OIDC_ORGANIZATION_GROUPS."
        )
    return found


def password_signs_in(user: User) -> bool:
    """Tell whether a user's password is looked at: where LLM_OIDC_ONLY is set, only that of the way back; raises BadConfig."""
    config = oidc_config(get_config())
    return user.is_active and user.password_hash is not None and (config is None or not config.only or user.break_glass)


def is_loopback(address: str) -> bool:
    """Tell whether a URL is of this very machine, where nobody listens in between."""
    return urlsplit(address).hostname in _LOOPBACK


def _check_address(name: str, text: str) -> None:
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError:
        parts, host = urlsplit(""), None
    fits = text.isascii() and text.isprintable() and " " not in text and "@" not in parts.netloc
    if not host or not fits or parts.query or parts.fragment or parts.scheme not in {"http", "https"}:
        raise BadConfig(
            f"{name} is no URL as single sign-on takes it: https, a host, perhaps a path, and nothing else."
        )
    if parts.scheme == "http" and not is_loopback(text):
        raise BadConfig(f"{name} must begin with https:// for single sign-on; http:// is for this very machine alone.")


def _scopes(text: str) -> str:
    scopes = text.split() or ["openid", "profile", "email"]
    if "openid" not in scopes or not all(_SCOPE.fullmatch(scope) for scope in scopes):
        raise BadConfig(
            "LLM_OIDC_SCOPES must have openid, and takes scopes with blanks between, as openid profile email."
        )
    return " ".join(scopes)


def _name(text: str) -> str:
    name = text.strip() or "your organisation"
    if len(name) > 60 or not name.isprintable():  # noqa: PLR2004 - it stands in a link
        raise BadConfig("LLM_OIDC_NAME must have 60 characters at most.")
    return name


def _path(text: str) -> tuple[str, ...]:
    """Return the steps to a claim: at each dot one, but in an address, as Auth0 names claims, at none."""
    whole = text.strip() or "groups"
    steps = (whole,) if "://" in whole else tuple(whole.split("."))
    if not all(steps):
        raise BadConfig("LLM_OIDC_GROUPS_CLAIM must be the name of a claim, or a way to it, as realm_access.roles.")
    return steps


def _parts(text: str) -> list[str]:
    """Return the entries of a list; where one ; is in it, commas separate nothing: names of LDAP have them inside."""
    return [part.strip() for part in text.split(";" if ";" in text else ",") if part.strip()]


def _organizations(text: str) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for place, entry in enumerate(_parts(text), start=1):
        group, equals, target = entry.rpartition("=")
        slug, _, role = target.strip().partition(":")
        if not equals or not group.strip() or not _SLUG.fullmatch(slug) or role not in MEMBER_ROLES:
            raise BadConfig(
                f"LLM_OIDC_ORGANIZATION_GROUPS: entry {place} is not GROUP=ORGANISATION:ROLE. It takes the slug of an "
                f"organisation and {' or '.join(MEMBER_ROLES)}, as llm-emea=emea:admin; with commas between, or with ; "
                "where a group's name has commas."
            )
        roles = found.setdefault(group.strip(), {})
        roles[slug] = strongest({role, roles.get(slug, role)})
    return found


def strongest(roles: set[str]) -> str:
    """Return the role that may most of an organisation's."""
    return next(role for role in MEMBER_ROLES if role in roles)


def _is_set(name: str, text: str) -> bool:
    if text.strip() not in {"", "0", "1"}:
        raise BadConfig(f"{name} must be 1, or unset.")
    return text.strip() == "1"
