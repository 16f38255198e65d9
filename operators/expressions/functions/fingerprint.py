"""fingerprint: one name for all texts that a reader would call the same."""

import string
import unicodedata

import polars as pl

from operators.expressions.functions.lookalikes import LOOKALIKES
from operators.expressions.functions.signature import Arguments, Function
from operators.expressions.functions.unique import by_unique_text
from operators.expressions.types import Type
from operators.hashing import hash_bytes

_NOT_ALPHANUMERIC = bytes(i for i in range(128) if chr(i) not in string.ascii_letters + string.digits)


def normalize(text: str) -> str:
    """Letters and digits only, in compatibility form, without case and marks, look-alikes as Latin letters, digits of
    any script as 0 to 9.

    Spacing, punctuation, symbols, emoji and invisible characters are gone, so none of them can be used to make a copy
    look new. Digits in place of letters (fr33) are kept: they may be numbers.

    >>> normalize("Frее\\u200b  MОNEY!!! 💰"), normalize("ＦＲＥＥ 𝓶𝓸𝓷𝓮𝔂")
    ('freemoney', 'freemoney')
    """
    if text.isascii():
        return text.lower().encode().translate(None, _NOT_ALPHANUMERIC).decode()
    return unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold()).translate(_FOLD)


class _Fold(dict[int, str]):
    """What `str.translate` puts in place of each character; worked out when a character is first met."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        plain = LOOKALIKES.get(character)
        if plain is None:
            digit = unicodedata.decimal(character, None)
            kept = character if unicodedata.category(character)[0] in "LN" else ""
            plain = kept if digit is None else str(digit)
        self[code] = plain
        return plain


_FOLD = _Fold()


def fingerprint(text: str) -> str | None:
    """16 hexadecimal digits of the hash of the normalised text; None where nothing is left of it (only emoji, only
    punctuation).
    """
    plain = normalize(text)
    return f"{hash_bytes(plain.encode()):016x}" if plain else None


def _fingerprint(args: Arguments) -> tuple[pl.Expr, Type]:
    return by_unique_text(args.text(0), fingerprint, Type.STRING.dtype), Type.STRING


FUNCTIONS = (Function("fingerprint", "fingerprint(text)", 1, 1, _fingerprint),)
