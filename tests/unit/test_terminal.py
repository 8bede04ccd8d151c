"""Tables that fit, and text that stays where it is put."""

from io import StringIO

import pytest
from rich.cells import cell_len
from rich.console import Console

from simulator.terminal import Column, Fit, coloured, fitted, print_table, shown

COLUMNS = [Column("Row", justify="right"), Column("Name", Fit.CUT), Column("Number"), Column("Reason", Fit.FOLDED)]
ROWS = [
    ["2", "André van der Merwe", "+27840000105", ""],
    [
        "47",
        "陈美 and a very long name after it",
        "+8613123456789",
        "'082 00' is too short for a number in South Africa",
    ],
]


def printed(width: int, *, terminal: bool) -> list[str]:
    file = StringIO()
    console = Console(file=file, width=width, force_terminal=terminal, color_system=None, markup=False)
    print_table(console, COLUMNS, ROWS)
    return file.getvalue().splitlines()


@pytest.mark.parametrize("width", [60, 80, 120])
def test_table_fits_the_terminal(width: int) -> None:
    lines = printed(width, terminal=True)
    assert max(map(cell_len, lines)) <= width
    assert all("+8613123456789" in line for line in lines if "47" in line.split())


def test_cut_text_shows_that_it_is_cut() -> None:
    assert any("…" in line for line in printed(60, terminal=True))
    assert not any("…" in line for line in printed(120, terminal=True))


def test_pipe_gets_everything_in_tabs() -> None:
    assert [line.split("\t") for line in printed(40, terminal=False)] == [["Row", "Name", "Number", "Reason"], *ROWS]


@pytest.mark.parametrize(
    ("natural", "width", "widths"),
    [
        ([3, 20, 14, 60], 120, [3, 20, 14, 60]),
        ([3, 20, 14, 60], 80, [3, 20, 14, 37]),
        ([3, 20, 14, 60], 60, [3, 18, 14, 19]),
        ([3, 20, 14, 60], 20, [3, 8, 14, 8]),
    ],
)
def test_widest_that_may_shrink_does(natural: list[int], width: int, widths: list[int]) -> None:
    assert fitted(COLUMNS, natural, width) == widths


def test_column_is_never_wider_than_it_may_be() -> None:
    assert fitted([Column(most=5), Column(fit=Fit.CUT)], [9, 9], 80) == [5, 9]


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("Unit 9\ntwo  vehicles", "Unit 9 two vehicles"),
        ("\x1b[31mred", "�[31mred"),
        ("a\tb", "a b"),
        ("\u202eleft", "�left"),
        ("陈美 Weiß", "陈美 Weiß"),
    ],
)
def test_text_is_shown_on_one_line_without_tricks(text: str, seen: str) -> None:
    assert shown(text) == seen


def test_words_without_a_colour_are_shown_plainly() -> None:
    assert (coloured("rejected").style, coloured("of a newer gateway").style) == ("red", "")
