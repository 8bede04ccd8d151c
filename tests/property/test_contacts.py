"""What an office writes in a table is what the import reads, however the table was saved."""

import codecs
import csv
import io
import re
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from protocol.mobile import Numbers
from simulator.contacts import Contact, Contacts, ContactsError, read_contacts, read_pasted

if TYPE_CHECKING:
    from collections.abc import Callable

RUN_BY_SPREADSHEETS = ("=", "+", "-", "@", "\t", "\r")
REWRITTEN = re.compile(r"\d+([-/.:, ]\d+)+|\d+([.,]\d+)?e[+-]?\d+|\d\d? [ap]m?", re.IGNORECASE)
"""Taken for a date, an amount or a time of day."""
ENCODINGS = {
    "utf-8": (b"", "utf-8"),
    "utf-8 with BOM": (codecs.BOM_UTF8, "utf-8"),
    "utf-16-le": (codecs.BOM_UTF16_LE, "utf-16-le"),
    "utf-16-be": (codecs.BOM_UTF16_BE, "utf-16-be"),
    "cp1252": (b"", "cp1252"),
}
HEADERS = [
    ("Name", "Mobile", "Notes"),
    ("full name", "CELL", "Unit"),
    (" Name ", "Contact  Number", "Comment"),
    ("userName", "mobile_number", "Remarks"),
    ("Naam", "Selfoon", "Notas"),
]

local = st.builds("{}{:07d}".format, st.sampled_from(["082", "083", "071", "060"]), st.integers(0, 9_999_999))
spaced = local.map(lambda number: f"{number[:3]} {number[3:6]} {number[6:]}")
abroad = st.builds("+44 7400 {:06d}".format, st.integers(0, 999_999)) | st.builds(
    "+27{}".format, local.map(lambda number: number[1:])
)
mobiles = local | spaced | abroad


@dataclass(frozen=True)
class Table:
    """People and how their table is saved."""

    people: list[tuple[str, str, str]]
    header: tuple[str, str, str] | None
    delimiter: str
    encoding: str
    quoting: Literal[0, 1, 2, 3]
    newline: str
    empty_columns: int
    blank_before: list[bool]

    def written(self) -> bytes:
        """The file."""
        file = io.StringIO(newline="")
        writer = csv.writer(file, delimiter=self.delimiter, quoting=self.quoting, lineterminator=self.newline)
        trailing = [""] * self.empty_columns
        if self.header:
            writer.writerow([*self.header, *trailing])
        for person, blank in zip(self.people, self.blank_before, strict=True):
            if blank:
                file.write(self.newline)
            writer.writerow([*person, *trailing])
        mark, codec = ENCODINGS[self.encoding]
        return mark + file.getvalue().encode(codec)

    def expected(self) -> list[tuple[int, str, str, str]]:
        """Row numbers and cells as a person sees them in a spreadsheet."""
        row = 1 if self.header else 0
        seen = []
        for (name, mobile, notes), blank in zip(self.people, self.blank_before, strict=True):
            row += 2 if blank else 1
            seen.append((row, _seen(name), mobile, _seen(notes)))
        return seen


def _needs_guard(cell: str) -> bool:
    """Whether a spreadsheet would run the cell, or lose something of it; or it looks like one made safe from that."""
    bare = cell.lstrip("'")
    digits = bare.isdecimal() and (bare[0] == "0" or len(bare) >= 12)
    return digits or bare.startswith(RUN_BY_SPREADSHEETS) or REWRITTEN.fullmatch(bare) is not None


def _seen(cell: str) -> str:
    cell = cell.strip()
    return cell[1:].strip() if cell.startswith("'") and _needs_guard(cell[1:]) else cell


@st.composite
def tables(draw: st.DrawFn) -> Table:
    encoding = draw(st.sampled_from([*ENCODINGS]))
    header = draw(st.none() | st.sampled_from(HEADERS))
    newline = draw(st.sampled_from(["\n", "\r\n", "\r"]))
    # Without a header, what tells the column of numbers from the others is that the others hold none.
    barred = {"Cs", "Cc"} if header else {"Cs", "Cc", "Nd"}
    letters = st.characters(exclude_categories=barred, exclude_characters="\ufeff")  # type: ignore[arg-type]  # a set of literals
    if encoding == "cp1252":
        plain = " !\"'(),-./;=@_\tabcXYZ" + ("0123456789" if header else "")
        letters = st.sampled_from(plain + "".join(map(chr, range(0xC0, 0x100))))
    pieces = letters | st.sampled_from([",", ";", "\t", '"', '""', "'", newline, " "])
    texts = st.lists(pieces, max_size=12).map("".join)
    names = texts if header else texts.filter(_seen)
    people = draw(st.lists(st.tuples(names, mobiles, texts), min_size=1, max_size=8))
    return Table(
        people,
        header,
        draw(st.sampled_from([",", ";", "\t"])),
        encoding,
        draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC])),
        newline,
        draw(st.integers(0, 3)),
        draw(st.lists(st.booleans(), min_size=len(people), max_size=len(people))),
    )


