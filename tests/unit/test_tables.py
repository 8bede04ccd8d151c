"""What is shown stays inside its line, its column and its terminal, whoever wrote it."""

from datetime import UTC
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.commands.tables import fitted, moment, one_line

GAP = 2


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("Unit 4\nBlock C\r\n\tstairs", "Unit 4 Block C stairs"),
        ("\x1b[31mRed\x1b[0m", "�[31mRed�[0m"),
        ("\x9b2J", "�2J"),
        ("Anna\u202egnp.exe", "Annagnp.exe"),
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("\N{WOMAN}\u200d\N{GIRL}", "\N{WOMAN}\u200d\N{GIRL}"),
        ("שלום\u200f", "שלום\u200f"),
        ("Zoë\xa0Müller", "Zoë Müller"),
        ("\u2028", ""),
    ],
)
def test_text_of_others_is_shown_on_one_line(written: str, shown: str) -> None:
    assert one_line(written) == shown


@given(st.text())
def test_text_of_others_never_drives_a_terminal(text: str) -> None:
    line = one_line(text)
    assert not {*line} & {chr(code) for code in (*range(0x20), *range(0x7F, 0xA0), *range(0x202A, 0x202F), 0x2028)}
    assert one_line(line) == line


columns = st.lists(st.tuples(st.integers(0, 60), st.none() | st.integers(1, 30)), min_size=1, max_size=8)


@given(columns, st.integers(1, 300))
def test_columns_fit_wherever_they_can(columns: list[tuple[int, int | None]], width: int) -> None:
    widths = fitted([wanted for wanted, _ in columns], [least for _, least in columns], width)
    floors = [wanted if floor is None else min(wanted, floor) for wanted, floor in columns]
    gaps = GAP * (len(columns) - 1)
    assert all(floor <= given <= wanted for floor, given, (wanted, _) in zip(floors, widths, columns, strict=True))
    assert sum(widths) == max(sum(floors), min(sum(wanted for wanted, _ in columns), width - gaps))


def test_columns_are_cut_from_the_widest_on() -> None:
    assert fitted([40, 12, 30], [10, None, 10], 80) == [34, 12, 30]
    assert fitted([40, 12, 30], [10, None, 10], 60) == [22, 12, 22]


def test_moment_is_told_in_its_zone() -> None:
    assert moment(1_795_300_000_000, UTC) == "2026-11-21 22:26"
    assert moment(1_795_300_000_000, ZoneInfo("Africa/Johannesburg")) == "2026-11-22 00:26"


def test_moment_that_no_calendar_shows_is_told_as_it_is() -> None:
    assert moment(1 << 60) == str(1 << 60)
