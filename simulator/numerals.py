"""What a spreadsheet does to a telephone number that it takes for an amount."""

import re
from collections.abc import Sequence

from protocol.mobile import Numbers, Reading, Unassigned, Unusable

_LONGEST = 40
_WRITTEN = re.compile(r"[\d +＋().\-/'’\xa0\xad\u2000-\u2015\u202a-\u202f\u2060\u2066-\u2069]+")
_SCIENTIFIC = re.compile(r"[+-]?\d{1,20}(?:[.,]\d{0,20})?[eE][+-]?\d{1,3}")
_DECIMAL = re.compile(r"\+?\d{5,20}[.,]0{1,9}")
_OVERFLOWN = re.compile(r"#+")
_FAILED = re.compile(r"#(?:N/A|NULL!|REF!|VALUE!|NUM!|DIV/0!|NAME\?|ERROR!)|Err:\d{3}")
_BARE = re.compile(r"[1-9][0-9]{5,14}")

ZERO_OFTEN_LEFT_OUT = frozenset(
    ["BO", "BR", "CN", "CO", "GE", "IN", "KI", "LB", "LI", "LT", "MN", "NP", "PE", "SO", "SY", "TR", "VN"]
)
"""Regions that dial a 0 and yet write mobile numbers without it, by the formats of phonenumbers' metadata.

There, digits without the 0 have lost nothing. A test derives the same set from the metadata.
"""

_AGAIN = "type it again in a column formatted as text"


def looks_like_number(cell: str) -> bool:
    """Whether a cell seems meant as a number to call, even faulty or ruined: 5 to 17 digits and their punctuation."""
    if len(cell) > _LONGEST:
        return False
    if _WRITTEN.fullmatch(cell):
        return 4 < sum(map(str.isdecimal, cell)) < 18
    return _SCIENTIFIC.fullmatch(cell) is not None


def find_ruins(written: Sequence[str], readings: Sequence[Reading], numbers: Numbers, region: str) -> list[str | None]:
    """For each cell, in words for a person, how a spreadsheet ruined it; None where it did not.

    `readings` is what `numbers`, for `region`, made of the cells as they stand. Digits alone, as a spreadsheet writes
    an amount, have lost something when a 0 in front makes them the number they are, or when only a + makes them one.
    """
    meant = [_digits(reading) for reading in readings]
    # Digits that are read as they stand, country code and all, have lost nothing.
    bare = [_BARE.fullmatch(cell) and str(digits) != cell for cell, digits in zip(written, meant, strict=True)]
    zeroed = numbers.read_many([f"0{cell}" if alone else "" for cell, alone in zip(written, bare, strict=True)])
    signed = numbers.read_many([f"+{cell}" if alone else "" for cell, alone in zip(written, bare, strict=True)])
    return [
        _shape_ruin(cell)
        or _loss(cell, digits, _digits(zero), _digits(plus), zero_optional=region in ZERO_OFTEN_LEFT_OUT)
        for cell, digits, zero, plus in zip(written, meant, zeroed, signed, strict=True)
    ]


def _shape_ruin(cell: str) -> str | None:
    if _SCIENTIFIC.fullmatch(cell):
        return f"{cell!r} is a number that a spreadsheet shortened, its digits are lost: {_AGAIN}"
    if _DECIMAL.fullmatch(cell):
        return f"{cell!r} is a number that a spreadsheet took for an amount: {_AGAIN}"
    if _OVERFLOWN.fullmatch(cell):
        return "'###' stands for a number its column was too narrow for: widen the column and save as CSV again"
    if _FAILED.fullmatch(cell):
        return f"{cell!r} is the error of a spreadsheet's formula, not a number: {_AGAIN}"
    return None


def _loss(cell: str, reading: int | None, zeroed: int | None, signed: int | None, *, zero_optional: bool) -> str | None:
    if zeroed is not None and (reading is None or (reading == zeroed and not zero_optional)):
        return (
            f"{cell!r} has lost the 0 in front to a spreadsheet: {_AGAIN}, with the 0 or from + and the country code on"
        )
    if reading is None and signed is not None:
        return f"{cell!r} is no number here; if it began with + or 00, a spreadsheet took that away: {_AGAIN}"
    return None


def _digits(reading: Reading) -> int | None:
    if isinstance(reading, Unusable):
        return None
    return reading.e164 if isinstance(reading, Unassigned) else reading
