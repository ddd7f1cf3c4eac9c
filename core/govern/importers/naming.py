"""Addresses and names of other products, as they are here."""

import re
from urllib.parse import urlsplit

from ...kinds import KINDS, facts_of, kind_for
from ...store import base_urls


def mended(kind: str, url: str) -> str:
    """Return *url* as a base URL is typed here: without what the SDK adds; empty for the vendor's own."""
    url = base_urls.look(kind, url).correction or url.strip()
    own = facts_of(kind).base_url
    return "" if own and url.rstrip("/") == own.rstrip("/") else url


def slugged(name: str, more: str, longest: int) -> str:
    """Return *name* as a name of ours: small letters, digits, hyphens and *more*; empty where nothing is left."""
    plain = re.sub(rf"[^a-z0-9{re.escape(more)}]+", "-", name.lower())
    return plain.strip(f"-{more}")[:longest].strip(f"-{more}")


def host_of(url: str) -> str:
    """Return the host of *url*; empty if it is none."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def azure_name(host: str) -> str:
    """Return what the provider of a resource of Azure's is called."""
    return f"azure-{slugged(host.partition('.')[0], '_', 38)}"


def kind_at(url: str) -> str:
    """Return the kind of a server that speaks OpenAI's protocol at *url*; OpenAI's where it is empty."""
    found = KINDS[(kind_for("", url) if url else None) or "openai"]
    return found.name if found.sdk == "openai" else "openai_compatible"
