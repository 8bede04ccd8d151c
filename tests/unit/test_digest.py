"""The list digest, held against the contract's own figures and against its words."""

from hashlib import sha256

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from protocol.commands import CommandMessage
from protocol.digest import MODULUS, Sums, bucket, digest_sum, digest_text


def test_digest_of_the_contract() -> None:
    both = digest_sum([27824511234], 42) + digest_sum([447911123456], 7)
    assert digest_text(both) == "95bb942c5e46424a"


def test_buckets_of_the_contract() -> None:
    assert [bucket(27824511234), bucket(447911123456)] == ["37", "20"]


def test_sums_of_the_contract() -> None:
    sums = Sums()
    assert sums.count([27824511234], 42) + sums.count([447911123456], 7) == ["37", "20"]
    assert digest_text(sums.digest) == "95bb942c5e46424a"
    assert sums.texts() == {
        "20": digest_text(digest_sum([447911123456], 7)),
        "37": digest_text(digest_sum([27824511234], 42)),
    }


def test_question_names_every_bucket_once_at_most() -> None:
    asked = {"commandId": "c", "gatewayId": "gw-1", "command": "resync", "deviceId": "482913"}
    every = [f"{place:02x}" for place in range(256)]
    assert CommandMessage.model_validate({**asked, "buckets": every}).buckets == every
    with pytest.raises(ValidationError, match="at most 256"):
        CommandMessage.model_validate({**asked, "buckets": [*every, "00"]})


def test_digest_of_nobody_is_nothing() -> None:
    assert digest_text(digest_sum([], 1)) == "0000000000000000"


@given(st.lists(st.integers(1, 10**15 - 1)), st.integers(1, 2**53 - 1))
@example([*range(1, 500)], 1)
def test_digest_is_the_sum_of_the_first_eight_bytes(mobiles: list[int], revision: int) -> None:
    words = [sha256(f"+{mobile}|{revision}".encode()).digest()[:8] for mobile in mobiles]
    assert digest_sum(mobiles, revision) == sum(int.from_bytes(word, "big") for word in words) % 2**64


@given(st.dictionaries(st.integers(1, 10**15 - 1), st.integers(1, 3), max_size=400))
def test_sums_are_the_digest_of_each_bucket_by_itself(users: dict[int, int]) -> None:
    sums, by_bucket = Sums(), dict[str, int]()
    for revision in (1, 2, 3):
        sums.count([mobile for mobile, each in users.items() if each == revision], revision)
    for mobile, revision in users.items():
        place = sha256(f"+{mobile}".encode()).hexdigest()[:2]
        by_bucket[place] = (by_bucket.get(place, 0) + digest_sum([mobile], revision)) % MODULUS
    assert sums.buckets == by_bucket
    assert sums.digest == sum(by_bucket.values()) % MODULUS


@given(st.integers(-(2**70), 2**70))
def test_digest_text_is_sixteen_digits_whatever_overflowed(digest: int) -> None:
    assert len(digest_text(digest)) == 16
    assert int(digest_text(digest), 16) == digest % MODULUS
