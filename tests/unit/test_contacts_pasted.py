"""Lines pasted instead of a file."""

import pytest

from simulator.contacts import ContactsError, read_pasted
from tests.unit.test_contacts import people


def test_read_pasted_divides_a_line_with_two_numbers_by_its_commas_alone() -> None:
    contacts = read_pasted("Lerato, 0830000100\nDavid 082 000 0101, 083 000 0102", region="ZA")
    assert (contacts.people[-1].name, contacts.people[-1].e164) == ("David 082 000 0101", 27830000102)


def test_read_pasted_lines_as_the_guide_has_them() -> None:
    contacts = read_pasted("David, 082 451 1234, Unit 4, Block B\r\n\r\nNomvula, +27 83 000 0102\n", region="ZA")
    assert (contacts.source, contacts.header) == ("pasted lines", None)
    assert people(contacts) == [(1, "David", 27824511234, "Unit 4, Block B"), (3, "Nomvula", 27830000102, "")]


@pytest.mark.parametrize(
    ("line", "name", "notes"),
    [
        ("David 082 000 0101", "David", ""),
        ("David (gardener) (082) 000 0101", "David (gardener)", ""),
        ("David: +27 82 000 0101", "David", ""),
        ("Anne-Marie - 0820000101", "Anne-Marie", ""),
        ("David 082 000 0101, Unit 4", "David", "Unit 4"),
    ],
)
def test_read_pasted_understands_a_line_without_comma(line: str, name: str, notes: str) -> None:
    assert people(read_pasted(line, region="ZA")) == [(1, name, 27820000101, notes)]


@pytest.mark.parametrize(
    "line",
    ["Unit 4 David 082 000 0101", "David 082 000 0101 Unit 4", "David 4 082 000 0101", "David", "David0820000101"],
)
def test_read_pasted_guesses_at_no_line_that_may_mean_two_things(line: str) -> None:
    contacts = read_pasted(f"Lerato, 0830000100\n{line}", region="ZA")
    assert people(contacts) == [(1, "Lerato", 27830000100, "")]
    [problem] = contacts.problems
    assert (problem.contact.row, problem.contact.e164) == (2, None)


def test_read_pasted_cells_copied_from_a_spreadsheet() -> None:
    contacts = read_pasted('Name\tMobile\tUnit\nLerato\t0820000101\t"4, left"\n', region="ZA")
    assert people(contacts) == [(2, "Lerato", 27820000101, "4, left")]


def test_read_pasted_bytes_a_terminal_could_not_decode() -> None:
    escaped = "Zoë, 0820000101".encode("cp1252").decode("utf-8", "surrogateescape")
    assert people(read_pasted(escaped, region="ZA")) == [(1, "Zoë", 27820000101, "")]
    with pytest.raises(ContactsError, match="pasted lines hold halves of characters"):
        read_pasted("\ud800, 0820000101", region="ZA")
