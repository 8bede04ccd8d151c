"""After a crash: openings that were under way become events, and never openings again."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from agent.intents import Intent
from protocol.commands import ReplyError, ReplyMessage
from protocol.events import Event
from protocol.vocabulary import CommandRefusal, Reply
from storage import codes, events, forgotten, orders, outbox
from storage.database import Reader, Transaction

_WORDS: Final = "the gateway stopped before it heard whether the gate had moved"


def unrecorded(reader: Reader, intents: Sequence[Intent]) -> list[Intent]:
    """The intents of which the store has no event. Raises StorageFault."""
    recorded = events.recorded_intents(reader, [intent.number for intent in intents])
    return [intent for intent in intents if intent.number not in recorded]


async def recover(transaction: Transaction, intents: Sequence[Intent], gateway_id: str, now: int) -> None:
    """Record what was under way: whether a gate moved is not known, but that it was to move is.

    Done again, it changes nothing: the disk may have failed after all of it was durable.
    """
    stored = await events.stored_intents(transaction, [intent.number for intent in intents])
    left = [intent for intent in intents if intent.number not in stored]
    for intent in left:
        if intent.code is not None and intent.direction is not None:
            await codes.use(transaction, intent.code, intent.direction, intent.at)
        if intent.command_id is not None:
            await orders.remember(transaction, intent.command_id, intent.expires_at)
            await outbox.reply(transaction, _reply(intent.command_id, gateway_id, now))
    told = [await _without_erased(transaction, intent) for intent in left]
    await events.record(transaction, [_event(intent) for intent in told])


async def _without_erased(transaction: Transaction, intent: Intent) -> Intent:
    """The gateway may have stopped while it was forgetting somebody."""
    if intent.mobile is None or not await forgotten.is_erased(transaction, intent.mobile):
        return intent
    return replace(intent, mobile=None, name=None, note=None)


def _event(intent: Intent) -> Event:
    return Event(
        at=intent.at,
        device_id=intent.device_id,
        request=intent.request,
        mobile=intent.mobile,
        name=intent.name,
        channel=intent.channel,
        action=intent.action,
        reason=None,
        note=intent.note,
        clock=intent.clock,
        opened=intent.opens if intent.opens != intent.device_id else None,
        actuated=None,
        error=_WORDS,
        intent=intent.number,
    )


def _reply(command_id: str, gateway_id: str, now: int) -> bytes:
    error = ReplyError(code=CommandRefusal.INTERRUPTED, message=_WORDS)
    return ReplyMessage(
        command_id=command_id, gateway_id=gateway_id, outcome=Reply.FAILED, at=now, error=error
    ).payload()
