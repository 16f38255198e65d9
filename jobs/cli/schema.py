"""watchgate schema: the documents that services read and write, described for machines."""

from pathlib import Path
from typing import Annotated

import orjson
import typer

from jobs.cli.shared import CommandError
from schemas.documents import documents, generate

EXAMPLE = "Example: `watchgate schema --output schemas/`"


def command(
    output: Annotated[
        Path | None,
        typer.Option(help="Folder to write one file per document to; without it the AsyncAPI document is printed."),
    ] = None,
) -> None:
    """Write JSON Schema files and the AsyncAPI 3 document."""
    if output is None:
        print(orjson.dumps(documents()["asyncapi.json"], option=orjson.OPT_INDENT_2).decode())
        return
    try:
        for path in generate(output):
            print(path)
    except OSError as error:
        raise CommandError(
            f"error: {error.filename or output} cannot be written: {error.strerror}. Name a folder that can be written, on a disk with free space, with --output."
        ) from None
