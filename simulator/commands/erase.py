"""`fluss-simulator cloud erase`: have a gateway forget one person, and forget them here too."""

import sys
import time
from pathlib import Path
from typing import Final, Unpack

import click
from rich.text import Text

from protocol.mobile import Numbers, Unassigned, Unusable, e164
from protocol.vocabulary import Command, CommandRefusal
from protocol.vocabulary import Reply as Answer
from simulator import exits
from simulator.commands import (
    Where,
    find_target,
    kept_truth,
    region_option,
    target_options,
    timeout_option,
)
from simulator.commands.asking import ask, ended
from simulator.inquiry import Unanswered
from simulator.messages import Reply
from simulator.terminal import make_console, print_lines
from simulator.trouble import Unreachable

_GOOD_FOR_S: Final = 3600
"""Longer than a gateway takes; sent again after that, it would ask for somebody who may have been invited anew."""

_COUNTED: Final = {
    "users": ("entry in its lists", "entries in its lists"),
    "codes": ("one-time code", "one-time codes"),
    "events": ("event", "events"),
    "reports": ("report", "reports"),
}


@click.command()
@click.argument("mobile")
@region_option
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option(
    "--truth",
    "truth_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Have them forgotten in this file too, as `cloud invite --truth` keeps it: else a sync invites them again.",
)
@timeout_option
@target_options
def erase(
    *, mobile: str, region: str | None, yes: bool, truth_file: Path | None, timeout_s: float, **options: Unpack[Where]
) -> int:
    """Have the gateway forget somebody for good. On every list, in its log, in every file."""
    if not yes and not sys.stdin.isatty():
        raise click.UsageError("there is no terminal to ask at: add --yes to erase without a question")
    target = find_target(options)
    number = _number(mobile, Numbers(region or target.region))
    if not yes and not click.confirm(f"Erase {number} on {target.gateway_id}, for good?", err=True):
        return exits.REFUSED
    say = make_console(stderr=True)
    with kept_truth(truth_file, target) as truth:
        if truth is not None:
            # First here: whatever breaks then, no `sync` invites them again, and the next one takes them off the lists.
            truth.forget(number)
            truth.save()
    expires_at = time.time_ns() // 1_000_000 + _GOOD_FOR_S * 1000
    try:
        _, reply = ask(options, Command.ERASE, lambda _: {"mobile": number, "expiresAt": expires_at}, timeout_s)
    except (Unanswered, Unreachable):
        here = f" ({truth_file.name} has)" if truth_file else ""
        words = f"{target.gateway_id} has not forgotten them yet{here}: erase again when it answers."
        print_lines(say, Text(words, style="yellow"))
        raise
    if reply.outcome == Answer.DONE:
        print_lines(say, Text(_receipt(reply), style="green"))
        return exits.OK
    code = ended(say, reply)
    if reply.error and reply.error.code == CommandRefusal.RESIDUE:
        print_lines(say, "Everything else is gone. Delete these files, then erase again.")
    return code


def _number(mobile: str, numbers: Numbers) -> str:
    match reading := numbers.read(mobile):
        case Unusable():
            raise click.UsageError(reading.message)
        case Unassigned():
            return e164(reading.e164)
        case _:
            return e164(reading)


def _receipt(reply: Reply) -> str:
    """What went, in words."""
    counts = reply.result.get("erased")
    counts = counts if isinstance(counts, dict) else {}
    said = [f"{counts[name]:,} {words[counts[name] != 1]}" for name, words in _COUNTED.items() if counts.get(name)]
    return f"Erased: {', '.join(said)}. No file holds them." if said else "Erased. Nothing was known of them."
