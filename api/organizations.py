"""Routes of organisations, their names and members, and of what is decided for all of them. Another's answers as what is not there."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Query, Request, Response
from sqlmodel import Session

from api import envelopes, organization_schemas
from api import wire_organizations as wire
from api.callers import MemberReader, Provisioner, Reader, Writer, write
from api.effective import caught_up
from api.errors import Refused, success
from api.ids import LARGEST, PAGE, AfterId, Id, Most, UserInPath
from api.names import NotAsNamed, from_wire
from api.responses import READ, WRITE, answers, named
from api.writes import OVERWRITE, Body, IfMatch, ProvisionerBody, documented, take_read_only, take_version
from core.actors import Actor
from core.manage import installation, organization_deletion, organization_members, organization_names, organizations
from core.manage.organization_members import Member
from core.manage.organizations import Entered
from core.store import db
from core.store.organization_schemas import LONGEST_NAME, MOST_AT_ONCE, OrganizationInput
from core.store.organization_tables import SLUG_PATTERN, Installation, Organization, OrganizationName
from core.store.table import id_of

router = APIRouter(generate_unique_id_function=named, tags=["organizations"])

_NEW: Final = tuple(OrganizationInput.model_fields)
_ONE: Final = answers(wire.OrganizationOut, 404, *WRITE)
_ADDED: Final = answers(list[wire.OrganizationOutcome], *WRITE) | {201: answers(wire.OrganizationOut, status=201)[201]}
_MEMBER: Final = answers(wire.Member, 404, *WRITE) | {201: answers(wire.Member, status=201)[201]}
_Made = tuple[Organization, list[OrganizationName]]

TakeFormer = Annotated[
    bool, Query(alias="takeFormer", description="whether a slug that another organisation had before may be taken")
]
After = Annotated[str | None, Query(pattern=SLUG_PATTERN, description="the slug that the page before ended with")]


@router.get(
    "/llm/organizations", responses=answers(list[wire.OrganizationOut], *READ), summary="Search in organisations"
)
def list_organizations(
    actor: MemberReader,
    search: Annotated[
        str, Query(max_length=LONGEST_NAME, description="in what it is called, and at the beginning of its names")
    ] = "",
    kind: Annotated[Literal["organization", "template"] | None, Query(description="only those of a kind")] = None,
    *,
    after: After = None,
    after_id: AfterId = LARGEST,
    limit: Most = PAGE,
    deleted: Annotated[bool, Query(description="those that were deleted, instead")] = False,
) -> Response:
    """Those that the caller sees, by slug, a page of them: as long as it is full, the next begins after its last slug."""
    with db.transaction() as session:
        rows = organizations.search(
            session, actor, search, kind=kind, deleted=deleted, after=after, after_id=after_id, limit=limit
        )
        names = organization_names.list_of(session, map(id_of, rows))
        return success([wire.organization(row, names[id_of(row)]) for row in rows])


@router.post(
    "/llm/organizations",
    responses=_ADDED,
    openapi_extra=documented(organization_schemas.NEW_ORGANIZATIONS),
    summary="Add an organisation, or many at once",
)
def add_organizations(
    request: Request, actor: Provisioner, body: ProvisionerBody, *, take_former: TakeFormer = False
) -> Response:
    """Add one (201); or a list of up to 1,000 as one write (200): each entry has its outcome, in the order of the list."""
    if "organizations" not in body:
        return _add_one(request, actor, body, take_former=take_former)

    def work(session: Session) -> list[tuple[Entered, list[OrganizationName]]]:
        entries = _entries(body)
        named_right = [each for each in entries if not isinstance(each, NotAsNamed)]
        done = iter(organizations.create(session, actor, named_right, take_former=take_former))
        whole = [Entered(None, each) if isinstance(each, NotAsNamed) else next(done) for each in entries]
        names = organization_names.list_of(session, [id_of(each.organization) for each in whole if each.organization])
        return [(each, names[id_of(each.organization)] if each.organization else []) for each in whole]

    done = write(request, actor, work, "provisioning")
    caught_up()
    return success([wire.outcome(*each) for each in done])


@router.get("/llm/organizations/{id:row}", responses=answers(wire.OrganizationOut, 404, *READ), summary="One of them")
def one_organization(actor: MemberReader, organization_id: Id) -> Response:
    """One organisation; its ETag is its version, for If-Match. To the installation's own a deleted one is there too."""
    with db.transaction() as session:
        row, names = _read(session, actor, organization_id)
        return _whole(row, names)


