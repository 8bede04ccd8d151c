"""Where a user stands: every bound is half-open, and the one that comes first counts."""

import pytest

from protocol.lifecycle import expiry_reason, standing
from protocol.vocabulary import Reason, Status

PENDING, ACTIVE, EXPIRED = Status.PENDING, Status.ACTIVE, Status.EXPIRED
NOW = 100


@pytest.mark.parametrize(
    ("accepted", "ends_at", "invite_expires_at", "expected"),
    [
        (False, None, None, (PENDING, None)),
        (True, None, None, (ACTIVE, None)),
        (False, None, 101, (PENDING, 101)),
        (False, None, 100, (EXPIRED, None)),
        (True, None, 100, (ACTIVE, None)),
        (False, 101, None, (PENDING, 101)),
        (True, 101, None, (ACTIVE, 101)),
        (False, 100, None, (EXPIRED, None)),
        (True, 100, None, (EXPIRED, None)),
        (False, 105, 103, (PENDING, 103)),
        (False, 103, 105, (PENDING, 103)),
        (True, 105, 103, (ACTIVE, 105)),
        (False, 100, 105, (EXPIRED, None)),
        (False, 105, 100, (EXPIRED, None)),
        (True, 105, 100, (ACTIVE, 105)),
    ],
)
def test_standing_and_when_it_ends(
    accepted: bool, ends_at: int | None, invite_expires_at: int | None, expected: tuple[Status, int | None]
) -> None:
    assert standing(accepted, ends_at, invite_expires_at, NOW) == expected


@pytest.mark.parametrize(
    ("accepted", "ends_at", "deadline", "expected"),
    [
        (True, 100, 100, Reason.ACCESS_ENDED),
        (False, 100, 100, Reason.ACCESS_ENDED),
        (False, None, 100, Reason.INVITE_EXPIRED),
        (False, 105, 100, Reason.INVITE_EXPIRED),
    ],
)
def test_reason_is_the_bound_that_made_the_deadline(
    accepted: bool, ends_at: int | None, deadline: int, expected: Reason
) -> None:
    assert expiry_reason(accepted, ends_at, deadline) is expected
