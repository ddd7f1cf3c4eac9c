"""Sealed keys: a format other programs share, a binding to one place, and nothing that shows a key by accident."""

import copy
import dataclasses
import json
import multiprocessing
import os
import pickle
import re
import shutil
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core import crypto
from core.config import Config
from core.crypto import KeyRing, Place
from core.errors import BadKey, CoreError, KeyUnreadable, Sealed
from core.resolving.effective import EffectiveSettings
from core.resolving.merge import ProviderFacts, build, provider_of
from core.store.tables import LlmProvider, User
from tests.conftest import ENCRYPTION_KEY, require

CANARY = "sk-canary-0123456789abcdef"
OTHER_KEY = "fedcba9876543210" * 4
PLACE = Place("llm_providers", 7, "api_key", "https://api.openai.com:443")

WRITTEN_BY_NODE = {
    "": "0e035ea2cf9127a1fa959b2c60bb9a7f:b7c6c9dac770a64cba4f10a38a1e66f1:",
    "k": "9c03db77f12a101f39a26d2a6e416bbf:655ad1936bac5654f338d7dc60dca5c3:45",
    "sk-node-0123456789abcdef": "6ecd9d29cd5e333751ef47096a54c948:78fc173d3431d882d223a879d7602aed:"
    "f2a1223f9073bc4739a6d9fb3cdea62eb7c32d69681c29a6",
    "clé-ключ-鍵 with spaces": "1497feea29f0d448e9faea7a428f1d7c:1514c0f6a3bb7db7051ed9fe26576f6f:"
    "3f5d6e0656ffeb0bb61d970cd64bbc8aebc01ecb51e4ca183141e66ee6",
    "👩\u200d🚀🔑🇩🇪 \u0000 \n tab\t": "e7095daadf79e4bb5e2369b6b1e0c6ca:3c0d2ca1800115ac69cf409f8abe3cdf:"
    "b3cb5a12c0d7685b75b448e9f75913d10e1113743ecb794de1c61cd03c5b48c1",
    "x" * 17: "afe48555def07c83bbe68af83b3b11ba:f528619615a21fe3f4b857bbcb53a232:83b627a058b647c0a82f15fe011fc8c0e0",
}
"""Plain text -> blob, by `crypto.createCipheriv("aes-256-gcm", key, iv)` of Node 20 with ENCRYPTION_KEY."""

NODE = """
const crypto = require("crypto");
const key = Buffer.from(process.argv[1], "hex");
const { seal, open } = JSON.parse(require("fs").readFileSync(0, "utf8"));
const sealed = seal.map((plain) => {
  const iv = crypto.randomBytes(16);
  const cipher = crypto.createCipheriv("aes-256-gcm", key, iv);
  const data = Buffer.concat([cipher.update(plain, "utf8"), cipher.final()]);
  return [iv, cipher.getAuthTag(), data].map((part) => part.toString("hex")).join(":");
});
const opened = open.map((blob) => {
  const [iv, tag, data] = blob.split(":").map((part) => Buffer.from(part, "hex"));
  const decipher = crypto.createDecipheriv("aes-256-gcm", key, iv);
  decipher.setAuthTag(tag);
  return Buffer.concat([decipher.update(data), decipher.final()]).toString("utf8");
});
process.stdout.write(JSON.stringify({ sealed, opened }));
"""


@pytest.fixture(autouse=True)
def _isolated() -> Iterator[None]:
    """No database is needed here: replaces the fixture of that name for this module."""
    return


@pytest.fixture(scope="module")
def ring() -> KeyRing:
    return KeyRing(ENCRYPTION_KEY)


