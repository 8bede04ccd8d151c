"""Somebody has the broker, and perhaps a key: what they send is refused for its reason, and changes nothing.

The attacks are those of the TUF specification (section 1.5.2), as far as a list has them.
"""

import hmac
import json
import time
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path

from protocol.vocabulary import MAX_REVISION
from tests.counterparts.agent import gateway
from tests.counterparts.cloud import GATE, PANEL, Cloud, Document, mobile, part, people
from tests.counterparts.mosquitto import Mosquitto
from tests.counterparts.signer import Signer, encoded, trusting
from tests.counterparts.waiting import until

Record = Callable[[str, object], None]

HOUR_MS = 3_600_000
DISTRUST = {"unsigned", "bad_signature", "unknown_key"}
LISTED = people(range(1, 4), accepted=True)
THIEF = people([66], accepted=True)
CUTS = (1, 20, 100, 200, -200, -87, -40, -1)


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def digest(payload: bytes) -> str:
    return sha256(payload).hexdigest()


def rejected(cloud: Cloud) -> dict[str, Document]:
    """What was refused, by the hash of the bytes that were meant."""
    receipts = [receipt for receipt in cloud.said("receipts") if receipt["outcome"] == "rejected"]
    found = {receipt["payloadSha256"]: receipt for receipt in receipts}
    assert len(found) == len(receipts), "receipted more than once"
    return found


def flipped(message: bytes, bit: int) -> bytes:
    changed = bytearray(message)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def mixed(*messages: bytes) -> bytes:
    """Header, payload and signature, each from another message."""
    return b".".join(message.split(b".")[place] for place, message in enumerate(messages))


def macced(signer: Signer, said: Document) -> bytes:
    """Signed with the public key as the secret of a MAC."""
    header = {"alg": "HS256", "typ": "JWT", "kid": signer.kid}
    signed = encoded(json.dumps(header).encode()) + b"." + encoded(json.dumps(said).encode())
    return signed + b"." + encoded(hmac.digest(signer.key.public.public_bytes_raw(), signed, "sha256"))


