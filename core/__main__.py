"""The command line: ``python -m core``."""

import sys

try:
    import typer
except ModuleNotFoundError:
    sys.exit("The command line needs an extra: pip install 'llm-settings[cli]'")

import getpass
import json
import logging
import os
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

from sqlalchemy import Engine
from sqlmodel import Session

from . import crypto, env_file, redaction
from .access import sessions, tokens, users
from .actors import COMMAND_LINE
from .audit import chain as audit_chain
from .audit.record import Target, record
from .config import check_at_start, get_config
from .errors import CoreError, Invalid, NotFound
from .govern import audit_log, usage
from .manage import bootstrap, connection, env_import, keys, providers, seed
from .postgres import embedded
from .resolve import resolve, resolver
from .resolving.effective import LAYERS, EffectiveSettings, Explained, Source
from .resolving.words import state_of, value_text
from .store import db, grants, migrate, sealed
from .store.tables import User, id_of
from .wording import counted

app = typer.Typer(
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help="Manage LLM Settings."
)
keys_app = typer.Typer(no_args_is_help=True, help="The encryption keys, and the API keys they seal.")
users_app = typer.Typer(no_args_is_help=True, help="People who sign in.")
app.add_typer(keys_app, name="keys")
audit_app = typer.Typer(no_args_is_help=True, help="The record of who did what, and its hash chain.")
app.add_typer(users_app, name="users")
app.add_typer(audit_app, name="audit")
logs_app = typer.Typer(no_args_is_help=True, help="The log of calls to models.")
app.add_typer(logs_app, name="logs")
tokens_app = typer.Typer(no_args_is_help=True, help="How programs sign in to the REST API.")
app.add_typer(tokens_app, name="tokens")

DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")]


@contextmanager
def _store() -> Iterator[None]:
    """The store, ready; an embedded one is stopped again unless somebody else uses it."""
    try:
        check_at_start(get_config())
        bootstrap.ensure_ready(typer.echo)
        yield
    finally:
        _leave()


def _leave() -> None:
    config = get_config()
    if config.embedded:
        db.close_engine()
        embedded.stop(config.data_dir)


@app.command("migrate")
def migrate_command(
    to: Annotated[str, typer.Option(help="Revision to migrate up to.")] = "head",
    down: Annotated[str, typer.Option(help="Revision to migrate DOWN to; 'base' removes everything stored.")] = "",
) -> None:
    """Bring the database's schema to this version's. Two at once are safe."""
    try:
        engine = db.get_engine()
        changed = migrate.downgrade(engine, down) if down else migrate.upgrade(engine, to)
        if changed and not down and to == "head":
            with db.transaction() as session:
                record(session, COMMAND_LINE, "schema.migrate", Target("schema", None, migrate.head()))
        name = _database(engine)
        typer.echo(f"Migrated: {name}." if changed else f"Nothing to do: the schema is as asked, in {name}.")
    finally:
        _leave()


def _database(engine: Engine) -> str:
    """Return in words which database it was: the server's own host, port and name, and no user or password."""
    if get_config().embedded:
        return f"the embedded store in {get_config().data_dir}"
    with engine.connect() as connection:
        found: Any = connection.connection.driver_connection
        host = f"the socket in {found.info.host}" if found.info.host.startswith("/") else found.info.host
        return f"the database {found.info.dbname} at {host}, port {found.info.port}"


@app.command()
def check_migrations() -> None:
    """Compare tables and migrations on a temporary server, which is stopped again; exit 1 if they differ."""
    with TemporaryDirectory(prefix="llm-") as folder:
        path = Path(folder)
        try:
            engine = db.make_engine(embedded.start(path))
            migrate.upgrade(engine)
            found = migrate.differences(engine)
            migrate.downgrade(engine, "base")
            engine.dispose()
        finally:
            embedded.stop(path)
    for difference in found:
        typer.echo(f"No migration for: {difference}")
    if found:
        raise typer.Exit(1)
    typer.echo("Tables and migrations agree.")