@pytest.fixture(scope="module")
def node() -> Callable[[list[str], list[str]], tuple[list[str], list[str]]]:
    """Seal and open with Node's crypto: one process for all vectors of a call."""
    program = shutil.which("node")
    require("node", program)

    def run(seal: list[str], open_: list[str]) -> tuple[list[str], list[str]]:
        done = subprocess.run(
            [program or "", "-e", NODE, ENCRYPTION_KEY],
            input=json.dumps({"seal": seal, "open": open_}).encode(),
            capture_output=True,
            timeout=30,
            check=True,
        )
        answer = json.loads(done.stdout)
        return answer["sealed"], answer["opened"]

    return run


def _refused(ring: KeyRing, blob: str, key_id: str | None, binding: str | None, place: Place) -> str:
    """Return the reason of a refusal; it is typed, and its text holds neither key nor blob."""
    with pytest.raises(KeyUnreadable) as caught:
        ring.open(blob, key_id, binding, place)
    text = f"{caught.value} {caught.value!r} {caught.value.__context__!r}"
    assert CANARY not in text
    assert ENCRYPTION_KEY not in text
    assert not blob or blob not in text
    return caught.value.reason


def _rebound(ring: KeyRing, blob: str) -> tuple[str, str, str]:
    """A blob with the binding that fits it: only the cipher's own tag is left to notice a change."""
    key = ring._keys[ring.primary_id or ""]
    return blob, key.id, key.bind(PLACE, blob)


def test_blob_has_the_shared_format(ring: KeyRing) -> None:
    """A blob is exactly iv:authTag:ciphertext in lowercase hex: 16 bytes, 16 bytes, as many bytes as the UTF-8 text."""
    for plain in ("", "k", CANARY, "ключ 🔑"):
        sealed = ring.seal(plain, PLACE)
        digits = 2 * len(plain.encode())

        assert re.fullmatch(rf"[0-9a-f]{{32}}:[0-9a-f]{{32}}:[0-9a-f]{{{digits}}}", sealed.blob)
        assert re.fullmatch(r"[0-9a-f]{8}", sealed.key_id)
        assert re.fullmatch(r"[0-9a-f]{64}", sealed.binding)


@given(st.text())
@settings(max_examples=200, deadline=None)
def test_what_is_sealed_opens_to_the_same(plain: str) -> None:
    """Any text comes back as it was, and its blob is another one each time."""
    ring = KeyRing(ENCRYPTION_KEY)
    first, second = ring.seal(plain, PLACE), ring.seal(plain, PLACE)

    assert ring.open(*first, PLACE) == ring.open_unbound(first.blob) == ring.open(*second, PLACE) == plain
    assert first.blob != second.blob


@pytest.mark.parametrize(("plain", "blob"), WRITTEN_BY_NODE.items())
def test_known_answers_of_node(ring: KeyRing, plain: str, blob: str) -> None:
    """CHECKS 37: blobs that Node wrote open to the text it sealed, empty, Cyrillic and emoji among them."""
    assert ring.open_unbound(blob) == plain


def test_node_reads_ours_and_we_read_nodes(
    ring: KeyRing, node: Callable[[list[str], list[str]], tuple[list[str], list[str]]]
) -> None:
    """CHECKS 37: live, in both directions, every text is the same on the other side."""
    plains = [*WRITTEN_BY_NODE, "😀" * 100, "e\u0301", "\ufeffbom", "sk-" + "a" * 497]
    theirs, opened = node(plains, [ring.seal(plain, PLACE).blob for plain in plains])

    assert opened == plains
    assert [ring.open_unbound(blob) for blob in theirs] == plains


def test_every_changed_nibble_is_refused(ring: KeyRing) -> None:
    """CHECKS 38: change any one digit of IV, tag or ciphertext, and the blob is damaged, even where its binding fits."""
    sealed = ring.seal("sk-canary", PLACE)
    for at, digit in enumerate(sealed.blob):
        if digit != ":":
            changed = f"{sealed.blob[:at]}{int(digit, 16) ^ 1:x}{sealed.blob[at + 1 :]}"
            assert _refused(ring, *_rebound(ring, changed), PLACE) == "damaged"
            assert _refused(ring, changed, sealed.key_id, sealed.binding, PLACE) == "damaged"


