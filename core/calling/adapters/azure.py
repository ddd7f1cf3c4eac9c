"""Azure's classic deployments: OpenAI's chat completions below ``/openai/deployments/NAME``, the key in ``api-key``."""

from typing import Any

from ...kinds import KINDS
from ..vendors import sdk
from . import openai


class AzureOpenAI(openai.OpenAI):
    """The adapter; see :class:`core.calling.vendors.Vendor`. The model of a request is the deployment's name."""

    def client(self, key: str, base_url: str | None, http: Any, *, is_async: bool) -> Any:
        """Make a client that the environment has no part in."""
        package = sdk("openai")
        made = package.AsyncAzureOpenAI if is_async else package.AzureOpenAI
        version = KINDS["azure_openai"].query["api-version"]
        return openai.alone(
            made(api_key=key, azure_endpoint=base_url or "", api_version=version, http_client=http, max_retries=0)
        )
