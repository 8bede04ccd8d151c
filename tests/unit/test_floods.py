"""Refusals are answered one by one, and their floods counted."""

from agent.floods import AT_ONCE, MOST, PER_S, WINDOW_MS, Floods


class Watch:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_repeats_are_told_once_their_minute_is_over() -> None:
    """One refusal with a count, and only where anything was repeated."""
    floods = Floods[str]()
    floods.answered("ab", "refused", 0)
    floods.answered("cd", "refused", 0)
    assert [floods.counted(sha256, 1) for sha256 in ("ab", "ab", "ef", "ab")] == [True, True, False, True]
    assert list(floods.ended(WINDOW_MS - 1)) == []
    assert list(floods.ended(WINDOW_MS)) == [("refused", 3)]
    assert not any(floods.counted(sha256, WINDOW_MS) for sha256 in ("ab", "cd"))


def test_repeats_are_told_at_the_end_and_when_the_clock_jumps() -> None:
    """Neither a stop nor a clock set back may swallow a count."""
    for moment in (None, -10 * WINDOW_MS):
        floods = Floods[str]()
        floods.answered("ab", "refused", 0)
        assert floods.counted("ab", 0)
        assert list(floods.ended(moment)) == [("refused", 1)]


def test_only_so_many_are_remembered() -> None:
    """A stream of ever new refusals leaves the memory bounded."""
    floods = Floods[str]()
    for number in range(2 * MOST):
        floods.answered(str(number), "refused", 0)
        list(floods.ended(0))
    assert sum(floods.counted(str(number), 0) for number in range(2 * MOST)) == MOST


def test_refusals_are_judged_anew_when_the_clock_went_back() -> None:
    """A part that had expired by a wrong clock is looked at again by the right one."""
    floods = Floods[str]()
    floods.answered("ab", "refused", 1_000)
    assert floods.counted("ab", 1_000)
    assert not floods.counted("ab", 999)


def test_a_thousand_are_answered_at_once_and_some_a_minute_for_ever() -> None:
    """Whoever forges all day long costs the card a commit every few seconds, and no more."""
    watch = Watch()
    floods = Floods[str](watch)

    def answered(tries: int) -> int:
        count = 0
        for _ in range(tries):
            if not floods.overflowing:
                floods.spend()
                count += 1
        return count

    assert answered(2 * AT_ONCE) == AT_ONCE
    watch.now += 60
    assert answered(100) == round(60 * PER_S) == 12
    watch.now += 86_400
    assert answered(2 * AT_ONCE) == AT_ONCE, "a quiet day makes good for it"


def test_what_overflows_is_told_by_its_code() -> None:
    floods = Floods[str](Watch(), at_once=0)
    assert floods.overflowing
    for code in ("unsigned", "unknown_key", "unsigned"):
        floods.overflow(code, f"more {code}", 0)
    assert list(floods.ended(WINDOW_MS - 1)) == []
    assert list(floods.ended(WINDOW_MS)) == [("more unsigned", 2), ("more unknown_key", 1)]
    assert list(floods.ended(None)) == []
