"""watchgate demo: two attacks, four minutes to read."""

from pathlib import Path
from typing import Annotated

import typer

from integration.logs import configure_logs
from jobs import demo
from jobs.cli.progress import show_progress
from jobs.cli.shared import CommandError, compile_document, mendable

EXAMPLE = "Example: `watchgate demo`"


def command(
    output: Annotated[
        Path, typer.Option(help="Folder for what the demo writes; an earlier demo's is replaced.")
    ] = Path("demo-output"),
) -> None:
    """Judge real comments and a seeded login attack, and show what each rule caught."""
    configure_logs("warning")
    with mendable():
        try:
            demo.prepare(output)
            for make in (demo.comments, demo.logins):
                act = make(output)
                print(f"\n{act.title}\n")
                with show_progress() as report:
                    _, text = demo.play(act, compile_document, report)
                print(text)
        except demo.DemoError as error:
            raise CommandError(f"error: {error}") from None
    print(f"\nEverything that was written is in {output}: start with {output / 'comments' / 'verdicts.jsonl'}.")
