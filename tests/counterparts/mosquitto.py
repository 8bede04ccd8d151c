"""Mosquitto, the real broker, on a loopback port and in a folder of its own."""

import asyncio
import os
import shutil
import signal
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Self

from tests.counterparts.authority import Authority
from tests.counterparts.ports import LOOPBACK, free_port
from tests.counterparts.program import Program
from tests.counterparts.waiting import wait_until

_PORT_TRIES = 5
# Debian keeps it in /usr/sbin, which is not on everyone's PATH.
MOSQUITTO = shutil.which("mosquitto", path=os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin"]))


class Mosquitto:
    """One broker with its store in ``home``; it keeps port, settings and store over stop(), kill9() and start().

    - ``persistent``: sessions and queued messages survive, written on every change; see ``save()``.
    - ``users``: names and passwords; without them anyone may connect.
    - ``authority``: listens with TLS, and wants a client certificate signed by it where ``client_certificates``.
      Another one may take its place before the next start.
    - ``settings``: further lines of mosquitto.conf(5), such as ``max_inflight_messages 4``.

    The methods block for some milliseconds; ``async with`` starts and stops it off the event loop.
    """

    host = LOOPBACK

    def __init__(
        self,
        home: Path,
        *,
        persistent: bool = True,
        users: Mapping[str, str] | None = None,
        authority: Authority | None = None,
        client_certificates: bool = False,
        settings: Iterable[str] = (),
    ) -> None:
        self.home = home
        self.port = 0
        self._persistent = persistent
        self._users = dict(users or {})
        self.authority = authority
        self._client_certificates = client_certificates
        self._settings = list(settings)
        self._config = home / "mosquitto.conf"
        self._program = Program([MOSQUITTO or "mosquitto", "-c", self._config], home / "mosquitto.log")

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.kill9()

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(self.start)
        return self

    async def __aexit__(self, *exc: object) -> None:
        await asyncio.to_thread(self.kill9)

    @property
    def url(self) -> str:
        """The broker as the simulator's ``--broker`` takes it."""
        return f"{'mqtts' if self.authority else 'mqtt'}://{self.host}:{self.port}"

    @property
    def running(self) -> bool:
        return self._program.running

    def log(self) -> str:
        """What it has logged so far, over all its starts."""
        return self._program.output()

    def start(self) -> None:
        """Return once it accepts connections. The first start chooses the port. Raises AssertionError with its log."""
        self.home.mkdir(parents=True, exist_ok=True)
        tries = [free_port() for _ in range(_PORT_TRIES)] if self.port == 0 else [self.port]
        for port in tries:
            self._configure(port)
            self._program.start()
            # Logged once its listeners are open; a connection would not tell whose port it had reached.
            if self._program.says(" running"):
                self.port = port
                return
        raise AssertionError(f"mosquitto did not start:\n{self.log()}")

    def stop(self) -> None:
        """SIGTERM: it takes leave of its clients and writes its store."""
        assert self._program.stop() == 0, self.log()

    def save(self) -> None:
        """Return once all it has acknowledged is in its store. It acknowledges first and writes a moment later."""
        store = self.home / "mosquitto.db"

        def written() -> tuple[int, int] | None:
            return (store.stat().st_ino, store.stat().st_mtime_ns) if store.exists() else None

        before = written()
        self._program.signal(signal.SIGUSR1)
        wait_until(lambda: written() != before, what=f"{store} written anew")

    def kill9(self) -> None:
        """SIGKILL: what it had not written is gone, even of what it had acknowledged."""
        self._program.kill9()

    def restart(self) -> None:
        """Stop it in order, and start it again on the same port with the same store."""
        self.stop()
        self.start()

    def _configure(self, port: int) -> None:
        """Write its mosquitto.conf."""
        lines = [*self._settings, f"allow_anonymous {'false' if self._users else 'true'}", "log_type all"]
        if os.geteuid() == 0:
            lines.append("user root")  # it would become `mosquitto`, who may not read a test's private folder
        if self._persistent:
            lines += [
                "persistence true",
                f"persistence_location {self.home}/",
                "autosave_on_changes true",
                "autosave_interval 1",
            ]
        if self._users:
            lines.append(f"password_file {self._password_file()}")
        lines.append(f"listener {port} {self.host}")
        if self.authority:
            server = self.authority.server(self.host, "localhost")
            lines += [
                f"cafile {self.authority.ca_file}",
                f"certfile {server.cert_file}",
                f"keyfile {server.key_file}",
                f"require_certificate {'true' if self._client_certificates else 'false'}",
            ]
        self._config.write_text("\n".join([*lines, ""]))

    def _password_file(self) -> Path:
        file = self.home / "passwords"
        file.write_text("".join(f"{name}:{password}\n" for name, password in self._users.items()))
        file.chmod(0o600)
        subprocess.run(["mosquitto_passwd", "-U", file], check=True, timeout=10)
        return file
