"""What resolve() is compared with: libraries that answer "what holds for openai now?" inside a process, and round trips.

Run by ``make bench`` in an environment of its own (requirements-bench.lock): all in one process, in turns, so that each
meets the same noise. Nothing here leaves the machine.
"""

# mypy: ignore-errors
# The peers are not installed where mypy runs.

import json
import logging
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from threading import RLock
from timeit import Timer

Call = Callable[[], object]
ROUNDS = 15
CREW = 8
OFFLINE = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_MODE": "PRODUCTION"}  # the latter: it reads no .env file
SLICE = 0.02
"""Seconds of one peer in one round."""
STORED = {"model": "m", "temperature": 0.7, "api_key": "sk-bench"}
DISTRIBUTIONS = (
    *("cachetools", "dogpile.cache", "dynaconf", "UnleashClient", "launchdarkly-server-sdk", "openfeature-sdk"),
    *("flagsmith", "litellm", "redis", "psycopg", "sqlmodel"),
)


def ours() -> Call:
    """`resolve("openai")`."""
    from core.resolve import resolve

    return lambda: resolve("openai").model


def ours_bare() -> Call:
    """The same without reading an attribute: what docs/benchmarks.md divides by."""
    from core.resolve import resolve

    resolve("openai")
    return lambda: resolve("openai")


def ours_with_key() -> Call:
    """With the key, opened each time."""
    from core.resolve import resolve

    return lambda: resolve("openai").api_key()


def ours_whole() -> Call:
    """All that a call of the vendor's SDK takes."""
    from core.resolve import resolve

    def whole() -> object:
        settings = resolve("openai")
        return settings.request_options(), settings.client_options()

    return whole


def one_line() -> Call:
    """A function with one dict lookup: as little as a function can do."""
    stored = {"openai": STORED}

    def look(name: str) -> object:
        return stored[name]

    return lambda: look("openai")


def functools_lru_cache() -> Call:
    """`functools.lru_cache` in front of a loader; it never learns of a change."""

    @lru_cache(maxsize=128)
    def load(_name: str) -> object:
        return dict(STORED)

    return lambda: load("openai")


def cachetools_ttl() -> Call:
    """A TTLCache with a lock, as its documentation has it for threads."""
    from cachetools import TTLCache, cached

    @cached(TTLCache(maxsize=128, ttl=3600), lock=RLock())
    def load(_name: str) -> object:
        return dict(STORED)

    return lambda: load("openai")


def dogpile() -> Call:
    """A memory region with an expiration time."""
    from dogpile.cache import make_region

    region = make_region().configure("dogpile.cache.memory", expiration_time=3600)

    @region.cache_on_arguments()
    def load(_name: str) -> object:
        return dict(STORED)

    return lambda: load("openai")


def dynaconf_settings() -> Call:
    """A nested value of a settings object."""
    from dynaconf import Dynaconf

    settings = Dynaconf(OPENAI=STORED)
    return lambda: settings.OPENAI.MODEL


def unleash_get_variant() -> Call:
    """`get_variant` of a client that was bootstrapped, offline."""
    from UnleashClient import UnleashClient
    from UnleashClient.cache import FileCache

    logging.getLogger("UnleashClient").setLevel(logging.CRITICAL)
    cache = FileCache("bench", directory=tempfile.mkdtemp())
    variant = {
        "name": "m",
        "weight": 1000,
        "weightType": "variable",
        "stickiness": "default",
        "payload": {"type": "string", "value": "m"},
    }
    feature = {"name": "openai", "type": "release", "enabled": True, "strategies": [{"name": "default"}]}
    cache.bootstrap_from_dict({"version": 2, "features": [{**feature, "variants": [variant]}]})
    client = UnleashClient(
        "http://127.0.0.1:9/api", "bench", cache=cache, disable_metrics=True, disable_registration=True
    )
    client.initialize_client(fetch_toggles=False)
    return lambda: client.get_variant("openai")["payload"]["value"]


def launchdarkly() -> Call:
    """`variation` with the SDK's test data source."""
    import ldclient
    from ldclient import Context
    from ldclient.config import Config
    from ldclient.integrations.test_data import TestData

    data = TestData.data_source()
    data.update(data.flag("openai").variations("m", "other").variation_for_all(0))
    client = ldclient.LDClient(Config("key", update_processor_class=data, send_events=False, diagnostic_opt_out=True))
    context = Context.builder("service").build()
    return lambda: client.variation("openai", context, None)


def openfeature() -> Call:
    """`get_string_value` from the in-memory provider."""
    from openfeature import api
    from openfeature.provider.in_memory_provider import InMemoryFlag, InMemoryProvider

    api.set_provider(InMemoryProvider({"openai": InMemoryFlag("on", {"on": "m"})}))
    client = api.get_client()
    return lambda: client.get_string_value("openai", "none")


