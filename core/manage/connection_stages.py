"""The stages of a connection test: what is tested, how each stage is tried, and what it found out.

It dials the addresses that it looked up and checked, and no other.
"""

import socket
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final
from urllib.parse import SplitResult, urlsplit

from .. import redaction
from ..calling import addresses, failures, listed, sent
from ..calling.adapters import adapter_of
from ..calling.failures import Failure
from ..calling.lookup import lookups
from ..calling.vendors import Sending, Vendor
from ..config import get_config
from ..errors import BadConfig, Invalid, MissingExtra
from ..extras import from_extra
from ..kinds import facts_of
from ..resolving.effective import NOT_NEEDED
from ..resolving.words import changes_text
from ..store import base_urls
from ..wording import counted
from .connection_report import STAGES, Report, Stage, StageName, StageState, Tested

LONGEST: Final = 10.0
"""Seconds of a whole test."""
MOST_MODELS: Final = 5_000
LARGEST: Final = 4 * 1024 * 1024
"""Bytes of one answer."""
_PROMPT: Final = [{"role": "user", "content": "Reply with the word OK."}]
_ANSWER: Final = 80
"""Characters of the model's answer that are shown."""
_WORDS: Final = 2_000
_ID: Final = 1_000
"""Characters of a stage's words, and of a model's id, that are passed on."""
_PASSING: Final = frozenset({"rate_limit", "busy", "timeout", "connection"})
"""Reasons that do not tell whether the provider works."""


def run(target: Tested, resolver: addresses.NameLookup = socket.getaddrinfo) -> Report:
    """Test *target*, in at most ten seconds or little more; never raises for what the other side does.

    Args:
        target: What :func:`prepare` returned.
        resolver: Looks the host up.
    """
    for secret in (target.key or "", *target.carried.secrets):
        if secret != NOT_NEEDED:
            redaction.remember(secret)
    return _Test(target, resolver).run()


def _holds_no_secret(value: Any) -> bool:
    """Return whether nothing secret stands in a name or a fact: a server may echo the key that it was sent."""
    return not isinstance(value, str) or redaction.on_one_line(value, _ID) == value


