"""The note beside a config file: what a run knows of its rules, for `watchgate mode set` and `mode list`."""

from pathlib import Path

import structlog

from integration.config_seen import Seen, SeenRule, write_seen
from jobs.engine import Engine
from schemas.cloudevents import iso

log = structlog.get_logger("watchgate")


def note_rules(config: Path, timeline: str, engine: Engine) -> None:
    """Replaces the note. Losing it loses nothing, so a disk that is full is a line in the log."""
    counts = engine.rules
    modes = engine.modes_now()
    rules = {
        rule.name: SeenRule(
            rule.digest,
            modes.get(rule.name, rule.mode),
            counts[rule.name, "live"],
            counts[rule.name, "shadow"],
            counts[rule.name, "acted"],
            counts[rule.name, "shadow_acted"],
        )
        for rule in engine.program.rules
    }
    at = None if engine.clock is None else iso(engine.clock)
    try:
        write_seen(config, Seen(engine.program.name, timeline, at, engine.counts["judged"], rules))
    except OSError as error:
        log.warning("the note beside the config file was not written", error=error.strerror)
