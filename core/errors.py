"""What can go wrong, in words for people. The edges (pages, command line, REST) turn each into their own form.

Every class here crosses to another process, whatever carries it: its ``args`` are what it was made with, in order, and
plain enough for JSON; so ``type(error)(*error.args)`` is the error again. That is how pickle, copy and Celery make it.
"""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any, ClassVar, Final, Literal

Reason = Literal[
    "refused",
    "key",
    "model",
    "quota",
    "rate_limit",
    "busy",
    "timeout",
    "connection",
    "tls",
    "unacceptable",
    "not_understood",
]
"""Why a call has failed; see docs/calls.md."""


class CoreError(Exception):
    """Base of every error this package raises on purpose; never raised itself.

    Args:
        text: What it says to people.
        made_with: The arguments of a subclass that makes the text itself, all of them, as it takes them by position.
    """

    code: ClassVar[str] = "ERROR"

    def __init__(self, text: str = "", *, made_with: tuple[Any, ...] | None = None) -> None:
        super().__init__(*((text,) if made_with is None else made_with))
        self._text = text

    def __str__(self) -> str:
        return self._text


def _in_words(seconds: int) -> str:
    return f"{seconds} seconds" if seconds < 100 else f"{round(seconds / 60)} minutes"  # noqa: PLR2004 - reads well


class Invalid(CoreError):
    """Input that breaks a rule.

    Attributes:
        fields: Name of each field at fault -> the rule it breaks. Never the value: it may be a secret.
    """

    code = "VALIDATION_ERROR"

    def __init__(self, fields: Mapping[str, str]) -> None:
        super().__init__("; ".join(f"{name}: {rule}" for name, rule in fields.items()), made_with=(dict(fields),))
        self.fields = dict(fields)


class NotFound(CoreError):
    """Something that does not exist, or no longer does."""

    code = "NOT_FOUND"

    def __init__(self, kind: str, key: object) -> None:
        text = f"There is no {kind} {key!r}. It may have been deleted; reload to see what is there now."
        super().__init__(text, made_with=(kind, key))
        self.kind, self.key = kind, key


class Gone(CoreError):
    """Something of the past that is not kept any more, or was before anything was kept."""

    code = "GONE"


class AlreadyExists(CoreError):
    """A name that is taken."""

    code = "ALREADY_EXISTS"

    def __init__(self, kind: str, key: str, field: str = "name") -> None:
        other = field.replace("_", " ").removesuffix("s")
        article = "an" if kind[:1] in "aeio" else "a"  # a user
        text = f"There is already {article} {kind} {key!r}. Choose another {other}, or edit that one."
        super().__init__(text, made_with=(kind, key, field))
        self.kind, self.key, self.field = kind, key, field


class Conflict(CoreError):
    """A write based on a version that somebody has changed since.

    Attributes:
        version: The version that is stored now.
        changed_by: Who stored it.
        changed_at: When, ISO 8601, or None.
        changes: Field -> (what is stored now, what was about to be written), where they differ.
    """

    code = "CONFLICT"

    def __init__(
        self,
        kind: str,
        version: int,
        changed_by: str | None,
        changed_at: str | None,
        changes: Mapping[str, tuple[Any, Any]],
    ) -> None:
        who = changed_by or "somebody"
        text = f"This {kind} was changed by {who} while you were editing. Choose which values to keep."
        self.changes = {name: (stored, written) for name, (stored, written) in changes.items()}
        super().__init__(text, made_with=(kind, version, changed_by, changed_at, self.changes))
        self.kind, self.version, self.changed_by, self.changed_at = kind, version, changed_by, changed_at


class Forbidden(CoreError):
    """The actor may not do this."""

    code = "FORBIDDEN"

    def __init__(self, message: str = "Admin access required") -> None:
        super().__init__(message)