@app.command("test")
def test_command(provider: Annotated[str, typer.Argument(help="Name of the provider.")]) -> None:
    """Test a provider's connection, stage by stage, up to one minimal call. Exit 1 unless the call is answered."""
    with _store():
        with db.transaction() as session:
            row = providers.get_by_name(session, provider)
            target = connection.prepare(session, COMMAND_LINE, row.id)
        report = connection.run(target)
    for stage in report.stages:
        took = "" if stage.latency_ms is None else f"{stage.latency_ms} ms"
        typer.echo(f"{connection.STAGES[stage.name]:<16} {_STATES[stage.state]:<12} {took:>9}  {stage.words}".rstrip())
    if report.new:
        typer.echo(f"The vendor lists {counted(len(report.new), 'model')} not here: {', '.join(report.new[:20])}")
    if report.gone:
        typer.echo(f"The vendor no longer lists: {', '.join(report.gone)}")
    typer.echo(f"{provider}: {_STATES[report.state]}")
    if report.state != "verified":
        raise typer.Exit(1)


_STATES = {"verified": "verified", "refused": "REFUSED", "not_checked": "not checked"}


@app.command("seed")
def seed_command() -> None:
    """Add the well-known providers, inactive until they have a key."""
    with _store(), db.transaction() as session:
        _report(seed.seed(session, COMMAND_LINE))


@app.command(help=f"Move {', '.join(env_import.KEY_VARIABLES)} into the store; of two for one vendor the first.")
def import_env(
    file: Annotated[Path | None, typer.Argument(help="A .env file; default: the environment of this process.")] = None,
    *,
    dry_run: DryRun = False,
) -> None:
    """Move the keys of other programs' variables into the store."""
    found = env_file.read(file) if file else env_file.EnvFile(dict(os.environ), {}, ())
    with _store(), db.transaction() as session:
        attempt = session.begin_nested()
        outcomes = env_import.import_env(session, COMMAND_LINE, found.values)
        if dry_run:
            attempt.rollback()
    _report(outcomes)
    if found.unread:
        typer.echo(f"Not read, as no NAME=value: {', '.join(f'line {number}' for number in found.unread)}")
    if dry_run:
        typer.echo("Dry run: nothing was changed.")
        return
    stored = [o.name for o in outcomes if o.action != "left alone" or "already" in o.why]
    if stored:
        typer.echo(f"These are in the store now and can go from {file or 'the environment'}: {', '.join(stored)}")


@app.command()
def generate_key() -> None:
    """Print a new encryption key, for LLM_ENCRYPTION_KEY."""
    typer.echo(crypto.generate_key())


@keys_app.command("status")
def keys_status() -> None:
    """Say what each encryption key holds, and whether it may go. Opens no stored key."""
    with _store(), db.transaction() as session:
        _say_status(keys.status(session, crypto.get_ring()))


@keys_app.command("rotate")
def keys_rotate(
    *,
    dry_run: DryRun = False,
    batch: Annotated[int, typer.Option(min=1, max=1000, help="API keys of one transaction.")] = keys.BATCH,
    old_key_lost: Annotated[
        bool, typer.Option("--old-key-lost", help="Go on with LLM_ENCRYPTION_KEY though it opens nothing stored here.")
    ] = False,
) -> None:
    """Seal all API keys anew with LLM_ENCRYPTION_KEY, while everything runs. Killed, it is run again.

    Exit 1 if a key of LLM_ENCRYPTION_KEYS_EXTRA must stay, or an API key cannot be opened.
    """
    moved, unreadable, said = 0, set[sealed.Tried](), time.monotonic()
    with _store():
        ring = crypto.get_ring()
        work = keys.rotate(db.retrying, COMMAND_LINE, ring, batch=batch, dry_run=dry_run, old_key_lost=old_key_lost)
        for done in work:
            moved += done.moved
            unreadable.update(done.unreadable)
            if time.monotonic() - said > 1:
                typer.echo(f"{moved} so far")
                said = time.monotonic()
        typer.echo(f"{counted(moved, 'API key')} {'would move' if dry_run else 'moved'} to {ring.primary_id}.")
        for row in sorted(unreadable):
            typer.echo(f"Left as it is: {row.name} ({row.state}). {row.message}")
        with db.transaction() as session:
            status = keys.status(session, ring)
    if dry_run:
        typer.echo("Dry run: nothing was changed.")
    else:
        _say_status(status)
    stays = any(key.role != "primary" and key.rows + key.unbound for key in status.keys)
    if unreadable or (stays and not dry_run):
        raise typer.Exit(1)


