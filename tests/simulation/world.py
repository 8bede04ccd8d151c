"""A world: everything around one gateway, put together from one seed, and what must hold in it."""

import shutil
import tempfile
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, Final

import structlog

from agent.config import Config
from agent.config_values import Places
from tests.oracle.histories import GATE, PANEL
from tests.oracle.model import DeviceRule
from tests.simulation.board import Board
from tests.simulation.books import GATEWAY, Anomaly, Books
from tests.simulation.broker import Broker, Message
from tests.simulation.cloud import Cloud
from tests.simulation.disk import Disk
from tests.simulation.doorkeeper import Doorkeeper
from tests.simulation.hardware import Asked, Machine, plugged
from tests.simulation.hostility import Hostility
from tests.simulation.life import Life
from tests.simulation.network import Network
from tests.simulation.office import PEOPLE, Office
from tests.simulation.timeline import StuckError, Timeline
from tests.simulation.trace import Trace

PATIENCE_S: Final = 3_600.0
"""How long after the last fault everything must have come to rest."""

_MEMORY: Final = Path("/dev/shm")  # noqa: S108 -- a card that needs no flush, in folders with names of their own
_PROBES: Final = 6
_SETTLED_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a world."""

    seed: int
    anomaly: str | None
    digest: str
    lines: list[str]
    lived_s: float
    lives: int
    parts: int
    reports: int
    requests: int
    openings: int


class World:
    """The world of one seed, for so many virtual seconds of faults. ``whole``: its history is kept for reading."""

    def __init__(self, seed: int, length_s: float, home: Path, *, whole: bool = False) -> None:
        self._seed = seed
        self._home = home
        timeline = self._timeline = Timeline()
        trace = self._trace = Trace(timeline, whole=whole)
        hostility = self.hostility = Hostility.of(self._chance("hostility"), length_s)
        self._rng = self._chance("world")
        broker = self._broker = Broker(timeline, self._chance("broker"), hostility, trace)
        network = self._network = Network(timeline, self._chance("network"), hostility, trace, broker)
        online = lambda: network.reachable  # noqa: E731 -- said once, used twice
        board = self._board = Board(timeline, self._chance("board"), hostility, trace, home, online)
        disk = self._disk = Disk(timeline, self._chance("disk"), hostility, trace, home)
        self._office = Office(self._chance("office"), hostility, lambda: board.truth)
        self._cloud = Cloud(
            timeline, self._chance("cloud"), hostility, trace, broker, self._office, lambda: board.truth
        )
        self._machines = {
            device_id: Machine(device_id, timeline, self._chance(device_id), hostility, trace)
            for device_id in (GATE, PANEL)
        }
        rules = {GATE: DeviceRule("fluss+", self._rng.choice([20, 5_000])), PANEL: DeviceRule("intercom", 5_000)}
        self._config = _config(home, rules, self._rng)
        self._books = Books(
            rules,
            share=self._config.lists.hold_removals_over,
            silence_s=self._config.lists.incomplete_after_s,
            keep_days=self._config.retention.events_days,
            published=self._office.bytes_of,
            named=self._office.name_of,
            truth=lambda: board.truth,
        )
        self._door = Doorkeeper(self._books, board, disk)
        self._life: Life | None = None
        self._lives = 0
        self._asked = 0
        self._reboots = False
        self._dies_after: int | None = None
        self._anomaly: str | None = None
        self._calm_since: float | None = None
        self._probed = 0
        self._done = False
        self._connect()

    def _chance(self, whose: str) -> Random:
        return Random(f"{self._seed} {whose}")

    def _connect(self) -> None:
        """Who hears whom; whatever is broken ends the world there and then."""
        self._broker.tell = self._guarded(self._cloud.hear)
        self._network.acknowledged = self._guarded(self._check_acknowledged)
        self._network.published = self._guarded(self._check_published)
        self._disk.committed = self._guarded(self._committed)
        self._disk.touch = self._touched
        self._cloud.ordered = self._door.ordered
        for device_id, machine in self._machines.items():
            machine.moves = self._guarded(lambda name, device_id=device_id: self._door.moved(device_id, name))
            machine.answered = self._guarded(self._door.answered)

    def _guarded(self, check: Callable[..., None]) -> Callable[..., None]:
        def guarded(*arguments: Any) -> None:
            if self._anomaly is None and not (check == self._committed and self._is_dead()):
                try:
                    check(*arguments)
                except Anomaly as anomaly:
                    self._broken(str(anomaly))

        return guarded

    def _broken(self, words: str) -> None:
        if self._anomaly is None:
            self._anomaly = words
            self._trace.say("world", "broken", words=words)
        if self._life is not None:
            self._life.end()

    def _is_dead(self) -> bool:
        return self._life is None or self._life.loop.over

    # The history of a world

    def run(self) -> Outcome:
        """Let it happen."""
        length_s = self.hostility.length_s
        self._plan()
        with self.hostility.in_force(), self._listening():
            try:
                while not self._done and self._anomaly is None:
                    self._live()
                if self._anomaly is None:
                    self._books.check_list()
                    self._door.check()
            except (Anomaly, StuckError) as anomaly:
                self._broken(str(anomaly))
            finally:
                self._books.close()
        del length_s
        return Outcome(
            seed=self._seed,
            anomaly=self._anomaly,
            digest=self._trace.digest,
            lines=self._trace.lines,
            lived_s=self._timeline.now,
            lives=self._lives,
            parts=len(self._books.applied),
            reports=self._books.newest,
            requests=self._door.tried,
            openings=self._door.granted,
        )

    def _live(self) -> None:
        """One run of the process, and the time until the next."""
        self._lives += 1
        self._door.life = self._lives
        self._trace.say("agent", "started", life=self._lives)
        config = self._config.model_copy(update={"state_dir": self._disk.folder})
        self._books.open(self._disk.folder / "gateway.db")
        self._life = life = Life(
            config,
            timeline=self._timeline,
            board=self._board,
            disk=self._disk,
            network=self._network,
            driver=plugged(self._machines),
            chance=self._chance(f"life {self._lives}"),
        )
        ending = life.run()
        if life.faults:
            self._broken("\n".join(life.faults))
        if isinstance(ending, BaseException):
            self._broken("".join(traceback.format_exception(ending)))
        if self._done or self._anomaly is not None:
            return
        if ending != "over":
            self._depart()
        self._trace.say("agent", "ended", how=ending)
        self._life = None
        self._disk.forget()
        self._wait_for_the_next()

    def _wait_for_the_next(self) -> None:
        calm = self._calm_since is not None
        off_s = 2.0 if calm else self._rng.uniform(0.5, 2 * self.hostility.off_s)
        self._timeline.go_on(self._timeline.now + off_s)
        if self._reboots:
            self._reboots = False
            self._board.boot(off_s)

    def _depart(self) -> None:
        """What holds for every end of a process: its connections are gone, and whoever waits, waits for nobody."""
        self._network.sever()
        for machine in self._machines.values():
            machine.lose()
        if self._disk.is_sick:
            self._door.lossy.add(self._lives)

    def _die(self) -> None:
        """The process ends without a word."""
        if self._is_dead():
            return
        assert self._life is not None
        self._trace.say("agent", "killed")
        self._door.lossy.add(self._lives)
        self._disk.take_image()
        self._life.end()
        self._depart()

    def _touched(self, point: str) -> None:
        """A point at which a process may die, and sometimes does."""
        if self._dies_after is not None and not self._is_dead():
            self._dies_after -= 1
            if self._dies_after <= 0:
                self._dies_after = None
                self._trace.say("agent", "dies", at=point)
                self._die()

    # What happens to it

    def _plan(self) -> None:
        hostility = self.hostility
        self._repeat(hostility.outages, self._outage)
        self._repeat(hostility.broker_crashes, self._broker_crash)
        self._repeat(hostility.disk_faults, self._disk_fault)
        self._repeat(hostility.crashes, self._end_of_process)
        self._repeat(hostility.hardware_faults, self._hardware_fault)
        self._repeat(hostility.asks, self._somebody_asks)
        self._repeat(hostility.asks * 3, self._somebody_accepts)
        self._repeat(60.0, self._broker.save)
        self._timeline.at(hostility.length_s, self._become_calm)

    def _repeat(self, mean_s: float | None, happens: Callable[[], None]) -> None:
        """Again and again until the world becomes calm, after times without memory."""
        if mean_s is None:
            return

        def again() -> None:
            if self._calm_since is None:
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

    def _end_of_process(self) -> None:
        if self._is_dead():
            return
        self._reboots = self._rng.random() < 0.4
        if self._rng.random() < self.hostility.leaves and self._life is not None:
            self._life.leave()
        elif self._rng.random() < 0.5:
            self._die()
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

    def _somebody_asks(self) -> None:
        self._ask(self._rng.choice(PEOPLE + ["+27829999999"]))

    def _ask(self, mobile: str) -> None:
        self._asked += 1
        device_id = self._rng.choice([GATE, GATE, PANEL])
        channel = "intercom" if device_id == PANEL else self._rng.choice(["bluetooth", "bluetooth", "wifi"])
        asked = Asked(self._timeline.now, f"r{self._asked}", device_id, mobile, channel)
        self._door.asked(asked)
        self._machines[device_id].ask(asked)

    def _somebody_accepts(self) -> None:
        device_id, mobile = self._rng.choice([GATE, PANEL]), self._rng.choice(PEOPLE)
        if self._machines[device_id].accept(mobile):
            self._door.accepted(device_id, mobile)

    # When the faults are over

    def _become_calm(self) -> None:
        """No more faults: everything must come to rest, and everything must work."""
        self._calm_since = self._timeline.now
        self._trace.say("world", "calm")
        for each in (self._broker, self._network, self._cloud, *self._machines.values()):
            each.calm = True
        self._dies_after = None
        self._disk.recover()
        self._network.recover()
        if not self._broker.up:
            self._broker.start()
        if self.hostility.lost:  # what a broker lost of the state alone, nobody can know of before the next one
            self._network.fail()
            self._network.recover()
        for machine in self._machines.values():
            machine.on = True
        self._board.settle()
        self._timeline.after(_SETTLED_S, self._look_whether_quiet)

    def _look_whether_quiet(self) -> None:
        assert self._calm_since is not None
        unrest = self._unrest()
        if unrest is None and self._probed < _PROBES:
            if self._probed == 0:
                self._door.hindered, self._door.sure = False, True
                self._door.forget_waiting()
            self._probed += 1
            self._ask(self._rng.choice(PEOPLE))
            self._timeline.after(3.0 if self._probed < _PROBES else 15.0, self._look_whether_quiet)
        elif unrest is None:
            self._done = True
            if self._life is not None:
                self._life.end()
        elif self._timeline.now - self._calm_since > PATIENCE_S:
            self._broken(f"not at rest {PATIENCE_S:.0f} s after the last fault: {unrest}")
        else:
            self._timeline.after(10.0, self._look_whether_quiet)

    def _unrest(self) -> str | None:
        """What is still to be done, in words; None where all is quiet and the cloud knows everything."""
        books, cloud = self._books, self._cloud
        if unsettled := [sent.name for sent in self._office.unsettled()]:
            return f"nobody knows what became of {unsettled}"
        for kind, stored in (("reports", books.reports), ("events", books.events)):
            first = books.oldest[kind]
            if missed := [number for number in stored if number >= first and number not in cloud.heard(kind)]:
                return f"the cloud has not heard {kind} {missed[:10]}"
        for number, payload in cloud.heard("reports").items():
            if books.reports.get(number) != payload:
                return f"the cloud has heard a report {number} that was never stored"
        if unanswered := [asked.request_id for asked in self._door.unanswered(self._timeline.now)]:
            if self._probed:
                return f"nobody answers {unanswered}"
        return self._untold(cloud.state)

    def _untold(self, state: dict[str, Any]) -> str | None:
        """What the state document should say and does not."""
        if not state:
            return "there is no state"
        expected = {"online": True, "storage": "ok", "clock": "synced", "outbox": 0, "held": self._books.model.held()}
        for name, value in expected.items():
            if state[name] != value:
                return f"the state says {name} {state[name]}, not {value}"
        for device in state["devices"]:
            if device["digest"] != self._books.model.digest(device["deviceId"]):
                return f"the state has the digest {device['digest']} of {device['deviceId']}"
            if not device["connected"]:
                return f"{device['deviceId']} is not connected"
        return None

    # What must hold at every moment

    def _committed(self) -> None:
        self._books.look()
        self._door.look()

    def _check_acknowledged(self, message: Message) -> None:
        """Nothing is acknowledged that is not durable."""
        if self._is_dead():
            return
        if message.leaf == "invites" and not self._books.accounts_for(message.payload):
            raise Anomaly(f"acknowledged and not durable: {message.payload[:200]!r}")
        if message.leaf == "commands":
            command_id = self._cloud.command_id(message.payload)
            if command_id not in self._books.replied:
                raise Anomaly(f"command {command_id} was acknowledged, and nobody will hear an answer")

    def _check_published(self, message: Message) -> None:
        """Nothing is said that is not stored, and nothing is said in other words."""
        if message.leaf in {"receipts", "statuses"} and message.payload not in self._books.payloads:
            raise Anomaly(f"said and not stored: {message.payload[:200]!r}")

    @contextmanager
    def _listening(self) -> Iterator[None]:
        """The daemon's log is part of the history, but for what no two runs share."""
        home = str(self._home)

        def note(_logger: object, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
            if not self._is_dead():
                event.pop("ms", None)
                if event["event"] == "events.abandoned":
                    self._door.lossy.add(self._lives)
                words = {name: str(value).replace(home, "") for name, value in event.items() if name != "event"}
                self._trace.say("agent", str(event["event"]), **words)
            raise structlog.DropEvent

        before = structlog.get_config()
        structlog.configure(processors=[note], cache_logger_on_first_use=False)
        try:
            yield
        finally:
            structlog.configure(**before)


def _config(home: Path, rules: dict[str, DeviceRule], rng: Random) -> Config:
    """What an installer wrote."""
    document: dict[str, Any] = {
        "gateway_id": GATEWAY,
        "state_dir": str(home),
        "mqtt": {"host": "mqtt.example.net", "tls": False},
        "lists": {"incomplete_after_s": rng.choice([20, 300, 600]), "hold_removals_over": rng.choice([0.2, 0.5, 1.0])},
        "retention": {"events_days": (days := rng.choice([1, 30])), "reports_days": days},
        "devices": [
            {"id": device_id, "kind": rule.kind, "timezone": "Africa/Johannesburg", "max_users": rule.max_users}
            | ({"opens": GATE} if device_id == PANEL else {})
            for device_id, rule in rules.items()
        ],
    }
    return Config.model_validate(document, context=Places(home, None))


def live(seed: int, length_s: float, *, whole: bool = False) -> Outcome:
    """The world of a seed, from its beginning to its end."""
    home = Path(tempfile.mkdtemp(prefix="world-", dir=_MEMORY if _MEMORY.is_dir() else None))
    try:
        return World(seed, length_s, home, whole=whole).run()
    finally:
        shutil.rmtree(home)
