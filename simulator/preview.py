"""What was understood of a list, before anybody is asked to import it."""

from collections import Counter

from rich.console import Console
from rich.text import Text

from simulator.contacts import Contacts
from simulator.roster import Entry, Roster
from simulator.terminal import Column, Fit, print_lines, print_table, shown

SHOWN = 20
"""Rows of a long list; those with a problem come besides, whatever their number."""

_ENCODINGS = {"utf-8": "UTF-8", "utf-16-le": "UTF-16", "utf-16-be": "UTF-16", "cp1252": "Windows-1252"}
_DELIMITERS = {"\t": "tabs", ";": "semicolons", ",": "commas"}


def print_preview(console: Console, lists: tuple[Contacts, ...], roster: Roster, *, whole: bool = False) -> None:
    """The files, the first rows (`whole`: all of them) as understood, every doubtful row, and how many there are."""
    for contacts in lists:
        print_lines(console, Text(_reading(contacts), style="dim"))
    console.print()
    fine = [entry for entry in roster.entries if entry.problem is None]
    some = fine if whole or len(fine) <= SHOWN else fine[:SHOWN]
    columns = [
        Column("Row", justify="right"),
        Column("Name", Fit.CUT, most=30),
        Column("Written", Fit.CUT, style="dim", most=30),
        Column("Number"),
        Column("Notes", Fit.CUT, style="dim"),
    ]
    print_table(console, columns, [_row(roster, entry) for entry in some])
    if len(some) < len(fine):
        print_lines(console, Text(f"… and {len(fine) - len(some):,} more like these", style="dim"))
    _print_doubts(console, roster)
    console.print()
    print_lines(console, _summary(roster))


def _reading(contacts: Contacts) -> str:
    encoding = _ENCODINGS.get(contacts.encoding, contacts.encoding)
    delimiter = _DELIMITERS.get(contacts.delimiter, repr(contacts.delimiter))
    header = "no header" if contacts.header is None else "with a header"
    roles = ", ".join(role if role != "-" else "(not used)" for role in contacts.columns)
    return f"{shown(contacts.source)}: {encoding}, {delimiter}, {header}; columns: {roles}"


def _row(roster: Roster, entry: Entry) -> tuple[str, ...]:
    contact = entry.contact
    return roster.short_place(entry), contact.name, contact.mobile, f"+{contact.e164}", contact.notes


def _print_doubts(console: Console, roster: Roster) -> None:
    cautions = [entry for entry in roster.entries if entry.problem is None and entry.contact.warning]
    problems = [entry for entry in roster.entries if entry.problem is not None]
    for heading, style, entries in (("Worth a look", "yellow", cautions), ("Problems", "red", problems)):
        if entries:
            console.print()
            print_lines(console, Text(heading, style=style))
            columns = [Column(justify="right"), Column(fit=Fit.CUT, most=30), Column(fit=Fit.FOLDED)]
            print_table(console, columns, [_doubt(roster, entry) for entry in entries])


def _doubt(roster: Roster, entry: Entry) -> tuple[str, str, str]:
    words = entry.contact.warning or "" if entry.problem is None else entry.problem.message
    return roster.place(entry), entry.contact.name or "(no name)", words if entry.sent else f"{words} (not sent)"


def _summary(roster: Roster) -> Text:
    kinds = Counter(_kind(entry) for entry in roster.entries)
    text = Text(f"{len(roster.entries):,} rows: ")
    parts = [
        (f"{kinds['understood']:,} understood", "green"),
        (f"{kinds['faulty']:,} the gateway will have to refuse", "red"),
        (f"{kinds['ruined']:,} ruined by a spreadsheet and not sent", "red"),
    ]
    said = [Text(words, style=style) for words, style in parts if not words.startswith("0 ")]
    return text + Text(", ").join(said)


def _kind(entry: Entry) -> str:
    if entry.problem is None:
        return "understood"
    return "faulty" if entry.sent else "ruined"