class PasswordChangeNeeded(Forbidden):
    """The actor has to choose a password of their own before anything else."""

    code = "PASSWORD_CHANGE_NEEDED"

    def __init__(self) -> None:
        text = "Choose a new password first: the one you signed in with was only for the first time."
        CoreError.__init__(self, text, made_with=())


class SecondFactorNeeded(Forbidden):
    """The actor has to set up a second factor before anything else."""

    code = "SECOND_FACTOR_NEEDED"

    def __init__(self) -> None:
        text = "Set up a second factor first: your role needs one here."
        CoreError.__init__(self, text, made_with=())


class TooManyAttempts(CoreError):
    """Too many wrong passwords.

    Attributes:
        retry_after: Seconds until the next try is looked at.
    """

    code = "TOO_MANY_ATTEMPTS"

    def __init__(self, retry_after: int) -> None:
        super().__init__(f"Too many tries. Wait {_in_words(retry_after)}, then try again.", made_with=(retry_after,))
        self.retry_after = retry_after


class TooManyRequests(CoreError):
    """An actor has used up a rate limit.

    Attributes:
        limit: What was counted, as ``10 per 5 minutes``.
        retry_after: Seconds until the next one is let through.
    """

    code = "TOO_MANY_REQUESTS"

    def __init__(self, limit: str, retry_after: int) -> None:
        text = f"More than {limit}. Wait {_in_words(retry_after)}, then try again; nothing was changed."
        super().__init__(text, made_with=(limit, retry_after))
        self.limit, self.retry_after = limit, retry_after


class Sealed(CoreError):
    """A key cannot be sealed because this process has no encryption key."""

    code = "SEALED"

    def __init__(self) -> None:
        super().__init__(
            "API keys cannot be stored: LLM_ENCRYPTION_KEY is not set. "
            "Make one with `python -m core generate-key`, set it for every process, and restart.",
            made_with=(),
        )


class WrongEncryptionKey(Sealed):
    """This process's encryption key is not one that the database was used with, nor is any other of its ring.

    Args:
        primary: The id of this process's key.
        known: Ids of the keys that the database was used with.
        kept_in: Where this process's key comes from: a variable, or the file of an embedded store.
    """

    code = "WRONG_ENCRYPTION_KEY"

    def __init__(self, primary: str, known: Iterable[str], kept_in: str = "LLM_ENCRYPTION_KEY") -> None:
        known = list(known)
        cure = "Set the right key" if kept_in.isupper() else f"Put back the {kept_in} with that id"
        CoreError.__init__(
            self,
            f"{kept_in} ({primary}) is not the key this database was used with (known: {', '.join(known)}). "
            f"Stored API keys cannot be opened, and none is stored, so that services do not end up with two keys. {cure}, "
            "or add it to LLM_ENCRYPTION_KEYS_EXTRA, and restart. If it is lost: "
            "`python -m core keys rotate --old-key-lost`.",
            made_with=(primary, known, kept_in),
        )


class EncryptionKeyMissing(Sealed):
    """This process has no encryption key, and what other processes, or this one before, have sealed is there.

    Args:
        known: Ids of the keys that the database was used with.
        kept_in: Where the key should be: a variable, or the file of an embedded store.
    """

    code = "ENCRYPTION_KEY_MISSING"

    def __init__(self, known: Iterable[str], kept_in: str = "LLM_ENCRYPTION_KEY") -> None:
        known = list(known)
        ids = " or ".join(known)
        cure = f"{kept_in} is not set: set the one with id {ids} for every process, and restart."
        anew = "set the output of `python -m core generate-key` for every process"
        if not kept_in.isupper():
            cure = f"{kept_in} is missing: put back the one with id {ids} into the data folder, and restart."
            anew = f"write the output of `python -m core generate-key` into {kept_in}"
        CoreError.__init__(
            self,
            f"{cure} Until then API keys can be neither opened nor stored; all else works. No new key was made, for it would "
            f"open none of them. If it is lost for good: {anew}, and run `python -m core keys rotate --old-key-lost`.",
            made_with=(known, kept_in),
        )


