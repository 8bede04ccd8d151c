"""One connection to the broker: one paho client that lives and dies once.

What paho does not do for us decides the shape:

- A client of its keeps acknowledgements and messages for its next connection, where the same packet ids mean other
  messages. So every connection has a client of its own, and what belongs to an old one is inert.
- Its own thread hides why a connection failed, and opens a listening socket to be woken by. So a connection runs paho's
  functions for foreign event loops on a thread of ours.
- It notices a dead link after twice the keep-alive. So that thread asks the kernel how long the broker has been silent.
"""

import asyncio
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final, cast

import structlog
from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion, LogLevel, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from agent import broker, certificates, line
from agent.broker import Address, Failure
from agent.inbox import Delivery, Inbox
from agent.room import Room

if TYPE_CHECKING:
    import socket

WINDOW: Final = 16
"""Messages on their way to the broker at once; fewer where it takes fewer."""

WINDOW_BYTES: Final = 32 << 10
"""And so many bytes: on a slow line our acknowledgements queue behind them, and when it breaks all is sent again."""

_HELD_BYTES: Final = 32 << 20  # waiting to be taken; above it nothing more is read, looked at again every tick
_TICK_S: Final = 1.0
_DIAL_S: Final = 15.0  # for TCP, per address of a name, and again for TLS
_ESTABLISH_S: Final = 60.0  # for a name, TCP, TLS and CONNACK together, and again for the SUBACK
_SOON_S: Final = 60.0  # a connection that ends within it is worth asking why
GOODBYE_S: Final = 1.0
_CONNACK: Final = 0  # in place of a packet id: those start at 1

log: structlog.typing.FilteringBoundLogger = structlog.get_logger()


class LinkDown(Exception):
    """There is no connection, or it ended before the broker answered; the message says why."""


