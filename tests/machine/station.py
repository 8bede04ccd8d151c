"""A gateway on a machine of its own, the broker it dials as we ship it, and the line between them."""

from pathlib import Path
from typing import Final

from tests.configurations import edited
from tests.counterparts.cloud import Cloud
from tests.counterparts.ports import free_port
from tests.counterparts.proxy import Proxy
from tests.counterparts.shipped import Office, ShippedBroker
from tests.machine.machine import Machine
from tests.meta.tree import ROOT

EXAMPLE: Final = (ROOT / "systemd" / "agent.example.toml").read_text()
GUEST: Final = Path(__file__).parent / "guest"
BROKER: Final = "mqtt.example.net"
"""The machine knows it by this name, the host by its own; its certificate is for both."""

ONLINE_S: Final = 300.0
"""After a boot a gateway waits for up to two minutes before it dials: a whole district may have booted with it."""

_INSTALL: Final = """
cd /usr/src/fluss-gateway
/opt/fluss-gateway/bin/fluss-agent check-config
install systemd/fluss-agent.service /etc/systemd/system/ && systemctl enable --now fluss-agent
"""


class Station:
    """Everything in ``home``; the machine is installed as README.md says, and the broker runs."""

    def __init__(self, home: Path) -> None:
        self.office = Office(home / "office", host=f"localhost,DNS:{BROKER}")
        self.line_port = free_port()
        self.broker = ShippedBroker(home / "broker", self.office)
        self.machine = Machine(home / "machine")
        for name in ("gw-1", "cloud"):
            self.office.issue(name)

    def start(self) -> float:
        """Start the broker and the machine, and install the gateway on it; how many seconds the boot took."""
        self.broker.start()
        boot_s = self.machine.power_on()
        self.machine.put("/etc/fluss-agent/agent.toml", edited(EXAMPLE, "# port = 8883", f"port = {self.line_port}"))
        for name, source, mode in (
            ("ca.pem", "ca.pem", "0644"),
            ("mqtt.pem", "gw-1.pem", "0644"),
            ("mqtt.key", "gw-1.key", "0600"),
        ):
            self.machine.put(f"/etc/fluss-agent/{name}", (self.office.home / source).read_text(), mode)
        for tool in ("probe.py", "hang.py"):
            self.machine.put(f"/opt/fluss-gateway/{tool}", (GUEST / tool).read_text())
        self.machine.sh(_INSTALL, within_s=180)
        return boot_s

    def stop(self) -> None:
        """End both, and keep nothing of the machine."""
        self.machine.power_off()
        self.broker.kill9()

    def line(self) -> Proxy:
        """What the machine reaches when it dials its broker; nobody, while this is not entered."""
        return Proxy(self.broker.port, listen=self.line_port)

    def cloud(self) -> Cloud:
        """The other side, with a certificate of its own."""
        return Cloud(self.broker.port, host=self.broker.host, tls=self.office.context("cloud"))

    def change(self, *lines: str) -> None:
        """Have the unit started anew with these lines as a drop-in of its [Service]; with none, as it is shipped."""
        drop_in = "/etc/systemd/system/fluss-agent.service.d/bench.conf"
        if lines:
            self.machine.put(drop_in, "\n".join(["[Service]", *lines]))
        else:
            self.machine.sh(f"rm -f {drop_in}")
        self.machine.sh("systemctl daemon-reload; systemctl restart fluss-agent", within_s=180)
        self.machine.ready()
