"""How many providers take what all of them are given."""

from collections import Counter, defaultdict
from itertools import product

from sqlmodel import Session

from core.actors import COMMAND_LINE, Actor
from core.manage import fitting, providers, settings
from core.manage.fitting import Fit
from core.parameters import SENDABLE
from core.resolving.words import becomes


def test_who_takes_what_all_are_given(session: Session, admin: Actor) -> None:
    """As if a draft were saved: of those that inherit it; another name counts as taken, left out and clamped do not."""
    for name, kind, model in (
        ("a", "openai", "gpt-5"),
        ("b", "openai", "m"),
        ("c", "anthropic", "claude-3-haiku-20240307"),
    ):
        data = {"name": name, "display_name": name.upper(), "kind": kind, "available_models": [model]}
        providers.create(session, COMMAND_LINE, {**data, "default_model": model})
    own = providers.get_by_name(session, "b").id
    settings.upsert_global(session, admin, own, {"top_p": 0.5, "omitted_parameters": ["presence_penalty"]})
    stored = settings.load(session).with_draft(None, {"temperature": 1.5})

    found = fitting.fits(stored)
    assert found["temperature"] == Fit(
        1, 3, (("A", "not sent: it always reasons"), ("C", "sent as 1: it takes 0 to 1"))
    )
    assert found["top_p"].of == 2
    assert found["presence_penalty"].of == 2
    assert (found["max_tokens"].takes, found["max_tokens"].of) == (3, 3)
    assert fitting.fits(settings.load(session))["temperature"].takes == 2


def test_providers_that_are_called_alike_are_counted_each(session: Session, admin: Actor) -> None:
    """One by one it is the same: of providers that differ in nothing, in kind, host, model, or in what is their own."""
    hosts = (None, None, "https://one.example/v1", "https://two.example/v1", "https://api.anthropic.com/v1")
    models = ("gpt-5", "claude-3-haiku-20240307", None)
    for number, (kind, asked, model) in enumerate(product(("openai", "openai_compatible"), hosts, models)):
        data = {"name": f"p-{number}", "display_name": f"P {number}", "kind": kind, "default_model": model}
        url = asked or ("https://api.openai.com/v1" if kind == "openai_compatible" else None)
        providers.create(session, COMMAND_LINE, {**data, "api_base_url": url, "available_models": [model or "m"]})
    for name, own in (("p-0", {"top_p": 0.5}), ("p-1", {"omitted_parameters": ["temperature"]}), ("p-2", {})):
        settings.upsert_global(session, admin, providers.get_by_name(session, name).id, own)
    stored = settings.load(session).with_draft(None, {"temperature": 1.5, "seed": None, "frequency_penalty": 0.5})
    found = fitting.fits(stored)
    assert {name: (fit.takes, sorted(fit.others)) for name, fit in found.items()} == _one_by_one(stored)
    assert any(fit.others for fit in found.values())


def _one_by_one(stored: settings.Stored) -> dict[str, tuple[int, list[tuple[str, str]]]]:
    takes: Counter[str] = Counter()
    others: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for name in stored.providers:
        got = stored.effective(name)
        for item in got.explain():
            inherits = item.name in SENDABLE and item.value is not None and item.source.layer != "provider"
            if not inherits or item.omitted_by:
                continue
            if item.adjusted is None or item.adjusted.what == "renamed":
                takes[item.name] += 1
            else:
                others[item.name].append((got.display_name, becomes(item.adjusted)))
    return {name: (takes[name], sorted(others[name])) for name in takes.keys() | others.keys()}
