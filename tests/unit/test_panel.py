"""What is typed to play people, what a person reads of it, and what a panel does not do."""

import os
import pty
import re
import termios
from io import StringIO

import pytest
from rich.cells import cell_len
from rich.console import Console

from protocol.hardware import Asked
from protocol.mobile import Numbers
from protocol.vocabulary import Action, Channel, Denial, Direction
from simulator.board import Board
from simulator.gate import Gate
from simulator.happening import Happening, What, in_words, request_words
from simulator.keyboard import END, Keyboard
from simulator.orders import HELP, Accept, Ask, ByHand, NoOrder, Order, Use, understood
from simulator.panel import Panel
from tests.counterparts.waiting import until

DAVID = "+27824511234"
ZA = Numbers("ZA")


@pytest.mark.parametrize(
    ("line", "order"),
    [
        ("ask 082 451 1234", Ask(DAVID)),
        ("ask 0824511234 wifi", Ask(DAVID, channel=Channel.WIFI)),
        (" ask +27 82 451 1234 open  local ", Ask(DAVID, channel=Channel.LOCAL, action=Action.OPEN)),
        ("ask wifi 0027 (82) 451-1234", Ask(DAVID, channel=Channel.WIFI)),
        ("ask 082 451 1234 unit Flat 4", Ask(DAVID, unit="Flat 4")),
        ("ask 082 451 1234 unit 4 intercom close", Ask(DAVID, None, Channel.INTERCOM, Action.CLOSE, "4")),
        ("code 4821", Ask(code="4821")),
        ("code 4821 exit", Ask(code="4821", direction=Direction.EXIT)),
        ("accept 082 451 1234", Accept(DAVID)),
        ("trigger", ByHand(Action.TRIGGER)),
        ("open", ByHand(Action.OPEN)),
        ("close", ByHand(Action.CLOSE)),
        ("use Main gate", Use("Main gate")),
        ("drop", "drop"),
        ("help", "help"),
    ],
)
def test_line_is_understood(line: str, order: Order) -> None:
    assert understood(line, ZA) == order


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("ask", "whose number?"),
        ("ask wifi", "whose number?"),
        ("ask 082 45", "'082 45' is too short"),
        ("ask 082 451 1234 unit", "which unit?"),
        (f"ask 082 451 1234 unit {'x' * 65}", "up to 64 letters"),
        ("ask 27824511234.0", "ruined by a spreadsheet"),
        ("accept", "whose number?"),
        ("code", "the digits"),
        ("code 4821 sideways", "entry or exit"),
        ("code 12345678901234567", "the digits"),
        ("open sesame", "'open sesame' is nothing to play here"),
        ("use", "'use' is nothing to play here"),
        ("frob 1", "help says what is"),
    ],
)
def test_line_that_is_no_order_says_what_is_wrong(line: str, words: str) -> None:
    with pytest.raises(NoOrder, match=words):
        understood(line, ZA)


def test_numbers_are_read_as_in_their_region() -> None:
    assert understood("ask 07911 123456", Numbers("GB")) == Ask("+447911123456")


def test_help_shows_lines_that_are_understood() -> None:
    shown = [line.split("  ")[0] for line in HELP]
    typed = [order.replace(" [", " ") for line in shown for order in line.split(", ")]
    assert len(typed) > 10
    for line in typed:
        understood(line, ZA)


def test_every_denial_is_told_in_words_with_its_own_word_behind() -> None:
    for denial in Denial:
        words, _, own = in_words(denial).partition(" (")
        assert own == f"{denial})"
        assert " " in words
        assert in_words(denial, own=False) == words
    assert in_words("no gateway") == "no gateway"


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (Asked(request_id="1", mobile=DAVID, channel=Channel.WIFI), f"{DAVID} (wifi)"),
        (
            Asked(request_id="1", mobile=DAVID, channel=Channel.INTERCOM, unit="4", action=Action.OPEN),
            f"{DAVID} (intercom, unit 4): open",
        ),
        (
            Asked(request_id="1", code="4821", channel=Channel.KEYPAD, direction=Direction.EXIT),
            "code 4821 (keypad, exit)",
        ),
    ],
)
def test_request_is_told_in_a_few_words(asked: Asked, words: str) -> None:
    assert request_words(asked) == words


