"""watchgate demo: two attacks and a classifier, five minutes to read."""

from pathlib import Path
from typing import Annotated

import typer

from integration.logs import configure_logs
from jobs import demo
from jobs.cli.progress import show_progress
from jobs.cli.shared import mendable

EXAMPLE = "Example: `watchgate demo`"


def command(
    output: Annotated[
        Path, typer.Option(help="Folder for what the demo writes; an earlier demo's is replaced.")
    ] = Path("demo-output"),
) -> None:
    """Judge real comments with rules and with a model trained on the spot, and a seeded login attack; show what each caught."""
    configure_logs("warning")
    with mendable():
        demo.prepare(output)
        for make in (demo.comments, demo.classifier, demo.logins):
            act = make(output)
            print(f"\n{act.title}\n")
            with show_progress() as report:
                _, text = demo.play(act, report)
            print(text)
    print(f"\nEverything that was written is in {output}: start with {output / 'comments' / 'verdicts.jsonl'}.")
