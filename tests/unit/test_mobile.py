"""Numbers as people write them: what is read, what is refused, and in which words."""

import subprocess
import sys

import phonenumbers
import pytest
from phonenumbers import PhoneNumberFormat, PhoneNumberType

from protocol.mobile import Numbers, Unassigned, Unusable, e164, masked, regions

SOUTH_AFRICA = Numbers("ZA")


@pytest.mark.parametrize(
    "written",
    [
        "0824511234",
        "082 451 1234",
        "(082) 451-1234",
        "082.451.1234",
        "082\N{NO-BREAK SPACE}451\N{NO-BREAK SPACE}1234",
        "  082 451 1234\t\n",
        "824511234",
        "27824511234",
        "+27 82 451 1234",
        "(+27) 82 451 1234",
        "0027824511234",
        "00 27 82 451 1234",
        "+27 (0)82 451 1234",
        "+27(0)824511234",
        "0027 (0)82 451 1234",
        "０８２４５１１２３４",
        "＋２７ ８２ ４５１ １２３４",
        "٠٨٢٤٥١١٢٣٤",
        "082/451-1234",
        "tel:+27-82-451-1234",
        "Mobile: 082 451 1234",
        "'0824511234",
        "082 451 1234 ext 5",
        " " * 300 + "082 451 1234",
    ],
)
def test_read_every_way_of_writing_one_number(written: str) -> None:
    assert SOUTH_AFRICA.read(written) == 27824511234


@pytest.mark.parametrize(
    ("region", "written", "number"),
    [
        ("ZA", "+44 7400 123456", 447400123456),
        ("ZA", "+263 71 234 5678", 263712345678),
        ("ZA", "+1 876 210 1234", 18762101234),
        ("GB", "07400 123456", 447400123456),
        ("US", "(201) 555-0123", 12015550123),
        ("US", "1-201-555-0123", 12015550123),
        ("US", "011 27 82 451 1234", 27824511234),
        ("CA", "506 234 5678", 15062345678),
        ("IT", "02 1234 5678", 390212345678),
        ("AR", "011 15-2345-6789", 5491123456789),
        ("HU", "06 20 123 4567", 36201234567),
    ],
)
def test_read_numbers_of_other_countries_and_homes(region: str, written: str, number: int) -> None:
    assert Numbers(region).read(written) == number


@pytest.mark.parametrize(
    ("written", "number"),
    [
        ("+34 (0)612 345 678", 34612345678),
        ("0034(0)612345678", 34612345678),
        ("+39 (0)2 1234 5678", 390212345678),
        ("+39 (0)347 123 4567", 393471234567),
        ("+34 (0)412 345 678", Unassigned),
        ("+34 612 (0)345 678", Unusable),
        ("+999 (0)612 345 678", Unusable),
    ],
)
def test_read_zero_in_brackets_is_left_out_only_behind_a_country_code_and_where_it_has_to_be(
    written: str, number: int | type
) -> None:
    reading = SOUTH_AFRICA.read(written)
    assert reading == number or type(reading) is number


@pytest.mark.parametrize(
    "written",
    [
        "8.2E+10",
        "8,2E+10",
        "8.2451E+10",
        "8.2451e10",
        "2.7824511234E+10",
        "27824511234.0",
        "824511234.00",
        "27824511234,0",
        "82451123.0",  # without the point it would be a number
        "82451123.0 ",
        " 82451123.00\N{NO-BREAK SPACE}",
        "82451123,0",
        "########",
    ],
)
def test_read_what_a_spreadsheet_ruined_is_never_guessed(written: str) -> None:
    assert SOUTH_AFRICA.read(written) == Unusable(
        f"'{written.strip()}' was ruined by a spreadsheet: format the column as text and export again"
    )


@pytest.mark.parametrize(
    ("region", "written"),
    [
        ("AR", "111591123456789"),  # the 15 in it makes it a mobile number, which it is too long for
        ("CO", "0321 123 4567"),  # 03 is taken off, not 0
        ("DE", "04930 123456"),  # a fixed-line number in its own pattern, not in the general one
        ("HK", "00 852 5123 4567"),  # 008 dials out, not 00
        ("HK", "001 (0)44 7400 123456"),  # 001 dials out: the zero is behind no country code
        ("RW", "006 123 456"),  # 00 dials out: it is no fixed-line number with a trunk zero
    ],
)
def test_read_takes_no_shorter_way_than_the_library(region: str, written: str) -> None:
    """Each is a valid number to a reader that leaves out one of the steps of parsing."""
    assert not isinstance(Numbers(region).read(written), int)


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("", "'' is empty"),
        (" \N{NO-BREAK SPACE}\n", "'' is empty"),
        ("082 45", "'082 45' is too short for a number in South Africa (+27)"),
        ("+27 82 451 1234 567", "'+27 82 451 1234 567' is too long for a number in South Africa (+27)"),
        ("+44 7400", "'+44 7400' is too short for a number in Britain (UK) (+44)"),
        ("+881 12", "'+881 12' is too short for a number under +881"),
        ("+800 12", "'+800 12' is not a number under +800"),
        ("+999 12 345", "'+999 12 345' starts with a country code that does not exist"),
        ("+49 1512 34567 89012 3", "'+49 1512 34567 89012 3' is too long for a phone number"),
        ("David", "'David' is not a phone number"),
        ("082\n451 1234", "'082\N{REPLACEMENT CHARACTER}451 1234' is not a phone number"),
        (
            "\ud800\0\u202e1",
            "'\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}1' is not a phone number",
        ),
        ("1" * 10**6, f"'{'1' * 40}…' is too long for a phone number"),
    ],
)
def test_read_unusable_says_what_is_wrong(written: str, message: str) -> None:
    assert SOUTH_AFRICA.read(written) == Unusable(message)


