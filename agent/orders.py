"""Commands that move a gate: decided like anybody's request, carried out once, and never late."""

import asyncio
from typing import Final

import structlog

from agent.clock import Clock
from agent.drivers.driver import Actuated
from agent.gate import Gate
from agent.recorder import Work
from agent.request import Request
from agent.vault import Vault
from protocol.commands import CommandMessage, ReplyError, ReplyMessage, Unusable
from protocol.mobile import Numbers, usable
from protocol.vocabulary import Action, Channel, ClockState, Command, CommandRefusal, Denial, Reply
from storage import orders, outbox
from storage.database import Transaction

log = structlog.get_logger()

SEEN: Final = "this command was carried out before, or there were so many that nobody can tell"

ACTIONS: Final = {Command.TRIGGER: Action.TRIGGER, Command.OPEN: Action.OPEN, Command.CLOSE: Action.CLOSE}


class Orders:
    """Carries out trigger, open and close. What became of one, its reply and its event are one transaction."""

    def __init__(self, gateway_id: str, vault: Vault, clock: Clock, gate: Gate, numbers: Numbers) -> None:
        self._gateway_id = gateway_id
        self._vault = vault
        self._clock = clock
        self._gate = gate
        self._numbers = numbers

    async def carry_out(self, command: CommandMessage) -> ReplyMessage:
        """Have the gate decide and move; the reply, which is in the outbox then. Raises Unusable, StorageFault."""
        request = self._request(command)
        ended: list[tuple[ReplyMessage, Work]] = []

        def also(reason: Denial | None, actuated: Actuated | None) -> Work:
            reply = self._reply(command.command_id, reason, actuated)

            async def work(transaction: Transaction) -> None:
                await orders.remember(transaction, command.command_id, request.expires_at)
                await outbox.reply(transaction, reply.payload())

            ended.append((reply, work))
            return work

        answer = await self._gate.request(request, also=also)
        if answer is None:
            raise Unusable(CommandRefusal.REPEATED, SEEN)
        await asyncio.wait([answer.stored])
        ((reply, work),) = ended
        if answer.stored.cancelled():  # the event was given up; the answer is not
            await self._vault.commit(work)
        return reply

    def _request(self, command: CommandMessage) -> Request:
        """What the gate is asked; raises Unusable where a command must not even be decided."""
        if command.device_id is None or command.mobile is None or command.expires_at is None:
            needed = {"deviceId": command.device_id, "mobile": command.mobile, "expiresAt": command.expires_at}
            missing = ", ".join(name for name, value in needed.items() if value is None)
            raise Unusable(CommandRefusal.SCHEMA, f"{missing}: {command.command.value} needs it")
        if command.device_id not in self._vault.devices:
            raise Unusable(CommandRefusal.UNKNOWN_DEVICE, f"this gateway has no device {command.device_id!r}")
        moment = self._clock.moment()
        if moment.state is ClockState.UNKNOWN or moment.latest is None:
            raise Unusable(
                CommandRefusal.CLOCK_UNKNOWN, "this gateway does not know the time, and so not how old this is"
            )
        if moment.latest >= command.expires_at:
            raise Unusable(CommandRefusal.EXPIRED, "the command came after its expiresAt")
        if orders.seen(self._vault.reader, command.command_id, command.expires_at):
            raise Unusable(CommandRefusal.REPEATED, SEEN)
        return Request(
            device_id=command.device_id,
            request=command.command_id,
            channel=Channel.WIFI,
            action=ACTIONS[command.command],
            mobile=usable(self._numbers.read(command.mobile)),
            note=command.note,
            command_id=command.command_id,
            expires_at=command.expires_at,
        )

    def _reply(self, command_id: str, reason: Denial | None, actuated: Actuated | None) -> ReplyMessage:
        outcome, error = Reply.DONE, None
        if reason is not None:
            outcome, error = Reply.REFUSED, ReplyError(code=reason, message=f"the request was denied: {reason.value}")
        elif actuated is None or not actuated.ok:
            words = actuated.error if actuated and actuated.error else "the device did not say why"
            outcome, error = Reply.FAILED, ReplyError(code=CommandRefusal.NOT_ACTUATED, message=words)
        return ReplyMessage(
            command_id=command_id, gateway_id=self._gateway_id, outcome=outcome, at=self._vault.now(), error=error
        )
