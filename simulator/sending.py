"""A list sent to a gateway in sight of a person: progress meanwhile, and then what became of everybody."""

import asyncio
import os
import time
from collections.abc import Mapping

import orjson
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

from protocol.codec import Limits
from simulator import exits
from simulator.address import Address
from simulator.batching import Batch, Offer, make_batch, new_batch_id, next_revision
from simulator.books import Books
from simulator.delivery import Delivery
from simulator.keyring import CURE, SIGNATURE_REFUSALS
from simulator.messages import Complaint, State
from simulator.outcome import document, outcome_lines, print_outcome, print_results, summary
from simulator.roster import Roster
from simulator.terminal import Column, print_lines, print_table
from simulator.tracking import Tracker
from simulator.truth import Truth


async def deliver(
    console: Console,
    address: Address,
    gateway_id: str,
    roster: Roster,
    offer: Offer,
    *,
    timeout_s: float,
    revoking: bool = False,
    truth: Truth | None = None,
) -> Tracker:
    """Invite (or revoke) everybody in `roster` that can be sent, with a bar on `console` while the statuses come in.

    A `truth` keeps up with it. Raises Unreachable and BatchError.
    """
    invitees = [] if revoking else [entry.invitee() for entry in roster.sent]
    revoked = [entry.invitee()["mobile"] for entry in roster.sent] if revoking else []
    books = Books.of_roster(truth, offer, roster, revoking=revoking) if truth else None

    def plan(state: State | None) -> Batch:
        now_ms = time.time_ns() // 1_000_000
        newest = books.newest(state) if books else state.revision if state else 0
        batch = make_batch(
            invitees,
            revoked,
            offer,
            gateway_id=gateway_id,
            batch_id=new_batch_id(now_ms, os.urandom(10)),
            revision=next_revision(now_ms, newest),
            issued_at=now_ms,
            limits=Limits(state.limits.max_part_bytes, state.limits.max_part_items) if state else Limits(),
            key=address.key,
        )
        if books:
            books.enter(batch)
        return batch

    with Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        disable=not console.is_terminal,
        expand=True,
    ) as bar:
        task = bar.add_task(f"{gateway_id}: results", total=len(roster.sent) * len(offer.device_ids))
        delivery = Delivery(
            address,
            gateway_id,
            plan,
            timeout_s=timeout_s,
            notice=lambda words: print_lines(console, Text(words, style="yellow")),
            progress=lambda tracker: bar.update(task, completed=tracker.known),
            overhear=books.overhear if books else lambda _: None,
        )
        try:
            tracker = await delivery.run()
        except asyncio.CancelledError:
            known = delivery.tracker.known if delivery.tracker else 0
            words = f"Interrupted: {known} results are known. What the broker has, it still keeps for the gateway."
            print_lines(console, Text(words, style="yellow"))
            raise
    if books:
        books.close(tracker)
    return tracker


def print_report(
    out: Console, tracker: Tracker, roster: Roster, devices: Mapping[str, str], *, whole: bool = False
) -> None:
    """What became of everybody: a table on a terminal, complete and plain in a pipe."""
    lines = outcome_lines(roster, tracker)
    if out.is_terminal:
        print_outcome(out, roster, lines, devices, whole=whole)
    else:
        print_results(out, roster, lines)


def print_afterword(say: Console, tracker: Tracker, roster: Roster, devices: Mapping[str, str]) -> None:
    """The result in one sentence, and what a person has to do something about."""
    say.print()
    print_lines(say, summary(outcome_lines(roster, tracker), len(devices)))
    refusals = {answer.code for _, _, answer in tracker.results() if isinstance(answer, Complaint)}
    if refusals & SIGNATURE_REFUSALS:
        print_lines(say, Text(f"Nothing was believed: {CURE}.", style="yellow"))
    if tracker.removed:
        columns = [Column("Taken off the list"), Column("Device")]
        print_table(say, columns, [(mobile or "", devices.get(where, where)) for where, mobile in tracker.removed])
    if tracker.held:
        words = (
            "Nobody was taken off the list: the gateway holds the removals, for they are many, or a row names nobody."
            f" If they are meant: fluss-simulator cloud confirm {tracker.batch.batch_id}"
        )
        print_lines(say, Text(words, style="yellow"))
    unknown = list(tracker.unknown())
    if unknown:
        print_lines(say, Text("Not known:", style="bold red"))
        print_lines(say, *[Text(f"  {words}", style="red") for words in unknown])
        print_lines(
            say,
            "The broker keeps what it has for the gateway. To see what became of everybody, import the same list again,"
            f" which changes nothing twice, or ask: fluss-simulator cloud report --batch {tracker.batch.batch_id}",
        )


def report_json(tracker: Tracker, roster: Roster) -> str:
    """The same for a program: one document."""
    return orjson.dumps(document(tracker, outcome_lines(roster, tracker)), option=orjson.OPT_INDENT_2).decode()


def exit_code(tracker: Tracker, roster: Roster) -> int:
    """How it ended: whether something is unknown, or somebody was rejected (the removals of a hold too)."""
    if not tracker.done:
        return exits.UNREACHABLE
    rejected = roster.withheld or tracker.held or tracker.outcomes["rejected"]
    return exits.REFUSED if rejected else exits.OK
