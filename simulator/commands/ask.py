"""`fluss-simulator cloud report`, `confirm` and `acknowledge`: one command, its answer, and what it sets in motion."""

from typing import TYPE_CHECKING, Unpack

import click
from rich.console import Console

from protocol.vocabulary import Command, Verdict
from simulator.commands import Where, target_options, timeout_option
from simulator.commands.asking import ask, ended
from simulator.inquiry import Inquiry
from simulator.messages import Receipt, Reply, State, Statuses
from simulator.terminal import Column, Fit, coloured, make_console, print_table

if TYPE_CHECKING:
    from rich.text import Text


@click.command()
@click.option("--batch", metavar="ID", help="Everything about one batch.")
@click.option("--from", "first", type=int, metavar="N", help="From this report on …")
@click.option("--through", "last", type=int, metavar="N", help="… through this one. [default: that one alone]")
@click.option("--epoch", metavar="NAME", help="The epoch those numbers are of. [default: the gateway's present one]")
@timeout_option
@target_options
def report(
    *,
    batch: str | None,
    first: int | None,
    last: int | None,
    epoch: str | None,
    timeout_s: float,
    **options: Unpack[Where],
) -> int:
    """Have reports sent again, and show them."""
    if (batch is None) == (first is None):
        raise click.UsageError("say which: --batch ID, or --from N with --through N")

    def fields(state: State) -> dict[str, str | int]:
        if first is None:
            return {"batchId": batch or ""}
        return {"epoch": epoch or state.epoch, "fromReport": first, "throughReport": first if last is None else last}

    def is_asked_for(each: Receipt | Statuses) -> bool:
        if batch is not None:
            return each.batch_id == batch
        return first is not None and first <= each.report_id <= (first if last is None else last)

    def awaits(inquiry: Inquiry, reply: Reply) -> bool:
        return len({each.report_id for each in inquiry.reports if is_asked_for(each)}) < _number(reply, "reports")

    inquiry, reply = ask(options, Command.REPORT, fields, timeout_s, awaits)
    out, say = make_console(), make_console(stderr=True)
    found = {each.report_id: each for each in inquiry.reports if is_asked_for(each)}
    _print_reports(out, [found[number] for number in sorted(found)])
    return ended(say, reply)


@click.command()
@click.argument("batch")
@timeout_option
@target_options
def confirm(*, batch: str, timeout_s: float, **options: Unpack[Where]) -> int:
    """Carry out the removals that a replace holds."""

    def awaits(inquiry: Inquiry, _: Reply) -> bool:
        return not any(
            isinstance(each, Receipt) and each.batch_id == batch and each.outcome == Verdict.COMPLETE
            for each in inquiry.reports
        )

    inquiry, reply = ask(options, Command.CONFIRM, lambda _: {"batchId": batch}, timeout_s, awaits)
    _print_reports(make_console(), inquiry.reports)
    return ended(make_console(stderr=True), reply)


@click.command()
@click.option("--epoch", required=True, metavar="NAME", help="The epoch the number is of.")
@click.option("--through", "last", type=int, required=True, metavar="N", help="The last report that is stored here.")
@timeout_option
@target_options
def acknowledge(*, epoch: str, last: int, timeout_s: float, **options: Unpack[Where]) -> int:
    """Tell the gateway which reports it need not keep."""
    fields: dict[str, str | int] = {"epoch": epoch, "throughReport": last}
    _, reply = ask(options, Command.ACKNOWLEDGE, lambda _: fields, timeout_s)
    return ended(make_console(stderr=True), reply)


def _number(reply: Reply, name: str) -> int:
    value = reply.result.get(name)
    return value if isinstance(value, int) else 0


def _print_reports(out: Console, reports: list[Receipt | Statuses]) -> None:
    headings = ("Report", "Part", "Item", "Number", "Device", "Outcome", "Status")
    rows: list[list[str | Text]] = []
    for each in reports:
        place = [str(each.report_id), "" if each.part is None else str(each.part)]
        if isinstance(each, Receipt):
            counts = ", ".join(f"{count} {outcome}" for outcome, count in each.counts.items())
            words = counts or (each.error.message or each.error.code if each.error else "")
            rows.append([*place, "", "", "", coloured(each.outcome), "", words])
            continue
        if not each.results:
            rows.append([*place, "", "", "", "", "", "the end of a list"])
        for result in each.results:
            item = "" if result.item is None else str(result.item)
            status, reason = coloured(result.status or ""), result.error.message if result.error else result.reason
            person = [item, result.mobile or "", result.device_id]
            rows.append([*place, *person, coloured(result.outcome), status, reason or ""])
    if rows:
        print_table(out, [*map(Column, headings), Column("Reason", Fit.FOLDED)], rows)
