"""Somebody has the broker, and with it every command there ever was: no gate moves for them."""

import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path

from agent.answers import ISSUED_FOR_MS
from tests.counterparts.agent import Protocol
from tests.counterparts.cloud import GATE, GATEWAY, PANEL, Cloud, Document, mobile, part, people
from tests.counterparts.mosquitto import Mosquitto
from tests.counterparts.premises import LATER, Premises, premises
from tests.counterparts.signer import Signer, trusting
from tests.counterparts.waiting import until

Record = Callable[[str, object], None]

DISTRUST = {"unsigned", "bad_signature", "unknown_key"}


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def order(command_id: str, command: str = "trigger", **fields: object) -> Document:
    """A command that moves the gate for somebody who may."""
    asked = {"commandId": command_id, "gatewayId": GATEWAY, "command": command, "deviceId": GATE}
    return {**asked, "mobile": mobile(1), "expiresAt": LATER, **fields}


def digest(payload: bytes) -> str:
    return sha256(payload).hexdigest()


def answers(cloud: Cloud, command_id: str | None) -> list[str | None]:
    """The codes of all replies to a command, in the order they came; None where it was done."""
    return [
        reply["error"] and reply["error"]["code"] for reply in cloud.said("replies") if reply["commandId"] == command_id
    ]


def nameless(cloud: Cloud) -> dict[str, str]:
    """The codes of the replies to commands of which nothing is known, by the hash of their bytes."""
    replies = [reply for reply in cloud.said("replies") if reply["commandId"] is None]
    return {reply["payloadSha256"]: reply["error"]["code"] for reply in replies}


@asynccontextmanager
async def guarded(
    home: Path, mosquitto: Mosquitto, signer: Signer, protocol: Protocol = "5"
) -> AsyncIterator[Premises]:
    """Premises that believe this key alone, with one resident on the list of the gate."""
    async with premises(home, mosquitto.port, protocol=protocol, settings=trusting(home / "keys", signer)) as place:
        place.cloud.signs = signer.signs
        await place.invite(*people([1], accepted=True))
        yield place


