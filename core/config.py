"""What this process reads from its environment. Standard library only: the resolver imports it."""

import ipaddress
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Self
from urllib.parse import unquote, urlsplit

from .errors import BadConfig
from .redaction import Secret, remember

VARIABLES = {
    "DATABASE_URL": "PostgreSQL 15 or newer, as postgresql://user:password@host:5432/name. Unset: embedded PostgreSQL.",
    "LLM_DATA_DIR": "Folder of the embedded PostgreSQL and its encryption key. Default: .data",
    "LLM_SNAPSHOT_FILE": "Where a service keeps its last settings, without keys, for a start while the database is away. Default: nowhere.",
    "LLM_ENCRYPTION_KEY": "64 hex digits; seals and opens API keys. Make one: python -m core generate-key",
    "LLM_ENCRYPTION_KEYS_EXTRA": "Comma list of further keys that may open: the old ones, and the next one.",
    "LLM_ADMIN_PASSWORD": "Password of the first admin when there is no user yet.",
    "LLM_ADMIN_USERNAME": "Name of that first admin. Default: admin",
    "LLM_ALLOWED_HOSTS": "Comma list of host names that browsers may reach the app under, besides localhost and addresses.",
    "LLM_TRUSTED_PROXIES": "Comma list of addresses or networks whose X-Forwarded-For and -Proto count. Default: nobody's.",
    "LLM_RATE_LIMIT_GENERAL": "REST requests of one user, token or stranger's address. Default: 100 per 15 minutes",
    "LLM_RATE_LIMIT_SENSITIVE": "REST writes of one user or token. Default: 10 per 5 minutes",
    "LLM_RATE_LIMIT_PAGES": "Saves of one user on the pages. Default: 60 per 5 minutes",
    "LLM_RATE_LIMIT_STORAGE_URL": "Where several processes count together, as redis://host:6379. Default: memory://, each process by itself.",
    "LLM_PRIVATE_HOSTS": "Comma list of private host names, addresses or networks that any provider's base URL may name; * for all.",
}


@dataclass(frozen=True, slots=True)
class Config:
    """What this process reads from its environment; see :data:`VARIABLES`."""

    database_url: Secret | None
    data_dir: Path
    snapshot_file: Path | None
    encryption_key: Secret | None
    encryption_keys_extra: tuple[Secret, ...]
    admin_username: str
    admin_password: Secret | None
    allowed_hosts: tuple[str, ...]
    trusted_proxies: tuple[str, ...]
    private_hosts: tuple[str, ...]
    rate_limit_general: str
    rate_limit_sensitive: str
    rate_limit_pages: str
    rate_limit_storage_url: Secret

    @classmethod
    def read(cls, env: Mapping[str, str] = os.environ) -> Self:
        """Read *env*. Encryption keys and rate limits are checked where they are used: core.crypto, core.access.ratelimit.

        Raises:
            BadConfig: If ``DATABASE_URL`` does not name a PostgreSQL database, ``LLM_TRUSTED_PROXIES`` something that is
                no address, or a URL is malformed.
        """
        return cls(
            database_url=_database_url(env.get("DATABASE_URL")),
            data_dir=Path(env.get("LLM_DATA_DIR") or ".data").resolve(),
            snapshot_file=Path(name).absolute() if (name := env.get("LLM_SNAPSHOT_FILE")) else None,
            encryption_key=_secret(key) if (key := env.get("LLM_ENCRYPTION_KEY")) else None,
            encryption_keys_extra=tuple(
                map(_secret, filter(str.strip, env.get("LLM_ENCRYPTION_KEYS_EXTRA", "").split(",")))
            ),
            admin_username=env.get("LLM_ADMIN_USERNAME") or "admin",
            admin_password=_secret(password) if (password := env.get("LLM_ADMIN_PASSWORD")) else None,
            allowed_hosts=_list(env.get("LLM_ALLOWED_HOSTS")),
            trusted_proxies=_networks(env.get("LLM_TRUSTED_PROXIES")),
            private_hosts=_list(env.get("LLM_PRIVATE_HOSTS")),
            rate_limit_general=env.get("LLM_RATE_LIMIT_GENERAL") or "100 per 15 minutes",
            rate_limit_sensitive=env.get("LLM_RATE_LIMIT_SENSITIVE") or "10 per 5 minutes",
            rate_limit_pages=env.get("LLM_RATE_LIMIT_PAGES") or "60 per 5 minutes",
            rate_limit_storage_url=_storage_url(env.get("LLM_RATE_LIMIT_STORAGE_URL")),
        )

    @property
    def embedded(self) -> bool:
        """Whether this process uses the embedded PostgreSQL."""
        return self.database_url is None

    @property
    def key_file(self) -> Path:
        """Where an embedded installation keeps the encryption key it made."""
        return self.data_dir / "encryption.key"


