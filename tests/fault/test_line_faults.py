"""A device that is silent, mad, gone or somebody else: it is not connected, it is tried again, the others go on."""

import asyncio
import gc
import resource
import time
from collections.abc import AsyncIterator

import pytest
from structlog.testing import capture_logs

from agent.config_drivers import Tcp
from agent.drivers.driver import Actuated, Offline
from agent.drivers.talk import GARBLED, IN_HAND, Patience
from protocol.vocabulary import Action
from tests.counterparts.hardware import (
    DEVICE,
    Hardware,
    Heard,
    connected,
    dials,
    events,
    listening,
    lost,
    running,
    works,
)
from tests.counterparts.ports import LOOPBACK, free_port
from tests.counterparts.waiting import until

OTHER = "482913"
IMPATIENT = Patience(hello_s=0.2, actuate_s=0.3, write_s=0.3)


@pytest.fixture
async def hardware() -> AsyncIterator[Hardware]:
    async with listening() as hardware:
        yield hardware


async def test_peer_that_accepts_and_says_nothing_is_not_connected(hardware: Hardware) -> None:
    with capture_logs() as logs:
        async with running(line := dials(hardware.address, Heard(), patience=IMPATIENT)):
            silent = await hardware.dialled()
            assert await silent.is_left()
            assert not line.connected
            await hardware.met()
            await connected(line)
    (failed,) = events(logs, "device.failed")
    assert failed["reason"] == "nothing introduced itself within 0.2 s"


async def test_wrong_baud_rate_is_told_from_silence(hardware: Hardware) -> None:
    with capture_logs() as logs:
        async with running(dials(hardware.address, Heard(), patience=IMPATIENT)):
            end = await hardware.dialled()
            end.raw(b"\xf8\x00\x80\n\x00\xfe\n")
            await until(lambda: events(logs, "device.failed"))
    assert "unreadable: check the baud rate" in events(logs, "device.failed")[0]["reason"]


async def test_wrong_device_is_left_alone_and_named(hardware: Hardware) -> None:
    heard = Heard()
    with capture_logs() as logs:
        async with running(line := dials(hardware.address, heard)):
            end = await hardware.dialled()
            end.hello(OTHER)
            end.request("r1")
            assert await end.is_left()
            assert not line.connected
            await asyncio.sleep(0.3)  # long enough for many a quick retry
            assert hardware.waiting == 0
    assert not heard.asked
    (mismatched,) = events(logs, "device.mismatched")
    assert (mismatched["device_id"], mismatched["log_level"]) == (DEVICE, "error")
    assert f"'{OTHER}'" in mismatched["reason"]
    assert "check `driver` and `id`" in mismatched["reason"]


async def test_device_that_becomes_another_is_left_too(hardware: Hardware) -> None:
    heard = Heard()
    async with running(line := dials(hardware.address, heard)):
        end = await hardware.met()
        await connected(line)
        end.hello(OTHER)
        end.request("r1")
        assert await end.is_left()
        assert not line.connected
    assert not heard.asked


async def test_device_that_never_answers_leaves_it_open_whether_the_gate_moved(hardware: Hardware) -> None:
    with capture_logs() as logs:
        async with running(line := dials(hardware.address, Heard(), patience=IMPATIENT)):
            mute = await hardware.met()
            await connected(line)
            began = time.monotonic()
            actuated = await line.actuate("r1", Action.TRIGGER)
            assert 0.25 < time.monotonic() - began < 2
            assert actuated == Actuated(None, "no answer from the hardware within 0.3 s")
            assert await mute.is_left()
            await hardware.met()
            await connected(line)
    (gone,) = events(logs, "device.lost")
    assert gone["reason"] == "it was told to trigger and did not answer within 0.3 s"


async def test_answer_that_comes_too_late_counts_for_nothing(hardware: Hardware) -> None:
    heard = Heard()
    async with running(line := dials(hardware.address, heard, patience=IMPATIENT)):
        await hardware.met()
        await connected(line)
        assert (await line.actuate("r1", Action.TRIGGER)).ok is None
        end = await hardware.met()
        end.say(type="actuated", requestId="r1", ok=True)
        await connected(line)
        assert await works(line, heard, end)


