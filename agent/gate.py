"""Decide, actuate, record: what lies between somebody asking and the gate moving. This page is the other half."""

import time
from asyncio import Future
from collections import Counter, OrderedDict
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final

import structlog

from agent.clock import Clock
from agent.drivers.driver import Actuated, Driver, Offline
from agent.intents import Intent, IntentFault, Intents, name_of_request
from agent.recorder import Recorder, Work
from agent.request import Answer, Door, Request
from agent.rollcall import Rollcall
from protocol.access import Grant, decide
from protocol.codes import OneTimeCode, Use, judge
from protocol.events import Event
from protocol.moment import Moment
from protocol.tries import Tries
from protocol.vocabulary import Action, Channel, Decision, Denial, Direction, Position, Status
from storage import codes
from storage.database import StorageFault, Transaction

log = structlog.get_logger()

STALE_MS: Final = 10_000
"""A request that has waited longer is nobody's any more: whoever asked has gone in, or gone away."""

IN_HAND: Final = 16
"""How many openings of one gate may be under way at once."""

REMEMBERED: Final = 1_000
"""How many openings are known by their requests, so that none opens twice."""

REPEATED_S: Final = 30.0
"""How long hardware may say a request again. It may count anew one day, and its numbers must not lock anybody out."""

_THERE_ALREADY: Final = {
    (Action.OPEN, Position.OPEN): Denial.ALREADY_OPEN,
    (Action.CLOSE, Position.CLOSED): Denial.ALREADY_CLOSED,
}


Also = Callable[[Denial | None, Actuated | None], Work]
"""What somebody wants stored with an event, made of how it ended."""


@dataclass(frozen=True, slots=True)
class _Person:
    """Who asks, as far as is known."""

    mobile: int | None
    name: str | None = None


_NOBODY: Final = _Person(None)


@dataclass(frozen=True, slots=True)
class _Way:
    """Who may go through which gate."""

    person: _Person
    opens: str
    use: Use | None = None


@dataclass(frozen=True, slots=True)
class _End:
    """How it ended: `intent` is the number of the synced intent, where there was one."""

    person: _Person
    reason: Denial | None
    actuated: Actuated | None = None
    way: _Way | None = None
    intent: int | None = None


@dataclass(frozen=True, slots=True)
class _Denied:
    """Who may not, and why."""

    person: _Person
    reason: Denial