@pytest.mark.parametrize(
    "mangle",
    {
        "iv and tag swapped": "{tag}:{iv}:{data}",
        "tag and ciphertext swapped": "{iv}:{data}:{tag}",
        "all swapped": "{data}:{tag}:{iv}",
        "short tag of 12 bytes": "{iv}:{tag:.24}:{data}",
        "short tag of 4 bytes": "{iv}:{tag:.8}:{data}",
        "no tag": "{iv}::{data}",
        "short iv of 12 bytes": "{iv:.24}:{tag}:{data}",
        "no iv": ":{tag}:{data}",
        "odd hex": "{iv}:{tag}:{data:.51}",
        "a byte less": "{iv}:{tag}:{data:.50}",
        "a byte more": "{iv}:{tag}:{data}00",
        "no ciphertext": "{iv}:{tag}:",
        "two fields": "{iv}:{tag}",
        "four fields": "{iv}:{tag}:{data}:",
        "leading space": " {iv}:{tag}:{data}",
        "trailing space": "{iv}:{tag}:{data} ",
        "trailing newline": "{iv}:{tag}:{data}\n",
        "space inside": "{iv}: {tag}:{data}",
        "spaces in hex": "{iv}:{tag}: {data:.50} ",
        "no hex": "{iv}:{tag}:zz{data:.50}",
        "Arabic digits": "{iv}:{tag}:\u0661\u0661{data:.50}",
        "0x": "0x{iv}:{tag}:{data}",
        "NUL": "{iv}:{tag}:{data}\x00",
        "semicolons": "{iv};{tag};{data}",
        "one letter": "x",
        "lone surrogate": "\ud800",
    }.items(),
    ids=lambda pair: pair[0],
)
def test_mangled_blob_is_refused(ring: KeyRing, mangle: tuple[str, str]) -> None:
    """CHECKS 38: fields swapped, too short, too long, odd or with spaces: damaged, whoever asks."""
    iv, tag, data = ring.seal(CANARY, PLACE).blob.split(":")
    assert len(data) == 52
    blob = mangle[1].format(iv=iv, tag=tag, data=data)

    assert _refused(ring, *_rebound(ring, blob), PLACE) == "damaged"
    with pytest.raises(KeyUnreadable) as caught:
        ring.open_unbound(blob)
    assert caught.value.reason == "damaged"


def test_uppercase_hex_reads(ring: KeyRing) -> None:
    """CHECKS 38: another program may write uppercase hex; bound as it is written, it opens."""
    blob = ring.seal(CANARY, PLACE).blob.upper()

    assert ring.open_unbound(blob) == CANARY
    assert ring.open(*_rebound(ring, blob), PLACE) == CANARY


def test_text_that_is_not_utf8_is_damaged(ring: KeyRing) -> None:
    """A blob that another program filled with bytes that are no UTF-8 is damaged, not a decoding error."""
    iv = bytes(16)
    data = ring._keys[ring.primary_id or ""].aead.encrypt(iv, b"\xff\xfe", None)
    blob = f"{iv.hex()}:{data[-16:].hex()}:{data[:-16].hex()}"

    assert _refused(ring, *_rebound(ring, blob), PLACE) == "damaged"