def _rows(contacts: Contacts) -> list[Contact]:
    rows = [*contacts.people, *(problem.contact for problem in contacts.problems)]
    return sorted(rows, key=lambda contact: contact.row)


@example(Table([("Ana", "082 451 1234", "''\t:")], None, ",", "utf-8", csv.QUOTE_MINIMAL, "\n", 0, [False]))
@example(Table([("Ana", "082 451 1234", "'4-12")], HEADERS[0], ",", "utf-8", csv.QUOTE_MINIMAL, "\n", 0, [False]))
@given(tables())
def test_read_contacts_of_any_saved_table_gives_the_same_people_in_the_same_order(table: Table) -> None:
    contacts = read_contacts(table.written(), source="residents.csv", region="ZA")
    assert [(one.row, one.name, one.mobile, one.notes) for one in _rows(contacts)] == table.expected()
    assert (contacts.header is None) == (table.header is None)


@given(tables())
def test_read_contacts_judges_each_number_as_the_wire_does_and_the_first_of_equals_stands(table: Table) -> None:
    contacts = read_contacts(table.written(), source="residents.csv", region="ZA")
    numbers = Numbers("ZA")
    first: dict[object, int] = {}
    for row, name, mobile, _ in table.expected():
        if name:
            first.setdefault(numbers.read_many([mobile])[0], row)
    assert {one.row: one.e164 for one in contacts.people} == {row: number for number, row in first.items()}


@given(
    tables().filter(lambda table: table.header is not None),
    st.booleans(),
    st.sampled_from([["name", "mobile", "notes"], ["Full Name", "cell", ""], ["-", "phone"]]),
)
def test_read_contacts_with_header_and_columns_forced_follows_them(
    table: Table, header: bool, columns: list[str]
) -> None:
    contacts = read_contacts(table.written(), source="residents.csv", region="ZA", header=header, columns=columns)
    heading = [] if header or not table.header else [(1, *(word.strip() for word in table.header))]
    assert [(one.row, one.name, one.mobile, one.notes) for one in _rows(contacts)] == [
        (row, "" if columns[0] == "-" else name, mobile, notes if columns[-1] == "notes" else "")
        for row, name, mobile, notes in [*heading, *table.expected()]
    ]


BITS = [
    *(b'"', b'""', b",", b";", b"\t", b"\n", b"\r", b"\r\n", b" ", b"'", b"=", b"\0", b"sep=;\n", b"sep="),
    *(b"0820000101", b"820000101", b"8.2E+10", b"name", b"Mobile", b"surname", b"Notes", b"David", b"#REF!"),
    *(b"\xff\xfe", b"\xfe\xff", b"\xef\xbb\xbf", b"\xe9", b"\x81", b"\x8e", b"\xc3\xa9", b"PK\x03\x04", b"<html"),
]
junk = st.binary(max_size=200) | st.lists(st.sampled_from(BITS), max_size=60).map(b"".join)


@given(
    junk,
    st.sampled_from([None, True, False]),
    st.sampled_from([None, ["name", "mobile", "notes"], ["mobile"], ["-", "mobile"], ["who"], []]),
    st.sampled_from([read_contacts, read_pasted]),
)
def test_reading_any_bytes_gives_contacts_or_contacts_error(
    data: bytes, header: bool | None, columns: list[str] | None, read: object
) -> None:
    try:
        if read is read_pasted:
            contacts = read_pasted(data, region="ZA", header=header, columns=columns)
        else:
            contacts = read_contacts(data, source="junk.csv", region="ZA", header=header, columns=columns)
    except ContactsError:
        return
    rows = [contact.row for contact in _rows(contacts)]
    assert rows == sorted({*rows})
    assert rows
    assert {*contacts.sendable, *(problem.contact for problem in contacts.withheld)} == {*_rows(contacts)}


@given(st.text(max_size=200), st.sampled_from([None, True, False]))
def test_read_pasted_of_any_text_gives_contacts_or_contacts_error(pasted: str, header: bool | None) -> None:
    with suppress(ContactsError):
        assert _rows(read_pasted(pasted, region="ZA", header=header))


