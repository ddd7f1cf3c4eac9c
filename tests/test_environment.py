"""What is typed into a variable is checked, and never repeated."""

import traceback

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from core import crypto
from core.access.ratelimit import Limiter
from core.config import VARIABLES, Config, check_at_start
from core.errors import BadConfig
from core.postgres import dsn

CANARY = "hunter2Canary"
FORMS = (
    "{}",
    " {} ",
    '"{}"',
    "'{}",
    "# {}",
    "#{}",
    "{}://host/name",
    "{}:{}@host:5432/name",
    "password={} host=db.corp",
    "postgresql:{}@host/name",
    "postgres://user:{}@host:port/name",
    "postgresql://user:{}@x@host/name",
    "postgresql://user:x@{}@host/name",
    "postgresql://user:a/{}@host/name",
    "postgresql://user:a%{}@host/name",
    "postgresql://user:%zz{}@host/name",
    "postgresql://user:a {}@host/name",
    "postgresql://user:{}",
    "postgresql://host:{}/name",
    "postgresql://[{}/name",
    "postgresql://user:a@host/name?{}",
    "postgresql://user:a@host/name?{}=1",
    "postgresql://user:a@host/name?schema={}",
    "postgresql://user:a@host/name?connect_timeout={}",
    "postgresql://user:a@host:{}/name?sslmode=require",
    "postgresql+asyncpg://user:{}@host/name",
    "mysql://user:{}@host/name",
    "http://user:{}@host:4000/",
    "redis://:{}@host:port",
    "rediss://:{}@[host",
    "a.example,{}:4000",
    "a.example,https://{}/v1",
    "*.{}",
    ".{}",
    "a;{}",
    "[{}",
    "{}/24",
    "10.0.0.0/{}",
    "{} per minute",
    "10 per {}",
    "ключ-{}",
)
REFUSED = {
    "DATABASE_URL": FORMS,
    "LLM_ENCRYPTION_KEY": FORMS,
    "LLM_TRUSTED_PROXIES": FORMS,
    "LLM_MODEL_LOOKS": FORMS,
    "LLM_CATALOGUE_SHA256": FORMS,
    "LLM_CATALOGUE_KEY": FORMS,
    "LLM_RATE_LIMIT_GENERAL": FORMS,
    "LLM_RATE_LIMIT_STORAGE_URL": FORMS,
}
"""What must be refused, so that the test below looks at something."""


def _start(name: str, value: str) -> str:
    """Return all that a start says about *value*, as text and as a traceback."""
    said = ""
    try:
        config = Config.read({name: value})
    except BadConfig as error:
        return str(error) + "".join(traceback.format_exception(error))
    for check in (
        lambda: check_at_start(config),
        lambda: crypto.load_ring(config),
        lambda: Limiter(config),
        lambda: (
            dsn.arguments(config.database_url.reveal(), name="x", connect_timeout=2, options="")
            if config.database_url
            else None
        ),
    ):
        try:
            check()
        except BadConfig as error:
            said += str(error) + "".join(traceback.format_exception(error))
    return said


@pytest.mark.parametrize("name", sorted(VARIABLES))
@pytest.mark.parametrize("form", FORMS)
def test_no_error_repeats_what_was_typed(name: str, form: str) -> None:
    """Whatever is typed in place of a variable, what is said about it, traceback included, has no word of it."""
    said = _start(name, form.replace("{}", CANARY))

    assert CANARY.lower() not in said.lower()
    assert said or form not in REFUSED.get(name, ())


@pytest.mark.long
@given(
    st.sampled_from(sorted(VARIABLES)),
    st.text(st.characters(codec="utf-8"), max_size=12),
    st.text(st.sampled_from(list(":/@?#%=&,;*.[]'\" \\\t{}|<>0159ab")), max_size=12),
    st.sampled_from(["", "postgresql://", "postgresql://u:", "postgresql://u@h/d?", "redis://"]),
)
@hypothesis_settings(max_examples=1000, deadline=None, suppress_health_check=list(HealthCheck))
def test_no_error_repeats_any_text(name: str, before: str, after: str, head: str) -> None:
    """The same for texts that nobody thought of, with the signs that part a URL."""
    assert CANARY.lower() not in _start(name, f"{head}{before}{CANARY}{after}".replace("\x00", "")).lower()


@pytest.mark.parametrize("value", ["", "  ", "\t"])
def test_an_empty_database_url_is_an_error(value: str) -> None:
    """DATABASE_URL that is set and empty is refused, with the way to the embedded store."""
    with pytest.raises(BadConfig, match="unset it for the embedded store"):
        Config.read({"DATABASE_URL": value})


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("mysql://u:p@h/d", "begins with mysql://; PostgreSQL is the only database"),
        ("postgresql+asyncpg://u:p@h/d", "begins with postgresql+asyncpg://;"),
        ("llm:S3cretPassw0rd@db.corp:5432/llm", "names none: PostgreSQL"),
        ("password=S3cretPassw0rd host=db.corp", "names none: PostgreSQL"),
        ('"postgresql://u:p@h/d"', "kept the quotes"),
        ("postgresql://u:p@ss@h/d", "an @ too many: in a user name and a password write @ is %40"),
        ("postgresql://u:p/q@h/d", "an @ too many"),
        ("postgresql://u:p%q@h/d", "a % without two hex digits"),
        ("postgresql://u:p q@h/d", "a blank as %20"),
        ("postgresql://u:p?q", "the port of host 1 is no number"),
        ("postgresql://h1:5432,h2:x/d", "the port of host 2 is no number"),
        ("postgresql://h:99999/d", "from 1 to 65535"),
        ("postgresql://::1:5432/d", "in brackets"),
        ("# postgresql://u:p@h/d", "a line of its own"),
        ("postgres://user:Superp@$$W0rd01@db_host:5432/d", "an @ too many"),  # pgsync#236
        ("postgres://a:%yaron11@localhost:5432/d?sslmode=disable", "a % without two hex digits"),  # pgweb#96
    ],
)
def test_a_database_url_is_refused_with_its_cure(url: str, words: str) -> None:
    """Each mistake is told as what it is, with the way to write it."""
    with pytest.raises(BadConfig) as told:
        Config.read({"DATABASE_URL": url})

    assert words in str(told.value)


