"""Plays a scenario on its stage, step by step, each at its own time, and says what became of it."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Final, assert_never

from protocol.vocabulary import Channel, CommandRefusal, Denial, Kind, Status
from protocol.vocabulary import Reply as Answer
from simulator.batching import Offer
from simulator.cloud import Silence
from simulator.daybook import Entry
from simulator.hardware import PATIENCE_S
from simulator.messages import Reply, Result
from simulator.office import ANSWER_S, Office
from simulator.scenario import (
    ALLOWED,
    DENIED,
    GIVEN,
    NOBODY,
    UNANSWERED,
    Accept,
    Ask,
    Fixture,
    GiveCode,
    Import,
    Line,
    Look,
    Network,
    Order,
    Power,
    Remark,
    Revoke,
    Scenario,
    Step,
    TakeCode,
    TakesUp,
)
from simulator.stage import BACK_S, GATEWAY, SOON_S, Stage
from simulator.tracking import Tracker
from simulator.uplink import Net
from simulator.witness import Seen, contradictions

ORDER_MS: Final = 30_000
"""How long an order from afar is good for."""

_NOBODY_THERE_S: Final = 0.3
"""How long somebody waits for an answer where nobody can give one."""

LOOK_S: Final = 5.0
"""How long the cloud waits for a status that it expects."""

_USUAL: Final = {Kind.FLUSS: Channel.BLUETOOTH, Kind.INTERCOM: Channel.INTERCOM}
_UNDECIDED: Final = frozenset(
    {*map(str, CommandRefusal)} - {*map(str, Denial), CommandRefusal.NOT_ACTUATED} | {CommandRefusal.CLOCK_UNKNOWN}
)
"""Error codes of orders that never came before the gate."""


class Player:
    """One performance of one scenario."""

    def __init__(self, scenario: Scenario, stage: Stage) -> None:
        self._scenario = scenario
        self._stage = stage
        self._office = Office(stage.address, GATEWAY, stage.cloud, lambda: stage.clock.now_ms)
        self._codes: dict[str, str] = {}
        self._seen: list[Seen] = []
        self._knows_time = True
        self._silent: set[str] = set()
        """Devices that say nothing any more."""

    async def play(self, tell: Callable[[Entry], None], *, pace_s: float) -> None:
        """The whole story; every step is told as it ends, `pace_s` after the one before.

        Raises Failure where the story cannot go on: what should have come did not.
        """
        stage = self._stage
        await stage.power_on(knows_time=True)
        for step in self._scenario.steps:
            await asyncio.sleep(pace_s)
            if step.at.timestamp() > stage.clock.now.timestamp():
                await stage.site.close_gates()
                stage.clock.set(step.at)
            tell(await self._played(step))

    async def curtain(self) -> list[str]:
        """Have everything back, let the cloud hear the rest, and end in order.

        Returns where what the cloud was told differs from what was seen, in words.
        """
        stage = self._stage
        if not stage.gateway.running:
            await stage.power_on(knows_time=True)
        await stage.become(Net.UP, self._events)
        await stage.leave()
        told = [event for _, event in sorted(stage.cloud.events.items())]
        return list(contradictions(self._seen, told, self._scenario.zone))

    @property
    def _events(self) -> int:
        """How many events there must be."""
        return sum(each.decision is not None for each in self._seen)

    async def _played(self, step: Step) -> Entry:
        deed = step.deed
        match deed:
            case Ask():
                return await self._ask(step, deed)
            case Order():
                return await self._order(step, deed)
            case Accept():
                return await self._accept(step, deed)
            case Import():
                return await self._import(step, deed)
            case Revoke():
                mobiles, ids = [each.mobile for each in deed.people], [each.device_id for each in deed.devices]
                tracker = await self._office.revoke(mobiles, ids)
                return Entry(step, _counted(tracker.outcomes), right=tracker.done, expected="an answer for everybody")
            case GiveCode() | TakeCode():
                return await self._code(step, deed)
            case Look():
                return await self._look(step, deed)
            case Network() | Power() | Line():
                return await self._change(step, deed)
            case Remark():
                return Entry(step, "")
        assert_never(deed)

    async def _ask(self, step: Step, ask: Ask) -> Entry:
        hardware = self._stage.site.devices[ask.device.device_id]
        there = hardware.connected and ask.device.device_id not in self._silent
        code = self._codes.get(ask.who.name if ask.who else "") if ask.code == GIVEN else ask.code
        mobile = ask.who.mobile if ask.who and code is None else None
        answer = await hardware.ask(
            mobile,
            code=code,
            channel=ask.channel,
            action=ask.action,
            unit=ask.unit,
            direction=ask.direction,
            patience_s=PATIENCE_S if there else _NOBODY_THERE_S,
        )
        if answer.decision is None:
            return _judged(step, ask.expect, UNANSWERED, answer.reason)
        self._saw(
            ask.device.device_id,
            mobile,
            ask.channel or _USUAL[ask.device.kind],
            ask.action,
            answer.decision,
            None if answer.allowed else answer.reason,
        )
        # A panel is answered before its gate has moved; in the story, minutes pass before anybody else comes.
        await self._settled(always=ask.device.kind is Kind.INTERCOM)
        return _judged(step, ask.expect, answer.decision, answer.reason)

    async def _order(self, step: Step, order: Order) -> Entry:
        reply = await self._stage.cloud.command(
            order.command,
            within_s=ANSWER_S if self._stage.connected else _NOBODY_THERE_S,
            deviceId=order.device.device_id,
            mobile=order.who.mobile,
            expiresAt=self._stage.clock.now_ms + ORDER_MS,
        )
        outcome, why = _decision(reply)
        if why not in _UNDECIDED:
            decision = None if reply is None else outcome
            reason = why if outcome == DENIED else None
            self._saw(order.device.device_id, order.who.mobile, Channel.WIFI, order.command, decision, reason)
            await self._settled(always=False)
        return _judged(step, order.expect, outcome, why)

    async def _accept(self, step: Step, accept: Accept) -> Entry:
        pending = self._pending([accept.who.mobile], accept.devices)
        if not pending or not self._stage.gateway.running:
            why = "nobody hears of it" if pending else "there is no invitation to take up"
            return Entry(step, "no change", why, right=False, expected=Status.ACTIVE)
        await self._take_up(pending)
        return Entry(step, Status.ACTIVE)

    async def _import(self, step: Step, deed: Import) -> Entry:
        people = [person.invitee for person in deed.people if person.invitee is not None]
        listed = [entry.invitee() for entry in deed.roster.sent] if deed.roster is not None else people
        offer = Offer(tuple(each.device_id for each in deed.devices), deed.permission, mode=deed.mode)
        tracker = await self._office.invite(listed, offer)
        counts = tracker.outcomes
        if not tracker.done:
            return Entry(step, _counted(counts), "; ".join(tracker.unknown()), right=False, expected="everybody known")
        results = _results(tracker)
        cloud = self._stage.cloud
        await cloud.until(lambda: results.keys() <= cloud.standings().keys(), within_s=SOON_S, what="the same news")
        now = [person.mobile for person in deed.people if person.takes_up is TakesUp.NOW]
        if pending := self._pending(now, deed.devices):
            await self._take_up(pending)
        statuses = Counter(cloud.standings()[each] for each in results)
        right = None if deed.expect is None else dict(counts) == dict(deed.expect)
        return Entry(step, _counted(counts), _counted(statuses), right, _counted(deed.expect or {}))

    async def _code(self, step: Step, deed: GiveCode | TakeCode) -> Entry:
        if isinstance(deed, GiveCode):
            code, why = await self._office.give_code(deed.who.name, deed.who.mobile, deed.panel.device_id)
            if code is not None:
                self._codes[deed.who.name] = code
            return Entry(step, code or "refused", why, right=None if code else False, expected="a code")
        why = await self._office.take_code(self._codes.get(deed.who.name, ""), deed.panel.device_id)
        return Entry(step, "refused" if why else "done", why, right=False if why else None, expected="done")

    async def _look(self, step: Step, look: Look) -> Entry:
        """How somebody stands by now; what time has changed, the gateway may tell a moment later."""
        cloud, key = self._stage.cloud, (look.device.device_id, look.who.mobile)
        await self._office.acknowledge()
        with suppress(Silence):
            await cloud.until(lambda: cloud.standings().get(key) == look.expect, within_s=LOOK_S, what="a status")
        status = cloud.standings().get(key)
        return Entry(step, status or NOBODY, right=status == look.expect, expected=look.expect or NOBODY)

    async def _change(self, step: Step, deed: Network | Power | Line) -> Entry:
        stage, heard = self._stage, len(self._stage.cloud.events)
        flapped = stage.uplink.net is Net.FLAPPING and isinstance(deed, Network)
        words = [f"broke {stage.uplink.cuts} times"] if flapped else []
        match deed:
            case Network():
                await stage.become(deed.net, self._events)
            case Power(on=False):
                await stage.power_off(self._events)
            case Power():
                self._knows_time = deed.knows_time
                await stage.power_on(knows_time=deed.knows_time)
            case Line(state="online"):
                self._silent.discard(deed.device.device_id)
                await stage.plug_in(deed.device.device_id)
            case Line(state="offline"):
                await stage.unplug(deed.device.device_id)
            case Line():
                self._silent.add(deed.device.device_id)
                stage.site.devices[deed.device.device_id].go_silent()
        if late := len(stage.cloud.events) - heard:
            words.append("an event arrives" if late == 1 else f"{late} events arrive")
        return Entry(step, "", ", ".join(words))

    async def _take_up(self, pending: Iterable[tuple[str, str]]) -> None:
        """Have people accept at these devices, and wait until the gateway has it."""
        stage, pending = self._stage, list(pending)
        for device_id, mobile in pending:
            await stage.site.devices[device_id].accept(mobile)
        if not stage.connected:
            for mobile in {mobile for _, mobile in pending}:
                await stage.is_active(mobile)
            return

        def all_active() -> bool:
            standings = stage.cloud.standings()
            return all(standings.get(each) == Status.ACTIVE for each in pending)

        await stage.cloud.until(all_active, within_s=BACK_S, what="word that the invitations were taken up")

    def _pending(self, mobiles: Iterable[str], devices: Iterable[Fixture]) -> list[tuple[str, str]]:
        """Whose invitation is open, by device."""
        standings, ids = self._stage.cloud.standings(), [device.device_id for device in devices]
        pairs = [(device_id, mobile) for mobile in mobiles for device_id in ids]
        return [pair for pair in pairs if standings.get(pair) == Status.PENDING]

    async def _settled(self, *, always: bool) -> None:
        """Wait until all that was seen is written down; where the cloud cannot say so, only if it has to be."""
        if always or self._stage.uplink.net is Net.UP:
            await self._stage.written(self._events)

    def _saw(
        self, device_id: str, mobile: str | None, channel: str, action: str, decision: str | None, reason: str | None
    ) -> None:
        now = self._stage.clock.now_ms
        at = now if self._knows_time else None
        self._seen.append(Seen(at, device_id, mobile, channel, action, decision, reason, now + ORDER_MS))


def _decision(reply: Reply | None) -> tuple[str, str]:
    """What became of an order, and why."""
    if reply is None:
        return UNANSWERED, "no reply"
    why = "" if reply.error is None else reply.error.code
    return (DENIED if reply.outcome == Answer.REFUSED else ALLOWED), why


def _judged(step: Step, expect: str | None, outcome: str, reason: str | None) -> Entry:
    """An outcome beside what was expected: to be let in, to get no answer, or a reason against it."""
    came = reason if reason and outcome != UNANSWERED else outcome
    return Entry(step, outcome, reason or "", None if expect is None else came == expect, expect or "")


def _results(tracker: Tracker) -> dict[tuple[str, str], str]:
    """The statuses that a list has brought, by device and number."""
    return {
        (device_id, result.mobile): result.status
        for _, device_id, result in tracker.results()
        if isinstance(result, Result) and result.mobile is not None and result.status is not None
    }


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {word}" for word, count in counts.items() if count)
