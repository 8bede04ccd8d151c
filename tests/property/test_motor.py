"""A motor beside a plainer one that is looked at every millisecond; and no gate that moves twice for one request."""

import asyncio
import socket

from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.hardware import Actuate, Did, FromHardware, heard
from protocol.vocabulary import Action, Denial, Position
from simulator.gate import Gate
from simulator.happening import What
from simulator.motor import Motion, Motor

ACTIONS = st.sampled_from(Action)


class Plain:
    """The rules of a step-by-step motor, one millisecond after the other."""

    def __init__(self, travel: int, auto_close: int | None) -> None:
        self.travel, self.auto_close = travel, auto_close
        self.place, self.going, self.next, self.stood = 0, 0, 1, 0

    def press(self, action: Action) -> Denial | None:
        if action is Action.OPEN and self.position is Position.OPEN:
            return Denial.ALREADY_OPEN
        if action is Action.CLOSE and self.position is Position.CLOSED:
            return Denial.ALREADY_CLOSED
        if action is Action.TRIGGER:
            self.going = 0 if self.going else self.next
        else:
            self.going = 1 if action is Action.OPEN else -1
        if not 0 <= self.place + self.going <= self.travel:
            self.going = 0  # told to go back before it had left
        self.settle()
        return None

    def settle(self) -> None:
        if self.going:
            self.next = -self.going
        else:
            self.stood = 0
            if self.place == 0:
                self.next = 1
            elif self.place == self.travel:
                self.next = -1

    def tick(self) -> None:
        if self.going:
            self.place += self.going
            if self.place in (0, self.travel):
                self.going = 0
                self.settle()
        elif self.place and self.auto_close is not None:
            self.stood += 1
            if self.stood == self.auto_close:
                self.going = -1
                self.settle()

    @property
    def motion(self) -> Motion:
        if self.going:
            return Motion.OPENING if self.going > 0 else Motion.CLOSING
        return {0: Motion.CLOSED, self.travel: Motion.OPEN}.get(self.place, Motion.STOPPED)

    @property
    def position(self) -> Position:
        return Position.CLOSED if self.motion is Motion.CLOSED else Position.OPEN


@given(
    travel=st.integers(1, 40),
    auto_close=st.none() | st.integers(1, 30),
    presses=st.lists(st.tuples(st.integers(0, 60), ACTIONS, st.booleans()), max_size=20),
)
@settings(max_examples=500)
def test_motor_agrees_with_a_plain_one(
    travel: int, auto_close: int | None, presses: list[tuple[int, Action, bool]]
) -> None:
    """Whether it is looked at every millisecond, or only now and then."""
    motor, plain, now = Motor(travel_ms=travel, auto_close_ms=auto_close), Plain(travel, auto_close), 0
    for wait, action, looked_at in [*presses, (200, Action.TRIGGER, True)]:
        for _ in range(wait):
            plain.tick()
            now += 1
            if looked_at:
                seen = motor.motion(now), motor.opened_ms(now), motor.sensed(now)
                assert seen == (plain.motion, plain.place, plain.position)
        assert motor.told(action, now) == plain.press(action)
        assert (motor.motion(now), motor.opened_ms(now)) == (plain.motion, plain.place)
        assert motor.due_ms is None or motor.due_ms >= now


TOLD = st.lists(st.tuples(st.sampled_from("abc"), ACTIONS), min_size=1, max_size=12)


@given(connections=st.lists(TOLD, min_size=1, max_size=3), mute=st.booleans())
@settings(max_examples=60)
def test_gate_never_moves_twice_for_one_request(connections: list[list[tuple[str, Action]]], mute: bool) -> None:
    """Over however many connections, and whether or not anybody heard the first answer."""

    async def told() -> tuple[Gate, list[Did]]:
        answers: list[Did] = []
        async with Gate("1234567890123456", travel_s=0.001) as gate:
            for messages in connections:
                gate.mute = mute and messages is not connections[-1]
                answers += [each for each in await conversation(gate, messages) if isinstance(each, Did)]
        return gate, answers

    gate, answers = asyncio.run(told())
    moved = [each.request_id for each in gate.history if each.what is What.MOVED and each.request_id]
    assert len(moved) == len(set(moved))
    first = {answer.request_id: answer for answer in reversed(answers)}
    assert all(answer == first[answer.request_id] for answer in answers), "the same answer, however often"
    assert {answer.request_id for answer in answers if answer.ok} <= set(moved)
    asked = connections[-1] if mute else [message for messages in connections for message in messages]
    assert [answer.request_id for answer in answers] == [request_id for request_id, _ in asked]


async def conversation(gate: Gate, messages: list[tuple[str, Action]]) -> list[FromHardware]:
    """Everything a gate says while it is told all this."""
    ours, theirs = socket.socketpair()
    reader, writer = await asyncio.open_connection(sock=theirs)
    meeting = asyncio.create_task(gate.meet(reader, writer))
    hearing, saying = await asyncio.open_connection(sock=ours)
    saying.writelines([Actuate(request_id=request_id, action=action).line() for request_id, action in messages])
    saying.write_eof()
    said = (await hearing.read()).splitlines()
    await meeting
    saying.close()
    return [heard(line) for line in said]