class Connection:
    """A connection with ``subscriptions`` (as those of Link) and a retained ``will``, a topic and its payload.

    ``floor`` is a moment (epoch ms) certainly past, where the board's clock cannot judge certificates, else None.
    ``inbox`` is what came in, ``arrival`` is set when it grows. ``over`` has the reason once everything has ended.
    Methods belong to the event loop, except those marked as the thread's.
    """

    def __init__(
        self,
        address: Address,
        *,
        subscriptions: Mapping[str, int],
        will: tuple[str, bytes],
        arrival: asyncio.Event,
        floor: int | None = None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self.over: asyncio.Future[Failure] = self._loop.create_future()
        self.inbox = Inbox(subscriptions, self._acknowledge)
        self.session_present = False
        self.chain_end: int | None = None
        self.window = WINDOW
        self._address = address
        self._subscriptions = subscriptions
        self._arrival = arrival
        self._floor = floor
        self._answers: dict[int | None, asyncio.Future[list[int]]] = {}
        self._room = Room(WINDOW, WINDOW_BYTES)
        self._heard_s = self._loop.time()
        self._cut: Failure | None = None
        # Written by the thread alone, as is what it notes for its own use:
        self._failure: Failure | None = None
        self._answered_s: float | None = None
        self._socket_error: str | None = None
        self._bell = line.Bell()
        self._client = self._new_client(*will)

    def _new_client(self, will_topic: str, will: bytes) -> paho.Client:
        five = self._address.protocol == "5"
        client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=self._address.client_id,
            clean_session=None if five else False,
            protocol=MQTTProtocolVersion.MQTTv5 if five else MQTTProtocolVersion.MQTTv311,
            reconnect_on_failure=False,
            manual_ack=True,
        )
        client.connect_timeout = _DIAL_S
        client.will_set(will_topic, will, qos=1, retain=True)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        client.on_publish = lambda _client, _data, mid, code, _properties: self._hand(self._answer, mid, [code.value])
        client.on_subscribe = lambda _client, _data, mid, codes, _properties: self._hand(
            self._answer, mid, [code.value for code in codes]
        )
        client.on_log = self._on_log
        # With it set, paho leaves all writing to the thread; without, it would write from the event loop as well.
        client.on_socket_register_write = lambda _client, _data, _socket: None
        return client

    @property
    def ending(self) -> Failure | None:
        """Why it has ended or is about to; None while it can be used."""
        return self.over.result() if self.over.done() else self._cut

    def start(self) -> None:
        """Begin to connect."""
        threading.Thread(target=self._live, args=(self._client,), name="mqtt", daemon=True).start()

    async def accepted(self) -> None:
        """Return once the broker has let us in. Raises LinkDown."""
        await self._answer_to("our connection", _CONNACK, _ESTABLISH_S)

    async def subscribe(self) -> None:
        """Return once it has granted our subscriptions. Raises LinkDown.

        Where it still had our session, what waited there comes first, which on a slow line takes minutes.
        """
        granted = await self._answer_to("our subscriptions", self._ask_for_topics(), _ESTABLISH_S)
        denied = [topic for topic, qos in zip(self._subscriptions, granted, strict=False) if qos != 1]
        if denied:
            raise self.cut(
                f"{self._address.place} does not let {self._address.client_id!r} subscribe to {', '.join(denied)}: "
                "check what the broker allows this gateway"
            )

    def _ask_for_topics(self) -> int | None:
        client = self._alive()
        if self._address.protocol == "5":
            # What is retained comes with a new subscription only: an old message need not come again every time.
            how = SubscribeOptions(qos=1, retainHandling=SubscribeOptions.RETAIN_SEND_IF_NEW_SUB)
            _, packet_id = client.subscribe([(topic, how) for topic in self._subscriptions])
        else:
            _, packet_id = client.subscribe([(topic, 1) for topic in self._subscriptions])
        self._bell.ring()
        return packet_id

    async def publish(self, topic: str, payload: bytes, *, retain: bool, timeout_s: float) -> None:
        """As Link.publish."""
        async with self._room.taken(len(payload)):
            info = self._alive().publish(topic, payload, qos=1, retain=retain)
            self._bell.ring()
            [code] = await self._answer_to("a message", info.mid, timeout_s)
        if code >= 0x80:
            name = ReasonCode(PacketTypes.PUBACK, identifier=code).getName()
            raise self.cut(f"{self._address.place} refuses messages to {topic}: {name}")

    def cut(self, words: str) -> LinkDown:
        """End it without taking leave, so that the broker publishes the will. Returns what to raise."""
        self._cut = self._cut or Failure(words)
        self._bell.ring()
        return LinkDown(words)

    async def close(self) -> None:
        """Take leave of the broker, within a second."""
        if self.over.done():
            return
        if self._client.is_connected():
            self._client.disconnect()
            self._bell.ring()
        else:
            self.cut("stopped")
        await asyncio.wait([self.over], timeout=GOODBYE_S)
        self.cut("stopped")

    def _acknowledge(self, packet_id: int) -> None:
        self._client.ack(packet_id, 1)
        self._bell.ring()

    def _alive(self) -> paho.Client:
        if (failure := self.ending) is not None:
            raise LinkDown(failure.words)
        return self._client

    async def _answer_to(self, what: str, packet_id: int | None, patience_s: float) -> list[int]:
        """The reason codes of an answer. Raises LinkDown where there is no connection to get one on.

        Whatever the broker sends renews our patience: on a slow line its answer is behind everything sent before it.
        """
        asked_s = self._loop.time()
        answer: asyncio.Future[list[int]] = self._loop.create_future()
        self._answers[packet_id] = answer
        try:
            while not answer.done():
                left_s = max(asked_s, self._heard_s) + patience_s - self._loop.time()
                if left_s <= 0:
                    raise self.cut(f"{self._address.place} left {what} unanswered for {patience_s:g} s")
                await asyncio.wait([answer], timeout=left_s)
            return answer.result()
        finally:
            del self._answers[packet_id]

    # What the thread hands over

    def _opened(self, session_present: bool, limits: dict[str, int]) -> None:
        self.session_present = session_present
        self.window = min(WINDOW, limits.get("ReceiveMaximum", WINDOW))
        self._room = Room(self.window, WINDOW_BYTES)
        if found := broker.shortcomings(self._address, limits):
            log.warning("broker.limited", broker=self._address.place, shortcomings=found)
        self._answer(_CONNACK, [])

    def _answer(self, packet_id: int, codes: list[int]) -> None:
        self._heard_s = self._loop.time()
        answer = self._answers.get(packet_id)
        if answer is not None and not answer.done():
            answer.set_result(codes)

    def _ended(self, failure: Failure) -> None:
        self.over.set_result(failure)
        self.inbox.close()
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(LinkDown(failure.words))
        self._bell.close()

    def _delivered(self, delivery: Delivery) -> None:
        self._heard_s = self._loop.time()
        self.inbox.put(delivery)
        self._arrival.set()

    # The thread

    def _live(self, client: paho.Client) -> None:
        try:
            self._dial(client)
            self._failure = self._distrust(client)
            if self._failure is None:
                self._converse(client)
        except certificates.UnusableError as error:
            self._failure = Failure(str(error))
        except (OSError, UnicodeError) as error:
            self._failure = broker.unreachable(self._address, error, time.gmtime().tm_year)
        except BaseException as error:
            self._failure = Failure(f"no fault of {self._address.place}, but of this program: {error!r}")
            raise
        finally:
            if (sock := client.socket()) is not None:
                sock.close()
            self._hand(self._ended, self._cut or self._failure or self._hung_up())

    def _hung_up(self) -> Failure:
        if self._answered_s is None:
            return broker.unanswered(self._address, detail=self._socket_error)
        if self._socket_error is not None:
            return broker.broke(self._address, self._socket_error)
        # A broker that died hung up on everybody, one that is still there perhaps on us alone, for another client.
        soon = time.monotonic() - self._answered_s < _SOON_S
        return broker.hung_up(self._address, listening=not soon or line.listens(self._address.host, self._address.port))

    def _dial(self, client: paho.Client) -> None:
        address = self._address
        if address.username is not None:
            client.username_pw_set(address.username, address.password())
        if address.tls is not None:
            client.tls_set_context(address.tls.context(timed=self._floor is None))
        if address.protocol == "5":
            properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call] # paho's, untyped
            properties.SessionExpiryInterval = address.session_expiry_s
            properties.ReceiveMaximum = address.receive_maximum
            properties.MaximumPacketSize = address.packet_limit
            client.connect(address.host, address.port, address.keepalive_s, clean_start=False, properties=properties)
        else:
            client.connect(address.host, address.port, address.keepalive_s)
        line.tune(cast("socket.socket", client.socket()))

    def _distrust(self, client: paho.Client) -> Failure | None:
        """What there is against the chain that the broker has shown; nothing of ours has been sent so far."""
        sock = client.socket()
        if not isinstance(sock, ssl.SSLSocket):
            return None
        self.chain_end = end = certificates.chain_end(sock)
        if self._floor is not None and (end is None or end < self._floor):
            return broker.outdated(self._address, end, self._floor)
        return None

    def _converse(self, client: paho.Client) -> None:
        """Move bytes both ways until the connection ends."""
        while self._cut is None and (sock := cast("socket.socket | None", client.socket())) is not None:
            listening = self.inbox.held < _HELD_BYTES
            # Packets already decrypted wait inside OpenSSL, where poll() does not see them.
            decrypted = listening and isinstance(sock, ssl.SSLSocket) and sock.pending() > 0
            found = line.ready(
                sock, self._bell, 0.0 if decrypted else _TICK_S, reads=listening, writes=client.want_write()
            )
            if decrypted or found.readable:
                client.loop_read()
            elif listening and client.keepalive and line.silence_s(sock) > client.keepalive + self._address.answer_s:
                self._failure = broker.silent(self._address, client.keepalive + self._address.answer_s)
                return
            if found.writable:
                client.loop_write()
            client.loop_misc()

    def _hand(self, callback: Callable[..., None], *arguments: object) -> None:
        try:
            self._loop.call_soon_threadsafe(callback, *arguments)
        except RuntimeError:  # the loop has closed, as when it ended while a name was still being resolved
            self._bell.close()

    def _on_connect(
        self, _client: object, _data: object, flags: paho.ConnectFlags, code: ReasonCode, properties: Properties | None
    ) -> None:
        self._answered_s = time.monotonic()
        if code.is_failure:
            self._failure = broker.refused(self._address, code.value, code.getName())
        else:  # paho keeps each property of the packet as an attribute
            self._hand(self._opened, flags.session_present, vars(properties) if properties is not None else {})

    def _on_disconnect(
        self, _client: object, _data: object, flags: paho.DisconnectFlags, code: ReasonCode, _properties: object
    ) -> None:
        if code == "Normal disconnection" and not flags.is_disconnect_packet_from_server:
            self._failure = Failure("stopped")
        elif flags.is_disconnect_packet_from_server:
            self._failure = broker.dismissed(self._address, code.value, code.getName())
        elif code == "Keep alive timeout" and self._answered_s is None:
            self._failure = broker.unanswered(self._address, silent=True)
        elif code == "Keep alive timeout":
            self._failure = broker.silent(self._address, self._address.keepalive_s)
        elif code == "Protocol error" and self._failure is None:
            self._failure = broker.garbled(self._address)

    def _on_message(self, _client: object, _data: object, message: paho.MQTTMessage) -> None:
        try:
            topic = message.topic
        except UnicodeDecodeError:
            topic = ""  # not one that anybody can have subscribed to
        payload, retained, again = bytes(message.payload), message.retain, message.dup
        self._hand(self._delivered, self.inbox.arrive(message.mid, topic, payload, retained=retained, again=again))

    def _on_log(self, _client: object, _data: object, level: int, text: str) -> None:
        if level == LogLevel.MQTT_LOG_ERR:  # the one place where paho says which error of the socket it met
            self._socket_error = text.removeprefix("failed to receive on socket: ")