class OutdatedEncryptionKey(Sealed):
    """This process's encryption key was replaced by one that it does not have."""

    code = "OUTDATED_ENCRYPTION_KEY"

    def __init__(self, primary: str, newer: Iterable[str]) -> None:
        newer = list(newer)
        CoreError.__init__(
            self,
            f"LLM_ENCRYPTION_KEY ({primary}) is not the newest key of this database: API keys are sealed with "
            f"{', '.join(newer)}, which this process does not have. It can open what {primary} sealed, and stores no API "
            "key, so that nothing new is sealed with a key that others may have put away. Make the newest key "
            "LLM_ENCRYPTION_KEY, or add it to LLM_ENCRYPTION_KEYS_EXTRA, and restart. If it is lost: "
            "`python -m core keys rotate --old-key-lost`.",
            made_with=(primary, newer),
        )


class ProcessesLackKey(CoreError):
    """A rotation that would take all API keys from processes that run.

    Attributes:
        processes: Each in words.
    """

    code = "PROCESSES_LACK_KEY"

    def __init__(self, key_id: str, processes: Iterable[str], rows: int) -> None:
        processes = list(processes)
        many = len(processes) != 1
        super().__init__(
            f"Not rotated: {'these processes are' if many else 'this process is'} connected and {'lack' if many else 'lacks'} "
            f"encryption key {key_id}, or {'do' if many else 'does'} not say whether {'they have' if many else 'it has'} the key: {'; '.join(processes)}. "
            f"{'Each' if many else 'It'} would lose {rows} API key{'' if rows == 1 else 's'} within a second. Put {key_id} into "
            "LLM_ENCRYPTION_KEYS_EXTRA there and restart, then rotate. Or give up what they read: `keys rotate --force`.",
            made_with=(key_id, processes, rows),
        )
        self.processes = processes


class BadConfig(CoreError):
    """The environment of this process is wrong."""

    code = "BAD_CONFIG"


class BadKey(BadConfig):
    """An encryption key in the environment is malformed."""

    code = "BAD_ENCRYPTION_KEY"


Unreadable = Literal["unknown_key", "damaged", "moved", "unbound", "sealed"]
"""Why a stored key cannot be opened."""
Unavailable = Literal[
    "store_unavailable",
    "unknown_provider",
    "no_provider",
    "unknown_organization",
    "organization_disabled",
    "disabled",
    "not_allowed",
    "no_model",
    "no_key",
    "key_unreadable",
]
"""Why settings have no key that can be served; of several the first is named."""


class KeyUnreadable(CoreError):
    """A stored API key cannot be opened.

    Attributes:
        reason: Why.
    """

    code = "KEY_UNREADABLE"

    def __init__(self, reason: Unreadable, message: str) -> None:
        super().__init__(message, made_with=(reason, message))
        self.reason = reason


class ApiKeyUnavailable(CoreError):
    """``api_key()`` was asked for a key that cannot be served.

    Attributes:
        provider: The name that was resolved.
        status: Why, as in ``EffectiveSettings.status``.
    """

    code = "API_KEY_UNAVAILABLE"

    def __init__(self, provider: str, status: Unavailable, cure: str) -> None:
        super().__init__(f"No API key for provider {provider!r} ({status}): {cure}", made_with=(provider, status, cure))
        self.provider, self.status = provider, status


class ProviderMissing(ApiKeyUnavailable):
    """There is no provider of that name."""


class NoProvider(ApiKeyUnavailable):
    """No provider was named, and none is the default."""


class OrganizationMissing(ApiKeyUnavailable):
    """There is no organisation of that name."""


class OrganizationInactive(ApiKeyUnavailable):
    """The organisation is not active."""


class ProviderInactive(ApiKeyUnavailable):
    """The provider is not active."""


class ProviderNotAllowed(ApiKeyUnavailable):
    """The organisation may not use the provider."""


