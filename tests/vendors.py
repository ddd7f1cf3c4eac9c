"""A vendor on this machine: a real HTTP server that speaks the protocols of OpenAI, Anthropic and Gemini, and can fail.

`llmock` and `fakellm` answer well-formed requests well; the faults that matter here happen below HTTP (half an answer, a byte
at a time, a reset, 10 GB), where a server has to hold the socket itself.
"""

import contextlib
import datetime as dt
import gzip
import ipaddress
import json
import re
import socket
import ssl
import struct
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from core.kinds import facts_of

KEY: Final = "sk-proj-right-0123456789abcdefghijklmnopqrstuvwxyz"
TEXT: Final = "Hello from the model"
USED: Final = (12, 9, 4)
"""Tokens: of the prompt, of the answer, and of the prompt from a cache."""
FAULTS: Final = (
    *("silent", "reset", "half", "html", "cut_json", "other_json", "drip_head", "drip_body"),
    *("huge", "huge_announced", "gzip", "redirect", "error_in_stream", "unfinished"),
)
_NOW: Final = struct.pack("ii", 1, 0)  # SO_LINGER: closing sends RST


class Status(NamedTuple):
    """A fault: the request is answered with an error."""

    status: int
    headers: Mapping[str, str] = {}
    body: Any = None
    """None: what the vendor of this path says."""


class Echo(NamedTuple):
    """A fault: an error that has the end of the request in its words, as some vendors' have."""

    status: int


class Script(NamedTuple):
    """A stream that is sent step by step: a text is sent as it is, a number is a pause in seconds."""

    steps: tuple[str | float, ...]
    ends: bool = True
    """Whether the answer ends as HTTP wants it, or the line is cut."""


class Asked(NamedTuple):
    """A request that came."""

    at: float
    """By time.monotonic()."""
    method: str
    path: str
    headers: dict[str, str]
    body: Any


