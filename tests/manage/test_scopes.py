"""Settings of organisations and features are written as those of all: one row a scope, versions, one validator; and what hides what is counted."""

from typing import Any

import pytest
from sqlalchemy import text
from sqlmodel import Session, col, select

from core.access.authority import Visible
from core.actors import COMMAND_LINE, Actor
from core.audit.record import ORGANIZATION
from core.errors import Conflict, Forbidden, Invalid, NotFound
from core.manage import features, organization_keys, organizations, overriding, providers, settings
from core.manage.hierarchy import AskedFor, in_force
from core.manage.overriding import Hidden, OwnRows
from core.manage.scopes import GLOBAL, SettingsScope
from core.store.organization_tables import FeatureLlmOverride
from core.store.records import AuditEvent
from core.store.table import id_of
from core.store.tables import LlmSettings

ALL = Visible(everything=True, roles={})


@pytest.fixture
def ids(session: Session) -> dict[str, int]:
    """Two providers, a template, three organisations of which two build on it, two features."""
    found = {}
    for name in ("openai", "other"):
        made = {"name": name, "display_name": name, "kind": "openai", "available_models": ["m1", "m2"]}
        found[name] = id_of(providers.create(session, COMMAND_LINE, made))
    tier = organizations.create_one(session, COMMAND_LINE, {"slug": "tier", "name": "T", "kind": "template"})
    found["tier"] = id_of(tier)
    for slug, template in (("acme", tier.id), ("beta", tier.id), ("solo", None)):
        row = organizations.create_one(session, COMMAND_LINE, {"slug": slug, "name": slug, "template_id": template})
        found[slug] = id_of(row)
    for name in ("classify", "summarise"):
        found[name] = id_of(features.create(session, COMMAND_LINE, {"name": name, "display_name": name}))
    return found


def scope(ids: dict[str, int], words: str) -> SettingsScope:
    """``acme classify openai`` in ids."""
    kinds = {"openai": "provider_id", "other": "provider_id", "classify": "feature_id", "summarise": "feature_id"}
    return SettingsScope(**{kinds.get(word, "organization_id"): ids[word] for word in words.split()})


SCOPES = [
    "",
    "openai",
    "acme",
    "acme openai",
    "classify",
    "classify openai",
    "acme classify",
    "acme classify openai",
    "tier",
]


@pytest.mark.parametrize("words", SCOPES)
def test_a_row_of_each_scope(session: Session, admin: Actor, ids: dict[str, int], words: str) -> None:
    """One row a scope: made by the first write, changed by the next, refused to who has an old version, deleted; each on record."""
    of = scope(ids, words)
    row = settings.upsert(session, admin, of, {"temperature": 0.5}, version=0)
    assert isinstance(row, FeatureLlmOverride if of.feature_id else LlmSettings)
    assert (row.organization_id, row.provider_id, row.temperature, row.version) == (
        of.organization_id,
        of.provider_id,
        0.5,
        1,
    )
    assert settings.upsert(session, admin, of, {"top_p": 0.25}, version=1).id == row.id
    with pytest.raises(Conflict) as caught:
        settings.upsert(session, admin, of, {"top_p": 0.75}, version=1)
    assert caught.value.changes == {"top_p": (0.25, 0.75)}
    with pytest.raises(Invalid, match="top_p"):
        settings.upsert(session, admin, of, {"top_p": 7})
    update, delete = (
        (settings.update, settings.delete)
        if of.feature_id is None
        else (settings.update_override, settings.delete_override)
    )
    assert update(session, admin, id_of(row), {"top_p": None}).top_p is None
    assert settings.get_of(session, admin, of) is not None
    delete(session, admin, id_of(row), version=3)
    assert settings.get_of(session, admin, of) is None
    for act in (lambda: update(session, admin, id_of(row), {}), lambda: delete(session, admin, id_of(row))):
        with pytest.raises(NotFound):
            act()

    kind = "override" if of.feature_id else "settings"
    query = select(AuditEvent).where(AuditEvent.target_type == kind).order_by(col(AuditEvent.id))
    events: list[Any] = list(session.exec(query))
    assert [each.action for each in events] == [f"{kind}.create", f"{kind}.update", f"{kind}.update", f"{kind}.delete"]
    names = [w for w in ("acme", "tier", "classify", "openai") if w in words.split()]
    expected = " · ".join(names if "openai" in names else [*names, "all providers"])
    assert {each.target for each in events} == {expected}
    assert {each.changes.get(ORGANIZATION, {}).get("after") for each in events} == {of.organization_id}


