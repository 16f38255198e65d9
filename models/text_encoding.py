"""Texts as the inputs of a text model's graph: `numbers` of all n-grams, and where those of each text end."""

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt
import polars as pl

from models.text_ngrams import BITS, MOST_CHARACTERS, ngrams
from operators.scoring import ModelError
from schemas.manifest import TextEncoding

KIND = "ngrams1"
"""Changes with anything in `models.text_ngrams` or `models.text_characters` that changes a number."""
_OPTIONS: dict[str, bool | int | float | str] = {"bits": BITS, "most_characters": MOST_CHARACTERS}


def encoding() -> TextEncoding:
    """What a manifest says of how texts become n-grams."""
    return TextEncoding(kind=KIND, options=dict(_OPTIONS))


def text_encoder(
    options: Mapping[str, bool | int | float | str],
) -> Callable[[pl.Series], dict[str, npt.NDArray[np.generic]]]:
    """The encoder of a manifest. Raises ModelError for options that are not this version's."""
    if dict(options) != _OPTIONS:
        raise ModelError(
            f"text encoding {KIND} has options {dict(options)}, and here it has {_OPTIONS}: use the version of watchgate that trained the model"
        )
    return feeds


def feeds(texts: pl.Series) -> dict[str, npt.NDArray[np.generic]]:
    """The graph's inputs for texts (String, no NULL)."""
    found = ngrams(texts)
    return {"numbers": found.numbers, "ends": found.ends}
