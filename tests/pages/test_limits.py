"""The Limits page: what is limited and why, who may change it, what a limit puts out of force, and that nothing typed is lost."""

from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from sqlmodel import Session, select
from streamlit.testing.v1 import AppTest

from core.actors import COMMAND_LINE, Actor
from core.manage import features, limits, organization_members, organizations, providers, settings
from core.manage.hierarchy import AskedFor, in_force
from core.manage.scopes import SettingsScope
from core.store.organization_tables import LlmLimits
from core.store.table import id_of
from tests.conftest import make_user
from tests.screens import click, everything, has, html_texts, offers, open_page, pick, toasts
from tests.ui.test_address import at_once

page = partial(open_page, "limits")
MOST = {"max_tokens": {"max": 4000}}


@pytest.fixture
def ids(session: Session) -> dict[str, int]:
    """A provider, a template, two organisations that say 8000, one of them on the template, a feature."""
    made = {"name": "openai", "display_name": "O", "kind": "openai", "available_models": ["m"], "default_model": "m"}
    found = {"openai": id_of(providers.create(session, COMMAND_LINE, made))}
    tier = organizations.create_one(session, COMMAND_LINE, {"slug": "tier", "name": "T", "kind": "template"})
    found["tier"] = id_of(tier)
    for slug, template in (("acme", tier.id), ("beta", None)):
        of = organizations.create_one(session, COMMAND_LINE, {"slug": slug, "name": slug, "template_id": template})
        found[slug] = id_of(of)
        settings.upsert(session, COMMAND_LINE, SettingsScope(None, found[slug]), {"max_tokens": 8000})
    found["classify"] = id_of(features.create(session, COMMAND_LINE, {"name": "classify", "display_name": "C"}))
    return found


def limit(session: Session, fields: Any = MOST, **more: Any) -> LlmLimits:
    return limits.create(session, COMMAND_LINE, {"limits": fields, **more})


def said(at: AppTest) -> str:
    return everything(at).replace("\\", "").replace("\u200b", "").replace("**", "")


def stored(session: Session) -> list[LlmLimits]:
    session.expire_all()
    return list(session.exec(select(LlmLimits).order_by(LlmLimits.id)))  # type: ignore[arg-type]  # a column


def in_force_of(session: Session, slug: str) -> int:
    found: int = in_force(session, COMMAND_LINE, AskedFor("openai", slug, None)).settings.max_tokens
    return found


@pytest.mark.long
@pytest.mark.usefixtures("ids")
def test_set_seen_cleared_and_lifted(session: Session, admin: Actor) -> None:
    """An empty page says what a limit is; what one puts out of force is said before it is saved; lifted, the value is back."""
    at = click(page(admin), "add_limit")
    assert "Nothing is limited" in said(at)
    at.multiselect(key="limit_fields").set_value(["max_tokens"]).run()
    click(at, "limit_save")
    assert "Say how it is limited" in said(at)
    at.number_input(key="limit_rule_max_tokens_max").set_value(4000)
    at.text_input(key="limit_note").set_value("contract")
    click(at, "limit_save")
    assert "Puts 2 rows of 2 organisations out of force" in said(at)
    assert "acme · all providers: Max tokens" in said(at)
    assert "press once more" in said(at)
    assert stored(session) == []
    click(at, "limit_save")
    assert toasts(at) == [r"The limit is saved\. It holds everywhere\."]
    row = stored(session)[0]
    assert (row.limits, row.note, row.owner) == (MOST, "contract", "installation")
    assert (in_force_of(session, "acme"), in_force_of(session, "beta")) == (4000, 4000)
    assert "what they say counts again once the limit is lifted" in said(at)
    click(at, "clear_keep")
    assert "Max tokens: at most 4,000" in said(at)
    assert f"{admin.name}, just now · “contract” · :orange[2 rows of 2 organisations out of force]" in said(at)

    pick(at, f"more_{row.id}", "Lift")
    assert "beta · all providers: Max tokens" in said(at)
    click(at, "lift_confirm")
    assert stored(session) == []
    assert in_force_of(session, "acme") == 8000


