"""The key of the hashes under which `pii: hash` fields are written out: from a file, or from a variable."""

from collections.abc import Mapping
from pathlib import Path

from schemas.mendable import MendableError

VARIABLE = "WATCHGATE_PII_KEY"
FILE_VARIABLE = "WATCHGATE_PII_KEY_FILE"
_LONGEST = 64
"""Bytes: the longest key that BLAKE2b takes."""


class PiiKeyError(MendableError):
    """The key cannot be had; the text says why and what to do."""


def read_pii_key(environment: Mapping[str, str]) -> bytes | None:
    """The key, None where neither variable is set. A line end behind a key in a file is not part of it."""
    key, file = environment.get(VARIABLE), environment.get(FILE_VARIABLE)
    if not file:
        return key.encode()[:_LONGEST] if key else None
    if key:
        raise PiiKeyError(
            f"{VARIABLE} and {FILE_VARIABLE} are both set: unset one, so that it is clear which key counts"
        )
    try:
        found = Path(file).read_bytes().rstrip(b"\r\n")
    except OSError as error:
        raise PiiKeyError(f"{FILE_VARIABLE} names {file}, which cannot be read: {error.strerror}") from None
    if not found:
        raise PiiKeyError(f"{FILE_VARIABLE} names {file}, which is empty: write a secret that stays into it")
    return found[:_LONGEST]