word = st.text("abcdefghijklmnopqrstuvwxyzéöüABCZ", min_size=1, max_size=8)
person = st.lists(word, min_size=1, max_size=3).map(" ".join)
note = st.just("") | st.lists(word | st.integers(1, 99).map(str), max_size=4).map(
    lambda words: " ".join(["Unit", *words])
)


@given(st.lists(st.tuples(person, mobiles, note), min_size=1, max_size=8), st.booleans())
def test_read_pasted_lines_with_or_without_commas_gives_the_people(
    people: list[tuple[str, str, str]], commas: bool
) -> None:
    divided = ", " if commas else " "
    lines = [f"{name}{divided}{mobile}" + (f", {notes}" if notes else "") for name, mobile, notes in people]
    contacts = read_pasted("\n".join(lines), region="ZA")
    assert [(one.row, one.name, one.mobile, one.notes) for one in _rows(contacts)] == [
        (row, *told) for row, told in enumerate(people, 1)
    ]


@given(st.lists(local, min_size=1, max_size=6, unique=True), st.data())
def test_read_contacts_withholds_every_number_a_spreadsheet_ruined(numbers: list[str], data: st.DataObject) -> None:
    ways: dict[str, Callable[[str], str]] = {
        "shortened": lambda number: f"{int('27' + number[1:]):.{data.draw(st.integers(0, 9))}E}",
        "shortened with a comma": lambda number: f"{int('27' + number[1:]):.4E}".replace(".", ","),
        "amount": lambda number: f"27{number[1:]}.0",
        "amount with a comma": lambda number: f"27{number[1:]},00",
        "zero gone": lambda number: number[1:],
        "plus gone": lambda number: f"447400{number[-6:]}",
        "too narrow": lambda number: "#" * len(number),
    }
    ruined = [ways[data.draw(st.sampled_from([*ways]))](number) for number in numbers]
    file = io.StringIO(newline="")
    csv.writer(file).writerows(
        [("name", "mobile"), ("Nomvula", "0720000100"), *((f"N{i}", r) for i, r in enumerate(ruined))]
    )
    contacts = read_contacts(file.getvalue().encode(), source="residents.csv", region="ZA")
    assert [problem.contact.mobile for problem in contacts.withheld] == ruined
    assert [contact.mobile for contact in contacts.sendable] == ["0720000100"]


EXPORT = [
    *("deviceId", "mobile", "userName", "notes", "permission", "startDate", "endDate", "schedule"),
    *("units", "wifi", "invitedBy", "status", "revision", "batchId", "changedAt"),
]
exported = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufeff"), max_size=12)
exported = exported | st.builds(str.__add__, st.sampled_from(RUN_BY_SPREADSHEETS), exported)
exported = exported | st.builds("'{}".format, exported)
exported = (exported | st.from_regex(r"0?[0-9]{1,16}", fullmatch=True)).map(str.strip)


@given(
    st.dictionaries(
        st.integers(27820000000, 27829999999), st.tuples(exported.filter(bool), exported), min_size=1, max_size=6
    )
)
def test_read_contacts_of_the_gateways_own_export_gives_back_names_numbers_and_notes(
    users: dict[int, tuple[str, str]],
) -> None:
    file = io.StringIO(newline="")
    writer = csv.writer(file)
    writer.writerow(EXPORT)
    for number, (name, notes) in users.items():
        cells = ["1234567890123456", f"+{number}", name, notes, "Always", "", "", "", '["A 1"]', "true"]
        cells += ["+27820000100", "Active", "42", "0192f6d2-6f0c-7c2e-9a5d-0b9f4f1f7a10", "1795300000000"]
        writer.writerow([f"'{cell}" if _needs_guard(cell) else cell for cell in cells])
    contacts = read_contacts(file.getvalue().encode(), source="users.csv", region="ZA")
    assert [(one.e164, one.name, one.notes) for one in contacts.people] == [
        (number, name, notes) for number, (name, notes) in users.items()
    ]
    assert not contacts.problems


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le"])
@given(
    st.text(st.characters(min_codepoint=0x80, exclude_categories=["Cs", "Cc"], exclude_characters="\ufeff"), min_size=1)
)
def test_read_contacts_never_takes_utf8_or_marked_utf16_for_anything_else(encoding: str, name: str) -> None:
    mark = codecs.BOM_UTF16_LE if encoding == "utf-16-le" else b""
    contacts = read_contacts(
        mark + f'mobile,name\n0820000101,"x{name}x"\n'.encode(encoding), source="residents.csv", region="ZA"
    )
    assert (contacts.encoding, contacts.people[0].name) == (encoding, f"x{name}x")
