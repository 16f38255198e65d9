"""Characters as a text model sees them: one number for all that a reader would take for the same, by table.

The table is made from Unicode 3.2, which Python ships beside the current version for exactly this: a character means the
same on every version of Python, so a model scores as it did where it was trained. Later characters (emoji, mostly) stand
for themselves.
"""

from dataclasses import dataclass
from functools import cache
from unicodedata import ucd_3_2_0 as unicode

import numpy as np
import numpy.typing as npt

from operators.expressions.functions.lookalikes import LOOKALIKES

Codes = npt.NDArray[np.uint32]

SIZE = 0x20000
"""Characters of the table; those beyond it (rare ideographs, private use) count as its last one."""
NONE, SPACE = 0, 32
"""Folded: a character that is not seen at all, and any white space."""

_WHOLE = ((0x3400, 0xA000), (0xAC00, 0xD7A4))
"""Ideographs and Hangul syllables: letters that stand for themselves."""
_UNSEEN = (0xD800, 0xE000)
_NO_SPACES = "\u200b\u180e"
"""Spaces in Unicode 3.2 that have no width, and are format characters since."""


@dataclass(frozen=True, slots=True)
class Characters:
    """By code point: `folded` the character that it is taken for, `word` whether it is part of a word, `mixed` 32 well
    mixed odd bits of the folded character.
    """

    folded: Codes
    word: npt.NDArray[np.bool_]
    mixed: Codes


@cache
def characters() -> Characters:
    """The table; made once, in about 0.1 s."""
    folded = np.arange(SIZE, dtype=np.uint32)
    word = np.zeros(SIZE, np.bool_)
    for start, stop in _WHOLE:
        word[start:stop] = True
    folded[slice(*_UNSEEN)] = NONE
    whole = np.zeros(SIZE, np.bool_)
    for start, stop in (*_WHOLE, _UNSEEN):
        whole[start:stop] = True
    for code in np.flatnonzero(~whole).tolist():
        folded[code] = _fold(chr(code))
    for code in np.unique(folded).tolist():
        word[code] |= unicode.category(chr(code))[0] in "LN"
    codes = np.arange(SIZE, dtype=np.uint64)
    mixed = ((codes * np.uint64(0xD6E8FEB86659FD93)) >> np.uint64(29)).astype(np.uint32) | np.uint32(1)
    # Looked up by the character as it stands in the text: one look-up does for folding and mixing.
    return Characters(folded, word[folded], mixed[folded])


def _fold(character: str) -> int:
    """Compatibility form without marks, small, look-alikes as Latin letters, digits of any script as 0 to 9."""
    if character.isspace() and ord(character) < 128:
        return SPACE
    kind = unicode.category(character)
    if kind == "Cn":
        return ord(LOOKALIKES.get(character, character))
    if character in _NO_SPACES:
        return NONE
    if kind[0] == "Z":
        return SPACE
    if kind[0] in "MC":
        return NONE
    digit = unicode.decimal(character, None)
    if digit is not None:
        return ord(str(digit))
    plain = next((c for c in unicode.normalize("NFKD", character) if unicode.category(c)[0] not in "MZ"), " ")
    small = plain.lower()[:1]
    # The small form may itself be composed (dotted capital I).
    small = next(iter(unicode.normalize("NFKD", small)))
    return min(ord(LOOKALIKES.get(small, small)), SIZE - 1)
