"""The pipe through which the installer's test asks a running gateway for a pulse; both ends of it, and bad company."""

import asyncio
import json
import os
import stat
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from agent import bench
from agent.bench import Bench, Deaf, Pulsed, ask
from agent.clock import uptime_ms
from agent.drivers.driver import Actuated
from agent.request import Answer
from protocol.vocabulary import Denial
from tests.counterparts.waiting import until

GATE = "1234567890123456"


def stored() -> "asyncio.Future[None]":
    done = asyncio.get_running_loop().create_future()
    done.set_result(None)
    return done


class Pulses:
    """A gate that remembers whom it moved for."""

    def __init__(self, answer: Callable[[], Awaitable[Answer]] | None = None) -> None:
        self.given: list[tuple[str, str]] = []
        self._answer = answer

    async def __call__(self, device_id: str, request: str) -> Answer:
        self.given.append((device_id, request))
        return await self._answer() if self._answer else Answer(None, Actuated(True), stored())


@asynccontextmanager
async def listening(home: Path, pulses: Pulses) -> AsyncIterator[Path]:
    """A bench at work; the path of its pipe."""
    path = home / "bench"
    task = asyncio.create_task(Bench(path, [GATE], pulses).run())
    try:
        await until(path.exists, what="the pipe")
        yield path
    finally:
        task.cancel()
        await asyncio.wait([task], timeout=5)
        assert task.cancelled()


def write(path: Path, data: bytes) -> None:
    pipe = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
    try:
        os.write(pipe, data)
    finally:
        os.close(pipe)


def order(number: int = 1, **fields: object) -> bytes:
    asked = {"id": f"{number:032x}", "device": GATE, "until": uptime_ms() + 2_000, **fields}
    return json.dumps(asked).encode() + b"\n"


def names(folder: Path) -> set[str]:
    return {each.name for each in folder.iterdir()}


async def asked(path: Path, device_id: str = GATE) -> Pulsed:
    """As the command does, which has no event loop."""
    return await asyncio.to_thread(ask, path, device_id)


async def test_pulse_is_given_once_and_its_answer_comes_back(tmp_path: Path) -> None:
    pulses = Pulses()
    async with listening(tmp_path, pulses) as path:
        assert await asked(path) == Pulsed(ok=True, recorded=True)
        ((device_id, request),) = pulses.given
        assert (device_id, len(request)) == (GATE, 32)
        assert names(tmp_path) == {"bench"}, "the answer was taken away"
    assert not names(tmp_path), "so was the pipe"


@pytest.mark.parametrize(
    ("became", "said"),
    [
        ((Denial.DEVICE_OFFLINE, None), Pulsed(reason=Denial.DEVICE_OFFLINE, recorded=True)),
        ((None, Actuated(False, "jammed")), Pulsed(ok=False, error="jammed", recorded=True)),
        ((None, Actuated(None, "no answer")), Pulsed(ok=None, error="no answer", recorded=True)),
    ],
)
async def test_answer_says_what_became_of_it(
    tmp_path: Path, became: tuple[Denial | None, Actuated | None], said: Pulsed
) -> None:
    async def answer() -> Answer:
        return Answer(*became, stored())

    async with listening(tmp_path, Pulses(answer)) as path:
        assert await asked(path) == said


@pytest.mark.parametrize("given_up", [False, True])
async def test_answer_does_not_wait_for_a_store_that_is_sick(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given_up: bool
) -> None:
    monkeypatch.setattr(bench, "RECORD_S", 0.05)

    async def answer() -> Answer:
        future = asyncio.get_running_loop().create_future()
        if given_up:
            future.cancel()
        return Answer(None, Actuated(True), future)

    async with listening(tmp_path, Pulses(answer)) as path:
        assert await asked(path) == Pulsed(ok=True, recorded=False)


