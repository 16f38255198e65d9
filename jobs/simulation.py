"""The stages over a file with nothing kept: what `features`, `rules test`, `rules explain` and the demo ask "what if" with."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from integration.config_file import ConfigFile
from integration.sources import open_source
from jobs.engine import Engine, Outcome
from jobs.entity_lists import EntityLists, read_lists
from jobs.label_feed import LabelFeed
from jobs.reading import Reader, times_of
from operators.clock import AHEAD_MS
from operators.config_records import Choose
from operators.plan import Program
from operators.scoring import NoScorers, Scorers
from operators.store import MemoryState

CompilePolicy = Callable[[dict[str, object]], Program]
SIMULATION_KEY = b"simulation"
"""Nothing of a simulation is published, so its keyed hashes need no secret."""


@dataclass(slots=True)
class Simulation:
    """One pass over a source. Iterate it for the outcome of each batch; `engine` has the counts."""

    program: Program
    compile_policy: CompilePolicy
    source: str
    lists: Path
    config: Path | None = None
    labels: str | None = None
    batch_size: int = 16_384
    keep_observed: bool = False
    wall: Callable[[], float] = time.time
    cache_bytes: int = 256 << 20
    scorers: Scorers = field(default_factory=NoScorers)
    choose: Choose | None = None
    engine: Engine | None = None
    byte: int = 0
    """How far into the source the last batch was, where it is read by bytes."""

    def __iter__(self) -> Iterator[Outcome]:
        """Raises SourceError, ConfigFileError and ListFileError before the first batch."""
        config = ConfigFile(self.config) if self.config else None
        state = MemoryState()
        engine = self.engine = Engine(
            self.program,
            state,
            self.compile_policy,
            timeline_id=config.timeline if config else None,
            pii_key=SIMULATION_KEY,
            keep_observed=self.keep_observed,
            cache_bytes=self.cache_bytes,
            scorers=self.scorers,
            choose=self.choose,
        )
        EntityLists(self.program, state, read_lists(self.program, self.lists)).load(engine)
        if config:
            engine.offer_config(config.read_new())
        horizon = engine.intake.horizon_ms = int(self.wall() * 1000) + AHEAD_MS
        policy = self.program.policy
        source = open_source(self.source, time_of=partial(times_of, policy), horizon_ms=horizon)
        reader = Reader(source, policy, self.batch_size, None)
        feed = None if self.labels is None else LabelFeed(self.labels, self.program, None, horizon)
        engine.labels = feed
        try:
            for item in reader:
                if item is None:
                    continue
                self.byte = int(item.position.get("byte") or 0)
                yield engine.process(item.decoded, item.following, item.payload, item.broken, item.forged)
                if engine.needs_checkpoint:
                    state.commit(engine.changes())
        finally:
            reader.close()
            if feed is not None:
                feed.close()
