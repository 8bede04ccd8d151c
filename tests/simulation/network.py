"""The network between gateway and broker, and a connection that goes through it instead of through a socket.

The connection is the daemon's own (`agent.connection`), with everything of it that lives in the event loop; what is
exchanged is the client library, its thread and its socket.
"""

from collections.abc import Callable, Sequence
from random import Random
from typing import Any, Final, NamedTuple, cast

from agent.broker import Failure
from agent.connection import Connection
from tests.simulation.broker import Broker, Message
from tests.simulation.hostility import Hostility
from tests.simulation.timeline import Timeline
from tests.simulation.trace import Trace

_DIAL_S: Final = 15.0
_SILENCE_S: Final = 75.0
"""After so long a gateway has noticed that nobody is there any more; a broker takes half as long again."""


class _Info(NamedTuple):
    mid: int


class Network:
    """``acknowledged`` and ``published`` see what the gateway sends, before it is on its way.

    ``taken`` sees what it hears the broker has.
    """

    def __init__(self, timeline: Timeline, hostility: Hostility, trace: Trace, rng: Random, broker: Broker) -> None:
        self.timeline = timeline
        self.broker = broker
        self.acknowledged: Callable[[Message], None] = lambda _: None
        self.published: Callable[[Message], None] = lambda _: None
        self.taken: Callable[[Message], None] = lambda _: None
        self.reachable = True
        self.calm = False
        self._rng = rng
        self._hostility = hostility
        self._trace = trace
        self._wires: list[Wire] = []
        self._numbers = 0

    def latency(self) -> float:
        """How long the next thing is under way."""
        return self._rng.uniform(0.2, 1.8) * self._hostility.latency_s

    def fail(self) -> None:
        """Break every connection: at once, or silently."""
        self.reachable = False
        self._trace.say("network", "failed")
        for wire in list(self._wires):
            silent = not self.calm and self._rng.random() < self._hostility.half_open
            if silent:
                wire.fall_silent()
            else:
                wire.reset("the line broke")

    def recover(self) -> None:
        """Connections can be made again; those that fell silent stay so."""
        self.reachable = True
        self._trace.say("network", "recovered")

    def sever(self) -> None:
        """The gateway's process is gone, and its kernel hangs up for it."""
        for wire in list(self._wires):
            wire.die()

    def connect(self, *args: Any, **more: Any) -> "Wire":
        """A connection, as agent.link makes one."""
        return Wire(self, *args, **more)

    def dial(self, wire: "Wire") -> None:
        """Reach the broker, or fail to."""
        self._wires.append(wire)
        self._numbers += 1
        wire.number = self._numbers

        def answered() -> None:
            if wire.gone:
                return
            if self.reachable and self.broker.up:
                wire.establish_both_ends()
            elif self.broker.up or self._rng.random() < 0.5:
                self.timeline.after(self._rng.uniform(0, _DIAL_S), lambda: wire.reset("no answer"))
            else:
                wire.reset("refused")

        self.timeline.after(2 * self.latency(), answered)

    def forget(self, wire: "Wire") -> None:
        """It is gone at both ends."""
        if wire in self._wires:
            self._wires.remove(wire)

    def say(self, what: str, wire: "Wire", **facts: object) -> None:
        """Note it in the history."""
        self._trace.say("network", what, line=wire.number, **facts)


class _Pull:
    """The bell of a connection without a thread: whoever rings wants the line to be looked at."""

    def __init__(self, look: Callable[[], None]) -> None:
        self.ring = look

    def close(self) -> None:
        """Nobody listens any more."""


class _Client:
    """What a connection uses of its client library."""

    def __init__(self, wire: "Wire") -> None:
        self._wire = wire

    def publish(self, topic: str, payload: bytes, *, qos: int, retain: bool) -> _Info:
        """Send a message; the answer comes by its packet id."""
        assert qos == 1, "everything is"
        return _Info(self._wire.publishes(Message(_leaf(topic), payload, retained=retain)))

    def subscribe(self, topics: Sequence[object]) -> tuple[int, int]:
        """Ask for the topics: the broker has them from the connect on."""
        return 0, self._wire.asks([1] * len(topics))

    def ack(self, packet_id: int, _qos: int) -> None:
        """Acknowledge a packet id."""
        self._wire.acknowledges(packet_id)

    def is_connected(self) -> bool:
        """Whether both ends know each other."""
        return self._wire.attached

    def disconnect(self) -> None:
        """Take leave."""
        self._wire.takes_leave()