def _list(raw: str | None) -> tuple[str, ...]:
    return tuple(part.strip().lower().rstrip(".") for part in (raw or "").split(",") if part.strip())


def _networks(raw: str | None) -> tuple[str, ...]:
    found = _list(raw)
    for text in found:
        try:
            ipaddress.ip_network(text, strict=False)
        except ValueError:
            raise BadConfig(
                f"LLM_TRUSTED_PROXIES has {text[:50]!r}; it takes addresses and networks, as 10.0.0.5,192.168.0.0/24"
            ) from None
    return found


def _secret(text: str) -> Secret:
    remember(text.strip(), for_good=True)
    return Secret(text)


def _database_url(raw: str | None) -> Secret | None:
    if raw is None or not raw.strip():
        return None
    url = raw.strip()
    scheme = url.split("://", 1)[0]
    if scheme not in {"postgresql", "postgres", "postgresql+psycopg"}:
        raise BadConfig(f"DATABASE_URL begins with {scheme[:20]!r}; PostgreSQL is the only database: postgresql://…")
    url = "postgresql" + url[len(scheme) :]
    with suppress(ValueError):  # which names a part of the URL: nothing is raised from it
        return _url_with_password(url)
    raise BadConfig("DATABASE_URL cannot be read: its port or host is malformed.")


def _storage_url(raw: str | None) -> Secret:
    with suppress(ValueError):  # as above
        return _url_with_password((raw or "").strip() or "memory://")
    raise BadConfig("LLM_RATE_LIMIT_STORAGE_URL cannot be read: its port or host is malformed.")


def _url_with_password(url: str) -> Secret:
    parts = urlsplit(url)
    parts.port  # noqa: B018 - reading it is what checks it
    for written in (parts.password or "", *re.findall(r"[?&]password=([^&#]*)", url)):
        remember(written, for_good=True)
        remember(unquote(written), for_good=True)
    return Secret(url)


def load_env_file(path: Path = Path(".env")) -> None:
    """Put the ``NAME=value`` lines of *path* into the environment, where not already set. Missing file: nothing.

    Only ``make run`` and ``python -m core`` call this; a service's environment is its own affair.
    """
    if path.is_file():
        for name, value in parse_env(path.read_text(encoding="utf-8")).items():
            os.environ.setdefault(name, value)


def parse_env(text: str) -> dict[str, str]:
    """Read the lines ``NAME=value`` of a ``.env`` file: ``export``, quotes and comments are understood."""
    found: dict[str, str] = {}
    for line in text.removeprefix("\ufeff").splitlines():
        name, equals, value = line.strip().removeprefix("export ").partition("=")
        name, value = name.strip(), value.strip()
        if not equals or not name.isidentifier():
            continue
        if value[:1] in {"'", '"'} and (end := value.find(value[0], 1)) > 0:
            value = value[1:end]
        else:
            value = value.split(" #", 1)[0].strip()
        found[name] = value
    return found


@cache
def get_config() -> Config:
    """Return the configuration of this process, read on first use."""
    return Config.read()
