"""What cannot be used, between parts that can: each is receipted once with its code, and nothing goes in circles."""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from random import Random

import pytest

from agent.floods import AT_ONCE
from tests.counterparts.agent import Agent, gateway
from tests.counterparts.cloud import GATE, Cloud, Document, mobile, part, people
from tests.counterparts.mosquitto import Mosquitto
from tests.counterparts.signer import Signer, trusting
from tests.counterparts.waiting import until

MOST_KEPT = 64
MOST_KEPT_BYTES = 8 << 20
LONG_AGO = 1_000_000_000_000


def with_number(text: str) -> bytes:
    """A part whose revision is written like this."""
    return json.dumps(part("odd", 999, people([1]))).replace("999", text).encode()


def padded(size: int) -> bytes:
    """A part that would be good, were it not so large."""
    sent = part("large", 999, people([1]), comment="")
    return json.dumps({**sent, "comment": "x" * (size - len(json.dumps(sent)))}).encode()


def nested(depth: int) -> Document:
    schedule: Document = {}
    for _ in range(depth):
        schedule = {"a": schedule}
    return schedule


def encoded(batch_id: str, revision: int, **fields: object) -> bytes:
    return json.dumps({**part(batch_id, revision, people([1])), **fields}).encode()


POISON = {
    "nothing": (b"", "not_json"),
    "junk": (Random(6).randbytes(5000), "not_json"),
    "cut off": (encoded("cut", 999)[:-20], "not_json"),
    "UTF-16": (encoded("wide", 999).decode().encode("utf-16"), "not_json"),
    "half a character": (encoded("half", 999, invitedBy="X").replace(b"X", b"\\ud800"), "not_json"),
    "NUL bytes": (bytes(1000), "not_json"),
    "not a number": (with_number("NaN"), "not_json"),
    "brackets": (b"[" * 100_000, "schema"),
    "a list": (b"[]", "schema"),
    "null": (b"null", "schema"),
    "without a gateway": (encoded("free", 999).replace(b'"gatewayId"', b'"gateway"'), "schema"),
    "huge": (with_number("1" + "0" * 300), "schema"),
    "one too many": (with_number(str(2**53)), "schema"),
    "negative": (with_number("-1"), "schema"),
    "a fraction": (with_number("1.5"), "schema"),
    "text": (with_number('"7"'), "schema"),
    "part 3 of 2": (encoded("b", 999, part=3, parts=2), "schema"),
    "no device": (encoded("b", 999, deviceIds=[]), "schema"),
    "nobody": (encoded("b", 999, invitees=None), "schema"),
    "deep": (encoded("deep", 999, schedule=nested(900)), "schema"),
    "another gateway's": (encoded("b", 999, gatewayId="gw-2"), "wrong_gateway"),
    "too many people": (encoded("many", 999, invitees=people(range(5001))), "too_large"),
    "too many people × devices": (
        encoded("many", 998, deviceIds=[GATE, "482913"], invitees=people(range(2501))),
        "too_large",
    ),
    "too many bytes": (padded((1 << 20) + 1), "too_large"),
    "far too many bytes": (padded(5 << 20), "too_large"),
}
STALE = {
    "expired": (encoded("late", 999, expiresAt=LONG_AGO), "expired"),
    "known, with other people": (encoded("good-0", 1, invitees=people([77])), "batch_conflict"),
    "known, with other parts": (encoded("good-0", 1, parts=2), "batch_conflict"),
    "a known revision": (encoded("stranger", 1), "revision_conflict"),
}
"""What is well formed, and yet cannot be applied."""


def good(number: int) -> Document:
    return part(f"good-{number}", number + 1, people([number]))


def rejections(cloud: Cloud) -> list[Document]:
    return [receipt for receipt in cloud.said("receipts") if receipt["outcome"] == "rejected"]


def kept(agent: Agent) -> list[Path]:
    return list((agent.state_dir / "quarantine").iterdir())


def _contents(agent: Agent) -> list[bytes]:
    """Of a folder that the agent may be clearing out meanwhile."""
    found = []
    for file in kept(agent):
        with suppress(FileNotFoundError):
            found.append(file.read_bytes())
    return found