async def test_pipe_is_nobody_elses(tmp_path: Path) -> None:
    async with listening(tmp_path, Pulses()) as path:
        mode = path.stat().st_mode
        assert stat.S_ISFIFO(mode)
        assert stat.S_IMODE(mode) == 0o600
        assert (await asked(path)).ok


@pytest.mark.parametrize(
    "garbage",
    [
        b"open sesame\n",
        b"\xff\xfe\x00\n",
        b"[]\n",
        b"null\n",
        b"x" * 9_000 + b"\n",
        order(id="../../etc/passwd", until=10**12),
        order(id="a" * 31, until=10**12),
        order(device=7, until=10**12),
        order(until=None),
    ],
)
async def test_garbage_moves_nothing_and_is_told_of(
    tmp_path: Path, garbage: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench, "PAUSE_S", 0.01)
    pulses = Pulses()
    with capture_logs() as logs:
        async with listening(tmp_path, pulses) as path:
            write(path, garbage)
            await until(lambda: any(entry["event"] == "bench.garbled" for entry in logs), what="told of")
            assert not pulses.given
            assert (await asked(path)).ok, "it goes on listening"
    assert len(pulses.given) == 1


async def test_flood_of_garbage_gets_little_of_the_gates_time(tmp_path: Path) -> None:
    async with listening(tmp_path, Pulses()) as path:
        with capture_logs() as logs:
            pipe = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
            written = 0
            for _ in range(200):
                with suppress(BlockingIOError):
                    written += os.write(pipe, b"y\n" * 2_000)
                await asyncio.sleep(0)
            os.close(pipe)
        assert written < 100_000, "a pipe that nobody empties is full"
        assert len(logs) <= 1


async def test_order_that_is_late_moves_nothing(tmp_path: Path) -> None:
    """Whoever asked has gone by then, and somebody may stand in the gate's way."""
    pulses = Pulses()
    with capture_logs() as logs:
        async with listening(tmp_path, pulses) as path:
            write(path, order(1, until=uptime_ms() - 1) + order(2))
            await until(lambda: pulses.given, what="the one in time")
    assert pulses.given == [(GATE, f"{2:032x}")]
    assert [entry["event"] for entry in logs] == ["bench.late", "bench.asked"]


async def test_device_that_the_running_gateway_does_not_have_is_denied(tmp_path: Path) -> None:
    pulses = Pulses()
    async with listening(tmp_path, pulses) as path:
        assert await asked(path, "6543210987654321") == Pulsed(reason=Denial.UNKNOWN_DEVICE, recorded=False)
    assert not pulses.given


async def test_more_orders_than_hands_are_told_so(tmp_path: Path) -> None:
    go = asyncio.Event()

    async def answer() -> Answer:
        await go.wait()
        return Answer(None, Actuated(True), stored())

    pulses = Pulses(answer)
    async with listening(tmp_path, pulses) as path:
        held = [asyncio.create_task(asked(path)) for _ in range(bench.AT_ONCE)]
        await until(lambda: len(pulses.given) == bench.AT_ONCE, what="all hands at work")
        assert await asked(path) == Pulsed(reason=Denial.BUSY, recorded=False)
        go.set()
        assert all(said.ok for said in await asyncio.gather(*held))


async def test_pulse_under_way_ends_before_the_bench_leaves(tmp_path: Path) -> None:
    go, ended = asyncio.Event(), asyncio.Event()

    async def answer() -> Answer:
        await go.wait()
        ended.set()
        return Answer(None, Actuated(True), stored())

    pulses = Pulses(answer)
    path = tmp_path / "bench"
    task = asyncio.create_task(Bench(path, [GATE], pulses).run())
    await until(path.exists, what="the pipe")
    write(path, order())
    await until(lambda: pulses.given, what="under way")
    task.cancel()
    await asyncio.sleep(0.05)
    assert not task.done()
    go.set()
    await asyncio.wait([task], timeout=5)
    assert ended.is_set()


