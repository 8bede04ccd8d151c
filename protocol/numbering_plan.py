"""Numbering plans as regular expressions, made from phonenumbers' own metadata: no region's digits are typed in here.

A pattern answers only where it is sure to say what `phonenumbers.parse`, `is_valid_number` and E.164 would say, and
only for mobile and fixed-line numbers; everything else it leaves unmatched, for the library. What it is given are lines
of ASCII digits and plus signs, from which punctuation has been taken out.

What the library does, and how a pattern says it:

- it takes a prefix off the front once and never reconsiders: an atomic group, `(?>…)`;
- it rewrites a number if the last group of the prefix took part: a condition, `(?(1)…)`, that leaves it to the library;
- it takes digits for a dialling or country code only after a look at the rest: a negative lookahead;
- it wants a possible length and the whole pattern: a lookahead, and `$`;
- it asks the regions of a calling code in order, and those with leading digits claim all that starts with them: nested
  lookaheads in that order.
"""

import re
from functools import cache, lru_cache

from phonenumbers import COUNTRY_CODE_TO_REGION_CODE, PhoneMetadata, PhoneNumberDesc, country_code_for_valid_region

MAX_DIGITS = 15
"""Longest number there is, calling code included (ITU-T E.164, section 6)."""

_NEVER = "(?!)"
_GROUP = r"(?<!\\)\((?!\?)"  # where a capturing group opens
_REGIONS = {str(code): regions for code, regions in COUNTRY_CODE_TO_REGION_CODE.items()}


@cache
def home(region: str) -> re.Pattern[str]:
    """Numbers as dialled in `region`, a line each; `findall` gives three groups for every line, empty lines too.

    The second is the national number, where it is one of the region's own calling code; the third all digits of any
    other international number, calling code first. Both are empty where the line is neither for sure.
    """
    code = code_of(region)
    metadata = _metadata(code, region)
    dial_out = _plain(metadata.international_prefix)
    trunk = _plain(metadata.national_prefix_for_parsing)
    international = rf"(?:\+|(?>{dial_out}))"

    starts = [f"(?!{dial_out}|{code})"]
    if region == main_region(code):
        starts += [f"{international}{code}", f"(?!{dial_out}|{_digits(metadata.general_desc)}$){code}(?!{trunk})"]
    return re.compile(
        rf"^(?:(?:{'|'.join(starts)}){_national(code, metadata)}|{international}(\d+)$|.*$)", re.ASCII | re.MULTILINE
    )


@lru_cache(maxsize=1000)
def abroad(start: str) -> tuple[str, re.Pattern[str]]:
    """The calling code in the first three digits of an international number, and what may follow it.

    Group 2 of a full match from there is the national number. With no such code the pattern matches nothing.
    """
    code = calling_code(start)
    return code, _after(code)


@cache
def trunk_zero(region: str) -> re.Pattern[str]:
    """An international number as people of `region` write it, up to a `(0)` behind its calling code, group `code`."""
    dial_out = _plain(_metadata(code_of(region), region).international_prefix)
    return re.compile(rf"[^+\d]*(?:\+|(?>{dial_out}))[^+\d(]*(?P<code>\d{{1,3}})[^\d(]*\(0\)")


@cache
def usual_lengths(code: str) -> frozenset[int]:
    """Digits in a national number: as in the example mobile and fixed-line numbers of the main region."""
    metadata = _metadata(code, main_region(code))
    kinds = (metadata.mobile, metadata.fixed_line)
    return frozenset(len(kind.example_number) for kind in kinds if kind and kind.example_number)


def calling_code(digits: str) -> str:
    """The calling code that international digits start with; empty where there is none such."""
    for length in (1, 2, 3):
        if (code := digits[:length]) in _REGIONS:
            return code
    return ""


def code_of(region: str) -> str:
    """The calling code of a region that phonenumbers knows."""
    return str(country_code_for_valid_region(region))


def main_region(code: str) -> str:
    """The region that stands for a calling code; `001` for a code of no country."""
    return _REGIONS[code][0]


@cache
def _after(code: str) -> re.Pattern[str]:
    return re.compile(_national(code, _metadata(code, main_region(code))) if code else _NEVER, re.ASCII)


def _metadata(code: str, region: str) -> PhoneMetadata:
    metadata = PhoneMetadata.metadata_for_region_or_calling_code(int(code), region)
    if metadata is None:
        raise LookupError(f"phonenumbers has no metadata for region {region}, calling code +{code}")
    return metadata


def _national(code: str, metadata: PhoneMetadata) -> str:
    """A national number, group 2, behind the prefix that parsing by `metadata` takes off; group 1 is its own affair."""
    trunk = metadata.national_prefix_for_parsing or _NEVER
    if metadata.national_prefix_transform_rule:
        all_but_last = rf"{_GROUP}(?=.*{_GROUP})"
        prefix = f"(?>{re.sub(all_but_last, '(?:', trunk)}|)(?(1){_NEVER})"
    else:
        prefix = f"()(?>{_plain(trunk)}|)"
    # What is left must suit the region that parsed it; a sole region asks as much of every number of its own.
    suits = f"(?={_assigned(code, metadata.general_desc)})" if len(_REGIONS[code]) > 1 else ""
    return f"{prefix}{suits}({_in_any_region(code)})"


def _in_any_region(code: str) -> str:
    pattern = _NEVER
    for region in reversed(_REGIONS[code]):
        metadata = _metadata(code, region)
        kinds = f"{_assigned(code, metadata.mobile)}|{_assigned(code, metadata.fixed_line)}"
        own = f"(?={_assigned(code, metadata.general_desc)})(?:{kinds})"
        if metadata.leading_digits:
            claim = _plain(metadata.leading_digits)
            pattern = f"(?={claim}){own}|(?!{claim})(?:{pattern})"
        else:
            pattern = f"{own}|{pattern}"
    return pattern


def _assigned(code: str, kind: PhoneNumberDesc | None) -> str:
    """The rest of the line is a number of this kind, of a possible length that E.164 can hold."""
    lengths = [n for n in kind.possible_length if n <= MAX_DIGITS - len(code)] if kind else []
    if not lengths:
        return _NEVER
    shortest, longest = min(lengths), max(lengths)
    gaps = (rf"(?!\d{{{n}}}$)" for n in range(shortest, longest) if n not in lengths)
    return rf"(?=\d{{{shortest},{longest}}}$){''.join(gaps)}{_digits(kind)}$"


def _digits(kind: PhoneNumberDesc | None) -> str:
    return f"(?:{_plain(kind.national_number_pattern if kind else None)})"


def _plain(pattern: str | None) -> str:
    """Without capturing groups, so that those of a whole pattern are ours alone; what is missing matches nothing."""
    return re.sub(_GROUP, "(?:", pattern) if pattern else _NEVER
