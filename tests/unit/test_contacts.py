"""Lists as offices really have them, and the words for those that cannot be read."""

import codecs
import csv
import re
from pathlib import Path

import phonenumbers
import pytest
from phonenumbers import PhoneMetadata, PhoneNumberFormat, PhoneNumberType

from protocol.vocabulary import Fault
from simulator import contacts as contacts_module
from simulator.contacts import Contacts, load_contacts, read_contacts
from simulator.numerals import ZERO_OFTEN_LEFT_OUT

RESIDENTS = Path(contacts_module.__file__).parent / "samples" / "residents.csv"


def read(
    text: str | bytes, *, header: bool | None = None, columns: list[str] | None = None, region: str = "ZA"
) -> Contacts:
    """The list in `text`, as UTF-8."""
    data = text.encode() if isinstance(text, str) else text
    return read_contacts(data, source="residents.csv", region=region, header=header, columns=columns)


def people(contacts: Contacts) -> list[tuple[int, str, int | None, str]]:
    return [(one.row, one.name, one.e164, one.notes) for one in contacts.people]


# What Excel with South African settings writes as "CSV UTF-8": semicolons, BOM, CRLF, LF inside cells.
EXCEL = (
    codecs.BOM_UTF8
    + b"Name;Cell;Notes;;\r\n"
    + "André van Wyk;082 000 0101;Unit 1;;\r\n".encode()
    + b'"Mokoena; David";8,24511E+10;"Unit 2\nupstairs";;\r\n'
    + b";;;;\r\n"
    + b'"Say ""Thabo""";+27 83 000 0103;"Unit 3, left";;\r\n'
    + b";;;;\r\n"
)
# What Excel writes as "Unicode Text": UTF-16 LE with BOM, tabs, CRLF, quotes only around what needs them.
UNICODE_TEXT = codecs.BOM_UTF16_LE + (
    "Full Name\tMobile Number\tComments\r\n"
    "Nokuthula Nkosi\t0820000101\tUnit 1\r\n"
    '"Botha, Zoë"\t\'+27830000102\t"Unit 2, ""the blue door"""\r\n'
).encode("utf-16-le")
# What LibreOffice writes with "quote all text cells": numbers it took for amounts stay bare.
LIBREOFFICE = b'"Name","Surname","Phone","Unit"\n"Priya","Naidoo","082 000 0101","4"\n"Rajesh","Pillay",820000102,"5"\n'


def test_read_contacts_of_excel_with_semicolons_and_bom() -> None:
    contacts = read(EXCEL)
    assert (contacts.encoding, contacts.delimiter, contacts.header) == ("utf-8", ";", ("Name", "Cell", "Notes", "", ""))
    assert contacts.columns == ("name", "mobile", "notes", "-", "-")
    assert people(contacts) == [
        (2, "André van Wyk", 27820000101, "Unit 1"),
        (5, 'Say "Thabo"', 27830000103, "Unit 3, left"),
    ]
    [problem] = contacts.withheld
    assert (problem.contact.row, problem.contact.name, problem.contact.notes) == (
        3,
        "Mokoena; David",
        "Unit 2\nupstairs",
    )


def test_read_contacts_of_excel_unicode_text() -> None:
    contacts = read(UNICODE_TEXT)
    assert (contacts.encoding, contacts.delimiter) == ("utf-16-le", "\t")
    assert people(contacts) == [
        (2, "Nokuthula Nkosi", 27820000101, "Unit 1"),
        (3, "Botha, Zoë", 27830000102, 'Unit 2, "the blue door"'),
    ]


def test_read_contacts_of_libreoffice_joins_first_name_and_surname() -> None:
    contacts = read(LIBREOFFICE)
    assert contacts.columns == ("first name", "surname", "mobile", "notes")
    assert people(contacts) == [(2, "Priya Naidoo", 27820000101, "4")]
    assert [(problem.contact.row, problem.contact.name) for problem in contacts.withheld] == [(3, "Rajesh Pillay")]


