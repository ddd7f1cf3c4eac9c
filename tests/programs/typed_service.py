"""A service that hands over the SDKs' own message types: `make check` wants mypy --strict to pass it, and to find what is wrong."""

from anthropic.types import MessageParam
from openai.types.chat import ChatCompletionMessageParam

from core.ai import OMIT, complete, stream

ours: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Hi"}]
theirs: list[MessageParam] = [{"role": "user", "content": "Hi"}]
text: str = complete(ours, provider="openai", temperature=OMIT, tags=["a"]).text
complete(theirs, provider="anthropic", max_tokens=5)
complete([{"role": "user", "content": "Hi"}])
complete("Hi", fallback=["anthropic"])
for part in stream(ours):
    part.upper()
complete("Hi", temprature=1)  # type: ignore[call-arg]  # without an error here, strict says that this is unused
