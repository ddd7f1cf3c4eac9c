"""Providers: the connection test, whether a key is needed, and what calls carry besides it."""

from typing import Annotated

import typer
from sqlmodel import Session

from ..actors import COMMAND_LINE
from ..manage import connection, next_keys, observed, provider_keys, provider_secrets, providers
from ..manage.provider_secrets import Use
from ..resolving.carried import USES
from ..store import db
from ..store.table import id_of
from ..store.tables import LlmProvider, LlmProviderSecret
from ..wording import counted
from .opening import store, writes, writing
from .typed import FromEnv, secret

app = typer.Typer(no_args_is_help=True, help="Providers: headers, query parameters, and keys that are exchanged.")
headers = typer.Typer(no_args_is_help=True, help="Headers that a provider's calls carry.")
query = typer.Typer(no_args_is_help=True, help="Query parameters that a provider's calls carry.")
keys = typer.Typer(no_args_is_help=True, help="A provider's API key and its next one: exchanged without an outage.")
app.add_typer(headers, name="headers")
app.add_typer(query, name="query")
app.add_typer(keys, name="keys")

Provider = Annotated[str, typer.Argument(help="Name of the provider.")]
Plain = Annotated[
    str | None,
    typer.Option(
        "--plain", metavar="VALUE", help="No secret: everybody who may see providers sees it. Else it is sealed."
    ),
]


@app.command("needs-key")
@writes
def needs_key(provider: Provider, *, no: Annotated[bool, typer.Option("--no", help="It needs none.")] = False) -> None:
    """Say that a provider needs an API key, or with --no that it needs none: a server of your own, as Ollama."""
    with store(), writing() as session:
        providers.update(session, COMMAND_LINE, _id(session, provider), {"needs_key": not no})
    typer.echo(f"{provider} needs {'no' if no else 'an'} API key.")


def _commands(group: typer.Typer, use: Use) -> None:
    """Add the three commands of headers, or of query parameters, to *group*."""
    what = USES[use]

    @group.command("list", help="List them; of a sealed one mask and fingerprint.")
    def list_them(provider: Provider) -> None:
        with store(), db.transaction() as session:
            row = providers.get_by_name(session, provider)
            for each in provider_secrets.list_of(session, id_of(row)):
                if each.use == use:
                    state = provider_secrets.state(row, each)
                    sealed = "sealed" if each.plain_value is None else "plain"
                    typer.echo(f"{each.name:<32} {sealed:<6}  {provider_secrets.shown(each)}  {state.message}".rstrip())

    @group.command("set", help=f"Set a {what}, in place of the one of that name. A secret is read from standard input.")
    @writes
    def set_one(provider: Provider, name: str, *, plain: Plain = None, from_env: FromEnv = None) -> None:
        value = plain if plain is not None else secret("The value", from_env)
        with store(), writing() as session:
            row = provider_secrets.set_value(
                session, COMMAND_LINE, _id(session, provider), use, name, value=value, sealed=plain is None
            )
            shown = provider_secrets.shown(row)
        if plain is not None and (warning := provider_secrets.warning(name, value)):
            typer.echo(warning, err=True)
        typer.echo(f"{what.capitalize()} {name} of {provider}: {shown}")

    @group.command("remove", help=f"Remove a {what}.")
    @writes
    def remove(provider: Provider, name: str) -> None:
        with store(), writing() as session:
            provider_secrets.remove_value(session, COMMAND_LINE, _id(session, provider), use, name)
        typer.echo(f"{what.capitalize()} {name} of {provider} is removed.")


_commands(headers, "header")
_commands(query, "query")


@keys.command("list")
def list_keys(provider: Provider) -> None:
    """List the current key and the one beside it, by mask and fingerprint."""
    with store(), db.transaction() as session:
        row = providers.get_by_name(session, provider)
        beside = next_keys.get(session, id_of(row))
        none = "none" if row.needs_key else "none needed"
        typer.echo(f"current  {provider_keys.shown_key(row) or none}")
        if beside is not None:
            typer.echo(_beside(beside))


@keys.command("add")
@writes
def add_key(provider: Provider, *, from_env: FromEnv = None) -> None:
    """Add the next key beside the current one, which goes on being used. It is read from standard input."""
    api_key = secret("The next API key", from_env)
    with store(), writing() as session:
        shown = _beside(next_keys.add(session, COMMAND_LINE, _id(session, provider), api_key))
    typer.echo(f"{shown}\nTest it with `python -m core providers keys test {provider}`, then promote it.")


@keys.command("test")
def test_next_key(provider: Provider) -> None:
    """Test the connection with the next key, before it is promoted. Exit 1 unless the call is answered."""
    _test(provider, next_key=True)


@keys.command("promote")
@writes
def promote(provider: Provider) -> None:
    """Make the next key the current one; the current one becomes the former, until it is retired."""
    with store(), writing() as session:
        row = next_keys.promote(session, COMMAND_LINE, _id(session, provider))
        shown = provider_keys.shown_key(row)
    typer.echo(
        f"current  {shown}\nOnce no program uses the former key: `python -m core providers keys retire {provider}`."
    )


@keys.command("retire")
@writes
def retire(provider: Provider) -> None:
    """Forget the former key, or a next one that is not wanted. Revoke it at the vendor's too."""
    with store(), writing() as session:
        provider_id = _id(session, provider)
        row = next_keys.get(session, provider_id)
        next_keys.retire(session, COMMAND_LINE, provider_id)
        shown = "" if row is None else _beside(row)
    typer.echo(f"Forgotten: {shown}")


def test(provider: Provider) -> None:
    """Test a provider's connection, stage by stage, up to one minimal call. Exit 1 unless the call is answered."""
    _test(provider, next_key=False)


def _beside(row: LlmProviderSecret) -> str:
    return f"{row.name:<7}  {provider_secrets.shown(row)}"


def _id(session: Session, provider: str) -> int:
    found: LlmProvider = providers.get_by_name(session, provider)
    return id_of(found)


def _test(provider: str, *, next_key: bool) -> None:
    with store():
        with db.transaction() as session:
            row = providers.get_by_name(session, provider)
            target = connection.prepare(session, COMMAND_LINE, row.id, next_key=next_key)
        report = connection.run(target)
        if any(report.facts.values()):
            with db.transaction() as session:
                observed.keep(session, COMMAND_LINE, target.kind, target.base_url, report.facts)
    for stage in report.stages:
        duration = "" if stage.latency_ms is None else f"{stage.latency_ms} ms"
        typer.echo(
            f"{connection.STAGES[stage.name]:<16} {_STATES[stage.state]:<12} {duration:>9}  {stage.words}".rstrip()
        )
    if report.new:
        typer.echo(f"The vendor lists {counted(len(report.new), 'model')} not here: {', '.join(report.new[:20])}")
    if report.gone:
        typer.echo(f"The vendor no longer lists: {', '.join(report.gone)}")
    typer.echo(f"{provider}: {_STATES[report.state]}")
    if report.state != "verified":
        raise typer.Exit(1)


_STATES = {"verified": "verified", "refused": "REFUSED", "not_checked": "not checked"}
