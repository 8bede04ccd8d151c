"""One command to a gateway from the command line, and how its answer ends there."""

import asyncio
from collections.abc import Callable, Mapping

import orjson
from rich.console import Console
from rich.text import Text

from protocol.vocabulary import Command
from protocol.vocabulary import Reply as Answer
from simulator import exits
from simulator.commands import Where, find_target
from simulator.delivery import command
from simulator.inquiry import Inquiry
from simulator.keyring import CURE, SIGNATURE_REFUSALS
from simulator.messages import Reply, State
from simulator.terminal import print_lines

Fields = Mapping[str, str | int | None]
"""What a command says beside its name; None is left out."""


def ask(
    options: Where,
    name: Command,
    fields: Callable[[State], Fields],
    timeout_s: float,
    awaits: Callable[[Inquiry, Reply], bool] = lambda _, __: False,
) -> tuple[Inquiry, Reply]:
    """Ask, and wait for the answer and what it promises; raises what Inquiry raises, and click.UsageError."""
    target = find_target(options)

    async def asking() -> tuple[Inquiry, Reply]:
        def compose(state: State) -> bytes:
            return command(target.gateway_id, name, **fields(state))

        inquiry = Inquiry(target.address, target.gateway_id, compose, timeout_s=timeout_s)
        return inquiry, await inquiry.run(awaits)

    return asyncio.run(asking())


def ended(say: Console, reply: Reply) -> int:
    """Say how it ended; the exit code for that."""
    if reply.outcome != Answer.DONE:
        why = f": {reply.error.message or reply.error.code}" if reply.error else ""
        did = "refused" if reply.outcome == Answer.REFUSED else "failed"
        cure = f"; {CURE}" if reply.error and reply.error.code in SIGNATURE_REFUSALS else ""
        print_lines(say, Text(f"The gateway {did}{why}{cure}", style="red"))
        return exits.REFUSED
    print_lines(say, f"Done. {orjson.dumps(reply.result).decode() if reply.result else ''}")
    return exits.OK