def flagsmith_local() -> Call:
    """A value of the environment's flags, evaluated locally, offline."""
    from flagsmith import Flagsmith

    state = {
        "enabled": True,
        "feature_state_value": "m",
        "feature": {"id": 1, "name": "openai", "type": "STANDARD"},
        "featurestate_uuid": "1",
        "multivariate_feature_state_values": [],
        "feature_segment": None,
    }
    document = {
        "api_key": "x",
        "name": "bench",
        "feature_states": [state],
        "identity_overrides": [],
        "project": {"segments": []},
    }

    class Handler:
        def get_environment(self) -> object:
            return document

    client = Flagsmith(offline_mode=True, offline_handler=Handler())
    return lambda: client.get_environment_flags().get_feature_value("openai")


def litellm_credentials() -> Call:
    """The credentials of a deployment of LiteLLM's Router."""
    from litellm import Router

    parameters = {"model": "openai/gpt-4o", "api_key": "sk-bench"}
    router = Router(model_list=[{"model_name": "openai", "litellm_params": parameters, "model_info": {"id": "one"}}])
    return lambda: router.get_deployment_credentials("one")["api_key"]


def redis_get() -> Call:
    """GET and decode, on loopback."""
    import redis

    client = redis.Redis(port=int(os.environ["BENCH_REDIS_PORT"]))
    client.set("openai", json.dumps(STORED))
    return lambda: json.loads(client.get("openai"))["model"]


def psycopg_one_row() -> Call:
    """One row by its name, on a connection that is open."""
    import psycopg

    query = "SELECT default_model, kind FROM llm_providers WHERE name = %s"
    mine = threading.local()  # a connection for each thread, as a pool gives them: they would wait for each other

    def one() -> object:
        try:
            connection = mine.connection
        except AttributeError:
            connection = mine.connection = psycopg.connect(os.environ["DATABASE_URL"], autocommit=True)
        return connection.execute(query, ["openai"]).fetchone()[0]

    return one


def sqlmodel_one_row() -> Call:
    """One object by its name, in a session of its own."""
    from sqlmodel import Session, create_engine, select

    from core.store.tables import LlmProvider

    address = os.environ["DATABASE_URL"].replace("postgresql://", "postgresql+psycopg://", 1)
    engine = create_engine(address, pool_size=CREW)  # none of the threads waits for a connection, or makes one

    def one() -> object:
        with Session(engine) as session:
            return session.exec(select(LlmProvider).where(LlmProvider.name == "openai")).one().default_model

    return one


PEERS: dict[str, tuple[Callable[[], Call], object]] = {
    "one-line function, one dict lookup": (one_line, STORED),
    "resolve()": (ours_bare, None),
    "resolve(), one attribute": (ours, "m"),
    "resolve() and api_key()": (ours_with_key, None),
    "resolve(), request_options(), client_options()": (ours_whole, None),
    "functools.lru_cache": (functools_lru_cache, STORED),
    "cachetools TTLCache with a lock": (cachetools_ttl, STORED),
    "dogpile.cache memory region": (dogpile, STORED),
    "dynaconf": (dynaconf_settings, "m"),
    "LaunchDarkly, test data source": (launchdarkly, "m"),
    "OpenFeature, in memory": (openfeature, "m"),
    "Unleash get_variant, bootstrapped": (unleash_get_variant, "m"),
    "Flagsmith, local evaluation": (flagsmith_local, "m"),
    "LiteLLM Router, credentials": (litellm_credentials, "sk-bench"),
    "Redis GET": (redis_get, "m"),
    "psycopg, one row": (psycopg_one_row, "m"),
    "SQLModel, one row": (sqlmodel_one_row, "m"),
}
"""Name -> how it is made, and what it has to answer."""
MUST = {
    "cachetools TTLCache with a lock": 10,
    "dogpile.cache memory region": 10,
    "dynaconf": 40,
    "LaunchDarkly, test data source": 120,
    "OpenFeature, in memory": 120,
    "Unleash get_variant, bootstrapped": 400,
    "LiteLLM Router, credentials": 400,
    "Redis GET": 500,
    "psycopg, one row": 500,
}
"""So many times as long as resolve()."""
NEEDS = {"Redis GET": ("BENCH_REDIS_PORT", "there is no redis-server")}
"""Name -> the variable without which it cannot be measured, and why it is missing."""
IMPORTS = {
    "core.resolve": "import core.resolve",
    "cachetools": "import cachetools",
    "dogpile.cache": "import dogpile.cache",
    "dynaconf": "import dynaconf",
    "ldclient": "import ldclient",
    "openfeature": "from openfeature import api",
    "UnleashClient": "import UnleashClient",
    "flagsmith": "import flagsmith",
    "litellm": "import litellm",
    "redis": "import redis",
    "psycopg": "import psycopg",
    "sqlmodel, psycopg": "import sqlmodel, psycopg",
}


