"""What parts of a text did to its score: the score without each part, for a verdict that says where to look."""

import re
from collections.abc import Iterator

from models.text_ngrams import MOST_CHARACTERS

MOST_PARTS = 24
"""Of a text: the words of a longer one are taken together, neighbours with neighbours, so that a hit costs 25 scores."""

_WORD = re.compile(r"\S+")


def parts(text: str) -> list[tuple[int, int]]:
    """(start, end) of the parts, in characters of the text: words, or as many neighbouring words as leave 24 parts.

    Of a text that is not read as a whole only what is read.
    """
    words = [word.span() for start, end in _read(text) for word in _WORD.finditer(text, start, end)]
    each = -(-len(words) // MOST_PARTS)
    together = [words[i : i + each] for i in range(0, len(words), each)] if words else []
    return [(some[0][0], some[-1][1]) for some in together]


def without(text: str, found: list[tuple[int, int]]) -> Iterator[str]:
    """The text as it is read, as a whole and then without each part."""
    read = _read(text)
    for start, end in [(0, 0), *found]:
        yield "".join(text[a : max(a, min(b, start))] + text[min(b, max(a, end)) : b] for a, b in read)


def _read(text: str) -> list[tuple[int, int]]:
    half = MOST_CHARACTERS // 2
    return [(0, half), (len(text) - half, len(text))] if len(text) > MOST_CHARACTERS else [(0, len(text))]
