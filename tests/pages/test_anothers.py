"""Every page with another organisation's names in its address: as names that nobody has, in all that is drawn, in statements and on record."""

import re
from typing import NamedTuple

import pytest
from sqlalchemy import text
from sqlmodel import Session
from streamlit.testing.v1 import AppTest

from core.actors import Actor
from core.manage import organization_members, providers
from core.store import db
from core.store.table import id_of
from core.store.tables import MEMBER
from tests.canaries import forms
from tests.conftest import make_user, statements
from tests.rest import KEY, Tenant, tenant
from tests.screens import everything, open_page
from ui.navigation import SCREENS

DENIED = [name for name, screen in SCREENS.items() if screen.role in {"admin", "analyst"}]
OWN = [name for name in SCREENS if name not in DENIED]
"""Pages that an organisation's people have."""


class Seen(NamedTuple):
    """All that comes of a visit, with the names in question made one."""

    drawn: str
    run: list[str]
    denied: int


def visit(actor: Actor, name: str, asked: dict[str, str]) -> tuple[AppTest, Seen]:
    """Arrive at a page with an address, in a new tab."""
    with db.transaction() as session:
        before = _denied(session)
    with statements() as run:
        at = open_page(name, actor, **asked)
    drawn = re.sub(r"\$\$ID-\w+|\d+", "N", frame(at).replace("beta", "nota"))
    with db.transaction() as session:
        return at, Seen(drawn, run, _denied(session) - before)


def frame(at: AppTest) -> str:
    """All that the page sends to the browser."""
    return "\n".join(str(node.proto) for node in at._tree if getattr(node, "proto", None) is not None)  # type: ignore[attr-defined]


def _denied(session: Session) -> int:
    return session.scalar(text("SELECT count(*) FROM audit_events WHERE action = 'denied'")) or 0


@pytest.fixture
def two(session: Session, admin: Actor) -> list[Tenant]:
    """acme and beta, with all that an organisation can have, at a provider."""
    made = {"name": "openai", "display_name": "P", "kind": "openai", "available_models": ["m1"], "default_model": "m1"}
    provider = providers.create(session, admin, made)
    return [tenant(session, slug, id_of(provider)) for slug in ("acme", "beta")]


@pytest.fixture
def people(session: Session, admin: Actor, two: list[Tenant]) -> dict[str, Actor]:
    """acme's admin and analyst, signed in."""
    ann = make_user("ann", MEMBER)
    organization_members.set_member(session, admin, two[0].organization, ann.own_id(), "analyst")
    session.flush()
    found = {"acme-member": "admin", "ann": "analyst"}
    rows = session.execute(
        text("SELECT username, id, auth_epoch FROM users WHERE username = ANY(:names)"), {"names": list(found)}
    )
    return {found[name]: Actor(name, number, epoch) for name, number, epoch in rows}


def test_names_of_anothers_are_nobodys(people: dict[str, Actor], two: list[Tenant]) -> None:
    """CHECKS 26: each parameter of each page of an organisation's people x B's slug, B's number, B's name at a service."""
    values = [("beta", "nota"), (str(two[1].organization), "999999"), ("crm beta", "crm nota")]
    odd: list[object] = []
    for role, actor in people.items():
        for name in OWN:
            open_page(name, actor)  # once: what a process keeps for a while is not read by the next
            for parameter in SCREENS[name].parameters:
                if role != "admin" and parameter != "organization":
                    continue
                for theirs, nobodys in values if parameter == "organization" else values[:1]:
                    _, missing = visit(actor, name, {parameter: nobodys})
                    _, there = visit(actor, name, {parameter: theirs})
                    on_record = there.denied > 0 or parameter != "organization"
                    if there != missing or "Nota" in there.drawn or not on_record:
                        odd.append((role, name, parameter, theirs, there, missing))

    assert {"organization", "hierarchy"} <= set(OWN)
    assert odd == []


def test_pages_of_the_installation_are_denied_whatever_is_asked(people: dict[str, Actor]) -> None:
    """CHECKS 26: nothing of an address is looked at; each attempt is on record."""
    for name in DENIED:
        there, missing = (
            visit(people["admin"], name, dict.fromkeys(SCREENS[name].parameters, value))[1]
            for value in ("beta", "nota")
        )
        assert there == missing, name
        assert there.denied, name
        assert "required. Ask an admin" in there.drawn, name


def test_no_page_draws_an_own_key(admin: Actor, people: dict[str, Actor], two: list[Tenant]) -> None:
    """CHECKS 31: of acme's own key its admin and the installation's see how it begins, its analyst nothing; the key is in no frame, in no form."""
    keys = ("organization", {"organization": "acme", "section": "Providers and keys"})
    pages = [keys, *((name, {"organization": "acme"}) for name in ("organizations", "hierarchy", "audit", "health"))]
    masked = {}
    for who, actor in {"installation": admin, **people}.items():
        for name, asked in pages if who == "installation" else pages[:1]:
            at, _ = visit(actor, name, asked)
            read = re.sub("[\\\\\u200b\u2060]", "", everything(at))
            assert not [form for form in forms(KEY) if form in frame(at) + read], (who, name)
            masked[who, name] = "sk-proj..." in read

    assert len(two) == len(people)
    assert [masked[who, "organization"] for who in ("installation", "admin", "analyst")] == [True, True, False]
