"""The program one would write first: a commit and a status message for every person.

Nothing is done badly on purpose: the same libraries (paho, aiosqlite, pydantic, phonenumbers), the same promises to the
disk (WAL, FULL) and to the broker (QoS 1), one person after the other. Run as `python -m benchmarks.naive CONFIG`.
"""

import asyncio
import json
import sys
import time
import tomllib
from pathlib import Path
from typing import Any

import aiosqlite
import phonenumbers
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from pydantic import BaseModel, Field, ValidationError

from protocol.topics import Topics

_SCHEMA = """
CREATE TABLE users (device_id TEXT, mobile TEXT, name TEXT, notes TEXT, permission TEXT, status TEXT, revision INTEGER,
    PRIMARY KEY (device_id, mobile))
"""
_UPSERT = """
INSERT INTO users VALUES (?, ?, ?, ?, ?, 'Pending', ?) ON CONFLICT (device_id, mobile) DO UPDATE SET
    name = excluded.name, notes = excluded.notes, permission = excluded.permission, revision = excluded.revision
WHERE excluded.revision > users.revision
"""


class Invitee(BaseModel):
    userName: str = Field(min_length=1, max_length=100)  # noqa: N815 -- the wire's name
    mobile: str
    notes: str | None = Field(None, max_length=400)


class Batch(BaseModel):
    revision: int
    part: int
    deviceIds: list[str]  # noqa: N815 -- the wire's name
    permission: str
    invitees: list[dict[str, object]]


class Naive:
    """Invites in over MQTT, rows into SQLite, statuses out."""

    def __init__(self, database: aiosqlite.Connection, gateway_id: str, region: str) -> None:
        self._database = database
        self._region = region
        self._topics = Topics(gateway_id)
        self._batches: asyncio.Queue[bytes] = asyncio.Queue()
        self._loop = asyncio.get_running_loop()
        self._client = Client(CallbackAPIVersion.VERSION2, gateway_id, protocol=MQTTProtocolVersion.MQTTv5)
        self._client.on_connect = lambda client, *_: client.subscribe(self._topics.invites, 1)
        self._client.on_subscribe = lambda client, *_: client.publish(self._topics.state, b'{"online":true}', 1, True)
        self._client.on_message = self._heard

    async def run(self, host: str, port: int) -> None:
        self._client.connect(host, port)
        self._client.loop_start()
        while True:
            await self._take(Batch(**json.loads(await self._batches.get())))

    def _heard(self, _client: Client, _userdata: object, message: MQTTMessage) -> None:
        self._loop.call_soon_threadsafe(self._batches.put_nowait, bytes(message.payload))

    async def _take(self, batch: Batch) -> None:
        for item, invitee in enumerate(batch.invitees):
            for device_id in batch.deviceIds:
                result = await self._apply(batch, device_id, invitee)
                status = {"part": batch.part, "at": int(time.time() * 1000), "results": [{"item": item, **result}]}
                self._client.publish(self._topics.statuses, json.dumps(status, separators=(",", ":")), 1)

    async def _apply(self, batch: Batch, device_id: str, invitee: dict[str, object]) -> dict[str, str | None]:
        try:
            person = Invitee.model_validate(invitee)
            number = phonenumbers.parse(person.mobile, self._region)
        except (ValidationError, phonenumbers.NumberParseException) as fault:
            return {"deviceId": device_id, "mobile": None, "outcome": "rejected", "error": str(fault)}
        if not phonenumbers.is_valid_number(number):
            return {"deviceId": device_id, "mobile": None, "outcome": "rejected", "error": "not a valid number"}
        mobile = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
        row = (device_id, mobile, person.userName, person.notes, batch.permission, batch.revision)
        await self._database.execute(_UPSERT, row)
        await self._database.commit()
        return {"deviceId": device_id, "mobile": mobile, "outcome": "added", "status": "Pending"}


async def main(config: dict[str, Any], path: Path) -> None:
    async with aiosqlite.connect(path) as database:
        await database.execute("PRAGMA journal_mode=WAL")
        await database.execute("PRAGMA synchronous=FULL")
        await database.execute(_SCHEMA)
        naive = Naive(database, config["gateway_id"], config["default_region"])
        await naive.run(config["mqtt"]["host"], config["mqtt"]["port"])


if __name__ == "__main__":
    file = Path(sys.argv[1])
    asyncio.run(main(tomllib.loads(file.read_text()), file.with_name("naive.db")))
