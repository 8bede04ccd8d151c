"""What is fuzzed: whatever reads bytes that somebody else has written. Each is fed with bytes, and raises nothing."""

import json
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from agent import config
from agent.config_checks import concerns
from agent.config_findings import ConfigError
from protocol.base64url import encoded
from protocol.codec import Limits, Part, decode
from protocol.commands import Unusable, decode_command
from protocol.hardware import Accepted, Actuate, Asked, Did, Garbled, Granted, Hello, Lines, Refuse, Stands, heard, told
from protocol.keys import KeyFault, private_jwk, public_half, public_jwk, public_key, sign, signing_key
from protocol.mobile import Numbers
from protocol.signatures import Distrusted, Verified, verified
from protocol.state import said_in
from protocol.validate import validate
from protocol.vocabulary import Action, Channel, Kind, Position
from simulator.contacts import ContactsError, read_contacts, read_pasted
from tests.configurations import CONTRACT, MINIMAL
from tests.golden import GOLDEN

ROOT: Final = Path(__file__).parents[2]
GATEWAY: Final = "gw-1"
FILE: Final = Path("agent.toml")
"""Where a configuration is read from: in the folder the fuzzer runs in."""

PRIVATE: Final = (
    b'{"kty":"OKP","crv":"Ed25519","kid":"cloud-2026","d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A",'
    b'"x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}'
)
"""The key of RFC 8037, appendix A.1."""


@dataclass(frozen=True, slots=True)
class Target:
    """One reader of bytes, and what it usually gets."""

    read: Callable[[bytes], None]
    seeds: Callable[[], Iterable[bytes]]


# ── From the broker ───────────────────────────────────────────────────────────────────────────────────────────────────

SOUTH_AFRICA: Final = Numbers("ZA")


def read_part(data: bytes) -> None:
    part = decode(data, GATEWAY, Limits())
    if isinstance(part, Part):
        roll = validate(part, SOUTH_AFRICA)
        assert sorted([each.item for each in roll.people] + roll.revoked + list(roll.faults)) == list(range(roll.items))
    else:
        assert part.code
        assert part.message
        assert part.payload_sha256


def golden_parts() -> Iterable[bytes]:
    for part in json.loads((GOLDEN / "parts.json").read_bytes()):
        yield part.encode() if isinstance(part, str) else json.dumps(part).encode()
    yield b'{"permission":' + b"[" * 9_000 + b"]" * 9_000 + b"}"


def read_command(data: bytes) -> None:
    with suppress(Unusable):
        assert decode_command(data, GATEWAY).gateway_id == GATEWAY


def commands() -> Iterable[bytes]:
    gate, panel, mobile = "1234567890123456", "482913", "+27824511234"
    later = 1_795_300_030_000
    said: list[dict[str, Any]] = [
        {"command": "trigger", "deviceId": gate, "mobile": mobile, "note": "courier", "expiresAt": later},
        {"command": "report", "epoch": "k3f9", "fromReport": 1, "throughReport": 8812},
        {"command": "acknowledge", "epoch": "k3f9", "throughReport": 8812, "throughEvent": 41},
        {"command": "confirm", "batchId": "0192f6d2-6f0c-7c2e-9a5d-0b9f4f1f7a10"},
        {"command": "issue_code", "deviceId": panel, "userName": "Bheki", "mobile": mobile, "code": "4821"},
        {"command": "issue_code", "deviceId": panel, "entryDeviceId": gate, "exitDeviceId": gate},
        {"command": "erase", "mobile": mobile},
        {"command": "resync", "deviceId": gate, "buckets": ["37", "20"]},
    ]
    for each in said:
        yield json.dumps({"commandId": "c-1", "gatewayId": GATEWAY, "issuedAt": 1_795_300_000_000, **each}).encode()


def read_state(data: bytes) -> None:
    said = said_in(data)
    assert all(word is None or isinstance(word, str) for word in (said.session, said.epoch))
    assert isinstance(said.online, bool)
    assert said.reports >= 0
    assert said.events >= 0


def states() -> Iterable[bytes]:
    yield b'{"gatewayId":"gw-1","online":true,"session":"s-1","epoch":"k3f9","reports":{"newest":9}}'
    yield b'{"online":false,"session":"s-1"}'


# ── Signatures and keys ───────────────────────────────────────────────────────────────────────────────────────────────

KEY: Final = signing_key(PRIVATE)
TRUSTED: Final = {KEY.kid: public_half(KEY)}


def read_signed(data: bytes) -> None:
    """Nobody who has no key gets anything past it."""
    found = verified(data, TRUSTED)
    if isinstance(found, Verified):
        assert data in set(signed())
    assert isinstance(verified(data, {}), Verified), "without trusted keys everybody is believed"


def signed() -> Iterable[bytes]:
    for command in commands():
        yield sign(command, KEY)