class _Clock:
    """The time of one stage."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    def ms(self) -> int:
        return round((time.monotonic() - self._began) * 1000)


class _Test:
    """One test, stage by stage; what each found out is in ``_done``."""

    def __init__(self, target: Tested, resolver: addresses.NameLookup) -> None:
        self._target, self._resolver = target, resolver
        self._ends = time.monotonic() + LONGEST
        self._done: dict[StageName, Stage] = {}
        self._models: tuple[str, ...] | None = None
        self._facts: Mapping[str, Mapping[str, Any]] = {}
        self._list_is_missing = False
        self._is_proxied = False

    def run(self) -> Report:
        url = urlsplit(self._target.base_url)
        try:
            self._is_proxied = self._leads_to_proxy(url)
        except BadConfig as error:
            self._note("name", "not_checked", str(error))
        else:
            pinned = self._by_name(url) if self._is_proxied else self._reach()
            if pinned:
                self._ask(pinned)
        stages = tuple(self._done.get(name, Stage(name, "not_checked", None, "")) for name in STAGES)
        if not self._models:  # not got, or empty as of some gateways: no model is gone for that
            return Report(stages, self._models, (), ())
        known, theirs = set(map(bare, self._target.models)), set(map(bare, self._models))
        new = tuple(model for model in self._models if bare(model) not in known)
        gone = tuple(m for m in self._target.models if bare(m) not in theirs)
        return Report(stages, self._models, new, gone, self._facts)

    def _leads_to_proxy(self, url: SplitResult) -> bool:
        try:
            with from_extra(facts_of(self._target.kind).extra):
                from ..calling.proxies import way_out  # noqa: PLC0415 - needs the extra `ai`
        except MissingExtra:  # told when the vendor is asked
            return False
        way = way_out()
        return way is not None and way.leads_to(url.hostname or "", url.port or _PORTS[url.scheme])

    def _by_name(self, url: SplitResult) -> tuple[str, ...]:
        """Judge the name that a proxy is asked for; what the proxy looks up and dials is its own."""
        self._note("name", "not_checked", "the proxy of LLM_HTTP_PROXY looks it up")
        clock = _Clock()
        try:
            addresses.check_host(url.hostname or "", self._target.kind, get_config().private_hosts)
        except Invalid as error:
            self._note("address", "refused", error.fields.get("api_base_url", str(error)), clock)
            return ()
        self._note("address", "verified", "by its name, which the proxy of LLM_HTTP_PROXY is asked for", clock)
        return (url.hostname or "",)

    def _passed_proxy(self, failure: Failure | None, clock: _Clock) -> bool:
        """Note what the first request by a proxy says of the way to the vendor; return whether there is one."""
        if not self._is_proxied or "connected" in self._done:
            return True
        reason = None if failure is None else failure.reason
        words = "" if failure is None else failure.words
        if reason in {"connection", "timeout", "unacceptable"} and (failure is None or failure.status is None):
            self._note("connected", "not_checked" if reason == "timeout" else "refused", words, clock)
            return False
        self._note("connected", "verified", "through the proxy of LLM_HTTP_PROXY", clock)
        if urlsplit(self._target.base_url).scheme != "https":
            self._note("tls", "not_checked", self._unencrypted())
        elif reason == "tls":
            self._note("tls", "refused", words, clock)
            return False
        else:
            self._note("tls", "verified", "")
        return True

    def _reach(self) -> tuple[str, ...]:
        """Look up, judge, connect and shake hands; return the addresses that this and all that follows may dial."""
        url = urlsplit(self._target.base_url)
        host = url.hostname or ""
        pinned = self._look_up(host)
        if not pinned:
            return ()
        clock = _Clock()
        try:
            connection = self._connect(pinned, url)
        except OSError as error:
            self._note("connected", "refused", f"no connection: {error.strerror or error}", clock)
            return ()
        with connection:
            self._note("connected", "verified", "", clock)
            if url.scheme != "https":
                self._note("tls", "not_checked", self._unencrypted())
                return pinned
            return pinned if self._start_tls(connection, host) else ()

    def _unencrypted(self) -> str:
        what = "the key" if self._target.needs_key else "what is asked"
        return f"the base URL begins with http: {what} is sent unencrypted"

    def _start_tls(self, connection: socket.socket, host: str) -> bool:
        clock = _Clock()
        try:
            with from_extra(facts_of(self._target.kind).extra):
                from ..calling import dial  # noqa: PLC0415 - the same trust as the calls have

            connection.settimeout(self._left())
            with dial.tls().wrap_socket(connection, server_hostname=host) as secured:
                self._note("tls", "verified", secured.version() or "", clock)
        except (BadConfig, MissingExtra) as error:
            self._note("tls", "not_checked", str(error), clock)
        except OSError as error:  # ssl.SSLError is one
            words = getattr(error, "verify_message", "")
            words = f"{words}{failures.OWN_AUTHORITY}" if words else error.strerror or str(error)
            self._note("tls", "refused", words, clock)
        return self._is_verified("tls")

    def _look_up(self, host: str) -> tuple[str, ...]:
        was_asked = False

        def look_up(*args: Any, **kwargs: Any) -> Iterable[Any]:
            nonlocal was_asked
            was_asked = True
            # in a thread, as the system's look-up has no timeout; TimeoutError is an OSError
            running = lookups.begin(("test", self._resolver, args), lambda: list(self._resolver(*args, **kwargs)))
            return running.result(self._left())

        clock = _Clock()
        try:
            pinned = addresses.check_addresses(host, self._target.kind, get_config().private_hosts, look_up)
        except addresses.HostNotFound:
            words = "its name leads to no address: check the spelling, and this machine's DNS"
            self._note("name", "refused", words, clock)
            return ()
        except Invalid as error:
            if was_asked:
                self._note("name", "verified", "", clock)
            self._note("address", "refused", error.fields.get("api_base_url", str(error)), clock)
            return ()
        self._note("name", "verified", "" if was_asked else "an address: there is nothing to look up", clock)
        self._note("address", "verified", ", ".join(pinned), clock)
        return pinned

    def _connect(self, pinned: Sequence[str], url: SplitResult) -> socket.socket:
        port = url.port or _PORTS[url.scheme]
        tried: OSError = OSError("no address")
        for address in pinned:
            try:
                return socket.create_connection((address, port), self._left())
            except OSError as error:
                tried = error
        raise tried

    def _ask(self, pinned: tuple[str, ...]) -> None:
        """Ask the vendor: for its models, and for one answer."""
        target = self._target
        if target.key is None:
            self._note("key", "not_checked", target.key_problem)
            return
        try:
            with from_extra(facts_of(target.kind).extra):
                from ..calling import dial  # noqa: PLC0415 - needs the extra `ai`

            vendor = adapter_of(target.kind)
            with dial.client(pinned=lambda _host: pinned, largest=LARGEST) as http:
                # an SDK may send more than one request for a list: none begins after the end of the test
                http.event_hooks["request"].append(lambda _request: self._left())
                client = vendor.client(target.key, target.base_url, http, is_async=False, carried=target.carried)
                if self._lists(vendor, client) and not target.list_only:
                    self._call(vendor, client)
        except (BadConfig, MissingExtra) as error:
            self._note("key", "not_checked", str(error))

    def _lists(self, vendor: Vendor, client: Any) -> bool:
        """Get the vendor's list of models; return False where the vendor's answer leaves no sense in a call."""
        if not facts_of(self._target.kind).lists_models:
            words = "an API key gets no list of deployments there: the call shows whether it is accepted"
            self._note("key", "not_checked", words)
            self._list_is_missing = True
            return True
        clock = _Clock()
        try:
            found = listed.read(vendor.models(client, self._left()), own_limit=self._target.kind == "anthropic")
        except MissingExtra:
            raise
        except Exception as error:  # noqa: BLE001 - judged
            failure = failures.judge(vendor, error)
            if not self._passed_proxy(failure, clock):
                return False
            if failure.status == _UNAUTHORIZED or failure.reason in {"unacceptable", "tls"} or _redirects(failure):
                self._note("key", "refused", self._of_key(failure), clock)
                return False
            self._list_is_missing = failure.status == _NOT_FOUND
            self._note("key", "not_checked", f"the list of models: {_in_words(failure)}", clock)
            return True
        self._passed_proxy(None, clock)
        self._models = tuple(dict.fromkeys(redaction.on_one_line(each.name, _ID) for each in found[:MOST_MODELS]))
        self._facts = {
            each.name: each.facts
            for each in found[:MOST_MODELS]
            if each.facts and all(map(_holds_no_secret, (each.name, *each.facts.values())))
        }
        number = len(self._models)
        listing = f"{counted(number, 'model')} {'is' if number == 1 else 'are'} listed"
        self._note("key", "verified", listing if self._target.needs_key else f"none is needed: {listing}", clock)
        if self._target.model is not None and bare(self._target.model) in map(bare, self._models):
            self._note("model", "verified", f"{self._target.model} is in the vendor's list")
        elif self._target.model is not None:
            self._note("model", "not_checked", f"{self._target.model} is not in the vendor's list")
        return True

    def _call(self, vendor: Vendor, client: Any) -> None:
        target = self._target
        if target.model is None:
            self._note("model", "not_checked", "no model is chosen")
            return
        values, changed = sent.parameters(target.settings, model=target.model)
        clock = _Clock()
        try:
            content = vendor.translate(_PROMPT)
            part = vendor.read(vendor.send(client, Sending(target.model, content, values, self._left())))
        except Exception as error:  # noqa: BLE001 - judged
            failure = failures.judge(vendor, error)
            if not self._passed_proxy(failure, clock):
                return
            words = _in_words(failure)
            if self._nothing_is_there(failure):
                meant = base_urls.hint(target.kind, target.base_url)
                cure = f"The base URL is probably {meant}" if meant else "Check the path of the base URL"
                self._note("model", "not_checked", "nothing was found at the base URL")
                what = (
                    "Neither a list of models nor the model" if facts_of(target.kind).lists_models else "No deployment"
                )
                words = f"{words}. {what} is at this address: {cure}"
            elif failure.reason == "key":
                self._note("key", "refused", self._of_key(failure), clock)
            elif failure.reason == "model":
                self._note("model", "refused", words, clock)
            self._note("call", "not_checked" if failure.reason in _PASSING else "refused", words, clock)
            return
        self._passed_proxy(None, clock)
        answer = " ".join(part.text.split())
        words = f"answered “{redaction.shortened(answer, _ANSWER)}”" if answer else "answered"
        if changes := changes_text(changed):
            words = f"{words}. {changes}"
        self._note("call", "verified", words, clock)
        if not self._is_verified("key"):
            self._note("key", "verified", "the call was answered" if target.needs_key else "none is needed")
        if not self._is_verified("model"):
            self._note("model", "verified", f"{target.model} has answered")

    def _of_key(self, failure: Failure) -> str:
        """Return a refusal in words, with the cure where no key was sent."""
        words = _in_words(failure)
        if self._target.needs_key or failure.status != _UNAUTHORIZED:
            return words
        return f"{words}. This server wants a key: switch on that the provider needs one, and enter it"

    def _nothing_is_there(self, failure: Failure) -> bool:
        """Return whether it is the address that is wrong: list and call are both missing, and no word is about the model."""
        about = {"model", "deployment", (self._target.model or "model").lower()}
        is_about_model = any(word in failure.words.lower() for word in about)
        return self._list_is_missing and failure.status == _NOT_FOUND and not is_about_model

    def _is_verified(self, name: StageName) -> bool:
        return name in self._done and self._done[name].state == "verified"

    def _note(self, name: StageName, state: StageState, words: str, clock: _Clock | None = None) -> None:
        """Note what a stage found out; without *clock* nothing was tried for it."""
        self._done[name] = Stage(
            name, state, None if clock is None else clock.ms(), redaction.on_one_line(words, _WORDS)
        )

    def _left(self) -> float:
        left = self._ends - time.monotonic()
        if left <= 0:
            raise TimeoutError(f"not done within {LONGEST:.0f} seconds")
        return left


_PORTS: Final = {"https": 443, "http": 80}
_UNAUTHORIZED: Final = 401
_NOT_FOUND: Final = 404


def bare(model: str) -> str:
    """Return a model's name as it is called: Google lists ``models/NAME``, for its own protocol and OpenAI's alike."""
    return model.removeprefix("models/")


def _redirects(failure: Failure) -> bool:
    return failure.status is not None and 300 <= failure.status < 400  # noqa: PLR2004 - of HTTP


def _in_words(failure: Failure) -> str:
    return f"{failure.status}: {failure.words}" if failure.status else failure.words