class Gate:
    """Where every request ends, whichever way it came. It waits for no import and for no network.

    `handled` are requests, by device and id, that were carried out before this start; `next_intent` is the number of
    the next intent.
    """

    def __init__(
        self,
        *,
        doors: Mapping[str, Door],
        drivers: Mapping[str, Driver],
        rollcall: Rollcall,
        clock: Clock,
        intents: Intents,
        recorder: Recorder,
        handled: Collection[tuple[str, str]] = (),
        next_intent: int = 1,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._doors = doors
        self._drivers = drivers
        self._rollcall = rollcall
        self._clock = clock
        self._intents = intents
        self._recorder = recorder
        self._handled = OrderedDict.fromkeys(handled, monotonic())
        self._next_intent = next_intent
        self._monotonic = monotonic
        self._in_hand: Counter[str] = Counter()
        self._tries: dict[str, Tries] = {}
        self._uses: set[tuple[int, Direction]] = set()
        """Uses of codes that the store does not know yet."""
        self._accepted: set[tuple[str, int]] = set()
        """Invitations taken up, by device and mobile, of which the store does not know yet either."""

    @property
    def moving(self) -> bool:
        """Whether an opening is under way."""
        return any(self._in_hand.values())

    def accepted(self, device_id: str, mobile: int, stored: Future[None]) -> None:
        """Somebody has taken up the invitation at a device: that counts at once, and is in the store when `stored`."""
        key = (device_id, mobile)
        self._accepted.add(key)
        stored.add_done_callback(lambda _: self._accepted.discard(key))

    def owe(self, intents: Iterable[Intent], stored: Future[None]) -> None:
        """These openings were under way before this start; the store knows of them when `stored`."""
        for intent in intents:
            if intent.code is not None and intent.direction is not None:
                self._settle_use((intent.code, intent.direction), stored)
            self._settle_intent(intent.number, stored)

    def settle(self, intents: Iterable[Intent]) -> None:
        """The store has known of these openings for long."""
        for intent in intents:
            self._intents.settle(intent.number)

    async def request(
        self,
        request: Request,
        *,
        granted: Callable[[], None] = lambda: None,
        also: Also | None = None,
    ) -> Answer | None:
        """Carry out a request, or refuse it; None for one that was carried out before.

        `granted` is called just before the gate moves. What `also` makes of the end is stored with the event, or not
        at all.
        """
        if self._is_repeated(request):
            log.warning("request.repeated", device_id=request.device_id)
            return None
        if request.command_id is not None:  # refused or not, the cloud has one answer to it
            self._remember(request)
        moment = self._clock.moment()
        return await self._carried_out(request, moment, self._decided(request, moment), granted, also)

    def turn_away(self, request: Request, reason: Denial) -> Answer:
        """Record a request that nobody decides: it should not have come here."""
        return self._recorded(request, self._clock.moment(), _End(_Person(request.mobile), reason), None)

    async def pulse(self, device_id: str, request: str) -> Answer:
        """Move a gate because somebody at the gateway itself says so: the installer's test, recorded as `local`."""
        pulse = Request(device_id, request, Channel.LOCAL, Action.TRIGGER)
        door, moment = self._doors[device_id], self._clock.moment()
        way = _Denied(_NOBODY, Denial.DEVICE_OFFLINE) if door.opens is None else _Way(_NOBODY, door.opens)
        return await self._carried_out(pulse, moment, self._unhindered(pulse, way))

    def rehearse(self) -> None:
        """Decide about somebody nobody knows, and forget it: for whoever watches over us."""
        for device_id in self._doors:
            with suppress(StorageFault):
                self._may(Request(device_id, "", Channel.BLUETOOTH, Action.TRIGGER, mobile=0), self._clock.moment())

    async def _carried_out(
        self,
        request: Request,
        moment: Moment,
        way: _Way | _Denied,
        granted: Callable[[], None] = lambda: None,
        also: Also | None = None,
    ) -> Answer:
        """Actuate and record what was decided."""
        if isinstance(way, _Denied):
            return self._recorded(request, moment, _End(way.person, way.reason), also)
        intent = self._intent(request, way, moment)
        self._in_hand[way.opens] += 1
        try:
            if not await self._noted(intent) and intent.owed:
                # What may be used once must not be given away without a note of it.
                end = _End(way.person, Denial.STORAGE_FAULT, way=way, intent=intent.number)
            elif not self._drivers[way.opens].connected:
                end = _End(way.person, Denial.DEVICE_OFFLINE, way=way, intent=intent.number)
            else:
                granted()
                reason, actuated = await self._actuate(request, way, intent.number)
                end = _End(way.person, reason, actuated, way, intent.number)
            return self._recorded(request, moment, end, also)
        finally:
            self._in_hand[way.opens] -= 1

    def _decided(self, request: Request, moment: Moment) -> _Way | _Denied:
        """Decide: in the loop's own thread and without waiting, so nothing changes meanwhile."""
        way: _Way | _Denied
        try:
            way = self._may(request, moment)
        except StorageFault as fault:
            log.error("list.unreadable", error=str(fault))  # noqa: TRY400 -- the disk's trouble, not ours
            way = _Denied(_Person(request.mobile), Denial.STORAGE_FAULT)
        way = self._unhindered(request, way)
        log.info(
            "request.decided",
            device_id=request.device_id,
            channel=request.channel.value,
            decision=(Decision.DENIED if isinstance(way, _Denied) else Decision.ALLOWED).value,
            reason=way.reason.value if isinstance(way, _Denied) else None,
            clock=moment.state.value,
        )
        return way

    def _may(self, request: Request, moment: Moment) -> _Way | _Denied:
        """Whether the list lets the person through, and which gate that is."""
        door = self._doors.get(request.device_id)
        if door is None:
            return _Denied(_Person(request.mobile), Denial.UNKNOWN_DEVICE)
        if request.age_ms > STALE_MS:
            return _Denied(_Person(request.mobile), Denial.STALE_COMMAND)
        if request.code is not None and request.channel is Channel.KEYPAD:
            return self._may_by_code(door, request.code, request.direction, moment)
        if request.mobile is None:
            return _Denied(_Person(None), Denial.UNKNOWN_USER)
        found = self._rollcall.listed(door.device, request.mobile)
        person = _Person(request.mobile, found.name if found else None)
        grant = self._as_accepted(door, request.mobile, found.grant) if found else None
        ruling = decide(grant, request.channel, moment, door.zone, request.unit)
        if ruling.reason is not None:
            return _Denied(person, ruling.reason)
        return _Denied(person, Denial.DEVICE_OFFLINE) if door.opens is None else _Way(person, door.opens)

    def _as_accepted(self, door: Door, mobile: int, grant: Grant) -> Grant:
        """A grant with the acceptance that the store is still to learn of."""
        taken_up = grant.status is Status.PENDING and (door.device_id, mobile) in self._accepted
        return replace(grant, status=Status.ACTIVE) if taken_up else grant

    def _may_by_code(self, door: Door, digits: str, direction: Direction | None, moment: Moment) -> _Way | _Denied:
        tries, now = self._tries.get(door.device_id, Tries()), self._monotonic()
        if tries.blocked_for(now) > 0:
            return _Denied(_Person(None), Denial.TOO_MANY_TRIES)
        use = judge(map(self._as_used, self._rollcall.codes(door.device_id)), digits, direction, moment)
        if use is Denial.WRONG_CODE:
            self._tries[door.device_id] = tries.after_wrong(now)
        if isinstance(use, Denial):
            return _Denied(_Person(None), use)
        self._tries[door.device_id] = tries.after_right()
        return _Way(_Person(use.code.mobile, use.code.name), use.opens, use)

    def _as_used(self, code: OneTimeCode) -> OneTimeCode:
        """A code with the uses that the store is still to learn of."""
        if (code.number, Direction.ENTRY) in self._uses:
            code = replace(code, entered_at=code.made_at)
        if (code.number, Direction.EXIT) in self._uses:
            code = replace(code, left_at=code.made_at)
        return code

    def _unhindered(self, request: Request, way: _Way | _Denied) -> _Way | _Denied:
        """The same way, unless the gate itself does not move for anybody now."""
        if isinstance(way, _Denied):
            return way
        driver = self._drivers.get(way.opens)
        if driver is None or not driver.connected:
            return _Denied(way.person, Denial.DEVICE_OFFLINE)
        if driver.position is not None and (reason := _THERE_ALREADY.get((request.action, driver.position))):
            return _Denied(way.person, reason)
        return _Denied(way.person, Denial.BUSY) if self._in_hand[way.opens] >= IN_HAND else way

    def _intent(self, request: Request, way: _Way, moment: Moment) -> Intent:
        """What is about to happen; from here on the same request does not open again."""
        self._remember(request)
        if way.use is not None:
            self._uses.add((way.use.code.number, way.use.direction))
        number, self._next_intent = self._next_intent, self._next_intent + 1
        return Intent(
            number=number,
            at=moment.best,
            device_id=request.device_id,
            request=request.request,
            channel=request.channel,
            action=request.action,
            clock=moment.state,
            opens=way.opens,
            mobile=way.person.mobile,
            name=way.person.name,
            note=request.note,
            command_id=request.command_id,
            expires_at=request.expires_at,
            code=way.use.code.number if way.use else None,
            direction=way.use.direction if way.use else None,
        )

    def _is_repeated(self, request: Request) -> bool:
        """Whether this was asked before: by the cloud ever, by hardware just now."""
        since = self._handled.get(name_of_request(request.device_id, request.request, request.command_id))
        return since is not None and (request.command_id is not None or self._monotonic() - since < REPEATED_S)

    def _remember(self, request: Request) -> None:
        name = name_of_request(request.device_id, request.request, request.command_id)
        self._handled[name] = self._monotonic()
        self._handled.move_to_end(name)
        if len(self._handled) > REMEMBERED:
            self._handled.popitem(last=False)

    async def _noted(self, intent: Intent) -> bool:
        """Have the intent on the card; whether the card let us."""
        try:
            await self._intents.write(intent)
        except IntentFault as fault:
            log.error("intent.failed", error=str(fault))  # noqa: TRY400 -- the disk's trouble, not ours
            return False
        return True

    async def _actuate(self, request: Request, way: _Way, intent: int) -> tuple[Denial | None, Actuated | None]:
        """Actuate; a device that did not ask itself gets a request of its own."""
        asked_itself = way.opens == request.device_id and request.command_id is None
        own = request.request if asked_itself else f"{request.device_id}-{intent}"
        try:
            actuated = await self._drivers[way.opens].actuate(own, request.action)
        except Offline:
            return Denial.DEVICE_OFFLINE, None
        log.info("gate.actuated", device_id=way.opens, ok=actuated.ok)
        return None, actuated

    def _recorded(self, request: Request, moment: Moment, end: _End, also: Also | None) -> Answer:
        """Record what became of a request, with everything that must be true together with it."""
        actuated, way = end.actuated, end.way
        event = Event(
            at=moment.best,
            device_id=request.device_id,
            request=request.request,
            mobile=end.person.mobile,
            name=end.person.name,
            channel=request.channel,
            action=request.action,
            reason=end.reason,
            note=request.note,
            clock=moment.state,
            opened=way.opens if way and actuated and way.opens != request.device_id else None,
            actuated=actuated.ok if actuated else None,
            error=actuated.error if actuated else None,
            intent=end.intent,
        )
        use = way.use if way else None
        spent = use if actuated and actuated.ok is not False else None

        beside = also(end.reason, actuated) if also else None  # made once: a sick disk has the rest tried again

        async def work(transaction: Transaction) -> None:
            if spent is not None:
                await codes.use(transaction, spent.code.number, spent.direction, moment.best)
            if beside is not None:
                await beside(transaction)

        stored = self._recorder.add(event, work if spent or beside else None)
        if spent is not None:
            self._settle_use((spent.code.number, spent.direction), stored)
        elif use is not None:  # one that opened nothing is given back at once
            self._uses.discard((use.code.number, use.direction))
        if end.intent is not None:
            self._settle_intent(end.intent, stored)
        return Answer(end.reason, actuated, stored)

    def _settle_use(self, use: tuple[int, Direction], stored: Future[None]) -> None:
        """A use is ours to remember until the store knows it."""
        self._uses.add(use)
        stored.add_done_callback(lambda done: None if done.cancelled() else self._uses.discard(use))

    def _settle_intent(self, number: int, stored: Future[None]) -> None:
        stored.add_done_callback(lambda done: None if done.cancelled() else self._intents.settle(number))
