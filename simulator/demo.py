"""The main job from end to end on one machine, told to somebody who sees it the first time."""

from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.text import Text

from protocol.vocabulary import Outcome, Permission
from simulator.access import describe
from simulator.address import Address
from simulator.batching import Offer
from simulator.broker import BenchBroker
from simulator.cloud import Cloud
from simulator.contacts import read_contacts
from simulator.doorstep import GATE, PANEL, ZONE, DemoFailed
from simulator.ending import Ending, heading
from simulator.gate import Gate
from simulator.gateway import Gateway
from simulator.keyring import make_pair
from simulator.messages import State
from simulator.office import Office
from simulator.outcome import outcome_lines, print_outcome, summary
from simulator.panel import Panel
from simulator.preview import print_preview
from simulator.roster import Roster, merged
from simulator.sending import deliver, print_afterword
from simulator.site import Site
from simulator.terminal import print_lines
from simulator.tracking import Tracker

GATEWAY: Final = "gw-demo"
DEVICES: Final = {GATE: "Main gate", PANEL: "Entrance panel"}
SAMPLE: Final = "residents.csv"

_HAVE_THE_APP: Final = 16
_TRAVEL_S: Final = 0.04
"""From closed to open, and how long it stays so: nobody waits at this gate."""

_PATIENCE_S: Final = 10.0


async def run_demo(console: Console, home: Path) -> None:
    """Tell the whole story; everything it needs is made in `home`. Raises Failure where the story goes wrong."""
    print_lines(
        console,
        Text("fluss-gateway", style="bold"),
        "An office imports a list of residents; a gateway at the gate keeps it, and says what became of each of them.",
        "Here both are on this machine, with a broker between them.",
    )
    async with BenchBroker() as broker:
        keys = make_pair(home, "cloud-demo")
        address = Address(broker.host, broker.port, protocol="3.1.1", key=keys.key)
        devices = [
            Gate(GATE, name=DEVICES[GATE], travel_s=_TRAVEL_S, auto_close_s=_TRAVEL_S),
            Panel(PANEL, name=DEVICES[PANEL]),
        ]
        async with Site(devices, zone=ZONE.key, opens={PANEL: GATE}) as site:
            config = home / "gateway.toml"
            config.write_text(site.configuration(GATEWAY, home / "state", address, keys.public), "utf-8")
            async with (
                Cloud(address, GATEWAY) as cloud,
                Gateway(config, home / "gateway.log", address, GATEWAY) as gateway,
            ):
                heading(console, 1, "A broker and a gateway")
                _, seconds = await gateway.start()
                print_lines(
                    console,
                    f"The broker is in this process, at {broker.url}. The gateway is fluss-agent, a process of its own"
                    f" (pid {gateway.pid}), online after {seconds:.1f} s with a Fluss+ and an intercom.",
                    f"It has the public half of the office's key ({keys.public.name}), and believes nothing that is not"
                    " signed with the private one.",
                )
                await _Story(console, address, gateway).tell()
                await Ending(console, broker, gateway, site, cloud, Office(address, GATEWAY, cloud)).tell()


class _Story:
    def __init__(self, console: Console, address: Address, gateway: Gateway) -> None:
        self._console = console
        self._address = address
        self._gateway = gateway
        self._offer = Offer((GATE, PANEL), Permission.ALWAYS)

    async def tell(self) -> None:
        roster = self._preview()

        heading(self._console, 3, "The import")
        print_lines(
            self._console,
            f"To both devices, with permission {describe(self._offer, None)}. Whoever has the app may open at once"
            " (Active); the others are invited (Pending).",
        )
        self._console.print()
        tracker = await self._deliver(roster)
        self._console.print()
        print_outcome(self._console, roster, outcome_lines(roster, tracker), DEVICES, whole=True)
        print_afterword(self._console, tracker, roster, DEVICES)

        heading(self._console, 4, "The list as the gateway now holds it")
        print_lines(self._console, Text(f"$ fluss-agent users --device {GATE}", style="dim"))
        self._console.file.flush()
        await self._gateway.show("users", "--device", GATE)

        heading(self._console, 5, "The same list again")
        again = await self._deliver(roster)
        lines = outcome_lines(roster, again)
        print_lines(self._console, summary(lines, len(DEVICES)))
        if not {line.outcome for line in lines} <= {Outcome.UNCHANGED, Outcome.REJECTED}:
            raise DemoFailed("the second import should have changed nothing")
        print_lines(self._console, "Nothing changed: an import can be repeated without thinking about it.")

        heading(self._console, 6, "A restart")
        await self._restart(again)

    def _preview(self) -> Roster:
        heading(self._console, 2, "The list as it is understood")
        sample = resources.files("simulator").joinpath("samples", SAMPLE).read_bytes()
        contacts = read_contacts(sample, source=SAMPLE, region="ZA")
        roster = merged([contacts])
        with_the_app = roster.entries[:_HAVE_THE_APP]
        print_preview(self._console, (contacts,), roster, whole=True)
        print_lines(self._console, f"The first {_HAVE_THE_APP} have taken up the app already.")
        return roster.with_accepted(lambda entry: entry in with_the_app)

    async def _deliver(self, roster: Roster) -> Tracker:
        tracker = await deliver(self._console, self._address, GATEWAY, roster, self._offer, timeout_s=_PATIENCE_S)
        if not tracker.done:
            raise DemoFailed(f"the gateway left something open: {'; '.join(tracker.unknown())}")
        return tracker

    async def _restart(self, latest: Tracker) -> None:
        before = await self._gateway.state(lambda state: state.online and state.revision == latest.batch.revision)
        code, seconds = await self._gateway.stop()
        print_lines(self._console, f"Told to stop (SIGTERM), the gateway left after {seconds:.1f} s, exit code {code}.")
        after, seconds = await self._gateway.start()
        print_lines(self._console, f"Started again: online after {seconds:.1f} s, and it holds")
        for line in _lists(before, after):
            print_lines(self._console, line)
        if [device.digest for device in before.devices] != [device.digest for device in after.devices]:
            raise DemoFailed("the list is not what it was before the restart")
        print_lines(self._console, "The list is intact.")


def _lists(before: State, after: State) -> Sequence[str]:
    digests = {device.device_id: device.digest for device in before.devices}
    return [
        f"  {device.name}: {', '.join(f'{count} {status}' for status, count in device.users.items() if count)};"
        f" digest {device.digest}, {'as' if device.digest == digests[device.device_id] else 'NOT as'} before"
        for device in after.devices
    ]
