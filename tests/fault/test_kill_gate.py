"""The agent killed between a decision and its end: no gate moves twice, and no movement stays untold."""

import asyncio
import os
import signal
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from tests.counterparts.agent import strace
from tests.counterparts.board import Answer, Message, moves
from tests.counterparts.cloud import GATE, PANEL, Document, mobile, people
from tests.counterparts.mosquitto import Mosquitto
from tests.counterparts.premises import SIDE, Premises, premises
from tests.counterparts.proxy import Proxy
from tests.counterparts.waiting import until
from tests.fault.gate_history import History

RecordProperty = Callable[[str, object], None]
EVERYWHERE = [GATE, SIDE, PANEL]
RANDOM_KILLS = 5


async def inhabited(place: Premises) -> History:
    """Ten people who may open everything."""
    await place.invite(*people(range(10), accepted=True), deviceIds=EVERYWHERE)
    return History(place)


async def back(place: Premises, *under: str) -> None:
    """The agent starts again after its end."""
    await place.agent.kill9()
    await place.agent.online(place.cloud, *under)


def kills(place: Premises, *, after_s: float | None = None) -> Answer:
    """The answer of hardware that hears its order, and with that the power goes: at once, or when it has answered."""

    def kill() -> None:
        os.kill(place.agent.pid, signal.SIGKILL)

    def answer(told: Message) -> Message | None:
        if after_s is None:
            kill()
            return None
        asyncio.get_running_loop().call_later(after_s, kill)
        return moves(told)

    return answer


async def killed(place: Premises) -> None:
    await until(lambda: not place.agent.running, what="the agent killed")
    place.gate.answer = moves
    await back(place)
    await place.reached()


def _answers(place: Premises, command_id: str) -> list[Document]:
    return [each for each in place.cloud.said("replies") if each["commandId"] == command_id]


async def test_killed_when_the_gate_is_told_to_move(
    mosquitto: Mosquitto, tmp_path: Path, record_property: RecordProperty
) -> None:
    """Whoever asked, and however: the opening is in the log, nobody claims to know how it ended, and that was it."""
    async with premises(tmp_path, mosquitto.port) as place:
        history = await inhabited(place)
        code = await place.cloud.ask("issue_code", deviceId=PANEL, mobile=mobile(7), userName="Plumber", code="4821")
        assert code["outcome"] == "done"

        place.gate.answer = kills(place)
        history.ask(place.gate, mobile(1))
        await killed(place)
        place.gate.answer = kills(place)
        history.ask(place.panel, mobile(2), channel="intercom")
        await killed(place)
        place.gate.answer = kills(place)
        history.ask(place.panel, channel="keypad", code="4821", direction="entry")
        await killed(place)
        place.gate.answer = kills(place)
        ordered = await history.order(mobile(4))
        await killed(place)

        events = await place.events(4)
        assert {(each["decision"], each["reason"], each["actuated"]) for each in events} == {("allowed", None, None)}
        assert {each["error"] for each in events} == {"the gateway stopped before it heard whether the gate had moved"}
        assert [each["openedDeviceId"] for each in events] == [None, GATE, GATE, None]
        assert [each["userName"] for each in events] == ["Resident 1", "Resident 2", "Plumber", "Resident 4"]
        # The broker never had its acknowledgement: it sends the command again, and that is not the answer to it.
        first = (await until(lambda: _answers(place, ordered), what="an answer to the order"))[0]
        assert (first["outcome"], first["error"]["code"]) == ("failed", "interrupted")
        await until(lambda: [each["outcome"] for each in place.cloud.said("replies")][-1] == "refused")
        assert place.cloud.said("replies")[-1]["error"]["code"] == "repeated"
        await history.check()
        assert await place.panel.ask(channel="keypad", code="4821", direction="entry") == "code_spent"
        assert len(place.gate.told()) == 4
    record_property("tried:kills with signal 9", 4)