def test_rows_do_not_mix(session: Session, admin: Actor, ids: dict[str, int]) -> None:
    """Each scope has its own value; the lists of everybody's, of an organisation and of a feature have their own rows only."""
    for number, words in enumerate(SCOPES, start=1):
        settings.upsert(session, admin, scope(ids, words), {"max_tokens": number})
    for number, words in enumerate(SCOPES, start=1):
        found = settings.get_of(session, admin, scope(ids, words))
        assert found is not None
        assert found.max_tokens == number
    assert [row.max_tokens for row in settings.list_global(session)] == [1, 2]
    of_acme = settings.list_of(session, admin, organization_id=ids["acme"])
    assert [row.max_tokens for row in of_acme] == [3, 4, 7, 8]
    assert [row.max_tokens for row in settings.list_of(session, admin, feature_id=ids["classify"])] == [5, 6]
    of_both = settings.list_of(session, admin, organization_id=ids["acme"], feature_id=ids["classify"])
    assert [row.max_tokens for row in of_both] == [7, 8]
    assert settings.list_of(session, admin, organization_id=ids["solo"]) == []
    assert settings.effective(session, "openai").max_tokens == 2


def test_models_that_an_organisation_may(session: Session, admin: Actor, ids: dict[str, int]) -> None:
    """What may be preferred is what the provider has and the organisation, or else its template, may; and its own models."""
    acme, solo = scope(ids, "acme openai"), scope(ids, "solo openai")
    organization_keys.update(session, admin, ids["tier"], ids["openai"], {"allowed_models": ["m2"]})
    organization_keys.update(session, admin, ids["acme"], ids["openai"], {"own_models": ["ft:1"]})
    for of, model, fits in (
        (acme, "m1", False),
        (acme, "m2", True),
        (acme, "ft:1", True),
        (scope(ids, "acme classify openai"), "m1", False),
        (solo, "m1", True),
        (solo, "ft:1", False),
        (scope(ids, "classify openai"), "ft:1", False),
    ):
        if fits:
            assert settings.upsert(session, admin, of, {"preferred_model": model}).preferred_model == model
            continue
        with pytest.raises(Invalid, match="preferred_model"):
            settings.upsert(session, admin, of, {"preferred_model": model})
    organization_keys.update(session, admin, ids["acme"], ids["openai"], {"allowed_models": [], "own_models": []})
    assert settings.upsert(session, admin, acme, {"top_p": 0.5}).preferred_model == "ft:1"
    with pytest.raises(Invalid, match="all"):
        settings.upsert(session, admin, scope(ids, "acme"), {"preferred_model": "m1"})


def test_a_provider_keeps_what_somebody_prefers(session: Session, admin: Actor, ids: dict[str, int]) -> None:
    """Taking a model away names the organisations and features that prefer it; an organisation's own model is none of the provider's."""
    organization_keys.update(session, admin, ids["acme"], ids["openai"], {"own_models": ["ft:1"]})
    settings.upsert(session, admin, scope(ids, "acme openai"), {"preferred_model": "ft:1"})
    settings.upsert(session, admin, scope(ids, "beta openai"), {"preferred_model": "m2"})
    settings.upsert(session, admin, scope(ids, "beta classify openai"), {"preferred_model": "m2"})
    with pytest.raises(Invalid, match="must keep m2: preferred by beta, beta · classify"):
        providers.update(session, admin, ids["openai"], {"available_models": ["m1"]})
    settings.upsert(session, admin, scope(ids, "openai"), {"preferred_model": "m1"})
    with pytest.raises(Invalid, match="must keep m1: the Defaults page prefers it"):
        providers.update(session, admin, ids["openai"], {"available_models": ["m2"]})
    providers.update(session, admin, ids["openai"], {"available_models": ["m1", "m2", "m3"]})