@keys_app.command("check")
def keys_check() -> None:
    """Look at the canary, and open every stored key; exit 1 on a problem."""
    with _store(), db.transaction() as session:
        ring = crypto.get_ring()
        canary = keys.check_canary(session, ring)
        rows = sealed.open_all(session, ring)
    typer.echo(canary.message or f"Primary key {ring.primary_id}: known to this database, seals and opens.")
    for (key_id, state), number in sorted(Counter((row.key_id or "none", row.state) for row in rows).items()):
        typer.echo(f"Sealed with {key_id}: {counted(number, 'API key')}, {state}")
    for row in rows:
        if row.state not in {"ok", "unknown_key", "sealed"}:  # those are the key's fault, and counted above
            typer.echo(f"{row.name}: {row.message}")
    if not rows:
        typer.echo("No API key is stored.")
    if canary.state in {"sealed", "wrong_key", "damaged"} or any(row.state != "ok" for row in rows):
        raise typer.Exit(1)


def _say_status(status: keys.RingStatus) -> None:
    if status.canary.message:
        typer.echo(status.canary.message)
    for key in status.keys:
        typer.echo(f"{key.key_id}  {key.role:<8} {counted(key.rows, 'API key'):>15}  {key.says}")
    if status.nobodys:
        typer.echo(
            f"Of no known encryption key: {counted(status.nobodys, 'API key')}; none of the key ring opens them."
        )


@keys_app.command("adopt")
def keys_adopt(provider: Annotated[str, typer.Argument(help="Name of the provider.")]) -> None:
    """Bind a key that another program wrote to its provider and its present base URL."""
    with _store(), db.transaction() as session:
        row = providers.get_by_name(session, provider)
        providers.adopt_api_key(session, COMMAND_LINE, id_of(row))
    typer.echo(f"The key of {provider} is adopted.")


@users_app.command("add")
def users_add(username: str, role: Annotated[str, typer.Option(help="admin or analyst")] = "analyst") -> None:
    """Add a user; asks for the password, or reads it from standard input."""
    chosen = users.choose(_password())
    with _store(), db.transaction() as session:
        user = users.add(session, COMMAND_LINE, username, chosen, role)
    typer.echo(f"Added {user.username} as {user.role}.")


@users_app.command("passwd")
def users_passwd(username: str) -> None:
    """Set a user's password, which ends their sign-ins; asks for it, or reads it from standard input."""
    chosen = users.choose(_password())
    with _store(), db.transaction() as session:
        users.set_password(session, COMMAND_LINE, id_of(_user(session, username)), chosen)
    typer.echo(f"Password set; sign-ins of {username} have ended.")


@users_app.command("disable")
def users_disable(username: str, *, enable: Annotated[bool, typer.Option(help="Enable them again.")] = False) -> None:
    """Disable a user, which ends their sign-ins."""
    with _store(), db.transaction() as session:
        users.set_active(session, COMMAND_LINE, id_of(_user(session, username)), active=enable)
    typer.echo(f"{username} is {'enabled' if enable else 'disabled'}.")


@users_app.command("role")
def users_role(username: str, role: str) -> None:
    """Give a user another role, which ends their sign-ins."""
    with _store(), db.transaction() as session:
        users.set_role(session, COMMAND_LINE, id_of(_user(session, username)), role)
    typer.echo(f"{username} is {role}.")


@users_app.command("sign-out")
def users_sign_out(username: str) -> None:
    """End every sign-in of a user at once."""
    with _store(), db.transaction() as session:
        ended = sessions.end_all(session, COMMAND_LINE, id_of(_user(session, username)))
    typer.echo(f"Ended {counted(ended, 'sign-in')} of {username}.")


@users_app.command("list")
def users_list() -> None:
    """List the users."""
    with _store(), db.transaction() as session:
        for user in users.list_all(session):
            typer.echo(f"{user.username:<30} {user.role:<8} {'active' if user.is_active else 'disabled'}")


@tokens_app.command("create")
def tokens_create(
    name: str,
    role: Annotated[str, typer.Option(help="admin, analyst (reads effective settings) or metrics")] = "analyst",
    days: Annotated[int, typer.Option(min=0, max=3650, help="Days until it expires; 0: never.")] = 90,
) -> None:
    """Make an API token and print it, once: nothing but its hash is stored."""
    with _store(), db.transaction() as session:
        _, token = tokens.create(session, COMMAND_LINE, {"name": name, "role": role, "expires_in_days": days or None})
    typer.echo(token)
    typer.echo("Keep it now: it is not shown again.", err=True)


