"""An MQTT broker inside this process, for a bench: amqtt, on the loopback alone.

It speaks MQTT 3.1.1 only, keeps sessions and retained messages in memory, and forgets what it delivered without an
answer. So it shows that a gateway works, never that nothing is lost: that takes a real broker.
"""

import logging
from types import TracebackType
from typing import Self

from amqtt.broker import Broker
from amqtt.contexts import BrokerConfig, ListenerConfig
from amqtt.errors import BrokerError
from amqtt.plugins.base import BaseAuthPlugin
from amqtt.session import Session

from simulator import exits
from simulator.exits import Failure

HOST = "127.0.0.1"

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
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._broker is not None, "it was entered"
        await self._broker.shutdown()
