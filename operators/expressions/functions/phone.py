"""phone_country: where a text asks to be called."""

import re

import polars as pl

from operators.expressions.functions.signature import Arguments, Function
from operators.expressions.functions.unique import by_unique_text
from operators.expressions.types import Type

_CANDIDATE = re.compile(r"[+＋][\s.()/-]{0,3}\d[\d\s.()/‐-―-]{5,24}")
_CUT = re.compile(r"[\s.()/‐-―-]+\d+\D*$")
_MOST = 16
"""Candidates looked at in one text."""


def phone_country(text: str) -> str | None:
    """ISO region (two letters) of the first valid international number of a text, written with +; None where there is
    none.

    Numbers that belong to no country (+800) have no region. A number run together with digits after a space is cut
    there.

    >>> phone_country("whatsapp me +44 20 7946 0018 now")
    'GB'
    """
    if "+" not in text and "＋" not in text:
        return None
    for count, match in enumerate(_CANDIDATE.finditer(text)):
        if count == _MOST:
            break
        region = _region(match[0])
        if region is not None:
            return region
    return None


def _region(candidate: str) -> str | None:
    import phonenumbers  # a second of metadata, only for policies that ask

    while len(candidate) > 6:
        try:
            number = phonenumbers.parse(candidate, None)
        except phonenumbers.NumberParseException:
            number = None
        if number is not None and phonenumbers.is_valid_number(number):
            region = phonenumbers.region_code_for_number(number)
            return str(region) if region and region.isalpha() else None
        shorter = _CUT.sub("", candidate)
        if shorter == candidate:
            return None
        candidate = shorter
    return None


def _phone_country(args: Arguments) -> tuple[pl.Expr, Type]:
    return by_unique_text(args.text(0), phone_country, Type.STRING.dtype), Type.STRING


FUNCTIONS = (Function("phone_country", "phone_country(text)", 1, 1, _phone_country),)