@pytest.mark.parametrize("poison", [POISON, STALE], ids=["malformed", "stale"])
async def test_poison_between_good_parts_is_receipted_once_each(
    mosquitto: Mosquitto, tmp_path: Path, poison: Mapping[str, tuple[bytes, str]]
) -> None:
    """In MQTT 3.1.1, where the broker keeps nothing away."""
    async with gateway(tmp_path, mosquitto.port, protocol="3.1.1") as (agent, cloud):
        sent = [good(0)]
        await cloud.send(sent[0])
        for number, (payload, _) in enumerate(poison.values(), 1):
            sent.append(good(number))
            await cloud.send(payload, sent[-1])
        await cloud.settles(*sent)
        await cloud.outcome(sent[-1]["batchId"], "complete")

        reported = len(cloud.reports)
        assert [cloud.outcomes(each["batchId"], 1).count("applied") for each in sent] == [1] * len(sent)
        assert {user["mobile"] for user in await agent.users()} == {mobile(number) for number in range(len(sent))}
        assert await agent.stop() == 0
        await agent.online(cloud)
        await cloud.send(good(1000))
        await cloud.outcome("good-1000", "complete")
        assert agent.logged("part.rejected") == [], "nothing came again"
        assert len(cloud.reports) == reported + 3

        said = [receipt["error"]["code"] for receipt in rejections(cloud)]
        assert said == [code for _, code in poison.values()]
        within_limits = {payload for payload, _ in poison.values() if len(payload) <= 1 << 20}
        assert {file.read_bytes() for file in kept(agent)} == within_limits


@pytest.mark.parametrize("poison", [POISON, STALE], ids=["malformed", "stale"])
async def test_rejection_says_which_bytes_were_meant(
    mosquitto: Mosquitto, tmp_path: Path, poison: Mapping[str, tuple[bytes, str]]
) -> None:
    async with gateway(tmp_path, mosquitto.port, protocol="3.1.1") as (_, cloud):
        await cloud.send(good(0), *(payload for payload, _ in poison.values()))
        await until(lambda: len(rejections(cloud)) == len(poison))
        meant = [receipt.get("payloadSha256") for receipt in rejections(cloud)]
        assert meant == [sha256(payload).hexdigest() for payload, _ in poison.values()]


async def test_rejection_names_whatever_could_be_read(mosquitto: Mosquitto, tmp_path: Path) -> None:
    async with gateway(tmp_path, mosquitto.port) as (_, cloud):
        await cloud.send(encoded("b-1", 7, part=2, parts=1), b"{}")
        await until(lambda: len(rejections(cloud)) == 2)
        named, nameless = rejections(cloud)
        fields = ("batchId", "revision", "part", "parts")
        assert [named[field] for field in fields] == ["b-1", 7, 2, 1]
        assert [nameless[field] for field in fields] == [None] * 4
        assert named["error"]["message"] == "part 2 of 1"


async def test_broker_keeps_away_what_is_far_too_large(mosquitto: Mosquitto, tmp_path: Path) -> None:
    """In MQTT 5 the gateway asks it to; it must neither hang nor be cut off for it."""
    async with gateway(tmp_path, mosquitto.port) as (agent, cloud):
        await cloud.send(padded(5 << 20), good(1))
        await cloud.outcome("good-1", "complete")
        assert rejections(cloud) == []
        assert len(agent.logged("link.connected")) == 1


async def test_quarantine_keeps_the_newest_and_not_too_much(mosquitto: Mosquitto, tmp_path: Path) -> None:
    def poison() -> Iterator[bytes]:
        for number in range(MOST_KEPT + 30):
            yield b"small %d" % number
        for number in range(10):
            yield b"large %d" % number + bytes(1 << 20)[10:]

    async with gateway(tmp_path, mosquitto.port) as (agent, cloud):
        await cloud.send(*poison(), b"the last")
        await until(lambda: len(rejections(cloud)) == MOST_KEPT + 41)
        await until(lambda: b"the last" in _contents(agent), what="the last of them")
        sizes = [file.stat().st_size for file in kept(agent)]
        assert len(sizes) <= MOST_KEPT
        assert sum(sizes) <= MOST_KEPT_BYTES
        assert b"the last" in {file.read_bytes() for file in kept(agent)}
        assert {file.stat().st_mode & 0o777 for file in kept(agent)} == {0o600}


