"""A gateway that believes one key and nothing else, as the cloud sees it: online, and done with every command."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import sha256
from typing import Any

import aiomqtt

from tests.counterparts.cloud import GATE, GATEWAY
from tests.counterparts.mosquitto import Mosquitto
from tests.oracle.notary import attested

TOPICS = f"fluss/v1/{GATEWAY}"
STATE = {
    "online": True,
    "session": "s",
    "epoch": "e",
    "reports": {"oldest": 1, "newest": 0},
    "version": "1",
    "clock": "synced",
    "storage": "ok",
    "devices": [
        {"deviceId": GATE, "kind": "fluss+", "name": "Gate", "users": {}, "maxUsers": 5, "revision": 0, "digest": "0"}
    ],
}


class Notary:
    """What came on its topics: what the holder of the key has said, and what anybody might have."""

    def __init__(self, client: aiomqtt.Client, public: bytes) -> None:
        self.parts: list[dict[str, Any]] = []
        self.commands: list[dict[str, Any]] = []
        self.doubtful: list[bytes] = []
        self._client = client
        self._public = public

    async def run(self) -> None:
        async for message in self._client.messages:
            assert isinstance(message.payload, bytes)
            found = attested(message.payload, self._public)
            if found is None:
                self.doubtful.append(message.payload)
                error = {"code": "unsigned", "message": "not signed"}
                meant = {"commandId": None, "payloadSha256": sha256(message.payload).hexdigest()}
                await self._reply({**meant, "outcome": "refused", "at": 0, "error": error})
                continue
            said = json.loads(found[1])
            if message.topic.value.endswith("/commands"):
                self.commands.append(said)
                await self._reply({"commandId": said["commandId"], "outcome": "done", "at": 0})
            else:
                self.parts.append(said)

    async def _reply(self, reply: dict[str, Any]) -> None:
        await self._client.publish(f"{TOPICS}/replies", json.dumps(reply), qos=1)


@asynccontextmanager
async def believing(broker: Mosquitto, public: bytes) -> AsyncIterator[Notary]:
    """A gateway at this broker that believes the key in this JWK."""
    async with aiomqtt.Client(broker.host, broker.port, identifier=GATEWAY) as client:
        notary = Notary(client, public)
        await client.subscribe([(f"{TOPICS}/invites", 1), (f"{TOPICS}/commands", 1)])
        await client.publish(f"{TOPICS}/state", json.dumps(STATE), qos=1, retain=True)
        running = asyncio.create_task(notary.run())
        try:
            yield notary
        finally:
            while not running.done():  # before Python 3.12 asyncio.wait_for can lose a cancellation
                running.cancel()
                await asyncio.wait([running], timeout=1)
