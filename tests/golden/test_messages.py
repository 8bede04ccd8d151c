"""What the gateway answers to fixed parts, to the byte.

`python -m tests.golden.test_messages` writes the answers anew, for the day on which they are meant to change.
"""

import asyncio
import json
import tempfile
from functools import partial
from pathlib import Path
from typing import Final

from protocol.codec import Limits, Refused, decode
from protocol.messages import ReceiptMessage, StatusesMessage
from protocol.mobile import Numbers
from protocol.reports import receipt_payload, statuses_payload, unpacked
from protocol.validate import validate
from protocol.vocabulary import Kind
from storage import outbox
from storage.apply import apply
from storage.database import Database, Reader
from storage.merge import Device
from storage.replace import Guard
from storage.store import enroll
from tests.golden import GOLDEN

GATE: Final = "1234567890123456"
PANEL: Final = "482913"
NOW: Final = 1_795_300_001_234
PARTS: Final = json.loads((GOLDEN / "parts.json").read_text(encoding="utf-8"))
ANSWERS: Final = GOLDEN / "answers.jsonl"


async def answers() -> list[bytes]:
    """The payloads of all reports on the golden parts, one transaction a part."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "gateway.db"
        async with Database(path) as database:
            numbers = await database.transact(lambda transaction: enroll(transaction, "k3f9", [GATE, PANEL]))
            devices = {
                GATE: Device(numbers[GATE], GATE, Kind.FLUSS, 5),
                PANEL: Device(numbers[PANEL], PANEL, Kind.INTERCOM, 5),
            }
            for part in PARTS:
                payload = part.encode() if isinstance(part, str) else json.dumps(part).encode()
                decoded = decode(payload, "gw-1", Limits())
                group = [decoded if isinstance(decoded, Refused) else validate(decoded, Numbers("ZA"))]
                await database.transact(partial(apply, group=group, devices=devices, guard=Guard(), now=NOW))
            reader = Reader(path)
            reports = outbox.reports(reader, 1, 1_000, 1_000)
            reader.close()
    return [
        receipt_payload("gw-1", "k3f9", each.number, each.at, each.body)
        if each.kind == "receipt"
        else statuses_payload("gw-1", "k3f9", each.number, each.at, each.batch, unpacked(each.body))
        for each in reports
    ]


async def test_answers_to_the_golden_parts_are_the_same_bytes_as_ever() -> None:
    assert await answers() == ANSWERS.read_bytes().splitlines()


def test_golden_answers_are_what_the_models_say() -> None:
    """The encoders are written by hand for speed; pydantic reads their bytes back without a difference."""
    for line in ANSWERS.read_bytes().splitlines():
        model = StatusesMessage if b'"results"' in line else ReceiptMessage
        read = model.model_validate_json(line)
        assert json.loads(read.model_dump_json(by_alias=True, exclude_unset=True)) == json.loads(line)


if __name__ == "__main__":
    ANSWERS.write_bytes(b"\n".join(asyncio.run(answers())) + b"\n")
