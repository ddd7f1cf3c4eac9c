"""All commands under their names."""

import typer

from . import (
    alerts,
    audit,
    budgets,
    catalogue,
    documents,
    explain,
    features,
    grants,
    history,
    import_env,
    import_from,
    installation,
    jobs,
    keys,
    limits,
    logs,
    models,
    move,
    organizations,
    pii,
    presets,
    providers,
    rate_limits,
    schema,
    spend,
    tokens,
    users,
    webhooks,
)

app = typer.Typer(
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help="Manage LLM Settings."
)
app.command("migrate")(schema.migrate)
app.command("move")(move.move)
app.command("check-migrations")(schema.check_migrations)
app.command("test")(providers.test)
app.command("seed")(import_env.seed)
app.command("import-env", help=import_env.IMPORT_ENV)(import_env.import_env)
app.command("import")(import_from.import_from)
app.command("generate-key")(keys.generate_key)
app.command("grant-app")(grants.grant_app)
app.command("grant-reader")(grants.grant_reader)
app.command("grant-backup")(grants.grant_backup)
app.command("explain")(explain.explain)
app.command("export")(documents.export)
app.command("apply")(documents.apply)
app.add_typer(providers.app, name="providers")
app.add_typer(keys.app, name="keys")
app.add_typer(users.app, name="users")
app.add_typer(organizations.app, name="organizations")
app.add_typer(features.app, name="features")
app.add_typer(limits.app, name="limits")
app.add_typer(presets.app, name="presets")
app.add_typer(budgets.app, name="budgets")
app.add_typer(rate_limits.app, name="rate-limits")
app.add_typer(alerts.app, name="alerts")
app.add_typer(installation.app, name="installation")
app.add_typer(history.app, name="history")
app.add_typer(audit.app, name="audit")
app.add_typer(logs.app, name="logs")
app.add_typer(spend.app, name="spend")
app.add_typer(pii.app, name="pii")
app.add_typer(jobs.app, name="jobs")
app.add_typer(catalogue.app, name="catalogue")
app.add_typer(models.app, name="models")
app.add_typer(tokens.app, name="tokens")
app.add_typer(webhooks.app, name="webhooks")
