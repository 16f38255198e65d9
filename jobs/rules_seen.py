"""The note beside a config file: what a run knows of its rules, for `watchgate mode set`, `mode list`, and the runs to come."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import structlog

from integration.config_log import ConfigLine
from integration.config_seen import Seen, SeenRule, bind, read_seen, unbound, write_seen
from jobs.engine import Document, Engine
from schemas.times import iso

log = structlog.get_logger("watchgate")


class RulesNote:
    """The note of one run. `config`: the log, None where it is no file, and so has no note."""

    def __init__(self, config: Path | None) -> None:
        self._config = config
        self._bound: dict[str, str] | None = None

    def offer(self, engine: Engine, timeline: str, lines: Sequence[ConfigLine]) -> list[Document]:
        """Gives config records to the engine. A mode that was set before any job had run, for no version of its rule, is for the
        version of the first job with this log: another state folder, or another policy, does not let another rule act.
        """
        if self._config is None:
            return engine.offer_config(lines)
        if self._bound is None:
            seen = read_seen(self._config)
            self._bound = dict(seen.bound) if seen is not None and seen.timeline == timeline else {}
        notices: list[Document] = []
        for line in lines:
            told = engine.offer_config([replace(line, data=bind(line.data, self._bound))])
            notices += told
            # A record may be told of by nothing at all: only one that sets a mode is looked at.
            if (found := unbound(line.data)) is None:
                continue
            for document in told:
                detail = document["detail"]
                if document["kind"] == "config_applied" and isinstance(detail, dict):
                    self._bound[found] = str(detail["digest"])
        return notices

    def write(self, engine: Engine, timeline: str) -> None:
        """Replaces the note. Losing it loses no record, so a disk that is full is a line in the log."""
        if self._config is None:
            return
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
            write_seen(
                self._config,
                Seen(engine.program.name, timeline, at, engine.counts["judged"], rules, self._bound or {}),
            )
        except OSError as error:
            log.warning("the note beside the config file was not written", error=error.strerror)
