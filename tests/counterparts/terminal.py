"""A terminal of a chosen width, and a program in front of it."""

import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import termios
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Self

from tests.counterparts.waiting import wait_until

_ROWS = 50
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")


def _take_the_terminal() -> None:
    """Have Ctrl-C reach this process, also where whoever started the tests has it ignored."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Terminal:
    """Runs one command for as long as it is entered; what is typed reaches it as from a keyboard."""

    def __init__(self, columns: int, command: Sequence[str], env: Mapping[str, str]) -> None:
        self._columns = columns
        self._command = list(command)
        self._env = {**{name: value for name, value in env.items() if name != "NO_COLOR"}, "TERM": "xterm-256color"}
        self._keyboard = -1
        self._shown = bytearray()
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self._keyboard, screen = pty.openpty()
        fcntl.ioctl(screen, termios.TIOCSWINSZ, struct.pack("HHHH", _ROWS, self._columns, 0, 0))
        os.set_blocking(self._keyboard, False)
        self._process = subprocess.Popen(
            self._command,
            stdin=screen,
            stdout=screen,
            stderr=screen,
            env=self._env,
            cwd="/",
            start_new_session=True,
            preexec_fn=_take_the_terminal,  # noqa: PLW1509 -- only the child can; these two calls take no locks
        )
        os.close(screen)
        return self

    def __exit__(self, *exc: object) -> None:
        assert self._process is not None
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(10)
        os.close(self._keyboard)

    @property
    def raw(self) -> str:
        """Everything that was written, with its colours."""
        with suppress(OSError):  # nothing more for now, or the program has gone
            while chunk := os.read(self._keyboard, 65536):
                self._shown.extend(chunk)
        return self._shown.decode(errors="replace")

    @property
    def lines(self) -> list[str]:
        """What a person sees of it in the end."""
        plain = _ESCAPES.sub("", self.raw).replace("\r\n", "\n")
        return [line.split("\r")[-1].rstrip() for line in plain.split("\n")]

    def type(self, text: str) -> None:
        """Press these keys."""
        os.write(self._keyboard, text.encode())

    def shows(self, text: str, within_s: float = 15.0) -> None:
        """Wait until this can be read. Raises TimedOutError."""
        wait_until(lambda: text in "\n".join(self.lines), within_s=within_s, what=f"{text!r} on the terminal")

    def ends(self, within_s: float = 40.0) -> int:
        """The exit code, once it has ended by itself. Raises TimedOutError."""
        process = self._process
        assert process is not None

        def ended() -> bool:
            _ = self.raw  # a terminal that nobody reads fills up
            return process.poll() is not None

        wait_until(ended, within_s=within_s, what=f"{self._command} ended")
        assert process.returncode is not None
        return process.returncode
