import doctest

import pytest
from hypothesis import given
from hypothesis import strategies as st

import schemas.duration
from schemas.duration import format_duration, parse_budget, parse_duration


def test_examples() -> None:
    assert doctest.testmod(schemas.duration).failed == 0


@given(st.integers(0, 3_650 * 86_400_000))
def test_round_trip(ms: int) -> None:
    assert parse_duration(format_duration(ms)) == ms


@pytest.mark.parametrize(
    "text", ["", "h", "1", "1.5h", "-1h", "1H", "1 M", "1h30m", "١h", "9" * 5_000 + "s", None, 5, True]
)
def test_what_is_no_duration(text: object) -> None:
    with pytest.raises(ValueError, match=r"is not a duration: write a whole number and a unit"):
        parse_duration(text)


def test_too_long() -> None:
    with pytest.raises(ValueError, match='"4000d" is too long: a duration is 3650d at most'):
        parse_duration("4000d")


@pytest.mark.parametrize("text", ["", "500", "0/1h", "500/0s", "500/h", "1e3/1h", "/1h", None, 500])
def test_what_is_no_budget(text: object) -> None:
    with pytest.raises(ValueError, match=r"is not a budget: write count/duration, for example 500/1h"):
        parse_budget(text)
