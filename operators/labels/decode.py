"""Label records to columns, with the same rigour as events; a bad one becomes a dead letter.

    {"event_id": "t1", "name": "fraud", "value": true, "event_time": "2026-03-02T09:00:00Z", "known_at": "2026-03-09T11:20:00Z",
     "keys": {"terminal": "T55"}, "amount": 12.5, "source": "chargebacks"}

`value` is a number or a boolean; null takes a label back. `keys` names the event's entities by kind: a text, a list of
texts for a key of several columns or an `each:` kind. `amount` and `source` may be left out.
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
import polars as pl

from operators.batch import DeadRecord
from operators.decode import Decoded, Decoder, Sources, decode_records, decode_table
from operators.plan import Program
from operators.pointer import kind_of
from schemas.policy import Policy
from schemas.problem import nearest, show

LABEL_COLUMNS = ("event_id", "name", "value", "event_ms", "known_ms", "amount", "source")
LARGEST = 2.0**46 / 10**6
"""Of a label's value: what windows can sum exactly with 6 decimals."""

Horizon = int | npt.NDArray[np.int64] | None

_Fault = tuple[str, str, str]
"""Reason, field and detail of a dead letter."""

_NAME = r"^[a-z][a-z0-9_]{0,62}$"
_LONGEST = 63
"""Characters of a name."""
_HINT = "fix what writes the labels"
_FIELD = re.compile(r"^field \w+ at (\S+) ")
_PLAIN = ("string", "integer", "float", "decimal", "boolean", "ip")


