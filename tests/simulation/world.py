"""A world: everything around one gateway, put together from one seed, and what must hold in it."""

import shutil
import tempfile
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, Final

from structlog.typing import EventDict

from tests.oracle.histories import GATE, PANEL
from tests.oracle.model import DeviceRule
from tests.simulation.board import Board
from tests.simulation.books import Books
from tests.simulation.broker import Broker, Message
from tests.simulation.cloud import Cloud
from tests.simulation.disk import Disk
from tests.simulation.doorkeeper import Doorkeeper
from tests.simulation.fate import Fate
from tests.simulation.hardware import Asked, Machine, plugged
from tests.simulation.hostility import Hostility
from tests.simulation.keeping import Anomaly
from tests.simulation.life import Life, configuration
from tests.simulation.network import Network
from tests.simulation.office import PEOPLE, STRANGER, VISITORS, Office
from tests.simulation.pen import Pen
from tests.simulation.rest import unrest
from tests.simulation.timeline import StuckError, Timeline
from tests.simulation.trace import Trace, listening

LENGTH_S: Final = 100.0
"""How long there are faults in a world of ordinary length; virtual seconds."""

PATIENCE_S: Final = 3_600.0
"""How long after the last fault everything must have come to rest."""

_SETTLED_S: Final = 50.0
_LONG_S: Final = 200.0
"""Where a gateway is away for longer, little is said meanwhile."""

_PROBES: Final = 4
"""People who ask when all is well: each of them must hear what the list says."""