async def test_no_gate_moves_for_whoever_has_the_broker(
    mosquitto: Mosquitto, tmp_path: Path, record_property: Record
) -> None:
    genuine, forger = Signer("cloud-2026"), Signer("cloud-2027")
    async with guarded(tmp_path, mosquitto, genuine) as place:
        done = await place.order("trigger", mobile(1))
        assert (done["outcome"], "payloadSha256" in done) == ("done", False), "the gate moves for whoever may"

        signed = genuine.signs(order("signed"))
        header, payload, signature = signed.split(b".")
        another = genuine.signs(order("another", mobile=mobile(2))).split(b".")
        forged = {
            "unsigned": json.dumps(order("f")).encode(),
            "another key": forger.signs(order("f")),
            "another key under the name of ours": forger.signs(order("f"), kid=genuine.kid),
            "its own key in the header": forger.signs(order("f"), kid=genuine.kid, jwk=json.loads(forger.jwk())),
            "no algorithm": genuine.signs(order("f"), alg="none"),
            "without its signature": header + b"." + payload + b".",
            "truncated": signed[:-1],
            "in JSON": json.dumps({"payload": payload.decode(), "signature": signature.decode()}).encode(),
            "payload of another": b".".join([header, another[1], signature]),
            "a list": json.dumps(part("f", 9, people([9]))).encode(),
            **{f"bit {bit} flipped": _flipped(signed, bit) for bit in range(3, len(signed) * 8, len(signed) * 8 // 30)},
        }
        meant: dict[str, tuple[bytes, str]] = {
            "late": (genuine.signs(order("late", expiresAt=now_ms() - 1)), "expired"),
            "endless": (genuine.signs(order("endless", expiresAt=None)), "schema"),
            "elsewhere": (genuine.signs(order("elsewhere", gatewayId="gw-2")), "wrong_gateway"),
            "deaf": (genuine.signs(order("deaf", deviceId="9999999999999999")), "unknown_device"),
            "stranger": (genuine.signs(order("stranger", mobile=mobile(2))), "unknown_user"),
        }
        for message in [*forged.values(), *(message for message, _ in meant.values()), genuine.signs(part("x", 9))]:
            await place.cloud.publish("commands", message)
        await place.cloud.publish("invites", genuine.signs(order("posted elsewhere")))

        def all_answered() -> bool:
            known = nameless(place.cloud)
            return all(digest(each) in known for each in forged.values()) and all(
                answers(place.cloud, name) for name in meant
            )

        await until(all_answered, within_s=30, what="a reply to each")
        codes = {name: nameless(place.cloud)[digest(message)] for name, message in forged.items()}
        assert set(codes.values()) == DISTRUST, codes
        assert codes["unsigned"] == codes["in JSON"] == codes["a list"] == "unsigned"
        assert codes["another key"] == "unknown_key"
        assert {name: answers(place.cloud, name) for name in meant} == {
            name: [code] for name, (_, code) in meant.items()
        }
        assert answers(place.cloud, "f") == answers(place.cloud, "signed") == [], "nothing unverified is repeated"
        assert (await place.order("trigger", mobile(1)))["outcome"] == "done"
        assert (len(place.gate.told()), place.side.told()) == (2, [])
        record_property("tried:attacks refused", len(forged) + len(meant) + 2)


def _flipped(message: bytes, bit: int) -> bytes:
    changed = bytearray(message)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


async def test_genuine_command_played_again_moves_nothing(
    mosquitto: Mosquitto, tmp_path: Path, record_property: Record
) -> None:
    """At once, over a restart, retained, and in other bytes that say the same."""
    signer = Signer()
    played = signer.signs(order("played"))
    again = signer.signs({**order("played"), "note": "the same name, signed in good faith"})
    async with guarded(tmp_path, mosquitto, signer, "3.1.1") as place:
        await place.cloud.publish("commands", played)
        expected: list[str | None] = [None]
        await until(lambda: answers(place.cloud, "played") == expected)
        for message in (played, played, again):  # one after the other: one answer would do for two at once
            await place.cloud.publish("commands", message)
            expected.append("repeated")
            await until(lambda: answers(place.cloud, "played") == expected)

        await place.cloud.publish("commands", signer.signs(order("kept")), retain=True)
        await until(lambda: answers(place.cloud, "kept") == [None])
        await place.agent.stop()
        await place.cloud.publish("commands", played)
        await place.agent.online(place.cloud)
        await place.reached()
        await until(lambda: answers(place.cloud, "kept") == [None, "retained"])
        await until(lambda: answers(place.cloud, "played") == [*expected, "repeated"])
        assert len(place.gate.told()) == 2, "each once"
        await place.events(2)
        record_property("tried:attacks refused", 5)


async def test_command_without_an_end_that_would_count_twice_is_refused(mosquitto: Mosquitto, tmp_path: Path) -> None:
    """A gateway forgets a command one day; whoever has kept it hears of no one-time code then, and erases nobody.

    One that says when it was issued ends by itself an hour later.
    """
    async with guarded(tmp_path, mosquitto, Signer()) as place:
        asked = {"deviceId": PANEL, "mobile": mobile(3), "userName": "Plumber"}
        for command in ("issue_code", "revoke_code", "codes", "erase"):
            reply = await place.cloud.ask(command, **asked)
            assert reply["error"] == {"code": "schema", "message": f"expiresAt: a signed {command} needs an end"}
        now = now_ms()
        late = await place.cloud.ask("issue_code", **asked, issuedAt=now - ISSUED_FOR_MS)
        assert late["error"]["code"] == "expired"
        assert (await place.cloud.ask("issue_code", **asked, issuedAt=now))["outcome"] == "done"
        assert len((await place.cloud.ask("codes", deviceId=PANEL, expiresAt=LATER))["result"]["codes"]) == 1
