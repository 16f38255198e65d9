"""One column expression over rows of which some make it fail.

Whole columns are computed in one call. Only where that raises are the rows that raise found, by halving, so that
every other row has the answer that it would have had without them.
"""

import numpy as np
import numpy.typing as npt
import polars as pl

Mask = npt.NDArray[np.bool_]

FAILURES = (Exception, pl.exceptions.PanicException)
"""What a computation may raise for a value. A panic of polars is not an Exception."""

_SINGLY = 8


def evaluate(frame: pl.DataFrame, expr: pl.Expr, dtype: pl.DataType) -> tuple[pl.Series, Mask | None, str]:
    """The values of `expr`, NULL where it fails; which rows failed (None: none); and the name of the last error.

    O(rows) when nothing fails, else O(failing rows x log rows) calls. An expression that fails on no rows at all is
    wrong for every row.
    """
    try:
        return _column(frame, expr), None, ""
    except FAILURES as error:
        name = type(error).__name__
    failed = np.zeros(frame.height, dtype=np.bool_)
    try:
        _column(frame.clear(), expr)
    except FAILURES:
        return pl.Series("", [None] * frame.height, dtype=dtype), ~failed, name
    pieces: dict[int, pl.Series] = {}
    spans = [(0, frame.height)]
    while spans:
        start, length = spans.pop()
        try:
            pieces[start] = _column(frame.slice(start, length), expr).cast(dtype)
        except FAILURES as error:
            name = type(error).__name__
            if length == 1:
                pieces[start] = pl.Series("", [None], dtype=dtype)
                failed[start] = True
            elif length <= _SINGLY:
                spans += [(start + i, 1) for i in range(length)]
            else:
                spans += [(start, length // 2), (start + length // 2, length - length // 2)]
    return pl.concat([pieces[start] for start in sorted(pieces)]), failed, name


def _column(frame: pl.DataFrame, expr: pl.Expr) -> pl.Series:
    # Beside a column of the frame, so that a constant becomes as long as the frame is.
    return frame.select(pl.col("event_id").alias("__rows"), expr.alias("")).to_series(1)