class Vendor:
    """The server, on a port of 127.0.0.1, from the beginning to the end of a ``with`` block.

    Args:
        keys: The API keys that are accepted; others get 401, with the key in its words, as real vendors do.
        models: The models that there are; others get 404.
        lists: Whether there is a list of models; else it is 404, as with many self-hosted servers.
        wants: Headers, in small letters, without which a request gets 401, as a gateway's before the vendor's.
        certificate: Files of a certificate and its key, to speak TLS.
    """

    def __init__(
        self,
        *,
        keys: tuple[str, ...] = (KEY,),
        models: tuple[str, ...] = ("m1", "m2", "m3"),
        lists: bool = True,
        wants: Mapping[str, str] | None = None,
        certificate: tuple[Path, Path] | None = None,
    ) -> None:
        self.keys, self.models, self.lists = list(keys), list(models), lists
        self.wants = dict(wants or {})
        self.asked: list[Asked] = []
        self.lines = 0
        """Connections so far."""
        self._faults: deque[Status | Script | Echo | str] = deque()
        self._context: ssl.SSLContext | None = None
        if certificate:
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._context.load_cert_chain(*certificate)
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port: int = self._socket.getsockname()[1]
        self.url = f"http{'s' if certificate else ''}://127.0.0.1:{self.port}"
        self._ends = threading.Event()
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.set()
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        for line in list(self._open):
            with contextlib.suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)

    def fail(self, *faults: Status | Script | Echo | str | int) -> None:
        """Answer the next requests so, one each; those after them are served."""
        for fault in faults:
            assert isinstance(fault, Status | Script | Echo | int) or fault in FAULTS, fault
            self._faults.append(Status(fault) if isinstance(fault, int) else fault)

    def serve(self) -> None:
        """Serve all requests from now on."""
        self._faults.clear()

    def calls(self) -> list[Asked]:
        """The requests for an answer of a model."""
        return [asked for asked in self.asked if asked.method == "POST"]

    def base_url(self, kind: str) -> str:
        """The base URL of a provider of this kind."""
        return f"{self.url}/v1" if facts_of(kind).client == "OpenAI" else self.url

    # The line

    def _start(self, work: Any, *args: Any) -> None:
        thread = threading.Thread(target=work, args=args, daemon=True, name="vendor")
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._ends.is_set():
            try:
                line, _ = self._socket.accept()
            except OSError:
                return
            self.lines += 1
            self._start(self._serve, line)

    def _serve(self, line: socket.socket) -> None:
        line.settimeout(60)
        self._open.add(line)
        try:
            if self._context:
                line = self._context.wrap_socket(line, server_side=True)
                self._open.add(line)
            with line, line.makefile("rb") as file:
                while not self._ends.is_set() and (asked := _read(file)):
                    self.asked.append(asked)
                    if not self._answer(line, asked):
                        return
        except (OSError, ValueError):
            pass
        finally:
            self._open.discard(line)
            line.close()

    def _answer(self, line: socket.socket, asked: Asked) -> bool:
        """Answer; return whether the line stays open."""
        protocol = _PROTOCOLS[_vendor(asked)]
        fault = _told(self._faults.popleft(), asked, protocol) if self._faults else None
        if isinstance(fault, Status):
            body = protocol.error(fault.status, "the vendor's own words") if fault.body is None else fault.body
            _send(line, fault.status, body, fault.headers)
            return True
        if isinstance(fault, Script):
            return self._perform(line, fault)
        if fault is not None:
            return self._go_wrong(line, fault, asked, protocol)
        key = protocol.key(asked)
        if any(asked.headers.get(name) != value for name, value in self.wants.items()):
            _send(line, 401, protocol.error(401, f"Access denied: {', '.join(self.wants)} is missing or invalid"))
        elif key not in self.keys:
            _send(line, 401, protocol.error(401, f"Incorrect API key provided: {key}. Get one on our site."))
        elif asked.method == "GET":
            found = protocol.models(self.models) if self.lists else protocol.error(404, "no such path")
            _send(line, 200 if self.lists else 404, found)
        elif protocol.model(asked) not in self.models:
            _send(line, 404, protocol.error(404, f"The model {protocol.model(asked)} does not exist"))
        elif "mbed" in re.split("[/:]", asked.path)[-1]:  # a model may be called so
            _send(line, 200, protocol.embeddings(asked))
        elif protocol.is_stream(asked):
            self._stream(line, protocol.events(asked))
        else:
            _send(line, 200, protocol.answer(asked))
        return True

    def _stream(self, line: socket.socket, events: list[str], upto: int | None = None) -> None:
        line.sendall(_head(200, {"content-type": "text/event-stream", "transfer-encoding": "chunked"}))
        for event in events[:upto]:
            data = event.encode()
            line.sendall(b"%x\r\n%s\r\n" % (len(data), data))
        if upto is None:
            line.sendall(b"0\r\n\r\n")

    def _perform(self, line: socket.socket, script: Script) -> bool:
        self._stream(line, [], 0)
        for step in script.steps:
            if isinstance(step, str):
                data = step.encode()
                line.sendall(b"%x\r\n%s\r\n" % (len(data), data))
            else:
                self._ends.wait(step)
        if script.ends:
            line.sendall(b"0\r\n\r\n")
        return script.ends

    def _go_wrong(self, line: socket.socket, fault: str, asked: Asked, protocol: Any) -> bool:
        body = json.dumps(protocol.answer(asked) if asked.body else protocol.models(self.models)).encode()
        streams = protocol.is_stream(asked)
        if fault == "silent":
            self._ends.wait(60)
        elif fault == "reset":
            line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NOW)
        elif fault == "half" and streams:
            self._stream(line, protocol.events(asked), 3)
        elif fault == "unfinished":
            self._stream(line, protocol.events(asked)[:3])
        elif fault == "half":
            line.sendall(_head(200, {"content-length": str(len(body))}) + body[: len(body) // 2])
        elif fault == "error_in_stream":
            self._stream(line, [*protocol.events(asked)[:3], protocol.error_event()])
            line.sendall(b"0\r\n\r\n")
        elif fault in _STRANGE:
            _send(line, *_STRANGE[fault](body))
            return True
        else:
            self._pour(line, fault)
        return False

    def _pour(self, line: socket.socket, fault: str) -> None:
        """Answer without an end: a byte now and then, or as much as goes through."""
        if fault in {"drip_head", "drip_body"}:
            line.sendall(b"HTTP/1.1 200 OK\r\n" if fault == "drip_head" else _head(200, {"content-length": "100000"}))
            while not self._ends.wait(0.2):
                line.sendall(b"x")
        else:
            length = {"content-length": str(10**10)} if fault == "huge_announced" else {"connection": "close"}
            line.sendall(_head(200, length))
            while not self._ends.is_set():
                line.sendall(b" " * 1_000_000)


def _told(fault: Status | Script | Echo | str, asked: Asked, protocol: Any) -> Status | Script | str:
    if not isinstance(fault, Echo):
        return fault
    words = json.dumps(asked.body, ensure_ascii=False)
    return Status(fault.status, body=protocol.error(fault.status, f"I take no {words[-400:]}"))


_HTML: Final = "<html><body>Welcome to our proxy</body></html>"
_STRANGE: Final[Mapping[str, Callable[[bytes], tuple[Any, ...]]]] = {
    "html": lambda _: (200, _HTML, {"content-type": "text/html"}),
    "cut_json": lambda body: (200, body[: len(body) // 2]),
    "other_json": lambda _: (200, {"unexpected": True}),
    "gzip": lambda body: (200, gzip.compress(body), {"content-encoding": "gzip"}),
    "redirect": lambda _: (302, "", {"location": "/elsewhere"}),
}
"""Whole answers that no vendor's API describes."""


def _read(file: Any) -> Asked | None:
    first = file.readline(65_536).decode("latin-1").split()
    if len(first) != 3:
        return None
    headers: dict[str, str] = {}
    while line := file.readline(65_536).decode("latin-1").strip():
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    raw = file.read(int(headers.get("content-length", 0)))
    return Asked(time.monotonic(), first[0], first[1], headers, json.loads(raw) if raw else None)


def _head(status: int, headers: Mapping[str, str]) -> bytes:
    lines = [f"HTTP/1.1 {status} Said", *(f"{name}: {value}" for name, value in headers.items())]
    if "content-type" not in headers:
        lines.append("content-type: application/json")
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def _send(line: socket.socket, status: int, body: Any, headers: Mapping[str, str] | None = None) -> None:
    data = body if isinstance(body, bytes) else (body if isinstance(body, str) else json.dumps(body)).encode()
    line.sendall(_head(status, {**(headers or {}), "content-length": str(len(data))}) + data)


def _vendor(asked: Asked) -> str:
    if "x-goog-api-key" in asked.headers:
        return "google"
    if "/openai/deployments/" in asked.path:
        return "azure"
    return "anthropic" if "anthropic-version" in asked.headers else "openai"


def _sse(*events: Any, names: bool = False) -> list[str]:
    return [
        (f"event: {event['type']}\n" if names else "")
        + f"data: {event if isinstance(event, str) else json.dumps(event)}\n\n"
        for event in events
    ]


class _OpenAI:
    def key(self, asked: Asked) -> str:
        return asked.headers.get("authorization", "").removeprefix("Bearer ")

    def model(self, asked: Asked) -> str:
        return str(asked.body["model"])

    def is_stream(self, asked: Asked) -> bool:
        return bool(asked.body and asked.body.get("stream"))

    def models(self, names: list[str]) -> Any:
        rows = [{"id": name, "object": "model", "created": 1, "owned_by": "them"} for name in names]
        return {"object": "list", "data": rows}

    def error(self, status: int, words: str) -> Any:
        return {"error": {"message": words, "type": "some_error", "param": None, "code": str(status)}}

    def answer(self, asked: Asked) -> Any:
        message = {"role": "assistant", "content": TEXT, "refusal": None}
        choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}
        return {**self._frame(asked, "chat.completion"), "choices": [choice], "usage": self._usage()}

    def events(self, asked: Asked) -> list[str]:
        frame = self._frame(asked, "chat.completion.chunk")

        def part(delta: Any, finish: str | None = None) -> Any:
            return {**frame, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}], "usage": None}

        parts = [part({"role": "assistant", "content": ""}), *(part({"content": text}) for text in _parts())]
        usage = {**frame, "choices": [], "usage": self._usage()}
        return _sse(*parts, part({}, "stop"), usage, "[DONE]")

    def error_event(self) -> str:
        return _sse(self.error(500, "the model broke down"))[0]

    def embeddings(self, asked: Asked) -> Any:
        rows = [
            {"object": "embedding", "index": at, "embedding": [float(len(text)), 0.5]}
            for at, text in enumerate(asked.body["input"])
        ]
        used = {"prompt_tokens": USED[0], "total_tokens": USED[0]}
        return {"object": "list", "data": rows[::-1], "model": asked.body["model"], "usage": used}

    def _frame(self, asked: Asked, what: str) -> dict[str, Any]:
        return {"id": "chatcmpl-1", "object": what, "created": 1, "model": f"{asked.body['model']}-2026-01-01"}

    def _usage(self) -> Any:
        told, said, cached = USED
        details = {"prompt_tokens_details": {"cached_tokens": cached}}
        return {"prompt_tokens": told, "completion_tokens": said, "total_tokens": told + said, **details}


class _Azure(_OpenAI):
    """Classic deployments: the model in the path, the API's version in the query, the key in a header of its own."""

    def key(self, asked: Asked) -> str:
        return asked.headers.get("api-key", "") if "authorization" not in asked.headers else "two keys"

    def model(self, asked: Asked) -> str:
        path, _, query = asked.path.partition("?")
        name = path.partition("/deployments/")[2].partition("/")[0]
        return name if re.search(r"(^|&)api-version=\d{4}-\d\d-\d\d(-preview)?(&|$)", query) else "without a version"

    def error(self, status: int, words: str) -> Any:
        if status == 404:  # https://learn.microsoft.com/answers/questions/1631059
            words = (
                "The API deployment for this resource does not exist. If you created the deployment within the last "
                "5 minutes, please wait a moment and try again."
            )
            return {"error": {"code": "DeploymentNotFound", "message": words}}
        return {"error": {"code": str(status), "message": words}}

    def _frame(self, asked: Asked, what: str) -> dict[str, Any]:
        return {**super()._frame(asked, what), "model": f"{self.model(asked)}-2026-01-01"}


class _Anthropic:
    key, model, is_stream = _OpenAI.key, _OpenAI.model, _OpenAI.is_stream  # since 2.0 its SDK sends a bearer token

    def models(self, names: list[str]) -> Any:
        made = "2026-01-01T00:00:00Z"
        rows = [
            {"id": name, "type": "model", "display_name": name, "created_at": made, "lifecycle": "active"}
            for name in names
        ]
        return {"data": rows, "has_more": False, "first_id": names[0], "last_id": names[-1]}

    def error(self, status: int, words: str) -> Any:
        return {"type": "error", "error": {"type": f"error_{status}", "message": words}}

    def answer(self, asked: Asked) -> Any:
        return {
            **self._message(asked),
            "content": [{"type": "text", "text": TEXT, "citations": None}],
            "stop_reason": "end_turn",
            "usage": self._usage(USED[1]),
        }

    def events(self, asked: Asked) -> list[str]:
        start = {**self._message(asked), "content": [], "usage": self._usage(1)}
        stopped = {"stop_reason": "end_turn", "stop_sequence": None}
        return _sse(
            {"type": "message_start", "message": start},
            {
                "type": "content_block_start",
                "index": 0,
                "content_block": {"type": "text", "text": "", "citations": None},
            },
            *(
                {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}}
                for text in _parts()
            ),
            {"type": "content_block_stop", "index": 0},
            {"type": "message_delta", "delta": stopped, "usage": {"output_tokens": USED[1]}},
            {"type": "message_stop"},
            names=True,
        )

    def error_event(self) -> str:
        told = {"type": "error", "error": {"type": "overloaded_error", "message": "the model broke down"}}
        return _sse(told, names=True)[0]

    def _message(self, asked: Asked) -> dict[str, Any]:
        fixed = {"id": "msg_1", "type": "message", "role": "assistant", "stop_reason": None, "stop_sequence": None}
        return {**fixed, "model": asked.body["model"]}

    def _usage(self, said: int) -> Any:
        told, _, cached = USED
        counted = {"input_tokens": told - cached, "output_tokens": said, "cache_read_input_tokens": cached}
        return {**counted, "cache_creation_input_tokens": 0}


