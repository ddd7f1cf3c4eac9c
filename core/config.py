"""What this process reads from its environment. Standard library only: the resolver imports it."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple, Self

from . import log_lines
from .environment import (
    address_of_file,
    check_file_address,
    check_hosts,
    check_no_proxy,
    database_url,
    days,
    digest,
    entries,
    networks,
    no_comment,
    number,
    proxy_address,
    proxy_url,
    public_key,
    public_url,
    secret,
    storage_url,
    write_database_url,
)
from .errors import BadConfig
from .mail_address import sender, smtp_server, smtp_url
from .redaction import Secret

VARIABLES = {
    "DATABASE_URL": "PostgreSQL 15 or newer, as postgresql://user:password@host:5432/name. Unset: embedded PostgreSQL; empty is an error.",
    "LLM_WRITE_DATABASE_URL": "The primary, where DATABASE_URL of a service names a replica or a pooler: its request log goes there.",
    "LLM_DATA_DIR": "Folder of the embedded PostgreSQL and its encryption key. Default: .data",
    "LLM_SNAPSHOT_FILE": "Where a service keeps its last settings, without keys, for a start while the database is away. Default: nowhere.",
    "LLM_ORGANIZATIONS": "Comma list of the organisations that a service asks for, by any of their names: it keeps no others in memory. Default: all.",
    "LLM_CLIENTS": "So many clients of vendors, each with its connections, are kept for calls: one for each key and address in use. Default: 64",
    "LLM_ENCRYPTION_KEY": "64 hex digits; seals and opens API keys. Make one: python -m core generate-key",
    "LLM_ENCRYPTION_KEYS_EXTRA": "Comma list of further keys that may open: the old ones, and the next one.",
    "LLM_ADMIN_PASSWORD": "Password of the first admin when there is no user yet.",
    "LLM_ADMIN_USERNAME": "Name of that first admin. Default: admin",
    "LLM_ALLOWED_HOSTS": "Comma list of host names that browsers may reach the app under, besides localhost and addresses.",
    "LLM_TRUSTED_PROXIES": "Comma list of addresses or networks whose X-Forwarded-For and -Proto count. Default: nobody's.",
    "LLM_RATE_LIMIT_GENERAL": "REST requests of one user, token or stranger's address. Default: 100 per 15 minutes",
    "LLM_RATE_LIMIT_SENSITIVE": "REST writes of one user or token. Default: 10 per 5 minutes",
    "LLM_RATE_LIMIT_PROVISIONING": "REST writes of organisations, their names, members and keys, of one user or token. Default: 600 per 5 minutes",
    "LLM_RATE_LIMIT_PAGES": "Saves of one user on the pages. Default: 60 per 5 minutes",
    "LLM_RATE_LIMIT_STORAGE_URL": "Where several processes count together, as redis://host:6379. Default: memory://, each process by itself.",
    "LLM_LOG_FORMAT": "Lines of log of the app and the command line: text, or json, one object each. Default: text",
    "LLM_LOG_DAYS": "Days for which the request log is kept at most: the app deletes older rows each day. Default: as admins say.",
    "LLM_MODEL_LOOKS": "daily: the app asks each active provider once a day for its list of models. Default: it dials nobody by itself.",
    "LLM_PRIVATE_HOSTS": "Comma list of private host names, addresses or networks that any provider's base URL may name; * for all.",
    "LLM_AUDIT_LINES": "stdout: the app writes each event of the audit to standard output, as a line of JSON. Default: it does not.",
    "LLM_KEY_MAX_AGE_DAYS": "API keys older than so many days are named on Health and Providers, and told of 14 days before. Default: none is.",
    "LLM_REQUIRE_SECOND_FACTOR": "Comma list of roles, of admin, analyst and member, whose local users have to set up a second factor. Default: nobody.",
    "LLM_CATALOGUE_URL": "Where `catalogue import --from-url` gets a newer catalogue of models. Nothing is fetched by itself.",
    "LLM_CATALOGUE_SHA256": "The SHA-256 that it must have, in hex: 64 digits.",
    "LLM_CATALOGUE_KEY": "Or the Ed25519 public key, in base64, whose signature stands at the same address with .sig behind.",
    "LLM_HTTP_PROXY": "The only way out to the vendors, as http://user:password@proxy.example:3128. Default: none, not even HTTPS_PROXY.",
    "LLM_PUBLIC_URL": "Where people reach the app, as https://llm.corp.example: messages about changes and alerts lead there. Default: no links.",
    "LLM_SPIKE_TIMES": "An hour is told as a spike from so many times the dearest same hour of four weeks on. Default: 3",
    "LLM_SPIKE_USD": "And so many US dollars more than that one. Default: 5",
    "LLM_SMTP_URL": "The server that takes e-mail, as smtp://user:password@mail.example:587, or smtps:// with port 465. Default: no e-mail.",
    "LLM_SMTP_FROM": "Whom e-mail comes from, as LLM Settings <llm@example.com>. Default: the user name of LLM_SMTP_URL, if it is an address.",
    "LLM_OIDC_ISSUER": "The identity provider that people sign in at, as https://login.example/realms/corp, to the letter. Default: none.",
    "LLM_OIDC_CLIENT_ID": "As what LLM Settings is registered there.",
    "LLM_OIDC_CLIENT_SECRET": "The secret of that registration. Unset: a public client, protected by PKCE alone.",
    "LLM_OIDC_NAME": "What the sign-in page calls it: Sign in with … Default: your organisation",
    "LLM_OIDC_SCOPES": "What is asked for, with blanks between. Default: openid profile email",
    "LLM_OIDC_GROUPS_CLAIM": "The claim that has a user's groups, or the way to it, as realm_access.roles. Default: groups",
    "LLM_OIDC_ADMIN_GROUPS": "Comma list of groups whose people are admins; separated by ; where a name has commas.",
    "LLM_OIDC_ANALYST_GROUPS": "The same of analysts.",
    "LLM_OIDC_ORGANIZATION_GROUPS": "Groups of organisations, as llm-emea=emea:admin,llm-emea-read=emea:analyst.",
    "LLM_OIDC_ONLY": "1: local users are refused, but those marked as the way back. Default: they may sign in.",
    "LLM_NO_PROXY": "Comma list of host names (with all below them), addresses or networks that are reached without it; * for all.",
}


@dataclass(frozen=True, slots=True)
class Config:
    """What this process reads from its environment; see :data:`VARIABLES`."""

    database_url: Secret | None
    write_database_url: Secret | None
    data_dir: Path
    snapshot_file: Path | None
    organizations: tuple[str, ...] | None
    clients: str
    encryption_key: Secret | None
    encryption_keys_extra: tuple[Secret, ...]
    admin_username: str
    admin_password: Secret | None
    allowed_hosts: tuple[str, ...]
    trusted_proxies: tuple[str, ...]
    private_hosts: tuple[str, ...]
    log_days: str
    model_looks: str
    audit_lines: str
    key_max_age_days: str
    require_second_factor: str
    catalogue_url: Secret | None
    catalogue_sha256: str
    catalogue_key: str
    rate_limit_general: str
    rate_limit_sensitive: str
    rate_limit_provisioning: str
    rate_limit_pages: str
    rate_limit_storage_url: Secret
    http_proxy: Secret | None
    no_proxy: tuple[str, ...]
    public_url: str
    spike_times: str
    spike_usd: str
    smtp_url: Secret | None
    smtp_from: str
    oidc_issuer: str
    oidc_client_id: str
    oidc_client_secret: Secret | None
    oidc_name: str
    oidc_scopes: str
    oidc_groups_claim: str
    oidc_admin_groups: str
    oidc_analyst_groups: str
    oidc_organization_groups: str
    oidc_only: str

    @classmethod
    def read(cls, env: Mapping[str, str] = os.environ) -> Self:
        """Read *env*. Encryption keys, rate limits and days are checked where they are used: core.crypto, core.access.ratelimit, :func:`log_days`.

        Raises:
            BadConfig: If ``DATABASE_URL`` is empty or does not name a PostgreSQL database, ``LLM_TRUSTED_PROXIES``
                something that is no address, a URL is malformed, or a value is a comment of a ``.env`` file. No error
                repeats what was typed.
        """
        env = {name: value for name in VARIABLES if (value := no_comment(name, env.get(name))) is not None}
        return cls(
            database_url=database_url(env.get("DATABASE_URL")),
            write_database_url=write_database_url(env.get("LLM_WRITE_DATABASE_URL")),
            data_dir=Path(env.get("LLM_DATA_DIR") or ".data").resolve(),
            snapshot_file=Path(name).absolute() if (name := env.get("LLM_SNAPSHOT_FILE")) else None,
            organizations=tuple(name.strip() for name in named.split(",") if name.strip())
            if (named := env.get("LLM_ORGANIZATIONS", "")).strip()
            else None,
            clients=env.get("LLM_CLIENTS") or "64",
            encryption_key=secret(key) if (key := env.get("LLM_ENCRYPTION_KEY")) else None,
            encryption_keys_extra=tuple(
                map(secret, filter(str.strip, env.get("LLM_ENCRYPTION_KEYS_EXTRA", "").split(",")))
            ),
            admin_username=env.get("LLM_ADMIN_USERNAME") or "admin",
            admin_password=secret(password) if (password := env.get("LLM_ADMIN_PASSWORD")) else None,
            allowed_hosts=entries(env.get("LLM_ALLOWED_HOSTS")),
            trusted_proxies=networks("LLM_TRUSTED_PROXIES", env.get("LLM_TRUSTED_PROXIES")),
            private_hosts=entries(env.get("LLM_PRIVATE_HOSTS")),
            log_days=env.get("LLM_LOG_DAYS") or "",
            model_looks=env.get("LLM_MODEL_LOOKS") or "",
            audit_lines=env.get("LLM_AUDIT_LINES") or "",
            key_max_age_days=env.get("LLM_KEY_MAX_AGE_DAYS") or "",
            require_second_factor=env.get("LLM_REQUIRE_SECOND_FACTOR") or "",
            catalogue_url=address_of_file(env.get("LLM_CATALOGUE_URL")),
            catalogue_sha256=env.get("LLM_CATALOGUE_SHA256") or "",
            catalogue_key=env.get("LLM_CATALOGUE_KEY") or "",
            rate_limit_general=env.get("LLM_RATE_LIMIT_GENERAL") or "100 per 15 minutes",
            rate_limit_sensitive=env.get("LLM_RATE_LIMIT_SENSITIVE") or "10 per 5 minutes",
            rate_limit_provisioning=env.get("LLM_RATE_LIMIT_PROVISIONING") or "600 per 5 minutes",
            rate_limit_pages=env.get("LLM_RATE_LIMIT_PAGES") or "60 per 5 minutes",
            rate_limit_storage_url=storage_url(env.get("LLM_RATE_LIMIT_STORAGE_URL")),
            http_proxy=proxy_url(env.get("LLM_HTTP_PROXY")),
            no_proxy=entries(env.get("LLM_NO_PROXY")),
            public_url=(env.get("LLM_PUBLIC_URL") or "").strip(),
            spike_times=env.get("LLM_SPIKE_TIMES") or "3",
            spike_usd=env.get("LLM_SPIKE_USD") or "5",
            smtp_url=smtp_url(env.get("LLM_SMTP_URL")),
            smtp_from=(env.get("LLM_SMTP_FROM") or "").strip(),
            oidc_issuer=(env.get("LLM_OIDC_ISSUER") or "").strip(),
            oidc_client_id=(env.get("LLM_OIDC_CLIENT_ID") or "").strip(),
            oidc_client_secret=secret(code.strip())
            if (code := env.get("LLM_OIDC_CLIENT_SECRET", "")).strip()
            else None,
            oidc_name=env.get("LLM_OIDC_NAME") or "",
            oidc_scopes=env.get("LLM_OIDC_SCOPES") or "",
            oidc_groups_claim=env.get("LLM_OIDC_GROUPS_CLAIM") or "",
            oidc_admin_groups=env.get("LLM_OIDC_ADMIN_GROUPS") or "",
            oidc_analyst_groups=env.get("LLM_OIDC_ANALYST_GROUPS") or "",
            oidc_organization_groups=env.get("LLM_OIDC_ORGANIZATION_GROUPS") or "",
            oidc_only=env.get("LLM_OIDC_ONLY") or "",
        )

    @property
    def embedded(self) -> bool:
        """Whether this process uses the embedded PostgreSQL."""
        return self.database_url is None

    @property
    def key_file(self) -> Path:
        """Where an embedded installation keeps the encryption key it made."""
        return self.data_dir / "encryption.key"


def check_at_start(config: Config) -> None:
    """Check the lists of hosts, the proxy, the app's own address, the mail server, the days and the looks, which only a start of the app or of a command refuses.

    A service may need none of them: where it calls a vendor by the proxy, the call says what is wrong with it.

    Raises:
        BadConfig: If an entry of a list could fit no host, a URL cannot be read, LLM_LOG_DAYS is no number of days,
            LLM_MODEL_LOOKS is not ``daily``, LLM_AUDIT_LINES not ``stdout``, LLM_KEY_MAX_AGE_DAYS no number of days, LLM_REQUIRE_SECOND_FACTOR no list of roles, LLM_CLIENTS no number of clients, LLM_SPIKE_TIMES or LLM_SPIKE_USD none,
            or a variable of LLM_CATALOGUE_… is malformed.
    """
    log_days(config)
    most_clients(config)
    looks_daily(config)
    writes_audit_lines(config)
    key_max_age(config)
    second_factor_roles(config)
    catalogue_source(config)
    spike_limits(config)
    check_hosts("LLM_ALLOWED_HOSTS", config.allowed_hosts, as_networks=False, everything=False)
    check_hosts("LLM_PRIVATE_HOSTS", config.private_hosts, as_networks=True, everything=True)
    check_no_proxy(config.no_proxy)
    if config.http_proxy is not None:
        proxy_address(config.http_proxy)
    public_url(config.public_url)
    if config.smtp_url is not None:
        sender(config.smtp_from, smtp_server(config.smtp_url).user)


def choose_log_format(env: Mapping[str, str] = os.environ) -> None:
    """Have this process write its log as ``LLM_LOG_FORMAT`` says. For programs; a service's log is its own.

    Raises:
        BadConfig: If it says something else than ``text`` or ``json``.
    """
    form = no_comment("LLM_LOG_FORMAT", env.get("LLM_LOG_FORMAT")) or log_lines.FORMS[0]
    if form not in log_lines.FORMS:
        raise BadConfig(f"LLM_LOG_FORMAT must be {' or '.join(log_lines.FORMS)}.")
    log_lines.choose(form)


def log_days(config: Config) -> int | None:
    """Return for how many days the request log is kept; None: for ever.

    Raises:
        BadConfig: If LLM_LOG_DAYS is no whole number from 1 to 36500.
    """
    return days("LLM_LOG_DAYS", config.log_days)


def most_clients(config: Config) -> int:
    """Return how many clients of vendors are kept, for the calls of one event loop, or of all threads.

    Raises:
        BadConfig: If LLM_CLIENTS is no whole number from 1 to 10000.
    """
    return number("LLM_CLIENTS", config.clients, 10_000)


def spike_limits(config: Config) -> tuple[int, int]:
    """Return how many times the dearest same hour of four weeks an hour has to cost, and how many US dollars more, to be told as a spike.

    Raises:
        BadConfig: If LLM_SPIKE_TIMES is no whole number from 1 to 1000, or LLM_SPIKE_USD none from 1 to 1000000.
    """
    times = number("LLM_SPIKE_TIMES", config.spike_times, 1_000)
    return times, number("LLM_SPIKE_USD", config.spike_usd, 1_000_000)


def looks_daily(config: Config) -> bool:
    """Tell whether the app asks providers for their lists of models by itself, once a day.

    Raises:
        BadConfig: If LLM_MODEL_LOOKS is neither ``daily`` nor empty.
    """
    text = config.model_looks.strip()
    if text not in {"", "daily"}:
        raise BadConfig("LLM_MODEL_LOOKS must be daily; unset, the app asks no vendor by itself.")
    return text == "daily"


def writes_audit_lines(config: Config) -> bool:
    """Tell whether the app writes each event of the audit to standard output.

    Raises:
        BadConfig: If LLM_AUDIT_LINES is neither ``stdout`` nor empty.
    """
    said = config.audit_lines.strip()
    if said not in {"", "stdout"}:
        raise BadConfig("LLM_AUDIT_LINES must be stdout; unset, the audit is in the database alone.")
    return said == "stdout"


def key_max_age(config: Config) -> int | None:
    """Return from how many days on an API key is too old; None: never.

    Raises:
        BadConfig: If LLM_KEY_MAX_AGE_DAYS is no whole number from 1 to 3650.
    """
    said = config.key_max_age_days.strip()
    return number("LLM_KEY_MAX_AGE_DAYS", said, 3_650) if said else None


def second_factor_roles(config: Config) -> frozenset[str]:
    """Return the roles whose local users have to set up a second factor.

    Raises:
        BadConfig: If LLM_REQUIRE_SECOND_FACTOR has another word than admin, analyst or member.
    """
    roles = frozenset(part.strip() for part in config.require_second_factor.split(",") if part.strip())
    if not roles <= {"admin", "analyst", "member"}:
        raise BadConfig("LLM_REQUIRE_SECOND_FACTOR must be a comma list of admin, analyst and member.")
    return roles


class CatalogueSource(NamedTuple):
    """Where a newer catalogue of models is, and how it is known for the right one."""

    url: Secret | None
    sha256: bytes | None
    key: bytes | None


def catalogue_source(config: Config) -> CatalogueSource:
    """Return where a newer catalogue of models is got from.

    Raises:
        BadConfig: If the address, the digest or the key is malformed; never repeats it.
    """
    if config.catalogue_url is not None:
        check_file_address("LLM_CATALOGUE_URL", config.catalogue_url)
    sha256 = digest("LLM_CATALOGUE_SHA256", config.catalogue_sha256)
    return CatalogueSource(config.catalogue_url, sha256, public_key("LLM_CATALOGUE_KEY", config.catalogue_key))


@cache
def get_config() -> Config:
    """Return the configuration of this process, read on first use."""
    return Config.read()
