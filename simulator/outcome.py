"""What became of everybody: row by row, and in one sentence."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from rich.console import Console
from rich.text import Text

from protocol.vocabulary import Caution, Outcome
from simulator.messages import Complaint, Result
from simulator.roster import Entry, Roster
from simulator.terminal import Column, Fit, coloured, print_lines, print_table
from simulator.tracking import Tracker

UNKNOWN = "unknown"
"""The outcome of a person of whom nothing came back."""

_WITHHELD = "ruined by a spreadsheet, not sent"

LONG = 100
"""Lines of a table that a person still reads."""


@dataclass(frozen=True, slots=True)
class Line:
    """What became of one row of the list on one device."""

    entry: Entry
    device_id: str
    mobile: str
    outcome: str
    status: str | None
    code: str | None
    reason: str

    @property
    def troubled(self) -> bool:
        """Somebody has to look at it: not on the list as wanted, or with a caution."""
        return self.outcome in {Outcome.REJECTED, Outcome.SUPERSEDED, UNKNOWN} or bool(self.reason)


def outcome_lines(roster: Roster, tracker: Tracker) -> list[Line]:
    """What became of every row on every device, in the order of the list; withheld rows count as rejected."""
    known: dict[int, list[Line]] = {}
    sent = roster.sent
    for place, device_id, result in tracker.results():
        known.setdefault(id(sent[place]), []).append(_line(sent[place], device_id, result))
    return [
        line
        for entry in roster.entries
        for line in known.get(id(entry)) or [_withheld(entry, device) for device in tracker.batch.device_ids]
    ]


def _line(entry: Entry, device_id: str, result: Result | Complaint | None) -> Line:
    e164 = entry.contact.e164
    mobile = entry.contact.mobile if e164 is None else f"+{e164}"
    if result is None:
        return Line(entry, device_id, mobile, UNKNOWN, None, None, "nothing came back")
    if isinstance(result, Complaint):
        return Line(entry, device_id, mobile, Outcome.REJECTED, None, result.code, f"whole part: {_words(result)}")
    complaint = result.error or next(iter(result.warnings), None)
    reason = "" if complaint is None else _words(complaint)
    if (
        complaint is not None
    ):  # our own words name the row and what was written, the gateway's the item and what was sent
        if entry.problem is not None and complaint.code == entry.problem.fault:
            reason = entry.problem.message
        elif complaint.code == Caution.UNASSIGNED_RANGE:
            reason = entry.contact.warning or reason
    if result.outcome == Outcome.SUPERSEDED:
        reason = reason or "a newer list has already decided about this person"
    code = None if complaint is None else complaint.code
    return Line(entry, device_id, result.mobile or mobile, result.outcome, result.status, code, reason)


def _withheld(entry: Entry, device_id: str) -> Line:
    assert entry.problem is not None, "a row without a problem is sent"
    reason = f"{entry.problem.message} (not sent)"
    return Line(entry, device_id, entry.contact.mobile, Outcome.REJECTED, None, entry.problem.fault, reason)


def _words(complaint: Complaint) -> str:
    return complaint.message or complaint.code.replace("_", " ")


def print_outcome(
    console: Console, roster: Roster, lines: Sequence[Line], devices: Mapping[str, str], *, whole: bool
) -> None:
    """The table for a person: of a long list those in trouble alone, unless `whole`.

    Where all devices agree about somebody, they have one line. `devices` are the names by id.
    """
    rows = list(_agreeing(lines, devices))
    abridged = len(rows) > LONG and not whole
    if abridged:
        rows = [row for row in rows if row[0].troubled]
    by_device = any(where for _, where in rows)
    columns = [
        Column("Row", justify="right"),
        Column("Name", Fit.CUT, most=30),
        Column("Number", Fit.CUT, most=20),
        *([Column("Device", Fit.CUT, most=20)] if by_device else []),
        Column("Outcome"),
        Column("Status"),
        Column("Reason", Fit.FOLDED),
    ]
    if rows:
        cells = [_cells(roster, line, where or "all", by_device=by_device) for line, where in rows]
        for (line, _), row in zip(rows, cells, strict=True):
            if not line.entry.sent:
                row[-1] = _WITHHELD  # why at length, the preview has said
        print_table(console, columns, cells)
    if abridged:
        print_lines(console, Text("Nobody else needs a look; --all shows everybody.", style="dim"))


def _agreeing(lines: Sequence[Line], devices: Mapping[str, str]) -> Iterator[tuple[Line, str]]:
    """A line for each person, with a device only where the devices do not agree."""
    for _, group in groupby(lines, key=lambda line: id(line.entry)):
        of_person = list(group)
        if len({(line.outcome, line.status, line.reason) for line in of_person}) == 1:
            yield of_person[0], ""
        else:
            for line in of_person:
                yield line, devices.get(line.device_id, line.device_id)


def _cells(roster: Roster, line: Line, where: str, *, by_device: bool) -> list[str | Text]:
    return [
        roster.short_place(line.entry),
        line.entry.contact.name,
        line.mobile,
        *([where] if by_device else []),
        coloured(line.outcome),
        coloured(line.status or ""),
        line.reason,
    ]


def print_results(console: Console, roster: Roster, lines: Sequence[Line]) -> None:
    """The same for a pipe: everybody on every device, the columns always the same."""
    headings = ("Row", "Name", "Number", "Device", "Outcome", "Status", "Reason")
    rows = [_cells(roster, line, line.device_id, by_device=True) for line in lines]
    print_table(console, [Column(heading) for heading in headings], rows)


def summary(lines: Iterable[Line], devices: int) -> Text:
    """How many of each outcome and status, in one sentence."""
    lines = list(lines)
    outcomes = Counter(line.outcome for line in lines)
    standing = {(line.device_id, line.mobile): line.status for line in lines if line.status}
    statuses = Counter(standing.values())
    people = len({id(line.entry) for line in lines})
    where = "" if devices == 1 else f" on {devices} devices"
    text = Text(f"{people:,} {'row' if people == 1 else 'rows'}{where}: ")
    text += Text(", ").join(_counted(outcomes))
    if statuses:
        text += Text("; now ") + Text(", ").join(_counted(statuses))
    return text


def _counted(counts: Counter[str]) -> Iterator[Text]:
    for word, count in counts.most_common():
        styled = coloured(word)
        styled.plain = f"{count:,} {word}"
        yield styled


def document(tracker: Tracker, lines: Sequence[Line]) -> dict[str, Any]:
    """All of it for a program, with the wire's names."""
    batch = tracker.batch
    return {
        "gatewayId": batch.gateway_id,
        "batchId": batch.batch_id,
        "revision": batch.revision,
        "mode": batch.mode,
        "deviceIds": batch.device_ids,
        "complete": tracker.done,
        "held": tracker.held,
        "unknown": list(tracker.unknown()),
        "outcomes": Counter(line.outcome for line in lines),
        "results": [
            {
                "source": line.entry.source,
                "row": line.entry.contact.row,
                "userName": line.entry.contact.name,
                "mobile": line.mobile,
                "deviceId": line.device_id,
                "sent": line.entry.sent,
                "outcome": line.outcome,
                "status": line.status,
                "code": line.code,
                "reason": line.reason or None,
            }
            for line in lines
        ],
        "removed": [{"deviceId": device_id, "mobile": mobile} for device_id, mobile in tracker.removed],
    }
