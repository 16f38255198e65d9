"""Lists from files: read when a job is submitted, put into the rows of each shard when it starts."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import polars as pl

from integration.list_files import read_list
from jobs.flink_job.map_store import KeyedMap
from jobs.flink_job.shards import shard_names
from operators.keys import bytes_of
from operators.kind_observer import KindObserver
from operators.plan import Program
from operators.shards import shards_of

Members = Mapping[str, Mapping[str, tuple[bytes, ...]]]
"""By shard name, then by list: the keys of its entities."""


def read_members(program: Program, folder: Path) -> dict[str, dict[str, tuple[bytes, ...]]]:
    """The entities of all lists of a policy that come from files of `folder`. Raises ListFileError."""
    members: dict[str, dict[str, tuple[bytes, ...]]] = {}
    for name, spec in program.policy.lists.items():
        if spec.source is None:
            continue
        kind = program.kinds[spec.of]
        texts = read_list(folder / spec.source, name, len(kind.key) or 1)
        keys = pl.Series(sorted({bytes_of(parts, kind) for parts in texts}), dtype=pl.Binary)
        for number, shard in enumerate(shard_names(spec.of)):
            mine = keys.filter(pl.Series(shards_of(keys) == number)).to_list() if len(keys) else []
            members.setdefault(shard, {})[name] = tuple(mine)
    return members


def mark(
    observer: KindObserver,
    lists: Mapping[str, Sequence[bytes]],
    state: KeyedMap,
    listed: Callable[[str, bytes], bool] = lambda name, key: False,
) -> None:
    """Brings a shard's rows in step with the files. `state`: who was on each list before, `<list>/<key>` as Latin-1.
    Who is `listed` otherwise stays on a list.

    All of a list is marked again: a policy that did not have the list may have been in force in between.
    """
    before = set(state.keys())
    for name, now in lists.items():
        if name not in observer.plan.lists:
            continue
        names = {f"{name}/{key.decode('latin-1')}": key for key in now}
        gone = [key for key in before if key.startswith(f"{name}/") and key not in names]
        off = [key.removeprefix(f"{name}/").encode("latin-1") for key in gone]
        observer.mark_list(name, now, [key for key in off if not listed(name, key)])
        state.remove(gone)
        added = {key: b"1" for key in names if key not in before}
        if added:
            state.put_all(added)
