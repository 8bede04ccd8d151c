"""Names and numbers of people stay out of the log, on every way a message can take."""

import json
from pathlib import Path

from tests.counterparts.agent import gateway
from tests.counterparts.cloud import GATE, GATEWAY
from tests.counterparts.mosquitto import Mosquitto

NAMES = ("Canary Quixotina", "Canary Zebulon", "Canary Ottoline")
NUMBERS = ("0824519991", "0824519992", "082451", "+27824519994")


async def test_no_name_and_no_number_reaches_the_log(mosquitto: Mosquitto, tmp_path: Path) -> None:
    """Applied, rejected, refused by the decoder, refused by the ledger, revoked, and named in a command."""
    base = {"gatewayId": GATEWAY, "deviceIds": [GATE], "permission": "Always"}
    good = {"userName": NAMES[0], "mobile": NUMBERS[0], "notes": NAMES[1]}
    bad = {"userName": NAMES[2] * 20, "mobile": NUMBERS[2]}
    messages = [
        {**base, "batchId": "good", "revision": 1, "invitees": [good, bad], "revocations": [{"mobile": NUMBERS[1]}]},
        {**base, "batchId": "good", "revision": 1, "invitees": [good]},
        {**base, "batchId": "shape", "revision": "two", "invitees": [good], "invitedBy": NUMBERS[3]},
        {**base, "batchId": "mode", "revision": 3, "mode": NAMES[0], "invitees": [good]},
    ]
    async with gateway(tmp_path, mosquitto.port) as (agent, cloud):
        await cloud.send(*[json.dumps(each).encode() for each in messages], NAMES[1].encode() + NUMBERS[1].encode())
        await cloud.ask("trigger", deviceId=GATE, mobile=NUMBERS[3])
        await cloud.outcome("mode", "rejected")
        assert agent.logged("part.applied")
        assert len(agent.logged("part.rejected")) == 4
        for canary in (*NAMES, *(number[-6:] for number in NUMBERS)):
            assert canary not in agent.log
