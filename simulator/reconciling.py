"""A gateway and a truth brought together: looked at, put right by the least there is to say, and looked at again."""

import asyncio
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Final

from protocol.codec import Limits
from simulator import exits
from simulator.address import Address
from simulator.audit import Audit, Found
from simulator.batching import Batch, make_batch, new_batch_id, next_revision
from simulator.books import Books
from simulator.convergence import Difference, Repair, repairs
from simulator.delivery import LONGEST_PAUSE_S, Delivery
from simulator.exits import Failure
from simulator.heard import Life
from simulator.line import Traffic
from simulator.messages import Complaint, Result, State
from simulator.tracking import Tracker
from simulator.trouble import Unreachable
from simulator.truth import Truth

ROUNDS: Final = 3
"""One is enough, unless something changes meanwhile or gets lost."""

MANY: Final = 20
"""So many may always be taken off a list: the same bounds as a gateway's own for a whole list."""

SHARE: Final = 0.5


class TooMany(Failure):
    """Whom a sync would take off waits for somebody's word: so many, or others whose removals are held."""

    exit_code = exits.REFUSED


@dataclass(slots=True)
class Repaired:
    """What was sent, and what became of it."""

    batches: int = 0
    people: int = 0
    """Items of the batches; somebody wanted alike at several devices is one."""
    bytes: int = 0
    refused: list[tuple[str, str, str]] = field(default_factory=list)
    """Whom the gateway would not have: mobile, device, why."""
    unknown: list[str] = field(default_factory=list)
    """What nothing came back about, in words."""


class Reconciliation:
    """One gateway brought together with its truth, over connections that come and go.

    `timeout_s` is how long nothing may come closer to the end; `notice` gets what a person should hear meanwhile.
    """

    def __init__(
        self, address: Address, truth: Truth, *, timeout_s: float, notice: Callable[[str], None], rng: Random
    ) -> None:
        self.repaired = Repaired()
        self.traffic = Traffic()
        """Of the looks: what was asked and answered. Repairs are in `repaired`."""
        self.new_store = False
        """The gateway has another store than the last time: made anew, or an old one put back."""
        self.recovered = 0
        """Reports that were missed, and came when they were asked for."""
        self.lost = 0
        """Reports that were missed, and the gateway no longer has."""
        self._address = address
        self._truth = truth
        self._timeout_s = timeout_s
        self._notice = notice
        self._rng = rng

    async def look(self) -> Found:
        """Compare; what was learnt is in the truth's file then.

        Raises Unreachable, Unanswered, Refused, Unsound, OSError.
        """
        failures, give_up_at = 0, time.monotonic() + self._timeout_s
        while True:
            audit = Audit(self._address, self._truth, timeout_s=self._timeout_s, now_ms=_now_ms)
            try:
                found = await audit.run()
            except Unreachable as why:
                nobody_there = audit.traffic.heard == 0 and failures == 0
                if nobody_there or time.monotonic() >= give_up_at:
                    raise
                self._notice(f"{why}. Trying again; nothing is lost.")
            else:
                self._truth.save()
                return found
            finally:
                self.new_store |= audit.life is Life.NEW
                self.recovered += audit.recovered
                self.lost += audit.lost
                self.traffic.sent += audit.traffic.sent
                self.traffic.heard += audit.traffic.heard
            failures += 1
            await asyncio.sleep(self._rng.uniform(0, min(LONGEST_PAUSE_S, 2.0**failures)))

    async def repair(self, found: Found) -> None:
        """Say the least that puts right what was found. Raises Unreachable, BatchError, OSError."""
        for repair in repairs(self._truth.devices, list(found.differences.values())):
            books = Books(self._truth, repair.offer, repair.invitees, repair.revoked, repair.mobiles)
            delivery = Delivery(
                self._address,
                self._truth.gateway_id,
                lambda state: self._planned(state, repair, books),  # noqa: B023 -- this repair's, which is over when the next begins
                timeout_s=self._timeout_s,
                notice=self._notice,
                progress=lambda _: None,
                overhear=books.overhear,
            )
            tracker = await delivery.run()
            books.close(tracker)
            self._count(repair, tracker)

    async def finish(self, found: Found, *, remove_many: bool = False) -> Found:
        """Repair and look again until both agree, or a round has changed nothing; what was found last.

        Raises what `demand_few_removals` raises, unless to `remove_many` is meant: what is found may be more by now.
        """
        for _ in range(ROUNDS):
            if not found.differences:
                break
            if not remove_many:
                demand_few_removals(found, self._truth)
            before = found.differences
            await self.repair(found)
            found = await self.look()
            if found.differences == before:
                break
        return found

    def whole_list_bytes(self) -> int:
        """What it would cost to send everything that is wanted, each list once."""
        everybody = [
            Difference(device_id, missing=tuple(people)) for device_id, people in self._truth.devices.items() if people
        ]
        batches = [self._batch(None, repair) for repair in repairs(self._truth.devices, everybody)]
        return sum(len(part.payload) for batch in batches for part in batch.parts)

    def _planned(self, state: State | None, repair: Repair, books: Books) -> Batch:
        batch = self._batch(state, repair)
        books.enter(batch)
        self.repaired.batches += 1
        self.repaired.people += batch.items
        self.repaired.bytes += sum(len(part.payload) for part in batch.parts)
        return batch

    def _batch(self, state: State | None, repair: Repair) -> Batch:
        now_ms = _now_ms()
        return make_batch(
            list(repair.invitees.values()),
            repair.revoked,
            repair.offer,
            gateway_id=self._truth.gateway_id,
            batch_id=new_batch_id(now_ms, os.urandom(10)),
            revision=next_revision(now_ms, max(self._truth.revision, state.revision if state else 0)),
            issued_at=now_ms,
            limits=Limits(state.limits.max_part_bytes, state.limits.max_part_items) if state else Limits(),
            key=self._address.key,
        )

    def _count(self, repair: Repair, tracker: Tracker) -> None:
        self.repaired.unknown += tracker.unknown()
        for place, device_id, result in tracker.results():
            complaint = result.error if isinstance(result, Result) else result
            if isinstance(complaint, Complaint):
                self.repaired.refused.append((repair.mobiles[place], device_id, complaint.message or complaint.code))


def demand_few_removals(found: Found, truth: Truth) -> None:
    """Raise TooMany where a list would lose more than half of its people, and more than a few.

    A truth that was lost, or is another gateway's, would take everybody off; and what names each one is not held back.
    Neither is anybody taken off around a hold that the truth has not heard of: its import was interrupted.
    """
    unheard = sorted(set(found.state.held) - truth.held.keys())
    if unheard and any(each.unwanted for each in found.differences.values()):
        raise TooMany(
            f"{truth.gateway_id} holds the removals of a whole list until they are confirmed: if they are meant,"
            f" fluss-simulator cloud confirm {unheard[0]}; else add --remove-many to go by this truth alone. Nothing"
            " was sent."
        )
    for device in found.state.devices:
        unwanted = len(found.differences[device.device_id].unwanted) if device.device_id in found.differences else 0
        listed = sum(device.users.values())
        if unwanted > MANY and unwanted > SHARE * listed:
            raise TooMany(
                f"{unwanted:,} of the {listed:,} people on the list of {device.device_id} are not wanted by this truth:"
                " check that it is the right one and whole, then add --remove-many. Nothing was sent."
            )


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
