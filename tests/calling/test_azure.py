"""Azure's classic deployments: what arrives there by core.ai, by its own SDK and by the connection test is the same."""

from typing import Any

import openai
import pytest

from core import ai
from core.actors import COMMAND_LINE
from core.errors import CallFailed
from core.kinds import KINDS
from core.manage import connection, provider_secrets, providers
from core.parameters import PARAMETERS, SENDABLE
from core.resolve import resolve
from core.store import db
from core.testing import override
from tests.calls import WAYS, configure, settle
from tests.conftest import run_async
from tests.vendors import KEY, TEXT, Status, Vendor

pytest_plugins = ["tests.calls"]

CHAT = "/openai/deployments/m1/chat/completions?api-version=2024-10-21"
HOSTILE = {
    "AZURE_OPENAI_ENDPOINT": "http://127.0.0.1:1",
    "AZURE_OPENAI_API_KEY": "of-the-environment",
    "AZURE_OPENAI_AD_TOKEN": "of-the-environment",
    "OPENAI_API_VERSION": "2023-05-15",
    "OPENAI_BASE_URL": "http://127.0.0.1:1",
}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Variables that the SDK would read."""
    for name, value in HOSTILE.items():
        monkeypatch.setenv(name, value)


def check(vendor: Vendor, parameters: dict[str, Any]) -> None:
    """The one request has the deployment in its path, the key in its header, and nothing of the environment."""
    (asked,) = vendor.asked
    assert asked.path == CHAT
    assert asked.headers["api-key"] == KEY
    assert "of-the-environment" not in repr(asked)
    assert "authorization" not in asked.headers
    body = dict(asked.body)
    for name in ("messages", "stream", "stream_options"):
        body.pop(name, None)
    assert body == parameters


VALUES = {name: PARAMETERS[name].default for name in SENDABLE} | {"temperature": 0.25, "max_tokens": 50}
SENT = {KINDS["azure_openai"].names[name]: value for name, value in VALUES.items() if value is not None}


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize("way", WAYS)
def test_a_call(vendor: Vendor, way: str) -> None:
    """By core.ai, in each way: the model is the deployment's name."""
    configure("azure_openai", temperature=0.25, max_tokens=50)
    done = WAYS[way]("Hello", provider="azure_openai")

    assert (done.text, done.attempts) == (TEXT, 1)
    check(vendor, {"model": "m1", **SENT})


@pytest.mark.parametrize("is_async", [False, True])
def test_the_sdk_as_it_is(vendor: Vendor, *, is_async: bool) -> None:
    """`AzureOpenAI(**client_options())` and `create(**request_options())` send what core.ai sends."""
    values: dict[str, Any] = {"temperature": 0.25, "max_tokens": 50, "max_retries": 0}
    messages: Any = [{"role": "user", "content": "Hello"}]
    with override("azure", kind="azure_openai", base_url=vendor.url, model="m1", api_key=KEY, **values):
        settings = resolve("azure")

        async def call() -> Any:
            async with openai.AsyncAzureOpenAI(**settings.client_options()) as client:
                return await client.chat.completions.create(messages=messages, **settings.request_options())

        if is_async:
            answer = run_async(call())
        else:
            with openai.AzureOpenAI(**settings.client_options()) as client:
                answer = client.chat.completions.create(messages=messages, **settings.request_options())

    assert answer.choices[0].message.content == TEXT
    check(vendor, {"model": "m1", **SENT})


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize("way", [*WAYS, "sdk", "test"])
def test_a_version_of_ones_own(vendor: Vendor, way: str) -> None:
    """A query parameter api-version of the provider is sent in place of the kind's, by core.ai, SDK and connection test."""
    with db.transaction() as session:
        stored = providers.get_by_name(session, "azure_openai").id or 0
        version = "2025-01-01-preview"
        provider_secrets.set_value(session, COMMAND_LINE, stored, "query", "api-version", value=version, sealed=False)
    settle()
    if way == "sdk":
        settings = resolve("azure_openai")
        with openai.AzureOpenAI(**settings.client_options()) as client:
            client.chat.completions.create(messages=[{"role": "user", "content": "x"}], **settings.request_options())
    elif way == "test":
        assert _tested()["call"].state == "verified"
    else:
        WAYS[way]("Hello", provider="azure_openai")

    assert [asked.path for asked in vendor.asked] == [CHAT.replace("2024-10-21", version)]


@pytest.mark.usefixtures("store")
def test_embeddings(vendor: Vendor) -> None:
    """They have a deployment of their own."""
    ai.embed(["Hello"], provider="azure_openai")

    assert vendor.asked[0].path == CHAT.replace("chat/completions", "embeddings")
    assert vendor.asked[0].headers["api-key"] == KEY


@pytest.mark.usefixtures("store")
def test_no_such_deployment(vendor: Vendor) -> None:
    """It is told as such, after one attempt, in Azure's words."""
    vendor.models = ()
    with pytest.raises(CallFailed, match=r"\(model, 1 attempt\): 404: The API deployment .* does not exist"):
        ai.complete("Hello", provider="azure_openai")


def _tested(**change: Any) -> dict[str, connection.Stage]:
    with db.transaction() as session:
        stored = providers.get_by_name(session, "azure_openai").id or 0
        target = connection.prepare(session, COMMAND_LINE, stored, change)
    return {stage.name: stage for stage in connection.run(target).stages}


@pytest.mark.usefixtures("store")
def test_the_connection_test(vendor: Vendor) -> None:
    """The list of deployments is not asked for, and that is said; the call shows the rest."""
    found = _tested()

    assert [asked.path for asked in vendor.asked] == [CHAT]
    assert (found["key"].state, found["model"].state, found["call"].state) == ("verified",) * 3


@pytest.mark.usefixtures("store")
def test_the_connection_test_without_such_a_deployment() -> None:
    """The stage of the model is refused, in Azure's words; of the key nothing is claimed."""
    found = _tested(default_model="gone")

    assert (found["key"].state, found["model"].state) == ("not_checked", "refused")
    assert "no list of deployments" in found["key"].words
    assert "API deployment for this resource does not exist" in found["model"].words


@pytest.mark.usefixtures("store")
def test_the_connection_test_with_a_wrong_key(vendor: Vendor) -> None:
    """The call is what shows it, without the key in its words."""
    vendor.keys = ["another-key-of-theirs"]
    found = _tested()

    assert (found["key"].state, found["model"].state, found["call"].state) == ("refused", "not_checked", "refused")
    assert KEY[10:30] not in repr(found)


@pytest.mark.usefixtures("store")
def test_the_connection_test_without_a_key(vendor: Vendor) -> None:
    """A gateway of one's own before Azure may need none."""
    vendor.keys = ["not-needed"]
    found = _tested(needs_key=False)

    assert (found["key"].state, found["key"].words, found["call"].state) == ("verified", "none is needed", "verified")


@pytest.mark.usefixtures("store")
def test_the_connection_test_of_another_path(vendor: Vendor) -> None:
    """404 without a word about a deployment: it is the address that is wrong."""
    vendor.fail(Status(404, {}, {"error": {"code": "404", "message": "Resource not found"}}))
    found = _tested()

    assert found["model"].words == "nothing was found at the base URL"
    assert "No deployment is at this address: Check the path" in found["call"].words
