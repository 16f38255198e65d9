"""entropy: how unpredictable the characters of a text are."""

import math
from collections import Counter

import polars as pl

from operators.expressions.functions.signature import Arguments, Function
from operators.expressions.functions.unique import by_unique_text
from operators.expressions.types import Type


def entropy(text: str) -> float:
    """Shannon entropy in bits a character: -sum p * log2 p over the different characters; 0 for the empty text.

    >>> entropy("aaaa"), entropy("abcd")
    (0.0, 2.0)
    """
    counts = Counter(text).values()
    if len(counts) < 2:
        return 0.0
    # In the order of size, so that the order of the characters cannot change the last bit of the sum.
    return math.log2(len(text)) - sum([n * math.log2(n) for n in sorted(counts) if n > 1]) / len(text)


def _entropy(args: Arguments) -> tuple[pl.Expr, Type]:
    return by_unique_text(args.text(0), entropy, Type.NUMBER.dtype), Type.NUMBER


FUNCTIONS = (Function("entropy", "entropy(text)", 1, 1, _entropy),)
