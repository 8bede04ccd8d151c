"""What the agent heard and said: just enough of MQTT and of the hardware line to know what it can be held to."""

import json
import re
from base64 import urlsafe_b64decode
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, TypeAlias

from tests.counterparts.cloud import Document
from tests.fault.powercut.recording import Call

BROKER: Final = "broker"
_CONNECT, _PUBLISH, _PUBACK = 1, 3, 4
_PORT = re.compile(r"sin_port=htons\((\d+)\)")


@dataclass(frozen=True, slots=True)
class Heard:
    """A message from the broker that the agent has read by line ``at`` of the recording."""

    at: int
    leaf: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """From ``at`` on the broker need not keep this message."""

    at: int
    leaf: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class Published:
    """From ``at`` on the cloud may know this."""

    at: int
    leaf: str
    payload: bytes
    says: Document


@dataclass(frozen=True, slots=True)
class Moved:
    """From ``at`` on the hardware of a device may be moving, for a request."""

    at: int
    device_id: str
    request: str


Word: TypeAlias = Heard | Acknowledged | Published | Moved


class _Wire(Protocol):
    """One connection, from its beginning."""

    def says(self, at: int, data: bytes) -> Iterator[Word]:
        """The agent wrote this."""
        ...

    def hears(self, at: int, data: bytes, /) -> Iterator[Word]:
        """The agent read this."""
        ...


def said_in(payload: bytes) -> bytes:
    """What a message says: where it is signed (RFC 7515, section 3.1), the part between the dots."""
    parts = payload.split(b".")
    signed = len(parts) == 3 and not payload.startswith(b"{")
    return urlsafe_b64decode(parts[1] + b"==") if signed else payload


def words(calls: Sequence[Call], ports: Mapping[int, str]) -> list[Word]:
    """Everything that went over the wires, in order."""
    wires: dict[str, _Wire] = {}
    found: list[Word] = []
    for call in calls:
        if call.name == "connect" and (port := _PORT.search(call.words)) and int(port[1]) in ports:
            who = ports[int(port[1])]
            wires[call.place] = _Session() if who == BROKER else _Line(who)
        if (call.result is not None and call.result <= 0) or (wire := wires.get(call.place)) is None:
            continue
        match call.name:
            case "sendto":  # whatever the kernel was given may be out at once, also where the agent never heard so
                found += wire.says(call.began, call.strings[0][: call.result])
            case "recvfrom" if call.ended is not None:
                found += wire.hears(call.ended, call.strings[0])
            case "write" | "writev" | "sendmsg" | "recvmsg":
                raise AssertionError(f"nobody can read this on a wire yet: {call.name}({call.words[:200]})")
    return sorted(found, key=lambda word: word.at)


class _Line:
    """The hardware line: a JSON document a line."""

    def __init__(self, device_id: str) -> None:
        self._device_id = device_id
        self._said = b""

    def says(self, at: int, data: bytes) -> Iterator[Word]:
        *lines, self._said = (self._said + data).split(b"\n")
        for message in map(json.loads, lines):
            if message["type"] == "actuate":
                yield Moved(at, self._device_id, message["requestId"])

    def hears(self, _at: int, _data: bytes, /) -> Iterator[Word]:
        yield from ()


class _Session:
    """A connection to the broker: the messages of both sides, and which of the broker's are acknowledged."""

    def __init__(self) -> None:
        self._said = bytearray()
        self._heard = bytearray()
        self._level = 0
        self._unsettled: dict[int, tuple[str, bytes]] = {}

    def says(self, at: int, data: bytes) -> Iterator[Word]:
        self._said += data
        for kind, flags, body in _packets(self._said):
            if kind == _CONNECT:
                self._level = body[6]
            elif kind == _PUBACK:
                yield Acknowledged(at, *self._unsettled.pop(int.from_bytes(body[:2], "big")))
            elif kind == _PUBLISH:
                leaf, _, payload = self._message(flags, body)
                yield Published(at, leaf, payload, json.loads(payload))

    def hears(self, at: int, data: bytes) -> Iterator[Word]:
        self._heard += data
        for kind, flags, body in _packets(self._heard):
            if kind == _PUBLISH:
                leaf, packet_id, payload = self._message(flags, body)
                self._unsettled[packet_id] = leaf, payload
                yield Heard(at, leaf, payload)

    def _message(self, flags: int, body: bytes) -> tuple[str, int, bytes]:
        """Last level of the topic, packet id, payload (MQTT 5.0, section 3.3; 3.1.1 has no properties)."""
        end = 2 + int.from_bytes(body[:2], "big")
        leaf = body[2:end].decode().rpartition("/")[2]
        packet_id = 0
        if flags & 0b0110:
            packet_id, end = int.from_bytes(body[end : end + 2], "big"), end + 2
        if self._level >= 5:
            length, size = _length(body, end)
            end += size + length
        return leaf, packet_id, body[end:]


def _packets(stream: bytearray) -> Iterator[tuple[int, int, bytes]]:
    """Take whole packets off a stream: kind, flags and the rest."""
    while len(stream) >= 2 and (found := _length(stream, 1)) != _CUT_SHORT:
        length, size = found
        end = 1 + size + length
        if len(stream) < end:
            return
        kind, flags = divmod(stream[0], 16)
        body = bytes(stream[1 + size : end])
        del stream[:end]
        yield kind, flags, body


_CUT_SHORT: Final = (0, 0)


def _length(stream: bytes | bytearray, start: int) -> tuple[int, int]:
    """A variable byte integer, and how many bytes it takes (MQTT 5.0, section 1.5.5)."""
    value = 0
    for size, byte in enumerate(stream[start : start + 4]):
        value |= (byte & 127) << 7 * size
        if byte < 128:
            return value, size + 1
    return _CUT_SHORT
