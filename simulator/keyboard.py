"""Lines that somebody types, or a script writes, while something else is going on."""

import asyncio
import codecs
import os
import re
import stat
import termios
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

END: Final = "quit"
"""The line that the end of a terminal's input stands for."""

_MOST: Final = 500
_CHUNK: Final = 4_096
_CTRL_D: Final = "\x04"
_CTRL_U: Final = "\x15"
_RUB_OUT: Final = frozenset("\x7f\b")
_KEYS: Final = re.compile(r"\x1b(?:\[[0-9;?]*[ -/]*[@-~]|O.)?")  # arrows and their like


class Keyboard:
    """Gives away each line while it is open, and keeps the one that is being typed in `text`."""

    def __init__(self, prompt: str = "") -> None:
        self.text = ""
        self.prompt = prompt
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")

    @property
    def line(self) -> str:
        """What is being typed, as it is shown."""
        return f"{self.prompt}> {self.text}"

    @contextmanager
    def open(self, fd: int, heard: Callable[[str], None], *, unechoed: bool) -> Iterator[None]:
        """Have `heard` called with each line that comes from `fd` to the running loop, if anybody is there.

        `unechoed`: the terminal shows nothing of what is typed and gives every key at once. It is put back afterwards.
        """
        if not _can_speak(fd):
            yield
            return
        loop = asyncio.get_running_loop()
        before = termios.tcgetattr(fd) if unechoed and os.isatty(fd) else None
        if before is not None:
            tty.setcbreak(fd, termios.TCSADRAIN)
        loop.add_reader(fd, self._read, fd, heard)
        try:
            yield
        finally:
            loop.remove_reader(fd)
            if before is not None:
                termios.tcsetattr(fd, termios.TCSADRAIN, before)

    def press(self, keys: str) -> Iterator[str]:
        """Take these keys: the lines that are whole with them. Ctrl-D is the line `END`."""
        for key in _KEYS.sub("", keys):
            if key == "\n":
                line, self.text = self.text, ""
                yield line
            elif key == _CTRL_D:
                yield END
            elif key in _RUB_OUT:
                self.text = self.text[:-1]
            elif key == _CTRL_U:
                self.text = ""
            elif key.isprintable() and len(self.text) < _MOST:
                self.text += key

    def _read(self, fd: int, heard: Callable[[str], None]) -> None:
        # One read of what is known to be there: were the terminal set not to block, its output would not block either.
        data = os.read(fd, _CHUNK)
        for line in self.press(self._decoder.decode(data)):
            heard(line)
        if not data:
            asyncio.get_running_loop().remove_reader(fd)
            if os.isatty(fd):
                heard(END)


def _can_speak(fd: int) -> bool:
    """A pipe, or a terminal in whose foreground we are: one that asks from the background is stopped."""
    try:
        if os.isatty(fd):
            return os.tcgetpgrp(fd) == os.getpgrp()
        mode = os.fstat(fd).st_mode
    except OSError:
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)
