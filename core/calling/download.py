"""Getting a file from an address of the operator's: by the rules of :mod:`core.calling.dial`, up to a size, within one deadline."""

from typing import Final
from urllib.parse import urlsplit

from ..errors import BadConfig, Invalid
from ..extras import from_extra
from . import addresses

_AS: Final = "openai"
"""Whose rules hold for the host: a private one needs LLM_PRIVATE_HOSTS."""
_OK: Final = 200
_REDIRECTS: Final = range(300, 400)


def get(name: str, url: str, private_hosts: tuple[str, ...], *, largest: int, seconds: float) -> bytes:
    """Return what stands at *url*.

    Args:
        name: What the address is called in errors, which never repeat it: it may have a token in it.
        url: With http or https.
        private_hosts: What the operator allows, see ``Config.private_hosts``.
        largest: Bytes that are taken.
        seconds: For all of it: the look-up, connecting, each byte.

    Raises:
        Invalid: Names *name* and the reason: a host that may not be dialled, no connection, no file, too much, too late.
    """
    with from_extra():
        import httpx2  # noqa: PLC0415 - of an extra

        from . import dial  # noqa: PLC0415 - as above
        from .proxies import way_out  # noqa: PLC0415 - as above

    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or {"https": 443, "http": 80}[parts.scheme]
    try:
        way = way_out()
        is_proxied = way is not None and way.leads_to(host, port)
        addresses.check_host(host, _AS, private_hosts)
        pinned = () if is_proxied else addresses.check_addresses(host, _AS, private_hosts)
        with dial.client(pinned=None if is_proxied else lambda _host: pinned, largest=largest) as http:
            answer = http.get(url, timeout=seconds)
    except Invalid as error:
        raise Invalid({name: error.fields.get("api_base_url", str(error))}) from None
    except BadConfig as error:
        raise Invalid({name: str(error)}) from None
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        words = str(error) or f"no answer ({type(error).__name__})"
        raise Invalid({name: f"leads to nothing that can be read: {words}"}) from None
    if answer.status_code in _REDIRECTS:
        raise Invalid(
            {name: f"leads elsewhere (HTTP {answer.status_code}), which is not followed: name the last address"}
        )
    if answer.status_code != _OK:
        raise Invalid({name: f"has no file: HTTP {answer.status_code}"})
    return answer.content
