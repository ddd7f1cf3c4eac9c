"""Azure's classic deployments: OpenAI's chat completions below ``/openai/deployments/NAME``, the key in ``api-key``."""

from typing import Any

from ...kinds import KINDS
from ...resolving.carried import NOTHING, Opened
from ..vendors import sdk
from . import openai


class AzureOpenAI(openai.OpenAI):
    """The adapter; see :class:`core.calling.vendors.Vendor`. The model of a request is the deployment's name."""

    def client(self, key: str, base_url: str | None, http: Any, *, is_async: bool, carried: Opened = NOTHING) -> Any:
        """Make a client that the environment has no part in."""
        package = sdk("openai")
        made = package.AsyncAzureOpenAI if is_async else package.AzureOpenAI
        query = {**KINDS["azure_openai"].query, **dict(carried.query)}
        client = made(
            api_key=key,
            azure_endpoint=base_url or "",
            api_version=query.pop("api-version"),
            http_client=http,
            max_retries=0,
            default_query=query or None,
        )
        return openai.alone(client, carried)