class _Google:
    def key(self, asked: Asked) -> str:
        return asked.headers["x-goog-api-key"]

    def model(self, asked: Asked) -> str:
        return asked.path.partition("/models/")[2].partition(":")[0]

    def is_stream(self, asked: Asked) -> bool:
        return ":streamGenerateContent" in asked.path

    def models(self, names: list[str]) -> Any:
        return {"models": [{"name": f"models/{name}", "displayName": name} for name in names]}

    def error(self, status: int, words: str) -> Any:
        return {"error": {"code": status, "message": words, "status": "SOME_STATUS"}}

    def answer(self, asked: Asked) -> Any:
        return self._piece(asked, TEXT, "STOP")

    def events(self, asked: Asked) -> list[str]:
        *first, last = _parts()
        return _sse(*(self._piece(asked, text, None) for text in first), self._piece(asked, last, "STOP"))

    def error_event(self) -> str:
        return _sse(self.error(503, "the model broke down"))[0]

    def embeddings(self, asked: Asked) -> Any:
        texts = ["".join(part["text"] for part in one["content"]["parts"]) for one in asked.body["requests"]]
        return {"embeddings": [{"values": [float(len(text)), 0.5]} for text in texts]}

    def _piece(self, asked: Asked, text: str, finish: str | None) -> Any:
        told, said, cached = USED
        candidate: dict[str, Any] = {"index": 0, "content": {"role": "model", "parts": [{"text": text}]}}
        if finish:
            candidate["finishReason"] = finish
        counted = {"promptTokenCount": told, "candidatesTokenCount": said, "cachedContentTokenCount": cached}
        usage = {**counted, "totalTokenCount": told + said}
        return {"candidates": [candidate], "usageMetadata": usage, "modelVersion": self.model(asked)}


def _parts() -> list[str]:
    words = TEXT.split(" ")
    return [words[0], *(f" {word}" for word in words[1:])]


_PROTOCOLS: Final[Mapping[str, Any]] = {
    "openai": _OpenAI(),
    "azure": _Azure(),
    "anthropic": _Anthropic(),
    "google": _Google(),
}


def make_certificate(folder: Path, names: tuple[str, ...] = ()) -> tuple[Path, Path]:
    """Make a certificate for 127.0.0.1, and for *names*, that nobody has signed but itself; return its file and its key's."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=2))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1")), *map(x509.DNSName, names)]),
            critical=False,
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    files = folder / "certificate.pem", folder / "key.pem"
    files[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    files[1].write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain))
    return files


@contextlib.contextmanager
def unused() -> Iterator[int]:
    """A port on which nobody listens, and nobody else will."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]