@pytest.mark.parametrize("breaks", ["end", "reset"])
async def test_line_that_breaks_while_the_gate_is_told(hardware: Hardware, breaks: str) -> None:
    """It was told, so nobody knows; and nobody waits for the time limit."""
    async with running(line := dials(hardware.address, Heard())):
        end = await hardware.met()
        await connected(line)
        moving = asyncio.create_task(line.actuate("r1", Action.TRIGGER))
        await end.hears()
        getattr(end, breaks)()
        assert await asyncio.wait_for(moving, 2) == Actuated(None, "the line broke before the hardware answered")
        await lost(line)
        with pytest.raises(Offline):
            await line.actuate("r2", Action.TRIGGER)


async def test_line_that_breaks_in_the_middle_of_a_message_is_dialled_again(hardware: Hardware) -> None:
    heard = Heard()
    async with running(line := dials(hardware.address, heard)):
        for _ in range(3):
            end = await hardware.met()
            await connected(line)
            end.raw(b'{"type":"request","requestId":"r1","mob')
            end.reset()
            await lost(line)
        end = await hardware.met()
        end.raw(b'ile":"+27824511234","channel":"bluetooth"}\n')
        await connected(line)
        assert await works(line, heard, end)
    assert [asked.request_id for asked in heard.asked] == ["works-0"]


async def test_garbage_is_passed_over_and_told_once(hardware: Hardware) -> None:
    heard = Heard()
    with capture_logs() as logs:
        async with running(line := dials(hardware.address, heard)):
            end = await hardware.met()
            for request in range(5):
                end.raw(b"\x00\xff\xfe not json +27824511234\n" * (GARBLED - 1))
                end.request(f"r{request}")
            await until(lambda: len(heard.asked) == 5)
            assert await works(line, heard, end)
    (garbled,) = events(logs, "device.garbled")
    assert (garbled["device_id"], garbled["lines"], garbled["reason"]) == (DEVICE, 1, "json_invalid")
    assert not events(logs, "device.lost")


async def test_peer_that_says_only_garbage_is_left(hardware: Hardware) -> None:
    with capture_logs() as logs:
        async with running(line := dials(hardware.address, Heard())):
            end = await hardware.met()
            await connected(line)
            end.raw(b"\xff\n" * GARBLED)
            assert await end.is_left()
            await hardware.met()
            await connected(line)
    (gone,) = events(logs, "device.lost")
    assert gone["reason"] == "100 unreadable lines in a row, the last: json_invalid"


async def test_line_of_ten_megabytes_is_passed_over(hardware: Hardware) -> None:
    """It costs no memory, and the message behind it is heard."""
    heard = Heard()
    async with running(line := dials(hardware.address, heard)):
        end = await hardware.met()
        await connected(line)
        gc.collect()
        before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for _ in range(160):
            end.raw(b"x" * 65_536)
            await until(lambda: end.transport.get_write_buffer_size() < 1 << 20, every_s=0.001)
        end.raw(b"\n")
        assert await works(line, heard, end)
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib < 6 << 10


async def test_peer_that_does_not_read_is_left(hardware: Hardware) -> None:
    """At once, where much would have to be held for it."""
    with capture_logs() as logs:
        async with running(line := dials(hardware.address, Heard(), patience=Patience(write_s=60))):
            deaf = await hardware.met()
            await connected(line)
            deaf.reader._transport.pause_reading()  # type: ignore[attr-defined] # nothing of asyncio's reads it now

            def left() -> bool:
                for _ in range(20):
                    line.refuse("r", "x" * 3_000)
                return not line.connected

            await until(left, every_s=0)
            await hardware.met()
            await connected(line)
    (gone,) = events(logs, "device.lost")
    assert gone["reason"] == "the hardware does not read what it is told"


async def test_peer_that_stopped_reading_is_left_although_little_waits_for_it(hardware: Hardware) -> None:
    """Once the kernel's buffers are full, a few bytes more are enough: nobody reads for a while."""
    async with running(line := dials(hardware.address, Heard(), patience=IMPATIENT)):
        deaf = await hardware.met()
        await connected(line)
        deaf.reader._transport.pause_reading()  # type: ignore[attr-defined] # nothing of asyncio's reads it now
        transport = line._talk._writer.transport  # type: ignore[union-attr] # as long as it is connected
        while not transport.get_write_buffer_size():
            line.refuse("r", "x" * 3_000)
        assert transport.get_write_buffer_size() < 64 << 10
        began = time.monotonic()
        await lost(line)
        assert 0.2 < time.monotonic() - began < 2


