"""Errors cross to another process whole: each class of the module, by each way that programs use."""

import copy
import inspect
import json
import pickle
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest

from core import errors
from core.errors import CallFailed, CoreError

_UNAVAILABLE = {
    errors.ApiKeyUnavailable: "ok",
    errors.ProviderMissing: "unknown_provider",
    errors.NoProvider: "no_provider",
    errors.OrganizationMissing: "unknown_organization",
    errors.OrganizationInactive: "organization_disabled",
    errors.ProviderInactive: "disabled",
    errors.ProviderNotAllowed: "not_allowed",
    errors.ModelMissing: "no_model",
    errors.KeyMissing: "no_key",
    errors.KeyNotReadable: "key_unreadable",
    errors.KeyOutOfReach: "store_unavailable",
}
SAMPLES: list[CoreError] = [
    errors.CoreError("a text"),
    errors.Invalid({"name": "is taken", "temperature": "0 to 2"}),
    errors.NotFound("provider", 3),
    errors.Gone("The history begins on 1 March"),
    errors.AlreadyExists("provider", "acme", "display_name"),
    errors.Conflict(
        "provider", version=3, changed_by="ada", changed_at=None, changes={"name": ("a", "b"), "models": (["x"], None)}
    ),
    errors.Forbidden(),
    errors.Forbidden("Only ada may"),
    errors.PasswordChangeNeeded(),
    errors.SecondFactorNeeded(),
    errors.TooManyAttempts(90),
    errors.TooManyRequests("10 per 5 minutes", 300),
    errors.Sealed(),
    errors.WrongEncryptionKey("0a1b2c3d", (known for known in ("11111111", "22222222"))),
    errors.WrongEncryptionKey("0a1b2c3d", ["11111111"], "encryption.key"),
    errors.EncryptionKeyMissing((known for known in ("11111111", "22222222")), "encryption.key"),
    errors.OutdatedEncryptionKey("aa", ["bb"]),
    errors.ProcessesLackKey("aa", ["service 0.2.0 at a:1, keys none"], 3),
    errors.BadConfig("DATABASE_URL cannot be read"),
    errors.BadKey("LLM_ENCRYPTION_KEY is malformed"),
    errors.KeyUnreadable("moved", "The key was moved"),
    *(kind("acme", status, "do this") for kind, status in _UNAVAILABLE.items()),
    CallFailed("acme", "m1", reason="busy", status=529, words="overloaded", attempts=4, retry_after=1.5),
    CallFailed("acme", "m1", reason="timeout", status=None, words="no answer", attempts=1),
    errors.PersonalData("acme", {"EMAIL": 2, "IBAN": 1}),
    errors.PersonalData("acme", {}, "answer", "TimeoutError"),
    errors.BudgetExceeded(
        "b", "spent", "100", "99.98", "0.04", None, "2026-12-01T00:00:00+00:00", "1 December 2026, 00:00 UTC"
    ),
    errors.BudgetExceeded("b", "held", limit="1", spent="0.4", needed="0.7", retry_after=0.25),
    errors.BudgetExceeded("b", "unpriced", why="m1 of provider 'acme'"),
    errors.BudgetExceeded("b", "store_unavailable", needed="0.7", why="no answer"),
    errors.RateLimited("r", 1.5, "us", "requests_per_minute", 600),
    errors.RateLimited("r", 0.05),
    errors.MissingExtra("openai", "ai-openai"),
    errors.UnknownKind("a-newer-one"),
    errors.StoreUnavailable("no answer in 10 seconds"),
    errors.SchemaMismatch("PostgreSQL 14"),
]


def celery(error: CoreError) -> CoreError:
    """As Celery's results do with the serializer json: class and args, by name and JSON."""
    made = getattr(errors, type(error).__qualname__)(*json.loads(json.dumps(error.args)))
    assert isinstance(made, CoreError)
    return made


WAYS: dict[str, Callable[[CoreError], CoreError]] = {
    "pickle": lambda error: pickle.loads(pickle.dumps(error)),
    "the oldest pickle": lambda error: pickle.loads(pickle.dumps(error, 0)),
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "celery": celery,
    "twice": lambda error: celery(pickle.loads(pickle.dumps(error))),
}


def test_every_class_of_the_module_is_tried() -> None:
    """A class that is added has to be added here."""
    ours = {kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, BaseException)}
    assert {type(sample) for sample in SAMPLES} == ours


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: type(sample).__name__)
def test_an_error_arrives_as_it_left(sample: CoreError, way: str) -> None:
    """Class, text, code and every attribute."""
    found = WAYS[way](sample)
    assert found is not sample
    assert type(found) is type(sample)
    assert (str(found), found.code, vars(found)) == (str(sample), sample.code, vars(sample))


@pytest.mark.parametrize("way", sorted(set(WAYS) - {"celery", "twice"}))
def test_notes_and_attributes_of_a_service_arrive_too(way: str) -> None:
    """As with any other exception."""
    sample = CallFailed("acme", "m1", reason="busy", status=529, words="overloaded", attempts=4)
    sample.add_note("while it summed up 42")
    sample.tenant = "acme"  # type: ignore[attr-defined]  # what services do
    found = WAYS[way](sample)
    assert vars(found) == vars(sample)
    assert "while it summed up 42" in found.__notes__


def fail(number: int) -> int:
    """A job: the first one fails."""
    if number:
        return number
    raise CallFailed("acme", "m1", reason="key", status=401, words="no such key", attempts=1)


@pytest.mark.program
@pytest.mark.parametrize("how", ["fork", "spawn"])
def test_a_pool_of_processes_goes_on(how: str) -> None:
    """Its caller gets the error, and the next job its answer: by concurrent.futures, and by multiprocessing."""
    with ProcessPoolExecutor(1, mp_context=get_context(how)) as executor:
        with pytest.raises(CallFailed) as caught:
            executor.submit(fail, 0).result(60)
        assert (caught.value.reason, caught.value.status) == ("key", 401)
        assert executor.submit(fail, 7).result(60) == 7
    with get_context(how).Pool(1) as pool:
        with pytest.raises(CallFailed, match="no such key"):
            pool.apply_async(fail, (0,)).get(60)
        assert pool.apply_async(fail, (7,)).get(60) == 7
