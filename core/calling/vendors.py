"""The vendors' SDKs: what each calls our parameters, how it is called, and what its answers and errors mean.

An SDK is imported when a provider of its kind is called first. What an adapter returns for an asynchronous client is an
awaitable of the same: the SDKs have each method twice.
"""

import email.utils
import inspect
import json
import ssl
import time
from collections.abc import Hashable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any, ClassVar, Final, Literal, NamedTuple

from ..errors import Invalid, MissingExtra
from ..kinds import facts_of
from ..parameters import SENDABLE
from ..redaction import scrub
from ..resolving.effective import EffectiveSettings

Role = Literal["system", "user", "assistant"]
Reason = Literal[
    "refused", "key", "model", "rate_limit", "busy", "timeout", "connection", "tls", "unacceptable", "not_understood"
]

RETRYABLE: Final = frozenset({408, 409, 429})
"""Statuses below 500 that may pass by themselves; of 500 and above all may."""
_TYPES: Final[Mapping[Any, int]] = {
    # https://platform.claude.com/docs/en/api/errors; OpenAI's have the same names, or none of these
    "invalid_request_error": 400,
    "authentication_error": 401,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
}
"""What an error within a stream is called -> the status that it would have had before. Others are the vendor's fault."""
_WORDS: Final = 500
"""Characters of a vendor's own words."""


class Message(NamedTuple):
    """One turn of a conversation."""

    role: Role
    content: str


class Usage(NamedTuple):
    """Tokens, as the vendor counted them."""

    input: int
    """With those read from and written to a cache."""
    output: int
    """With those of reasoning."""
    cache_read: int = 0
    cache_write: int = 0


class Piece(NamedTuple):
    """An answer, or a part of one."""

    text: str = ""
    model: str | None = None
    """What the vendor says has answered."""
    usage: Usage | None = None
    finish: str | None = None
    """Why the model stopped, in the vendor's word; None in all parts but the last ones."""


class Failure(NamedTuple):
    """What went wrong with one attempt."""

    reason: Reason
    status: int | None
    """Of HTTP; None without an answer."""
    words: str
    """The vendor's own, or the connection's; scrubbed."""
    retryable: bool
    retry_after: float | None = None
    """Seconds that the vendor asks to wait."""


class NotUnderstood(Exception):
    """A vendor answered something else than its API says."""


def read_prompt(prompt: str | Sequence[Mapping[str, str]]) -> list[Message]:
    """Return *prompt* as messages: one of the user, or those given as ``{"role", "content"}``.

    Raises:
        Invalid: If there is nothing to send, or a message has another form.
    """
    given: Any = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt
    try:
        messages = [Message(item["role"], item["content"]) for item in given]
    except (KeyError, TypeError):
        messages = []
    if not messages or any(
        m.role not in {"system", "user", "assistant"} or not isinstance(m.content, str) for m in messages
    ):
        rule = 'must be a text, or a list of {"role": "system", "user" or "assistant", "content": a text}'
        raise Invalid({"prompt": rule})
    if not any(m.content.strip() for m in messages if m.role != "system"):
        raise Invalid({"prompt": "is empty: there is nothing to answer"})
    try:
        "".join(m.content for m in messages).encode()
    except UnicodeEncodeError:
        raise Invalid({"prompt": "has half a character in it, which cannot be sent"}) from None
    return messages


