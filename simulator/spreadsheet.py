"""A sheet of cells out of text: delimiters, quotes and line ends as spreadsheets write them."""

import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from simulator.encoding import ContactsError

DELIMITERS = ("\t", ";", ",")
"""The rarest inside a cell first."""

MAX_ROWS = 200_000
MAX_LINES = 1_048_576
"""Rows of a sheet of Excel, blank ones too."""

MAX_COLUMNS = 1_000

_DECLARATION = re.compile(r'"?sep=([^\w\s"]|\t)"?\s*', re.IGNORECASE)
_GUARDED = re.compile(
    r"'+(?:[=+\-@\t\r]"
    r"|(?:0\d*|\d{12,}|\d+(?:[-/.:, ]\d+)+|\d+(?:[.,]\d+)?[eE][+-]?\d+|\d\d? [aApP][mM]?)\Z)"
)


@dataclass(frozen=True, slots=True)
class Row:
    """One row that holds something; `number` is what a spreadsheet shows beside it.

    It counts from 1, blank rows too; a line break inside a cell starts no row.
    """

    number: int
    cells: tuple[str, ...]


def split_lines(text: str) -> list[str]:
    """The lines of `text` with their ends: LF, CRLF and CR, and no other character, end a line."""
    return io.StringIO(text, newline="").readlines()


def declared_delimiter(lines: Sequence[str]) -> str | None:
    """The delimiter that Excel's own first line `sep=;` names; that line is no row."""
    declared = _DECLARATION.fullmatch(lines[0]) if lines else None
    return declared[1] if declared else None


def read_rows(lines: Sequence[str], delimiter: str, source: str) -> Iterator[Row]:
    """Every row that is not blank, its cells trimmed and without the guard of an export.

    The guard is the apostrophe that the gateway's export puts before `=`, `+`, `-`, `@`, tab and CR, so that no
    spreadsheet runs the cell, before digits alone that begin with 0 or are 12 and more, so that none rounds them, and
    before what one takes for a date or an amount, such as `4-12`, `1.10`, `1E5` and `4 A`. It goes before such a guard
    as well, so one is taken away: `'+27824511234` is read as `+27824511234`, `''=1` as `'=1`; any other apostrophe
    stays. Raises ContactsError for a quotation mark that is not closed, a cell past the csv module's limit, and past
    the three bounds above.
    """
    if len(lines) > MAX_LINES:
        raise ContactsError(f"{source} has more than {MAX_LINES:,} lines: split it into several files")
    reader = csv.reader(lines, strict=True, delimiter=delimiter, skipinitialspace=True)
    number = held = 0
    while True:
        number += 1
        start = reader.line_num
        try:
            raw = next(reader)
        except StopIteration:
            return
        except csv.Error as broken:
            alone = _read_leniently(lines[start], delimiter)
            if alone is None:
                raise ContactsError(
                    f"{source}, row {number} cannot be read ({broken}): look there for a quotation mark without its"
                    " partner, and remove it"
                ) from None
            raw = alone
        if len(raw) > MAX_COLUMNS:
            raise ContactsError(
                f"{source}, row {number} has more than {MAX_COLUMNS:,} cells: keep only name, mobile and notes"
            )
        cells = tuple(_cell(written) for written in raw)
        if any(cells):
            held += 1
            if held > MAX_ROWS:
                raise ContactsError(f"{source} has more than {MAX_ROWS:,} rows: split it into several files")
            yield Row(number, cells)


def _read_leniently(line: str, delimiter: str) -> list[str] | None:
    """A line such as `"Dave" Mokoena,082…` the way spreadsheets take it; None where a quotation mark stays open.

    That one may have swallowed the people on the lines after it.
    """
    try:
        cells, *rest = csv.reader([line, ""], delimiter=delimiter, skipinitialspace=True)
    except csv.Error:
        return None
    return cells if rest else None


def _cell(written: str) -> str:
    trimmed = written.strip()
    return trimmed[1:].strip() if _GUARDED.match(trimmed) else trimmed