class ModelMissing(ApiKeyUnavailable):
    """No model is chosen."""


class KeyMissing(ApiKeyUnavailable):
    """No key is stored."""


class KeyNotReadable(ApiKeyUnavailable):
    """The stored key cannot be opened."""


class KeyOutOfReach(ApiKeyUnavailable):
    """The database, which alone has the key, is out of reach."""


class CallFailed(CoreError):
    """A call to a model has failed, after all attempts that were worth it.

    Attributes:
        provider: The provider's name.
        model: The model asked for.
        reason: ``key``, ``model``, ``refused``, ``quota``, ``rate_limit``, ``busy``, ``timeout``, ``connection``, ``tls``,
            ``unacceptable`` or ``not_understood``; see docs/calls.md.
        status: Of HTTP; None without an answer.
        words: The vendor's own, scrubbed.
        attempts: How many were made.
        retry_after: Seconds that the vendor asks to wait, or None.
    """

    code = "CALL_FAILED"

    def __init__(  # noqa: PLR0917 - by position they are pickled; callers name them
        self,
        provider: str,
        model: str,
        reason: Reason,
        status: int | None,
        words: str,
        attempts: int,
        retry_after: float | None = None,
    ) -> None:
        reply = f"{status}: {words}" if status else words
        tries = f"{attempts} attempts" if attempts != 1 else "1 attempt"
        text = f"The call to {model} of provider {provider!r} failed ({reason}, {tries}): {reply}"
        super().__init__(text, made_with=(provider, model, reason, status, words, attempts, retry_after))
        self.provider, self.model, self.reason, self.status = provider, model, reason, status
        self.words, self.attempts, self.retry_after = words, attempts, retry_after


BudgetReason = Literal["spent", "held", "unpriced", "store_unavailable"]
"""Why a budget does not let a call through."""


class PersonalData(CoreError):
    """Personal data that settings do not let through, or a text of which nobody can say whether it has some.

    Attributes:
        provider: Its name.
        counts: How many values of each type were found; empty: the text could not be searched. Never a value.
        where: ``prompt``: nothing was sent; ``answer``: it came, and is not given on.
    """

    code = "PERSONAL_DATA"

    def __init__(self, provider: str, counts: Mapping[str, int], where: str = "prompt", why: str = "") -> None:
        begins = "Nothing was sent to" if where == "prompt" else "An answer is not given on of"
        found = ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items()))
        if found:
            text = f"it has personal data ({found}), which settings refuse. Take it out, or have an admin let it be masked."
        else:
            text = f"its text could not be searched for personal data ({why}). An admin can choose another engine, or that such is sent."
        super().__init__(f"{begins} provider {provider!r}: {text}", made_with=(provider, dict(counts), where, why))
        self.provider, self.counts, self.where = provider, dict(counts), where