def parameters(settings: EffectiveSettings) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return what is sent, by the vendor's names, and which of our parameters are not, as the vendor has none such.

    What is omitted is left out, but for what an API cannot do without (Anthropic's max_tokens).
    """
    kind = facts_of(settings.kind)
    sent: dict[str, Any] = {}
    not_sent: list[str] = []
    for name in SENDABLE:
        if name in settings.omitted and name not in kind.required:
            continue
        if theirs := kind.names.get(name):
            sent[theirs] = getattr(settings, name)
        else:
            not_sent.append(name)
    return sent, tuple(not_sent)


class _OpenAI:
    """OpenAI, and whoever speaks its chat completions."""

    package: ClassVar = "openai"

    def client(self, key: str, base_url: str | None, http: Any, *, is_async: bool) -> Any:
        sdk = _sdk(self.package)
        made = sdk.AsyncOpenAI if is_async else sdk.OpenAI
        client = made(api_key=key, base_url=base_url, http_client=http, max_retries=0)
        client.organization = client.project = None  # of the environment: the settings alone say whose key it is
        client._custom_headers = {}  # noqa: SLF001 - OPENAI_CUSTOM_HEADERS would even replace the key
        return client

    def send(
        self, client: Any, model: str, messages: list[Message], sent: Mapping[str, Any], timeout: float, *, stream: bool
    ) -> Any:
        more: dict[str, Any] = {"stream": True, "stream_options": {"include_usage": True}} if stream else {}
        known, extra = _split(sent, _named(client.chat.completions.__class__))
        return client.chat.completions.create(
            model=model,
            messages=[{"role": m.role, "content": m.content} for m in messages],
            timeout=timeout,
            extra_body=extra or None,
            **{**more, **known},
        )

    def read(self, answer: Any) -> Piece:
        choice = answer.choices[0]
        return Piece(choice.message.content or "", answer.model, self._usage(answer.usage), choice.finish_reason or "")

    def piece(self, event: Any) -> Piece:
        choice = event.choices[0] if event.choices else None
        text = (choice.delta.content or "") if choice and choice.delta else ""
        return Piece(text, event.model, self._usage(event.usage), choice.finish_reason if choice else None)

    def models(self, client: Any, timeout: float) -> list[str]:
        return [model.id for model in client.models.list(timeout=timeout)]

    def _usage(self, told: Any) -> Usage | None:
        if told is None:
            return None
        cached = getattr(told.prompt_tokens_details, "cached_tokens", None) or 0
        return Usage(told.prompt_tokens, told.completion_tokens, cached)


class _Anthropic:
    package: ClassVar = "anthropic"

    def client(self, key: str, base_url: str | None, http: Any, *, is_async: bool) -> Any:
        sdk = _sdk(self.package)
        made = sdk.AsyncAnthropic if is_async else sdk.Anthropic
        client = made(api_key=key, base_url=base_url, http_client=http, max_retries=0, open_telemetry=False)
        client._custom_headers = {}  # noqa: SLF001 - ANTHROPIC_CUSTOM_HEADERS, as above
        return client

    def send(
        self, client: Any, model: str, messages: list[Message], sent: Mapping[str, Any], timeout: float, *, stream: bool
    ) -> Any:
        known, extra = _split(sent, _named(client.messages.__class__))
        system = "\n\n".join(m.content for m in messages if m.role == "system")
        more: dict[str, Any] = {"system": system} if system else {}
        return client.messages.create(
            model=model,
            messages=[{"role": m.role, "content": m.content} for m in messages if m.role != "system"],
            stream=stream,
            timeout=timeout,
            extra_body=extra or None,
            **{**more, **known},
        )

    def read(self, answer: Any) -> Piece:
        text = "".join(block.text for block in answer.content if block.type == "text")
        return Piece(text, answer.model, self._usage(answer.usage), answer.stop_reason or "")

    def piece(self, event: Any) -> Piece:
        if event.type == "content_block_delta" and event.delta.type == "text_delta":
            return Piece(event.delta.text)
        if event.type == "message_start":
            return Piece(model=event.message.model, usage=self._usage(event.message.usage))
        if event.type == "message_delta":  # counts the output alone, from the beginning
            return Piece(usage=Usage(0, event.usage.output_tokens), finish=event.delta.stop_reason)
        return Piece()

    def models(self, client: Any, timeout: float) -> list[str]:
        return [model.id for model in client.models.list(limit=1000, timeout=timeout)]

    def _usage(self, told: Any) -> Usage:
        read, written = told.cache_read_input_tokens or 0, told.cache_creation_input_tokens or 0
        return Usage(told.input_tokens + read + written, told.output_tokens, read, written)


class _Google:
    package: ClassVar = "google.genai"
    version: ClassVar = "v1"
    """Of the API: the SDK's own choice, but for the environment."""

    def client(self, key: str, base_url: str | None, http: Any, *, is_async: bool) -> Any:
        sdk = _sdk(self.package)
        options = {"base_url": base_url, "httpx_async_client" if is_async else "httpx_client": http}
        client = sdk.Client(
            vertexai=False,
            api_key=key,
            http_options=sdk.types.HttpOptions(**options, api_version=self.version),
            debug_config=sdk.client.DebugConfig(client_mode=None),  # the environment's would record calls to files
        )
        return client.aio if is_async else client

    def send(
        self, client: Any, model: str, messages: list[Message], sent: Mapping[str, Any], timeout: float, *, stream: bool
    ) -> Any:
        roles = {"user": "user", "assistant": "model"}
        contents = [{"role": roles[m.role], "parts": [{"text": m.content}]} for m in messages if m.role in roles]
        known, extra = _split(sent, frozenset(_sdk("google.genai.types").GenerateContentConfig.model_fields))
        config: dict[str, Any] = {**known, "http_options": self._options(timeout, extra)}
        system = "\n\n".join(m.content for m in messages if m.role == "system")
        if system:
            config.setdefault("system_instruction", system)
        call = client.models.generate_content_stream if stream else client.models.generate_content
        return call(model=model, contents=contents, config=config)

    def read(self, answer: Any) -> Piece:
        found = self.piece(answer)
        if not answer.candidates and getattr(answer.prompt_feedback, "block_reason", None) is None:
            raise NotUnderstood
        return found._replace(finish=found.finish or "")

    def piece(self, event: Any) -> Piece:
        candidate = event.candidates[0] if event.candidates else None
        parts = (candidate.content.parts or ()) if candidate and candidate.content else ()
        text = "".join(part.text for part in parts if part.text and not part.thought)
        finish = getattr(candidate, "finish_reason", None) or getattr(event.prompt_feedback, "block_reason", None)
        return Piece(text, event.model_version, self._usage(event.usage_metadata), getattr(finish, "value", finish))

    def models(self, client: Any, timeout: float) -> list[str]:
        found = client.models.list(config={"page_size": 1000, "http_options": self._options(timeout, {})})
        return [str(model.name).removeprefix("models/") for model in found]

    def _options(self, timeout: float, extra: Mapping[str, Any]) -> dict[str, Any]:
        return {"timeout": max(1, round(timeout * 1000))} | ({"extra_body": dict(extra)} if extra else {})

    def _usage(self, told: Any) -> Usage | None:
        if told is None:
            return None
        output = (told.candidates_token_count or 0) + (told.thoughts_token_count or 0)
        return Usage(told.prompt_token_count or 0, output, told.cached_content_token_count or 0)


_OPENAI: Final = _OpenAI()
VENDORS: Final[Mapping[str, Any]] = {
    "openai": _OPENAI,
    "openai_compatible": _OPENAI,
    "anthropic": _Anthropic(),
    "google": _Google(),
}
"""Kind -> adapter."""


def judge(error: BaseException, outside: BaseException | None = None) -> Failure:
    """Return what *error*, raised by an SDK or by an adapter's reading of an answer, means.

    *outside* is what the caller was handling when the call began: Python chains it to whatever is raised within.
    """
    chain = list(_causes(error, outside))
    status = _status(error)
    if cut := next((one for one in chain if type(one).__name__ == "Unacceptable"), None):  # of core.calling.dial
        return Failure("unacceptable", None, str(cut), retryable=False)
    if status is not None:
        return _answered(error, status)
    return _broken(error, chain)


def _broken(error: BaseException, chain: list[BaseException]) -> Failure:
    """Return what an error without an answer means."""
    names = {cls.__name__ for one in chain for cls in type(one).__mro__}
    last = _line(str(chain[-1]))
    if secure := next((one for one in chain if isinstance(one, ssl.SSLError)), None):
        words = getattr(secure, "verify_message", "") or last
        return Failure("tls", None, f"TLS: {words}", retryable=not isinstance(secure, ssl.SSLCertVerificationError))
    if names & {"APITimeoutError", "TimeoutException", "TimeoutError"}:
        return Failure("timeout", None, "no whole answer within the timeout", retryable=True)
    if names & {"APIConnectionError", "TransportError", "OSError"}:
        return Failure("connection", None, last or "the connection was lost", retryable=True)
    if "APIError" in names and _body(error):  # an error within a stream, of OpenAI's
        return _answered(error, 200)
    words = f"the answer is not what the vendor's API describes ({type(error).__name__})"
    return Failure("not_understood", None, words, retryable=False)


def _answered(error: BaseException, status: int) -> Failure:
    reasons: dict[int, Reason] = {401: "key", 403: "key", 404: "model", 408: "timeout", 429: "rate_limit"}
    if 300 <= status < 400:  # noqa: PLR2004 - a redirect
        return Failure("refused", status, "answers with a redirect, which is not followed", retryable=False)
    told = status if status >= 400 else None  # noqa: PLR2004 - within a stream the status is that of its beginning
    if told is None:
        status = next((_TYPES[name] for name in _types(error) if name in _TYPES), 500)
    retryable = status in RETRYABLE or status >= 500  # noqa: PLR2004 - the vendor's fault
    reason = reasons.get(status, "busy" if retryable else "refused")
    return Failure(reason, told, _words(error), retryable=retryable, retry_after=_retry_after(error))


def _types(error: BaseException) -> list[Any]:
    """Return what a vendor calls an error within a stream."""
    body = _body(error)
    inner = body.get("error", body) if isinstance(body, Mapping) else None
    return [inner.get(name) for name in ("type", "code")] if isinstance(inner, Mapping) else []


def _status(error: BaseException) -> int | None:
    for name in ("status_code", "code"):
        found = getattr(error, name, None)
        if isinstance(found, int) and not isinstance(found, bool) and 100 <= found < 600:  # noqa: PLR2004 - of HTTP
            return found
    return None


def _words(error: BaseException) -> str:
    """Return what the vendor said: the message in its answer, or else the beginning of the answer."""
    body = _body(error)
    inner = body.get("error", body) if isinstance(body, Mapping) else body
    said = inner.get("message") if isinstance(inner, Mapping) else inner
    if not isinstance(said, str) or not said.strip():
        said = json.dumps(body, default=str) if body else getattr(getattr(error, "response", None), "reason_phrase", "")
    return _line(said or type(error).__name__)


def _body(error: BaseException) -> Any:
    return getattr(error, "body", None) or getattr(error, "details", None)


def _line(text: str) -> str:
    clean = scrub(" ".join(text[: 4 * _WORDS].split()))
    return clean if len(clean) <= _WORDS else f"{clean[:_WORDS]}…"


def _retry_after(error: BaseException) -> float | None:
    """Return the wait that an answer asks for: RFC 9110 §10.2.3; OpenAI's in ms; google.rpc.RetryInfo in the body."""
    headers = getattr(getattr(error, "response", None), "headers", None) or {}
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        if (told := _seconds(headers.get(name, ""), unit)) is not None:
            return told
    try:
        at = email.utils.parsedate_to_datetime(headers.get("retry-after", ""))
        return max(0.0, at.timestamp() - time.time())
    except (TypeError, ValueError):
        pass
    body: Any = getattr(error, "details", None)
    for name in ("error", "details"):
        body = body.get(name) if isinstance(body, Mapping) else None
    for detail in body if isinstance(body, list) else ():
        delay = detail.get("retryDelay", "") if isinstance(detail, Mapping) else ""
        if (told := _seconds(str(delay).removesuffix("s"))) is not None:
            return told
    return None


def _seconds(text: str, unit: float = 1.0) -> float | None:
    try:
        return max(0.0, min(float(text) * unit, 86_400.0))
    except ValueError:
        return None


def _causes(error: BaseException, outside: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    one: BaseException | None = error
    while one is not None and one is not outside and id(one) not in seen:
        seen.add(id(one))
        yield one
        one = one.__cause__ or one.__context__


@cache
def _named(resource: Hashable) -> frozenset[str]:
    """Return what the SDK's method has arguments for: Anthropic's has none for temperature any more."""
    create: Any = getattr(resource, "create")  # noqa: B009 - a class of the SDK
    return frozenset(inspect.signature(create).parameters)


def _split(sent: Mapping[str, Any], names: frozenset[str]) -> tuple[Mapping[str, Any], dict[str, Any]]:
    """Return what the SDK's method has an argument for, and the rest, which goes into the body as it is."""
    if names.issuperset(sent):
        return sent, {}
    return {k: v for k, v in sent.items() if k in names}, {k: v for k, v in sent.items() if k not in names}


def _sdk(package: str) -> Any:
    import importlib  # noqa: PLC0415 - on first use only

    try:
        return importlib.import_module(package)
    except ModuleNotFoundError as error:
        if error.name and package.startswith(error.name.partition(".")[0]):
            raise MissingExtra(package) from None
        raise