@pytest.mark.parametrize(
    ("header", "columns"),
    [
        ("Surname,NAME,Mobile", ("surname", "first name", "mobile")),
        ("Full Name,Name,Surname,Cell", ("name", "-", "-", "mobile")),
        ("Phone,Name,Cellphone Number", ("-", "name", "mobile")),
        ("Phone,Name,Cell No. (required)", ("-", "name", "mobile")),
        ("unit no,name,contact number,notes", ("-", "name", "mobile", "notes")),
        ("unit no,name,contact number", ("notes", "name", "mobile")),
        ("Initials,Van,Selfoon,Eenheid", ("first name", "surname", "mobile", "notes")),
        ("First Name,Last Name,Phone 1 - Value", ("first name", "surname", "mobile")),
        ("E-mail,mobile,resident of", ("name", "mobile", "-")),
        ("Name,Volcano,Notes", ("name", "mobile", "notes")),
    ],
)
def test_read_contacts_assigns_columns_by_their_headings(header: str, columns: tuple[str, ...]) -> None:
    row = ",".join(["0820000101"] * len(columns))
    assert read(f"{header}\n{row}\n").columns == columns


def test_read_contacts_without_header_takes_the_numbers_wherever_they_are() -> None:
    contacts = read("8001015009087;0820000101;;Lerato;Unit 4\n8001015009088;0820000102;;Sipho;\n", columns=None)
    assert contacts.columns[1] == "mobile"
    assert read("Lerato;0820000101;0830000102\n").columns == ("name", "mobile", "notes")
    contacts = read("0820000101;;Lerato;Unit 4\n0820000102;;Sipho;\n")
    assert people(contacts) == [(1, "Lerato", 27820000101, "Unit 4"), (2, "Sipho", 27820000102, "")]


def test_read_contacts_finds_a_header_below_a_title() -> None:
    contacts = read("Sunset Estate residents\n\nName,Mobile\nLerato,0820000101\n")
    assert (contacts.header, people(contacts)) == (("Name", "Mobile"), [(4, "Lerato", 27820000101, "")])


def test_read_contacts_shows_an_unknown_heading_as_a_row_unless_told_that_it_is_a_header() -> None:
    text = "Igama,Inombolo,Indlu\nLerato,0820000101,4\n"
    assert [problem.contact.mobile for problem in read(text).problems] == ["Inombolo"]
    told = read(text, header=True)
    assert (told.header, people(told)) == (("Igama", "Inombolo", "Indlu"), [(2, "Lerato", 27820000101, "4")])
    assert not told.problems


def test_read_contacts_told_there_is_no_header_reads_its_words_as_a_row() -> None:
    contacts = read("Name,Mobile\nLerato,0820000101\n", header=False)
    assert [problem.contact.row for problem in contacts.problems] == [1]
    assert people(contacts) == [(2, "Lerato", 27820000101, "")]


def test_read_contacts_with_listed_columns_skips_what_they_leave_out() -> None:
    contacts = read("x,0820000101,9,Lerato,Nkosi,Unit 4\n", columns=["-", "Mobile", "", "name", "Surname", "comment"])
    assert people(contacts) == [(1, "Lerato Nkosi", 27820000101, "Unit 4")]


def test_read_contacts_keeps_a_comma_that_was_not_quoted_in_the_last_column_of_notes() -> None:
    assert people(read("Name,Mobile,Notes\nLerato,0820000101,Unit 4, Block B\n")) == [
        (2, "Lerato", 27820000101, "Unit 4, Block B")
    ]


@pytest.mark.parametrize(("first", "delimiter"), [("sep=;", ";"), ("sep=,", ","), ("SEP=\t", "\t"), ('"sep=|"', "|")])
def test_read_contacts_obeys_the_delimiter_excel_declares_and_counts_no_row_for_it(first: str, delimiter: str) -> None:
    contacts = read(f"{first}\r\nName{delimiter}Mobile\r\nLerato{delimiter}0820000101\r\n")
    assert (contacts.delimiter, people(contacts)) == (delimiter, [(2, "Lerato", 27820000101, "")])


@pytest.mark.parametrize("encoding", ["cp1252", "cp850", "mac_roman"])
def test_read_contacts_in_an_old_encoding_reads_the_names(encoding: str) -> None:
    names = ["André van Wyk", "Zoë Müller", "François Nel", "Renée Böhm", "José Núñez"]
    text = "Name;Cell\r\n" + "".join(f"{name};082000010{row}\r\n" for row, name in enumerate(names))
    contacts = read(text.encode(encoding))
    assert (contacts.encoding, [one.name for one in contacts.people]) == (encoding, names)


