"""What a vendor's SDK adds to a base URL by itself is no part of it."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlmodel import Session

from core.actors import Actor
from core.errors import Invalid
from core.kinds import KINDS
from core.manage import providers
from core.store import base_urls
from core.store.schemas import ProviderInput, validate

H = "https://gateway.example"
CUT = [
    ("openai", f"{H}/v1/chat/completions", f"{H}/v1"),
    ("openai", f"{H}/v1/responses/", f"{H}/v1"),
    ("openai", f"{H}/v1//", f"{H}/v1/"),
    ("openai_compatible", f"{H}/v1/chat/completions", f"{H}/v1"),
    ("openai_compatible", f"{H}/api/paas/v4/chat/completions", f"{H}/api/paas/v4"),
    ("openai_compatible", f"{H}//v1", f"{H}/v1"),
    ("openai_compatible", f"{H}/v1/embeddings", f"{H}/v1"),
    ("openai_compatible", "https://x.openai.azure.com/openai/deployments/d/chat/completions", "https://x.openai.azure.com/openai/v1/"),
    ("openai_compatible", f"{H}/inference/v1/v1", f"{H}/inference/v1"),  # LifeOS PR#708, github-copilot-llm-gateway#21
    ("openai_compatible", f"{H}/v1/models", f"{H}/v1"),
    ("anthropic", f"{H}/v1/v1/messages", H),
    ("anthropic", f"{H}/v1", H),
    ("anthropic", f"{H}/v1/", H),
    ("anthropic", f"{H}/v1/messages", H),
    ("anthropic", f"{H}/anthropic/v1", f"{H}/anthropic"),
    ("google", f"{H}/v1beta", H),
    ("google", f"{H}/v1beta/models", H),
    ("google", f"{H}/V1BETA/", H),
]  # fmt: skip
KEPT = [
    ("openai", f"{H}/v1"),
    ("openai", f"{H}/v1/"),
    ("openai_compatible", "http://host:11434"),
    ("openai_compatible", "http://[fd00::10]:8000/v1"),
    ("openai_compatible", "https://x.openai.azure.com/openai/v1/"),
    ("openai_compatible", "https://generativelanguage.googleapis.com/v1beta/openai/"),
    ("openai_compatible", f"{H}/api/paas/v4"),
    ("openai_compatible", f"{H}/models"),
    ("openai_compatible", f"{H}/v1/v10"),
    ("openai_compatible", f"{H}/av1/v1"),
    ("anthropic", f"{H}/anthropic"),
    ("anthropic", H),
    ("google", H),
]


def _data(kind: str, url: str) -> dict[str, Any]:
    name = {"name": "acme", "display_name": "Acme", "available_models": ["m"]}
    return {**name, "kind": kind, "api_base_url": url}


@pytest.mark.parametrize(("kind", "url", "meant"), CUT)
def test_a_known_end_is_refused_with_what_was_meant(
    session: Session, admin: Actor, kind: str, url: str, meant: str
) -> None:
    """Create and update say what to write; what is proposed is taken."""
    found = base_urls.look(kind, url)
    assert found.correction == meant
    assert meant in found.refused
    assert base_urls.look(kind, meant) == base_urls.Look()

    nested = session.begin_nested()
    with pytest.raises(Invalid) as told:
        providers.create(session, admin, _data(kind, url))
    assert told.value.fields == {"api_base_url": found.refused}
    nested.rollback()
    row = providers.create(session, admin, _data(kind, meant))
    with pytest.raises(Invalid) as told:
        providers.update(session, admin, row.id or 0, {"api_base_url": url})
    assert told.value.fields == {"api_base_url": found.refused}


@pytest.mark.parametrize(("kind", "url"), KEPT)
def test_base_urls_that_hold(session: Session, admin: Actor, kind: str, url: str) -> None:
    """What works today is kept as it was typed."""
    assert base_urls.look(kind, url) == base_urls.Look()
    if not url.startswith("http://[") and "host:" not in url:
        assert providers.create(session, admin, _data(kind, url)).api_base_url == url


def test_a_row_from_before_can_be_edited(session: Session, admin: Actor) -> None:
    """A stored base URL that would be refused today keeps nobody from renaming or deactivating its provider."""
    row = providers.create(session, admin, _data("openai_compatible", f"{H}/v1"))
    row.api_base_url = f"{H}/v1/chat/completions"
    session.flush()

    assert not providers.update(session, admin, row.id or 0, {"is_active": False}).is_active


def test_azures_classic_address_names_the_way_out() -> None:
    """With its query it is refused as before, and the sentence says which address works."""
    url = "https://x.openai.azure.com/openai/deployments/d/chat/completions?api-version=2024-10-21"
    with pytest.raises(Invalid, match=r"no \? and no #. Azure answers as OpenAI does below /openai/v1/"):
        validate(ProviderInput, _data("openai_compatible", url))


def test_a_scheme_in_capitals_is_told() -> None:
    """HTTP:// is refused with the rule that it breaks."""
    with pytest.raises(Invalid, match="in small letters"):
        validate(ProviderInput, _data("openai_compatible", "HTTP://host/v1"))


@given(st.sampled_from(list(KINDS)), st.text(st.sampled_from("/v1betamodelschatcompletions.:[]@?#% é"), max_size=40))
@settings(max_examples=500, deadline=None)
def test_what_is_proposed_is_right(kind: str, path: str) -> None:
    """Whatever the path: nothing is raised, and a proposal needs no further correction."""
    found = base_urls.look(kind, f"https://h/{path}")

    assert bool(found.refused) == bool(found.correction)
    assert not found.correction or not base_urls.look(kind, found.correction).refused
