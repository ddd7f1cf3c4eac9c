"""Models in use that their vendor takes away: which, when, who uses them, and what comes after."""

from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final, Literal, NamedTuple

from sqlalchemy import func, select
from sqlmodel import Session, col
from sqlmodel import select as select_rows

from ..access.authority import require
from ..actors import Actor
from ..manage import knowledge
from ..models.apis import APIS, api_of, host_of
from ..models.facts import ModelFacts, Price
from ..models.knowledge import Knowledge
from ..models.words import price_of
from ..store.records import LlmUsage
from ..store.tables import LlmProvider, LlmSettings

QUIET_DAYS: Final = 180
"""An end that is further away is no news yet."""
CALLS_OF: Final = timedelta(days=30)

_USAGE: Any = getattr(LlmUsage, "__table__")  # noqa: B009 - SQLModel does not declare it


SOON_DAYS: Final = 30
"""An end that is this near is urgent."""
NOTICES: Final = (90, SOON_DAYS, 7)
"""Days before an end from which on Health speaks of it, each time more urgently."""

Tier = Literal["legacy", "announced", "soon", "retired", "overdue"]
"""Of a model that ends: later than in :data:`QUIET_DAYS`, announced, within :data:`SOON_DAYS`, ended; ended, and still what
programs get by default or call."""


class Retiring(NamedTuple):
    """One model at one API, and who uses it."""

    model: str
    api: str
    """What people read: ``Azure OpenAI``."""
    api_name: str
    """A key of :data:`core.models.apis.APIS`."""
    kind: str
    """Of the first of the providers."""
    retires: date
    days: int
    """Left; negative: it is over."""
    rerouted: bool
    """Calls are then answered by another model; else refused."""
    successor: str | None
    providers: tuple[str, ...]
    """Names of those that offer it; one that is inactive is among them."""
    defaults: int
    """Providers whose default it is, and settings rows that prefer it."""
    chosen_by: tuple[str, ...]
    """Names of the providers whose default it is, or whose settings row prefers it."""
    calls: int
    """Logged in the last 30 days."""
    price: Price | None
    successor_price: Price | None

    @property
    def tier(self) -> Tier:
        """How urgent it is."""
        if self.days < 0:
            return "overdue" if self.defaults or self.calls else "retired"
        if self.days <= SOON_DAYS:
            return "soon"
        return "announced" if self.days <= QUIET_DAYS else "legacy"


def retiring(session: Session, actor: Actor, within: int = QUIET_DAYS, today: date | None = None) -> list[Retiring]:
    """Return the models in use that end within so many days, or have ended; the nearest end first.

    *today* is UTC's, by default now. The dates are the catalogue's, or what an admin or the vendor's list says instead: docs/models.md.

    Raises:
        Forbidden: If the actor is neither admin nor analyst.
    """
    require(session, actor, "models.view", role="analyst")
    now = datetime.now(UTC)
    today = today or now.date()
    uses = _uses(session)
    calls = _calls(session, now)
    models = knowledge.of(session)
    found = []
    for (api, model), used in uses.items():
        known = _soonest(models, api, model, used.hosts)
        if known is None or known.retires is None or (known.retires - today).days > within:
            continue
        line = Retiring(
            model=model,
            api=APIS[api].label,
            api_name=api,
            kind=used.kinds[0],
            retires=known.retires,
            days=(known.retires - today).days,
            rerouted=known.retired_effect == "rerouted",
            successor=known.successor,
            providers=tuple(used.providers),
            defaults=len(used.defaults),
            chosen_by=tuple(dict.fromkeys(used.defaults)),
            calls=sum(calls[name, model] for name in used.providers),
            price=price_of(models, api, model, now),
            successor_price=price_of(models, api, known.successor, now) if known.successor else None,
        )
        found.append(line)
    return sorted(found, key=lambda line: (line.retires, line.api, line.model))


def ends(session: Session, most: int) -> list[tuple[str, str, date]]:
    """Return provider, model and day of each model that an active provider has as its default and that ends; the soonest first.

    At most so many. Of a metric: no right is asked for, and no call is counted.
    """
    models = knowledge.of(session)
    query = select_rows(LlmProvider.name, LlmProvider.kind, LlmProvider.api_base_url, LlmProvider.default_model).where(
        col(LlmProvider.is_active), col(LlmProvider.default_model).is_not(None)
    )
    found = []
    for name, kind, url, model in session.exec(query):
        known = models.facts(api_of(kind, url), model or "", host_of(kind, url))
        if known is not None and known.retires is not None:
            found.append((name, known.name if model is None else model, known.retires))
    return sorted(found, key=lambda end: (end[2], end[0]))[:most]


def _soonest(models: Knowledge, api: str, model: str, hosts: Iterable[str]) -> ModelFacts | None:
    """Return what is known of *model* at the host where it ends first."""
    found = [known for host in dict.fromkeys(hosts) if (known := models.facts(api, model, host)) is not None]
    return min(found, key=lambda known: known.retires or date.max, default=None)


class _Use(NamedTuple):
    providers: list[str]
    defaults: list[str]
    kinds: list[str]
    hosts: list[str]


def _uses(session: Session) -> dict[tuple[str, str], _Use]:
    """Return who offers or prefers which model, by the API that it is called through."""
    providers = session.exec(select_rows(LlmProvider).order_by(col(LlmProvider.name))).all()
    preferred: dict[int | None, list[str]] = defaultdict(list)
    wanted = col(LlmSettings.preferred_model)
    for row in session.exec(select_rows(LlmSettings).where(wanted.is_not(None), col(LlmSettings.is_active))).all():
        preferred[row.provider_id].append(str(row.preferred_model))
    uses: dict[tuple[str, str], _Use] = defaultdict(lambda: _Use([], [], [], []))
    for provider in providers:
        api = api_of(provider.kind, provider.api_base_url)
        named: Iterable[str] = [*([provider.default_model] if provider.default_model else ()), *preferred[provider.id]]
        for model in dict.fromkeys([*provider.available_models, *named]):
            uses[api, model].providers.append(provider.name)
            uses[api, model].kinds.append(provider.kind)
            uses[api, model].hosts.append(host_of(provider.kind, provider.api_base_url))
        for model in named:
            uses[api, model].defaults.append(provider.name)
    return uses


def _calls(session: Session, now: datetime) -> dict[tuple[str, str], int]:
    """Return the calls of the last 30 days by provider and model: ``llm_usage`` keeps 35."""
    since = _USAGE.c.slot > now - CALLS_OF
    query = (
        select(_USAGE.c.provider, _USAGE.c.model, func.sum(_USAGE.c.calls))
        .where(since)
        .group_by(_USAGE.c.provider, _USAGE.c.model)
    )
    found: dict[tuple[str, str], int] = defaultdict(int)
    for provider, model, calls in session.execute(query):
        found[provider, model] = int(calls)
    return found
