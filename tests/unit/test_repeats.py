"""Floods of equal refusals are counted."""

from agent.repeats import MOST, WINDOW_MS, Repeats
from protocol.codec import Refused
from protocol.vocabulary import Refusal

REFUSED = Refused(Refusal.NOT_JSON, "not JSON", payload_sha256="ab")


def test_repeats_are_told_once_their_minute_is_over() -> None:
    """One refusal with a count, and only where anything was repeated."""
    repeats = Repeats()
    repeats.refused("ab", REFUSED, 0)
    repeats.refused("cd", REFUSED, 0)
    for _ in range(3):
        repeats.count("ab")
    assert list(repeats.ended(WINDOW_MS - 1)) == []
    assert [refused.repeated for refused in repeats.ended(WINDOW_MS)] == [3]
    assert not any(repeats.known(sha256, WINDOW_MS) for sha256 in ("ab", "cd"))


def test_repeats_are_told_at_the_end_and_when_the_clock_jumps() -> None:
    """Neither a stop nor a clock set back may swallow a count."""
    for moment in (None, -10 * WINDOW_MS):
        repeats = Repeats()
        repeats.refused("ab", REFUSED, 0)
        repeats.count("ab")
        assert [refused.repeated for refused in repeats.ended(moment)] == [1]


def test_repeats_remember_only_so_many() -> None:
    """A stream of ever new refusals leaves the memory bounded."""
    repeats = Repeats()
    for number in range(2 * MOST):
        repeats.refused(str(number), REFUSED, 0)
        list(repeats.ended(0))
    assert sum(repeats.known(str(number), 0) for number in range(2 * MOST)) == MOST


def test_repeats_are_judged_anew_when_the_clock_went_back() -> None:
    """A part that had expired by a wrong clock is looked at again by the right one."""
    repeats = Repeats()
    repeats.refused("ab", REFUSED, 1_000)
    assert repeats.known("ab", 1_000)
    assert not repeats.known("ab", 999)