def test_cleared_is_a_second_step(session: Session, admin: Actor, ids: dict[str, int]) -> None:
    """The rows lose what the limit forbids, and nothing is out of force then: the menu no longer offers it."""
    row = limit(session, organization_id=ids["acme"])
    at = pick(page(admin), f"more_{row.id}", "Clear what is out of force")
    assert "with 1 row of 1 organisation out of force" in said(at)
    click(at, "clear_confirm")
    session.expire_all()
    of = settings.get_of(session, COMMAND_LINE, SettingsScope(None, ids["acme"]))
    assert of is None or of.max_tokens is None
    assert not offers(at, f"more_{row.id}", "Clear what is out of force")


def test_scope_and_every_kind_of_rule(session: Session, admin: Actor, ids: dict[str, int]) -> None:
    """A template, a feature and a provider; a list, a lock, what must be sent, a key of the custom settings; edited it shows them again."""
    at = click(page(admin, organization="tier", feature="classify"), "add_limit")
    assert at.text_input(key="limit_organization").value == "tier"
    fields = ["log_level", "preferred_model", "top_p", "custom_settings.region", "enable_logging"]
    at.multiselect(key="limit_fields").set_value(fields).run()
    at.multiselect(key="limit_rule_log_level_in").set_value(["minimal", "errors_only"])
    at.multiselect(key="limit_rule_enable_logging_in").set_value([False])
    at.number_input(key="limit_rule_top_p_min").set_value(0.0)
    at.selectbox(key="limit_rule_top_p_send").set_value("Must be sent").run()
    click(at, "limit_save")
    row = stored(session)[0]
    assert (row.organization_id, row.feature_id, row.provider_id) == (ids["tier"], ids["classify"], None)
    assert row.limits == {
        "log_level": {"in": ["minimal", "errors_only"]},
        "preferred_model": {"lock": True},
        "top_p": {"min": 0.0, "send": True},
        "custom_settings.region": {"lock": True},
        "enable_logging": {"in": [False]},
    }
    click(at, f"edit_{row.id}")
    at.number_input(key="limit_rule_top_p_max").set_value(0.5)
    click(at, "limit_save")
    assert stored(session)[0].limits == row.limits | {"top_p": {"min": 0.0, "max": 0.5, "send": True}}

    at = click(page(admin, organization="tier", feature="classify"), "add_limit")
    assert "has limits of that owner already" in said(at)
    click(at, "limit_edit_those")
    assert at.multiselect(key="limit_fields").value == list(row.limits)
    assert "Save writes what stands here" not in said(at)
    at.text_input(key="limit_note").set_value("contract").run()
    click(at, "limit_save")
    assert stored(session)[0].note == "contract"


def test_what_binds_nothing_is_said_with_its_cure(session: Session, admin: Actor, ids: dict[str, int]) -> None:
    """A bound on what is not sent says so beside it; one press has it sent."""
    settings.upsert(session, COMMAND_LINE, SettingsScope(None, ids["acme"]), {"omitted_parameters": ["top_p"]})
    row = limit(session, {"top_p": {"max": 0.5}}, organization_id=ids["acme"])
    at = click(page(admin), f"edit_{row.id}")
    assert "Binds nothing: it is not sent here." in said(at)
    click(at, "limit_send_top_p")
    click(at, "limit_save")
    if not stored(session)[0].limits["top_p"].get("send"):
        click(at, "limit_save")
    assert stored(session)[0].limits == {"top_p": {"max": 0.5, "send": True}}


@pytest.mark.usefixtures("ids")
def test_of_two_admins_nobody_writes_over_the_other_unseen(session: Session, admin: Actor) -> None:
    """What was saved meanwhile is said, what was typed stays; lifted meanwhile, it may be set anew."""
    row = limit(session, {"max_retries": {"max": 5}})
    at = click(page(admin), f"edit_{row.id}")
    at.number_input(key="limit_rule_max_retries_max").set_value(7)
    limits.update(session, COMMAND_LINE, id_of(row), {"limits": {"max_retries": {"max": 3}}})
    click(at, "limit_save")
    assert stored(session)[0].limits == {"max_retries": {"max": 3}}
    assert "Max retries: at most 3. Save writes what stands here" in said(at)
    assert at.number_input(key="limit_rule_max_retries_max").value == 7
    click(at, "limit_save")
    assert stored(session)[0].limits == {"max_retries": {"max": 7}}

    at = click(page(admin), f"edit_{row.id}")
    at.number_input(key="limit_rule_max_retries_max").set_value(9).run()
    limits.delete(session, COMMAND_LINE, id_of(row))
    click(at, "limit_save")
    assert "lifted meanwhile" in toasts(at)[-1]
    click(at, "limit_save")
    assert [each.limits for each in stored(session)] == [{"max_retries": {"max": 9}}]


