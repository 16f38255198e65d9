"""A progress bar on a terminal, log lines everywhere else."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog
from rich.console import Console
from rich.progress import BarColumn, Task, TextColumn
from rich.progress import Progress as Bar
from rich.progress_bar import ProgressBar

from jobs.job_plan import Progress
from schemas.times import iso

_LOG_EVERY_S = 10.0
_DRAW_EVERY_S = 0.1

log = structlog.get_logger("watchgate")


class _Bar(BarColumn):
    """Nothing where the length is not known: rich would draw a full bar."""

    def render(self, task: Task) -> ProgressBar:
        return ProgressBar(total=1, width=0) if task.total is None else super().render(task)


@contextmanager
def show_progress() -> Iterator[Callable[[Progress], None]]:
    """Gives the function that a job reports its progress to: events, events/s, event time reached."""
    started = time.monotonic()
    last = started

    def rate(progress: Progress) -> int:
        return int(progress.events / max(time.monotonic() - started, 1e-9))

    if sys.stderr.isatty():
        columns = (_Bar(bar_width=30), TextColumn("{task.description}"))
        with Bar(*columns, console=Console(stderr=True), transient=True, auto_refresh=False) as bar:
            task = bar.add_task("", total=None)

            def draw(progress: Progress) -> None:
                nonlocal last
                if time.monotonic() - last >= _DRAW_EVERY_S:
                    last = time.monotonic()
                    reached = "" if progress.clock_ms is None else f", reached {iso(progress.clock_ms)}"
                    words = f"{progress.events:,} events, {rate(progress):,} events/s{reached}"
                    bar.update(task, description=words, total=progress.bytes, completed=progress.byte, refresh=True)

            yield draw
        return

    def write(progress: Progress) -> None:
        nonlocal last
        if time.monotonic() - last >= _LOG_EVERY_S:
            last = time.monotonic()
            reached = None if progress.clock_ms is None else iso(progress.clock_ms)
            log.info("progress", events=progress.events, events_per_s=rate(progress), reached=reached)

    yield write