def attacks(genuine: Signer, forger: Signer) -> Iterator[tuple[str, bytes, set[str]]]:
    """What was tried, the bytes of it, and the codes that are right answers."""
    wanted = part("forged", 900, THIEF)
    kid, honest, other = genuine.kid, genuine.signs(part("honest", 800, THIEF)), genuine.signs(part("b", 801, LISTED))
    bare = {name: value for name, value in wanted.items() if name != "gatewayId"}
    key = json.loads(forger.jwk())

    yield "unsigned", json.dumps(wanted).encode(), {"unsigned"}
    yield "JSON serialisation", json.dumps({"payload": "e30", "signatures": []}).encode(), {"unsigned"}
    yield "another key", forger.signs(wanted), {"unknown_key"}
    yield "another key under the name of ours", forger.signs(wanted, kid=kid), {"bad_signature"}
    yield "its own key in the header", forger.signs(wanted, kid=kid, jwk=key), {"bad_signature"}
    yield "its own address of keys", forger.signs(wanted, kid=kid, jku="https://forger.example"), {"bad_signature"}
    yield "a nameless key", genuine.raw({"alg": "EdDSA"}, json.dumps(wanted).encode()), {"bad_signature"}
    yield "no algorithm", mixed(genuine.signs(wanted, alg="none"), honest) + b".", {"bad_signature"}
    yield "no algorithm, signed", genuine.signs(wanted, alg="none"), {"bad_signature"}
    yield "the public key as a secret", macced(genuine, wanted), {"bad_signature"}
    yield "an extension", genuine.signs(wanted, crit=["b64"], b64=False), {"bad_signature"}
    yield "empty signature", honest[: honest.rindex(b".") + 1], {"bad_signature"}
    yield "encrypted", b".".join([honest, b"e30", b"e30"]), {"bad_signature"}
    yield "padded", honest + b"==", {"unsigned"}
    yield "header of another", mixed(forger.signs(wanted), honest, honest), {"unknown_key"}
    yield "payload of another", mixed(honest, other, honest), {"bad_signature"}
    yield "signature of another", mixed(honest, honest, other), {"bad_signature"}
    for at in CUTS:
        yield f"truncated at {at}", honest[:at], DISTRUST
    for bit in range(5, len(honest) * 8, len(honest) * 8 // 40):
        yield f"bit {bit} flipped", flipped(honest, bit), DISTRUST
    yield "for another gateway", genuine.signs(part("b", 802, THIEF, gatewayId="gw-2")), {"wrong_gateway"}
    yield "for nobody", genuine.signs(bare), {"schema"}
    yield "held back past its end", genuine.signs(part("b", 803, THIEF, expiresAt=now_ms() - 1)), {"expired"}
    yield "a command", genuine.signs({"commandId": "c", "gatewayId": "gw-1", "command": "codes"}), {"schema"}
    yield "too deep", genuine.signs(part("b", 804, THIEF, x=json.loads("[" * 8 + "]" * 8))), {"schema"}
    yield "too large", genuine.signs(part("b", 805, THIEF, x="x" * (1 << 20))), {"too_large"}
    yield "too many", genuine.signs(part("b", 806, people(range(5_001)))), {"too_large"}
    yield "of a batch that is known", genuine.signs(part("list", 5, THIEF)), {"batch_conflict"}
    yield "of a revision that is known", genuine.signs(part("another", 5, THIEF)), {"revision_conflict"}


async def test_attack_is_refused_for_its_reason_and_changes_nothing(
    mosquitto: Mosquitto, tmp_path: Path, record_property: Record
) -> None:
    """In MQTT 3.1.1, where the broker keeps nothing away."""
    genuine, forger = Signer("cloud-2026"), Signer("cloud-2027")
    settings = trusting(tmp_path / "keys", genuine)
    async with gateway(tmp_path, mosquitto.port, protocol="3.1.1", settings=settings) as (agent, cloud):
        await cloud.send(genuine.signs(part("list", 5, LISTED, deviceIds=[GATE, PANEL])))
        await cloud.outcome("list", "complete")
        before = await agent.users()
        await until(lambda: cloud.state["devices"][0]["revision"] == 5)
        lists = cloud.state["devices"]

        tried = list(attacks(genuine, forger))
        assert len({digest(message) for _, message, _ in tried}) == len(tried)
        await cloud.send(*(message for _, message, _ in tried))
        await until(lambda: len(rejected(cloud)) == len(tried), within_s=30, what="a receipt for each")
        for name, message, codes in tried:
            receipt = rejected(cloud)[digest(message)]
            assert receipt["error"]["code"] in codes, name
            named = [receipt[field] for field in ("batchId", "revision", "part", "parts")]
            assert receipt["error"]["code"] not in DISTRUST or named == [None] * 4, f"{name}: {named}"
        assert await agent.users() == before
        assert len({each["batch_id"] for each in agent.logged("part.applied")}) == 1

        await cloud.send(genuine.signs(part("next", 6, people([4]))))
        await cloud.outcome("next", "complete")
        await until(lambda: cloud.state["devices"][0]["revision"] == 6)
        assert cloud.state["devices"][1] == lists[1]
        record_property("tried:attacks refused", len(tried))


async def test_old_list_brings_nobody_back(mosquitto: Mosquitto, tmp_path: Path, record_property: Record) -> None:
    """Genuine, signed, and old: played again, and one that was held back until a newer one had come."""
    signer = Signer()
    first = signer.signs(part("first", 5, people([1, 2], accepted=True)))
    held_back = signer.signs(part("held-back", 6, people([2, 3], accepted=True)))
    newer = part("newer", 7, people([1], accepted=True), mode="replace")
    async with gateway(tmp_path, mosquitto.port, settings=trusting(tmp_path, signer)) as (agent, cloud):
        cloud.signs = signer.signs
        await cloud.send(first, newer)
        await cloud.outcome("newer", "complete")
        before = await agent.users()
        assert [user["mobile"] for user in before] == [mobile(1)]

        await cloud.send(first, held_back)
        await cloud.outcome("first", "applied", "replayed", number=1)
        await cloud.outcome("held-back", "complete")
        assert {each["outcome"] for each in cloud.results("held-back")} == {"superseded"}
        await agent.stop()
        await agent.online(cloud)
        await cloud.send(first)
        await cloud.outcome("first", "applied", "replayed", "replayed", number=1)
        assert await agent.users() == before
        assert cloud.state["devices"][0]["revision"] == 7
        record_property("tried:attacks refused", 3)


async def test_parts_of_two_lists_make_none(mosquitto: Mosquitto, tmp_path: Path, record_property: Record) -> None:
    """Genuine parts of two whole lists, half of each: nobody is removed on the strength of them."""
    signer = Signer()

    def whole(batch_id: str, revision: int, first: int) -> list[Document]:
        fields = {"parts": 2, "mode": "replace"}
        return [
            part(batch_id, revision, people([first], accepted=True), part=1, **fields),
            part(batch_id, revision, people([first + 1], accepted=True), part=2, **fields),
        ]

    old, new = whole("old", 6, 10), whole("new", 7, 20)
    settings = trusting(tmp_path, signer) | {"lists": {"incomplete_after_s": 1}}
    async with gateway(tmp_path, mosquitto.port, settings=settings) as (agent, cloud):
        cloud.signs = signer.signs
        await cloud.send(part("list", 5, LISTED))
        await cloud.outcome("list", "complete")
        await cloud.send(old[0], new[1])
        assert (await cloud.outcome("old", "incomplete"))["missingParts"] == [2]
        assert (await cloud.outcome("new", "incomplete"))["missingParts"] == [1]
        on_list = {user["mobile"] for user in await agent.users()}
        assert on_list == {mobile(number) for number in (1, 2, 3, 10, 21)}

        renamed = {**old[1], "batchId": "new", "revision": 7, "part": 1}
        pieces = [part.split(b".") for part in (signer.signs(old[1]), Signer(signer.kid).signs(renamed))]
        forged = b".".join([pieces[0][0], pieces[1][1], pieces[0][2]])
        await cloud.send(forged)
        await until(lambda: digest(forged) in rejected(cloud))
        assert rejected(cloud)[digest(forged)]["error"]["code"] == "bad_signature"
        await cloud.send(new[1], new[1], new[0])
        await cloud.outcome("new", "incomplete", "complete")
        assert {user["mobile"] for user in await agent.users()} == {mobile(20), mobile(21)}
        record_property("tried:attacks refused", 4)


async def test_stolen_key_that_is_taken_out_locks_nobody_out(
    mosquitto: Mosquitto, tmp_path: Path, record_property: Record
) -> None:
    """It signed the last revision there is: nothing of its successor's would ever be newer."""
    genuine, stolen, successor = Signer("cloud-2025"), Signer("cloud-2026"), Signer("cloud-2027")
    keys = tmp_path / "keys"
    async with gateway(tmp_path, mosquitto.port, settings=trusting(keys, genuine, stolen)) as (agent, cloud):

        async def listed() -> set[int]:
            return {int(user["mobile"][5:]) for user in await agent.users()}

        cloud.signs = genuine.signs
        await cloud.send(part("list", 5, LISTED))
        await cloud.outcome("list", "complete")
        accomplice = people([67], accepted=True, permission="Owner")
        await cloud.send(stolen.signs(part("forward", MAX_REVISION, THIEF + accomplice, mode="replace")))
        await cloud.outcome("forward", "complete")
        assert await listed() == {66, 67}
        await cloud.send(part("too-late", 6, LISTED))
        await cloud.outcome("too-late", "complete")
        assert {each["outcome"] for each in cloud.results("too-late")} == {"superseded"}

        assert await agent.stop() == 0
        agent.configure(settings=trusting(keys, genuine, successor))
        await agent.online(cloud)
        (change,) = agent.logged("trust.changed")
        assert (change["gained"], change["lost"]) == (["cloud-2027"], [stolen.thumbprint])
        assert await listed() == {66, 67}, "taking a key out changes no list"
        cloud.signs = successor.signs
        await cloud.send(part("restored", 7, LISTED, mode="replace"))
        await cloud.outcome("restored", "complete")
        assert await listed() == {1, 2, 3, 67}, "an Owner is taken off by name alone, whoever put them there"
        await cloud.send(part("by-name", 8, revocations=[{"mobile": mobile(67)}]))
        await cloud.outcome("by-name", "complete")
        again = stolen.signs(part("again", MAX_REVISION, THIEF))
        await cloud.send(again)
        await until(lambda: digest(again) in rejected(cloud))
        assert rejected(cloud)[digest(again)]["error"]["code"] == "unknown_key"
        assert await listed() == {1, 2, 3}
        record_property("tried:attacks refused", 2)


async def test_keys_are_changed_without_losing_the_list(mosquitto: Mosquitto, tmp_path: Path) -> None:
    """From nobody's word to one key's, to two, to the other's: everybody stays on the list meanwhile."""
    old, new = Signer("cloud-2026"), Signer("cloud-2027")
    keys = tmp_path / "keys"
    async with gateway(tmp_path, mosquitto.port) as (agent, cloud):
        await cloud.send(part("unsigned", 5, LISTED))
        await cloud.outcome("unsigned", "complete")

        async def trusts(*signers: Signer) -> tuple[list[str], list[str]]:
            assert await agent.stop() == 0
            before = (await cloud.sees(online=False))["devices"]
            agent.configure(settings=trusting(keys, *signers))
            await agent.online(cloud)
            assert [each["digest"] for each in cloud.state["devices"]] == [each["digest"] for each in before]
            (change,) = agent.logged("trust.changed")
            (trusted,) = agent.logged("keys.trusted")
            assert trusted["kids"] == [signer.kid for signer in signers]
            return change["gained"], change["lost"]

        async def code(signer: Signer, number: int) -> str | None:
            """Send a new person, and say why they were refused."""
            sent = signer.signs(part(f"{signer.kid}-{number}", number, people([number])))
            await cloud.send(sent)
            name = f"{signer.kid}-{number}"
            await until(lambda: digest(sent) in rejected(cloud) or cloud.outcomes(name) == ["complete"])
            return None if cloud.outcomes(name) else str(rejected(cloud)[digest(sent)]["error"]["code"])

        assert await trusts(old) == (["cloud-2026"], ["whoever signs nothing"])
        assert (await code(old, 6), await code(new, 7)) == (None, "unknown_key")
        assert await trusts(old, new) == (["cloud-2027"], [])
        assert (await code(old, 8), await code(new, 9)) == (None, None)
        assert await trusts(new) == ([], [old.thumbprint])
        assert (await code(new, 10), await code(old, 11)) == (None, "unknown_key")
        assert {user["mobile"] for user in await agent.users()} >= {mobile(number) for number in (1, 2, 3, 6, 8, 9, 10)}


async def test_gateway_without_keys_says_plainly_what_that_means(mosquitto: Mosquitto, tmp_path: Path) -> None:
    """It takes signed messages at their word: a cloud may begin to sign before its gateways have the key."""
    async with gateway(tmp_path, mosquitto.port) as (agent, cloud):
        (warned,) = [line for line in agent.logged("config.questioned") if line["key"] == "trust.keys"]
        assert warned["level"] == "warning"
        anybody = "anybody who can publish at the broker can change the lists and open gates"
        assert anybody in warned["why"]
        assert f"trust\tno keys: {anybody}\n" in await agent.command("status")
        await cloud.send(Signer().signs(part("signed", 1, LISTED)))
        await cloud.outcome("signed", "complete")

        assert await agent.stop() == 0
        agent.configure(settings=trusting(tmp_path, Signer("cloud-2026"), Signer("cloud-2027")))
        await agent.online(cloud)
        assert [line["key"] for line in agent.logged("config.questioned")] == []
        assert "trust\tonly what is signed with cloud-2026 or cloud-2027\n" in await agent.command("status")
        assert json.loads(await agent.command("status", "--format", "json"))["keys"] == ["cloud-2026", "cloud-2027"]
