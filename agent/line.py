"""The line to a broker as the kernel knows it: its settings, its silence, and the bell that wakes its thread."""

import select
import socket
import struct
import sys
from contextlib import suppress
from typing import Final, NamedTuple

_RESENDING_MS: Final = 20_000  # how long the kernel sends again before it gives a connection up; tcp(7)
_PROBE_S: Final = 2.0


def tune(sock: socket.socket) -> None:
    """Send small packets at once, and give up where nothing sent arrives."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if sys.platform == "linux":
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _RESENDING_MS)


def silence_s(sock: socket.socket) -> float:
    """Seconds since the peer's latest byte: tcpi_last_data_recv of Linux' struct tcp_info, milliseconds at byte 52."""
    if sys.platform != "linux":
        return 0.0  # paho notices too, after twice the keep-alive
    [milliseconds] = struct.unpack_from("=I", sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 56), 52)
    return float(milliseconds) / 1000


def listens(host: str, port: int) -> bool:
    """Whether anyone takes connections there now."""
    try:
        socket.create_connection((host, port), timeout=_PROBE_S).close()
    except OSError:
        return False
    return True


class Ready(NamedTuple):
    """What can be done with a socket now without waiting; its end can be read and written too."""

    readable: bool
    writable: bool


def ready(sock: socket.socket, bell: "Bell", wait_s: float, *, reads: bool, writes: bool) -> Ready:
    """Wait until there is something to do, or the bell rings; poll(2), because select(2) knows 1,024 descriptors."""
    waiting = select.poll()
    waiting.register(bell, select.POLLIN)
    if reads or writes:  # an end is told even to those who asked for nothing: it would be told for ever
        waiting.register(sock, (select.POLLIN if reads else 0) | (select.POLLOUT if writes else 0))
    found = dict(waiting.poll(wait_s * 1000))
    if bell.fileno() in found:
        bell.quieten()
    seen, ended = found.get(sock.fileno(), 0), select.POLLHUP | select.POLLERR
    return Ready(reads and bool(seen & (select.POLLIN | ended)), writes and bool(seen & (select.POLLOUT | ended)))


class Bell:
    """Wakes a thread that waits in poll(): it listens to the bell like to any socket."""

    def __init__(self) -> None:
        self._inside, self._button = socket.socketpair()
        self._inside.setblocking(False)
        self._button.setblocking(False)
        self._rung = False

    def fileno(self) -> int:
        """What poll() looks at."""
        return self._inside.fileno()

    def ring(self) -> None:
        """Wake the thread, if there still is one; for what has been laid ready for it before."""
        if self._rung:
            return  # it has not looked since
        self._rung = True
        with suppress(OSError):  # closed: nobody is left
            self._button.send(b"\0")

    def quieten(self) -> None:
        """Forget all rings so far; there has been one. Whoever calls it looks afterwards at what was laid ready."""
        self._inside.recv(1)
        self._rung = False

    def close(self) -> None:
        """Take it down; ringing it has no effect any more."""
        self._inside.close()
        self._button.close()