def test_no_iv_comes_twice(ring: KeyRing) -> None:
    """CHECKS 39: 100,000 seals have 100,000 different IVs, and each half of them is random enough to differ alone."""
    ivs = [ring.seal("", PLACE).blob[:32] for _ in range(100_000)]

    assert len({iv[:16] for iv in ivs}) == len({iv[16:] for iv in ivs}) == 100_000


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"row_id": 8}, "moved"),
        ({"row_id": 70}, "moved"),
        ({"table": "llm_settings"}, "moved"),
        ({"column": "api_key_old"}, "moved"),
        ({"origin": "https://evil.example:443"}, "moved"),
        ({"origin": "http://api.openai.com:443"}, "moved"),
        ({"origin": "https://api.openai.com:8443"}, "moved"),
        ({"origin": ""}, "moved"),
    ],
)
def test_blob_opens_in_its_own_place_only(ring: KeyRing, change: dict[str, Any], reason: str) -> None:
    """CHECKS 40: moved to another row, table or column, or with another origin, a blob is refused."""
    sealed = ring.seal(CANARY, PLACE)

    assert ring.open(*sealed, PLACE) == CANARY
    assert _refused(ring, *sealed, PLACE._replace(**change)) == reason


def test_two_places_never_look_alike(ring: KeyRing) -> None:
    """Moving characters from one part of a place to the next makes another place."""
    sealed = ring.seal(CANARY, Place("ab", 1, "c", "d"))

    for place in (Place("a", 1, "bc", "d"), Place("ab", 1, "cd", ""), Place("ab1", 1, "c", "d")):
        assert _refused(ring, *sealed, place) == "moved"


@pytest.mark.parametrize(
    ("key_id", "binding", "reason"),
    [
        (True, None, "moved"),
        (True, "", "moved"),
        (None, True, "moved"),
        ("", True, "moved"),
        (None, None, "unbound"),
        ("", "", "unbound"),
        (True, "0" * 64, "moved"),
        (True, "ключ\ud800", "moved"),
        ("00000000", True, "unknown_key"),
        ("\x00\ud800" * 50, True, "unknown_key"),
    ],
)
def test_what_stands_beside_the_blob_counts(ring: KeyRing, key_id: object, binding: object, reason: str) -> None:
    """CHECKS 40: binding or key id removed alone is tampering; both missing is another program's blob: unbound."""
    sealed = ring.seal(CANARY, PLACE)
    found = [had if given is True else given for had, given in zip(sealed[1:], (key_id, binding), strict=True)]

    assert _refused(ring, sealed.blob, found[0], found[1], PLACE) == reason


def test_binding_of_another_blob_does_not_fit(ring: KeyRing) -> None:
    """An older blob put back beside a newer binding is refused: no key comes back after it was replaced."""
    old, new = ring.seal("sk-old-0123456789", PLACE), ring.seal(CANARY, PLACE)

    assert _refused(ring, old.blob, new.key_id, new.binding, PLACE) == "moved"


def test_each_reason_names_its_cure(ring: KeyRing) -> None:
    """A refusal says what to do: adopt, set the key, add the key by its id, or type the API key again."""
    sealed = ring.seal(CANARY, PLACE)
    cures = {
        "unbound": (ring, (sealed.blob, None, None), "python -m core keys adopt"),
        "sealed": (KeyRing(None), sealed, "LLM_ENCRYPTION_KEY is not set"),
        "unknown_key": (KeyRing(OTHER_KEY), sealed, f"{sealed.key_id}.*LLM_ENCRYPTION_KEYS_EXTRA"),
        "damaged": (ring, ("x", *sealed[1:]), "Enter the API key again"),
        "moved": (ring, (sealed.blob, sealed.key_id, "0"), "Restore the base URL"),
    }
    for reason, (which, stored, cure) in cures.items():
        with pytest.raises(KeyUnreadable, match=cure) as caught:
            which.open(*stored, PLACE)
        assert caught.value.reason == reason


def test_ring_without_a_primary_key_is_sealed() -> None:
    """Without an encryption key nothing is sealed and nothing opened; each says so."""
    empty = KeyRing(None)

    assert (empty.primary_id, empty.ids) == (None, ())
    with pytest.raises(Sealed, match="LLM_ENCRYPTION_KEY is not set"):
        empty.seal(CANARY, PLACE)
    with pytest.raises(KeyUnreadable) as caught:
        empty.open_unbound("x")
    assert caught.value.reason == "sealed"


