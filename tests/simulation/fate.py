"""What befalls a world until it becomes calm: everything that breaks, ends, or comes to a gate."""

from collections.abc import Callable, Mapping
from random import Random
from typing import Protocol

from tests.simulation.broker import Broker
from tests.simulation.disk import Disk
from tests.simulation.hardware import Machine
from tests.simulation.hostility import Hostility
from tests.simulation.network import Network
from tests.simulation.timeline import Timeline


class Subject(Protocol):
    """Whom it befalls: a process at a gate."""

    def kill(self) -> None:
        """End it without a word."""

    def leave(self) -> None:
        """Ask it to end."""

    def ask(self) -> None:
        """Have somebody ask to be let in."""

    def accept(self) -> None:
        """Have somebody take up an invitation."""


class Fate:
    """Faults come after times without memory, each kind at its own rate, until ``be_calm``."""

    def __init__(
        self,
        timeline: Timeline,
        rng: Random,
        hostility: Hostility,
        *,
        broker: Broker,
        network: Network,
        disk: Disk,
        machines: Mapping[str, Machine],
        subject: Subject,
    ) -> None:
        self.reboots = False
        """The next end of the process is one of the whole board."""
        self._timeline = timeline
        self._rng = rng
        self._hostility = hostility
        self._broker = broker
        self._network = network
        self._disk = disk
        self._machines = machines
        self._subject = subject
        self.paused = False
        """Nothing happens for a while."""
        self._calm = False
        self._dies_after: int | None = None
        self._repeat(hostility.outages, self._outage)
        self._repeat(hostility.broker_crashes, self._broker_crash)
        self._repeat(hostility.disk_faults, self._disk_fault)
        self._repeat(hostility.crashes, self._end)
        self._repeat(hostility.hardware_faults, self._hardware_fault)
        self._repeat(hostility.asks, subject.ask)
        self._repeat(hostility.asks * 3, subject.accept)
        self._repeat(hostility.storms, self._storm)
        self._repeat(60.0, broker.save)

    def end(self) -> None:
        """Nothing new befalls the world."""
        self._calm = True
        self._dies_after = None

    def be_calm(self) -> None:
        """No more faults, and those that last are over."""
        self.end()
        self._broker.calm = self._network.calm = True
        self._disk.recover()
        if not self._broker.up:
            self._broker.start()
        if self._hostility.lost:  # of a state that a broker alone has lost nobody can know before there is a new one
            self._network.fail()
        self._network.recover()
        for machine in self._machines.values():
            machine.on = machine.calm = True

    def touched(self) -> bool:
        """Whether the process dies at this very point of what it does."""
        if self._dies_after is None:
            return False
        self._dies_after -= 1
        if self._dies_after > 0:
            return False
        self._dies_after = None
        return True

    def moved(self) -> None:
        """A gate moves: the worst of all moments to die, before it is told what became of it."""
        if not self._calm and self._hostility.crashes is not None and self._rng.random() < 0.25:
            self._timeline.after(self._rng.uniform(0, 1.5), lambda: None if self._calm else self._subject.kill())

    def _storm(self) -> None:
        """A bad minute: the card is sick, and the line and the broker come and go."""
        self._disk.fall_sick(once=False)
        self._timeline.after(self._rng.uniform(5, 40), self._disk.recover)
        for _ in range(self._rng.randint(2, 6)):
            after_s = self._rng.uniform(0, 30)
            if self._rng.random() < 0.5:
                self._timeline.after(after_s, self._blink)
            else:
                self._timeline.after(after_s, self._stumble)

    def _blink(self) -> None:
        if not self._calm and self._network.reachable:
            self._network.fail()
            self._network.recover()

    def _stumble(self) -> None:
        if not self._calm and self._broker.up:
            self._broker.crash(forgets=self._rng.random() < 0.7)
            self._broker.start()

    def _repeat(self, mean_s: float | None, happens: Callable[[], None]) -> None:
        if mean_s is None:
            return

        def again() -> None:
            if not self._calm:
                if not self.paused:
                    happens()
                self._timeline.after(self._rng.expovariate(1 / mean_s), again)

        self._timeline.after(self._rng.expovariate(1 / mean_s), again)

    def _outage(self) -> None:
        if self._network.reachable:
            self._network.fail()
            lasts_s = self._rng.choice([0.5, 5.0, 60.0, 600.0]) * self._rng.uniform(0.5, 1.5)
            self._timeline.after(lasts_s, self._network.recover)

    def _broker_crash(self) -> None:
        if self._broker.up:
            self._broker.crash()
            self._timeline.after(self._rng.choice([0.2, 10.0, 120.0]), self._broker.start)

    def _disk_fault(self) -> None:
        self._timeline.after(self._disk.fall_sick(), self._disk.recover)

    def _end(self) -> None:
        """At once, at some point of what it does next, or because somebody asks for it."""
        self.reboots = self._rng.random() < 0.6
        if self._rng.random() < self._hostility.leaves:
            self._subject.leave()
        elif self._rng.random() < 0.5:
            self._subject.kill()
        else:
            self._dies_after = self._rng.randint(1, 40)

    def _hardware_fault(self) -> None:
        machine = self._rng.choice(list(self._machines.values()))
        machine.hang_up()
        if self._rng.random() < 0.5:
            machine.on = False

            def back() -> None:
                machine.on = True

            self._timeline.after(self._rng.choice([2.0, 60.0]), back)
