"""The command line. Each command is a file; what they share is in `jobs.cli.shared`."""

import sys

import typer

from jobs.cli import (
    cluster_jobs,
    demo,
    doctor,
    entity,
    entity_list,
    features,
    local,
    mode,
    models,
    produce,
    publish,
    rules,
    run,
    schema,
    submit,
    tail,
    topics,
    train,
)
from jobs.cli.shared import CommandError

app = typer.Typer(
    name="watchgate",
    help="Stream processing for trust and safety: rules and windows that are proven in shadow before they act.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)
app.command("run", epilog=run.EXAMPLE)(run.command)
app.command("features", epilog=features.EXAMPLE)(features.command)
app.command("train", epilog=train.EXAMPLE)(train.command)
app.add_typer(rules.app, name="rules")
app.add_typer(mode.app, name="mode")
app.command("publish", epilog=publish.EXAMPLE)(publish.command)
app.add_typer(entity_list.app, name="list")
app.add_typer(entity.app, name="entity")
app.add_typer(models.app, name="models")
app.command("schema", epilog=schema.EXAMPLE)(schema.command)
app.command("demo", epilog=demo.EXAMPLE)(demo.command)
app.add_typer(local.app, name="local")
app.add_typer(topics.app, name="topics")
app.command("submit", epilog=submit.EXAMPLE)(submit.command)
app.command("jobs", epilog=cluster_jobs.JOBS_EXAMPLE)(cluster_jobs.jobs)
app.command("stop", epilog=cluster_jobs.STOP_EXAMPLE)(cluster_jobs.stop)
app.command("produce", epilog=produce.EXAMPLE)(produce.command)
app.command("tail", epilog=tail.EXAMPLE)(tail.command)
app.command("doctor", epilog=doctor.EXAMPLE)(doctor.command)


def main() -> None:
    """Entry point: errors that a person can mend are printed without a traceback and end with status 2."""
    try:
        app()
    except CommandError as error:
        print(error, file=sys.stderr)
        sys.exit(error.status)