def test_ring_of_several_keys(ring: KeyRing) -> None:
    """The primary key seals; the extra ones open what they sealed, with and without a primary one."""
    old = ring.seal(CANARY, PLACE)
    both = KeyRing(OTHER_KEY, [f" {ENCRYPTION_KEY} ", OTHER_KEY, "a1" * 32])
    opens_only = KeyRing(None, [ENCRYPTION_KEY])

    assert both.open(*old, PLACE) == opens_only.open(*old, PLACE) == CANARY
    assert both.open_unbound(old.blob) == CANARY
    assert both.ids[0] == both.primary_id == KeyRing(OTHER_KEY).primary_id
    assert len(both.ids) == 3
    assert _refused(ring, *both.seal(CANARY, PLACE), PLACE) == "unknown_key"
    with pytest.raises(Sealed):
        opens_only.seal(CANARY, PLACE)


def test_key_id_is_stable_and_tells_nothing() -> None:
    """The id of a key is the same in every process and either case of hex, and is no part of the key."""
    assert KeyRing(ENCRYPTION_KEY).primary_id == KeyRing(ENCRYPTION_KEY.upper()).primary_id == "e16820bf"
    assert "e16820bf" not in ENCRYPTION_KEY


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        (ENCRYPTION_KEY[:-1], "has 63 characters; it must be 64 hex digits"),
        (
            f"{ENCRYPTION_KEY[:60]}\n{ENCRYPTION_KEY[60:]}",
            "has 65 characters.*line break inside, after 60",
        ),  # devguard#2841
        (f"{ENCRYPTION_KEY}0", "has 65 characters; it must be 64 hex digits"),
        ("", "has 0 characters"),
        (f"{ENCRYPTION_KEY[:-1]}g", "character 64 is not a hex digit"),
        (f"g{ENCRYPTION_KEY[1:]}", "character 1 is not a hex digit"),
        (f"{ENCRYPTION_KEY[:30]} {ENCRYPTION_KEY[31:]}", "character 31 is not a hex digit"),
        (f"{ENCRYPTION_KEY[:9]}\u0661{ENCRYPTION_KEY[10:]}", "character 10 is not a hex digit"),
        (f"{ENCRYPTION_KEY[:9]}\x00{ENCRYPTION_KEY[10:]}", "character 10 is not a hex digit"),
        (f"{ENCRYPTION_KEY}\n", "begins or ends with a line break"),
        (f"{ENCRYPTION_KEY}\r\n", "begins or ends with a line break"),
        (f" {ENCRYPTION_KEY}", "begins or ends with a space"),
        (f"{ENCRYPTION_KEY} ", "begins or ends with a space"),
        ("ASNFZ4mrze8BI0VniavN7wEjRWeJq83vASNFZ4mrze8=", "has 44 characters.*looks like base64"),
        ("ASNFZ4mrze8BI0VniavN7wEjRWeJq83vASNFZ4mrze8", "has 43 characters.*looks like base64"),
        ("0" * 64, "is one digit repeated"),
        ("aA" * 32, "is one digit repeated"),
        ("0x" + ENCRYPTION_KEY[:62], "character 2 is not a hex digit"),
    ],
)
def test_malformed_key_is_refused_with_the_exact_reason(key: str, reason: str) -> None:
    """A malformed encryption key is refused by name and reason, as primary or as extra one, and never shown."""
    with pytest.raises(BadKey, match=f"^LLM_ENCRYPTION_KEY.*{reason}") as primary:
        KeyRing(key)
    texts = [repr(primary.value)]
    if key.strip(" ") == key:
        with pytest.raises(BadKey, match=f"^LLM_ENCRYPTION_KEYS_EXTRA, entry 2.*{reason}") as extra:
            KeyRing(ENCRYPTION_KEY, [OTHER_KEY, key])
        texts.append(repr(extra.value))
    for text in texts:
        assert len(key) < 10 or key[:10] not in text
        assert ENCRYPTION_KEY[20:40] not in text