@tokens_app.command("revoke")
def tokens_revoke(name: str) -> None:
    """End a token: programs that use it are refused within a second."""
    with _store(), db.transaction() as session:
        tokens.revoke(session, COMMAND_LINE, id_of(tokens.get_by_name(session, name)))
    typer.echo(f"The token {name} is revoked.")


@tokens_app.command("list")
def tokens_list() -> None:
    """List the tokens, those that hold first."""
    with _store(), db.transaction() as session:
        for row in tokens.list_all(session):
            ends = f"revoked by {row.revoked_by}" if row.revoked_at else "does not expire"
            if row.expires_at and not row.revoked_at:
                word = "expired" if row.expires_at <= datetime.now(UTC) else "expires"
                ends = f"{word} {row.expires_at:%Y-%m-%d}"
            used = f"last used {row.last_used_at:%Y-%m-%d %H:%M} UTC" if row.last_used_at else "never used"
            typer.echo(f"{row.name:<30} {row.hint}…  {row.role:<8} {ends}, {used}")


@audit_app.command("head")
def audit_head() -> None:
    """Print number and hash of the newest event. Kept elsewhere, it shows later that nothing before it was changed."""
    with _store(), db.transaction() as session:
        typer.echo(str(audit_chain.head(session)))


@audit_app.command("verify")
def audit_verify(
    head: Annotated[str, typer.Option(help="A head that `audit head` printed earlier.")] = "",
) -> None:
    """Compute the hash chain anew; exit 1 and the first broken place if an event was changed or taken away."""
    given = audit_chain.parse_head(head) if head else None
    with _store(), db.transaction() as session:
        found = audit_chain.verify(session, given)
    if found.problem:
        typer.echo(f"BROKEN: {found.problem}")
        typer.echo(f"Before it, from number {found.start.seq + 1} on: {counted(found.checked, 'event')}, as written.")
        raise typer.Exit(1)
    purged = f" Events up to {found.start.seq} were purged." if found.start.seq else ""
    typer.echo(f"The chain holds: {counted(found.checked, 'event')}, all as written.{purged} Head: {found.head}")
    if given is None:
        typer.echo("Checked against the database's own head alone. Give --head one that was kept elsewhere.")


@audit_app.command("purge")
def audit_purge(
    older_than: Annotated[int, typer.Option(help="Days. Events that are older go.")], *, dry_run: DryRun = False
) -> None:
    """Delete the oldest events and leave a checkpoint; takes the role that owns the tables."""
    with _store(), db.transaction() as session:
        purge = audit_log.purge(session, COMMAND_LINE, older_than=older_than, dry_run=dry_run)
    if not purge.events:
        typer.echo("Nothing to do: no event is so old.")
    else:
        word = "Would delete" if dry_run else "Deleted"
        typer.echo(f"{word} {counted(purge.events, 'event')}, up to number {purge.up_to}.")


@audit_app.command("export")
def audit_export(
    file: Annotated[Path, typer.Argument(help="A CSV file to write; - for standard output.")],
    since: Annotated[datetime | None, typer.Option(help="The first moment, UTC.")] = None,
) -> None:
    """Write events as CSV, newest first, one line a changed field. No spreadsheet runs what is in it."""
    filters = audit_log.EventFilters(since=since.replace(tzinfo=UTC) if since else None)
    with _store(), db.transaction() as session:
        lines = audit_log.as_csv(audit_log.export(session, COMMAND_LINE, filters))
        if str(file) == "-":
            for line in lines:
                typer.echo(line, nl=False)
            return
        try:
            with file.open("w", encoding="utf-8-sig", newline="") as out:  # spreadsheets know UTF-8 by its mark
                out.writelines(lines)
        except OSError as error:
            raise Invalid({"file": f"cannot be written: {error.strerror}"}) from error
    typer.echo(f"Wrote {file}.")


@logs_app.command("purge")
def logs_purge(
    older_than: Annotated[int, typer.Option(help="Days. Calls that are older go.")],
    *,
    with_usage: Annotated[
        bool, typer.Option("--with-usage", help="The Usage page's figures of that time go too.")
    ] = False,
    dry_run: DryRun = False,
) -> None:
    """Delete the oldest rows of the request log, 10,000 a transaction. Interrupted, it is run again."""
    with _store():
        gone = usage.purge(db.retrying, COMMAND_LINE, older_than=older_than, with_usage=with_usage, dry_run=dry_run)
    typer.echo(f"{'Would delete' if dry_run else 'Deleted'} {counted(gone, 'logged call')}.")


