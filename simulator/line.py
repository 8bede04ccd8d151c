"""One connection to a broker, in the place of the cloud of one gateway."""

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import aiomqtt
from aiomqtt import MqttError, ProtocolVersion
from paho.mqtt.reasoncodes import ReasonCode

from protocol.keys import SigningKey, sign
from protocol.topics import Topics
from simulator.address import Address
from simulator.messages import Message, read
from simulator.trouble import Unreachable, unreachable

WINDOW: Final = 8
"""Messages on their way to the broker at once."""

_CONNECT_S: Final = 5.0
_ANSWER_S: Final = 30.0
_KEEPALIVE_S: Final = 20
_CANCELLED_S: Final = 1.0

_SILENT: Final = logging.getLogger(__name__)
"""For what the libraries would log about broken connections: it is raised here, in words."""

_SILENT.setLevel(logging.CRITICAL)

T = TypeVar("T")


@dataclass(slots=True)
class Traffic:
    """Bytes of the messages that went either way, without what carries them."""

    sent: int = 0
    heard: int = 0


class Line:
    """A connection that is open; its methods raise MqttError when it breaks, which `converse` puts into words."""

    def __init__(self, client: aiomqtt.Client, topics: Topics, key: SigningKey | None, traffic: Traffic) -> None:
        self._client = client
        self._topics = topics
        self._key = key
        self._traffic = traffic
        self._window = asyncio.Semaphore(WINDOW)

    async def send_part(self, payload: bytes) -> None:
        """Have the broker take one part of a batch, which was signed when it was cut to size."""
        await self._publish(self._topics.invites, payload)

    async def send_command(self, payload: bytes) -> bytes:
        """Have the broker take one command; what it took, for it is signed here, and none leaves without."""
        message = payload if self._key is None else sign(payload, self._key)
        await self._publish(self._topics.commands, message)
        return message

    async def _publish(self, topic: str, payload: bytes) -> None:
        async with self._window:
            self._traffic.sent += len(payload)
            await self._client.publish(topic, payload, qos=1, timeout=_ANSWER_S)


async def converse(
    address: Address,
    topics: Topics,
    hear: Callable[[Message], None],
    speak: Callable[[Line], Awaitable[T]],
    traffic: Traffic | None = None,
) -> T:
    """Connect, and run `speak` once everything the gateway says goes to `hear`; its result. `traffic` is counted up.

    Raises Unreachable where there is no connection, or it broke before `speak` was through. Nothing is kept at the
    broker for us: what was missed between two connections has to be asked for.
    """
    traffic = traffic or Traffic()
    client = aiomqtt.Client(
        address.host,
        address.port,
        username=address.username,
        password=address.password,
        logger=_SILENT,
        identifier=f"fluss-simulator-{secrets.token_hex(4)}",
        protocol=ProtocolVersion.V5 if address.protocol == "5" else ProtocolVersion.V311,
        clean_session=None if address.protocol == "5" else True,
        timeout=_CONNECT_S,
        keepalive=_KEEPALIVE_S,
        tls_context=address.tls.context() if address.tls else None,
    )
    try:
        async with _connected(client):
            # It listens from the start, so that whatever waits for the broker is not left waiting when the broker goes.
            listening = asyncio.create_task(_listen(client, topics, hear, traffic))
            speaking = asyncio.create_task(_speak(client, topics, address, speak, traffic))
            try:
                await asyncio.wait((listening, speaking), return_when=asyncio.FIRST_COMPLETED)
                if not speaking.done():
                    await listening
                return await speaking
            finally:
                await _ended(listening, speaking)
    except MqttError as broken:
        raise unreachable(address, broken) from broken


@asynccontextmanager
async def _connected(client: aiomqtt.Client) -> AsyncIterator[None]:
    """The client's own context, let finish its connecting where we are cancelled meanwhile.

    aiomqtt would leave its socket open, and trip over its cancelled future when that closes.
    """
    connecting = asyncio.ensure_future(client.__aenter__())
    try:
        await asyncio.shield(connecting)
    except asyncio.CancelledError:
        with suppress(MqttError):
            await connecting
            await client.__aexit__(None, None, None)
        raise
    try:
        yield
    finally:
        await client.__aexit__(None, None, None)


def never_seen(gateway_id: str, topics: Topics) -> str:
    """Why there may be no state of a gateway, in words."""
    return (
        f"Nothing called {gateway_id} has ever reported here (on {topics.state}): check --gateway, --prefix, what the"
        " broker allows this user, and that the gateway runs."
    )


async def _speak(
    client: aiomqtt.Client, topics: Topics, address: Address, speak: Callable[[Line], Awaitable[T]], traffic: Traffic
) -> T:
    for topic in (topics.receipts, topics.statuses, topics.events, topics.replies, topics.state):
        granted = await client.subscribe(topic, qos=1)
        if any(_value(code) >= 0x80 for code in granted):
            raise Unreachable(f"{address.place} does not let this user read {topic}: its access rules have to allow it")
    return await speak(Line(client, topics, address.key, traffic))


async def _listen(client: aiomqtt.Client, topics: Topics, hear: Callable[[Message], None], traffic: Traffic) -> None:
    async for message in client.messages:
        traffic.heard += len(message.payload)
        # A broker may send what was never subscribed to; whoever reads by topic does not care.
        understood = read(message.topic.value, message.payload, topics)
        if understood is not None:
            hear(understood)


async def _ended(*tasks: asyncio.Task[Any]) -> None:
    """Cancel them until they are: before Python 3.12 aiomqtt's `asyncio.wait_for` can lose a cancellation."""
    while pending := [task for task in tasks if not task.done()]:
        for task in pending:
            task.cancel()
        await asyncio.wait(pending, timeout=_CANCELLED_S)
    await asyncio.gather(*tasks, return_exceptions=True)


def _value(code: int | ReasonCode) -> int:
    return code.value if isinstance(code, ReasonCode) else code