_DAMAGE: Final = frozenset({"store.damaged", "store.restored", "store.lost_commits", "snapshot.damaged"})
_MEMORY: Final = Path("/dev/shm")  # noqa: S108 -- a card that needs no flush, in folders with names of their own


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a world."""

    seed: int
    anomaly: str | None
    digest: str
    """Of everything that happened."""
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
        hostility = self._hostility = Hostility.of(self._chance("hostility"), length_s)
        around = (timeline, hostility, trace)
        self._rng = self._chance("world")
        self._broker = Broker(*around, self._chance("broker"))
        self._network = Network(*around, self._chance("network"), self._broker)
        board = self._board = Board(*around, self._chance("board"), home, lambda: self._network.reachable)
        self._disk = Disk(hostility, trace, self._chance("disk"), home)
        pen = Pen(self._chance("pen"), signs=hostility.signed)
        self._office = Office(self._chance("office"), hostility, pen, lambda: board.truth)
        self._cloud = Cloud(
            *around,
            self._chance("cloud"),
            broker=self._broker,
            office=self._office,
            pen=pen,
            truth=lambda: board.truth,
        )
        self._machines = {each: Machine(each, *around, self._chance(each)) for each in (GATE, PANEL)}
        rules = {GATE: DeviceRule("fluss+", self._rng.choice([20, 5_000])), PANEL: DeviceRule("intercom", 5_000)}
        self._config = configuration(home, rules, pen.key, self._rng)
        self._books = Books(
            rules,
            share=self._config.lists.hold_removals_over,
            silence_s=self._config.lists.incomplete_after_s,
            keep_days=self._config.retention.events_days,
            published=self._office.bytes_of,
            named=self._office.name_of,
            forged=self._office.is_forged,
            truth=lambda: board.truth,
        )
        self._door = Doorkeeper(self._books, board, self._disk)
        self._fate = Fate(
            timeline,
            self._rng,
            hostility,
            broker=self._broker,
            network=self._network,
            disk=self._disk,
            machines=self._machines,
            subject=self,
        )
        self._life: Life | None = None
        self._lives = 0
        self._asked = 0
        self._anomaly: str | None = None
        self._calm_since = 0.0
        self._probed = 0
        self._over = False
        self._connect()
        timeline.at(length_s, self._become_calm)

    def _chance(self, whose: str) -> Random:
        return Random(f"{self._seed} {whose}")

    def _connect(self) -> None:
        """Who hears whom; whatever is broken ends the world there and then."""
        self._broker.tell = self._judged(self._cloud.hear)
        self._network.acknowledged = self._judged(self._check_acknowledged)
        self._network.published = self._judged(lambda message: self._books.said(message.leaf, message.payload))
        self._network.taken = self._judged(lambda message: self._books.taken(message.leaf, message.payload))
        self._disk.committed = self._judged(self._check_committed)
        self._disk.touch = self._touched
        self._cloud.ordered = self._door.ordered
        for machine in self._machines.values():
            machine.moves = self._judged(self._moved)
            machine.answered = self._judged(self._door.answered)

    def _judged(self, check: Callable[..., None]) -> Callable[..., None]:
        def judged(*arguments: object) -> None:
            if self._anomaly is None:
                try:
                    check(*arguments)
                except Anomaly as anomaly:
                    self._break(str(anomaly))

        return judged

    def _break(self, words: str) -> None:
        if self._anomaly is None:
            self._anomaly = words
            self._trace.say("world", "broken", words=words)
        if self._life is not None:
            self._life.end()

    @property
    def _is_dead(self) -> bool:
        return self._life is None or self._life.loop.over

    # The history of a world

    def run(self) -> Outcome:
        """Let it happen."""
        with self._hostility.in_force(), listening(self._heard_log):
            try:
                while not self._over and self._anomaly is None:
                    self._live()
                if self._anomaly is None:
                    self._books.check_list()
                    self._door.check()
            except (Anomaly, StuckError) as anomaly:
                self._break(str(anomaly))
            finally:
                self._books.close()
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
        self._board.meet()
        self._books.open(self._disk.folder / "gateway.db")
        self._life = Life(
            self._config.model_copy(update={"state_dir": self._disk.folder}),
            timeline=self._timeline,
            board=self._board,
            disk=self._disk,
            network=self._network,
            driver=plugged(self._machines),
            chance=self._chance(f"life {self._lives}"),
        )
        ending = self._life.run()
        if self._life.faults:
            self._break("\n".join(self._life.faults))
        if isinstance(ending, BaseException):
            self._break("".join(traceback.format_exception(ending)))
        if self._over or self._anomaly is not None:
            return
        if ending != "over":
            self._depart()
        self._trace.say("agent", "ended", how=ending)
        self._life = None
        self._disk.forget()
        self._wait_for_the_next()

    def _wait_for_the_next(self) -> None:
        off_s = 2.0 if self._calm_since else self._rng.uniform(0.5, 2 * self._hostility.off_s)
        self._fate.paused = self._cloud.paused = off_s > _LONG_S
        self._timeline.go_on(self._timeline.now + off_s)
        self._fate.paused = self._cloud.paused = False
        if self._fate.reboots:
            self._fate.reboots = False
            self._board.boot(off_s)
            for _ in range(0 if self._calm_since else self._rng.randint(0, 3)):  # who has been standing there
                self._timeline.after(self._rng.uniform(1, 30), self.ask)

    def _depart(self) -> None:
        """What holds for every end of a process: its connections are gone, and nobody answers."""
        self._network.sever()
        for machine in self._machines.values():
            machine.lose()
        if self._disk.is_sick:
            self._door.lossy.add(self._lives)

    # What befalls it (see Fate)

    def kill(self) -> None:
        """The process ends without a word; the card is as it is at this instant."""
        if not self._is_dead:
            assert self._life is not None
            self._trace.say("agent", "killed")
            self._door.lossy.add(self._lives)
            self._disk.take_image()
            self._life.end()
            self._depart()

    def leave(self) -> None:
        """Somebody asks the process to end."""
        if not self._is_dead:
            assert self._life is not None
            self._life.leave()

    def ask(self) -> None:
        """Somebody, whom the list may know or not, asks to be let in."""
        self._asked += 1
        device_id = self._rng.choice([GATE, GATE, PANEL])
        channel = "intercom" if device_id == PANEL else self._rng.choice(["bluetooth", "bluetooth", "wifi"])
        likely = self._office.accepted[-24:] or VISITORS
        mobile = self._rng.choice(likely if self._rng.random() < 0.7 else [*VISITORS, *PEOPLE, STRANGER])
        asked = Asked(self._timeline.now, f"r{self._asked}", device_id, mobile, channel)
        self._door.asked(asked)
        self._machines[device_id].ask(asked)

    def accept(self) -> None:
        """Somebody takes up an invitation, or tries to."""
        device_id, mobile = self._rng.choice([GATE, PANEL]), self._rng.choice(PEOPLE)
        if self._machines[device_id].accept(mobile):
            self._door.accepted(device_id, mobile)

    def _moved(self, device_id: str, name: str) -> None:
        self._door.moved(device_id, name)
        self._fate.moved()

    def _touched(self, point: str) -> None:
        if not self._is_dead and self._fate.touched():
            self._trace.say("agent", "dies", at=point)
            self.kill()

    # When the faults are over

    def _become_calm(self) -> None:
        """No more faults: everything must come to rest, and everything must work."""
        if self._is_dead:
            self._fate.end()
            self._timeline.after(10.0, self._become_calm)
            return
        self._calm_since = self._timeline.now
        self._trace.say("world", "calm")
        self._fate.be_calm()
        self._cloud.calm = True
        self._board.settle()
        self._timeline.after(_SETTLED_S, self._look_whether_quiet)

    def _look_whether_quiet(self) -> None:
        found = unrest(self._books, self._cloud, self._office)
        if found is None and self._probed and (waiting := list(self._door.unanswered(self._timeline.now))):
            found = f"nobody answers {waiting}"
        if found is None and self._probed == _PROBES and self._door.is_moving:
            found = "a gate is moving"
        if found is not None:
            if self._timeline.now - self._calm_since > PATIENCE_S:
                self._break(f"not at rest {PATIENCE_S:.0f} s after the last fault: {found}")
            self._timeline.after(10.0, self._look_whether_quiet)
        elif self._probed < _PROBES:
            if self._probed == 0:
                self._door.expect_the_best()
            self._probed += 1
            self.ask()
            self._timeline.after(3.0 if self._probed < _PROBES else 15.0, self._look_whether_quiet)
        else:
            self._over = True
            if self._life is not None:
                self._life.end()

    # What must hold at every moment

    def _check_committed(self) -> None:
        if not self._is_dead:  # what the dead commit, nobody will ever read
            self._books.look()
            self._door.look()

    def _check_acknowledged(self, message: Message) -> None:
        """Nothing is acknowledged that is not durable."""
        if message.leaf == "invites" and not self._books.accounts_for(message.payload):
            raise Anomaly(f"acknowledged and not durable: {message.payload[:200]!r}")
        if message.leaf == "commands" and (command_id := self._cloud.command_id(message)) not in self._books.replied:
            raise Anomaly(f"command {command_id} was acknowledged, and no answer to it is stored")

    def _heard_log(self, event: EventDict) -> None:
        """The daemon's log is part of the history, but for what no two runs share."""
        if self._is_dead:
            return
        if event["event"] == "events.abandoned":
            self._door.lossy.add(self._lives)
        if event["event"] in _DAMAGE:
            self._break(f"nothing here damages a store: {event}")
        facts: dict[str, Any] = {name: value for name, value in event.items() if name not in {"event", "ms"}}
        words = {name: str(value).replace(str(self._home), "") for name, value in facts.items()}
        self._trace.say("agent", str(event["event"]), **words)


def live(seed: int, length_s: float, *, whole: bool = False) -> Outcome:
    """The world of a seed, from its beginning to its end."""
    home = Path(tempfile.mkdtemp(prefix="world-", dir=_MEMORY if _MEMORY.is_dir() else None))
    try:
        return World(seed, length_s, home, whole=whole).run()
    finally:
        shutil.rmtree(home)
