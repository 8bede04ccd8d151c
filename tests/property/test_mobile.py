"""Whatever is written, the gateway reads what phonenumbers reads, and reads a list as it reads each of it."""

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st
from phonenumbers import NumberParseException, PhoneNumberType

from benchmarks.numbers import REGIONS, by_library, disagreements, hostile
from protocol.mobile import LONGEST, Numbers, Reading, Unassigned, Unusable

homes = st.sampled_from(REGIONS)
anything = st.text(st.characters(codec=None), max_size=60)
pieces = [*"0123456789+-.()/x*#,;=eE\n\t\uff10\uff12\u200b\ud800", *" " * 5]
pieces += ["+27", "27", "00", "011", "(0)", "82", "34", "7911", ".0"]
like_numbers = st.lists(st.sampled_from(pieces), max_size=20).map("".join)
generated = st.builds(hostile, st.randoms(use_true_random=False), homes)
numbers = st.one_of(anything, like_numbers, generated)


def number_in(reading: Reading) -> int | None:
    return reading if isinstance(reading, int) else None


@pytest.mark.parametrize("seed", range(4))
def test_read_many_agrees_with_the_library_on_generated_numbers(seed: int) -> None:
    """`python -m benchmarks.numbers --agreement 1000000` does the same for longer."""
    assert list(disagreements(15_000, seed)) == []


@given(homes, numbers)
def test_read_agrees_with_the_library_on_anything(region: str, written: str) -> None:
    assert number_in(Numbers(region).read(written)) == by_library(written, region)


@given(homes, st.lists(numbers, max_size=20))
def test_read_many_reads_each_as_if_alone(region: str, written: list[str]) -> None:
    reader = Numbers(region)
    assert reader.read_many(written) == [reader.read(text) for text in written]


@given(homes, numbers, st.integers(0, 5000))
def test_read_says_in_one_short_line_of_utf8_what_is_wrong(region: str, written: str, repeated: int) -> None:
    reading = Numbers(region).read(written * repeated)
    if not isinstance(reading, int):
        assert reading.message.isprintable()
        assert len(reading.message.encode()) < 400


@given(homes, generated)
def test_read_keeps_an_invalid_number_only_if_it_is_as_long_as_an_example_of_its_country(
    region: str, written: str
) -> None:
    reading = Numbers(region).read(written)
    if "(0)" in written or len(written.strip()) > LONGEST or isinstance(reading, int):
        return
    try:
        number = phonenumbers.parse(written.strip(), region)
    except NumberParseException:
        assert isinstance(reading, Unusable)
        return
    country = phonenumbers.region_code_for_country_code(number.country_code or 0)
    examples = [
        phonenumbers.example_number_for_type(country, kind)
        for kind in (PhoneNumberType.MOBILE, PhoneNumberType.FIXED_LINE)
    ]
    lengths = {len(phonenumbers.national_significant_number(example)) for example in examples if example}
    long_enough = len(phonenumbers.national_significant_number(number)) in lengths
    ruined = isinstance(reading, Unusable) and "spreadsheet" in reading.message
    assert isinstance(reading, Unassigned) == (long_enough and not ruined)


@given(
    st.integers(810_000_000, 869_999_999), st.lists(st.sampled_from(" -().\N{NO-BREAK SPACE}"), min_size=9, max_size=9)
)
def test_read_is_the_same_however_a_number_is_spaced(national: int, marks: list[str]) -> None:
    digits = str(national)
    spaced = "".join(digit + mark for digit, mark in zip(digits, marks, strict=True))
    reader = Numbers("ZA")
    assert number_in(reader.read(f"+27{spaced}")) == number_in(reader.read(f"+27{digits}"))
