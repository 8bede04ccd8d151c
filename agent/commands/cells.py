"""What programs read: rows as JSON, and as a CSV that a spreadsheet neither runs nor ruins."""

import csv
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, TextIO

_UNSAFE: Final = re.compile(
    r"'*(?:[=+\-@\t\r]"  # run as a formula
    r"|(?:0\d*|\d{12,}"  # 082…: the zero is lost; 27824511234012: rounded
    r"|\d+(?:[-/.:, ]\d+)+|\d+(?:[.,]\d+)?[eE][+-]?\d+|\d\d? [aApP][mM]?"  # 4-12, 1.10, 1E5, 4 A: dates and amounts
    r")\Z)"
)
"""What a spreadsheet runs, rounds or rewrites; and what looks like such a cell made safe, to come back whole."""

_CONTROLS: Final = dict.fromkeys({*range(0x20), *range(0x7F, 0xA0)} - {*b"\t\n\r"}, "\N{REPLACEMENT CHARACTER}")
_CONTROLLING: Final = re.compile(r"[\x7f-\x9f\u2028-\u202e\u2066-\u2069]")


def write_array(out: TextIO, rows: Iterable[Mapping[str, object]]) -> None:
    """A JSON array, an object a line, so that `grep` and `diff` are of use too."""
    separator = "[\n"
    for row in rows:
        out.write(f"{separator}{json_text(row)}")
        separator = ",\n"
    out.write("[]\n" if separator == "[\n" else "\n]\n")
    out.flush()


def write_cells(out: TextIO, headings: Sequence[str], rows: Iterable[Iterable[object]]) -> None:
    """RFC 4180, every cell made safe. `out` has no byte order mark: programs look for the first heading by its name.

    An apostrophe goes before what a spreadsheet would run, round or rewrite; the import takes it away again. Control
    characters, which no spreadsheet keeps, become replacement characters.
    """
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(headings)
    writer.writerows([_safe(value) for value in row] for row in rows)
    out.flush()


def json_text(value: object) -> str:
    """JSON in readable UTF-8; control characters and turns of direction are escaped: no name drives a terminal."""
    return _CONTROLLING.sub(lambda found: f"\\u{ord(found[0]):04x}", json.dumps(value, ensure_ascii=False))


def _safe(value: object) -> str:
    if value is None:
        return ""
    text = (value if isinstance(value, str) else json_text(value)).translate(_CONTROLS)
    return f"'{text}" if _UNSAFE.match(text) else text
