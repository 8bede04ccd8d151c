"""The export can be opened in a spreadsheet without harm, and imported again without loss."""

import csv
import io
import json
import re
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING
from unicodedata import normalize

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agent.commands.users import wire, write_csv, write_json
from simulator.contacts import read_contacts
from storage.listing import Entry

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import TextIO

WIRE = [
    *("deviceId", "mobile", "userName", "notes", "permission", "startDate", "endDate", "schedule"),
    *("units", "wifi", "invitedBy", "status", "revision", "batchId", "changedAt"),
]
DATES = [
    *("%d/%m", "%m/%d", "%d-%m", "%m-%d", "%Y-%m-%d", "%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y", "%m/%Y", "%Y-%m"),
    *("%H:%M", "%H:%M:%S", "%Y-%m-%d %H:%M", "%d/%m/%Y %H:%M"),
]
CLOCK = re.compile(r"[0-9]{1,2} [aApP][mM]?")
AMOUNT = re.compile(r"[0-9]{1,30}([.,][0-9]{1,30})?([eE][+-]?[0-9]{1,3})?")

ANA = Entry(
    *("1234567890123456", 27824511234, "Ana", None, "Always", None, None, None, None, True, None, "Active", 7, "b-1"),
    1_795_300_000_000,
)

controls = st.characters(categories=["Cc"])
letters = st.characters(exclude_categories=["Cs", "Cc"]) | st.sampled_from("\n\t\r,;\"'|=+-@")
risky = (
    st.builds(
        "{}{}{}".format, st.sampled_from(["", "'", "''"]), st.sampled_from("=+-@\t\r"), st.text(letters, max_size=4)
    )
    | st.from_regex(r"'{0,3}0?[0-9]{1,16}", fullmatch=True)
    | st.from_regex(r"'{0,3}[0-9]{1,4}([-/.:, ][0-9]{1,4}){1,2}", fullmatch=True)
    | st.from_regex(r"'{0,3}[0-9]{1,3}([.,][0-9]{1,3})?[eE][-+]?[0-9]{1,2}", fullmatch=True)
    | st.from_regex(r"'{0,3}[0-9]{1,2} ?[aApP][mM]?", fullmatch=True)
    | st.sampled_from(["sep=;", "name", "mobile", "PK", "<html", "#REF!", "8.2E+10", "'", "''", '"', '"=1"'])
)


def kept(text: str) -> str:
    """A text as the gateway stores it."""
    return normalize("NFC", text.strip()).strip()


texts = (risky | st.text(letters, max_size=20)).map(kept)
names = texts.filter(bool)
mobiles = st.integers(27820000000, 27829999999) | st.integers(447400000000, 447400999999)
moments = st.none() | st.integers(0, 253_402_300_799_999)
schedules = st.none() | st.just([{"days": ["mon", "tue"], "from": "09:00", "until": "17:00"}])


def entries(text: st.SearchStrategy[str], name: st.SearchStrategy[str]) -> st.SearchStrategy[list[Entry]]:
    """Users with every number once."""
    user = st.builds(
        Entry,
        device_id=st.sampled_from(["1234567890123456", "482913", "012345"]),
        mobile=mobiles,
        name=name,
        notes=st.none() | text,
        permission=st.sampled_from(["Always", "Owner", None]),
        starts_at=moments,
        ends_at=moments,
        schedule=schedules,
        units=st.none() | st.lists(text, max_size=3),
        wifi=st.booleans(),
        invited_by=st.none() | text,
        status=st.sampled_from(["Pending", "Active", "Expired"]),
        revision=st.integers(1, 2**53 - 1),
        batch_id=name,
        changed_at=st.integers(0, 2**53),
    )
    return st.lists(user, max_size=6, unique_by=lambda entry: entry.mobile)


def exported(write: "Callable[[TextIO, Sequence[Entry]], None]", users: "Sequence[Entry]", encoding: str) -> bytes:
    file = io.StringIO(newline="")
    write(file, users)
    return file.getvalue().encode(encoding)