@pytest.mark.parametrize(
    ("keys", "lines", "text"),
    [
        ("ask\nco", ["ask"], "co"),
        ("abd\x7fc\n", ["abc"], ""),
        ("\x7f\x7fa\n\n", ["a", ""], ""),
        ("nonsense\x15drop\n", ["drop"], ""),
        ("a\x1b[Db\x1b[1;5Cc\x1bOA\n", ["abc"], ""),
        ("\x04", [END], ""),
        ("x" * 600, [], "x" * 500),
        ("a\tb\x00\n", ["ab"], ""),
    ],
)
def test_keys_become_lines(keys: str, lines: list[str], text: str) -> None:
    keyboard = Keyboard()
    assert list(keyboard.press(keys)) == lines
    assert keyboard.text == text


@pytest.mark.parametrize("unechoed", [True, False])
async def test_keyboard_hears_lines_and_puts_the_terminal_back(unechoed: bool) -> None:
    ours, theirs = pty.openpty()
    before = termios.tcgetattr(theirs)
    heard: list[str] = []
    keyboard = Keyboard()
    # A terminal counts where we are in its foreground, which no test is of one it makes itself.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "tcgetpgrp", lambda _: os.getpgrp())
        with keyboard.open(theirs, heard.append, unechoed=unechoed):
            assert bool(termios.tcgetattr(theirs)[3] & termios.ECHO) is not unechoed
            os.write(ours, "drop\nAndré".encode())
            await until(lambda: heard == ["drop"])
            if unechoed:
                await until(lambda: keyboard.text == "André")
        patch.setattr(os, "tcgetpgrp", lambda _: 1)
        with keyboard.open(theirs, heard.append, unechoed=unechoed):
            assert termios.tcgetattr(theirs) == before, "in the background it is left alone"
    assert termios.tcgetattr(theirs) == before
    os.close(ours)
    os.close(theirs)


def happening(what: What, request: str = "", reason: str = "", gate: str = "Main gate") -> Happening:
    return Happening(0, gate, what, request, reason)


def board(*, live: bool, width: int = 100, height: int = 30) -> tuple[Board, StringIO]:
    file = StringIO()
    console = Console(file=file, width=width, height=height, force_terminal=live, color_system=None, markup=False)
    devices = [Gate("1234567890123456", name="Main gate"), Panel("482913", name="Entrance \x1b[31mpanel")]
    return Board(console, devices, live=live, typed=lambda: "> ask 082"), file


def seen(file: StringIO) -> list[str]:
    """The lines of a view, without what moves the cursor."""
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]|\r", "", file.getvalue()).strip("\n").splitlines()


async def test_board_in_a_pipe_has_a_line_for_everything() -> None:
    shown, file = board(live=False)
    async with shown:
        shown.add(happening(What.ASKED, f"{DAVID} (wifi): trigger"))
        shown.add(happening(What.DENIED, f"{DAVID} (wifi): trigger", "wifi_not_allowed"))
        shown.add(happening(What.MOVED, reason="opening", gate="evil\x1b[2J\nname"))
    lines = [line[10:] for line in file.getvalue().splitlines()]
    assert lines == [
        f"Main gate  asked       {DAVID} (wifi): trigger",
        f"Main gate  denied      {DAVID} (wifi): trigger: may not open from afar (wifi_not_allowed)",
        "evil�[2J name  moved       opening",
    ]


@pytest.mark.parametrize("width", [60, 80, 120])
async def test_board_on_a_terminal_shows_gates_and_the_last_rows(width: int) -> None:
    shown, file = board(live=True, width=width)
    async with shown:
        for number in range(40):
            shown.add(happening(What.DENIED, f"+278245100{number:02} (bluetooth): trigger", "outside_schedule"))
            shown.add(happening(What.MOVED, reason="opening"))
        file.truncate(file.seek(0))
    lines = seen(file)
    assert max(map(cell_len, lines)) <= width
    gates = [line for line in lines if "not there" in line]
    assert ["Main gate" in gates[0], "closed, sensor Closed" in gates[0]] == [True, True]
    assert "Entrance �[31mpanel" in gates[1]
    rows = [line for line in lines if "denied" in line]
    assert len(rows) == 12, "no more than the last, and no rows for what stands above"
    assert "+27824510028" in rows[0]
    assert "+27824510039" in rows[-1]
    assert "> ask 082" in lines


async def test_board_fits_a_low_terminal() -> None:
    shown, file = board(live=True, height=12)
    async with shown:
        for number in range(20):
            shown.add(happening(What.ALLOWED, f"+278245100{number:02} (bluetooth): trigger"))
        file.truncate(file.seek(0))
    lines = seen(file)
    assert len(lines) <= 12
    assert any("+27824510019" in line for line in lines), "the last ones are those that are seen"


def test_panel_moves_nothing_and_says_so() -> None:
    panel = Panel("482913")
    assert panel._act(Action.OPEN, "r-1") == "an intercom opens nothing itself"
    assert panel.stands == ""
