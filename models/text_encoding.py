"""Texts as the inputs of a text model's graph: `numbers` of all n-grams, and where those of each text end."""

from collections.abc import Callable, Iterator, Mapping

import numpy as np
import numpy.typing as npt
import polars as pl

from models.text_ngrams import BITS, MOST_CHARACTERS, ngrams_in_parts
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
) -> Callable[[pl.Series], Iterator[tuple[int, dict[str, npt.NDArray[np.generic]]]]]:
    """The encoder of a manifest. Raises ModelError for options that are not this version's."""
    if dict(options) != _OPTIONS:
        raise ModelError(
            f"text encoding {KIND} has options {dict(options)}, and here it has {_OPTIONS}: use the version of watchgate that trained the model"
        )
    return feeds


def feeds(texts: pl.Series) -> Iterator[tuple[int, dict[str, npt.NDArray[np.generic]]]]:
    """How many texts (String, no NULL), and the graph's inputs for them; until all are done."""
    for part in ngrams_in_parts(texts):
        yield len(part.ends), {"numbers": part.numbers, "ends": part.ends}
