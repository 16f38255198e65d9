"""Entity keys: the bytes that name an entity in state, and the text that a person sees."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl
import xxhash

from operators.hashing import SEED
from operators.plan import KindPlan
from schemas.counted import counted

LONGEST_KEY = 64
"""Bytes. A longer key is kept as a digest: a hostile 60 KB name does not become a 60 KB key."""


@dataclass(frozen=True, slots=True)
class EntityKeys:
    """The entities of a frame, aligned.

    `row` (int64, ascending) is the row an entity came from, `keys` its bytes in state (Binary, no NULL). An `each:`
    kind gives one entity per different element, in the order of the list. `nulls` counts the rows without any entity.
    """

    row: npt.NDArray[np.int64]
    keys: pl.Series
    nulls: int


def entity_keys(frame: pl.DataFrame, plan: KindPlan) -> EntityKeys:
    """Every entity of the kind in `frame`; O(rows), Python only for keys over 64 bytes."""
    if plan.each is not None:
        elements = key_elements(frame, plan)
        row = elements["row"].to_numpy().astype(np.int64)
        return EntityKeys(row, _bounded(elements, pl.col("text")), frame.height - elements["row"].n_unique())
    keys = key_bytes(frame, plan)
    if not keys.null_count():
        return EntityKeys(np.arange(frame.height, dtype=np.int64), keys, 0)
    row = np.flatnonzero(keys.is_not_null().to_numpy())
    return EntityKeys(row, keys.drop_nulls(), frame.height - len(row))


def key_bytes(frame: pl.DataFrame, plan: KindPlan) -> pl.Series:
    """Key bytes of each row: Binary, NULL where a part is NULL or ignored. Not for `each:` kinds.

    One column: its text in UTF-8. Several: every part behind its length, so that ("a", "bc") is not ("ab", "c").
    """
    if len(plan.key) == 1:
        return _bounded(frame, _part(plan.key[0], plan.ignore))
    parts = [_part(name, plan.ignore) for name in plan.key]
    framed = [piece for part in parts for piece in (part.str.len_bytes().cast(pl.String), pl.lit(":"), part)]
    return _bounded(frame, pl.concat_str(framed))


def key_text(frame: pl.DataFrame, plan: KindPlan) -> pl.Series:
    """The key of each row as a person reads it: its values joined by `|`, NULL where the key is. Not for `each:`."""
    parts = [_part(name, plan.ignore) for name in plan.key]
    return frame.select(pl.concat_str(parts, separator="|")).to_series()


def key_elements(frame: pl.DataFrame, plan: KindPlan) -> pl.DataFrame:
    """The entities of an `each:` kind as columns `row` (UInt32) and `text` (String): different elements, order kept."""
    assert plan.each is not None
    lists = frame.select(pl.col(plan.each).list.unique(maintain_order=True).alias("text")).with_row_index("row")
    return lists.explode("text").select("row", _part("text", plan.ignore)).drop_nulls()


def bytes_of(texts: Sequence[str], plan: KindPlan) -> bytes:
    """Key bytes of one entity from the texts of its parts.

    >>> from operators.plan import KindPlan
    >>> bytes_of(["a", "bc"], KindPlan("pair", ("x", "y"), None, (), (), ()))
    b'1:a2:bc'
    """
    columns = plan.key or ("element",)
    if len(texts) != len(columns):
        raise ValueError(
            f"an entity of kind {plan.name} has {counted(len(columns), 'key column')} ({', '.join(columns)}), "
            f"and {counted(len(texts), 'text was', 'texts were')} given"
        )
    encoded = [text.encode() for text in texts]
    key = encoded[0] if len(encoded) == 1 else b"".join(b"%d:%b" % (len(part), part) for part in encoded)
    return _digest(key) if len(key) > LONGEST_KEY else key


def _part(name: str, ignore: tuple[str, ...]) -> pl.Expr:
    text = pl.col(name).cast(pl.String)
    return pl.when(text.is_in(list(ignore)).not_()).then(text).alias(name) if ignore else text


def _bounded(frame: pl.DataFrame, text: pl.Expr) -> pl.Series:
    keys = text.cast(pl.Binary)
    table = frame.select(keys.alias("key"), keys.bin.size().max().alias("longest"))
    if not len(table) or (table["longest"][0] or 0) <= LONGEST_KEY:
        return table["key"]
    at = table.select((pl.col("key").bin.size() > LONGEST_KEY).arg_true()).to_series()
    digests = [_digest(key) for key in table["key"].gather(at).to_list()]
    return table["key"].scatter(at.to_list(), pl.Series(digests, dtype=pl.Binary))


def _digest(key: bytes) -> bytes:
    # No UTF-8 text begins with 0xff, so a digest is never another entity's short key.
    return b"\xff" + xxhash.xxh3_128_digest(key, SEED)
