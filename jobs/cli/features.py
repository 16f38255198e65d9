"""watchgate features: every feature of every event, for training sets and for checks."""

import os
from pathlib import Path
from typing import Annotated

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import typer

from integration.logs import configure_logs
from jobs.cli.programs import compile_document, load_program
from jobs.cli.progress import show_progress
from jobs.cli.shared import CommandError, mendable
from jobs.job_plan import Progress, input_bytes
from jobs.label_feed import check_labels
from jobs.report import labels_line
from jobs.simulation import Simulation
from operators.program import without_rules

EXAMPLE = "Example: `watchgate features policy.yaml --input events.jsonl --output features.parquet`"


def command(
    policy: Annotated[Path, typer.Argument(help="The policy, YAML or JSON.")],
    input: Annotated[str, typer.Option(help="Events, as for `watchgate run`.")],
    output: Annotated[Path, typer.Option(help="The parquet file to write.")],
    labels: Annotated[str | None, typer.Option(help="Labels, as for `watchgate run`.")] = None,
    lists: Annotated[Path | None, typer.Option(help="Folder of the policy's list files.")] = None,
    batch_size: Annotated[int, typer.Option(min=1, max=65_536)] = 16_384,
) -> None:
    """Write `id`, `time`, `type` and every feature of every event. Only dead letters and repeated records are left out."""
    configure_logs()
    with mendable():
        program = without_rules(load_program(policy))
        check_labels(program, labels is not None)
        simulation = Simulation(
            program,
            compile_document,
            input,
            lists or policy.parent,
            labels=labels,
            batch_size=batch_size,
            keep_observed=True,
        )
        draft = output.with_name(output.name + ".tmp")
        schema = pa.schema(
            [
                ("id", pa.string()),
                ("time", pa.timestamp("ms", "UTC")),
                ("type", pa.string()),
                *((name, pa.float64()) for name in program.features),
            ]
        )
        try:
            with pq.ParquetWriter(draft, schema) as writer, show_progress() as report:
                rows, size = 0, input_bytes(input)
                for outcome in simulation:
                    for _, observed in outcome.observed:
                        frame = observed.frame.select(
                            pl.col("event_id").alias("id"),
                            pl.col("event_time").alias("time"),
                            pl.col("event_type").cast(pl.String).alias("type"),
                            *program.features,
                        )
                        writer.write_table(frame.to_arrow().cast(schema))
                        rows += frame.height
                    assert simulation.engine is not None
                    report(Progress(rows, simulation.engine.clock, simulation.byte, size))
            draft.replace(output)
        except OSError as error:
            raise CommandError(
                f"error: {output} cannot be written: {os.strerror(error.errno or 0)}. Name a file in a folder that can be written with --output."
            ) from None
        finally:
            draft.unlink(missing_ok=True)
    assert simulation.engine is not None
    counts = simulation.engine.counts
    print(
        f"{rows:,} events with {len(program.features)} features in {output}; {counts['dead']:,} dead letters and {counts['repeated']:,} repeated left out"
    )
    if labels is not None:
        print(labels_line(counts))
