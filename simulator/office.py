"""The office: it sends lists and one-time codes through the cloud."""

import os
from collections.abc import Callable, Sequence
from typing import Final

from protocol.codec import Limits
from protocol.invites import Invitee
from protocol.vocabulary import Command, Reply
from simulator.address import Address
from simulator.batching import Batch, Offer, make_batch, new_batch_id, next_revision
from simulator.cloud import Cloud, wall_ms
from simulator.delivery import Delivery
from simulator.messages import State
from simulator.tracking import Tracker

PART_PEOPLE: Final = 100
"""People in one message: of a small one, a bad network loses little."""

DELIVERY_S: Final = 60.0
ANSWER_S: Final = 5.0
ORDER_MS: Final = 60_000
"""How long an order is good for that must not be carried out twice."""


class Office:
    """Speaks to one gateway; `now_ms` is the time it writes on its letters."""

    def __init__(self, address: Address, gateway_id: str, cloud: Cloud, now_ms: Callable[[], int] = wall_ms) -> None:
        self._address = address
        self._gateway_id = gateway_id
        self._cloud = cloud
        self._now_ms = now_ms

    async def invite(self, invitees: Sequence[Invitee], offer: Offer) -> Tracker:
        """Send a list, and follow it up until everybody is accounted for, or nothing has come for a while."""
        return await self._deliver(invitees, [], offer)

    async def revoke(self, mobiles: Sequence[str], device_ids: Sequence[str]) -> Tracker:
        """Take people off the lists of these devices."""
        return await self._deliver([], mobiles, Offer(tuple(device_ids)))

    async def give_code(self, name: str, mobile: str, panel_id: str) -> tuple[str | None, str]:
        """A code for somebody, None where there is none; and why there is none."""
        expires_at = self._now_ms() + ORDER_MS
        fields = {"deviceId": panel_id, "mobile": mobile, "userName": name}
        reply = await self._cloud.command(Command.ISSUE_CODE, within_s=ANSWER_S, expiresAt=expires_at, **fields)
        if reply is None or reply.outcome != Reply.DONE:
            return None, reply.error.code if reply is not None and reply.error else "no reply"
        return str(reply.result["code"]), ""

    async def take_code(self, code: str, panel_id: str) -> str:
        """Take a code back; why it could not be, empty where it was."""
        expires_at = self._now_ms() + ORDER_MS
        fields = {"deviceId": panel_id, "code": code}
        reply = await self._cloud.command(Command.REVOKE_CODE, within_s=ANSWER_S, expiresAt=expires_at, **fields)
        if reply is None or reply.outcome != Reply.DONE:
            return reply.error.code if reply is not None and reply.error else "no reply"
        return ""

    async def acknowledge(self) -> None:
        """Say that every report is stored here; the gateway looks after its lists then."""
        state, through = self._cloud.state, max(self._cloud.reports, default=0)
        if state is not None:
            await self._cloud.command(Command.ACKNOWLEDGE, within_s=ANSWER_S, epoch=state.epoch, throughReport=through)

    async def _deliver(self, invitees: Sequence[Invitee], revoked: Sequence[str], offer: Offer) -> Tracker:
        def plan(state: State | None) -> Batch:
            now_ms = self._now_ms()
            return make_batch(
                invitees,
                revoked,
                offer,
                gateway_id=self._gateway_id,
                batch_id=new_batch_id(now_ms, os.urandom(10)),
                revision=next_revision(now_ms, state.revision if state else 0),
                issued_at=now_ms,
                limits=Limits(part_items=PART_PEOPLE * len(offer.device_ids)),
                key=self._address.key,
            )

        delivery = Delivery(
            self._address,
            self._gateway_id,
            plan,
            timeout_s=DELIVERY_S,
            notice=lambda _: None,
            progress=lambda _: None,
        )
        return await delivery.run()
