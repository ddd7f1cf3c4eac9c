"""What an identity provider says of somebody: a name, and groups, which are asked for at two places and come in several shapes."""

import re
import unicodedata
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Any, Final, NamedTuple

from ..errors import Forbidden
from .sso_config import OidcConfig, strongest

MOST_GROUPS: Final = 5_000
"""More are not looked at: somebody in so many has a provider that sends all it knows."""
_LONGEST_GROUP: Final = 1_000
_UNFIT: Final = re.compile(r"[^a-z0-9._@-]+")
_LONGEST_NAME: Final = 48
"""Characters of a user's name that come from the provider: room is left for what tells two alike apart."""

NONE_MAY: Final = "None of your groups may use LLM Settings."
OVERAGE: Final = (
    "Your account is in so many groups that the identity provider names none of them (groups overage). In Entra: App registrations, "
    "Token configuration, groups claim: Groups assigned to the application; or app roles, with LLM_OIDC_GROUPS_CLAIM=roles."
)
NO_CLAIM: Final = (
    "The identity provider says nothing of your groups: there is no claim {claim}, neither in the id token nor in its userinfo. "
    "Have it sent, or name the right one in LLM_OIDC_GROUPS_CLAIM."
)


class GroupRights(NamedTuple):
    """What somebody may here, by their groups."""

    role: str
    organizations: Mapping[str, str]
    """Slug -> role there."""


def groups_in(claims: Mapping[str, Any], path: tuple[str, ...]) -> frozenset[str] | None:
    """Return the groups at *path*; None if nothing is there. A text is one group; in a list what is no text is passed over."""
    found: Any = claims
    for step in path:
        if not isinstance(found, Mapping) or step not in found:
            return None
        found = found[step]
    if isinstance(found, str):
        found = [found]
    if not isinstance(found, list):
        return None
    return frozenset(group for group in found[:MOST_GROUPS] if isinstance(group, str) and len(group) <= _LONGEST_GROUP)


def is_overage(claims: Mapping[str, Any], path: tuple[str, ...]) -> bool:
    """Tell whether Entra has left the groups out, as they were too many (``_claim_names``, or ``hasgroups``)."""
    named = claims.get("_claim_names")
    return (isinstance(named, Mapping) and path[0] in named) or (
        path == ("groups",) and claims.get("hasgroups") is True
    )


def groups_of(claims: Mapping[str, Any], info: Mapping[str, Any], path: tuple[str, ...]) -> frozenset[str]:
    """Return somebody's groups: of the id token, and if that has none, of userinfo.

    Raises:
        Forbidden: If neither says anything of groups, with the cure.
    """
    for said in (claims, info):
        if (found := groups_in(said, path)) is not None:
            return found
    if is_overage(claims, path):
        raise Forbidden(OVERAGE)
    raise Forbidden(NO_CLAIM.format(claim=".".join(path)))


def standing(config: OidcConfig, groups: AbstractSet[str]) -> GroupRights | None:
    """Return what *groups* may here; None: nothing, and nobody of them is let in."""
    organizations: dict[str, str] = {}
    for group in sorted(groups & config.organization_groups.keys()):
        for slug, role in config.organization_groups[group].items():
            organizations[slug] = strongest({role, organizations.get(slug, role)})
    if groups & config.admin_groups:
        return GroupRights("admin", organizations)
    if groups & config.analyst_groups:
        return GroupRights("analyst", organizations)
    return GroupRights("member", organizations) if organizations else None


def wished_name(claims: Mapping[str, Any], info: Mapping[str, Any]) -> str:
    """Return what somebody is called there, as a name of a user here: it proves nothing, and may be another's here."""
    for said in (claims, info):
        for claim in ("preferred_username", "email", "name"):
            if isinstance(value := said.get(claim), str) and (name := _as_username(value)):
                return name
    return "user"


def _as_username(text: str) -> str:
    plain = unicodedata.normalize("NFKD", text[:300]).encode("ascii", "ignore").decode().casefold()
    return _UNFIT.sub("-", plain).lstrip("._@-")[:_LONGEST_NAME].rstrip("-")


def managed(config: OidcConfig) -> frozenset[str]:
    """Return the slugs of organisations whose members the provider decides, as far as they sign in there."""
    return frozenset(slug for roles in config.organization_groups.values() for slug in roles)