class Wire(Connection):
    """A connection whose packets are simulated. In order both ways, as over TCP."""

    def __init__(self, network: Network, *args: Any, **more: Any) -> None:
        self.number = 0
        self.attached = False
        """To the broker, as the broker sees it."""
        self.gone = False
        """As the gateway sees it."""
        self._network = network
        self._timeline = network.timeline
        self._silent = False
        self._packets = 0
        self._up_at = self._down_at = 0.0
        self._came: dict[int, Message] = {}
        super().__init__(*args, **more)
        self._bell.close()
        self._bell = cast("Any", _Pull(self._look))

    def _new_client(self, will_topic: str, will: bytes) -> Any:
        self._topics = will_topic.rsplit("/", 1)[0]
        self._will = Message(_leaf(will_topic), will, retained=True)
        return _Client(self)

    def start(self) -> None:
        """Begin to connect; no thread."""
        self._network.dial(self)

    # The gateway's end

    def publishes(self, message: Message) -> int:
        """Send a message; its packet id."""
        self._network.published(message)

        def arrive(packet_id: int) -> None:
            self._network.broker.take(message)
            self._down(lambda: taken(packet_id))

        def taken(packet_id: int) -> None:
            self._network.taken(message)
            self._hand(self._answer, packet_id, [0])

        return self._asked(arrive)

    def asks(self, granted: list[int]) -> int:
        """Send what is granted; its packet id."""
        return self._asked(lambda packet_id: self._down(lambda: self._hand(self._answer, packet_id, granted)))

    def acknowledges(self, packet_id: int) -> None:
        """Acknowledge what came under a packet id."""
        if not self.gone:
            message = self._came[packet_id]
            self._network.acknowledged(message)
            self._network.say("acknowledged", self, packet=packet_id, leaf=message.leaf)
            self._up(lambda: self._network.broker.acknowledged(self, packet_id))

    def takes_leave(self) -> None:
        """Say so, and be gone."""

        def arrive() -> None:
            self._leave(politely=True)
            self.reset("stopped")

        self._up(arrive)

    # The broker's end

    def deliver(self, packet_id: int, message: Message, *, again: bool = False) -> None:
        """A message comes down."""

        def arrive() -> None:
            self._came[packet_id] = message
            topic = f"{self._topics}/{message.leaf}"
            payload, retained = message.payload, message.retained
            delivery = self.inbox.arrive(packet_id, topic, payload, retained=retained, again=again)
            self._hand(self._delivered, delivery)

        self._down(arrive)

    def drop(self) -> None:
        """The broker hangs up, or is no more."""
        self.attached = False
        if not self._silent:
            self.reset("the broker hung up")

    # What befalls it

    def establish_both_ends(self) -> None:
        """The broker accepts the gateway, and says so before everything else."""
        self.attached = True
        present = self._network.broker.attach(self, self._will)
        self._network.say("connected", self, session=present)
        self._hand(self._opened, present, {})

    def fall_silent(self) -> None:
        """Nothing passes any more, and nobody is told; in the end both ends notice."""
        self._silent = True
        self._network.say("silenced", self)
        self._timeline.after(_SILENCE_S, lambda: self.reset("silence"))
        self._timeline.after(1.5 * _SILENCE_S, lambda: self._leave(politely=False))

    def reset(self, words: str) -> None:
        """It is over for both ends; where it fell silent, for this one."""
        if not self.gone:
            self.gone = True
            self._network.say("closed", self, why=words.replace(" ", "_"))
            self._hand(self._ended, self._cut or Failure(words))
        if not self._silent:
            self._leave(politely=False)

    def die(self) -> None:
        """The process is gone: nothing is sent or heard any more."""
        self.gone = True
        if not self._silent:
            self._leave(politely=False)
        self._network.forget(self)

    def _leave(self, *, politely: bool) -> None:
        if self.attached:
            self.attached = False
            self._network.broker.detach(self, politely=politely)
        self._network.forget(self)

    def _look(self) -> None:
        if self._cut is not None and not self.gone:
            self._loop.call_soon(self.reset, self._cut.words)

    def _asked(self, arrive: Callable[[int], None]) -> int:
        self._packets += 1
        packet_id = self._packets
        self._up(lambda: arrive(packet_id))
        return packet_id

    def _up(self, arrive: Callable[[], None]) -> None:
        """Something goes to the broker: it arrives, unless the line is gone by then."""
        if not self.gone:
            self._up_at = max(self._up_at, self._timeline.now + self._network.latency())
            self._timeline.at(self._up_at, lambda: arrive() if self.attached and not self._silent else None)

    def _down(self, arrive: Callable[[], None]) -> None:
        """Something comes to the gateway, in the same way."""
        self._down_at = max(self._down_at, self._timeline.now + self._network.latency())
        self._timeline.at(self._down_at, lambda: None if self.gone or self._silent else arrive())


def _leaf(topic: str) -> str:
    return topic.rsplit("/", 1)[1]
