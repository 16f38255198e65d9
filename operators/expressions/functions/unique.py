"""Costly functions of a text run once for each different text."""

from collections.abc import Callable

import polars as pl


def by_unique_text(expr: pl.Expr, function: Callable[[str], object], dtype: pl.DataType) -> pl.Expr:
    """`function` of each value of a String column, as `dtype`; NULL in, NULL out. One Python call for each different
    value of a batch.
    """

    def apply(texts: pl.Series) -> pl.Series:
        known = texts.drop_nulls().unique()
        answers = pl.Series([function(text) for text in known.to_list()], dtype=dtype)
        return texts.replace_strict(known, answers, default=None, return_dtype=dtype)

    return expr.map_batches(apply, return_dtype=dtype, is_elementwise=True)