def cells_of(data: bytes) -> list[list[str]]:
    """What a spreadsheet finds in the cells."""
    return list(csv.reader(io.StringIO(data.decode("utf-8"), newline=""), strict=True))


@given(entries(texts, names).filter(bool))
@example([replace(ANA, name="'=2", notes="''0123"), replace(ANA, mobile=27824511235, name="@x", notes="'4-12")])
def test_csv_comes_back_from_the_import_with_the_same_names_numbers_and_notes(users: list[Entry]) -> None:
    data = exported(write_csv, users, "utf-8")
    contacts = read_contacts(data, source="users.csv", region="ZA")
    assert [(one.name, one.e164, one.notes) for one in contacts.people] == [
        (user.name, user.mobile, user.notes or "") for user in users
    ]
    assert not contacts.problems


@given(entries(st.text(controls | letters, max_size=12), st.text(controls | letters, min_size=1, max_size=12)))
def test_csv_with_control_characters_is_still_one_row_for_everyone(users: list[Entry]) -> None:
    data = exported(write_csv, users, "utf-8")
    assert not {*data.decode("utf-8")} & {chr(code) for code in (*range(9), *range(14, 32), *range(0x7F, 0xA0))}
    assert [row[1] for row in cells_of(data)[1:]] == [f"'+{user.mobile}" for user in users]


@given(entries(texts, names))
def test_csv_is_what_rfc_4180_says(users: list[Entry]) -> None:
    data = exported(write_csv, users, "utf-8")
    assert data.startswith(b"deviceId,")
    assert data.endswith(b"\r\n")
    rows = cells_of(data)
    assert rows[0] == WIRE
    assert [len(row) for row in rows[1:]] == [len(WIRE)] * len(users)
    outside_of_quotes = "".join(data.decode("utf-8").split('"')[::2])
    assert (
        outside_of_quotes.count("\r\n") == outside_of_quotes.count("\n") == outside_of_quotes.count("\r") == len(rows)
    )


@given(entries(texts, names))
def test_csv_has_no_cell_that_a_spreadsheet_would_run_or_ruin(users: list[Entry]) -> None:
    for row in cells_of(exported(write_csv, users, "utf-8"))[1:]:
        for cell in row:
            assert not cell.startswith(("=", "+", "-", "@", "\t", "\r"))
            assert not (cell.isdecimal() and (len(cell) >= 12 or cell.startswith("0"))), cell
            assert not is_amount(cell), cell
            assert not is_moment(cell), cell


def is_amount(cell: str) -> bool:
    """Whether it is a number that would come back written in another way."""
    return AMOUNT.fullmatch(cell) is not None and f"{float(cell.replace(',', '.')):.0f}" != cell


def is_moment(cell: str) -> bool:
    """Whether it is a date or a time of day, in one of the spellings that spreadsheets take for one."""
    if CLOCK.fullmatch(cell):
        return True
    for spelling in DATES:
        with suppress(ValueError):
            datetime.strptime(cell, spelling)  # noqa: DTZ007 -- whether it is one at all
            return True
    return False


@pytest.mark.parametrize(
    "text",
    ["Unit 4", "12B", "4", "482913", "'n Huis", "Block 3/12", "4-A", "A-4", "1st floor", "12 Main Road", "", "3 dogs"],
)
def test_csv_leaves_alone_what_is_safe(text: str) -> None:
    [_, cells] = cells_of(exported(write_csv, [replace(ANA, notes=text)], "utf-8"))
    assert cells[WIRE.index("notes")] == text


@given(entries(st.text(controls | letters, max_size=12), names))
def test_json_says_the_same_under_the_names_of_the_wire(users: list[Entry]) -> None:
    data = exported(write_json, users, "utf-8").decode()
    said = json.loads(data)
    assert said == [wire(user) for user in users]
    assert all(list(each) == WIRE for each in said)
    assert [(each["userName"], each["mobile"], each["notes"]) for each in said] == [
        (user.name, f"+{user.mobile}", user.notes) for user in users
    ]
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", data), "it drives no terminal"
    assert len(data.splitlines()) == (len(users) + 2 if users else 1)