async def test_pulse_that_never_ends_keeps_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "CLOSE_S", 0.05)
    cut_off = asyncio.Event()

    async def answer() -> Answer:
        try:
            await asyncio.Event().wait()
        finally:
            cut_off.set()
        raise AssertionError

    pulses = Pulses(answer)
    async with listening(tmp_path, pulses) as path:
        write(path, order())
        await until(lambda: pulses.given, what="under way")
    assert cut_off.is_set()


async def test_bug_in_a_pulse_comes_up(tmp_path: Path) -> None:
    async def answer() -> Answer:
        raise ZeroDivisionError

    path = tmp_path / "bench"
    task = asyncio.create_task(Bench(path, [GATE], Pulses(answer)).run())
    await until(path.exists, what="the pipe")
    write(path, order())
    with pytest.raises(ExceptionGroup) as bugs:
        await asyncio.wait_for(task, 5)
    assert bugs.group_contains(ZeroDivisionError)


async def test_answer_that_nobody_waits_for_is_taken_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "ANSWER_S", 0.1)
    async with listening(tmp_path, Pulses()) as path:
        write(path, order())
        answer = tmp_path / f"bench.{1:032x}"
        await until(answer.exists, what="the answer")
        await until(lambda: not answer.exists(), what="taken away")


async def test_start_takes_away_what_an_earlier_one_left(tmp_path: Path) -> None:
    for name in ("bench", "bench.0123.new", f"bench.{7:032x}", "gateway.db"):
        (tmp_path / name).write_text("left")
    pulses = Pulses()
    path = tmp_path / "bench"
    task = asyncio.create_task(Bench(path, [GATE], pulses).run())
    await until(path.is_fifo, what="the pipe")
    assert names(tmp_path) == {"bench", "gateway.db"}
    assert (await asked(path)).ok
    task.cancel()
    await asyncio.wait([task], timeout=5)


async def test_disk_without_pipes_costs_the_test_and_nothing_else(tmp_path: Path) -> None:
    with capture_logs() as logs:
        await Bench(tmp_path / "missing" / "bench", [GATE], Pulses()).run()
    assert [entry["event"] for entry in logs] == ["bench.failed"]


def test_nobody_who_listens_is_said_after_a_while(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "LISTEN_S", 0.1)
    path = tmp_path / "bench"
    with pytest.raises(Deaf, match="does not listen"):
        ask(path, GATE)
    os.mkfifo(path)  # of a daemon that was killed
    with pytest.raises(Deaf, match="does not listen"):
        ask(path, GATE)
    path.unlink()
    path.write_text("no pipe")
    with pytest.raises(Deaf, match="is no pipe: restart the gateway"):
        ask(path, GATE)
    assert path.read_text() == "no pipe"


async def test_gateway_that_hangs_is_waited_for_no_longer_than_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench, "ANSWER_S", 0.3)
    path = tmp_path / "bench"
    os.mkfifo(path)
    held = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    try:
        with pytest.raises(Deaf, match=r"did not answer within 0\.3 s: look at the gate"):
            await asked(path)
        os.write(held, b"\n" * 65_000)
        with pytest.raises(Deaf, match="does not listen at present"):
            await asked(path)
    finally:
        os.close(held)


async def test_no_order_outlives_its_asker(tmp_path: Path) -> None:
    """What is written into the pipe says itself by when it must have begun, well before the asker gives up."""
    path = tmp_path / "bench"
    os.mkfifo(path)
    held = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    asking = asyncio.create_task(asked(path))

    def line() -> bytes:
        try:
            return os.read(held, 4_096)
        except BlockingIOError:
            return b""

    said = json.loads(await until(line, what="the order"))
    assert 0 < said["until"] - uptime_ms() <= bench.START_MS < bench.ANSWER_S * 1_000
    (tmp_path / f"bench.{said['id']}").write_text(Pulsed(ok=True, recorded=True).model_dump_json())
    assert (await asking).ok
    os.close(held)
