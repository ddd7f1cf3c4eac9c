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
    ("azure_openai", "https://x.openai.azure.com/openai/deployments/d/chat/completions", "https://x.openai.azure.com"),
    ("azure_openai", "https://x.openai.azure.com/openai/deployments/d", "https://x.openai.azure.com"),
    ("azure_openai", "https://x.openai.azure.com/openai/", "https://x.openai.azure.com"),
    ("azure_openai", "https://x.openai.azure.com/openai/v1/", "https://x.openai.azure.com"),
    ("azure_openai", f"{H}/apim/openai/deployments/d/chat/completions", f"{H}/apim"),
    ("openai_compatible", f"{H}/apim/openai/deployments/d/chat/completions", f"{H}/apim"),
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
    ("azure_openai", "https://x.openai.azure.com"),
    ("azure_openai", "https://x.openai.azure.com/"),
    ("azure_openai", f"{H}/apim"),
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
    assert base_urls.look(kind, meant) == base_urls.UrlVerdict()

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
    assert base_urls.look(kind, url) == base_urls.UrlVerdict()
    if not url.startswith("http://[") and "host:" not in url:
        assert providers.create(session, admin, _data(kind, url)).api_base_url == url


def test_a_row_from_before_can_be_edited(session: Session, admin: Actor) -> None:
    """A stored base URL that would be refused today keeps nobody from renaming or deactivating its provider."""
    row = providers.create(session, admin, _data("openai_compatible", f"{H}/v1"))
    row.api_base_url = f"{H}/v1/chat/completions"
    session.flush()

    assert not providers.update(session, admin, row.id or 0, {"is_active": False}).is_active


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("host", ["x.openai.azure.com", "x.openai.azure.us", "gateway.example/apim"])
def test_azures_whole_address_says_what_to_type_where(kind: str, host: str) -> None:
    """Pasted as the portal shows it: the sentence has the base URL, the deployment, the version and the kind."""
    url = f"https://{host}/openai/deployments/my-gpt/chat/completions?api-version=2025-01-01-preview"
    parts = (f"https://{host} as the base URL", "my-gpt among the models", "api-version=2025-01-01-preview is a query")
    with pytest.raises(Invalid) as told:
        validate(ProviderInput, _data(kind, url))

    for sentence in (told.value.fields["api_base_url"], base_urls.look(kind, url).refused):
        assert all(part in sentence for part in parts)
    assert KINDS["azure_openai"].label in told.value.fields["api_base_url"]


@pytest.mark.parametrize("kind", ["openai_compatible", "azure_openai"])
def test_a_version_in_the_query_is_told_where_it_belongs(kind: str) -> None:
    """Without a deployment in the path: what the query says belongs to the provider, or is not needed."""
    with pytest.raises(Invalid, match=r"no \? and no #. An api-version is a query parameter .* below /openai/v1/"):
        validate(ProviderInput, _data(kind, "https://x.openai.azure.com/openai?api-version=2024-10-21"))


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
    for deep in (f"https://h/{path}/openai/deployments/d", f"https://x.openai.azure.com/{path}/openai/v1/{path}"):
        assert (
            not (other := base_urls.look(kind, deep)).correction or not base_urls.look(kind, other.correction).refused
        )
    assert not found.correction or not base_urls.look(kind, found.correction).refused
