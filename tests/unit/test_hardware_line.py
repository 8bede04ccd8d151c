"""What the hardware line carries, and what is made of what it should not carry."""

import orjson
import pytest

from protocol.hardware import (
    MAX_LINE,
    Accepted,
    Actuate,
    Asked,
    Did,
    FromGateway,
    FromHardware,
    Garbled,
    Granted,
    Hello,
    Lines,
    Refuse,
    Stands,
    heard,
    told,
)
from protocol.vocabulary import Action, Channel, Direction, Kind, Position

SAID: list[tuple[bytes, FromHardware]] = [
    (
        b'{"type":"hello","deviceId":"1234567890123456","kind":"fluss+","firmware":"1.4.2","sensor":true}',
        Hello(device_id="1234567890123456", kind=Kind.FLUSS, firmware="1.4.2", sensor=True),
    ),
    (b'{"type":"hello","deviceId":"482913","kind":"intercom"}', Hello(device_id="482913", kind=Kind.INTERCOM)),
    (
        b'{"type":"request","requestId":"r1","mobile":"+27824511234","channel":"bluetooth","action":"open","ageMs":7}',
        Asked(request_id="r1", mobile="+27824511234", channel=Channel.BLUETOOTH, action=Action.OPEN, age_ms=7),
    ),
    (
        b'{"type":"request","requestId":"r2","code":"4711","channel":"keypad","direction":"exit","note":null}',
        Asked(request_id="r2", code="4711", channel=Channel.KEYPAD, direction=Direction.EXIT),
    ),
    (b'{"type":"accepted","mobile":"+27824511234"}', Accepted(mobile="+27824511234")),
    (b'{"type":"position","value":"Closed"}', Stands(value=Position.CLOSED)),
    (
        b'{"type":"actuated","requestId":"r1","ok":false,"error":"jammed"}',
        Did(request_id="r1", ok=False, error="jammed"),
    ),
    (b'{"type":"actuated","requestId":"r1","ok":true,"error":null,"new":[1]}', Did(request_id="r1", ok=True)),
]

TOLD: list[tuple[bytes, FromGateway]] = [
    (b'{"type":"actuate","requestId":"r1","action":"trigger"}', Actuate(request_id="r1", action=Action.TRIGGER)),
    (b'{"type":"refuse","requestId":"r1","reason":"expired"}', Refuse(request_id="r1", reason="expired")),
    (b'{"type":"granted","requestId":"r1"}', Granted(request_id="r1")),
]


@pytest.mark.parametrize(("line", "message"), SAID)
def test_line_of_hardware_is_heard(line: bytes, message: FromHardware) -> None:
    assert heard(line) == message
    assert heard(line + b"\r") == message


@pytest.mark.parametrize(("line", "message"), TOLD)
def test_line_of_a_gateway_is_the_contracts(line: bytes, message: FromGateway) -> None:
    assert message.line() == line + b"\n"
    assert told(line) == message


@pytest.mark.parametrize("message", [message for _, message in SAID])
def test_message_of_hardware_survives_the_line(message: FromHardware) -> None:
    assert heard(message.line()) == message


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"", "json_invalid"),
        (b"AT+RST\r", "json_invalid"),
        (b"\xff\xfe{}", "json_invalid"),
        (b"[" * 8, "json_invalid"),
        (b"[" * 4_000, "nested deeper than 8 levels"),
        (b'{"type":"position","value":' + b"[" * 8 + b"]" * 8 + b"}", "nested deeper than 8 levels"),
        (b"{}", "union_tag_not_found"),
        (b'{"type":"moved"}', "union_tag_invalid"),
        (b'{"type":"position","value":"Ajar"}', "position.value: enum"),
        (b'{"type":"request","requestId":"","channel":"bluetooth"}', "request.requestId: string_too_short"),
        (b'{"type":"request","requestId":"r","channel":"smoke"}', "request.channel: enum"),
        (b'{"type":"request","requestId":"r","channel":"wifi","ageMs":-1}', "request.ageMs: greater_than_equal"),
        (b'{"type":"request","requestId":"r","channel":"wifi","ageMs":1e300}', "request.ageMs: int_parsing_size"),
        (b'{"type":"actuated","requestId":"r1"}', "actuated.ok: missing"),
    ],
)
def test_line_that_says_nothing(line: bytes, words: str) -> None:
    with pytest.raises(Garbled) as garbled:
        heard(line)
    assert str(garbled.value) == words


def test_garbled_line_is_not_repeated_in_the_words() -> None:
    with pytest.raises(Garbled) as garbled:
        heard(b'{"type":"request","mobile":"+27824511234","requestId":7,"channel":"bluetooth"}')
    assert "278" not in str(garbled.value)


def test_words_for_people_are_cut_and_the_message_stands() -> None:
    request = heard(orjson.dumps({"type": "request", "requestId": "r", "channel": "wifi", "note": "x" * 3_000}))
    assert isinstance(request, Asked)
    assert request.note == "x" * 400
    did = heard(orjson.dumps({"type": "actuated", "requestId": "r", "ok": False, "error": "é" * 900}))
    assert isinstance(did, Did)
    assert did.error == "é" * 200
    hello = heard(orjson.dumps({"type": "hello", "deviceId": "482913", "kind": "intercom", "firmware": "v" * 99}))
    assert isinstance(hello, Hello)
    assert hello.firmware == "v" * 64


@pytest.mark.parametrize(("length", "line"), [(MAX_LINE - 1, b"x" * (MAX_LINE - 1)), (MAX_LINE, None)])
def test_line_is_cut_up_to_its_limit(length: int, line: bytes | None) -> None:
    assert Lines().cut(b"x" * length + b"\n") == [line]


def test_long_line_is_passed_over_without_being_held() -> None:
    lines = Lines()
    for _ in range(1_000):
        assert lines.cut(b"x" * 10_000) == []
        assert len(lines._begun) < MAX_LINE
    assert lines.cut(b"x\nnext\nbegun") == [None, b"next"]
    assert lines.cut(b" and ended\n") == [b"begun and ended"]


def test_blank_lines_are_nothing() -> None:
    assert Lines().cut(b"\n\r\n  \n1\r\n\n") == [b"1\r"]


def test_no_hardware_is_local() -> None:
    """That is what the installer's own pulse is recorded as."""
    with pytest.raises(Garbled, match="channel") as garbled:
        heard(b'{"type":"request","requestId":"r1","mobile":"+27824511234","channel":"local"}')
    assert garbled.value.request_id == "r1"


@pytest.mark.parametrize(
    ("line", "request_id"),
    [
        (b'{"type":"request","requestId":"r1","channel":"bluetooth","ageMs":-1}', "r1"),
        (b'{"type":"request","requestId":"r1"}', "r1"),
        (b'{"type":"request","requestId":7,"channel":"bluetooth"}', None),
        (b'{"type":"request","requestId":"","channel":"bluetooth"}', None),
        (b'{"type":"position","requestId":"r1","value":"Ajar"}', None),
        (b'["request"]', None),
        (b"not json", None),
    ],
)
def test_request_out_of_form_can_be_answered_where_its_id_is_there(line: bytes, request_id: str | None) -> None:
    with pytest.raises(Garbled) as garbled:
        heard(line)
    assert garbled.value.request_id == request_id