@router.put(
    "/llm/organizations/{id:row}",
    responses=_ONE | {428: answers(wire.OrganizationOut, 428)[428]},
    openapi_extra=documented(organization_schemas.CHANGED_ORGANIZATION),
    summary="Change an organisation",
)
def change_organization(
    request: Request,
    actor: Provisioner,
    organization_id: Id,
    body: ProvisionerBody,
    if_match: IfMatch = None,
    *,
    take_former: TakeFormer = False,
) -> Response:
    """Change the fields that are named; the others stay. A slug that goes stays a former one. What GET gave may be sent back whole."""

    def work(session: Session) -> _Made:
        stored = wire.organization(*_read(session, actor, organization_id))
        data = dict(body)
        version = take_version(data, if_match, needed=True)
        take_read_only(data, stored, version)
        _keep_names(data, stored)
        patch = from_wire(data, organizations.FIELDS)
        row = organizations.update(session, actor, organization_id, patch, version=version, take_former=take_former)
        return row, organization_names.list_of(session, [organization_id])[organization_id]

    return _written(request, actor, work)


@router.delete(
    "/llm/organizations/{id:row}", responses=answers(envelopes.Deleted, 404, *WRITE), summary="Delete an organisation"
)
def delete_organization(
    request: Request, actor: Provisioner, organization_id: Id, if_match: IfMatch = None
) -> Response:
    """Delete an organisation: services do not find it, and its names are free. It keeps what it has, and can be restored."""

    def work(session: Session) -> str:
        organizations.get(session, actor, organization_id)
        version = take_version({}, if_match, needed=False)
        return organization_deletion.delete(session, actor, organization_id, version=version).slug

    slug = write(request, actor, work, "provisioning")
    caught_up()
    return success({"id": organization_id, "deleted": [f"the organisation {slug}"]})


@router.post("/llm/organizations/{id:row}/restore", responses=_ONE, summary="Take back a deletion")
def restore_organization(
    request: Request,
    actor: Provisioner,
    organization_id: Id,
    slug: Annotated[str | None, Query(max_length=63, description="another slug than it had")] = None,
    *,
    take_former: TakeFormer = False,
) -> Response:
    """All it had is in force again, and those of its names that nobody has taken."""

    def work(session: Session) -> _Made:
        organizations.get(session, actor, organization_id)
        row = organization_deletion.restore(session, actor, organization_id, slug=slug, take_former=take_former)
        return row, organization_names.list_of(session, [organization_id])[organization_id]

    return _written(request, actor, work)


@router.get("/llm/organizations/{id:row}/names", responses=answers(wire.Names, 404, *READ), summary="Its names")
def organization_names_of(actor: MemberReader, organization_id: Id) -> Response:
    """By what services ask for it: its slug, names of their own, and slugs that it had."""
    with db.transaction() as session:
        return success(wire.names_of(*_read(session, actor, organization_id)))


@router.put(
    "/llm/organizations/{id:row}/names",
    responses=answers(wire.Names, 404, 428, *WRITE),
    openapi_extra=documented(organization_schemas.SET_NAMES),
    summary="Set its external names",
)
def set_organization_names(
    request: Request,
    actor: Provisioner,
    organization_id: Id,
    body: ProvisionerBody,
    if_match: IfMatch = None,
    *,
    take_former: TakeFormer = False,
) -> Response:
    """Give it these external names, all of them, in place of those that it has, which stand in ``was``."""

    def work(session: Session) -> dict[str, Any]:
        row, _ = _read(session, actor, organization_id)
        typed = from_wire(body, ("external_names", "was"))
        if "external_names" not in typed:
            raise NotAsNamed({"externalNames": "is needed: all of them"})
        was = typed.get("was")
        if was is None and if_match != OVERWRITE:
            message = "Send the external names that your change is based on, as was. If-Match: * overwrites."
            raise Refused(428, "VERSION_REQUIRED", message)
        if was is not None and not (isinstance(was, list) and all(isinstance(name, str) for name in was)):
            raise NotAsNamed({"was": "must be a list of names"})
        wanted = typed["external_names"]
        organization_names.set_external(session, actor, organization_id, wanted, was=was, take_former=take_former)
        return wire.names_of(row, organization_names.list_of(session, [organization_id])[organization_id])

    names = write(request, actor, work, "provisioning")
    caught_up()
    return success(names)


@router.get(
    "/llm/organizations/{id:row}/members", responses=answers(list[wire.Member], 404, *READ), summary="Its members"
)
def list_members(actor: MemberReader, organization_id: Id) -> Response:
    """Who belongs to it, by name."""
    with db.transaction() as session:
        return success([wire.member(each) for each in organization_members.list_of(session, actor, organization_id)])


