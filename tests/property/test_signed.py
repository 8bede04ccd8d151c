"""A signed message is believed to the byte or not at all, and before that no parser sees what it says."""

import json
import sys
from collections.abc import Callable
from contextlib import suppress
from types import BuiltinFunctionType, FrameType
from typing import Any, Self

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.codec import Limits, Part, Refused, decode
from protocol.commands import CommandMessage, Unusable, decode_command
from protocol.hardware import Garbled, heard
from protocol.keys import sign, signing_key
from protocol.signatures import Distrusted, Verified, verified
from protocol.state import said_in
from protocol.vocabulary import Refusal
from tests.counterparts.signer import Signer
from tests.oracle.parts import document, person

SIGNER, OTHER = Signer("cloud-2026"), Signer("cloud-2027")
TRUSTED = {SIGNER.kid: SIGNER.key}
LIMITS = Limits()
DISTRUST = {Refusal.UNSIGNED, Refusal.BAD_SIGNATURE, Refusal.UNKNOWN_KEY}
PART = document("b-1", 7, person(), person("+27831112222", "Thandi"))
COMMAND = {"commandId": "c-1", "gatewayId": "gw-1", "command": "codes", "deviceId": "482913"}
SIGNED = SIGNER.signs(PART)

changes = st.tuples(
    st.sampled_from(["change", "insert", "drop", "cut", "swap"]), st.integers(0, len(SIGNED) - 1), st.integers(0, 255)
)


def changed(message: bytes, how: str, at: int, byte: int) -> bytes:
    match how:
        case "change":
            return message[:at] + bytes([byte]) + message[at + 1 :]
        case "insert":
            return message[:at] + bytes([byte]) + message[at:]
        case "drop":
            return message[:at] + message[at + 1 :]
        case "cut":
            return message[:at]
        case _:
            return message[at:] + message[:at]


# Two libraries


@given(st.binary(max_size=300))
def test_two_libraries_agree_on_what_is_signed(payload: bytes) -> None:
    """Signatures of Ed25519 are the same whoever makes them (RFC 8032), so the whole message is."""
    assert verified(SIGNER.signs(payload), TRUSTED) == Verified(payload, SIGNER.thumbprint)
    ours = sign(payload, signing_key(SIGNER.secret))
    assert SIGNER.reads(ours) == payload
    assert verified(ours, TRUSTED) == Verified(payload, SIGNER.thumbprint)


# To the byte


def test_every_bit_of_a_signed_message_counts(record_property: Callable[[str, object], None]) -> None:
    for bit in range(len(SIGNED) * 8):
        flipped = bytearray(SIGNED)
        flipped[bit // 8] ^= 1 << bit % 8
        assert isinstance(verified(bytes(flipped), TRUSTED), Distrusted), bit
    record_property("tried:bits of signed messages flipped", len(SIGNED) * 8)


@given(st.lists(changes, min_size=1, max_size=3))
def test_changed_message_is_refused_and_nothing_of_it_is_repeated(how: list[tuple[str, int, int]]) -> None:
    message = SIGNED
    for each in how:
        message = changed(message, *each)
    if message == SIGNED:
        return
    found = decode(message, "gw-1", LIMITS, TRUSTED)
    assert isinstance(found, Refused)
    assert found.code in DISTRUST
    assert (found.batch_id, found.revision, found.part, found.parts) == (None, None, None, None)
    assert found.payload_sha256
    assert "b-1" not in found.message


@given(st.integers(0, 255), st.integers(0, 10))
def test_command_that_is_changed_is_refused_without_its_name(byte: int, at: int) -> None:
    message = SIGNER.signs(COMMAND)
    where = at * (len(message) - 1) // 10
    message = changed(message, "change", where, byte)
    if message == SIGNER.signs(COMMAND):
        assert isinstance(decode_command(message, "gw-1", TRUSTED), CommandMessage)
        return
    with pytest.raises(Unusable) as refused:
        decode_command(message, "gw-1", TRUSTED)
    assert refused.value.code.value in DISTRUST
    assert refused.value.command_id is None


# Before any parser


class Parsers:
    """Which functions of the JSON and validation libraries are called meanwhile, and by whom."""

    def __init__(self) -> None:
        self.called: list[tuple[str, str]] = []

    def __enter__(self) -> Self:
        sys.setprofile(self._profile)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)

    def _profile(self, frame: FrameType, event: str, what: object) -> None:
        if event == "c_call" and isinstance(what, BuiltinFunctionType):
            owner = what.__module__ or type(what.__self__).__module__
            if owner.partition(".")[0] in ("orjson", "pydantic_core", "_json"):
                self.called.append((frame.f_globals["__name__"], what.__name__))


def parsers_of(message: bytes, read: Callable[[bytes], object]) -> set[tuple[str, str]]:
    with Parsers() as parsers, suppress(Unusable, Garbled):
        read(message)
    return set(parsers.called)


def reads_part(message: bytes) -> object:
    return decode(message, "gw-1", LIMITS, TRUSTED)


def reads_command(message: bytes) -> object:
    return decode_command(message, "gw-1", TRUSTED)


THE_HEADER = {("protocol.signatures", "loads")}