class LabelDecoder:
    """Decodes labels of the events of a program. `kinds`: the entity kinds that a label may name, a column `key:KIND` each."""

    def __init__(self, program: Program) -> None:
        self.kinds = tuple(program.kinds)
        fields: dict[str, Any] = {
            "name_of_label": {"path": "/name"},
            "amount": {"path": "/amount", "type": "float"},
            "source": {"path": "/source"},
        }
        for number, (name, kind) in enumerate(program.kinds.items()):
            listed = kind.each is not None or len(kind.key) > 1
            of = "list<string>" if listed else _type_of(program, kind.key[0])
            fields[f"key_{number}"] = {"path": f"/keys/{name}", "type": of}
        record = {"id": "/event_id", "time": "/event_time", "ingest": "/known_at", "fields": fields}
        self._decoder = Decoder(Policy.model_validate({"policy": "labels", "events": {"record": record}, "repeats": 0}))

    def records(
        self, records: Sequence[bytes], offsets: npt.NDArray[np.int64], source: Sources, horizon_ms: Horizon
    ) -> tuple[pl.DataFrame, list[DeadRecord]]:
        """Columns `LABEL_COLUMNS`, `__offset` and one a kind, in order; the records that are no labels.

        `horizon_ms`: no label is known after it; one time, or one a record.
        """
        decoded = decode_records(records, offsets, source, self._decoder)
        read = [orjson.loads(records[i]) for i in decoded.rows.tolist()]
        values = [record.get("value") for record in read]
        unknown = {
            row: told for row, record in enumerate(read) if (told := self._wrong_keys(record.get("keys"))) is not None
        }
        return self._labels(decoded, values, unknown, horizon_ms, records.__getitem__)

    def table(
        self,
        table: pl.DataFrame,
        offsets: npt.NDArray[np.int64],
        source: Sources,
        text: bool,
        horizon_ms: Horizon,
        payload: Any,
    ) -> tuple[pl.DataFrame, list[DeadRecord]]:
        """The same for rows of a table; keys are columns `keys.KIND`, or fields of a column `keys`."""
        decoded = decode_table(table, offsets, source, self._decoder, text)
        column = table["value"] if "value" in table.columns else pl.Series("value", [None] * table.height)
        values = column.gather(decoded.rows).to_list()
        if text:
            values = [_parsed(value) for value in values]
        return self._labels(decoded, values, self._unknown_columns(table, decoded, text), horizon_ms, payload)

    def _wrong_keys(self, keys: object) -> _Fault | None:
        """What is wrong with the names in `keys`: a kind that is no entity of the policy would be lost without a word."""
        if not isinstance(keys, dict):  # the decoder has refused what is no object, where the policy has entities
            return None
        unknown = next((kind for kind, key in keys.items() if key is not None and kind not in self.kinds), None)
        return None if unknown is None else self._no_entity(unknown)

    def _unknown_columns(self, table: pl.DataFrame, decoded: Decoded, text: bool) -> dict[int, _Fault]:
        columns = {name.removeprefix("keys."): table[name] for name in table.columns if name.startswith("keys.")}
        if isinstance(table.schema.get("keys"), pl.Struct):
            columns |= {field.name: field for field in table["keys"].struct.unnest()}
        found: dict[int, _Fault] = {}
        for kind, column in columns.items():
            if kind in self.kinds:
                continue
            given = column.gather(decoded.rows)
            named = given.is_not_null() & (given != "") if text else given.is_not_null()
            found |= dict.fromkeys(named.arg_true().to_list(), self._no_entity(kind))
        return found

    def _no_entity(self, kind: str) -> _Fault:
        meant = nearest(kind[:_LONGEST], self.kinds)
        known = f"did you mean {meant}?" if meant else f"it has {', '.join(self.kinds) or 'none'}"
        return "unknown_entity", "keys", f"/keys has {show(kind)}, which is no entity of the policy: {known}"

    def _labels(
        self, decoded: Decoded, values: list[object], faults: dict[int, _Fault], horizon_ms: Horizon, payload: Any
    ) -> tuple[pl.DataFrame, list[DeadRecord]]:
        if isinstance(horizon_ms, np.ndarray):
            latest = pl.lit(pl.Series(horizon_ms[decoded.rows]))
        else:
            latest = pl.lit(horizon_ms, pl.Int64)  # NULL, which no label is after, where there is no bound
        frame = decoded.frame
        wrong = {
            i: kind_of(value) for i, value in enumerate(values) if type(value) not in (bool, int, float, type(None))
        }
        numbers = pl.Series("value", [None if i in wrong else value for i, value in enumerate(values)], dtype=pl.Float64, strict=False)  # fmt: skip
        labels = frame.select(
            "event_id",
            pl.col("name_of_label").alias("name"),
            numbers,
            pl.col("event_time").to_physical().alias("event_ms"),
            pl.col("ingest_time").to_physical().alias("known_ms"),
            "amount",
            "source",
            "__offset",
            *(
                pl.col(f"key_{n}").alias(f"key:{kind}")
                if frame.schema[f"key_{n}"] == pl.List
                else pl.col(f"key_{n}").cast(pl.String).alias(f"key:{kind}")
                for n, kind in enumerate(self.kinds)
            ),
        )
        found: dict[int, _Fault] = faults | {
            row: ("wrong_type", "value", f"/value is {kind}, it should be a number, a boolean or null")
            for row, kind in wrong.items()
        }
        for reason, of, detail, rows in (
            ("out_of_range", "value", f"/value is a number beyond {LARGEST:.15g}, which windows cannot sum exactly", pl.col("value").abs() > LARGEST),
            ("wrong_type", "name", "/name is missing or no name: lower-case letters, digits and _, a letter first", ~pl.col("name").str.contains(_NAME).fill_null(False)),
            ("bad_time", "known_at", "/known_at lies before /event_time: nothing is known before it happened", pl.col("known_ms") < pl.col("event_ms")),
            ("future_time", "known_at", "/known_at lies more than 5 minutes in the future", pl.col("known_ms") > latest),
        ):  # fmt: skip
            for row in labels.select(rows.fill_null(False).arg_true()).to_series().to_list():
                found.setdefault(row, (reason, of, detail))
        dead = [_of_labels(record) for record in decoded.dead]
        for row, (reason, field, detail) in found.items():
            origin, at = decoded.origin(row), int(decoded.rows[row])
            dead.append(
                DeadRecord(origin, "labels", reason, field, detail, _HINT, payload(at), labels["event_id"][row])
            )
        dead.sort(key=lambda record: record.origin.offset)
        if found:
            labels = labels.with_row_index("__row").filter(~pl.col("__row").is_in(list(found))).drop("__row")
        return labels, dead


def _type_of(program: Program, column: str) -> str:
    """The type of a key column; derived ones are given as text."""
    for event in program.events.values():
        if column in event.fields:
            of = event.fields[column].type
            return of if of in _PLAIN and of != "decimal" else "string"
    return "string"


def _of_labels(record: DeadRecord) -> DeadRecord:
    """A fault of the decoder in words that fit a label, which has no policy of its own."""
    detail = _FIELD.sub(r"\1 ", record.detail).replace("the policy says", "it should be")
    field = None if record.field is None else detail.split(" ")[0].strip("/")
    return replace(record, stage="labels", field=field, detail=detail, hint=_HINT)


def _parsed(text: object) -> object:
    if not isinstance(text, str) or text == "":
        return None
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    try:
        return float(text)
    except ValueError:
        return text