@pytest.mark.parametrize("name", ["Siobhán O’Connor", "Jürgen Pillay;€5 – VIP", "Müller – VIP", "Šimon Žák"])
def test_read_contacts_in_windows_1252_keeps_its_punctuation(name: str) -> None:
    contacts = read(f"0820000101;{name}\r\n".encode("cp1252"))
    [contact] = contacts.people
    assert (contacts.encoding, ";".join(filter(None, [contact.name, contact.notes]))) == ("cp1252", name)


@pytest.mark.parametrize(
    ("written", "why"),
    [
        ("8.2E+10", "digits are lost"),
        ("8,24511e+10", "digits are lost"),
        ("27820000101.0", "took for an amount"),
        ("820000101", "lost the 0 in front"),
        ("447400000101", "began with + or 00"),
        ("#########", "too narrow"),
        ("#NAME?", "formula"),
        ("Err:502", "formula"),
    ],
)
def test_read_contacts_reports_what_a_spreadsheet_ruined_and_guesses_nothing(written: str, why: str) -> None:
    contacts = read(f'name;mobile\nLerato;"{written}"\n')
    [problem] = contacts.problems
    assert (problem.ruined, problem.fault, problem.contact.e164) == (True, Fault.INVALID_MOBILE, None)
    assert why in problem.message
    assert contacts.withheld == contacts.problems
    assert contacts.sendable == ()


@pytest.mark.parametrize(
    ("written", "region", "e164"),
    [
        ("82 000 0101", "ZA", 27820000101),
        ("27820000101", "ZA", 27820000101),
        ("2015550123", "US", 12015550123),
        ("9000000123", "IN", 919000000123),
        ("3123456789", "IT", 393123456789),
    ],
)
def test_read_contacts_takes_digits_that_lost_nothing(written: str, region: str, e164: int) -> None:
    assert people(read(f"name,mobile\nLerato,{written}\n", region=region)) == [(2, "Lerato", e164, "")]


def test_read_contacts_reports_a_lost_zero_where_it_is_part_of_the_number() -> None:
    [problem] = read("name,mobile\nGiulia,612345678\n", region="IT").withheld
    assert "lost the 0 in front" in problem.message


def test_zero_often_left_out_is_what_the_metadata_says() -> None:
    """A region is in it whose example mobile number reads the same with and without a 0, and is written without."""
    found = set()
    for region in phonenumbers.SUPPORTED_REGIONS:
        example = phonenumbers.example_number_for_type(region, PhoneNumberType.MOBILE)
        metadata = PhoneMetadata.metadata_for_region(region)
        if example is None or metadata is None or metadata.national_prefix != "0":
            continue
        digits = str(example.national_number)
        written = phonenumbers.format_number(example, PhoneNumberFormat.NATIONAL)
        optional = next(
            (
                form.national_prefix_optional_when_formatting
                for form in metadata.number_format
                if not form.leading_digits_pattern or re.match(form.leading_digits_pattern[-1], digits)
                if form.pattern and re.fullmatch(form.pattern, digits)
            ),
            False,
        )
        if optional or not written.lstrip("(").startswith("0"):
            found.add(region)
    assert found == ZERO_OFTEN_LEFT_OUT


def test_read_contacts_sends_faulty_rows_for_the_gateway_to_judge_and_names_them_all() -> None:
    contacts = read(
        "name,mobile,notes\nLerato,0820000101,a\nSipho,08245,b\n,0820000103,c\nBlock B,,\n"
        "Lerato M,+27 82 000 0101,d\nThabo,8.2E+10,e\nMusa,ask,f\n"
    )
    assert [(problem.contact.row, problem.fault, problem.ruined) for problem in contacts.problems] == [
        (3, Fault.INVALID_MOBILE, False),
        (4, Fault.MISSING_NAME, False),
        (5, Fault.INVALID_MOBILE, False),
        (6, Fault.DUPLICATE_IN_BATCH, False),
        (7, Fault.INVALID_MOBILE, True),
        (8, Fault.INVALID_MOBILE, False),
    ]
    messages = [problem.message for problem in contacts.problems]
    assert "'08245' is too short" in messages[0]
    assert messages[2] == "the number is missing"
    assert messages[3] == "the same number as row 2, Lerato"
    assert [contact.row for contact in contacts.sendable] == [2, 3, 4, 5, 6, 8]
    assert [contact.mobile for contact in contacts.sendable][1] == "08245"


