"""Encodings of text: how a text becomes the arrays that a text model takes, the same in training and in scoring."""

from collections.abc import Callable, Iterator, Mapping

import numpy as np
import numpy.typing as npt
import polars as pl

from models import text_encoding
from operators.scoring import ModelError
from schemas.manifest import TextEncoding

Options = Mapping[str, bool | int | float | str]
Encoder = Callable[[pl.Series], Iterator[tuple[int, dict[str, npt.NDArray[np.generic]]]]]
"""From texts (String, no NULL) to calls of the model, in order: how many texts, and its inputs by tensor name. What a text
gives depends on that text only, and no call is larger than its encoder allows.
"""

ENCODINGS: dict[str, Callable[[Options], Encoder]] = {text_encoding.KIND: text_encoding.text_encoder}
"""By the name in the manifest: what makes an encoder of its options."""


def encoder_of(encoding: TextEncoding) -> Encoder:
    """The encoder of a manifest. Raises ModelError for one that this version does not know."""
    make = ENCODINGS.get(encoding.kind)
    if make is None:
        known = ", ".join(sorted(ENCODINGS)) or "none"
        raise ModelError(
            f"text encoding {encoding.kind} is not known here (known: {known}): use the version of watchgate that trained the model"
        )
    return make(encoding.options)
