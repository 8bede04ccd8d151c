"""What the cloud asks for, and the answers: reports again, their acknowledgement, a held replace confirmed."""

from typing import Any, Final

import structlog

from agent.link import Delivery
from agent.vault import Vault
from protocol.commands import CommandMessage, ReplyError, ReplyMessage, Unusable, decode_command
from protocol.vocabulary import Command, CommandRefusal, Reply
from storage import outbox, replace
from storage.database import Transaction
from storage.outbox import position

log = structlog.get_logger()

_NOT_YET: Final = frozenset({Command.TRIGGER, Command.OPEN, Command.CLOSE, Command.RESYNC, Command.ERASE})


class Answers:
    """Carries out commands; what a command does and its reply are one transaction.

    Every command answered here may come twice and does the same again.
    """

    def __init__(self, gateway_id: str, vault: Vault) -> None:
        self._gateway_id = gateway_id
        self._vault = vault

    async def answer(self, delivery: Delivery) -> None:
        """Carry out one command, or refuse it; the reply is in the outbox when this returns."""

        async def work(transaction: Transaction) -> ReplyMessage:
            reply = await self._carried_out(transaction, delivery)
            await outbox.reply(transaction, reply.payload())
            return reply

        reply = await self._vault.commit(work)
        code = reply.error.code if reply.error else None
        log.info("command.answered", command_id=reply.command_id, outcome=reply.outcome.value, code=code)

    async def _carried_out(self, transaction: Transaction, delivery: Delivery) -> ReplyMessage:
        command: CommandMessage | None = None
        try:
            command = decode_command(delivery.payload, self._gateway_id)
            self._admit(command, delivery)
            result = await self._do(transaction, command)
        except Unusable as why:
            command_id = command.command_id if command else why.command_id
            return self._reply(command_id, Reply.REFUSED, ReplyError(code=why.code, message=str(why)), {})
        return self._reply(command.command_id, Reply.DONE, None, result)

    def _admit(self, command: CommandMessage, delivery: Delivery) -> None:
        if delivery.retained:
            raise Unusable(CommandRefusal.RETAINED, "a command is never retained")
        if command.expires_at is not None and command.expires_at <= self._vault.now():
            raise Unusable(CommandRefusal.EXPIRED, "the command came after its expiresAt")
        if command.command in _NOT_YET:
            raise Unusable(CommandRefusal.UNKNOWN_COMMAND, f"this version does not know {command.command.value}")

    async def _do(self, transaction: Transaction, command: CommandMessage) -> dict[str, Any]:
        if command.command is Command.CONFIRM:
            return await self._confirm(transaction, command)
        if command.epoch is not None and command.epoch != (epoch := position(self._vault.reader).epoch):
            raise Unusable(CommandRefusal.UNKNOWN_EPOCH, f"this store's epoch is {epoch}")
        if command.command is Command.ACKNOWLEDGE:
            return await self._acknowledge(transaction, command)
        return await self._report(transaction, command)

    async def _confirm(self, transaction: Transaction, command: CommandMessage) -> dict[str, Any]:
        if command.batch_id is None:
            raise Unusable(CommandRefusal.SCHEMA, "batchId: confirm names a batch")
        stage = await replace.confirm(transaction, command.batch_id, self._vault.devices, self._vault.now())
        if stage is None:
            raise Unusable(CommandRefusal.UNKNOWN_BATCH, f"no batch {command.batch_id!r} is known here")
        return {"batchId": command.batch_id, "stage": stage}

    @staticmethod
    async def _acknowledge(transaction: Transaction, command: CommandMessage) -> dict[str, Any]:
        if command.epoch is None:
            raise Unusable(CommandRefusal.SCHEMA, "epoch: report numbers mean nothing without it")
        if command.through_report is None and command.through_event is None:
            raise Unusable(CommandRefusal.SCHEMA, "acknowledge names throughReport, or throughEvent")
        if command.through_report is not None:
            await outbox.acknowledged(transaction, command.through_report)
        return {"throughReport": command.through_report}

    @staticmethod
    async def _report(transaction: Transaction, command: CommandMessage) -> dict[str, Any]:
        if command.batch_id is not None:
            count = await outbox.ask_batch_again(transaction, command.batch_id)
            if count is None:
                raise Unusable(CommandRefusal.UNKNOWN_BATCH, f"no batch {command.batch_id!r} is known here")
            return {"reports": count}
        if command.from_report is not None:
            first, last = command.from_report, command.through_report
            return {"reports": await outbox.ask_again(transaction, first, first if last is None else last)}
        if command.from_event is not None:
            return {"events": 0}
        raise Unusable(CommandRefusal.SCHEMA, "report names a batchId, or fromReport and throughReport")

    def _reply(
        self, command_id: str | None, outcome: Reply, error: ReplyError | None, result: dict[str, Any]
    ) -> ReplyMessage:
        return ReplyMessage(
            command_id=command_id,
            gateway_id=self._gateway_id,
            outcome=outcome,
            at=self._vault.now(),
            error=error,
            result=result,
        )