def test_an_organisations_admin_sets_its_own(session: Session, ids: dict[str, int]) -> None:
    """It sees the installation's for it, without who set it, and changes its own alone; an analyst changes nothing; of others nobody reads."""
    ours = limit(session, organization_id=ids["acme"], note="contract")
    theirs = limit(session, organization_id=ids["beta"])
    grace = make_user("grace", "member")
    organization_members.set_member(session, COMMAND_LINE, ids["acme"], grace.own_id(), "admin")
    grace = replace(grace, auth_epoch=grace.auth_epoch + 1)
    at = page(grace)
    assert has(at, "add_limit")
    assert "acme · all providers" in said(at)
    assert "beta" not in said(at)
    assert "installation, just now" in said(at)
    assert not has(at, f"edit_{ours.id}")
    click(at, "add_limit")
    at.multiselect(key="limit_fields").set_value(["temperature"]).run()
    at.number_input(key="limit_rule_temperature_max").set_value(0.5).run()
    click(at, "limit_save")
    row = stored(session)[-1]
    assert (row.owner, row.organization_id, row.limits) == ("organization", ids["acme"], {"temperature": {"max": 0.5}})
    assert has(at, f"edit_{row.id}")
    assert "There is no such limit" in said(at_once("limits", grace, limit=str(theirs.id)))


def test_analyst_reads(session: Session, analyst: Actor) -> None:
    """All of them, and changes none."""
    row = limit(session)
    at = at_once("limits", analyst)
    assert "at most 4,000" in said(at)
    assert not has(at, "add_limit")
    assert not has(at, f"edit_{row.id}")


@pytest.mark.long
def test_narrowed_paged_and_one_alone(session: Session, admin: Actor, ids: dict[str, int]) -> None:
    """By organisation, feature, provider, setting and owner, all in the address; a page at a time; one alone."""
    rows = {
        "acme": limit(session, organization_id=ids["acme"]),
        "classify": limit(session, {"custom_settings.region": {"lock": True}}, feature_id=ids["classify"]),
        "openai": limit(session, {"log_level": {"in": ["full"]}}, provider_id=ids["openai"]),
        "own": limit(session, {"top_p": {"max": 0.5}}, organization_id=ids["beta"], owner="organization"),
    }
    for query, names in (
        ({"organization": "acme"}, {"acme"}),
        ({"feature": "classify"}, {"classify"}),
        ({"provider": "openai"}, {"openai"}),
        ({"field": "Custom settings"}, {"classify"}),
        ({"field": "Max tokens", "organization": "beta"}, set()),
        ({"owner": "Organisations"}, {"own"}),
        ({"limit": str(rows["openai"].id)}, {"openai"}),
        ({}, set(rows)),
    ):
        at = at_once("limits", admin, **query)
        assert {name for name, row in rows.items() if has(at, f"edit_{row.id}")} == names, query
    assert has(click(page(admin, limit=str(rows["own"].id)), "limits_all"), f"edit_{rows['acme'].id}")

    for number in range(25):
        of = organizations.create_one(session, COMMAND_LINE, {"slug": f"o{number}", "name": "O"})
        last = limit(session, organization_id=id_of(of))
    at = page(admin)
    assert not has(at, f"edit_{last.id}")
    assert has(click(at, "limits_next"), f"edit_{last.id}")


