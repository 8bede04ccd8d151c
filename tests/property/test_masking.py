"""No number that the gateway would read gets through the mask, and nothing that it must show is lost."""

from uuid import UUID

from hypothesis import example, given
from hypothesis import strategies as st

from agent.masking import masked, masked_fields
from benchmarks.numbers import REGIONS, hostile
from protocol.mobile import Numbers, usable

PUNCTUATION = "-x\u2010\u2015\u2212\u30fc\uff0d\uff0f \u00a0\u00ad\u200b\u2060\u3000()\uff08\uff09.[]/~\u2053\uff5e*\t"
DIGITS = ("0123456789", "０１２３４５６７８９", "٠١٢٣٤٥٦٧٨٩", "०१२३४५६७८९")
words = st.text(st.characters(categories=("L", "P", "Zs"), exclude_characters=PUNCTUATION + "+\uff0b"), max_size=12)
homes = st.sampled_from(REGIONS)
spelled = st.builds(
    lambda number, marks, digits: "".join(digits[int(each)] + mark for each, mark in zip(number, marks, strict=False)),
    st.integers(10_000_000, 10**15 - 1).map(str),
    st.lists(st.text(PUNCTUATION, max_size=3), min_size=15, max_size=15),
    st.sampled_from(DIGITS),
)
fresh_ids = st.one_of(
    st.uuids().map(str),
    st.binary(min_size=32, max_size=32).map(bytes.hex).filter(lambda text: not text.isdecimal()),
    st.integers(10**15, 10**16 - 1).map(str),
    st.integers(100_000, 999_999).map(str),
    st.integers(1_000_000_000_000, 1_999_999_999_999).map(str),
    st.datetimes().map(lambda at: at.replace(year=2026).isoformat() + "Z" if at.month != 2 else "2026-02-01T00:00:00Z"),
)


@given(words, spelled, words)
def test_however_it_is_spelled_nothing_of_it_is_left(before: str, written: str, after: str) -> None:
    said = masked(before + written + after)
    assert not any(character.isdecimal() for character in said)


@given(homes, st.randoms(use_true_random=False).flatmap(lambda rng: homes.map(lambda region: hostile(rng, region))))
@example("ZA", "+27 (0) 82 451 1234")
def test_what_is_left_of_a_text_reads_as_no_number(region: str, written: str) -> None:
    """With the gateway's own reader as the judge: whatever it reads in a text, it does not read in the masked one."""
    numbers = Numbers(region)
    said = masked(written)
    left = usable(numbers.read(said))
    assert left is None or len("".join(filter(str.isdecimal, said))) < 7, (written, said)


@given(words, fresh_ids, words)
def test_ids_and_times_stay(before: str, told: str, after: str) -> None:
    text = f"{before} {told} {after}"
    assert masked(text) == text


@given(st.uuids(), st.integers(1, 2**53 - 1), st.integers(0, 999_999))
def test_a_part_is_found_again_by_its_batch(batch: UUID, revision: int, users: int) -> None:
    event = {"event": "part.applied", "batch_id": str(batch), "revision": revision, "users": users}
    assert masked_fields(event) == event


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.integers() | st.text() | st.binary(), st.lists))
def test_whatever_is_logged_can_be_masked(value: object) -> None:
    masked_fields({"anything": value, "batch_id": value, "name": value, "device_id": value})