@pytest.mark.parametrize(
    ("plain", "shown"),
    [
        ("", "****"),
        ("s", "****"),
        ("sk-123", "****"),
        ("sk-1234", "****"),
        ("sk-12345", "****"),
        ("sk-123456789012", "****"),
        ("sk-1234567890123", "sk-1234...****"),
        ("sk-proj-" + "x" * 32, "sk-proj...****"),
        ("ключ-ключ-ключ-1", "ключ-кл...****"),
        ("🔑" * 15, "****"),
        ("🔑" * 16, "🔑🔑🔑🔑🔑🔑🔑...****"),
    ],
)
def test_mask(plain: str, shown: str) -> None:
    """CHECKS 36: from 16 characters the first 7 are shown, of a shorter key nothing."""
    assert crypto.mask(plain) == shown


def _settings(ring: KeyRing) -> EffectiveSettings:
    return build(_facts(ring), ())


def _provider(ring: KeyRing) -> LlmProvider:
    blob, key_id, binding = ring.seal(CANARY, PLACE)
    return LlmProvider(
        id=PLACE.row_id,
        name="openai",
        display_name="OpenAI",
        kind="openai",
        available_models=["m"],
        default_model="m",
        api_key_encrypted=blob,
        api_key_key_id=key_id,
        api_key_binding=binding,
        api_key_masked=crypto.mask(CANARY),
    )


def _facts(ring: KeyRing) -> ProviderFacts:
    provider = _provider(ring)
    columns = {name: getattr(provider, name) for name in LlmProvider.model_fields}
    return provider_of(columns | {"version": 1, "field_changes": {}}, ring)


def _texts(thing: object) -> list[str]:
    """Everything that logging, a debugger, a cache or a serialiser would make of *thing*; TypeError counts as nothing."""
    ways: list[Callable[[], Any]] = [
        lambda: repr(thing),
        lambda: str(thing),
        lambda: f"{thing}",
        lambda: "%s %r" % (thing, thing),  # noqa: UP031 - as logging does it
        lambda: repr([thing, {"a": thing}]),
        lambda: json.dumps(thing),
        lambda: json.dumps(thing, default=str),
        lambda: json.dumps(thing, default=vars),
        lambda: repr(dataclasses.asdict(thing)),  # type: ignore[call-overload]  # TypeError unless it is a dataclass
        lambda: repr(dataclasses.astuple(thing)),  # type: ignore[call-overload]  # as above
        lambda: repr(copy.copy(thing)),
        lambda: repr(copy.deepcopy(thing)),
        lambda: repr(vars(thing)),
        lambda: repr(list(thing)),  # type: ignore[call-overload]  # as above
        *(lambda p=p: pickle.dumps(thing, p).decode("latin1") for p in range(pickle.HIGHEST_PROTOCOL + 1)),
    ]
    texts = []
    for way in ways:
        try:
            texts.append(way())
        except (TypeError, pickle.PicklingError) as error:
            texts.append(repr(error))
    return texts


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda ring: ring, id="KeyRing"),
        pytest.param(lambda ring: ring.box(*ring.seal(CANARY, PLACE), PLACE), id="Box"),
        pytest.param(lambda ring: ring.seal(CANARY, PLACE), id="SealedKey"),
        pytest.param(_settings, id="EffectiveSettings"),
        pytest.param(_facts, id="ProviderFacts"),
        pytest.param(_provider, id="LlmProvider"),
    ],
)
def test_nothing_shows_a_key_by_accident(ring: KeyRing, make: Callable[[KeyRing], object]) -> None:
    """CHECKS 35: repr, JSON, pickle, copy, asdict: masked or TypeError; neither the API key nor the encryption key."""
    raw = bytes.fromhex(ENCRYPTION_KEY)
    for text in _texts(make(ring)):
        for secret in (CANARY, ENCRYPTION_KEY, raw.decode("latin1"), repr(raw), CANARY.encode().hex()):
            assert secret not in text