async def test_killed_between_the_answer_of_the_gate_and_its_record(
    mosquitto: Mosquitto, tmp_path: Path, record_property: RecordProperty
) -> None:
    delays_ms = (0, 1, 2, 4)
    async with premises(tmp_path, mosquitto.port) as place:
        history = await inhabited(place)
        for number, delay_ms in enumerate(delays_ms):
            place.gate.answer = kills(place, after_s=delay_ms / 1000)
            if number % 2:
                await history.order(mobile(number))
            else:
                history.ask(place.gate, mobile(number))
            await killed(place)
        await history.check()
    record_property("tried:kills with signal 9", len(delays_ms))


async def test_killed_when_all_is_stored_and_nothing_acknowledged(
    mosquitto: Mosquitto, tmp_path: Path, record_property: RecordProperty
) -> None:
    """The broker knows of nothing, and sends the command again; the cloud hears first what became of it."""
    async with Proxy(mosquitto.port) as proxy, premises(tmp_path, mosquitto.port, through=proxy.port) as place:
        history = await inhabited(place)

        def silenced(told: Message) -> Message:
            proxy.freeze()
            return moves(told)

        place.gate.answer = silenced
        name = await history.order(mobile(1))
        await place.agent.says("command.answered")
        await place.agent.kill9()
        proxy.cut()
        proxy.thaw()
        await back(place)
        await place.reached()
        await history.check()
        await until(lambda: len(place.cloud.said("replies")) == 2)
        assert [(each["commandId"], each["outcome"]) for each in place.cloud.said("replies")] == [
            (name, "done"),
            (name, "refused"),
        ]
        assert len(place.gate.told()) == 1
    record_property("tried:kills with signal 9", 1)


@pytest.mark.parametrize(
    ("call", "points"),
    [
        # Counted by thread: the store's, in the middle of a record and of a recovery, and that of the intents.
        ("pwrite64", [12, 16, 24]),
        ("fdatasync", [1, 2, 3]),
        # The line to the hardware, the broker, and the bytes by which one thread wakes another: dozens in a start.
        ("sendto", [44, 56]),
        # The log, which has a word between any two steps of an opening.
        ("write", [10, 13]),
    ],
)
async def test_killed_at_a_system_call(
    strace_installed: None,
    mosquitto: Mosquitto,
    tmp_path: Path,
    record_property: RecordProperty,
    call: str,
    points: list[int],
) -> None:
    async with premises(tmp_path, mosquitto.port) as place:
        history = await inhabited(place)
        for point in points:
            await back(place, *strace(call, "signal=KILL", when=str(point)))
            await busy_until_it_dies(place, history)
            assert place.agent.exit_code == -signal.SIGKILL, place.agent.log
        await back(place)
        await place.reached()
        await history.check()
    record_property("tried:kills with signal 9", len(points))


async def busy_until_it_dies(place: Premises, history: History) -> None:
    """People ask at the gates, one after the other, and every third time it is the cloud."""
    for number in range(60):
        if not place.agent.running:
            return
        if number % 3:
            history.ask((place.gate, place.side)[number % 2], mobile(number % 10))
        else:
            await history.order(mobile(number % 10))
        await asyncio.sleep(0.1)
    raise AssertionError(f"that system call is not made so often:\n{place.agent.log}")


async def test_killed_at_random_moments_while_everybody_asks(
    mosquitto: Mosquitto, tmp_path: Path, record_property: RecordProperty
) -> None:
    rng = Random(5)
    async with premises(tmp_path, mosquitto.port) as place:
        history = await inhabited(place)
        for _ in range(RANDOM_KILLS):
            for number in range(3):
                history.ask(place.gate, mobile(number))
                history.ask(place.side, mobile(number))
                history.ask(place.panel, mobile(number), channel="intercom")
                await history.order(mobile(number), device_id=rng.choice(EVERYWHERE))
            await asyncio.sleep(rng.uniform(0, 0.04))
            await back(place)
            await place.reached()
        await history.check()
    record_property("tried:kills with signal 9", RANDOM_KILLS)
