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


def test_reports_of_another_life_are_none() -> None:
    heard = Heard("a", "s", 5)
    assert not heard.note("b", 6)
    assert heard.gaps(1, 6) == [(6, 6)]


@given(st.lists(numbers, max_size=60), st.integers(0, 5))
def test_gaps_are_what_never_came_whatever_the_order(came: list[int], through: int) -> None:
    heard = Heard("a", "s", through)
    new = [number for number in came if heard.note("a", number)]
    assert sorted(new) == sorted({number for number in came if number > through})
    again = Heard("a", "s", heard.through, heard.spans())
    missed = {number for first, last in again.gaps(1, 40) for number in range(first, last + 1)}
    assert missed == set(range(through + 1, 41)) - set(came)
