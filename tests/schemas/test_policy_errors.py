"""Golden texts: each file of `mistakes/` makes one kind of mistake, and the .txt beside it is what its author reads.

`WRITE_GOLDEN=1 pytest tests/schemas/test_policy_errors.py` writes them anew; read the difference before you keep it.
"""

import os
import re
from pathlib import Path

import pytest

from schemas.policy_file import PolicyError, load_policy

MISTAKES = Path(__file__).parent / "mistakes"
LEAKS = re.compile(
    r"Input should|pydantic|https?://|Value error|type=|<class|NoneType|ruamel|while parsing|token|\[key\]"
)


def rendered(file: Path) -> str:
    with pytest.raises(PolicyError) as caught:
        load_policy(file)
    return caught.value.render().replace(str(file), file.name)


@pytest.mark.parametrize("file", sorted(MISTAKES.glob("*.yaml")), ids=lambda file: file.stem)
def test_golden(file: Path) -> None:
    text = rendered(file)
    golden = file.with_suffix(".txt")
    if os.environ.get("WRITE_GOLDEN"):
        golden.write_text(text + "\n", encoding="utf-8")
    assert text + "\n" == golden.read_text(encoding="utf-8")


@pytest.mark.parametrize("file", sorted(MISTAKES.glob("*.yaml")), ids=lambda file: file.stem)
def test_no_parser_speaks(file: Path) -> None:
    """Neither pydantic nor the YAML parser is quoted."""
    assert not LEAKS.search(rendered(file))


def test_every_text_has_its_mistake() -> None:
    assert {f.stem for f in MISTAKES.glob("*.txt")} == {f.stem for f in MISTAKES.glob("*.yaml")}
