"""Files that are no list, refused in words that name the cure."""

import codecs
import io
import zipfile
from pathlib import Path

import pytest

from simulator import spreadsheet
from simulator.contacts import ContactsError, load_contacts
from tests.unit.test_contacts import read


def _zip_of(*names: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in names:
            archive.writestr(name, "application/vnd.oasis.opendocument.spreadsheet" if name == "mimetype" else "<xml/>")
    return file.getvalue()


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (_zip_of("[Content_Types].xml", "xl/workbook.xml"), ("an Excel workbook (.xlsx)", "save as CSV")),
        (_zip_of("mimetype", "content.xml"), ("a LibreOffice workbook (.ods)", "save as CSV")),
        (_zip_of("Index/Document.iwa"), ("a Numbers workbook (.numbers)", "save as CSV")),
        (_zip_of("residents.csv"), ("a zip archive",)),
        (bytes.fromhex("d0cf11e0a1b11ae1") + bytes(512), ("old or password-protected Excel workbook", "save as CSV")),
        (b"<html><table><tr><td>Name", ("a web page or XML", "save as CSV")),
        (codecs.BOM_UTF8 + b'<?xml version="1.0"?><Workbook>', ("a web page or XML", "save as CSV")),
        (b"\x00\x01\x02\xff\xfe" * 40, ("is not text", "save as CSV")),
        (b"\x89\x01\x02\xff\xfe" * 40, ("is not text", "save as CSV")),
        (b"\xff\xe1\x01\x02\x03" * 40, ("is not text", "save as CSV")),
        (codecs.BOM_UTF8 + b"name,mobile\nZo\xeb,0820000101\n", ("UTF-8, but line 2 is not",)),
        (codecs.BOM_UTF16_LE + b"a\0b", ("UTF-16-LE, but line 1 is not",)),
        ("name,mobile\nLerato,0820000101\n".encode("utf-16-le"), ("is not text",)),
        (b"", ("is empty",)),
        (codecs.BOM_UTF8 + b"\r\n,,\r\n", ("is empty",)),
        (b"sep=;\r\n", ("is empty",)),
        (b"Name,Mobile,Notes\n", ("a header and nobody below it",)),
        (b"Lerato,Unit 4\nSipho,Unit 5\n", ("no column of mobile numbers", "--columns name,mobile,notes")),
        (
            b'name,mobile\nLerato,0820000101\n"Sipho,0820000102\nThabo,0820000103\n',
            ("row 3 cannot be read", "quotation mark"),
        ),
        (b'name,mobile\n"Sipho,0820000102\nThabo,0820000103\n"Lerato",0820000104\n', ("row 2 cannot be read",)),
        (b'name,mobile\n"Dave" M,"0820000102\nThabo,0820000103\n', ("row 2 cannot be read",)),
        (
            b"name,mobile\n" + b"x" * 200_000 + b",0820000101\n",
            ("row 2 cannot be read", "field larger than field limit"),
        ),
        (b"name,mobile\n" + b"," * 1_000 + b"\n", ("row 2 has more than 1,000 cells",)),
    ],
)
def test_read_contacts_refuses_what_is_no_list_in_words_that_name_the_cure(data: bytes, words: tuple[str, ...]) -> None:
    with pytest.raises(ContactsError) as refused:
        read(data)
    assert str(refused.value).startswith("residents.csv")
    for part in words:
        assert part in str(refused.value)


def test_read_contacts_refuses_a_file_over_32_mib() -> None:
    with pytest.raises(ContactsError, match=r"residents.csv is larger than 32 MiB.*split it"):
        read(b"," * (32 * 1024 * 1024 + 1))


def test_load_contacts_of_a_file_over_32_mib_reads_no_further(tmp_path: Path) -> None:
    path = tmp_path / "huge.csv"
    with path.open("wb") as file:
        file.truncate(40 * 1024**3)
    with pytest.raises(ContactsError, match=r"huge.csv is larger than 32 MiB"):
        load_contacts(path, region="ZA")


def test_read_contacts_refuses_more_rows_than_200_000(monkeypatch: pytest.MonkeyPatch) -> None:
    assert spreadsheet.MAX_ROWS == 200_000
    monkeypatch.setattr(spreadsheet, "MAX_ROWS", 3)
    assert len(read("name,mobile\n\nA,0820000101\n\nB,0820000102\n\n").people) == 2
    with pytest.raises(ContactsError, match=r"more than 3 rows: split it"):
        read("name,mobile\n\nA,0820000101\n\nB,0820000102\n\nC,0820000103\n")


def test_read_contacts_refuses_more_lines_than_a_sheet_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spreadsheet, "MAX_LINES", 3)
    with pytest.raises(ContactsError, match=r"more than 3 lines: split it"):
        read("name,mobile\nA,0820000101\n\n\n")


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        (["name", "handy"], "'handy' in the list of columns is none of"),
        (["name", "notes"], "has no mobile"),
        (["cell", "name", "phone"], "names one of them twice"),
        ([], "has no mobile"),
    ],
)
def test_read_contacts_refuses_a_list_of_columns_it_cannot_follow(columns: list[str], words: str) -> None:
    with pytest.raises(ContactsError, match=words):
        read("Lerato,0820000101\n", columns=columns)