@pytest.mark.parametrize("words", ["", "acme", "classify", "acme classify"])
def test_a_default_provider(session: Session, admin: Actor, ids: dict[str, int], words: str) -> None:
    """Chosen where no provider is named; while it is somebody's default it is neither deleted nor deactivated."""
    of = scope(ids, words)
    assert (
        settings.upsert(session, admin, of, {"default_provider_id": ids["openai"]}).default_provider_id == ids["openai"]
    )
    who = words.replace(" ", " · ") or "all organisations"
    for act in (
        lambda: providers.delete(session, admin, ids["openai"]),
        lambda: providers.update(session, admin, ids["openai"], {"is_active": False}),
    ):
        with pytest.raises(Invalid, match=f"default provider of {who}"):
            act()
    settings.upsert(session, admin, of, {"default_provider_id": ids["other"]})
    providers.update(session, admin, ids["openai"], {"is_active": False})
    for provider, field in ((ids["openai"], "active"), (999, "id of a provider")):
        with pytest.raises(Invalid, match=field):
            settings.upsert(session, admin, of, {"default_provider_id": provider})
    with pytest.raises(Invalid, match="default_provider_id"):
        settings.upsert(session, admin, of._replace(provider_id=ids["other"]), {"default_provider_id": ids["other"]})
    providers.delete(session, admin, ids["openai"])


def test_what_is_not_there(session: Session, admin: Actor, analyst: Actor, ids: dict[str, int]) -> None:
    """A provider, feature or organisation that is not there is named; who may only read is refused."""
    for of in (SettingsScope(999), SettingsScope(None, 999), SettingsScope(None, None, 999)):
        with pytest.raises(NotFound, match="999"):
            settings.upsert(session, admin, of, {"top_p": 0.5})
    for of in (GLOBAL, scope(ids, "acme"), scope(ids, "classify")):
        with pytest.raises(Forbidden):
            settings.upsert(session, analyst, of, {"top_p": 0.5})


RANKS = [
    *("", "openai", "tier", "tier openai", "acme", "acme openai", "classify", "classify openai"),
    *("tier classify", "tier classify openai", "acme classify", "acme classify openai"),
]
"""ORGANISATIONS.md D2, from the lowest."""


@pytest.mark.parametrize("words", RANKS)
def test_what_is_above_is_what_counts_more(session: Session, admin: Actor, ids: dict[str, int], words: str) -> None:
    """Of each layer, what may override it is counted as the order of layers has it: each above, none below, nobody else's."""
    for each in RANKS:
        settings.upsert(session, admin, scope(ids, each), {"top_p": 0.5})
    for noise in ("solo openai", "solo classify", "summarise", "other"):
        if not set(words.split()) or noise == "other":
            continue
        settings.upsert(session, admin, scope(ids, noise), {"max_tokens": 5})

    found = overriding.above(session, ALL, scope(ids, words), ["top_p", "max_tokens"])
    above = RANKS[RANKS.index(words) + 1 :]

    assert found.get("top_p", Hidden()) == Hidden(
        len(above),
        len({each.split()[0] for each in above} & {"tier", "acme"}),
        int(any("classify" in each for each in above)),
    )


def test_do_not_send_overrides_too(session: Session, admin: Actor, ids: dict[str, int]) -> None:
    """A row that says *do not send* hides a value as one that has another; an inactive row hides nothing."""
    settings.upsert(session, admin, scope(ids, "classify"), {"omitted_parameters": ["top_p"]})
    settings.upsert(session, admin, scope(ids, "acme classify"), {"top_p": 0.5, "is_active": False})
    assert overriding.above(session, ALL, GLOBAL, ["top_p", "temperature"]) == {"top_p": Hidden(1, 0, 1)}


def test_figures_of_lists(session: Session, admin: Actor, ids: dict[str, int]) -> None:
    """What each organisation of a page has stored, and what each feature: of those that the actor sees."""
    settings.upsert(session, admin, scope(ids, "acme"), {"top_p": 0.5})
    for words in ("acme classify", "beta classify", "classify"):
        settings.upsert(session, admin, scope(ids, words), {"top_p": 0.5})
    organization_keys.set_api_key(session, admin, ids["acme"], ids["openai"], "sk-proj-0123456789abcdefghijklmnopqr")
    found = overriding.of_organizations(session, [ids["acme"], ids["solo"]])
    assert found == {ids["acme"]: OwnRows(1, 1, 1), ids["solo"]: OwnRows()}
    assert overriding.of_features(session, ALL, [ids["classify"]]) == {ids["classify"]: Hidden(3, 2)}
    seen = Visible(everything=False, roles={ids["beta"]: "admin"})
    assert overriding.of_features(session, seen, [ids["classify"]]) == {ids["classify"]: Hidden(2, 1)}


