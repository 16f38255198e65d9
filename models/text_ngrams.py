"""Texts become numbers of n-grams: hashed pieces of 2 to 5 characters, words, and pairs of words.

This is the one place that does it, for training and for scoring. Whole columns at a time: about 10 us a text of 85
characters. What a text gives depends on that text only, and each n-gram counts once, however often it is repeated.

    characters  folded (case, accents, look-alikes, width), invisible ones dropped, runs of white space as one space, a space
                before and behind; pieces of 2 to 5 may cross words
    words       runs of letters and digits; every other character that is seen is a word of its own
    hash        h = h * 0x9E3779B1 + c over 32 bits, c from the character table; words sum c * 0x01000193^place; then the
                finaliser of MurmurHash3 on h xor the kind of n-gram, of which the upper bits are kept
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from models.text_characters import NONE, SPACE, characters

BITS = 18
"""Of an n-gram's number: 262,144 weights are 1 MB, and small enough for a cache."""
LENGTHS = (2, 3, 4, 5)
WORD, PAIR = 101, 102
"""Kinds of n-grams, beside the lengths."""
MOST_CHARACTERS = 4_096
"""Of a text; of a longer one the first and the last half of that are read, so that a text costs 2 ms at most."""
_AT_ONCE = 1 << 16
"""Characters that are worked on together: bounds the memory to about 10 MB, whatever is sent."""

Numbers = npt.NDArray[np.int32]
Places = npt.NDArray[np.int64]
Hashes = npt.NDArray[np.uint32]

_TIMES = np.uint32(0x9E3779B1)
_POWERS = np.cumprod(np.r_[np.uint32(1), np.full(MOST_CHARACTERS + 2, 0x01000193, np.uint32)], dtype=np.uint32)


@dataclass(frozen=True, slots=True)
class Ngrams:
    """`numbers` of all texts one behind the other, ascending and different within a text; those of text i stand at
    ends[i-1]:ends[i].
    """

    numbers: Numbers
    ends: Places


def ngrams(texts: pl.Series) -> Ngrams:
    """The n-grams of each text (String, no NULL); none for a text in which nothing is seen. O(characters)."""
    parts = list(ngrams_in_parts(texts))
    counts = np.concatenate([np.diff(part.ends, prepend=0) for part in parts] or [np.empty(0, np.int64)])
    numbers = np.concatenate([part.numbers for part in parts] or [np.empty(0, np.int32)])
    return Ngrams(numbers, np.cumsum(counts))


def ngrams_in_parts(texts: pl.Series) -> Iterator[Ngrams]:
    """The same, some texts at a time: never more than 65,536 characters, so that long texts need no memory."""
    half = MOST_CHARACTERS // 2
    lengths = texts.str.len_chars().to_numpy().astype(np.int64)
    if len(lengths) and lengths.max() > MOST_CHARACTERS:
        long = texts.str.len_chars() > MOST_CHARACTERS
        texts = texts.zip_with(~long, texts.str.head(half) + texts.str.tail(half))
        lengths = np.minimum(lengths, MOST_CHARACTERS)
    for start, stop in _stretches(lengths):
        yield _ngrams(texts[start:stop], lengths[start:stop])


def _stretches(lengths: Places) -> Iterator[tuple[int, int]]:
    """Spans of texts with at most `_AT_ONCE` characters in all, one text at least."""
    ends = np.cumsum(lengths)
    start = 0
    while start < len(lengths):
        before = ends[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, before + _AT_ONCE, side="right")))
        yield start, stop
        start = stop


def _ngrams(texts: pl.Series, lengths: Places) -> Ngrams:
    codes, starts = _seen(texts, lengths)
    table = characters()
    rows = np.repeat(np.arange(len(lengths), dtype=np.uint32), np.diff(starts))
    mixed, word = table.mixed[codes], table.word[codes]
    found, whose = _pieces(mixed, rows)
    words, of = _words(mixed, word, word | (table.folded[codes] != SPACE), rows)
    found += [_number(words, WORD)]
    whose += [of]
    same = of[1:] == of[:-1]
    found += [_number(words[:-1] * _TIMES + words[1:], PAIR)[same]]
    whose += [of[1:][same]]
    keys = np.concatenate(whose).astype(np.uint64) << np.uint64(BITS) | np.concatenate(found)
    keys.sort()
    keys = keys[np.diff(keys, prepend=np.uint64(2**63)) != 0]
    ends = np.searchsorted(keys, (np.arange(len(lengths), dtype=np.uint64) + np.uint64(1)) << np.uint64(BITS))
    return Ngrams((keys & np.uint64((1 << BITS) - 1)).astype(np.int32), ends)


def _seen(texts: pl.Series, lengths: Places) -> tuple[npt.NDArray[np.uint32], Places]:
    """Code points of all texts, each with a space at both ends, without what is not seen; where each text starts."""
    joined = " " + "  ".join(texts.to_list()) + " "
    codes = np.minimum(np.frombuffer(joined.encode("utf-32-le"), np.uint32), np.uint32(len(characters().folded) - 1))
    starts = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths + 2, out=starts[1:])
    folded = characters().folded[codes]
    if not folded.all():
        codes, starts = _kept(codes, starts, folded != NONE)
        folded = characters().folded[codes]
    space = folded == SPACE
    space[1:] &= space[:-1]
    space[starts[:-1]] = False
    return _kept(codes, starts, ~space)


def _kept(
    codes: npt.NDArray[np.uint32], starts: Places, keep: npt.NDArray[np.bool_]
) -> tuple[npt.NDArray[np.uint32], Places]:
    places = np.zeros(len(keep) + 1, np.int64)
    np.cumsum(keep, out=places[1:])
    return codes[keep], places[starts]


def _pieces(mixed: Hashes, rows: npt.NDArray[np.uint32]) -> tuple[list[Hashes], list[npt.NDArray[np.uint32]]]:
    """Pieces of neighbouring characters of one text, by length, and whose they are."""
    found, whose = [], []
    hashes = mixed
    for length in range(2, max(LENGTHS) + 1):
        hashes = hashes[:-1] * _TIMES + mixed[length - 1 :]
        if length in LENGTHS:
            first = rows[: len(hashes)]
            whole = first == rows[length - 1 :]
            found.append(_number(hashes, length)[whole])
            whose.append(first[whole])
    return found, whose


def _words(
    mixed: Hashes, word: npt.NDArray[np.bool_], seen: npt.NDArray[np.bool_], rows: npt.NDArray[np.uint32]
) -> tuple[Hashes, npt.NDArray[np.uint32]]:
    """The hash of each word, and whose it is. Texts are parted by a space, so no word is of two."""
    begins = seen.copy()
    begins[1:] &= ~(word[1:] & word[:-1])
    places = np.flatnonzero(begins)
    if not len(places):
        return np.empty(0, np.uint32), np.empty(0, np.uint32)
    # The place in the word: how far behind the newest beginning.
    distance = np.arange(len(mixed)) - places[np.maximum(np.cumsum(begins) - 1, 0)]
    summed = np.where(seen, mixed * _POWERS[np.clip(distance, 0, len(_POWERS) - 1)], np.uint32(0))
    return np.add.reduceat(summed, places, dtype=np.uint32), rows[places]


def _number(hashes: Hashes, kind: int) -> Hashes:
    """The finaliser of MurmurHash3 (32 bits), then the upper bits."""
    h = (hashes ^ np.uint32(kind)) * np.uint32(0x85EBCA6B)
    h ^= h >> np.uint32(13)
    h *= np.uint32(0xC2B2AE35)
    return h >> np.uint32(32 - BITS)