def test_read_contacts_lets_the_row_with_a_name_stand_where_an_equal_number_before_it_has_none() -> None:
    contacts = read("name,mobile\n,0820000101\nLerato,0820000101\n")
    assert people(contacts) == [(3, "Lerato", 27820000101, "")]


def test_read_contacts_warns_of_a_range_not_in_use() -> None:
    [contact] = read("name,mobile\nEmma,+44 7700 900123\n").people
    assert contact.e164 == 447700900123
    assert contact.warning is not None


def test_read_contacts_undoes_the_guard_of_an_export_and_no_other_apostrophe() -> None:
    contacts = read(
        "mobile,userName,notes\n'+27820000101,'n Mens,'=1+1\n'+27820000104,'90s,'012\n"
        "'+27820000102,-,'quoted'\n'0820000103,''=x,'@b\n"
    )
    assert people(contacts) == [
        (2, "'n Mens", 27820000101, "=1+1"),
        (3, "'90s", 27820000104, "012"),
        (4, "-", 27820000102, "'quoted'"),
        (5, "'=x", 27820000103, "@b"),
    ]


def test_read_contacts_takes_text_after_a_closing_quotation_mark_as_spreadsheets_do() -> None:
    assert people(read('name,mobile\n"Dave" Mokoena,0820000101\n"Lerato" ,"0820000102" \n')) == [
        (2, "Dave Mokoena", 27820000101, ""),
        (3, "Lerato", 27820000102, ""),
    ]


def test_read_contacts_takes_a_quotation_mark_after_a_space_as_the_beginning_of_a_cell() -> None:
    assert people(read('Lerato, 0820000101, "Unit 4, left", x\n')) == [(1, "Lerato", 27820000101, "Unit 4, left")]


def test_read_contacts_with_tabs_is_not_misled_by_a_comma_at_the_end_of_a_name() -> None:
    contacts = read("Nkosi, Lerato,\t0820000101\t\n")
    assert (contacts.delimiter, people(contacts)) == ("\t", [(1, "Nkosi, Lerato,", 27820000101, "")])


def test_read_contacts_lets_the_header_decide_between_delimiters_that_both_show_numbers() -> None:
    contacts = read("Name,Mobile,Notes\nLerato,0820000101,call;0830000102;late\n")
    assert people(contacts) == [(2, "Lerato", 27820000101, "call;0830000102;late")]
    contacts = read("Name,Mobile,Notes; if any\nLerato,0820000101,call;0830000102;late\n")
    assert contacts.people[0].name == "Lerato"
    contacts = read("Name;Mobile;Notes\nLerato;0820000101;call\t0830000102\tlate\n")
    assert people(contacts) == [(2, "Lerato", 27820000101, "call\t0830000102\tlate")]


def test_read_contacts_takes_no_row_with_a_number_for_a_header() -> None:
    assert people(read("Number,0820000101,Notes\n")) == [(1, "Number", 27820000101, "Notes")]
    assert people(read("Lerato,0820000101\nName,Cell\n")) == [(1, "Lerato", 27820000101, "")]


def test_read_contacts_with_an_unknown_region_says_so() -> None:
    with pytest.raises(ValueError, match="region"):
        read("Lerato,0820000101\n", region="South Africa")


def test_load_contacts_of_a_missing_file_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        load_contacts(tmp_path / "none.csv", region="ZA")


def test_sample_of_residents_has_what_a_demonstration_wants_to_show() -> None:
    contacts = load_contacts(RESIDENTS, region="ZA")
    with RESIDENTS.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(contacts.people) >= 40
    assert len(contacts.people) + len(contacts.problems) == len(rows)
    countries = {phonenumbers.region_code_for_number(phonenumbers.parse(f"+{one.e164}")) for one in contacts.people}
    assert {"ZA", "GB", "ZW", "US", "DE", "IN"} <= countries
    assert [one.name for one in contacts.people if one.warning] == ["Emma Clarke"]
    assert {problem.fault for problem in contacts.problems} == {
        Fault.INVALID_MOBILE,
        Fault.MISSING_NAME,
        Fault.DUPLICATE_IN_BATCH,
    }
    assert len(contacts.withheld) == 3
    for row, one in zip(rows, contacts.people, strict=False):
        number = phonenumbers.parse(row["Mobile"], "ZA")
        assert phonenumbers.format_number(number, PhoneNumberFormat.E164) == f"+{one.e164}"
        assert phonenumbers.is_valid_number(number) or one.warning