class BudgetExceeded(CoreError):
    """A hard budget does not let a call through: nothing was sent.

    Attributes:
        budget: Its name.
        reason: ``spent``; ``held``: the rest is reserved by calls under way; ``unpriced``: nobody knows what the call would
            cost; ``store_unavailable``: nobody can be asked what is left.
        limit: US dollars that may be spent in the period, top-ups among them; None: not known.
        spent: What of it is spent.
        needed: What the call may cost at most; None: not known.
        retry_after: Seconds after which it may be worth another try, or None.
        period_ends_at: ISO 8601; None: never, or not known.
    """

    code = "BUDGET_EXCEEDED"

    def __init__(  # noqa: PLR0917 - by position they are pickled; callers name them
        self,
        budget: str,
        reason: BudgetReason,
        limit: str | None = None,
        spent: str | None = None,
        needed: str | None = None,
        retry_after: float | None = None,
        period_ends_at: str | None = None,
        ends_there: str | None = None,
        why: str = "",
    ) -> None:
        cost = f"this call may cost up to {_dollars(needed)}"
        if reason == "spent":
            again = f"It begins anew on {ends_there}" if ends_there else "It does not begin anew"
            text = f"is spent: {_dollars(spent)} of {_dollars(limit)}, and {cost}. {again}; an admin can top it up."
        elif reason == "held":
            text = (
                f"has no room now: {_dollars(spent)} of {_dollars(limit)} are spent, the rest is reserved by calls under way, "
                f"and {cost}. Try again in {retry_after or 0} seconds."
            )
        elif reason == "unpriced":
            text = (
                f"refuses this call: nobody knows the price of {why}. An admin can enter it as a fact of the model, or have the "
                "budget count calls without a price."
            )
        else:
            text = f"cannot be asked, and lets nothing through meanwhile: {why}."
        made_with = (budget, reason, limit, spent, needed, retry_after, period_ends_at, ends_there, why)
        super().__init__(f"Budget {budget!r} {text}", made_with=made_with)
        self.budget, self.reason, self.retry_after, self.period_ends_at = budget, reason, retry_after, period_ends_at
        self.limit, self.spent, self.needed = (
            None if each is None else Decimal(each) for each in (limit, spent, needed)
        )


_FULL: Final[Mapping[str, str]] = {
    "requests_per_minute": "its {:,} requests a minute are used up",
    "tokens_per_minute": "its {:,} tokens a minute are used up",
    "max_concurrent": "all its {:,} calls at once are under way",
}


class RateLimited(CoreError):
    """A rate limit on calls has no room for a call, and it would have to wait too long: nothing was sent.

    Attributes:
        limit: The name of the rate limit.
        retry_after: Seconds after which it may be worth another try.
        by: ``us``: a rate limit that admins have set. What a vendor refuses is CallFailed.
        figure: ``requests_per_minute``, ``tokens_per_minute`` or ``max_concurrent``.
        most: What the rate limit allows of it.
    """

    code = "RATE_LIMITED"

    def __init__(self, limit: str, retry_after: float, by: str = "us", figure: str = "", most: int = 0) -> None:
        why = _FULL[figure].format(most) if figure in _FULL else "it is used up"
        again = f"Try again in {retry_after:.2f} seconds"
        super().__init__(
            f"Rate limit {limit!r} lets no call through now: {why}. {again}; nothing was sent.",
            made_with=(limit, retry_after, by, figure, most),
        )
        self.limit, self.retry_after, self.by, self.figure, self.most = limit, retry_after, by, figure, most


def _dollars(amount: str | None) -> str:
    """Return an amount for people: cents, and where it is less than that its first two digits."""
    if amount is None:
        return "an unknown amount"
    value = Decimal(amount)
    places = 2 if not value or abs(value) >= Decimal("0.01") else min(10, 1 - value.adjusted())
    return f"{'-' if value < 0 else ''}${abs(value):,.{places}f}"


class MissingExtra(CoreError, ImportError):
    """A package is not installed that an extra of the wheel brings.

    Attributes:
        package: Its import name.
        extra: The extra's name.
    """

    code = "MISSING_EXTRA"

    def __init__(self, package: str, extra: str) -> None:
        text = f"The package {package} is missing: pip install 'llm-settings[{extra}]'"
        super().__init__(text, made_with=(package, extra))
        self.package, self.extra = package, extra


class UnknownKind(CoreError):
    """A provider of a kind that this version does not know: the database is of a newer one."""

    code = "UNKNOWN_KIND"

    def __init__(self, kind: str) -> None:
        text = f"This version does not know the kind {kind!r}: upgrade llm-settings in this service."
        super().__init__(text, made_with=(kind,))
        self.kind = kind


class StoreUnavailable(CoreError):
    """The database cannot be reached, or does not answer in time."""

    code = "STORE_UNAVAILABLE"


class SchemaMismatch(StoreUnavailable):
    """The database's schema, or the server itself, is not what this version needs."""

    code = "SCHEMA_MISMATCH"