def test_repr_leaves_the_blob_out(ring: KeyRing) -> None:
    """CHECKS 35: what stands in logs holds no ciphertext either: of a provider, of settings, of a user no hash."""
    provider = _provider(ring)

    for thing in (provider, _settings(ring), _facts(ring)):
        assert str(provider.api_key_encrypted) not in repr(thing)
        assert str(provider.api_key_binding) not in repr(thing)
    assert "bcrypt-hash" not in repr(User(username="ada", role="admin", password_hash="bcrypt-hash"))
    assert repr(ring.box(*ring.seal(CANARY, PLACE), PLACE)) == "<sealed key>"
    assert repr(ring) == "KeyRing(primary=e16820bf, ids=('e16820bf',))"


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, pickle.dumps, json.dumps])
def test_ring_and_box_are_never_duplicated(ring: KeyRing, duplicate: Callable[[object], object]) -> None:
    """CHECKS 35: a ring, a box, and settings that hold a box cannot leave the process by pickle or JSON."""
    box = ring.box(*ring.seal(CANARY, PLACE), PLACE)

    for thing in (ring, box):
        with pytest.raises(TypeError):
            duplicate(thing)
    if duplicate is not copy.copy:
        with pytest.raises(TypeError):
            duplicate(_settings(ring))


def test_config_shows_no_secret() -> None:
    """CHECKS 35: repr and JSON of the configuration hold no key, no password and no database URL."""
    config = Config.read(
        {
            "LLM_ENCRYPTION_KEY": ENCRYPTION_KEY,
            "LLM_ENCRYPTION_KEYS_EXTRA": f"{OTHER_KEY},",
            "LLM_ADMIN_PASSWORD": CANARY,
            "DATABASE_URL": f"postgresql://u:{CANARY}@h/x",
        }
    )
    for text in (repr(config), str(config), f"{config}", json.dumps(config, default=str)):
        for secret in (CANARY, ENCRYPTION_KEY, OTHER_KEY):
            assert secret not in text
    with pytest.raises(TypeError):
        json.dumps(config)


def test_generated_keys_are_good_keys() -> None:
    """A generated key is accepted, and differs each time."""
    keys = {crypto.generate_key() for _ in range(100)}

    assert len({KeyRing(key).primary_id for key in keys}) == len(keys) == 100


def test_key_file_is_made_once_and_kept(tmp_path: Path) -> None:
    """The key file is readable by its owner only, is a good key, and is never replaced; no draft stays."""
    path = tmp_path / "new" / "folder" / "encryption.key"

    assert crypto.ensure_key_file(path)
    key = path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert re.fullmatch(r"[0-9a-f]{64}\n", key)
    assert not crypto.ensure_key_file(path)
    assert path.read_text() == key
    assert list(path.parent.iterdir()) == [path]


