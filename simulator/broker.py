"""An MQTT broker inside this process, for a bench: amqtt, on the loopback alone.

It speaks MQTT 3.1.1 only, keeps sessions and retained messages in memory, and forgets what it delivered without an
answer. So it shows that a gateway works, never that nothing is lost: that takes a real broker.
"""

import asyncio
import logging
from types import TracebackType
from typing import Final, Self

from amqtt.broker import Broker
from amqtt.contexts import BrokerConfig, ListenerConfig
from amqtt.errors import BrokerError
from amqtt.plugins.base import BaseAuthPlugin
from amqtt.session import Session

from simulator import exits
from simulator.exits import Failure

HOST = "127.0.0.1"

_STOP_AGAIN_S: Final = 0.2
_STOP_TRIES: Final = 25

log = logging.getLogger(__name__)


class PortTaken(Failure):
    """The port is in use, or not ours to use."""

    exit_code = exits.IO


class Doorkeeper(BaseAuthPlugin):
    """Lets everybody in by name: amqtt keeps sessions only for clients that its own anonymous plugin did not admit."""

    async def authenticate(self, *, session: Session) -> bool:
        """Everybody on this machine may connect."""
        log.info("%s connects", session.client_id)
        return True

    async def on_broker_client_disconnected(self, *, client_id: str, client_session: Session) -> None:  # noqa: ARG002 -- amqtt's signature
        """Tell whoever watches."""
        log.info("%s is gone", client_id)


class BenchBroker:
    """The broker while the context is open; `port` 0 takes a free one. Raises PortTaken on entering."""

    host = HOST

    def __init__(self, port: int = 0) -> None:
        self.port = port
        self._broker: Broker | None = None

    @property
    def url(self) -> str:
        """The broker as every `--broker` takes it."""
        return f"mqtt://{self.host}:{self.port}"

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listen, after a stop on the same port again. Raises PortTaken."""
        # What amqtt has to say is about packets; what matters of it is raised here or seen by its clients.
        logging.getLogger("amqtt").setLevel(logging.CRITICAL)
        broker = Broker(
            BrokerConfig(
                listeners={"default": ListenerConfig(bind=f"{self.host}:{self.port}")},
                plugins={f"{__name__}.{Doorkeeper.__name__}": {}},
            )
        )
        try:
            await broker.start()
        except BrokerError as error:
            raise PortTaken(f"no broker on {self.host}:{self.port}: {error}; take another --port") from error
        (listening,) = broker._servers["default"].instance.sockets  # noqa: SLF001 -- the only way to learn a free port
        self.port = listening.getsockname()[1]
        self._broker = broker

    async def stop(self) -> None:
        """Hang up on everybody, and forget what was kept for them; nothing where it does not run."""
        broker, self._broker = self._broker, None
        if broker is not None:
            await _shut_down(broker)


async def _shut_down(broker: Broker) -> None:
    stopping = asyncio.ensure_future(broker.shutdown())
    for _ in range(_STOP_TRIES):
        done, _ = await asyncio.wait((stopping,), timeout=_STOP_AGAIN_S)
        if done:
            stopping.result()
            return
        _cancel_again()
    stopping.cancel()  # it listens no more, and whoever still hangs on ends with this process
    await asyncio.wait((stopping,))


def _cancel_again() -> None:
    """Before Python 3.12 `asyncio.wait_for` can lose a cancellation, and amqtt would wait for a reader for ever."""
    for task in asyncio.all_tasks():
        if task.cancelling() and getattr(task.get_coro(), "__qualname__", "") == "ProtocolHandler._reader_loop":
            task.cancel()