def test_features_that_override_are_named(session: Session, admin: Actor, ids: dict[str, int]) -> None:
    """Of an organisation's value those of its own rows and of nobody's; not another organisation's, nor of another provider."""
    for words in ("acme classify", "summarise openai", "beta summarise"):
        settings.upsert(session, admin, scope(ids, words), {"temperature": 0.1})

    def above(words: str, seen: Visible = ALL, most: int = 9) -> list[str]:
        return overriding.features_above(session, seen, scope(ids, words), "temperature", most=most)

    assert above("acme") == ["classify", "summarise"]
    assert above("acme", most=1) == ["classify"]
    assert above("acme other") == ["classify"]
    assert above("beta") == ["summarise"]
    assert above("", Visible(everything=False, roles={ids["solo"]: "admin"})) == ["summarise"]
    assert overriding.features_above(session, ALL, scope(ids, "acme"), "top_p", most=9) == []

    settings.upsert(session, admin, scope(ids, "acme classify openai"), {"temperature": 0.1})
    settings.upsert(session, admin, scope(ids, "acme summarise"), {"temperature": 0.1})
    listed = overriding.features_of(session, ids["acme"], limit=9)
    assert [(each.name, each.rows) for each in listed] == [("classify", 2), ("summarise", 1)]
    assert [each.name for each in overriding.features_of(session, ids["acme"], after="classify", limit=9)] == [
        "summarise"
    ]


def test_features(session: Session, admin: Actor, analyst: Actor) -> None:
    """Registered, renamed with versions, found by page, deleted with their overrides; names of the log that nobody registered are listed."""
    row = features.create(session, admin, {"name": "classify", "display_name": "Ünïcödé 🦜", "description": "a\nb"})
    with pytest.raises(Exception, match="already"), session.begin_nested():
        features.create(session, admin, {"name": "classify", "display_name": "x"})
    for bad in ({"name": "Upper", "display_name": "x"}, {"name": "x", "display_name": ""}, {"name": "x"}):
        with pytest.raises(Invalid):
            features.create(session, admin, bad)
    row = features.update(session, admin, id_of(row), {"is_active": False}, version=1)
    with pytest.raises(Conflict):
        features.update(session, admin, id_of(row), {"is_active": True}, version=1)
    session.execute(
        text(
            "INSERT INTO llm_logs (provider, model, status, attempts, latency_ms, generation, feature)"
            " SELECT 'p', 'm', 'ok', 1, 1, 1, name FROM unnest(ARRAY['classify', 'clasify', NULL, 'clasify', 'x']) AS name"
        )
    )
    assert features.unregistered(session, admin) == ["clasify", "x"]
    assert [each.name for each in features.search(session, analyst, "ÜNÏ")] == ["classify"]
    assert features.search(session, analyst, "%") == features.search(session, analyst, after="classify") == []
    for act in (lambda: features.unregistered(session, analyst), lambda: features.delete(session, analyst, id_of(row))):
        with pytest.raises(Forbidden):
            act()
    settings.upsert(session, admin, SettingsScope(None, None, row.id), {"top_p": 0.5})
    assert features.delete(session, admin, id_of(row), version=2) == ["the feature classify", "its 1 override"]
    with pytest.raises(NotFound):
        features.get_by_name(session, "classify")


def test_values_that_a_provider_never_gets(session: Session, ids: dict[str, int]) -> None:
    """A layer below that names the provider says *do not send*, of the template for those that build on it; a value that names it undoes it."""
    for words, name in (("openai", "top_p"), ("tier other", "temperature"), ("acme openai", "max_tokens")):
        settings.upsert(session, COMMAND_LINE, scope(ids, words), {"omitted_parameters": [name]})
    names = ("top_p", "temperature", "max_tokens", "presence_penalty")

    found = {words: overriding.held_back(session, scope(ids, words), names) for words in SCOPES}

    assert {words: held for words, held in found.items() if held} == {
        "acme": {"top_p": ["openai"], "temperature": ["other"]},
        "classify": {"top_p": ["openai"]},
        "acme classify": {"top_p": ["openai"], "temperature": ["other"], "max_tokens": ["openai"]},
        "tier": {"top_p": ["openai"]},
    }
    of_acme = {"top_p": 0.5, "temperature": 0.5, "max_tokens": 5, "presence_penalty": 0.5}
    settings.upsert(session, COMMAND_LINE, scope(ids, "acme classify"), of_acme)
    omitted = {
        name: in_force(session, COMMAND_LINE, AskedFor(name, "acme", "classify")) for name in ("openai", "other")
    }
    assert {name: set(each.settings.omitted) for name, each in omitted.items()} == {
        "openai": {"top_p", "max_tokens"},
        "other": {"temperature"},
    }