def measure() -> dict[str, dict[str, float]]:
    """Return name -> nanoseconds a call: alone, and with eight threads."""
    calls: dict[str, Call] = {"": lambda: None}
    for name, (make, expected) in PEERS.items():
        if name in missing():
            continue
        call = make()
        answer = call()
        assert expected is None or answer == expected, (name, answer)
        calls[name] = call
    timers = {name: Timer(call) for name, call in calls.items()}
    numbers = {name: max(3, int(SLICE / (timer.timeit(20) / 20))) for name, timer in timers.items()}
    numbers = {
        name: max(3, int(SLICE / (timer.timeit(numbers[name]) / numbers[name]))) for name, timer in timers.items()
    }
    found: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(ROUNDS):
        for name, timer in timers.items():
            found[name].append(timer.timeit(numbers[name]) / numbers[name] * 1e9)
    crowded: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(5):
        for name in calls:
            crowded[name].append(_crowd(timers[name], numbers[name]))
    empty = statistics.median(found.pop(""))  # the loop and the lambda, measured in the same rounds
    return {
        name: {
            "ns": statistics.median(took) - empty,
            "threads": statistics.median(crowded[name]) / statistics.median(took),
        }
        for name, took in found.items()
    }


def missing() -> dict[str, str]:
    """Return name -> why it is not measured here."""
    return {name: why for name, (variable, why) in NEEDS.items() if not os.environ.get(variable)}


def _crowd(timer: Timer, number: int) -> float:
    """Return wall nanoseconds a call of eight threads together: connected before the clock starts, and in the same loop."""
    each = max(3, number // 4)
    begun: list[float] = []
    gate = threading.Barrier(CREW, action=lambda: begun.append(time.perf_counter()))
    wrong: list[Exception] = []

    def work() -> None:
        try:
            timer.timeit(6)  # its own connection is made, and its statement prepared
            gate.wait()
            timer.timeit(each)
        except Exception as error:  # noqa: BLE001 - said below, in the main thread
            gate.abort()
            wrong.append(error)

    crew = [threading.Thread(target=work) for _ in range(CREW)]
    for thread in crew:
        thread.start()
    for thread in crew:
        thread.join()
    took = time.perf_counter() - begun[0] if begun else 0.0
    for error in wrong:
        raise error
    return took / (CREW * each) * 1e9


RESIDENT = "int(next(line for line in open('/proc/self/status') if line.startswith('VmRSS')).split()[1])"
READY = f"""
import sys, time
from tests.bench.peers import PEERS
make = PEERS[sys.argv[1]][0]
before, begun = {RESIDENT}, time.perf_counter()
make()()
print((time.perf_counter() - begun) * 1000, {RESIDENT} - before, flush=True)
import os
os._exit(0)
"""


def imports() -> dict[str, tuple[float, float]]:
    """Return statement -> milliseconds and MiB that a new process spends on it, beyond a bare interpreter's."""
    took: dict[str, list[tuple[float, float]]] = {name: [] for name in ("bare", *IMPORTS)}
    statements = {"bare": "pass", **IMPORTS}
    for _ in range(7):
        for name, statement in statements.items():
            script = f"{statement}\nprint({RESIDENT})"
            begun = time.perf_counter()
            done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
            took[name].append(((time.perf_counter() - begun) * 1000, int(done.stdout.split()[-1]) / 1024))
    medians = {
        name: tuple(statistics.median(each) for each in zip(*found, strict=True)) for name, found in took.items()
    }
    bare = medians.pop("bare")
    return {name: (ms - bare[0], mib - bare[1]) for name, (ms, mib) in medians.items()}


def ready() -> dict[str, tuple[float, float]]:
    """Return name -> milliseconds and MiB of a new process from import to first answer.

    Modules of the standard library that this file imports itself (json, logging, tempfile) are in nobody's figures.
    """
    took: dict[str, list[tuple[float, float]]] = {name: [] for name in PEERS if name not in missing()}
    for _ in range(5):
        for name, found in took.items():
            done = subprocess.run([sys.executable, "-c", READY, name], capture_output=True, text=True, check=True)
            milliseconds, kibibytes = done.stdout.split()[-2:]
            found.append((float(milliseconds), int(kibibytes) / 1024))
    return {name: tuple(statistics.median(each) for each in zip(*found, strict=True)) for name, found in took.items()}


def main() -> None:
    """Write everything as JSON to the file that is named."""
    logging.disable(logging.CRITICAL)
    os.environ.update(OFFLINE)
    found = {
        "calls": measure(),
        "missing": missing(),
        "imports": imports(),
        "ready": ready(),
        "versions": {name: version(name) for name in DISTRIBUTIONS},
    }
    Path(sys.argv[1]).write_text(json.dumps(found), encoding="utf-8")
    os._exit(0)  # some of the peers' threads do not end


if __name__ == "__main__":
    main()
