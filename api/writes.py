"""What writes have in common: the body, the version they are based on, and the schema that OpenAPI shows of them."""

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Annotated, Any, Final

from fastapi import Depends, Header, Request
from fastapi.concurrency import run_in_threadpool

from api.body import read_json
from api.callers import MemberWriter, Provisioner, Writer, count_refused
from api.errors import Refused
from api.names import NotAsNamed
from core.actors import Actor
from core.errors import CoreError

_IF_MATCH = re.compile(r'(?:W/)?"(\d{1,10})"')
OVERWRITE: Final = "*"
READ_ONLY: Final = frozenset(
    {
        *("id", "organizationId", "featureId", "providerId", "apiKeyMasked", "apiKeyFingerprint", "apiKeySetAt"),
        *("createdAt", "updatedAt", "deletedAt"),
    }
)
"""Fields of an answer that a change may carry along."""


async def _body(request: Request, actor: Writer) -> dict[str, Any]:
    return await _read(request, actor)


async def _body_of_member(request: Request, actor: MemberWriter) -> dict[str, Any]:
    return await _read(request, actor)


async def _body_of_provisioner(request: Request, actor: Provisioner) -> dict[str, Any]:
    return await _read(request, actor)


async def _read(request: Request, actor: Actor) -> dict[str, Any]:
    try:
        return await read_json(request)  # once the caller is known: strangers' bodies are not looked at
    except CoreError:
        await run_in_threadpool(count_refused, request, actor)
        raise


Body = Annotated[dict[str, Any], Depends(_body)]
MemberBody = Annotated[dict[str, Any], Depends(_body_of_member)]
"""Where an :data:`~api.callers.MemberWriter` writes."""
ProvisionerBody = Annotated[dict[str, Any], Depends(_body_of_provisioner)]
"""Where a :data:`~api.callers.Provisioner` writes."""
IfMatch = Annotated[
    str | None,
    Header(
        alias="If-Match",
        description='The version that the change is based on, as "7"; * writes whatever is there.',
        pattern=r'^((W/)?"[0-9]{1,10}"|\*)$',
    ),
]


def take_version(body: dict[str, Any], if_match: str | None, *, needed: bool) -> int | None:
    """Take the version a change is based on out of *body*, or from ``If-Match``; None: write whatever is there.

    Raises:
        NotAsNamed: If it is no version, or the two differ.
        Refused: 428 if it is *needed* and not there: a change must not overwrite one it has not seen.
    """
    named = "version" in body
    given: int | None = body.pop("version", None)
    if named and (isinstance(given, bool) or not isinstance(given, int) or not 0 <= given < 2**31):
        raise NotAsNamed({"version": "must be a whole number, as what you read has it"})
    if if_match is None or if_match == OVERWRITE:
        if given is None and needed and if_match is None:
            message = (
                "Send the version that your change is based on, as version or as If-Match. If-Match: * overwrites."
            )
            raise Refused(428, "VERSION_REQUIRED", message)
        return given
    found = _IF_MATCH.fullmatch(if_match)
    if found is None or int(found[1]) >= 2**31:
        raise NotAsNamed({"If-Match": 'must be a version in quotes, as "7", or *'})
    if given is not None and given != int(found[1]):
        raise NotAsNamed({"version": "is another one than If-Match names"})
    return int(found[1])


def take_read_only(body: dict[str, Any], stored: Mapping[str, Any], version: int | None) -> None:
    """Take out of *body* what an answer carries and nobody can write, so that what was read can be sent back whole.

    Args:
        body: What was sent.
        stored: The same fields as an answer has them now.
        version: What the change is based on. Another one than is stored: the fields are not compared, for the conflict
            is what the caller has to hear of.

    Raises:
        NotAsNamed: If one has another value than is stored.
    """
    changed = [name for name in READ_ONLY & body.keys() & stored.keys() if not _same(body.pop(name), stored[name])]
    if changed and (version is None or version == stored["version"]):
        rule = "cannot be changed here: leave it out, or send it as it was read"
        raise NotAsNamed(dict.fromkeys(sorted(changed), rule))


def _same(given: Any, stored: Any) -> bool:
    if given == stored or not (isinstance(given, str) and isinstance(stored, str)):
        return bool(given == stored) and isinstance(given, bool) == isinstance(stored, bool)
    try:  # a client may write a moment in its own form
        read, kept = datetime.fromisoformat(given), datetime.fromisoformat(stored)
        return abs(read - kept) < timedelta(milliseconds=1)
    except (ValueError, TypeError):
        return False


def documented(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return what OpenAPI says of a body that :func:`read_json` reads."""
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": dict(schema)}}}}