@pytest.mark.parametrize(
    ("message", "read"), [(SIGNED, reads_part), (SIGNER.signs(COMMAND), reads_command)], ids=["part", "command"]
)
def test_parsers_are_seen_where_a_message_is_trusted(message: bytes, read: Callable[[bytes], object]) -> None:
    """What the next test does not find, it would find."""
    called = parsers_of(message, read)
    assert called > THE_HEADER
    assert {module for module, _ in called} >= {"protocol.signatures", "pydantic.main"}
    assert ("protocol.codec", "loads") in called or ("protocol.commands", "loads") in called


@given(st.sampled_from(["unsigned", "other key", "forged", "changed", "cut", "junk"]), st.data())
def test_no_parser_sees_what_nobody_trusted_has_signed(how: str, data: st.DataObject) -> None:
    said, read = data.draw(st.sampled_from([(PART, reads_part), (COMMAND, reads_command)]))
    genuine = SIGNER.signs(said)
    match how:
        case "unsigned":
            message = json.dumps(said).encode()
        case "other key":
            message = OTHER.signs(said)
        case "forged":
            message = OTHER.signs(said, kid=SIGNER.kid)
        case "changed":
            message = changed(genuine, *data.draw(changes))
        case "cut":
            message = genuine[: data.draw(st.integers(0, len(genuine) - 1))]
        case _:
            message = data.draw(st.binary(max_size=400))
    if message == genuine:
        return
    assert parsers_of(message, read) <= THE_HEADER


@pytest.mark.parametrize("deep", [b"[" * 9 + b"]" * 9, b'{"a":' * 9 + b"1" + b"}" * 9])
@pytest.mark.parametrize("read", [reads_part, reads_command])
def test_no_parser_sees_what_is_nested_too_deeply(deep: bytes, read: Callable[[bytes], object]) -> None:
    assert parsers_of(SIGNER.signs(deep), read) == THE_HEADER


@pytest.mark.parametrize("read", [said_in, heard])
def test_no_other_parser_sees_what_is_nested_too_deeply(read: Callable[[bytes], object]) -> None:
    """The state document somebody put on our topic, and the hardware line."""
    shallow, deep = (b'{"session":' + b"[" * levels + b"]" * levels + b"}" for levels in (7, 8))
    assert parsers_of(shallow, read)
    assert parsers_of(deep, read) == set()


@pytest.mark.parametrize(
    ("message", "read"),
    [
        (b"{" + b" " * (1 << 20) + b"}", reads_part),
        (SIGNER.signs(b" " * (1 << 20)), reads_part),
        (SIGNER.signs(b" " * (24 << 10)), reads_command),
    ],
    ids=["part", "signed part", "signed command"],
)
def test_no_parser_and_no_verifier_sees_what_is_too_large(message: bytes, read: Callable[[bytes], object]) -> None:
    """Bytes are counted as they were received."""
    assert parsers_of(message, read) == set()


def test_signed_command_may_be_as_large_as_an_unsigned_one() -> None:
    """A third more goes over the wire, and the payload is counted without it."""
    room = (16 << 10) - len(json.dumps({**COMMAND, "x": ""}))
    assert isinstance(reads_command(SIGNER.signs({**COMMAND, "x": "x" * room})), CommandMessage)
    with pytest.raises(Unusable, match="at most 16,384 bytes"):
        reads_command(SIGNER.signs({**COMMAND, "x": "x" * (room + 1)}))


# What is signed still has to be meant


def test_signed_part_remembers_its_signer() -> None:
    found = reads_part(SIGNED)
    assert isinstance(found, Part)
    assert found.signer == SIGNER.thumbprint
    unsigned = decode(json.dumps(PART).encode(), "gw-1", LIMITS)
    assert isinstance(unsigned, Part)
    assert (unsigned.signer, unsigned.content) == (None, found.content), "the same words, whoever says them"


@pytest.mark.parametrize(
    ("audience", "code"),
    [({"gatewayId": "gw-2"}, "wrong_gateway"), ({"gatewayId": None}, "wrong_gateway"), ({"gatewayId": ...}, "schema")],
)
def test_audience_is_named_in_what_is_signed(audience: dict[str, object], code: str) -> None:
    """Or a list of one site, signed in good faith, would do at the next."""
    left_out = {name for name, value in audience.items() if value is ...}

    def said(words: dict[str, Any]) -> bytes:
        return SIGNER.signs({name: value for name, value in {**words, **audience}.items() if name not in left_out})

    found = reads_part(said(PART))
    assert isinstance(found, Refused)
    assert (found.code.value, found.batch_id) == (code, "b-1"), "whose word it is, is known"
    with pytest.raises(Unusable) as refused:
        reads_command(said(COMMAND))
    assert (refused.value.code.value, refused.value.command_id) == (code, "c-1")


def test_what_is_signed_as_one_thing_is_not_taken_for_another() -> None:
    """A command on the topic of the invites, and the reverse."""
    confirm = {**COMMAND, "command": "confirm", "batchId": "b-1"}
    for said in (COMMAND, confirm):
        found = reads_part(SIGNER.signs(said))
        assert isinstance(found, Refused)
        assert found.code is Refusal.SCHEMA
    with pytest.raises(Unusable) as refused:
        reads_command(SIGNED)
    assert refused.value.code.value == "schema"
