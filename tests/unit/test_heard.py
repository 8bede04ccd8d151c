"""Which reports were heard: gaps are seen over sessions, a new life of a store is told from an old one."""

from hypothesis import given
from hypothesis import strategies as st

from simulator.heard import Heard, Life

numbers = st.integers(1, 40)


def test_store_is_known_again_while_its_numbers_only_grow() -> None:
    heard = Heard()
    assert heard.begin("a", "s1", 10) is Life.FIRST
    assert heard.gaps(1, 10) == [], "what was said before anybody listened is not missed"
    assert heard.begin("a", "s2", 12) is Life.SAME
    assert heard.gaps(1, 12) == [(11, 12)]


def test_numbers_that_go_back_are_an_old_store_and_a_late_state_is_not() -> None:
    heard = Heard("a", "s1", 10)
    heard.note("a", 11)
    assert heard.begin("a", "s1", 9) is Life.SAME, "a state is told a moment after the reports"
    assert heard.begin("a", "s2", 10) is Life.NEW
    assert (heard.through, heard.spans(), heard.newest) == (10, [], 10)
    assert heard.begin("b", "s2", 10) is Life.NEW


def test_what_is_older_than_what_is_kept_is_lost() -> None:
    heard = Heard("a", "s", 5, [(8, 9), (12, 12)])
    assert heard.gaps(7, 14) == [(7, 7), (10, 11), (13, 14)]
    assert heard.give_up(7) == 1
    assert heard.give_up(7) == 0
    assert heard.gaps(7, 14) == [(7, 7), (10, 11), (13, 14)]
    assert heard.give_up(11) == 2
    assert heard.gaps(11, 14) == [(11, 11), (13, 14)]


def test_numbers_that_cannot_be_cost_no_time() -> None:
    """A `state` is not signed: whoever has the broker may say what they like in it."""
    heard = Heard("a", "s", 5, [(7, 7)])
    assert heard.gaps(1, 2**53) == [(6, 6), (8, 2**53)]
    assert heard.give_up(2**53) == 2**53 - 7
    assert heard.gaps(2**53, 2**53) == [(2**53, 2**53)]


def test_reports_of_another_life_are_none() -> None:
    heard = Heard("a", "s", 5)
    assert not heard.note("b", 6)
    assert heard.gaps(1, 6) == [(6, 6)]


@given(st.lists(numbers, max_size=60), st.integers(0, 5), numbers)
def test_gaps_are_what_never_came_whatever_the_order(came: list[int], through: int, before: int) -> None:
    heard = Heard("a", "s", through)
    new = [number for number in came if heard.note("a", number)]
    assert sorted(new) == sorted({number for number in came if number > through})
    again = Heard("a", "s", heard.through, heard.spans())

    def missed(newest: int) -> set[int]:
        gaps = again.gaps(1, newest)
        assert all(first <= last for first, last in gaps)
        return {number for first, last in gaps for number in range(first, last + 1)}

    for newest in (10, 40):
        assert missed(newest) == set(range(through + 1, newest + 1)) - set(came)
    lost = missed(before - 1)
    assert again.give_up(before) == len(lost)
    assert missed(40) == set(range(max(through + 1, before), 41)) - set(came)
