"""All labels of a file as they stood at a time: what a model is trained on.

One record a label: `event_id`, `name`, `value` (true, false or a number; null takes a label back), `known_at`. Other
fields are not looked at here.
"""

from dataclasses import dataclass

import numpy as np
import orjson
import polars as pl

from integration.sources import Chunk, SourceError, open_source
from models.learners import TrainingError
from operators.batch import DeadRecord
from operators.decode import Decoder, Sources, decode_records, decode_table
from schemas.policy import Policy
from schemas.times import iso

_AT_ONCE = 16_384
_RECORD = {
    "id": "/event_id",
    "time": "/known_at",
    "fields": {"label_name": {"path": "/name"}},
}


@dataclass(frozen=True, slots=True)
class LabelHistory:
    """The newest label of each event by then: columns event_id, positive. `unread`: records that are no labels; `later`:
    labels that were not known by then.
    """

    labels: pl.DataFrame
    unread: int
    later: int


def read_history(path: str, name: str, until_ms: int | None) -> LabelHistory:
    """The labels `name` that were known by `until_ms` (all where None). O(labels).

    Raises SourceError where the file cannot be read, and TrainingError where it has no such label.
    """
    source = open_source(path)
    decoder = Decoder(Policy.model_validate({"policy": "labels", "events": {"label": _RECORD}, "repeats": 0}))
    frames, names, dead = [], set[str](), list[DeadRecord]()
    try:
        while (chunk := source.read(_AT_ONCE)) is not None:
            frame, bad = _decoded(chunk, decoder)
            dead += [*chunk.dead, *bad]
            names.update(frame["name"].unique().to_list())
            frames.append(frame.filter(pl.col("name") == name))
    finally:
        source.close()
    if not names:
        first = f": the first record is refused, {dead[0].detail}" if dead else ""
        raise TrainingError(
            f"{path} has no labels{first}. A label is {{event_id, name, value, event_time, known_at}}, one a line"
        )
    if name not in names:
        raise TrainingError(f"{path} has no labels named {name}: it has {', '.join(sorted(names))}")
    every = pl.concat(frames)
    known = every if until_ms is None else every.filter(pl.col("known_ms") <= until_ms)
    if known.is_empty():
        assert until_ms is not None
        first_ms = int(every["known_ms"].min())  # type: ignore[arg-type]
        raise TrainingError(
            f"no label {name} was known by {iso(until_ms)}: the first one became known at {iso(first_ms)}. Give a later --until"
        )
    newest = known.sort("known_ms", maintain_order=True).unique("event_id", keep="last", maintain_order=True)
    standing = newest.filter(pl.col("value").is_not_null())
    odd = standing.filter(~pl.col("value").is_between(0.0, 1.0))
    if odd.height:
        event, value = odd["event_id"][0], odd["value"][0]
        raise TrainingError(
            f"label {name} of event {event} is {value:g}: a model learns true or false, or a number from 0 to 1, "
            "true from 0.5 on. Write labels of that kind"
        )
    labels = standing.select("event_id", (pl.col("value") >= 0.5).alias("positive"))
    return LabelHistory(labels, len(dead), every.height - known.height)


def _decoded(chunk: Chunk, decoder: Decoder) -> tuple[pl.DataFrame, list[DeadRecord]]:
    """Columns event_id, name, known_ms, value (NULL: taken back); the records that are no labels."""
    origin = Sources(chunk.names, chunk.index)
    if chunk.kind == "records":
        decoded = decode_records(chunk.records, chunk.offsets, origin, decoder)
        values = [orjson.loads(chunk.records[i]).get("value") for i in decoded.rows.tolist()]
    else:
        decoded = decode_table(chunk.table, chunk.offsets, origin, decoder, chunk.text)
        if "value" not in chunk.table.columns:
            raise SourceError(f"{chunk.names[0][0]} has no column value: a label says true, false or a number there")
        values = chunk.table["value"].gather(decoded.rows).to_list()
    numbers = [_number(value) for value in values]
    frame = pl.DataFrame(
        {
            "event_id": decoded.frame["event_id"],
            "name": decoded.frame["label_name"],
            "known_ms": decoded.frame["event_time"].to_physical(),
            "value": pl.Series([number if sound else None for number, sound in numbers], dtype=pl.Float64),
        }
    )
    sound = np.array([sound for _, sound in numbers], dtype=np.bool_) & frame["name"].is_not_null().to_numpy()
    strange = [
        DeadRecord(decoded.origin(row), "labels", "bad_label", "value", _STRANGE, "", b"")
        for row in np.flatnonzero(~sound).tolist()
    ]
    return frame.filter(pl.Series(sound)), [*decoded.dead, *strange]


_STRANGE = "a label needs a name, and true, false, a number or null as its value"
_TEXTS = {"true": 1.0, "false": 0.0}


def _number(value: object) -> tuple[float | None, bool]:
    """The value of a label and whether it is one; cells of a CSV file are texts."""
    if value is None or value == "":
        return None, True
    if isinstance(value, str):
        value = _TEXTS.get(value.lower(), value)
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None, False
    return number, bool(np.isfinite(number))