def read_header(data: bytes) -> None:
    """Whoever has the key may write whatever header they like above it: the first line, and the payload behind it."""
    header, _, payload = data.partition(b"\n")
    message = encoded(header) + b"." + encoded(payload)
    found = verified(message + b"." + encoded(KEY.private.sign(message)), TRUSTED)
    if isinstance(found, Distrusted):
        assert found.code
        assert found.message
        return
    named = json.loads(header.decode("utf-8"))
    assert (named["alg"], named["kid"], "crit" in named) == ("EdDSA", KEY.kid, False)
    assert (found.payload, found.signer) == (payload, TRUSTED[KEY.kid].thumbprint)


def headers() -> Iterable[bytes]:
    yield b'{"alg":"EdDSA","kid":"cloud-2026"}\n{}'
    yield b'{"alg":"EdDSA","kid":"cloud-2026","typ":"JOSE","cty":"json"}\n{"gatewayId":"gw-1"}'
    yield b'{"alg":"EdDSA","kid":"cloud-2026","crit":["exp"],"exp":1363284000}\n{}'
    yield b'{"alg":"none"}\n{}'
    yield b'{"alg":"HS256","kid":"cloud-2026","jwk":{"kty":"oct","k":"AAAA"}}\n{}'


def read_key(data: bytes) -> None:
    for read in (public_key, signing_key):
        with suppress(KeyFault):
            assert 1 <= len(read(data).kid) <= 200


def keys() -> Iterable[bytes]:
    yield PRIVATE
    yield public_jwk(TRUSTED[KEY.kid])
    yield private_jwk(KEY)


# ── The board's own ───────────────────────────────────────────────────────────────────────────────────────────────────


def read_line(data: bytes) -> None:
    """However the bytes are cut on their way, the lines are the same."""
    whole, pieces = Lines(), Lines()
    lines = whole.cut(data)
    third = len(data) // 3
    assert lines == pieces.cut(data[:third]) + pieces.cut(data[third:])
    for line in lines:
        if line is not None:
            with suppress(Garbled):
                heard(line)
            with suppress(Garbled):
                told(line)


def lines() -> Iterable[bytes]:
    yield Hello(device_id="1234567890123456", kind=Kind.FLUSS, firmware="1.4.2", sensor=True).line()
    yield Asked(request_id="r-1", mobile="+27824511234", channel=Channel.BLUETOOTH, age_ms=5, note="n", unit="4").line()
    yield Asked(request_id="r-2", code="4821", channel=Channel.KEYPAD).line()
    yield Accepted(mobile="+27824511234").line() + Stands(value=Position.OPEN).line()
    yield Did(request_id="r-1", ok=False, error="the motor is stuck").line()
    yield Actuate(request_id="r-1", action=Action.TRIGGER).line() + Granted(request_id="r-1").line()
    yield Refuse(request_id="r-1", reason="outside_schedule").line()


def read_configuration(data: bytes) -> None:
    FILE.write_bytes(data)
    try:
        told_of = [str(concern) for concern in concerns(config.load(FILE))]
    except ConfigError as mistakes:
        told_of = str(mistakes).splitlines()
    assert all(told_of)


def configurations() -> Iterable[bytes]:
    yield from (CONTRACT.encode(), MINIMAL.encode())
    for name in ("systemd/agent.example.toml", "tests/acceptance/everything.toml"):
        yield (ROOT / name).read_bytes()
    yield b"x = " + b"[" * 3_000


# ── What an office has ────────────────────────────────────────────────────────────────────────────────────────────────


def read_list(data: bytes) -> None:
    with suppress(ContactsError):
        read_contacts(data, source="list.csv", region="ZA")
    with suppress(ContactsError):
        read_pasted(data, region="ZA")


def lists() -> Iterable[bytes]:
    rows = (ROOT / "simulator/samples/residents.csv").read_text("utf-8").splitlines()
    some = "\r\n".join([*rows[:5], *rows[-8:]])
    yield some.encode()
    yield some.replace(",", ";").encode("cp1252", "replace")
    yield some.encode("utf-16")
    yield b"David, 082 451 1234, Unit 4, upstairs\nThandi 083 111 2222"


TARGETS: Final = {
    "part": Target(read_part, golden_parts),
    "command": Target(read_command, commands),
    "state": Target(read_state, states),
    "signed": Target(read_signed, signed),
    "header": Target(read_header, headers),
    "key": Target(read_key, keys),
    "line": Target(read_line, lines),
    "configuration": Target(read_configuration, configurations),
    "list": Target(read_list, lists),
}

# ── Faults put in, to see them found ──────────────────────────────────────────────────────────────────────────────────

_leaked: list[bytes] = []


def crash(data: bytes) -> None:
    with suppress(ValueError, LookupError, TypeError, RecursionError):
        if isinstance(json.loads(data)["deviceIds"][0], list):
            raise ZeroDivisionError


def hang(data: bytes) -> None:
    until = time.thread_time() + (0.2 if data.count(b"[") > 50 else 0)
    while time.thread_time() < until:
        pass


def leak(data: bytes) -> None:
    _leaked.append(b"x" * (len(data) + (8 << 10)))  # written to: memory that nobody touches is not resident


PLANTED: Final = {name.__name__: Target(name, golden_parts) for name in (crash, hang, leak)}
