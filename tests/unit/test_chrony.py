"""The word of chronyd, as it is packed, and what is no word of it."""

import asyncio
import errno
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent import chrony
from agent.chrony import Tracking, ask, decode, question
from tests.counterparts.ports import LOOPBACK, free_port

SEQUENCE = 77
RECORDED = bytes.fromhex(
    "060200000021000500000000000000000000004d0000000000000000"
    "7f0000017f00000100000000000000000000000000010000"
    "00060000000000006b0334e0347d1dc4dd48e189"
    "cf205209d4c89aa3f6eb4b76f1783a9afc889ae1e0c4ee53dac502cf0080d286"
)
"""From chronyd 4.3, which followed a server at 127.0.0.1: stratum 6, the clock right to some microseconds, 18:30:56."""

TRACKING = Tracking(reference=0x7F000001, stratum=6, leap=0, at=1_795_372_256_880, correction_s=2.9e-6)


def packed(value: float) -> int:
    """A number as chrony packs it, found by trying exponents: 7 bits of exponent, 25 of coefficient, both signed."""
    for exponent in range(-64, 64):
        coefficient = round(value * 2.0 ** (25 - exponent))
        if -(2**24) <= coefficient < 2**24:
            return ((exponent & 0x7F) << 25) | (coefficient & 0x1FFFFFF)
    raise AssertionError(value)


def answer(*, correction_s: float = 0.0, high: int = 0) -> bytes:
    """The recorded one with another correction, and other high bits of its reference time."""
    return (
        RECORDED[:56]
        + struct.pack("!I", high)
        + RECORDED[60:68]
        + struct.pack("!I", packed(correction_s))
        + RECORDED[72:]
    )


def test_recorded_answer_is_understood() -> None:
    tracking = decode(RECORDED, SEQUENCE)
    assert tracking is not None
    assert replace(tracking, correction_s=0) == replace(TRACKING, correction_s=0)
    assert abs(tracking.correction_s) < 1e-5
    assert tracking.synchronised


def test_question_is_that_of_chronyc_and_as_long_as_its_answer() -> None:
    assert question(SEQUENCE) == bytes.fromhex("06010000 00210000 0000004d 00000000 00000000") + bytes(84)
    assert len(question(SEQUENCE)) == len(RECORDED)


@given(correction_s=st.floats(-1e9, 1e9))
def test_correction_is_unpacked(correction_s: float) -> None:
    tracking = decode(answer(correction_s=correction_s), SEQUENCE)
    assert tracking is not None
    assert tracking.correction_s == pytest.approx(correction_s, rel=1e-6, abs=1e-18)
    assert tracking.at == 1_795_372_256_880 - round(tracking.correction_s * 1000)


@pytest.mark.parametrize(
    ("coefficient", "value"),
    [(1, 1.0), (0xFFFFFF, 16_777_215.0), (0x1000000, -16_777_216.0), (0x1FFFFFF, -1.0), (0, 0.0)],
)
@pytest.mark.parametrize("exponent", [-64, 0, 25, 63])
def test_correction_is_exact_to_the_last_bit(coefficient: int, value: float, exponent: int) -> None:
    word = struct.pack("!I", (exponent & 0x7F) << 25 | coefficient)
    tracking = decode(RECORDED[:68] + word + RECORDED[72:], SEQUENCE)
    assert tracking is not None
    assert tracking.correction_s == value * 2.0 ** (exponent - 25)


@pytest.mark.parametrize(
    ("nanoseconds", "ms"), [(0, 0), (999_999, 0), (1_000_000, 1), (999_000_000, 999), (999_999_999, 999)]
)
def test_reference_time_is_known_to_the_millisecond(nanoseconds: int, ms: int) -> None:
    tracking = decode(RECORDED[:64] + struct.pack("!I", nanoseconds) + RECORDED[68:], SEQUENCE)
    assert tracking is not None
    assert tracking.at == 1_795_372_256_000 + ms


@pytest.mark.parametrize(("high", "at"), [(0x7FFFFFFF, 1_795_372_256_880), (1, 6_090_339_552_880)])
def test_seconds_beyond_32_bits_are_read_where_there_are_any(high: int, at: int) -> None:
    """A chronyd of 32 bits says that it has none."""
    tracking = decode(answer(high=high), SEQUENCE)
    assert tracking is not None
    assert tracking.at == at


