"""What is left of a person in files: every form in which a name or a number could still be read there."""

import base64
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from tests.counterparts.cloud import Document

_FIRST = 9_517_000


@dataclass(frozen=True, slots=True)
class Canary:
    """Somebody who exists for one test alone: a name that is no word, and a number that is no other digits."""

    name: str
    mobile: str
    """As people of South Africa write it."""

    @property
    def e164(self) -> str:
        return f"+27{self.mobile[1:]}"

    def invitee(self, **fields: object) -> Document:
        """The person in a batch."""
        return {"userName": self.name, "mobile": self.mobile, "notes": f"flat of {self.name}", **fields}

    def forms(self) -> Iterator[bytes]:
        """The name and the number as bytes, in whatever a program may have made of them."""
        for text in (self.name, self.mobile[1:]):
            yield from _written(text)
        digits = int(self.e164[1:])
        yield digits.to_bytes(5, "big")  # SQLite keeps an integer of this size in six bytes or in eight
        yield digits.to_bytes(5, "little")


class Aviary:
    """Canaries, each of its own kind; `let_out` are all so far."""

    def __init__(self) -> None:
        self.let_out: list[Canary] = []
        self._numbers = count(_FIRST)

    def canary(self) -> Canary:
        """One that nobody has seen before."""
        number = next(self._numbers)
        letters = "".join("bcdfghjklm"[int(digit)] + "aeiou"[int(digit) % 5] for digit in str(number))
        canary = Canary(f"Qx{letters}", f"082{number:07}")
        self.let_out.append(canary)
        return canary


def _written(text: str) -> Iterator[bytes]:
    yield text.encode()
    yield text.encode("utf-16-le")
    yield text.encode().hex().encode()
    yield json.dumps(text.translate({ord(digit): 0xFF10 + int(digit) for digit in "0123456789"})).strip('"').encode()
    for shift in range(3):  # where it begins within three bytes decides how it looks in base 64
        whole = base64.b64encode(b"\0" * shift + text.encode())
        yield whole[4 if shift else 0 : -4]


def found(canaries: Iterable[Canary], places: Mapping[str, bytes]) -> list[str]:
    """Where any of them is found, in words."""
    return [
        f"{canary.name} {canary.mobile} in {place}, as {form!r}"
        for canary in canaries
        for form in canary.forms()
        for place, content in places.items()
        if form in content
    ]


def places(found_in: Iterable[str]) -> set[str]:
    """The files, or the folders, in which something was found."""
    return {each.split(", as")[0].rpartition(" in ")[2].split("/")[0] for each in found_in}


def files(folder: Path, *, without: Iterable[str] = ()) -> dict[str, bytes]:
    """The regular files below a folder by their names, but for those of these names or in folders of these names."""
    excepted = set(without)
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and excepted.isdisjoint(path.relative_to(folder).parts)
    }
