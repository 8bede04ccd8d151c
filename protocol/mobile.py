"""Mobile numbers as people write them, read into E.164 with the default region of a gateway.

Whole lists go through one regular expression made from phonenumbers' metadata, and what that leaves open the library
reads: either way the answer is the library's. Three things are settled here, not there: a number that a spreadsheet
ruined is never guessed at; a `(0)` behind the calling code is left out where the number is none with it; what is longer
than `LONGEST` without the white space around it is no number.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources

import phonenumbers
from phonenumbers import NumberParseException, PhoneNumberFormat

from protocol.numbering_plan import (
    MAX_DIGITS,
    abroad,
    calling_code,
    code_of,
    home,
    main_region,
    trunk_zero,
    usual_lengths,
)

LONGEST = 80
"""Characters of a written number; the library allows 250 and can need 10 ms for as many hostile ones."""

_QUOTED = 40
_UNPRINTABLE = "\N{REPLACEMENT CHARACTER}"
_RUINED = re.compile(r"[+-]?\d+(?:[.,]00?|(?:[.,]\d+)?[eE][+-]?\d+)|#+")  # 27824511234.0, 8.2E+10, ####
_MAYBE_RUINED = re.compile(r"\.00?$", re.MULTILINE)
_COMPLAINTS = {
    NumberParseException.INVALID_COUNTRY_CODE: "starts with a country code that does not exist",
    NumberParseException.NOT_A_NUMBER: "is not a phone number",
    NumberParseException.TOO_SHORT_AFTER_IDD: "is too short for a phone number",
    NumberParseException.TOO_SHORT_NSN: "is too short for a phone number",
    NumberParseException.TOO_LONG: "is too long for a phone number",
}

# The cache of `re` holds 512 patterns: a list of numbers from all over the world would compile them over and over.
phonenumbers.enable_pattern_cache()


@dataclass(frozen=True, slots=True)
class Unassigned:
    """Not valid by today's metadata, which ages, but as long as its country's numbers: applied, `unassigned_range`."""

    e164: int
    message: str


@dataclass(frozen=True, slots=True)
class Unusable:
    """Not a number: `invalid_mobile`. The message quotes what was written: it is for its sender and for no log."""

    message: str


Reading = int | Unassigned | Unusable
"""An int is a valid number: the digits of its E.164 form, at most 15, without the plus sign."""

_BEST_FIRST = (int, Unassigned, Unusable)


class Numbers:
    """Reads numbers as people of one region write them. ValueError where `region` is not one of `regions()`."""

    __slots__ = ("_code", "_region")

    def __init__(self, region: str) -> None:
        if region not in phonenumbers.SUPPORTED_REGIONS:
            raise ValueError(f"{_quoted(region)} is not a region: write two capital letters, such as ZA or GB")
        self._region = region
        self._code = code_of(region)

    def read(self, written: str) -> Reading:
        """The number that was written; nothing is raised, whatever the text."""
        return self.read_many((written,))[0]

    def read_many(self, written: Sequence[str]) -> list[Reading]:
        """A reading of each, in order, the same that `read` gives; nothing is raised, whatever the texts."""
        if not written:
            return []
        # A number that holds a line break would shift those behind it.
        lines = "\n".join([text if len(text) <= LONGEST and "\n" not in text else "" for text in written])
        for mark in " -()\N{NO-BREAK SPACE}":
            lines = lines.replace(mark, "")
        lines = _MAYBE_RUINED.sub("?", lines).replace(".", "")
        return [
            int(self._code + national) if national else _read_abroad(international) or self._read_slowly(text)
            for (_, national, international), text in zip(home(self._region).findall(lines), written, strict=True)
        ]

    def _read_slowly(self, written: str) -> Reading:
        text = written.strip()
        if not text:
            return Unusable("'' is empty")
        if len(text) > LONGEST:
            return Unusable(f"{_quoted(text)} is too long for a phone number")
        if _RUINED.fullmatch(text):
            return Unusable(f"{_quoted(text)} was ruined by a spreadsheet: format the column as text and export again")
        readings = [self._read_by_library(spelling, text) for spelling in self._spellings(text)]
        return min(readings, key=lambda reading: _BEST_FIRST.index(type(reading)))

    def _spellings(self, text: str) -> Iterator[str]:
        yield text
        zero = trunk_zero(self._region).match(text)
        if zero and calling_code(zero["code"]) == zero["code"]:
            yield text[: zero.end("code")] + text[zero.end() :]

    def _read_by_library(self, spelling: str, written: str) -> Reading:
        quoted = _quoted(written)
        try:
            number = phonenumbers.parse(spelling, self._region)
        except NumberParseException as refusal:
            return Unusable(f"{quoted} {_COMPLAINTS[refusal.error_type]}")
        digits = phonenumbers.format_number(number, PhoneNumberFormat.E164).removeprefix("+")
        if len(digits) > MAX_DIGITS:
            return Unusable(f"{quoted} is too long for a phone number")
        if phonenumbers.is_valid_number(number):
            return int(digits)
        code = calling_code(digits)
        where = _where(self._region if code == self._code else main_region(code), code)
        length, usual = len(digits) - len(code), usual_lengths(code)
        if length in usual:
            return Unassigned(int(digits), f"{quoted} is in a range not known to be in use {where}")
        if length < min(usual, default=0):
            return Unusable(f"{quoted} is too short for a number {where}")
        if length > max(usual, default=MAX_DIGITS):
            return Unusable(f"{quoted} is too long for a number {where}")
        return Unusable(f"{quoted} is not a number {where}")


def usable(reading: Reading) -> int | None:
    """The E.164 digits that were read, assigned or not; None where it was no number."""
    match reading:
        case Unassigned():
            return reading.e164
        case Unusable():
            return None
        case _:
            return reading


def e164(digits: int) -> str:
    """The digits with the plus sign in front."""
    return f"+{digits}"


def split(mobile: int) -> tuple[str, str]:
    """The calling code of a number (E.164 digits), and the digits behind it, which are in every spelling of it."""
    digits = str(mobile)
    code = calling_code(digits)
    return code, digits.removeprefix(code)


def masked(digits: int | str) -> str:
    """An E.164 number, with or without the plus sign, fit for a log: calling code and last three digits at most."""
    text = str(digits).removeprefix("+")
    return f"+{calling_code(text)}…{text[-3:] if len(text) > 9 else ''}"


def regions() -> frozenset[str]:
    """All regions a gateway can have as its default, two capital letters each."""
    return frozenset(phonenumbers.SUPPORTED_REGIONS)


def _read_abroad(digits: str) -> int:
    """The number that digits with any calling code are, for sure; else 0."""
    code, plan = abroad(digits[:3])
    number = plan.fullmatch(digits, len(code))
    return int(code + number[2]) if number else 0


def _where(region: str, code: str) -> str:
    name = _country_names().get(region)
    return f"in {name} (+{code})" if name else f"under +{code}"


@cache
def _country_names() -> dict[str, str]:
    """English names by region, from the time zone data; phonenumbers' own come with 100 MB of places."""
    table = resources.files("tzdata.zoneinfo").joinpath("iso3166.tab").read_text("utf-8")
    return dict(line.split("\t") for line in table.splitlines() if not line.startswith("#"))


def _quoted(written: str) -> str:
    """What was written, fit for one line of any message: shortened, and without what cannot be shown or encoded."""
    text = written if len(written) <= _QUOTED else written[:_QUOTED] + "…"
    shown = (mark if mark.isprintable() else _UNPRINTABLE for mark in text.replace("\N{NO-BREAK SPACE}", " "))
    return f"'{''.join(shown)}'"
