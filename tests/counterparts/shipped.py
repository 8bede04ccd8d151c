"""The broker as we ship it: our own files of systemd/mosquitto, with certificates made as they say."""

import os
import re
import ssl
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from tests.configurations import edited
from tests.counterparts.authority import Certificate
from tests.counterparts.mosquitto import Mosquitto
from tests.counterparts.ports import LOOPBACK

SHIPPED: Final = Path(__file__).parents[2] / "systemd" / "mosquitto"
HOST: Final = "localhost"
_PATHS: Final = "/etc/mosquitto/fluss/"
_BLOCK: Final = re.compile(r"^## (.+?)$|```sh\n(.*?)```", re.MULTILINE | re.DOTALL)


class Office:
    """Where the certificates are made: runs the commands of README.md in ``home``."""

    def __init__(self, home: Path, *, host: str = HOST) -> None:
        home.mkdir(parents=True, exist_ok=True)
        self.home = home
        self.ca_file = home / "ca.pem"
        self._run("The authority, once")
        self._run("The broker's certificate", HOST=host)

    def issue(self, name: str) -> Certificate:
        """The certificate of a gateway, or of the cloud."""
        self._run("A gateway's certificate, and the cloud's", NAME=name)
        return Certificate(self.home / f"{name}.pem", self.home / f"{name}.key")

    def revoke(self, name: str) -> None:
        """Put it on the list of revocations, which a broker reads when it starts."""
        self._run("When a gateway is stolen", NAME=name)

    def context(self, name: str) -> ssl.SSLContext:
        """TLS for a client with that certificate, which is there already."""
        context = ssl.create_default_context(cafile=self.ca_file)
        context.load_cert_chain(self.home / f"{name}.pem", self.home / f"{name}.key")
        return context

    def _run(self, heading: str, **values: str) -> None:
        """The commands under a heading, with values of our own for the names that they set."""
        here, script = "", ""
        for title, commands in _BLOCK.findall((SHIPPED / "README.md").read_text()):
            here = title or here
            script += commands if here == heading else ""
        for name, value in values.items():
            script, found = re.subn(rf"^{name}=.*$", f"{name}={value}", script, flags=re.MULTILINE)
            assert found, f"nothing sets {name} under {heading!r}"
        assert script, f"no commands under {heading!r}"
        done = subprocess.run(
            ["sh", "-e", "-c", script], check=False, cwd=self.home, capture_output=True, text=True, timeout=30
        )
        assert done.returncode == 0, done.stderr


class ShippedBroker(Mosquitto):
    """Mosquitto with fluss.conf in its conf.d and Debian's own lines above it; only places are changed.

    ``settings`` are further lines for its listener.
    """

    host = HOST

    def __init__(self, home: Path, office: Office, *, settings: Iterable[str] = ()) -> None:
        super().__init__(home)
        self._office = office
        self._further = list(settings)

    @property
    def url(self) -> str:
        return f"mqtts://{self.host}:{self.port}"

    def _configure(self, port: int) -> None:
        ours = edited((SHIPPED / "fluss.conf").read_text(), "\nlistener 8883\n", f"\nlistener {port} {LOOPBACK}\n")
        ours = "\n".join([edited(ours, f"{_PATHS}fluss.acl", str(SHIPPED / "fluss.acl")), *self._further, ""])
        (self.home / "conf.d").mkdir(exist_ok=True)
        (self.home / "conf.d" / "fluss.conf").write_text(ours.replace(_PATHS, f"{self._office.home}/"))
        user = ["user root"] if os.geteuid() == 0 else []  # as in Mosquitto
        debian = ["persistence true", f"persistence_location {self.home}/", "log_dest stderr", *user]
        self._config.write_text("\n".join([*debian, "log_type all", f"include_dir {self.home}/conf.d", ""]))
