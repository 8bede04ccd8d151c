"""Commands from the cloud, and the answer to each."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import structlog

from agent.codebook import Codebook
from agent.erasure import Erasure
from agent.erasure import Receipt as ErasureReceipt
from agent.floods import BEYOND, Floods
from agent.link import Delivery, Link
from agent.orders import ACTIONS, SEEN, Orders
from agent.resync import Resync
from agent.vault import Vault
from protocol.commands import CommandMessage, ReplyError, ReplyMessage, Unusable, decode_command
from protocol.mobile import Numbers, usable
from protocol.signatures import Key
from protocol.vocabulary import Command, CommandRefusal, Reply
from storage import events, forgotten, orders, outbox, replace
from storage.database import StorageFault, Transaction
from storage.outbox import position

log = structlog.get_logger()

_AT_ONCE: Final = frozenset({*ACTIONS, Command.ISSUE_CODE, Command.REVOKE_CODE, Command.CODES})
"""What no list has a say in. All others wait their turn."""

_ONCE: Final = frozenset({Command.ISSUE_CODE})
"""What is refused where it was carried out before, as the commands that move a gate are; all others but `erase` do the
same again."""

_ENDS: Final = frozenset({Command.ISSUE_CODE, Command.REVOKE_CODE, Command.CODES, Command.ERASE})
"""What has to have an end where commands are signed: whoever has kept one could play it again when it is forgotten, and
be told the codes that are out by then."""

REMEMBER_MS: Final = 7 * 86_400_000
"""How long a command without an end is known again: longer than brokers keep one for a gateway that is away."""

ISSUED_FOR_MS: Final = 3_600_000
"""How long after its `issuedAt` one of those is good that names no end itself."""

TELL_EVERY_S: Final = 30.0
TAKE_AT_ONCE: Final = 40
TAKE_BYTES: Final = 1 << 20
IN_HAND: Final = 64
IN_LINE: Final = 1_000


class Answers:
    """Takes commands in as they come. What no list has a say in is carried out at once; the rest waits its turn.

    What a command does and its reply are one transaction. `trusted` are the keys whose commands are believed, by
    `kid`; without any, whatever comes is.
    """

    def __init__(
        self,
        *,
        gateway_id: str,
        trusted: Mapping[str, Key],
        topic: str,
        link: Link,
        vault: Vault,
        orders: Orders,
        codebook: Codebook,
        resync: Resync,
        erasure: Erasure,
        numbers: Numbers,
        floods: Floods[Unusable],
    ) -> None:
        self._gateway_id = gateway_id
        self._trusted = trusted
        self._topic = topic
        self._link = link
        self._vault = vault
        self._orders = orders
        self._codebook = codebook
        self._resync = resync
        self._erasure = erasure
        self._numbers = numbers
        self._floods = floods
        self._in_hand: dict[bytes, list[Delivery]] = {}
        self._line: asyncio.Queue[tuple[Delivery, CommandMessage | Unusable]] = asyncio.Queue(IN_LINE)

    async def run(self) -> None:
        """Answer what comes until cancelled."""
        room = asyncio.Semaphore(IN_HAND)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._in_turn(tasks), name="answers-in-turn")
            tasks.create_task(self._erasure.resume(), name="erasure-resumed")
            tasks.create_task(self._tell_floods(), name="floods")
            while True:
                for delivery in await self._link.receive(self._topic, TAKE_AT_ONCE, TAKE_BYTES):
                    command = await self._understood(delivery)
                    if isinstance(command, Unusable) and self._only_counted(delivery, command):
                        delivery.acknowledge()
                        continue
                    if isinstance(command, Unusable) or command.command not in _AT_ONCE:
                        await self._line.put((delivery, command))
                        continue
                    said = delivery.payload or b""
                    if said in self._in_hand:  # brought again: one answer is for both
                        if delivery.packet_id:  # the broker waits for its acknowledgement, and brings only so many
                            self._in_hand[said].append(delivery)
                        continue
                    await room.acquire()
                    self._in_hand[said] = [delivery]
                    order = tasks.create_task(self._at_once(said, command), name="command")
                    order.add_done_callback(lambda _: room.release())

    async def _understood(self, delivery: Delivery) -> CommandMessage | Unusable:
        """The command in a delivery, or why it is not even considered; a flood of forged ones is not on the loop."""
        try:
            command = await asyncio.to_thread(decode_command, delivery.payload, self._gateway_id, self._trusted)
        except Unusable as why:  # as raised, it would keep the message for as long as it is kept itself
            return Unusable(why.code, str(why), why.command_id, payload_sha256=delivery.digest)
        if delivery.retained:
            words = "a command is never retained"
            return Unusable(CommandRefusal.RETAINED, words, command.command_id, command.expires_at)
        if self._trusted and command.expires_at is None and command.command in _ENDS:
            if command.issued_at is None:
                words = f"expiresAt: a signed {command.command.value} needs an end"
                return Unusable(CommandRefusal.SCHEMA, words, command.command_id)
            command = command.model_copy(update={"expires_at": command.issued_at + ISSUED_FOR_MS})
        if command.expires_at is not None and command.expires_at <= self._vault.now():
            words = "the command came after its expiresAt"
            return Unusable(CommandRefusal.EXPIRED, words, command.command_id, command.expires_at)
        return command

    def _only_counted(self, delivery: Delivery, why: Unusable) -> bool:
        """Whether nobody is told of a refusal by itself: of the same bytes once more, or of one among very many."""
        now = self._vault.now()
        if why.command_id is None and self._floods.counted(delivery.digest, now):
            return True
        if self._floods.overflowing:
            self._floods.overflow(why.code, Unusable(why.code, BEYOND), now)
            return True
        self._floods.spend()
        return False

    async def _tell_floods(self) -> None:
        while True:
            await asyncio.sleep(TELL_EVERY_S)
            await self.tell_floods()

    async def tell_floods(self, *, leaving: bool = False) -> None:
        """Reply to the floods of refusals that have ended; before leaving to all of them, if the disk lets us."""
        floods = self._floods.ended(None if leaving else self._vault.now())
        if replies := [self._refusal(None, why).model_copy(update={"repeated": count}) for why, count in floods]:

            async def work(transaction: Transaction) -> None:
                for reply in replies:
                    await outbox.reply(transaction, reply.payload())

            await (self._vault.attempt if leaving else self._vault.commit)(work)

    async def _at_once(self, said: bytes, command: CommandMessage) -> None:
        reply = await (self._ordered(command) if command.command in ACTIONS else self._committed(command))
        _log(reply)
        for delivery in self._in_hand.pop(said):
            delivery.acknowledge()

    async def _ordered(self, command: CommandMessage) -> ReplyMessage:
        while True:
            try:
                return await self._orders.carry_out(command)
            except Unusable as why:
                return await self._committed(Unusable(why.code, str(why), command.command_id, command.expires_at))
            except StorageFault as fault:  # nothing was decided; in the end the command is too old
                log.debug("order.postponed", command_id=command.command_id, error=str(fault))
                await asyncio.sleep(self._vault.pause())

    async def _in_turn(self, tasks: asyncio.TaskGroup) -> None:
        """One after the other, each when all that came before it is done: a `confirm` follows its batch."""
        while True:
            delivery, command = await self._line.get()
            if await delivery.turn():
                if isinstance(command, CommandMessage) and (mobile := self._to_erase(command)) is not None:
                    finish = await self._begun(command, mobile)  # the files take longer, and hold up nobody
                    tasks.create_task(self._erased(delivery, command, finish), name="erasure")
                    continue
                _log(await self._answer(command))
                if isinstance(command, Unusable) and command.command_id is None:
                    self._floods.answered(delivery.digest, command, self._vault.now())
                delivery.acknowledge()

    def _to_erase(self, command: CommandMessage) -> int | None:
        """Whom a command wants to be forgotten; None where it is another command, or names nobody."""
        named = command.command is Command.ERASE and command.mobile is not None
        return usable(self._numbers.read(command.mobile or "")) if named else None

    async def _begun(self, command: CommandMessage, mobile: int) -> Callable[[], Awaitable[ErasureReceipt]]:
        """What does the rest of an erasure; nothing is begun where the same was carried out before.

        Whoever has kept the command could take somebody off the lists who was invited meanwhile. Of two people under
        one `commandId` both are erased.
        """

        async def carried_out(transaction: Transaction) -> bool:
            known = await orders.carried_out(transaction, command.command_id)
            return known and await forgotten.was_erased(transaction, mobile)

        again = await self._vault.commit(carried_out)
        return _nothing_left if again else await self._erasure.begin(mobile)

    async def _erased(
        self, delivery: Delivery, command: CommandMessage, finish: Callable[[], Awaitable[ErasureReceipt]]
    ) -> None:
        """The command is known again when nothing is left to do: one that was cut off, or failed, counts as new."""
        receipt = await finish()
        outcome, error = Reply.DONE, None
        if receipt.left:
            words = f"the number is still in {', '.join(receipt.left)}: not this gateway's files"
            outcome, error = Reply.FAILED, ReplyError(code=CommandRefusal.RESIDUE, message=words)
        reply = self._reply(command.command_id, outcome, error, {"erased": dict(receipt.counts)})

        async def work(transaction: Transaction) -> None:
            if outcome is Reply.DONE:
                await orders.remember(transaction, command.command_id, self._until(command))
            await outbox.reply(transaction, reply.payload())

        await self._vault.commit(work)
        _log(reply)
        delivery.acknowledge()

    async def _answer(self, command: CommandMessage | Unusable) -> ReplyMessage:
        if isinstance(command, CommandMessage) and command.command is Command.RESYNC:
            return await self._resynced(command)
        return await self._committed(command)

    async def _resynced(self, command: CommandMessage) -> ReplyMessage:
        """A whole list is read before the transaction: nobody who has something to store waits for it."""
        try:
            work = await self._resync.prepare(command)
        except Unusable as why:
            return await self._committed(Unusable(why.code, str(why), command.command_id))

        async def answered(transaction: Transaction) -> ReplyMessage:
            reply = self._reply(command.command_id, Reply.DONE, None, await work(transaction))
            await outbox.reply(transaction, reply.payload())
            return reply

        return await self._vault.commit(answered)

    async def _committed(self, command: CommandMessage | Unusable) -> ReplyMessage:
        async def work(transaction: Transaction) -> ReplyMessage:
            reply = await self._answered(transaction, command)
            await outbox.reply(transaction, reply.payload())
            return reply

        return await self._vault.commit(work)

    async def _answered(self, transaction: Transaction, command: CommandMessage | Unusable) -> ReplyMessage:
        if isinstance(command, Unusable):
            if command.command_id is not None and command.until is not None:
                await orders.remember(transaction, command.command_id, command.until)
            return self._refusal(command.command_id, command)
        try:
            result = await self._done(transaction, command)
        except Unusable as why:
            return self._refusal(command.command_id, why)
        return self._reply(command.command_id, Reply.DONE, None, result)

    async def _done(self, transaction: Transaction, command: CommandMessage) -> dict[str, Any]:
        match command.command:
            case Command.CONFIRM:
                return await self._confirm(transaction, command)
            case Command.ISSUE_CODE | Command.REVOKE_CODE | Command.CODES:
                if command.command in _ONCE:
                    await self._only_once(transaction, command)
                return await self._codebook.answer(transaction, command)
            case Command.ERASE:
                raise Unusable(CommandRefusal.SCHEMA, "mobile: erase names somebody by a number")
        if command.epoch is not None and command.epoch != (epoch := position(self._vault.reader).epoch):
            raise Unusable(CommandRefusal.UNKNOWN_EPOCH, f"this store's epoch is {epoch}")
        if command.command is Command.ACKNOWLEDGE:
            return await self._acknowledge(transaction, command)
        return await self._report(transaction, command)

    async def _only_once(self, transaction: Transaction, command: CommandMessage) -> None:
        expires_at = self._until(command)
        if orders.seen(self._vault.reader, command.command_id, expires_at):
            raise Unusable(CommandRefusal.REPEATED, SEEN)
        await orders.remember(transaction, command.command_id, expires_at)

    def _until(self, command: CommandMessage) -> int:
        """How long a command is known again."""
        return command.expires_at or self._vault.now() + REMEMBER_MS

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
        if command.through_event is not None:
            await events.acknowledged(transaction, command.through_event)
        through = {"throughReport": command.through_report, "throughEvent": command.through_event}
        return {name: number for name, number in through.items() if number is not None}

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
            first, last = command.from_event, command.through_event
            return {"events": await events.ask_again(transaction, first, first if last is None else last)}
        raise Unusable(CommandRefusal.SCHEMA, "report names a batchId, fromReport or fromEvent")

    def _refusal(self, command_id: str | None, why: Unusable) -> ReplyMessage:
        reply = self._reply(command_id, Reply.REFUSED, ReplyError(code=why.code, message=str(why)), {})
        return reply.model_copy(update={"payload_sha256": why.payload_sha256})

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


async def _nothing_left() -> ErasureReceipt:
    """What is said of somebody who was erased before."""
    return ErasureReceipt()


def _log(reply: ReplyMessage) -> None:
    code = reply.error.code if reply.error else None
    log.info("command.answered", command_id=reply.command_id, outcome=reply.outcome.value, code=code)
