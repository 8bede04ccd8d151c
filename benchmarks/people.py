"""Lists of people as an office would import them, as the parts of a batch, as ready rows and as a CSV file.

The same seedless list every time: numbers are valid South African mobiles, none twice, in no order, in the forms that
people write them; most rows have notes, and the access type is the batch's.
"""

import csv
from collections.abc import Iterator
from io import StringIO
from itertools import cycle
from typing import Any, Final

import orjson

PART_ITEMS: Final = 400
GATEWAY_ID: Final = "gw-bench"
DEVICE_ID: Final = "1234567890123456"

Invitee = dict[str, Any]

_STRIDE: Final = 7_654_321  # coprime to the ten million numbers behind 082, so none comes twice
_FORMS: Final = (
    "0{0} {1} {2}",
    "0{0}{1}{2}",
    "+27{0}{1}{2}",
    "+27 {0} {1} {2}",
    "0027{0}{1}{2}",
    "0{0}-{1}-{2}",
    "+27 ({0}) {1}-{2}",
)
_FIRST: Final = ("David", "Nomsa", "Thabo", "Zoë", "Pieter", "Lerato", "Ayesha", "Siyabonga", "Anneke", "José", "Li")
_LAST: Final = ("Mokoena", "van der Merwe", "Dlamini", "Naidoo", "O'Brien", "Khumalo", "Fernández", "Botha", "Ng")
_FAULTS: Final[tuple[Invitee, ...]] = (
    {"mobile": "082 45"},
    {"mobile": None},
    {"userName": "  "},
    {"mobile": "8.2E+10"},
    {"mobile": "see reception"},
)


def mobiles(count: int) -> list[int]:
    """So many different valid mobiles, in E.164 digits, in no order."""
    return [27_82_0000000 + index * _STRIDE % 10_000_000 for index in range(1, count + 1)]


def invitees(count: int, *, faulty_every: int = 0) -> list[Invitee]:
    """A list of so many people; of every `faulty_every` rows one is wrong, in one of several ways."""
    people = [
        {"userName": name, "mobile": _written(index, mobile), **({"notes": f"Unit {index % 987}"} if index % 4 else {})}
        for index, (name, mobile) in enumerate(zip(_names(), mobiles(count), strict=False))
    ]
    if faulty_every:
        for index, fault in zip(range(faulty_every // 2, count, faulty_every), cycle(_FAULTS), strict=False):
            people[index] = people[index] | fault
    return people


def parts(
    people: list[Invitee], *, batch_id: str = "bench", revision: int = 1, part_items: int = PART_ITEMS
) -> list[bytes]:
    """The list as the payloads of one batch."""
    chunks = [people[start : start + part_items] for start in range(0, len(people), part_items)]
    return [
        orjson.dumps(
            {
                "batchId": batch_id,
                "gatewayId": GATEWAY_ID,
                "revision": revision,
                "part": number,
                "parts": len(chunks),
                "mode": "merge",
                "deviceIds": [DEVICE_ID],
                "permission": "Always",
                "invitees": chunk,
            }
        )
        for number, chunk in enumerate(chunks, 1)
    ]


def rows(people: list[Invitee]) -> list[tuple[Any, ...]]:
    """The same people as rows of the table `users`, all decided."""
    return [
        (1, mobile, 1, 1_795_300_000_000, "Pending", 0, "Always", None, None, None, person["userName"],
         person.get("notes"), None, 1, None)
        for person, mobile in zip(people, mobiles(len(people)), strict=True)
    ]  # fmt: skip


def table(people: list[Invitee]) -> str:
    """The list as a CSV file with a header."""
    text = StringIO()
    writer = csv.writer(text)
    writer.writerow(["mobile", "name", "notes"])
    writer.writerows((row["mobile"], row["userName"], row.get("notes", "")) for row in people)
    return text.getvalue()


def _written(index: int, mobile: int) -> str:
    digits = str(mobile)[2:]
    return _FORMS[index % len(_FORMS)].format(digits[:2], digits[2:5], digits[5:])


def _names() -> Iterator[str]:
    for index in cycle(range(len(_FIRST) * len(_LAST))):
        yield f"{_FIRST[index % len(_FIRST)]} {_LAST[index % len(_LAST)]}"