def test_read_short_number_in_a_region_that_is_not_the_main_one_names_that_region() -> None:
    reading = Numbers("CA").read("506 234")
    assert reading == Unusable("'506 234' is too short for a number in Canada (+1)")


def test_read_number_outside_known_ranges_but_of_the_right_length_is_kept() -> None:
    assert SOUTH_AFRICA.read("099 999 9999") == Unassigned(
        27999999999, "'099 999 9999' is in a range not known to be in use in South Africa (+27)"
    )


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("+27 99 999 999", False),
        ("+27 99 999 9999", True),
        ("+27 99 999 9999 9", False),
        ("+55 19 19191 919", True),  # 10 digits as on a fixed line, 11 as on a mobile
        ("+55 19 19191 9191", True),
        ("+55 19 19191 91", False),
    ],
)
def test_read_number_outside_known_ranges_is_kept_by_its_length(written: str, kept: bool) -> None:
    assert isinstance(SOUTH_AFRICA.read(written), Unassigned if kept else Unusable)


def test_read_many_keeps_order_around_line_breaks_empty_and_endless_texts() -> None:
    written = [
        "0824511234",
        "082\n4511234",
        "",
        "\n",
        "0831112222\n0831112223",
        "0" * 10**6,
        "\n\n",
        "+44 7400 123456",
        "",
    ]
    readings = SOUTH_AFRICA.read_many(written)
    assert readings == [SOUTH_AFRICA.read(text) for text in written]
    assert [reading for reading in readings if isinstance(reading, int)] == [27824511234, 447400123456]
    assert SOUTH_AFRICA.read_many([]) == []


@pytest.mark.parametrize("region", ["ZA", "NA", "US", "CA", "GB", "JE", "IT", "HU", "MX", "BR", "JP", "RU", "KZ", "AR"])
def test_read_many_does_not_ask_the_library_for_ordinary_numbers(region: str, monkeypatch: pytest.MonkeyPatch) -> None:
    example = phonenumbers.example_number_for_type(region, PhoneNumberType.MOBILE)
    assert example is not None
    number = int(phonenumbers.format_number(example, PhoneNumberFormat.E164))
    written = [
        phonenumbers.format_number(example, form)
        for form in (PhoneNumberFormat.NATIONAL, PhoneNumberFormat.INTERNATIONAL, PhoneNumberFormat.E164)
    ]
    monkeypatch.setattr(phonenumbers, "parse", lambda *_: pytest.fail("asked"))
    if region != "AR":  # where every mobile number is rewritten when it is written as at home
        assert Numbers(region).read_many(written) == [number] * 3
    assert Numbers(region).read_many(written[1:]) == SOUTH_AFRICA.read_many(written[1:]) == [number] * 2


@pytest.mark.parametrize("region", ["za", "ZZ", "", "001", "South Africa"])
def test_numbers_of_an_unknown_region_are_refused(region: str) -> None:
    with pytest.raises(ValueError, match=f"^'{region}' is not a region: write two capital letters, such as ZA or GB$"):
        Numbers(region)


def test_regions_are_those_numbers_can_be_made_for() -> None:
    assert {"ZA", "GB", "US", "TA"} <= regions()
    assert "001" not in regions()


def test_e164_puts_the_plus_sign_in_front() -> None:
    assert e164(27824511234) == "+27824511234"


@pytest.mark.parametrize(
    ("digits", "shown"),
    [
        (27824511234, "+27…234"),
        ("+27824511234", "+27…234"),
        ("263712345678", "+263…678"),
        (12015550123, "+1…123"),
        (2782451, "+27…"),
        ("", "+…"),
    ],
)
def test_masked_keeps_the_calling_code_and_three_digits(digits: int | str, shown: str) -> None:
    assert masked(digits) == shown


def test_import_loads_no_places_and_reading_only_the_regions_it_needs() -> None:
    """The daemon has 50 MiB; the names of places alone would take 110."""
    script = """
import sys
from protocol.mobile import Numbers
from phonenumbers import PhoneMetadata
assert Numbers("ZA").read_many(["082 451 1234", "+27 82"])
print(*(name for name in sys.modules if name.startswith("phonenumbers.") and "data.region_" in name))
assert not [name for name in sys.modules if "geodata" in name or "carrierdata" in name or "geocoder" in name]
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout.split() == ["phonenumbers.data.region_ZA"]