@pytest.mark.parametrize(
    ("change", "synchronised"),
    [
        ({}, True),
        ({"leap": 1}, True),
        ({"leap": 2}, True),
        ({"leap": 3}, False),
        ({"stratum": 0}, False),
        ({"stratum": 1, "reference": 0x47505300}, True),
        ({"stratum": 15}, True),
        ({"stratum": 16}, False),
        ({"reference": 0}, False),
        ({"reference": 0x7F7F0101}, False),
        ({"correction_s": 1.0}, True),
        ({"correction_s": -1.0}, True),
        ({"correction_s": 1.01}, False),
        ({"correction_s": -1.01}, False),
    ],
)
def test_word_of_chrony_counts_where_somebody_else_vouches_for_the_clock_as_it_stands(
    change: dict[str, int], synchronised: bool
) -> None:
    assert replace(TRACKING, **change).synchronised is synchronised


@given(datagram=st.binary(max_size=200) | st.binary(min_size=len(RECORDED), max_size=len(RECORDED)))
def test_any_datagram_is_survived(datagram: bytes) -> None:
    assert decode(datagram, SEQUENCE) is None


@given(rest=st.binary(min_size=len(RECORDED) - 28, max_size=len(RECORDED) - 28))
def test_any_figures_are_survived(rest: bytes) -> None:
    assert decode(RECORDED[:28] + rest, SEQUENCE) is not None


@pytest.mark.parametrize(
    "wrong",
    [
        RECORDED[:-1],
        RECORDED + b"\0",
        b"",
        b"\x05" + RECORDED[1:],
        b"\x06\x01" + RECORDED[2:],
        RECORDED[:5] + b"\x22" + RECORDED[6:],
        RECORDED[:7] + b"\x06" + RECORDED[8:],
        RECORDED[:9] + b"\x01" + RECORDED[10:],
        RECORDED[:19] + b"\x4e" + RECORDED[20:],
    ],
    ids=["short", "long", "empty", "version", "a question", "another command", "another answer", "refused", "number"],
)
def test_what_is_not_the_answer_is_no_word(wrong: bytes) -> None:
    assert decode(wrong, SEQUENCE) is None


class _Somebody(asyncio.DatagramProtocol):
    """Answers every datagram with what ``replies`` makes of it."""

    def __init__(self, replies: Callable[[bytes], list[bytes]]) -> None:
        self._replies = replies
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]  # of this kind
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str | object, int]) -> None:
        assert self._transport is not None
        for reply in self._replies(data):
            self._transport.sendto(reply, addr)


@asynccontextmanager
async def somebody(replies: Callable[[bytes], list[bytes]]) -> AsyncIterator[int]:
    """The UDP port of a program that is not chronyd, or a strange one."""
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: _Somebody(replies), local_addr=(LOOPBACK, 0))
    try:
        yield transport.get_extra_info("sockname")[1]
    finally:
        transport.close()


def answered(asked: bytes) -> bytes:
    """The recorded answer, to this question."""
    return RECORDED[:16] + asked[8:12] + RECORDED[20:]


async def test_nobody_there_is_no_word_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chrony, "ANSWER_S", 60)
    async with asyncio.timeout(10):
        assert await ask(free_port()) is None


async def test_board_without_a_loopback_has_no_word(monkeypatch: pytest.MonkeyPatch) -> None:
    async def unreachable(*_: object, **__: object) -> None:
        raise OSError(errno.ENETUNREACH, "Network is unreachable")

    monkeypatch.setattr(asyncio.get_running_loop(), "create_datagram_endpoint", unreachable)
    assert await ask() is None


async def test_silence_is_no_word(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chrony, "ANSWER_S", 0.01)
    async with somebody(lambda _: []) as port:
        assert await ask(port) is None


async def test_rubbish_is_no_word(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chrony, "ANSWER_S", 0.05)
    async with somebody(lambda asked: [b"", b"x" * 104, asked, RECORDED]) as port:
        assert await ask(port) is None


async def test_answer_is_heard_among_others() -> None:
    async with somebody(lambda asked: [b"rubbish", RECORDED, answered(asked), answered(asked)]) as port:
        tracking = await ask(port)
    assert tracking == decode(RECORDED, SEQUENCE)


async def test_answer_stands_whatever_comes_after_it() -> None:
    answer = asyncio.get_running_loop().create_future()
    conversation = chrony._Conversation(SEQUENCE, answer)
    for _ in range(2):
        conversation.datagram_received(RECORDED, (LOOPBACK, 323))
        conversation.error_received(ConnectionRefusedError())
    assert answer.result() == decode(RECORDED, SEQUENCE)