@pytest.mark.parametrize(
    ("url", "read"),
    [
        (" postgres://u:p@h/d\n", "postgresql://u:p@h/d"),
        ("postgresql+psycopg://h", "postgresql://h"),
        ("postgresql:///d?host=/tmp", "postgresql:///d?host=/tmp"),
        ("postgresql://u:p#q?r@h/d", "postgresql://u:p#q?r@h/d"),
        ("postgresql://u@%2Frun%2Fpg/d", "postgresql://u@%2Frun%2Fpg/d"),
        ("postgresql://u@h1:1,h2:2/d?target_session_attrs=any", "postgresql://u@h1:1,h2:2/d?target_session_attrs=any"),
        ("postgresql://u@/d?host=a:1&host=b&user=x", "postgresql://u@/d?host=a,b&port=1,5432&user=x"),
        ("postgresql://[::1]:5432,[::2]/d", "postgresql://[::1]:5432,[::2]/d"),
        # dbmate#212, lazysql#74, langfuse#13314: passwords that other programs' readers of URLs refuse
        ("postgresql://u:]Srs\\|^[P-{tNhoDy5E4t.*G@h:5432/d", "postgresql://u:]Srs\\|^[P-{tNhoDy5E4t.*G@h:5432/d"),
        ("postgresql://u:t9>EBKfHKmp0!@h:2001/d", "postgresql://u:t9>EBKfHKmp0!@h:2001/d"),
        ("postgresql://u:a&b?c@h/d", "postgresql://u:a&b?c@h/d"),
        ("postgresql://h/d?host=a,b&port=1,2", "postgresql://h/d?host=a,b&port=1,2"),
    ],
)
def test_database_urls_that_hold(url: str, read: str) -> None:
    """Host lists, socket folders and signs that libpq takes are read; SQLAlchemy's repeated host= becomes a list."""
    found = Config.read({"DATABASE_URL": url}).database_url

    assert found is not None
    assert found.reveal() == read


HOSTS = ("LLM_ALLOWED_HOSTS", "LLM_PRIVATE_HOSTS", "LLM_TRUSTED_PROXIES")


@pytest.mark.parametrize("name", HOSTS)
@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ("http://litellm:4000", "entry 2 is a URL"),
        ("litellm:4000", "entry 2 has a port"),
        ("10.0.0.5:4000", "entry 2 has a port"),
        ("[::1]:4000", "entry 2 has a port"),
        ("*.corp.internal", "entry 2 has a wildcard"),
        (".corp.internal", "entry 2 begins with a dot"),
        ("a;b", "entry 2 has a semicolon"),
        ("a b", "entry 2 has a blank inside"),
        ("'a.example'", "entry 2 has quotes"),
        ("user@host", "entry 2 has an @"),
        ("a.example/v1", "entry 2 has a / and is no network"),
        ("bücher.example", "entry 2 is not in ASCII"),
        ("a..b", "entry 2 is neither a name nor an address"),
        ("300.1.1.1", "entry 2 is neither a name nor an address"),
        ("-", "entry 2 is neither a name nor an address"),
    ],
)
def test_lists_of_hosts_are_checked_at_start(name: str, entry: str, words: str) -> None:
    """An entry that could fit no host is refused with the list's name, its place and the rule."""
    with pytest.raises(BadConfig) as told:
        check_at_start(Config.read({name: f"10.0.0.1,{entry}"}))

    assert str(told.value).startswith(f"{name}: {words}")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LLM_ALLOWED_HOSTS", "LLM.Corp.Example., my_host ,10.0.0.1,[fd00::1],localhost,"),
        ("LLM_PRIVATE_HOSTS", "litellm,10.0.0.0/8,fd00::/8,[fd00::1],x.svc.cluster.local"),
        ("LLM_PRIVATE_HOSTS", "*"),
        ("LLM_PRIVATE_HOSTS", ""),
        ("LLM_TRUSTED_PROXIES", "10.0.0.5, 192.168.0.1/24,::1"),
    ],
)
def test_lists_of_hosts_that_hold(name: str, value: str) -> None:
    """Names, addresses, networks where they fit, and the star for all private hosts are let through."""
    check_at_start(Config.read({name: value}))


def test_a_service_needs_no_list_of_hosts() -> None:
    """A wrong list of hosts of the app's keeps no service from its settings."""
    assert Config.read({"LLM_ALLOWED_HOSTS": "http://x", "LLM_PRIVATE_HOSTS": "*.x"}).embedded