async def test_flood_of_requests_is_told_that_the_gateway_is_busy(hardware: Hardware) -> None:
    heard = Heard()
    async with running(line := dials(hardware.address, heard)):
        end = await hardware.met()
        for number in range(IN_HAND + 50):
            end.request(f"r{number}")
        refused = [await end.hears() for _ in range(50)]
        assert [asked.request_id for asked in heard.asked] == [f"r{number}" for number in range(IN_HAND)]
        assert refused == [
            {"type": "refuse", "requestId": f"r{number}", "reason": "busy"} for number in range(IN_HAND, IN_HAND + 50)
        ]
        for number in range(IN_HAND):
            line.refuse(f"r{number}", "expired")
        assert await works(line, heard, end)


async def test_device_gone_mad_leaves_the_loop_to_the_others(hardware: Hardware) -> None:
    """It is listened to no faster than hardware speaks; another device is answered meanwhile, and quickly."""
    mad, sane = Heard(), Heard()
    async with (
        listening() as there,
        running(dials(hardware.address, mad)),
        running(line := dials(there.address, sane, device_id=OTHER)),
    ):
        (await hardware.met()).raw(b'{"type":"accepted","mobile":"+27824511234"}\n' * 100_000)
        end = await there.met(device_id=OTHER)
        await connected(line)
        began = time.monotonic()
        for _ in range(20):
            assert await works(line, sane, end)
        assert time.monotonic() - began < 2
        await asyncio.sleep(0.5)
        assert 2_000 < len(mad.accepted) < 12_000


async def test_trouble_of_one_device_leaves_the_other_alone(hardware: Hardware) -> None:
    heard = Heard()
    async with (
        listening() as there,
        running(sick := dials(hardware.address, Heard(), patience=IMPATIENT)),
        running(well := dials(there.address, heard, device_id=OTHER)),
    ):
        end = await there.met(device_id=OTHER)
        await connected(well)
        ill = await hardware.met()
        await connected(sick)
        moving = asyncio.create_task(sick.actuate("r1", Action.TRIGGER))
        ill.raw(b"x" * 100_000)
        assert await works(well, heard, end)
        assert (await moving).ok is None
        assert await works(well, heard, end)
        assert heard.changes == 1


async def test_nobody_there_is_told_with_the_cure_and_then_ever_more_rarely() -> None:
    address = Tcp(LOOPBACK, free_port())
    with capture_logs() as logs:
        async with running(dials(address, Heard())):
            await until(lambda: len([entry for entry in logs if entry["event"] == "device.failed"]) >= 20)
    told = events(logs, "device.failed")
    assert [entry["attempt"] for entry in told] == [1, 2, 4, 8, 16][: len(told)]
    assert len(told) >= 5
    assert told[0]["reason"] == f"{address} refuses connections: check `driver`, and that the hardware runs"


async def test_name_that_nobody_knows_is_told() -> None:
    with capture_logs() as logs:
        async with running(dials(Tcp("gate.invalid", 9000), Heard())):
            await until(lambda: events(logs, "device.failed"))
    assert "gate.invalid cannot be resolved" in events(logs, "device.failed")[0]["reason"]


async def test_line_that_comes_and_goes_is_one_piece_of_news(hardware: Hardware) -> None:
    with capture_logs() as logs:
        async with running(line := dials(hardware.address, Heard())):
            for _ in range(20):
                end = await hardware.met()
                await connected(line)
                end.end()
                await lost(line)
    assert [entry["attempt"] for entry in events(logs, "device.lost")] == [1, 2, 4, 8, 16]
    assert len(events(logs, "device.connected")) == 6


async def test_stop_before_the_hello_is_quick(hardware: Hardware) -> None:
    began = time.monotonic()
    async with running(dials(hardware.address, Heard())):
        silent = await hardware.dialled()
    assert time.monotonic() - began < 2
    assert await silent.is_left(1)


async def test_stop_while_the_gate_is_told_is_quick(hardware: Hardware) -> None:
    began = time.monotonic()
    async with running(line := dials(hardware.address, Heard())):
        end = await hardware.met()
        await connected(line)
        moving = asyncio.create_task(line.actuate("r1", Action.TRIGGER))
        await end.hears()
    assert time.monotonic() - began < 2
    assert (await moving).ok is None
    assert await end.is_left(1)
