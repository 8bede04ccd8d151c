"""Whole lists of numbers read by the gateway, beside the same lists read by phonenumbers alone.

`python -m benchmarks.numbers` prints what a list costs as a ratio to the library in the same round;
`python -m benchmarks.numbers --agreement 1000000` compares what both say of so many generated and hostile numbers.
"""

import argparse
import random
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from statistics import median

import phonenumbers
from phonenumbers import NumberParseException, PhoneMetadata, PhoneNumberFormat, PhoneNumberType

from protocol.mobile import LONGEST, Numbers, Reading

REGIONS = (
    "ZA", "NA", "ZW", "KE", "RW", "US", "CA", "JE", "GB",
    "DE", "IT", "FR", "HU", "AU", "BR", "AR", "CO", "HK", "JP", "KZ",
)  # fmt: skip
HOMES = ("US", "CA", "GB", "DE", "FR", "IT", "HU", "BR", "AU", "KE")
FOREIGN = ("NA", "BW", "ZW", "MZ", "NG", "KE", "GB", "DE", "FR", "US", "IN", "AU")
SIZE = 10_000
ROUNDS = 7

_GAPS = [*" -.()/~x*,+\t\n", "\xa0", "\u2010", "\u200b", "\u3000", ") ", " (", "  "]
_HEADS = [*"+0 18'=*(", "++", "00", "011", "06", "0011", "810", "(0)", "tel:", "Tel. ", "\u202a", "\uff0b"]
_TAILS = [*" .#0a\0", ".0", ",00", "E+10", "e5", " ext 5", "x12", ";ext=3", " /x 3", "CALL", "\ud800", "\n0824511234"]
_ZEROS = [0xFF10, 0x0660, 0x0966, 0x1D7CE]  # of the full-width, Arabic, Devanagari and mathematical digits
_ODDITIES = r"""
+27(0)824511234|+27 (0)(0)82 451 1234|(0)82 451 1234|+2 7(0)82 451 1234|+27 82 (0)451 1234|00 27 (0)82 451 1234
(+27) 82 451 1234|(+27)(0)82 451 1234|27 (0)82 451 1234|+34 (0)612 345 678|0034(0)612345678|+39 (0)2 1234 5678
+39 (0)345 123 4567|+39 (0)347 123 4567|+1 (0)202 555 0123|+999 (0)12 345 678|+0027824511234|+ 27 82 451 1234
8.2E+10|8,2E+10|8.2451E+10|8.2451E10|0824511234e5|27824511234.0|82451123.0|82451123.00|-82451123,0|#|########
082 451 1234 ext. 5|082 451 1234 x5|082-451-1234#|082-451-12#|1800 MICROSOFT|082 451 CALL|082 451 1234/083 451 1234
tel:082-451-1234;phone-context=+27|tel:+27824511234;isub=1|082 451 1234;phone-context=example.com|;phone-context=+
082 451 1234 or 083 451 1234|082\n451 1234|0824511234\n0834511234|\n0824511234|0824511234\n|\n|\n\n| |-|()|.|+|++|0|00
27|+27|0027|00270|+270|2727|+2727|٠٨٢٤٥١١٢٣٤|０８２ ４５１ １２３４|＋２７ ８２ ４５１ １２３４|²⁷824511234|①②③④⑤⑥
+49 1512 34567890123|+49 89 1234 5678 9012 3|+800 1234 5678|+881 612 345 678|+979 123 456 789|+999 1 2 3|🙂082 451 1234
"""
_ADVERSARIAL = _ODDITIES.strip("\n").replace("\n", "|").replace("\\n", "\n").split("|")
_ADVERSARIAL += ["", "082\x00451\x001234", "\xa082451123.0\xa0", "1" * 17, "1" * 18, "1" * 5000, "0" * 60]
_ADVERSARIAL += ["+" * 70 + "1", "1 " * 39, " " * 300 + "0824511234", "111" + " " * 70 + "x"]
_ADVERSARIAL += ["082" + " " * length + "4511234" for length in (65, 90)]


def by_library(written: str, region: str) -> int | None:
    """The valid number phonenumbers makes of it, once what the gateway settles for itself is settled."""
    text = written.strip()
    if len(text) > LONGEST or re.search(r"^[+-]?\d+([.,]00?|([.,]\d+)?[eE][+-]?\d+)$|^#+$", text):
        return None
    valid = _valid(text, region)
    head, zero, rest = text.partition("(0)")
    return _valid(head + rest, region) if valid is None and zero and _is_country_code(head, region) else valid


