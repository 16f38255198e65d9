"""Where the key of hashed fields comes from."""

from pathlib import Path

import pytest

from integration.pii_key import PiiKeyError, read_pii_key


def test_a_key_is_the_variable_or_what_a_file_holds_without_its_line_end(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_bytes(b"a secret of ours\n")
    assert read_pii_key({}) is None
    assert read_pii_key({"WATCHGATE_PII_KEY": "", "WATCHGATE_PII_KEY_FILE": ""}) is None
    assert read_pii_key({"WATCHGATE_PII_KEY": "a secret of ours"}) == b"a secret of ours"
    assert read_pii_key({"WATCHGATE_PII_KEY_FILE": str(file)}) == b"a secret of ours"
    assert read_pii_key({"WATCHGATE_PII_KEY": "x" * 99}) == b"x" * 64


def test_a_file_that_holds_no_key_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "key"
    with pytest.raises(PiiKeyError) as missing:
        read_pii_key({"WATCHGATE_PII_KEY_FILE": str(file)})
    assert str(missing.value) == f"WATCHGATE_PII_KEY_FILE names {file}, which cannot be read: No such file or directory"
    file.write_bytes(b"\r\n")
    with pytest.raises(PiiKeyError) as empty:
        read_pii_key({"WATCHGATE_PII_KEY_FILE": str(file)})
    assert str(empty.value) == f"WATCHGATE_PII_KEY_FILE names {file}, which is empty: write a secret that stays into it"
    with pytest.raises(PiiKeyError) as both:
        read_pii_key({"WATCHGATE_PII_KEY": "a", "WATCHGATE_PII_KEY_FILE": str(file)})
    assert (
        str(both.value)
        == "WATCHGATE_PII_KEY and WATCHGATE_PII_KEY_FILE are both set: unset one, so that it is clear which key counts"
    )
