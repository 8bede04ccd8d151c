"""A cloud that signs and a gateway that believes nothing else, over a real broker: the keys made and used as typed."""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from simulator import exits
from tests.acceptance.test_keys import Done, simulator
from tests.counterparts.agent import Agent, gateway
from tests.counterparts.cloud import GATE, GATEWAY, PANEL, Cloud, mobile, part, people
from tests.counterparts.mosquitto import Mosquitto

MOSQUITTO_PUB = shutil.which("mosquitto_pub")


@dataclass(frozen=True, slots=True)
class Office:
    """Where a person types, with a gateway that trusts the key they have made."""

    home: Path
    agent: Agent
    cloud: Cloud

    @property
    def private(self) -> Path:
        return self.home / "cloud-2026.private.jwk"

    async def types(self, *words: str | Path, stdin: bytes = b"", signs: bool = True) -> Done:
        key = {"FLUSS_SIGN_WITH": str(self.private)} if signs else {}
        return await asyncio.to_thread(simulator, *words, stdin=stdin, cwd=self.home, **key)

    async def publishes(self, leaf: str, message: bytes) -> None:
        """What is in a file, with the broker's own tool where it is installed."""
        if MOSQUITTO_PUB is None:
            await self.cloud.publish(leaf, message)
            return
        file = self.home / "message"
        file.write_bytes(message)
        topic = f"fluss/v1/{GATEWAY}/{leaf}"
        words = ("-h", "127.0.0.1", "-p", str(self.cloud.port), "-q", "1", "-t", topic, "-f", str(file))
        publishing = await asyncio.create_subprocess_exec(MOSQUITTO_PUB, *words)
        async with asyncio.timeout(10):
            assert await publishing.wait() == 0


@pytest.fixture
async def office(mosquitto: Mosquitto, tmp_path: Path) -> AsyncIterator[Office]:
    made = await asyncio.to_thread(simulator, "keys", "new", "--kid", "cloud-2026", cwd=tmp_path)
    assert made.returncode == exits.OK
    keys = [str(tmp_path / "cloud-2026.jwk")]
    async with gateway(tmp_path / "gw", mosquitto.port, settings={"trust": {"keys": keys}}) as (agent, cloud):
        yield Office(tmp_path, agent, cloud)


async def test_batch_that_is_signed_by_hand_is_applied_and_the_same_unsigned_is_not(office: Office) -> None:
    batch = part("b-1", 1, people([1, 2]))
    document = json.dumps(batch).encode()
    await office.publishes("invites", document)
    assert (await office.cloud.outcome(None, "rejected"))["error"]["code"] == "unsigned"
    signed = (await office.types("keys", "sign", "-", stdin=document)).stdout
    await office.publishes("invites", signed)
    await office.cloud.settles(batch)
    assert office.cloud.outcomes("b-1", 1) == ["applied"]
    assert len(await office.agent.users()) == 2


async def test_list_of_a_thousand_is_signed_part_by_part(office: Office) -> None:
    file = office.home / "list.csv"
    rows = [f"Resident {number},{mobile(number)},Unit {number} {'x' * 200}" for number in range(1_000)]
    file.write_text("\n".join(["Name,Mobile,Notes", *rows, ""]), "utf-8")
    to_gate = ("--config", office.agent.file, "--device", GATE, "--permission", "Always", "--yes", "--format", "json")
    done = await office.types("cloud", "invite", file, *to_gate)
    assert done.returncode == exits.OK, done.stderr.decode()
    assert json.loads(done.stdout)["outcomes"] == {"added": 1_000}
    receipts = [receipt for receipt in office.cloud.said("receipts") if receipt["part"] is not None]
    assert [receipt["parts"] for receipt in receipts] == [4] * 4, "unsigned they would be three"
    again = await office.types("cloud", "invite", file, *to_gate)
    assert json.loads(again.stdout)["outcomes"] == {"unchanged": 1_000}


async def test_commands_and_lists_are_believed_with_the_key_alone_and_whoever_has_none_hears_how_to_sign(
    office: Office,
) -> None:
    place = ("--broker", f"mqtt://127.0.0.1:{office.cloud.port}", "--gateway", GATEWAY)
    issued = await office.types("cloud", "issue-code", PANEL, "Bheki", mobile(1), "--code", "4821", *place)
    assert issued.returncode == exits.OK, issued.stderr.decode()
    asked = await office.types("cloud", "codes", PANEL, *place)
    assert (asked.returncode, asked.stdout.splitlines()[1].split(b"\t")[:2]) == (exits.OK, [b"4821", b"Bheki"])
    unsigned = await office.types("cloud", "revoke-code", PANEL, "4821", *place, signs=False)
    assert unsigned.returncode == exits.REFUSED
    assert "sign with a key this gateway trusts: --sign-with FILE" in unsigned.stderr.decode()
    assert len((await office.types("cloud", "codes", PANEL, *place)).stdout.splitlines()) == 2, "it is still out"
    words = ("cloud", "invite", "--paste", f"David, {mobile(1)}", "--device", PANEL, "--yes", *place)
    unsigned = await office.types(*words, signs=False)
    assert unsigned.returncode == exits.REFUSED
    assert "Nothing was believed: sign with a key this gateway trusts: --sign-with FILE" in unsigned.stderr.decode()
    assert await office.agent.users() == []