def hostile(draw: random.Random, home: str) -> str:
    """Something like a number: an example of some region changed, cut, prefixed, spaced out and decorated."""
    if draw.random() < 0.02:
        return draw.choice(_ADVERSARIAL)
    region = home if draw.random() < 0.6 else draw.choice(draw.choice((REGIONS, _siblings(home), _everywhere())))
    digits = list(draw.choice(_examples(region)))
    for _ in range(draw.choice((0, 1, 1, 2, 6))):
        digits[draw.randrange(len(digits))] = draw.choice("0123456789")
    if draw.random() < 0.15:
        digits[len(digits) - draw.choice((1, 1, 2, 5)) :] = draw.choice(("", "", "0123", "12345", "7" * 9))
    text = _prefix(draw, home, region) + _spaced(draw, "".join(digits))
    if draw.random() < 0.07:
        text = draw.choice(_HEADS) + text
    if draw.random() < 0.07:
        text += draw.choice(_TAILS)
    if draw.random() < 0.05:
        zero, share = draw.choice(_ZEROS), draw.random()
        text = "".join(chr(zero + int(c)) if c in "0123456789" and draw.random() < share else c for c in text)
    return text


def disagreements(count: int, seed: int) -> Iterator[tuple[str, str, Reading, int | None]]:
    """Of `count` hostile numbers those that gateway and library read differently: region, text, what either says."""
    draw = random.Random(seed)
    for start in range(0, count, 500):
        region = draw.choice(REGIONS)
        written = [hostile(draw, region) for _ in range(min(500, count - start))]
        for text, reading in zip(written, Numbers(region).read_many(written), strict=True):
            expected = by_library(text, region)
            if (reading if isinstance(reading, int) else None) != expected:
                yield region, text, reading, expected


def people(region: str, count: int, seed: int) -> list[int]:
    """Valid mobile numbers of a region, in E.164 digits."""
    draw = random.Random(seed)
    example = phonenumbers.example_number_for_type(region, PhoneNumberType.MOBILE)
    if example is None:
        raise LookupError(f"phonenumbers has no example of a mobile number for {region}")
    stem = phonenumbers.format_number(example, PhoneNumberFormat.E164)[:-5]
    found: list[int] = []
    while len(found) < count:
        number = _valid(f"{stem}{draw.randrange(10**5):05}", region)
        found += [number] if number else []
    return found


def _valid(text: str, region: str) -> int | None:
    try:
        number = phonenumbers.parse(text, region)
    except NumberParseException:
        return None
    digits = phonenumbers.format_number(number, PhoneNumberFormat.E164)[1:]
    return int(digits) if phonenumbers.is_valid_number(number) and len(digits) <= 15 else None


def _is_country_code(head: str, region: str) -> bool:
    """Whether this, the text before a `(0)`, is a way to dial out and a country code with nothing else between."""
    start = re.search(r"\+", head) or re.match(rf"\D*({_metadata(region).international_prefix})", head)
    code = re.fullmatch(r"[^\d+(]*([0-9]{1,3})[^\d(]*", head[start.end() :]) if start else None
    return bool(code and code[1] in map(str, phonenumbers.COUNTRY_CODE_TO_REGION_CODE))


def _prefix(draw: random.Random, home: str, region: str) -> str:
    code = phonenumbers.country_code_for_valid_region(region)
    trunk = _metadata(region).national_prefix or ""
    dial_out = _dial_out(home)
    gap = draw.choice(("", "", " ", "-"))
    usual = [f"+{code}{gap}", f"{dial_out}{gap}{code}{gap}", f"{code}{gap}", f"{trunk}{gap}", ""]
    odd = [f"+{code}{gap}(0){gap}", f"{dial_out}{code}(0)", f"+{code}{trunk}", f"+{trunk}", f"{dial_out}0{code}"]
    return draw.choice(usual if draw.random() < 0.9 else odd)


def _spaced(draw: random.Random, digits: str) -> str:
    gaps = draw.choice(([""], [""], [" "], [" ", "-", ".", "\xa0"], _GAPS))
    often = draw.choice((0.1, 0.3, 0.9))
    return "".join(digit + (draw.choice(gaps) if draw.random() < often else "") for digit in digits)


