"""The line to a broker as the kernel knows it: its settings, its silence, and the bell that wakes its thread."""

import socket
import struct
import sys
from contextlib import suppress
from typing import Final

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


class Bell:
    """Wakes a thread that waits in select(): it listens to the bell like to any socket."""

    def __init__(self) -> None:
        self._inside, self._button = socket.socketpair()
        self._inside.setblocking(False)
        self._button.setblocking(False)

    def fileno(self) -> int:
        """What select() looks at."""
        return self._inside.fileno()

    def ring(self) -> None:
        """Wake the thread, if there still is one."""
        with suppress(OSError):  # full: it is about to look anyway; closed: nobody is left
            self._button.send(b"\0")

    def quieten(self) -> None:
        """Forget all rings so far; there has been one."""
        self._inside.recv(4096)

    def close(self) -> None:
        """Take it down; ringing it has no effect any more."""
        self._inside.close()
        self._button.close()
