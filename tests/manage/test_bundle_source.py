"""A catalogue from the operator's address is taken with its digest or signature, and without either, or a wrong one, nothing is."""

import base64
import hashlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from core.config import Config, check_at_start
from core.errors import BadConfig, Invalid
from core.manage import bundle_source, model_facts
from core.store import db
from tests.manage.test_bundles import _bundle
from tests.processes import core

RAW = _bundle()
SHA256 = hashlib.sha256(RAW).hexdigest()
PRIVATE = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))  # the same in each process: it names tests
PUBLIC = base64.b64encode(PRIVATE.public_key().public_bytes_raw()).decode()
SIGNATURE = PRIVATE.sign(RAW)
OTHER = base64.b64encode(
    Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33))).public_key().public_bytes_raw()
).decode()


@dataclass
class Files:
    """A server on this machine."""

    url: str
    files: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    waits: threading.Event = field(default_factory=threading.Event)


@pytest.fixture
def files() -> Iterator[Files]:
    """It has the bundle, its signature, and what is wrong in some way."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found.asked.append(self.path)
            path = self.path.partition("?")[0]
            if path == "/slow.json":
                found.waits.wait(30)
            status, body = found.files.get(path, (404, b""))
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.send_header("location", "/catalogue.json")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found = Files(f"http://127.0.0.1:{server.server_port}")
    found.files |= {
        "/catalogue.json": (200, RAW),
        "/catalogue.json.sig": (200, SIGNATURE),
        "/text.json": (200, RAW),
        "/text.json.sig": (200, base64.b64encode(SIGNATURE) + b"\n"),
        "/odd.json": (200, RAW),
        "/odd.json.sig": (200, b"\xff" * 63),
        "/changed.json": (200, RAW + b" "),
        "/changed.json.sig": (200, SIGNATURE),
        "/unsigned.json": (200, RAW),
        "/moved.json": (302, b""),
        "/large.json": (200, b" " * (4 * 1024 * 1024 + 1)),
    }
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield found
    found.waits.set()
    server.shutdown()
    server.server_close()
    thread.join(10)


def _config(url: str, **more: str) -> Config:
    return Config.read({"LLM_CATALOGUE_URL": url, "LLM_PRIVATE_HOSTS": "127.0.0.1", **more})


@pytest.mark.parametrize(
    ("path", "more"),
    [
        ("/catalogue.json", {"LLM_CATALOGUE_SHA256": SHA256.upper()}),
        ("/catalogue.json", {"LLM_CATALOGUE_KEY": PUBLIC}),
        ("/text.json", {"LLM_CATALOGUE_KEY": PUBLIC}),
        ("/catalogue.json?token=x", {"LLM_CATALOGUE_KEY": PUBLIC, "LLM_CATALOGUE_SHA256": SHA256}),
    ],
)
def test_what_is_right_is_taken(files: Files, path: str, more: dict[str, str]) -> None:
    """By its digest, by its signature as bytes or as text, by both; the signature stands beside it, before the query."""
    assert bundle_source.fetch(_config(files.url + path, **more)) == RAW
    assert files.asked[0] == path
    assert files.asked[1:] == ([path.replace(".json", ".json.sig")] if "LLM_CATALOGUE_KEY" in more else [])


@pytest.mark.parametrize(
    ("path", "more", "said"),
    [
        ("/changed.json", {"LLM_CATALOGUE_SHA256": SHA256}, "the digest of another file"),
        ("/changed.json", {"LLM_CATALOGUE_KEY": PUBLIC}, "has not signed the file"),
        ("/catalogue.json", {"LLM_CATALOGUE_KEY": OTHER}, "has not signed the file"),
        ("/catalogue.json", {"LLM_CATALOGUE_KEY": OTHER, "LLM_CATALOGUE_SHA256": SHA256}, "has not signed the file"),
        ("/odd.json", {"LLM_CATALOGUE_KEY": PUBLIC}, "its .sig is no signature"),
        ("/unsigned.json", {"LLM_CATALOGUE_KEY": PUBLIC}, "with .sig behind: has no file: HTTP 404"),
        ("/nothing.json", {"LLM_CATALOGUE_SHA256": SHA256}, "has no file: HTTP 404"),
        ("/moved.json", {"LLM_CATALOGUE_SHA256": SHA256}, "leads elsewhere"),
        ("/large.json", {"LLM_CATALOGUE_SHA256": SHA256}, "larger than 4 MiB"),
        ("/catalogue.json", {"LLM_CATALOGUE_SHA256": SHA256, "LLM_PRIVATE_HOSTS": ""}, "LLM_PRIVATE_HOSTS"),
    ],
)
def test_what_is_wrong_is_refused(files: Files, path: str, more: dict[str, str], said: str) -> None:
    """Each in words, without the address."""
    with pytest.raises(Invalid) as raised:
        bundle_source.fetch(_config(f"{files.url}{path}?token=x", **more))
    assert said in str(raised.value)
    assert files.url not in str(raised.value)


def test_without_digest_and_key_nothing_is_dialled(files: Files) -> None:
    """It is refused with the cure."""
    with pytest.raises(Invalid, match=r"set LLM_CATALOGUE_SHA256, or LLM_CATALOGUE_KEY .* `catalogue import PATH`"):
        bundle_source.fetch(_config(f"{files.url}/catalogue.json"))
    with pytest.raises(Invalid, match="LLM_CATALOGUE_URL: is not set"):
        bundle_source.fetch(Config.read({}))
    with pytest.raises(Invalid, match=r"metadata|link-local"):
        bundle_source.fetch(_config("http://169.254.169.254/x", LLM_CATALOGUE_SHA256=SHA256, LLM_PRIVATE_HOSTS="*"))
    assert not files.asked


def test_a_server_that_never_answers_is_left(files: Files) -> None:
    """At the end of the time."""
    with pytest.raises(Invalid, match="leads to nothing that can be read"):
        bundle_source.fetch(_config(f"{files.url}/slow.json", LLM_CATALOGUE_SHA256=SHA256), seconds=0.5)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LLM_CATALOGUE_URL", "folder/ours.json"),
        ("LLM_CATALOGUE_URL", "file:///etc/passwd"),
        ("LLM_CATALOGUE_URL", "https://user:word@host.example/x"),
        ("LLM_CATALOGUE_URL", "https://host.example:port/x"),
        ("LLM_CATALOGUE_URL", "https://host.example/a b"),
        ("LLM_CATALOGUE_SHA256", SHA256[1:]),
        ("LLM_CATALOGUE_KEY", PUBLIC[4:]),
        ("LLM_CATALOGUE_KEY", "ключ"),
    ],
)
def test_a_malformed_variable_stops_the_start(name: str, value: str) -> None:
    """It is named, with the rule, and its value is not repeated."""
    with pytest.raises(BadConfig, match=name) as raised:
        check_at_start(Config.read({name: value}))
    assert value not in str(raised.value)


def test_by_command(committed: str, files: Files) -> None:
    """A wrong digest stores nothing; a dry run neither; a path beside it is one too many; then it is imported."""
    where = {
        "DATABASE_URL": committed,
        "LLM_PRIVATE_HOSTS": "127.0.0.1",
        "LLM_CATALOGUE_URL": f"{files.url}/catalogue.json",
        "LLM_CATALOGUE_SHA256": "0" * 64,
    }
    wrong = core("catalogue", "import", "--from-url", **where)
    assert wrong.returncode == 1
    assert "is the digest of another file" in wrong.stderr
    where["LLM_CATALOGUE_SHA256"] = SHA256
    assert "Nothing was imported." in core("catalogue", "import", "--from-url", "--dry-run", **where).stdout
    assert core("catalogue", "import", "--from-url", "x.json", **where).returncode == 1
    assert core("catalogue", "import", **where).returncode == 1
    assert _imported() == 0

    done = core("catalogue", "import", "--from-url", **where)
    assert "Imported: 1 model, as of 2099-01-01." in done.stdout, done.stderr
    assert _imported() == 1


def _imported() -> int:
    with db.transaction() as session:
        return len(model_facts.list_all(session, origin="imported"))