def test_key_is_on_the_disk_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A power cut right after the first start leaves a whole key file or none: key, then name, then the folder are synced."""
    done: list[str] = []
    link, sync = os.link, os.fsync
    monkeypatch.setattr(os, "link", lambda *names: (done.append("name"), link(*names)))
    monkeypatch.setattr(
        os, "fsync", lambda file: (done.append("folder" if stat.S_ISDIR(os.fstat(file).st_mode) else "key"), sync(file))
    )

    assert crypto.ensure_key_file(tmp_path / "encryption.key")

    assert done == ["key", "name", "folder"]


def test_key_file_of_somebody_else_is_not_replaced(tmp_path: Path) -> None:
    """Even a key file that is empty or no key stays as it is: it may be all that opens the stored keys."""
    path = tmp_path / "encryption.key"
    path.write_text("not a key")

    assert not crypto.ensure_key_file(path)
    assert path.read_text() == "not a key"


def test_threads_agree_on_one_key_file(tmp_path: Path) -> None:
    """Threads that make the key file at once agree: exactly one made it, and everybody reads the same key."""
    for round_ in range(30):
        path = tmp_path / f"{round_}.key"
        start = threading.Barrier(8)

        def make(path: Path = path, start: threading.Barrier = start) -> tuple[bool, str]:
            start.wait(5)
            return crypto.ensure_key_file(path), path.read_text()

        with ThreadPoolExecutor(8) as pool:
            outcomes = [future.result() for future in [pool.submit(make) for _ in range(8)]]

        assert sum(made for made, _ in outcomes) == 1
        assert {key for _, key in outcomes} == {path.read_text()}
    assert len(list(tmp_path.iterdir())) == 30


def _make_key_files(folder: Path, go: Any, results: Any) -> None:
    go.wait(20)
    results.put([(crypto.ensure_key_file(folder / f"{n}.key"), (folder / f"{n}.key").read_text()) for n in range(30)])


def test_processes_agree_on_one_key_file(tmp_path: Path) -> None:
    """Processes that start at once agree on one key, too."""
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
    go, results = context.Event(), context.Queue()
    processes = [context.Process(target=_make_key_files, args=(tmp_path, go, results)) for _ in range(3)]
    for process in processes:
        process.start()
    go.set()
    columns = [results.get(timeout=20) for _ in processes]
    for process in processes:
        process.join(20)

    for row in zip(*columns, strict=True):
        assert sum(made for made, _ in row) == 1
        assert len({key for _, key in row}) == 1
    assert len(list(tmp_path.iterdir())) == 30


def test_ring_of_an_embedded_installation(tmp_path: Path) -> None:
    """Without LLM_ENCRYPTION_KEY an embedded installation uses its key file; with DATABASE_URL nobody reads that file."""
    embedded = Config.read({"LLM_DATA_DIR": str(tmp_path)})
    assert crypto.load_ring(embedded).primary_id is None
    embedded.key_file.write_text(f"{ENCRYPTION_KEY}\n")

    assert crypto.load_ring(embedded).primary_id == "e16820bf"
    given = Config.read({"LLM_DATA_DIR": str(tmp_path), "LLM_ENCRYPTION_KEY": OTHER_KEY})
    assert crypto.load_ring(given).primary_id == KeyRing(OTHER_KEY).primary_id
    operated = Config.read({"LLM_DATA_DIR": str(tmp_path), "DATABASE_URL": "postgresql://h/x"})
    assert crypto.load_ring(operated).primary_id is None


def test_ring_has_the_extra_keys_of_the_configuration(tmp_path: Path, ring: KeyRing) -> None:
    """LLM_ENCRYPTION_KEYS_EXTRA is a comma list, spaces and empty entries allowed."""
    config = Config.read(
        {
            "LLM_DATA_DIR": str(tmp_path),
            "LLM_ENCRYPTION_KEY": OTHER_KEY,
            "LLM_ENCRYPTION_KEYS_EXTRA": f" {ENCRYPTION_KEY} ,, ",
        }
    )

    assert crypto.load_ring(config).open(*ring.seal(CANARY, PLACE), PLACE) == CANARY


@pytest.mark.parametrize("content", [b"", b"short\n", b"\xff\xfe\x00", ENCRYPTION_KEY.encode() + b"\n\n"])
def test_damaged_key_file_is_refused_in_words(tmp_path: Path, content: bytes) -> None:
    """A key file that holds no key is a typed error, not a new key and not a traceback."""
    config = Config.read({"LLM_DATA_DIR": str(tmp_path)})
    config.key_file.write_bytes(content)

    with pytest.raises(BadKey) as caught:
        crypto.load_ring(config)
    assert isinstance(caught.value, CoreError)
    assert ENCRYPTION_KEY not in repr(caught.value)