def test_preview_and_hierarchy_say_what_holds_a_value(session: Session, analyst: Actor, ids: dict[str, int]) -> None:
    """Which limit, whose, why, and what would be in force without it, with a link to it; also of what must be sent."""
    of = SettingsScope(None, ids["acme"])
    settings.upsert(session, COMMAND_LINE, of, {"max_tokens": 8000, "omitted_parameters": ["top_p"]})
    row = limit(session, MOST | {"top_p": {"send": True}}, organization_id=ids["acme"], note="contract")
    rules = ("limited by at most 4,000: limit of ", "“contract”; wanted 8,000", "limited by must be sent: limit of ")
    for name in ("effective_preview", "hierarchy"):
        at = at_once(name, analyst, provider="openai", organization="acme")
        texts = [" ".join(table.value.to_csv() for table in at.table)] + html_texts(at) * (name == "hierarchy")
        for shown in texts[:2] if name == "effective_preview" else [texts[0], "".join(texts[1:])]:
            plainly = shown.replace("\\", "").replace("\u200b", "").replace("\u2068", "").replace("\u2069", "")
            assert [rule for rule in (*rules, f"Limit {row.id}") if rule not in plainly] == [], (name, plainly)
        assert f"limits?limit={row.id}" in texts[0]
        beta = at_once(name, analyst, provider="openai", organization="beta")
        assert "limited by" not in " ".join(table.value.to_csv() for table in beta.table)
    side = at_once("effective_preview", analyst, provider="openai", organization="beta", against="acme")
    assert "limited by at most 4,000" in side.table[0].value.to_csv().replace("\\", "")


@pytest.mark.long
def test_fields_say_what_binds_them_and_what_refused_a_save(
    session: Session, admin: Actor, ids: dict[str, int]
) -> None:
    """On each editor: the rule below its field, whose and why, with a link; a refused save says it beside the field, and keeps what was typed."""
    rows = [
        limit(session, MOST | {"custom_settings.team": {"lock": True}}, note="contract", **{f"{kind}_id": ids[name]})
        for kind, name in (("provider", "openai"), ("organization", "beta"), ("feature", "classify"))
    ]
    pages: dict[str, tuple[dict[str, str], str]] = {
        "defaults": ({"provider": "openai"}, "save"),
        "organization": ({"organization": "beta"}, "override_save"),
        "features": ({"feature": "classify"}, "override_save"),
    }
    for (name, (query, save)), row in zip(pages.items(), rows, strict=True):
        at = open_page(name, admin, **query)
        assert "At most 4,000 here: limit of command line, " in said(at), name
        assert f"“contract”.]] :small[[Limit {row.id}](limits?limit={row.id})]" in said(at), name
        assert "team: locked here" not in said(at), name  # a lock lets its own layer be
        at.segmented_control(key="max_tokens_mode").set_value("value").run()
        at.number_input(key="max_tokens").set_value(5000).run()
        click(at, save)
        refusals = [one.value for one in at.error if "at most 4,000 here" in one.value.replace("\\", "")]
        assert refusals, name
        assert at.number_input(key="max_tokens").value == 5000
        at.number_input(key="max_tokens").set_value(3000).run()
        assert not at.error, name
        click(at, save)
        assert not at.error, name
    session.expire_all()
    scopes = [
        SettingsScope(ids["openai"]),
        SettingsScope(None, ids["beta"]),
        SettingsScope(None, None, ids["classify"]),
    ]
    stored_rows = [settings.get_of(session, COMMAND_LINE, scope) for scope in scopes]
    assert [each.max_tokens for each in stored_rows if each is not None] == [3000, 3000, 3000]


def test_default_provider_that_is_not_on_the_list_is_refused_beside_its_field(
    session: Session, admin: Actor, ids: dict[str, int]
) -> None:
    """Defaults says which are allowed; another one that is chosen is not stored, and the rule stands below the field."""
    made = {"name": "other", "display_name": "Other", "kind": "openai", "available_models": ["m"]}
    other = id_of(providers.create(session, COMMAND_LINE, made | {"default_model": "m"}))
    limit(session, {"default_provider": {"in": [ids["openai"]]}})
    at = open_page("defaults", admin)
    assert "Openai here: limit of command line" in said(at)
    at.selectbox(key="default_provider_of_all").set_value(other).run()
    assert any("Openai here: limit of" in one.value.replace("\\", "") for one in at.error)
    row = settings.get_of(session, COMMAND_LINE, SettingsScope())
    assert row is None or row.default_provider_id is None
