"""`fluss-simulator cloud sync`: bring a gateway and what is wanted of it together, whatever either side has lost."""

import asyncio
import secrets
import sys
from pathlib import Path
from random import Random
from typing import Any, Unpack

import click
import orjson
from rich.console import Console
from rich.text import Text

from simulator import exits
from simulator.audit import Found
from simulator.commands import Target, Where, find_target, format_option, target_options, timeout_option
from simulator.reconciling import Reconciliation, demand_few_removals
from simulator.terminal import Column, Fit, make_console, print_lines, print_table
from simulator.truth import Truth


@click.command()
@click.option(
    "--truth",
    "file",
    type=click.Path(path_type=Path),
    required=True,
    metavar="FILE",
    help="What is wanted, as `cloud invite --truth` and `cloud revoke --truth` keep it.",
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option(
    "--remove-many", is_flag=True, help="Also where more than half of a list would be taken off, or a removal is held."
)
@format_option
@timeout_option
@target_options
def sync(*, file: Path, yes: bool, remove_many: bool, form: str, timeout_s: float, **options: Unpack[Where]) -> int:
    """Bring a gateway's lists and what is wanted together. Only what differs is sent."""
    if not yes and not sys.stdin.isatty():
        raise click.UsageError("there is no terminal to ask at: add --yes to repair without a question")
    target = find_target(options)
    with Truth.kept(file, target.gateway_id, begin=False) as truth:
        return asyncio.run(_sync(target, truth, form, timeout_s, yes=yes, remove_many=remove_many))


async def _sync(target: Target, truth: Truth, form: str, timeout_s: float, *, yes: bool, remove_many: bool) -> int:
    out, say = make_console(), make_console(stderr=True)
    work = Reconciliation(
        target.address,
        truth,
        timeout_s=timeout_s,
        notice=lambda words: print_lines(say, Text(words, style="yellow")),
        rng=Random(secrets.randbits(64)),  # noqa: S311 -- jitter, not secrets
    )
    epoch = truth.heard.epoch
    first = await work.look()
    _print_life(say, truth, work, first, epoch)
    if form != "json":
        _print_differences(out, truth, first)
    if first.differences and not remove_many:
        demand_few_removals(first, truth)
    people = sum(each.people for each in first.differences.values())
    if people and not yes and not click.confirm(f"Put {people:,} right?", err=True):
        return exits.REFUSED
    last = await work.finish(first, remove_many=remove_many)
    if form == "json":
        click.echo(orjson.dumps(_document(work, truth, first, last), option=orjson.OPT_INDENT_2).decode())
    _print_end(say, work, last)
    return exits.OK if last.agreed else exits.REFUSED


def _print_life(say: Console, truth: Truth, work: Reconciliation, found: Found, epoch: str | None) -> None:
    """What a person should know of the gateway beside its lists."""
    if work.new_store:
        words = (
            f"{truth.gateway_id} has another store than before (epoch {found.state.epoch}, was {epoch}): it was made"
            " anew, or an old one was put back. What it had to say and had not said is lost."
        )
        print_lines(say, Text(words, style="yellow"))
    if work.recovered:
        print_lines(say, f"{_counted(work.recovered, 'report')} that did not come before came now.")
    if work.lost:
        words = f"{_counted(work.lost, 'report')} never came, and the gateway does not have them any more."
        print_lines(say, Text(words, style="yellow"))
    for device_id in found.unknown:
        words = f"{truth.gateway_id} has no device {device_id}, where {len(truth.people(device_id)):,} are wanted."
        print_lines(say, Text(words, style="red"))


def _print_differences(out: Console, truth: Truth, found: Found) -> None:
    headings = ("Wanted", "Listed", "Buckets", "Missing", "Other", "Unwanted")
    columns = [Column("Device", Fit.CUT), *(Column(heading, justify="right") for heading in headings)]
    rows = []
    for device in found.state.devices:
        if device.device_id not in truth.devices:
            continue
        there = found.differences.get(device.device_id)
        wanted, listed = len(truth.people(device.device_id)), sum(device.users.values())
        differing = (len(there.missing), len(there.other), len(there.unwanted)) if there else (0, 0, 0)
        numbers = (wanted, listed, found.buckets.get(device.device_id, 0), *differing)
        rows.append([device.name, *(f"{number:,}" for number in numbers)])
    print_table(out, columns, rows)


def _print_end(say: Console, work: Reconciliation, found: Found) -> None:
    repaired, traffic = work.repaired, work.traffic
    if repaired.batches:
        where = "1 batch" if repaired.batches == 1 else f"{repaired.batches} batches"
        print_lines(
            say,
            f"Sent {_counted(repaired.people, 'item')} in {where}: {_size(repaired.bytes)}. Everything that is wanted"
            f" would be {_size(work.whole_list_bytes())}.",
        )
    print_lines(say, f"Questions took {_size(traffic.sent)}, answers {_size(traffic.heard)}.")
    for mobile, device_id, why in repaired.refused:
        print_lines(say, Text(f"Refused: {mobile} at {device_id}: {why}", style="red"))
    for words in repaired.unknown:
        print_lines(say, Text(f"Not known: {words}", style="red"))
    if found.agreed:
        print_lines(say, Text("Both agree.", style="green"))
    else:
        left = sum(each.people for each in found.differences.values())
        words = f"They do not agree: {left:,} still differ." if left else "They do not agree."
        print_lines(say, Text(words, style="bold red"))


def _document(work: Reconciliation, truth: Truth, first: Found, last: Found) -> dict[str, Any]:
    """All of it for a program."""
    return {
        "gatewayId": truth.gateway_id,
        "agreed": last.agreed,
        "epoch": first.state.epoch,
        "newStore": work.new_store,
        "reports": {"recovered": work.recovered, "lost": work.lost},
        "devices": [
            {
                "deviceId": device_id,
                "wanted": len(truth.people(device_id)),
                "buckets": first.buckets[device_id],
                "missing": there.missing,
                "other": there.other,
                "unwanted": there.unwanted,
            }
            for device_id, there in first.differences.items()
        ],
        "unknownDevices": first.unknown,
        "batches": work.repaired.batches,
        "items": work.repaired.people,
        "refused": [
            {"mobile": mobile, "deviceId": device_id, "reason": why} for mobile, device_id, why in work.repaired.refused
        ],
        "bytes": {
            "repairs": work.repaired.bytes,
            "questions": work.traffic.sent,
            "answers": work.traffic.heard,
            "wholeList": work.whole_list_bytes(),
        },
    }


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"


def _size(count: int) -> str:
    return f"{count:,} bytes" if count < 1_000 else f"{count / 1_000:,.1f} kB"
