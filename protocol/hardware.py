"""The hardware line: newline-delimited JSON between a gateway and one device, as typed values on both sides."""

from typing import Annotated, Literal

import orjson
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    StringConstraints,
    TypeAdapter,
    ValidationError,
)
from pydantic.alias_generators import to_camel

from protocol.nesting import MAX_DEPTH, depth
from protocol.vocabulary import MAX_REVISION, Action, Channel, Direction, Kind, Position

MAX_LINE = 4_096
"""Bytes of one line, its end included. A longer one is passed over as a whole."""

_Short = Annotated[str, StringConstraints(min_length=1, max_length=64)]


def _words(most: int) -> AfterValidator:
    """Words for people, cut where they are too long: nobody stays outside because of a long note."""
    return AfterValidator(lambda text: text[:most])


class _Line(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, alias_generator=to_camel, validate_by_name=True)

    def line(self) -> bytes:
        """The message as the line carries it."""
        return orjson.dumps(self.model_dump(by_alias=True, exclude_none=True)) + b"\n"


def _from_outside(channel: Channel) -> Channel:
    """Only somebody at the gateway itself is `local`."""
    if channel is Channel.LOCAL:
        raise ValueError("no hardware is local")
    return channel


class Hello(_Line):
    """Hardware introduces itself: the first thing it says.

    On a serial port, where nobody sees the other end come, it says so again at least every few seconds of silence.
    """

    type: Literal["hello"] = "hello"
    device_id: _Short
    kind: Kind
    firmware: Annotated[str, _words(64)] | None = None
    sensor: bool = False


class Asked(_Line):
    """Somebody asks to be let in: by number, or at a keypad by one-time code."""

    type: Literal["request"] = "request"
    request_id: _Short
    device_id: _Short | None = None
    """Whose gate is meant; a line speaks for one device, so another one here is a mistake of the hardware."""
    mobile: Annotated[str, StringConstraints(max_length=32)] | None = None
    code: Annotated[str, StringConstraints(max_length=16)] | None = None
    channel: Annotated[Channel, AfterValidator(_from_outside)]
    action: Action = Action.TRIGGER
    direction: Direction | None = None
    unit: _Short | None = None
    note: Annotated[str, _words(400)] | None = None
    age_ms: Annotated[int, Field(ge=0, le=MAX_REVISION)] = 0
    """How long ago it was asked."""


class Accepted(_Line):
    """The invited person has taken up the invitation at the device."""

    type: Literal["accepted"] = "accepted"
    mobile: Annotated[str, StringConstraints(max_length=32)]


class Stands(_Line):
    """Where the gate stands; flickers while some motors run."""

    type: Literal["position"] = "position"
    value: Position


class Did(_Line):
    """What became of an `actuate`."""

    type: Literal["actuated"] = "actuated"
    request_id: _Short
    ok: bool
    error: Annotated[str, _words(200)] | None = None


class Actuate(_Line):
    """The gateway tells hardware to move."""

    type: Literal["actuate"] = "actuate"
    request_id: _Short
    action: Action


class Refuse(_Line):
    """The gateway refuses a request."""

    type: Literal["refuse"] = "refuse"
    request_id: _Short
    reason: str


class Granted(_Line):
    """The gateway grants the request of a panel, whose Fluss+ gets an `actuate` of its own."""

    type: Literal["granted"] = "granted"
    request_id: _Short


FromHardware = Hello | Asked | Accepted | Stands | Did
FromGateway = Actuate | Refuse | Granted

_from_hardware: TypeAdapter[FromHardware] = TypeAdapter(Annotated[FromHardware, Discriminator("type")])
_from_gateway: TypeAdapter[FromGateway] = TypeAdapter(Annotated[FromGateway, Discriminator("type")])


class Garbled(Exception):
    """A line that says nothing; the message tells why, and repeats nothing of it.

    `request_id` is that of a request whose rest cannot be read.
    """

    def __init__(self, why: str, request_id: str | None = None) -> None:
        super().__init__(why)
        self.request_id = request_id


class Lines:
    """Cuts a stream of bytes into lines, and never holds more than one line's worth of them.

    Blank lines are nothing. The end may be LF or CR LF; a last line without one has not been said yet.
    """

    def __init__(self) -> None:
        self._begun = bytearray()
        self._passing = False

    def cut(self, data: bytes) -> list[bytes | None]:
        """The lines that end in these bytes, without their ends; None for one that was longer than MAX_LINE."""
        *ended, begun = data.split(b"\n")
        lines = [line for line in map(self._end, ended) if line is None or line.strip()]
        self._begin(begun)
        return lines

    def _begin(self, piece: bytes) -> None:
        self._passing = self._passing or len(self._begun) + len(piece) >= MAX_LINE
        if not self._passing:
            self._begun += piece

    def _end(self, piece: bytes) -> bytes | None:
        self._begin(piece)
        line = None if self._passing else bytes(self._begun)
        self._begun.clear()
        self._passing = False
        return line


def heard(line: bytes) -> FromHardware:
    """What hardware said; raises Garbled."""
    if depth(line) > MAX_DEPTH:
        raise Garbled(f"nested deeper than {MAX_DEPTH} levels")
    try:
        return _from_hardware.validate_json(line)
    except ValidationError as invalid:
        raise _garbled(invalid, _request_in(line)) from invalid


def told(line: bytes) -> FromGateway:
    """What a gateway said; raises Garbled."""
    try:
        return _from_gateway.validate_json(line)
    except ValidationError as invalid:
        raise _garbled(invalid) from invalid


def _garbled(invalid: ValidationError, request_id: str | None = None) -> Garbled:
    first = invalid.errors(include_url=False, include_input=False, include_context=False)[0]
    place = ".".join(map(str, first["loc"]))
    return Garbled(f"{place}: {first['type']}" if place else first["type"], request_id)


def _request_in(line: bytes) -> str | None:
    """The id of a request that is out of form elsewhere: whoever asked can be told so."""
    try:
        message = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(message, dict) or message.get("type") != "request":
        return None
    request_id = message.get("requestId")
    return request_id if isinstance(request_id, str) and 1 <= len(request_id) <= 64 else None