@router.post(
    "/llm/organizations/{id:row}/members",
    responses=_MEMBER,
    openapi_extra=documented(organization_schemas.SET_MEMBER),
    summary="Make a user a member",
)
def set_member(request: Request, actor: Provisioner, organization_id: Id, body: ProvisionerBody) -> Response:
    """Add a member (201), or make one of another role; ends the user's sign-ins."""

    def work(session: Session) -> tuple[Member, bool]:
        before = {each.user_id for each in organization_members.list_of(session, actor, organization_id)}
        typed = from_wire(body, ("username", "role"))
        if missing := [name for name in ("username", "role") if name not in typed]:
            raise NotAsNamed(dict.fromkeys(missing, "is needed"))
        username = typed["username"]
        if not isinstance(username, str) or not username.strip():
            raise NotAsNamed({"username": "must be the name of a user"})
        user = organization_members.find_user(session, actor, organization_id, username)
        made = organization_members.set_member(session, actor, organization_id, user, typed["role"])
        return made, user not in before

    member, new = write(request, actor, work, "provisioning")
    return success(wire.member(member), 201 if new else 200)


@router.delete(
    "/llm/organizations/{id:row}/members/{userId:row}",
    responses=answers(envelopes.Deleted, 404, *WRITE),
    summary="Take a user out of it",
)
def remove_member(request: Request, actor: Provisioner, organization_id: Id, user_id: UserInPath) -> Response:
    """Take a user out of an organisation, at once: their sign-ins end."""
    write(
        request,
        actor,
        lambda s: organization_members.remove_member(s, actor, organization_id, user_id),
        "provisioning",
    )
    return success({"id": user_id, "deleted": [f"the member {user_id}"]})


@router.get("/llm/installation", responses=answers(wire.InstallationOut, *READ), summary="What is decided for all")
def installation_options(actor: Reader) -> Response:
    """Whether organisations that nobody registered are served, and whether each change needs a reason."""
    with db.transaction() as session:
        return _options(installation.get(session, actor))


@router.put(
    "/llm/installation",
    responses=answers(wire.InstallationOut, 428, *WRITE),
    openapi_extra=documented(organization_schemas.CHANGED_INSTALLATION),
    summary="Decide for all",
)
def change_installation(request: Request, actor: Writer, body: Body, if_match: IfMatch = None) -> Response:
    """``closed``: an organisation that nobody registered has no key; ``open``: it is served as without one."""

    def work(session: Session) -> Installation:
        data = dict(body)
        version = take_version(data, if_match, needed=True)
        take_read_only(data, wire.installation(installation.get(session, actor)), version)
        return installation.update(session, actor, from_wire(data, installation.FIELDS), version=version)

    row = write(request, actor, work)
    caught_up()
    return _options(row)


def _add_one(request: Request, actor: Actor, body: Mapping[str, Any], *, take_former: bool) -> Response:
    def work(session: Session) -> _Made:
        row = organizations.create_one(session, actor, from_wire(body, _NEW), take_former=take_former)
        return row, organization_names.list_of(session, [id_of(row)])[id_of(row)]

    row, names = write(request, actor, work, "provisioning")
    caught_up()
    return _whole(row, names, 201, {"Location": f"organizations/{row.id}"})


def _entries(body: Mapping[str, Any]) -> list[dict[str, Any] | NotAsNamed]:
    """Return the entries with our names, each; or what is wrong with its names."""
    if unknown := [name for name in body if name != "organizations"]:
        raise NotAsNamed(dict.fromkeys((name[:50] for name in unknown[:20]), "is not a field beside organizations"))
    entries = body["organizations"]
    if not isinstance(entries, list) or not all(isinstance(each, dict) for each in entries):
        raise NotAsNamed({"organizations": "must be a list of objects"})
    if len(entries) > MOST_AT_ONCE:
        raise NotAsNamed({"organizations": f"must be at most {MOST_AT_ONCE:,} at once; these are {len(entries):,}"})
    return [_entry(each) for each in entries]


def _entry(each: Mapping[str, Any]) -> dict[str, Any] | NotAsNamed:
    try:
        return from_wire(each, _NEW)
    except NotAsNamed as error:
        return error


def _keep_names(data: dict[str, Any], stored: Mapping[str, Any]) -> None:
    """Take the names out of a body that was read; changed they are at a route of their own."""
    changed = [name for name in ("externalNames", "formerSlugs") if data.pop(name, stored[name]) != stored[name]]
    if changed:
        raise NotAsNamed(dict.fromkeys(changed, "cannot be changed here: PUT …/names sets external names"))


def _read(session: Session, actor: Actor, organization_id: int) -> _Made:
    row = organizations.get(session, actor, organization_id)
    return row, organization_names.list_of(session, [organization_id])[organization_id]


def _written(request: Request, actor: Actor, work: Callable[[Session], _Made]) -> Response:
    row, names = write(request, actor, work, "provisioning")
    caught_up()
    return _whole(row, names)


def _whole(
    row: Organization, names: list[OrganizationName], status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    return success(wire.organization(row, names), status, {**(headers or {}), "ETag": f'"{row.version}"'})


def _options(row: Installation) -> Response:
    return success(wire.installation(row), headers={"ETag": f'"{row.version}"'})