@app.command()
def grant_app(role: Annotated[str, typer.Argument(help="A role of PostgreSQL that may log in.")]) -> None:
    """Give a role of PostgreSQL what the app needs: it can add to the audit, and neither change nor delete there."""
    with _store(), db.transaction() as session:
        statements = grants.grant_app(session, role)
    for statement in statements:
        typer.echo(f"{statement};")


@app.command()
def grant_reader(
    role: Annotated[str, typer.Argument(help="A role of PostgreSQL that may log in.")],
    *,
    log: Annotated[
        bool, typer.Option("--log", help="It may add to the request log too: for services that use core.ai.")
    ] = False,
) -> None:
    """Give a role of PostgreSQL what services need to resolve, sealed keys among it, and nothing else."""
    with _store(), db.transaction() as session:
        statements = grants.grant_reader(session, role, log=log)
    for statement in statements:
        typer.echo(f"{statement};")


@app.command()
def explain(
    provider: Annotated[str, typer.Argument(help="Name of the provider.")],
    *,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, for programs.")] = False,
) -> None:
    """Say which settings a service on this machine gets, and why. Exit 1 if there is no such provider, or no store."""
    resolver.start().wait()
    try:
        settings, names = resolve(provider), resolver.names()
        items = settings.explain()
        if as_json:
            told = {name: getattr(settings, name) for name in ("provider", "status", "cure", "generation")}
            told |= {"stale": resolver.stale, "settings": [item.as_dict() for item in items]}
            typer.echo(json.dumps(told, indent=2, ensure_ascii=False))
        else:
            _explain(settings, items, stale=resolver.stale)
            if settings.status == "unknown_provider" and names:
                typer.echo(f"There are: {', '.join(names[:50])}{', …' if len(names) > 50 else ''}")  # noqa: PLR2004 - a screen
    finally:
        resolver.close()
        _leave()
    if settings.status in {"unknown_provider", "store_unavailable"}:
        raise typer.Exit(1)


def _explain(settings: EffectiveSettings, items: list[Explained], *, stale: bool) -> None:
    typer.echo(f"{settings.provider}: {settings.status}, generation {settings.generation}{', stale' if stale else ''}")
    if settings.cure:
        typer.echo(f"Cure: {settings.cure}")
    width = max(len(item.name) for item in items)
    for item in items:
        value = value_text(item.name, item.value)
        typer.echo(f"{item.name:<{width}}  {value:<14}  {state_of(item):<11}  {_whence(item.source)}")
        if item.omitted_by:
            typer.echo(f"{'':<{width}}  not sent, says {_whence(item.omitted_by)}")
        for source, hidden in item.shadows:
            typer.echo(f"{'':<{width}}  hides {value_text(item.name, hidden)}: {_whence(source)}")


def _whence(source: Source) -> str:
    told = [LAYERS[source.layer]]
    if source.row_id is not None:
        told.append(f"row {source.row_id}, version {source.version}")
    if source.changed_by:
        told.append(f"by {source.changed_by}")
    if source.changed_at:
        told.append(f"{source.changed_at:%Y-%m-%d %H:%M} UTC")
    return ", ".join(told)


def _user(session: Session, username: str) -> User:
    user = users.find(session, username)
    if user is None:
        raise NotFound("user", username)
    return user


def _password() -> str:
    if not sys.stdin.isatty():
        return sys.stdin.readline().removesuffix("\n")
    password = getpass.getpass("Password: ")
    if getpass.getpass("Again: ") != password:
        sys.exit("The two passwords differ.")
    return password


def _report(outcomes: list[seed.Outcome]) -> None:
    for outcome in outcomes:
        typer.echo(f"{outcome.action:<11} {outcome.name}: {outcome.why}")


def main() -> None:
    """Run the command line; an error this package knows is one sentence and exit 1."""
    redaction.set_up_logging()
    try:
        env_file.load()
        app()
    except CoreError as error:
        sys.exit(f"Error: {error}")
    except Exception:
        logging.getLogger(__name__).critical("Ended by an exception", exc_info=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
