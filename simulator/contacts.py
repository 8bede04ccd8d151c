"""An office's list of people, out of a CSV file or pasted lines: every row understood, or its problem named."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from protocol.mobile import Numbers, Unassigned, Unusable
from protocol.vocabulary import Fault
from simulator.columns import assigned_columns, find_header, found_columns, header_strength
from simulator.encoding import MAX_BYTES, ContactsError, decode
from simulator.numerals import find_ruins, looks_like_number
from simulator.spreadsheet import DELIMITERS, Row, declared_delimiter, read_rows, split_lines

__all__ = ["Contact", "Contacts", "ContactsError", "Problem", "load_contacts", "read_contacts", "read_pasted"]

_PASTED = "pasted lines"
_SAMPLE = 100


@dataclass(frozen=True, slots=True)
class Contact:
    """A person as their row tells it; `mobile` as written, `e164` its digits, None where it is no number.

    `row` is the spreadsheet's own row number. `warning` says why the gateway will take the number with a caution.
    """

    row: int
    name: str
    mobile: str
    notes: str
    e164: int | None
    warning: str | None = None


@dataclass(frozen=True, slots=True)
class Problem:
    """A row that will not make a user as it stands: what the gateway is expected to answer, and the cure in words.

    A `ruined` number is one a spreadsheet is known to have changed; to send it would be to guess who is meant.
    """

    contact: Contact
    fault: Fault
    message: str
    ruined: bool = False


@dataclass(frozen=True, slots=True)
class Contacts:
    """A list as it was understood: every row with anything in it is once in `people` or once in `problems`.

    `columns` are the roles of the columns, `-` for one not used; `header` is None where the list has none.
    """

    source: str
    encoding: str
    delimiter: str
    header: tuple[str, ...] | None
    columns: tuple[str, ...]
    people: tuple[Contact, ...]
    problems: tuple[Problem, ...]

    @property
    def sendable(self) -> tuple[Contact, ...]:
        """Whom to send, in the order of the list: all but the ruined, so that the gateway judges every other row.

        What is not sent is no longer named: do not send these alone as a whole list (`replace`) while `withheld` is not
        empty, or whoever the ruined rows stand for loses access.
        """
        judged = (problem.contact for problem in self.problems if not problem.ruined)
        return tuple(sorted((*self.people, *judged), key=lambda contact: contact.row))

    @property
    def withheld(self) -> tuple[Problem, ...]:
        """The rows not to send: their numbers were ruined before they came here."""
        return tuple(problem for problem in self.problems if problem.ruined)


def load_contacts(
    path: Path, *, region: str, header: bool | None = None, columns: Sequence[str] | None = None
) -> Contacts:
    """`read_contacts` of the file at `path`; OSError where it cannot be opened or read."""
    with path.open("rb") as file:
        data = file.read(MAX_BYTES + 1)
    return read_contacts(data, source=path.name, region=region, header=header, columns=columns)


def read_contacts(
    data: bytes, *, source: str, region: str, header: bool | None = None, columns: Sequence[str] | None = None
) -> Contacts:
    """The people in the bytes of a CSV file, their numbers read as in `region`.

    `header`: whether the list has one, None to find out; `columns`: the roles of its columns, None to find out. Raises
    ContactsError for what is no list of people, ValueError for an unknown region.
    """
    text, encoding = decode(data, source)
    return _read(text, encoding, source, region=region, has_header=header, wanted=columns, pasted=False)


def read_pasted(
    pasted: str | bytes, *, region: str, header: bool | None = None, columns: Sequence[str] | None = None
) -> Contacts:
    """The people in pasted lines such as `David, 082 451 1234, notes`; later commas belong to the notes.

    `David 082 451 1234` is understood without a comma as long as the name holds no digit and nothing but the number
    follows it. Cells copied out of a spreadsheet, divided by tabs, are read too. Raises as `read_contacts` does.
    """
    if isinstance(pasted, str):
        try:
            # A terminal hands on bytes that are not UTF-8 as escapes; given back, they are read as a file's would be.
            pasted = pasted.encode(errors="surrogateescape")
        except UnicodeEncodeError:
            raise ContactsError(f"{_PASTED} hold halves of characters: copy them again") from None
    text, encoding = decode(pasted, _PASTED)
    return _read(text, encoding, _PASTED, region=region, has_header=header, wanted=columns, pasted=True)


def _read(
    text: str,
    encoding: str,
    source: str,
    *,
    region: str,
    has_header: bool | None,
    wanted: Sequence[str] | None,
    pasted: bool,
) -> Contacts:
    lines = split_lines(text)
    declared = declared_delimiter(lines)
    if declared:
        del lines[0]
    delimiter = declared or _likely_delimiter(lines, source)
    rows = list(read_rows(lines, delimiter, source))
    if not rows:
        raise ContactsError(f"{source} is empty: it needs a row for each person")
    header, rows = _split_header(rows, has_header)
    if not rows:
        raise ContactsError(f"{source} has a header and nobody below it: it needs a row for each person")
    if pasted and header is None and wanted is None:
        rows = [_with_comma(row) for row in rows]

    numbers = Numbers(region)
    columns = (
        found_columns(header, [row.cells for row in rows], numbers, source, open_ended=pasted)
        if wanted is None
        else assigned_columns(wanted, source)
    )
    texts = [columns.read(row.cells, delimiter) for row in rows]
    judged = _judge([row.number for row in rows], texts, numbers, region)
    return Contacts(
        source,
        encoding,
        delimiter,
        header,
        columns.roles,
        tuple(one for one in judged if isinstance(one, Contact)),
        tuple(one for one in judged if isinstance(one, Problem)),
    )


def _likely_delimiter(lines: Sequence[str], source: str) -> str:
    """The delimiter that shows a header, else gives most rows a number in its own cell, else divides most rows."""
    fitness: dict[str, tuple[int, int, int]] = {}
    for delimiter in DELIMITERS:
        sample: list[Row] = []
        # A fault is met again, with its place, when everything is read with the delimiter that fits best.
        with suppress(ContactsError):
            sample.extend(islice(read_rows(lines, delimiter, source), _SAMPLE))
        header = find_header(row.cells for row in sample)
        fitness[delimiter] = (
            0 if header is None else header_strength(sample[header].cells),
            sum(any(map(looks_like_number, row.cells)) for row in sample),
            sum(len(row.cells) > 1 for row in sample),
        )
    best = max(fitness, key=fitness.__getitem__)
    return best if fitness[best][2] else ","


def _split_header(rows: list[Row], has_header: bool | None) -> tuple[tuple[str, ...] | None, list[Row]]:
    """The header, None if there is none, and the rows below it; a title above a header goes with it."""
    if has_header is False:
        return None, rows
    found = find_header(row.cells for row in rows)
    if found is None:
        if has_header is None:
            return None, rows
        found = 0
    return rows[found].cells, rows[found + 1 :]


def _with_comma(row: Row) -> Row:
    """A pasted line whose first cell is a name and then a number, nothing else, with the two divided."""
    line, *rest = row.cells
    name = line[: next((place for place, letter in enumerate(line) if letter.isdecimal() or letter in "+＋"), None)]
    name = name.rstrip("(")
    mobile = line[len(name) :]
    divided = any(map(str.isalpha, name)) and not name[-1].isalpha() and looks_like_number(mobile)
    if not divided or any(map(looks_like_number, rest)):
        return row
    return Row(row.number, (name.strip(" :-–—\t\xa0"), mobile, *rest))


def _judge(
    rows: Sequence[int], texts: Sequence[tuple[str, str, str]], numbers: Numbers, region: str
) -> list[Contact | Problem]:
    mobiles = [mobile for _, mobile, _ in texts]
    readings = numbers.read_many(mobiles)
    ruins = find_ruins(mobiles, readings, numbers, region)
    judged: list[Contact | Problem] = []
    standing: dict[int, Contact] = {}
    for row, (name, mobile, notes), reading, ruin in zip(rows, texts, readings, ruins, strict=True):
        unread = Contact(row, name, mobile, notes, None)
        if ruin:
            judged.append(Problem(unread, Fault.INVALID_MOBILE, ruin, ruined=True))
            continue
        if isinstance(reading, Unusable):
            message = reading.message if mobile else "the number is missing"
            judged.append(Problem(unread, Fault.INVALID_MOBILE, message))
            continue
        e164, warning = (reading.e164, reading.message) if isinstance(reading, Unassigned) else (reading, None)
        contact = Contact(row, name, mobile, notes, e164, warning)
        first = standing.get(e164)
        if not name:
            judged.append(Problem(contact, Fault.MISSING_NAME, "the name is missing"))
        elif first:
            message = f"the same number as row {first.row}, {first.name}"
            judged.append(Problem(contact, Fault.DUPLICATE_IN_BATCH, message))
        else:
            standing[e164] = contact
            judged.append(contact)
    return judged
