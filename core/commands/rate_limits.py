"""Rate limits on calls: how many go to vendors."""

from typing import Annotated, Any, Final

import typer

from ..actors import COMMAND_LINE
from ..manage import features, organizations, providers, rate_limits
from ..manage.rate_limits import RateLimitNow
from ..store import db
from ..store.table import id_of
from ..wording import plain_number
from .opening import store, writes, writing

app = typer.Typer(no_args_is_help=True, help="Rate limits on calls: how many go to vendors.")
_Name = Annotated[str, typer.Argument(help="Name of the rate limit.")]
_Requests = Annotated[int | None, typer.Option("--requests-per-minute", help="Requests a minute; 0: not limited.")]
_Tokens = Annotated[int | None, typer.Option("--tokens-per-minute", help="Tokens a minute; 0: not limited.")]
_Concurrent = Annotated[int | None, typer.Option("--max-concurrent", help="Calls at once; 0: not limited.")]
_Burst = Annotated[float | None, typer.Option("--burst-seconds", help="So much of a minute may go at once: 0.1 to 60.")]
_WhenFull = Annotated[str | None, typer.Option("--when-full", help="What a call without room does: wait or refuse.")]
_MaxWait = Annotated[int | None, typer.Option("--max-wait-ms", help="Milliseconds that it waits at most: 0 to 60000.")]
_UNITS: Final = {
    "requests_per_minute": "{:,} requests a minute",
    "tokens_per_minute": "{:,} tokens a minute",
    "max_concurrent": "{:,} at once",
}


@app.command("list")
def list_rate_limits() -> None:
    """List the rate limits on calls."""
    with store(), db.transaction() as session:
        for found in rate_limits.list_all(session, COMMAND_LINE):
            typer.echo(_line(found))


@app.command("show")
def show(name: _Name) -> None:
    """Show a rate limit on calls."""
    with store(), db.transaction() as session:
        found = rate_limits.get_by_name(session, COMMAND_LINE, name)
        row = found.row
        typer.echo(_line(found))
        typer.echo(f"  for       {found.scope}")
        typer.echo(f"  burst     {plain_number(row.burst_seconds)} seconds of a minute may go at once")
        waits = f"a call waits {row.max_wait_ms:,} ms at most" if row.when_full == "wait" else "a call is refused"
        typer.echo(f"  when full {waits}")
        typer.echo(f"  in use    {found.in_use:,} calls")
        if (hour := found.hour) is not None:
            typer.echo(f"  last hour {hour.requests:,} requests, {hour.tokens:,} tokens; {hour.refused:,} refused")
            typer.echo(f"  waited    {hour.waited:,} calls, {hour.waited_ms / 1000:,.1f} seconds in all")
            peaks = (hour.peak_requests, hour.peak_tokens, hour.peak_places)
            typer.echo("  most      {:,} requests and {:,} tokens in a minute, {:,} at once".format(*peaks))
        for says in found.vendor:
            figures = [
                f"{n:,} {of}" for n, of in ((says.requests, "requests"), (says.tokens, "tokens")) if n is not None
            ]
            closed = f"; lets nothing through until {says.closed_until:%H:%M:%S %Z}" if says.closed_until else ""
            typer.echo(
                f"  vendor    {says.provider} · {says.model}: {', '.join(figures) or 'no figures'} a minute{closed}"
            )
        if (above := found.above) is not None:
            typer.echo(f"  It allows more than {above.provider} does for {above.model}: the vendor will refuse some.")


@app.command("create")
@writes
def create(
    name: _Name,
    *,
    organization: Annotated[str, typer.Option(help="Of this organisation.")] = "",
    feature: Annotated[str, typer.Option(help="Of this feature.")] = "",
    provider: Annotated[str, typer.Option(help="Of this provider.")] = "",
    model: Annotated[str, typer.Option(help="Of this model, as calls name it.")] = "",
    requests: _Requests = None,
    tokens: _Tokens = None,
    concurrent: _Concurrent = None,
    burst: _Burst = None,
    when_full: _WhenFull = None,
    max_wait: _MaxWait = None,
) -> None:
    """Limit requests and tokens a minute, or calls at once: one of the three at least."""
    data = {"name": name, "model": model or None} | _given(requests, tokens, concurrent, burst, when_full, max_wait)
    with store(), writing() as session:
        data["organization_id"] = (
            id_of(organizations.get_by_name(session, COMMAND_LINE, organization)) if organization else None
        )
        data["feature_id"] = id_of(features.get_by_name(session, feature)) if feature else None
        data["provider_id"] = id_of(providers.get_by_name(session, provider)) if provider else None
        typer.echo(f"Made {_line(rate_limits.create(session, COMMAND_LINE, data))}")


@app.command("update")
@writes
def update(
    name: _Name,
    *,
    requests: _Requests = None,
    tokens: _Tokens = None,
    concurrent: _Concurrent = None,
    burst: _Burst = None,
    when_full: _WhenFull = None,
    max_wait: _MaxWait = None,
    active: Annotated[bool | None, typer.Option("--active/--inactive", help="Whether it counts.")] = None,
) -> None:
    """Change what is named; all else stays."""
    patch = _given(requests, tokens, concurrent, burst, when_full, max_wait)
    if active is not None:
        patch["is_active"] = active
    with store(), writing() as session:
        row = rate_limits.get_by_name(session, COMMAND_LINE, name).row
        typer.echo(_line(rate_limits.update(session, COMMAND_LINE, id_of(row), patch)))


@app.command("delete")
@writes
def delete(name: _Name) -> None:
    """Delete a rate limit on calls."""
    with store(), writing() as session:
        row = rate_limits.get_by_name(session, COMMAND_LINE, name).row
        typer.echo(f"Deleted {rate_limits.delete(session, COMMAND_LINE, id_of(row))}.")


def _given(*options: Any) -> dict[str, Any]:
    """Return what was said, by its field; of a figure 0 takes it away."""
    names = (*_UNITS, "burst_seconds", "when_full", "max_wait_ms")
    said = {name: value for name, value in zip(names, options, strict=True) if value is not None}
    return {name: None if name in _UNITS and value == 0 else value for name, value in said.items()}


def _line(found: RateLimitNow) -> str:
    row = found.row
    figures = [words.format(value) for name, words in _UNITS.items() if (value := getattr(row, name)) is not None]
    return f"{row.name}: {', '.join(figures)}, {found.scope}{'' if row.is_active else ', switched off'}"