@cache
def _examples(region: str) -> tuple[str, ...]:
    kinds = [kind for kind in PhoneNumberType.values() if kind != PhoneNumberType.UNKNOWN]
    numbers = [phonenumbers.example_number_for_type(region, kind) for kind in kinds]
    mobile = phonenumbers.example_number_for_type(region, PhoneNumberType.MOBILE)
    return tuple(phonenumbers.national_significant_number(n) for n in [*numbers, *[mobile] * 4] if n)


@cache
def _everywhere() -> tuple[str, ...]:
    return tuple(sorted(phonenumbers.SUPPORTED_REGIONS))


def _siblings(region: str) -> Sequence[str]:
    return phonenumbers.region_codes_for_country_code(phonenumbers.country_code_for_valid_region(region))


def _metadata(region: str) -> PhoneMetadata:
    metadata = PhoneMetadata.metadata_for_region(region)
    assert metadata is not None
    return metadata


def _dial_out(region: str) -> str:
    return re.split(r"\D", _metadata(region).international_prefix or "")[0] or "00"


def _spellings(region: str, numbers: list[int]) -> dict[str, list[str]]:
    """Numbers, in E.164 digits, in the forms that people of a region give them."""
    parsed = [phonenumbers.parse(f"+{number}") for number in numbers]
    national = [phonenumbers.format_number(number, PhoneNumberFormat.NATIONAL) for number in parsed]
    international = [phonenumbers.format_number(number, PhoneNumberFormat.INTERNATIONAL) for number in parsed]
    return {
        "national": national,
        "national, digits alone": [re.sub(r"\D", "", text) for text in national],
        "international": international,
        "E.164": [f"+{number}" for number in numbers],
        "dialled from there": [f"{_dial_out(region)}{number}" for number in numbers],
        "without the plus": [str(number) for number in numbers],
        "with a (0)": [re.sub(r"(?<=\d) ", " (0)", text, count=1) for text in international],
    }


def lists() -> Iterator[tuple[str, str, list[str]]]:
    """The lists that are timed: a home region, what is in the list, the list."""
    draw = random.Random(3)
    home = _spellings("ZA", people("ZA", SIZE, seed=1))
    for form, written in home.items():
        yield "ZA", form, written
    mixed = [draw.choice(forms) for forms in zip(*home.values(), strict=True)]
    yield "ZA", "all of these", mixed
    yield "ZA", "all of these, 1 % hostile", [hostile(draw, "ZA") if draw.random() < 0.01 else text for text in mixed]
    abroad = [number for region in FOREIGN for number in people(region, SIZE // len(FOREIGN), seed=4)]
    draw.shuffle(abroad)
    foreign = _spellings("ZA", abroad)
    yield (
        "ZA",
        f"of {len(FOREIGN)} other countries",
        [
            draw.choice(forms)
            for forms in zip(foreign["international"], foreign["E.164"], foreign["dialled from there"], strict=True)
        ],
    )
    for region in HOMES:
        forms = _spellings(region, people(region, SIZE, seed=5))
        yield (
            region,
            "national, international, E.164",
            [draw.choice(row) for row in zip(forms["national"], forms["international"], forms["E.164"], strict=True)],
        )


def measure(region: str, written: list[str]) -> tuple[float, float]:
    """The median ratio of gateway to library over ROUNDS rounds, and the gateway's microseconds a number."""
    numbers = Numbers(region)
    ratios, ours = [], []
    for _ in range(ROUNDS):
        gateway = _seconds(lambda: numbers.read_many(written))
        library = _seconds(lambda: [_valid(text, region) for text in written])
        ratios.append(gateway / library)
        ours.append(gateway)
    return median(ratios), median(ours) / len(written) * 1e6


def _seconds(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--agreement", type=int, metavar="N", help="compare on N numbers instead of measuring")
    options.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    chosen = options.parse_args()
    if chosen.agreement:
        found = list(disagreements(chosen.agreement, chosen.seed))
        for region, text, reading, expected in found[:20]:
            print(f"{region} {text!r}: gateway {reading}, library {expected}")
        print(f"numbers={chosen.agreement} regions={len(REGIONS)} seed={chosen.seed} mismatches={len(found)}")
        return bool(found)
    print(f"lists of {SIZE}, CPU time, median of {ROUNDS} rounds; library: parse, is_valid_number, E.164\n")
    print(f"{'home':6}{'written':34}{'µs/number':>10}{'ratio':>8}")
    for region, form, written in lists():
        ratio, cost = measure(region, written)
        print(f"{region:6}{form:34}{cost:10.2f}{ratio:8.3f}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