@pytest.mark.parametrize(
    "payload",
    [b"junk", padded((1 << 20) + 1), encoded("late", 999, expiresAt=LONG_AGO)],
    ids=["junk", "too large to keep", "expired"],
)
async def test_flood_of_equal_refusals_is_counted(mosquitto: Mosquitto, tmp_path: Path, payload: bytes) -> None:
    count = 300 if len(payload) < 1000 else 40
    async with gateway(tmp_path, mosquitto.port) as (agent, cloud):
        await agent.stop()
        await cloud.send(*[payload] * count, good(1))
        await agent.online(cloud)
        await cloud.outcome("good-1", "complete")
        assert len(rejections(cloud)) == 1
        assert await agent.stop() == 0

        await until(lambda: len(rejections(cloud)) == 2, what="the count, told at the latest when it leaves")
        first, counted = rejections(cloud)
        assert "repeated" not in first
        assert counted["repeated"] == count - 1
        assert counted["error"] == first["error"]
        assert counted["payloadSha256"] == first["payloadSha256"] == sha256(payload).hexdigest()
        await agent.online(cloud)
        await cloud.send(good(2))
        await cloud.outcome("good-2", "complete")
        assert len(rejections(cloud)) == 2


DISTRUST = {"unsigned", "bad_signature", "unknown_key"}


def unusable(rng: Random, signer: Signer, forger: Signer, number: int) -> tuple[bytes, set[str]]:
    """One message of a thousand, other bytes every time, and the codes that are right answers."""
    said = part(f"bad-{number}", 10_000 + number, people([number]))
    written, genuine = json.dumps(said).encode(), signer.signs(said)
    match number % 10:
        case 0:
            return written, {"unsigned"}
        case 1:
            return forger.signs(said), {"unknown_key"}
        case 2:
            return forger.signs(said, kid=signer.kid), {"bad_signature"}
        case 3:
            return genuine[: rng.randrange(1, len(genuine))], DISTRUST
        case 4:
            at = rng.randrange(len(genuine))
            return genuine[:at] + bytes([genuine[at] ^ 1 << rng.randrange(8)]) + genuine[at + 1 :], DISTRUST
        case 5:
            return rng.randbytes(rng.randrange(1, 3000)), DISTRUST
        case 6:
            return signer.signs(written[: rng.randrange(len(written) - 1)] + b"%d" % number), {"not_json", "schema"}
        case 7:
            return signer.signs({**said, "schedule": nested(8)}), {"schema"}
        case 8:
            return signer.signs({**said, "gatewayId": f"gw-{number}"}), {"wrong_gateway"}
        case _ if number % 200 == 9:
            return rng.randbytes((1 << 20) + 1), {"too_large"}
    return signer.signs({**said, "revision": -number}), {"schema"}


async def test_thousand_unusable_messages_between_signed_parts(
    mosquitto: Mosquitto, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """A queue full of them, as it may wait for a gateway that was away, and ten floods of equal ones in the end."""
    rng, signer, forger = Random(19), Signer("cloud-2026"), Signer("cloud-2027")
    bad = [unusable(rng, signer, forger, number) for number in range(AT_ONCE)]
    floods = [payload for payload, _ in bad[-10:] for _ in range(4)]
    goods = [good(number) for number in range(25)]
    settings = trusting(tmp_path, signer)
    async with gateway(tmp_path, mosquitto.port, protocol="3.1.1", settings=settings) as (agent, cloud):
        cloud.signs = signer.signs
        every = len(bad) // len(goods)
        for number, each in enumerate(goods):
            await cloud.send(*(payload for payload, _ in bad[number * every : (number + 1) * every]), each)
        await cloud.send(*(payload for payload, _ in bad[len(goods) * every :]), *floods)
        await cloud.settles(*goods)
        await until(lambda: len(rejections(cloud)) >= len(bad), within_s=40, every_s=0.2, what="a receipt each")

        codes = {receipt["payloadSha256"]: receipt["error"]["code"] for receipt in rejections(cloud)}
        assert len(codes) == len(bad)
        for number, (payload, right) in enumerate(bad):
            assert codes[sha256(payload).hexdigest()] in right, number
        assert {user["mobile"] for user in await agent.users()} == {mobile(number) for number in range(len(goods))}
        assert await agent.stop() == 0
        await until(lambda: len(rejections(cloud)) == len(bad) + 10, every_s=0.2, what="the floods, counted")
        counted = Counter(receipt["payloadSha256"] for receipt in rejections(cloud))
        assert sorted(counted.values())[-11:] == [1, *[2] * 10]
        assert [receipt["repeated"] for receipt in rejections(cloud)[-10:]] == [4] * 10

        reported = len(cloud.reports)
        await agent.online(cloud)
        await cloud.send(good(1_000))
        await cloud.outcome("good-1000", "complete")
        assert agent.logged("part.rejected") == [], "nothing came again"
        assert len(cloud.reports) == reported + 3
        record_property("tried:unusable messages receipted once", len(bad))
